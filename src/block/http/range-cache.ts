// The ranges that were fetched last, each with what was read ahead of it. Requests for what is on its way wait for that instead
// of asking again.
const KEPT_MAX = 8;
/** Bigger ones are not kept: nobody reads them again. */
const KEPT_BYTES_MAX = 4 << 20;

interface Range {
  readonly start: number;
  readonly end: number;
  readonly bytes: Promise<Uint8Array>;
}

export type FetchRange = (start: number, end: number) => Promise<Uint8Array>;

export class RangeCache {
  readonly #fetch: FetchRange;
  readonly #size: number;
  readonly #readahead: number;
  /** The oldest first. */
  #ranges: Range[] = [];

  constructor(fetch: FetchRange, size: number, readahead: number) {
    this.#fetch = fetch;
    this.#size = size;
    this.#readahead = readahead;
  }

  /** What lies beyond the end reads as zeroes. */
  async read(offset: number, target: Uint8Array): Promise<void> {
    const end = Math.min(this.#size, offset + target.length);
    target.fill(0, Math.max(0, end - offset));
    if (offset >= end) return;
    const range = this.#ranges.find((known) => known.start <= offset && end <= known.end) ?? this.#begin(offset, end);
    const bytes = await range.bytes;
    target.set(bytes.subarray(offset - range.start, end - range.start));
  }

  #begin(start: number, wanted: number): Range {
    const end = Math.min(this.#size, wanted + this.#readahead);
    const range: Range = { start, end, bytes: this.#fetch(start, end) };
    if (end - start > KEPT_BYTES_MAX) return range;
    this.#ranges.push(range);
    if (this.#ranges.length > KEPT_MAX) this.#ranges.shift();
    range.bytes.catch(() => (this.#ranges = this.#ranges.filter((known) => known !== range)));
    return range;
  }

  clear(): void {
    this.#ranges = [];
  }
}
