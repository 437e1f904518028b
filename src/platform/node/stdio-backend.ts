// The character back end of standard input and output. A terminal is put into raw mode, so that every key reaches the
// guest. The end of standard input is not an error: the guest goes on without input.
import { InputQueue } from '../../chardev/input-queue.ts';
import type { CharBackend, CharFrontEnd } from '../../ports/char-backend.ts';
import { DescriptorWriter } from './descriptor-writer.ts';
import { makeTerminalRaw, restoreTerminal, suspendProcess } from './terminal.ts';

const STDOUT = 1;

/** Keys that a terminal in cooked mode turns into signals. */
const SIGNAL_KEYS: Readonly<Record<number, () => void>> = {
  0x03: () => process.kill(process.pid, 'SIGINT'),
  0x1a: suspendProcess,
  0x1c: () => process.kill(process.pid, 'SIGQUIT'),
};

export class StdioBackend implements CharBackend {
  readonly #input: InputQueue;
  readonly #output: DescriptorWriter;
  readonly #signal: boolean;
  readonly #onData = (bytes: Buffer): void => this.#receive(bytes);
  readonly #flushAtExit = (): void => this.#output.flushSync();
  #ended = false;

  /** `signal`: the terminal's signal keys act on this process instead of going to the guest. */
  constructor({ signal }: { readonly signal: boolean }) {
    this.#signal = signal;
    this.#output = new DescriptorWriter(STDOUT, () => this.#input.frontEnd?.writable?.());
    this.#input = new InputQueue({ pause: () => process.stdin.pause(), resume: () => process.stdin.resume() });
    process.on('exit', this.#flushAtExit);
  }

  connect(frontEnd: CharFrontEnd | undefined): void {
    const first = this.#input.frontEnd === undefined;
    this.#input.frontEnd = frontEnd;
    if (frontEnd === undefined) return;
    if (first) this.#listen();
    frontEnd.event?.('opened');
    this.#input.deliver();
  }

  write(bytes: Uint8Array): number {
    return this.#output.push(bytes);
  }

  acceptInput(): void {
    this.#input.deliver();
  }

  async close(): Promise<void> {
    process.stdin.off('data', this.#onData).pause();
    restoreTerminal();
    await this.#output.flush();
    process.off('exit', this.#flushAtExit);
  }

  /** Standard input has come to its end, and the guest has it all. */
  get drained(): boolean {
    return this.#ended && this.#input.empty;
  }

  #listen(): void {
    makeTerminalRaw();
    process.stdin.on('data', this.#onData);
    process.stdin.on('end', () => (this.#ended = true));
    process.stdin.on('error', () => (this.#ended = true)); // a terminal that has gone away
  }

  #receive(bytes: Buffer): void {
    if (!this.#signal || !process.stdin.isTTY) return this.#input.push(bytes);
    for (const byte of bytes) SIGNAL_KEYS[byte]?.();
    this.#input.push(bytes.filter((byte) => SIGNAL_KEYS[byte] === undefined));
  }
}
