// The way in, the same for every back end: bytes from outside wait here until the front end has room.
import type { CharEvent, CharFrontEnd } from '../ports/char-backend.ts';
import { ByteQueue } from './byte-queue.ts';

export interface InputFlow {
  /** The queue is full: stop reading. */
  pause(): void;
  /** There is room again. */
  resume(): void;
}

const CAPACITY_BYTES = 64 * 1024;

export class InputQueue {
  readonly #queue = new ByteQueue(CAPACITY_BYTES);
  readonly #flow: InputFlow;
  #overflow: Uint8Array = new Uint8Array(0);
  #delivering = false;
  frontEnd: CharFrontEnd | undefined;

  constructor(flow: InputFlow) {
    this.#flow = flow;
  }

  get empty(): boolean {
    return this.#queue.count === 0;
  }

  /** Takes everything; asks the source to pause when it is more than fits. */
  push(bytes: Uint8Array): void {
    const waiting = this.#overflow.length === 0 ? bytes : Uint8Array.from([...this.#overflow, ...bytes]);
    this.#overflow = waiting.slice(this.#queue.push(waiting));
    if (this.#overflow.length > 0) this.#flow.pause();
    this.deliver();
  }

  /** Gives the front end what it can take. Re-entrant calls (a device that reads in `receive`) do nothing. */
  deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (this.#queue.count > 0 && this.frontEnd !== undefined) {
        const room = this.frontEnd.canReceive();
        if (room <= 0) break;
        this.frontEnd.receive(this.#queue.shift(room));
        this.#refill();
      }
    } finally {
      this.#delivering = false;
    }
  }

  event(event: CharEvent): void {
    this.frontEnd?.event?.(event);
  }

  #refill(): void {
    if (this.#overflow.length === 0) return;
    this.#overflow = this.#overflow.slice(this.#queue.push(this.#overflow));
    if (this.#overflow.length === 0) this.#flow.resume();
  }
}
