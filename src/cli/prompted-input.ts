// Standard input that is not a terminal, for a guest with a shell: a line is sent when the shell prompts for one, since a
// serial line drops what comes before anybody reads. The end of the input ends the shell.
import { StdioBackend } from '../platform/node/stdio-backend.ts';
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';

const END_OF_INPUT = 0x04; // Ctrl-D
const LINE_FEED = 0x0a;
const TAIL_CHARACTERS = 200;
/** A program that reads input itself shows no prompt: after so long a silence the next line goes out all the same. */
const SILENCE_MS = 2000;

export class PromptedInput implements CharBackend {
  readonly #stdio = new StdioBackend({ signal: true });
  readonly #prompt: RegExp;
  #frontEnd: CharFrontEnd | undefined;
  #tail = '';
  #started = false;
  /** Lines may go out: there was a prompt, and no line since. */
  #ready = false;
  #endSent = false;
  #silence: NodeJS.Timeout | undefined;

  /** `prompt` matches the end of the output when the shell waits. */
  constructor(prompt: RegExp) {
    this.#prompt = prompt;
  }

  connect(frontEnd: CharFrontEnd | undefined): void {
    this.#frontEnd = frontEnd;
    if (frontEnd === undefined) return this.#stdio.connect(undefined);
    this.#stdio.connect({
      canReceive: () => (this.#ready && frontEnd.canReceive() > 0 ? 1 : 0),
      receive: (bytes) => this.#receive(bytes),
      event: (event) => frontEnd.event?.(event),
      writable: () => frontEnd.writable?.(),
    });
    process.stdin.once('end', () => this.#sendEnd());
  }

  write(bytes: Uint8Array): number {
    const taken = this.#stdio.write(bytes);
    this.#tail = (this.#tail + new TextDecoder('latin1').decode(bytes.subarray(0, taken))).slice(-TAIL_CHARACTERS);
    if (this.#prompt.test(this.#tail)) this.#go();
    else if (this.#started) this.#waitForSilence();
    return taken;
  }

  acceptInput(): void {
    this.#stdio.acceptInput();
    this.#sendEnd();
  }

  async close(): Promise<void> {
    clearTimeout(this.#silence);
    await this.#stdio.close();
  }

  #go(): void {
    this.#started = true;
    this.#ready = true;
    // Not from within the guest's write.
    setImmediate(() => this.acceptInput());
  }

  #waitForSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#go(), SILENCE_MS);
  }

  #receive(bytes: Uint8Array): void {
    this.#frontEnd?.receive(bytes);
    if (bytes[0] !== LINE_FEED) return;
    this.#ready = false;
    this.#tail = '';
    this.#waitForSilence();
  }

  #sendEnd(): void {
    if (this.#endSent || !this.#ready || !this.#stdio.drained || (this.#frontEnd?.canReceive() ?? 0) === 0) return;
    this.#endSent = true;
    clearTimeout(this.#silence);
    this.#frontEnd!.receive(Uint8Array.of(END_OF_INPUT));
  }
}
