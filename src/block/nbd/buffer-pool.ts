// Buffers for the data of requests, used again: fresh ones of a few hundred KiB cost more than the copy that goes through them.
// Sizes are rounded up to powers of two and room for a header; what would be too much to keep is left to the collector.

const SMALLEST = 4096;
const HEADER_ROOM = 64;

export class BufferPool {
  readonly #free = new Map<number, Uint8Array[]>();
  readonly #keptBytesMax: number;
  #keptBytes = 0;

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  /** At least `count` bytes, with anything in them. */
  take(count: number): Uint8Array {
    const size = roundedSize(count);
    const buffer = this.#free.get(size)?.pop();
    if (buffer === undefined) return new Uint8Array(size);
    this.#keptBytes -= size;
    return buffer;
  }

  /** Gives back what `take` returned; nobody may look at it any more. */
  give(buffer: Uint8Array): void {
    const size = buffer.length;
    if (this.#keptBytes + size > this.#keptBytesMax) return;
    this.#keptBytes += size;
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [buffer]);
    else list.push(buffer);
  }
}

const roundedSize = (count: number): number => HEADER_ROOM + 2 ** Math.ceil(Math.log2(Math.max(SMALLEST, count - HEADER_ROOM)));
