// A session of the human monitor on a character back end: greeting, prompt, one command a line.
import type { CharBackend, CharEvent, CharFrontEnd } from '../ports/char-backend.ts';
import { runHumanCommand, type MonitorTarget } from './human-commands.ts';
import { LineEditor } from './line-editor.ts';

const PROMPT = '(qemu) '; // what scripts that drive a monitor wait for
const INPUT_BYTES_MAX = 1024;

export class HumanMonitor implements CharFrontEnd {
  readonly #backend: CharBackend;
  readonly #target: MonitorTarget;
  readonly #editor: LineEditor;
  /** Text that the back end had no room for. Bounded: input is refused while there is any. */
  #unsent: Uint8Array = new Uint8Array(0);
  #greeted = false;
  /** A command takes its time; what is typed waits. */
  #isBusy = false;
  readonly #waiting: string[] = [];

  constructor(backend: CharBackend, target: MonitorTarget) {
    this.#backend = backend;
    this.#target = target;
    this.#editor = new LineEditor(PROMPT, { print: (text) => this.#print(text), line: (line) => this.#run(line) });
    backend.connect(this);
  }

  canReceive(): number {
    return this.#unsent.length > 0 || this.#isBusy ? 0 : INPUT_BYTES_MAX;
  }

  receive(bytes: Uint8Array): void {
    this.#editor.type(new TextDecoder('latin1').decode(bytes));
  }

  event(event: CharEvent): void {
    if (event !== 'opened' && event !== 'focus') return;
    if (!this.#greeted || event === 'opened') this.#print(`nandu ${this.#target.version} monitor - type 'help' for more information\r\n`);
    this.#greeted = true;
    this.#editor.showPrompt();
  }

  writable(): void {
    this.#unsent = this.#unsent.subarray(this.#backend.write(this.#unsent));
    if (this.#unsent.length === 0) this.#backend.acceptInput();
  }

  #run(line: string): void {
    if (this.#isBusy) {
      this.#waiting.push(line);
      return;
    }
    const answer = runHumanCommand(this.#target, line);
    if (typeof answer === 'string') {
      this.#finish(answer);
      return;
    }
    this.#isBusy = true;
    void answer.then((text) => {
      this.#isBusy = false;
      this.#finish(text);
      for (const next of this.#waiting.splice(0)) this.#run(next);
      this.#backend.acceptInput();
    });
  }

  #finish(answer: string): void {
    if (answer !== '') this.#print(`${answer.replaceAll('\n', '\r\n')}\r\n`);
    this.#editor.showPrompt();
  }

  #print(text: string): void {
    const bytes = new TextEncoder().encode(text);
    const waiting = this.#unsent.length === 0 ? bytes : Uint8Array.from([...this.#unsent, ...bytes]);
    this.#unsent = waiting.slice(this.#unsent.length === 0 ? this.#backend.write(waiting) : 0);
  }
}
