// A bounded queue of bytes that can be part of a saved state. The bound is part of the type: nothing can exceed it.
import { assert } from '../base/assert.ts';

export class ByteFifo {
  readonly capacity: number;
  readonly #ring: Uint8Array;
  #head = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#ring = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get room(): number {
    return this.capacity - this.#length;
  }

  /** False when it is full: the byte is not taken. */
  push(byte: number): boolean {
    if (this.#length === this.capacity) return false;
    this.#ring[(this.#head + this.#length) % this.capacity] = byte;
    this.#length++;
    return true;
  }

  /** The oldest byte, or -1 when empty. */
  pop(): number {
    if (this.#length === 0) return -1;
    const byte = this.#ring[this.#head]!;
    this.#head = (this.#head + 1) % this.capacity;
    this.#length--;
    return byte;
  }

  /** The byte at `index` from the oldest, or -1. */
  peek(index = 0): number {
    return index < this.#length ? this.#ring[(this.#head + index) % this.capacity]! : -1;
  }

  clear(): void {
    this.#head = 0;
    this.#length = 0;
  }

  toBytes(): Uint8Array {
    return Uint8Array.from({ length: this.#length }, (_, index) => this.peek(index));
  }

  static from(capacity: number, bytes: Uint8Array): ByteFifo {
    assert(bytes.length <= capacity, 'a fifo is not filled beyond its bound');
    const fifo = new ByteFifo(capacity);
    for (const byte of bytes) fifo.push(byte);
    return fifo;
  }
}
