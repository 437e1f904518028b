// Finds what of a buffer need not be written because it is zero: runs of data and of zeroes, where zeroes count only in
// whole blocks and only when there are enough of them. `-S` of convert.
import { isZero } from '../../base/zero.ts';

/** Zeroes are first looked for in pieces of this size: most buffers are all one or the other. */
const COARSE_BYTES = 65536;

export interface SparseRule {
  /** So many zero bytes in a row make a hole, a multiple of 512; at least one block. */
  readonly minBytes: number;
  /** Data begins and ends at multiples of this power of two, counted in the image. */
  readonly blockBytes: number;
}

/**
 * Calls `run` for each piece of `buffer`, in order and without gaps. `offset` is where the buffer lies in the image. Zeroes at
 * the beginning count from one block on; between data they must reach `minBytes`.
 */
export function forEachRun(
  buffer: Uint8Array,
  offset: number,
  { minBytes, blockBytes }: SparseRule,
  run: (start: number, end: number, isData: boolean) => void,
): void {
  const { length } = buffer;
  let start = 0;
  while (start < length) {
    const zeroEnd = endOfZeroes(buffer, offset, start, blockBytes);
    if (zeroEnd > start) run(start, zeroEnd, false);
    if (zeroEnd === length) return;
    start = endOfData(buffer, offset, zeroEnd, blockBytes, minBytes);
    run(zeroEnd, start, true);
  }
}

/** Where the zero blocks that begin at `start` end. */
function endOfZeroes(buffer: Uint8Array, offset: number, start: number, blockBytes: number): number {
  let at = start;
  while (at + COARSE_BYTES <= buffer.length && isZero(buffer, at, at + COARSE_BYTES)) at += COARSE_BYTES;
  while (at < buffer.length) {
    const end = blockEnd(buffer, offset, at, blockBytes);
    if (!isZero(buffer, at, end)) return at;
    at = end;
  }
  return at;
}

/** Where the data that begins at `start` ends: before enough zeroes, or with the buffer. */
function endOfData(buffer: Uint8Array, offset: number, start: number, blockBytes: number, minBytes: number): number {
  const { length } = buffer;
  let at = start;
  for (let end = blockEnd(buffer, offset, at, blockBytes); ; end = length - at < blockBytes ? length : at + blockBytes) {
    // The first byte of a block of data is seldom zero.
    if (buffer[at] === 0 && isZero(buffer, at, end)) {
      end = endOfZeroes(buffer, offset, end, blockBytes);
      if (end - at >= minBytes) return at;
    }
    if (end === length) return length;
    at = end;
  }
}

const blockEnd = (buffer: Uint8Array, offset: number, at: number, blockBytes: number): number =>
  Math.min(buffer.length, at + blockBytes - ((offset + at) % blockBytes));
