// The machine's console for programs: the other end of a serial port, with its text kept and awaited.
import { Failure } from '../base/failure.ts';
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';

/** Text kept for `text` and `waitFor`; the oldest is dropped beyond this. */
const TEXT_CHARACTERS_MAX = 4 * 1024 * 1024;
const ERROR_CHARACTERS_MAX = 400;

interface Waiter {
  readonly pattern: string | RegExp;
  readonly from: number;
  readonly resolve: (text: string) => void;
  readonly reject: (error: Failure) => void;
  readonly stopTimer: () => void;
}

/** Cancels by being called. */
export type TimeoutStarter = (ms: number, callback: () => void) => () => void;

export class MachineConsole {
  #frontEnd: CharFrontEnd | undefined;
  readonly #input: number[] = [];
  readonly #decoder = new TextDecoder();
  readonly #listeners = new Set<(bytes: Uint8Array) => void>();
  readonly #startTimeout: TimeoutStarter;
  #waiters: Waiter[] = [];
  #dropped = 0;
  #text = '';
  /** Where the last `waitFor` ended, counted from the first character ever. */
  #seen = 0;
  #closed = false;

  constructor(startTimeout: TimeoutStarter) {
    this.#startTimeout = startTimeout;
  }

  /** What the guest has written so far (at most the last 4 Mi characters). */
  get text(): string {
    return this.#text;
  }

  /** Types text or bytes on the guest's console. */
  write(data: string | Uint8Array): void {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    for (const byte of bytes) this.#input.push(byte);
    this.#deliver();
  }

  onData(listener: (bytes: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Resolves with the text up to and including the match, from where the last match ended. Rejects on time-out and at
   * the machine's end.
   */
  waitFor(pattern: string | RegExp, { timeoutMs = 60_000 }: { readonly timeoutMs?: number } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const what = typeof pattern === 'string' ? JSON.stringify(pattern) : String(pattern);
      const stopTimer = this.#startTimeout(timeoutMs, () => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(new Failure('limit', `the console did not show ${what} within ${timeoutMs} ms; ${this.#endText()}`));
      });
      const waiter: Waiter = { pattern, from: this.#seen, resolve, reject, stopTimer };
      this.#waiters.push(waiter);
      if (this.#closed) this.end();
      else this.#check();
    });
  }

  /** The machine has ended: nothing more will come. */
  end(): void {
    this.#closed = true;
    this.#check();
    for (const waiter of this.#waiters.splice(0)) {
      waiter.stopTimer();
      waiter.reject(new Failure('io', `the machine ended before its console showed ${String(waiter.pattern)}; ${this.#endText()}`));
    }
  }

  /** For errors. */
  #endText(): string {
    return `it ended with ${JSON.stringify(this.#text.slice(-ERROR_CHARACTERS_MAX))}`;
  }

  #check(): void {
    for (const waiter of [...this.#waiters]) {
      const start = Math.max(0, this.#seen - this.#dropped);
      const rest = this.#text.slice(start);
      const found = typeof waiter.pattern === 'string' ? rest.indexOf(waiter.pattern) : rest.search(waiter.pattern);
      if (found < 0) continue;
      const length = typeof waiter.pattern === 'string' ? waiter.pattern.length : (waiter.pattern.exec(rest)?.[0].length ?? 0);
      this.#seen = this.#dropped + start + found + length;
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      waiter.stopTimer();
      waiter.resolve(rest.slice(0, found + length));
    }
  }

  /** The back end of the guest's serial port. */
  readonly backend: CharBackend = {
    connect: (frontEnd) => {
      this.#frontEnd = frontEnd;
      frontEnd?.event?.('opened');
      this.#deliver();
    },
    write: (bytes) => this.#receive(bytes),
    acceptInput: () => this.#deliver(),
    close: () => Promise.resolve(),
  };

  #receive(bytes: Uint8Array): number {
    for (const listener of this.#listeners) listener(bytes);
    this.#text += this.#decoder.decode(bytes, { stream: true });
    const surplus = this.#text.length - TEXT_CHARACTERS_MAX;
    if (surplus > TEXT_CHARACTERS_MAX / 4) {
      this.#text = this.#text.slice(surplus);
      this.#dropped += surplus;
    }
    if (this.#waiters.length > 0) this.#check();
    return bytes.length;
  }

  #deliver(): void {
    const room = this.#frontEnd?.canReceive() ?? 0;
    if (room <= 0 || this.#input.length === 0) return;
    this.#frontEnd!.receive(Uint8Array.from(this.#input.splice(0, room)));
  }
}
