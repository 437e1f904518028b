// Buffers that are used again: copying a cluster for every write would otherwise allocate, zero and collect one each time.

const MAX_KEPT = 4;
/** Bigger ones are rare, and not worth the memory. */
const MAX_KEPT_BYTES = 2 << 20;

export class BufferPool {
  readonly #free: Uint8Array[] = [];

  /** `count` bytes with any contents. */
  take(count: number): Uint8Array {
    const index = this.#free.findIndex((buffer) => buffer.length >= count);
    if (index < 0) return new Uint8Array(count);
    const [buffer] = this.#free.splice(index, 1);
    return buffer!.length === count ? buffer! : buffer!.subarray(0, count);
  }

  /** Nobody uses the buffer any more. */
  give(buffer: Uint8Array): void {
    if (buffer.buffer.byteLength <= MAX_KEPT_BYTES && this.#free.length < MAX_KEPT) this.#free.push(new Uint8Array(buffer.buffer));
  }
}
