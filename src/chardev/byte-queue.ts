// A bounded queue of bytes: a ring in one array. Takes what fits and says how much that was.

export class ByteQueue {
  readonly #bytes: Uint8Array;
  #start = 0;
  #count = 0;

  constructor(capacityBytes: number) {
    this.#bytes = new Uint8Array(capacityBytes);
  }

  get count(): number {
    return this.#count;
  }

  get room(): number {
    return this.#bytes.length - this.#count;
  }

  /** The number of bytes taken. */
  push(source: Uint8Array): number {
    const taken = Math.min(source.length, this.room);
    const end = (this.#start + this.#count) % this.#bytes.length;
    const untilWrap = Math.min(taken, this.#bytes.length - end);
    this.#bytes.set(source.subarray(0, untilWrap), end);
    this.#bytes.set(source.subarray(untilWrap, taken), 0);
    this.#count += taken;
    return taken;
  }

  /** The oldest bytes, copied, at most `countMax`; they stay in the queue. */
  peek(countMax: number): Uint8Array {
    const target = new Uint8Array(Math.min(countMax, this.#count));
    const untilWrap = Math.min(target.length, this.#bytes.length - this.#start);
    target.set(this.#bytes.subarray(this.#start, this.#start + untilWrap));
    target.set(this.#bytes.subarray(0, target.length - untilWrap), untilWrap);
    return target;
  }

  /** Removes the oldest bytes. */
  drop(count: number): void {
    const dropped = Math.max(0, Math.min(count, this.#count));
    this.#start = (this.#start + dropped) % this.#bytes.length;
    this.#count -= dropped;
  }

  shift(countMax: number): Uint8Array {
    const target = this.peek(countMax);
    this.drop(target.length);
    return target;
  }
}
