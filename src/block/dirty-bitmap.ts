// Dirty bitmaps of a block node: one bit for every `granularity` bytes, set when something in them was written. Bits lie in
// the order that qcow2 stores (bit i is bit i & 7 of byte i >> 3) and in pieces that exist only where a bit is set, so that
// the bitmap of an empty disk costs nothing. The list of a node's bitmaps is node-bitmaps.ts; storing them is the format's.
import { assert } from '../base/assert.ts';
import { ErrnoFailure } from '../base/errno.ts';
import { Failure } from '../base/failure.ts';
import type { DirtyObserver } from './node.ts';

export const BITMAP_NAME_MAX = 1023;

const PIECE_BYTES = 4096;
const PIECE_BITS = PIECE_BYTES * 8;

/** A set of bits with fast runs; positions are bit numbers. */
export class BitSet {
  readonly #pieces: (Uint8Array | undefined)[] = [];
  #size: number;
  #count = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count;
  }

  has(bit: number): boolean {
    const piece = this.#pieces[Math.floor(bit / PIECE_BITS)];
    if (piece === undefined) return false;
    const within = bit % PIECE_BITS;
    return (piece[within >> 3]! & (1 << (within & 7))) !== 0;
  }

  /** Sets or clears the bits from `start` up to and without `end`; what lies beyond the size is ignored. */
  assign(start: number, end: number, value: boolean): void {
    const stop = Math.min(end, this.#size);
    for (let bit = Math.max(0, start); bit < stop; ) {
      const index = Math.floor(bit / PIECE_BITS);
      const pieceEnd = Math.min(stop, (index + 1) * PIECE_BITS);
      this.#assignInPiece(index, bit - index * PIECE_BITS, pieceEnd - index * PIECE_BITS, value);
      bit = pieceEnd;
    }
  }

  #assignInPiece(index: number, start: number, end: number, value: boolean): void {
    const old = this.#pieces[index];
    if (old === undefined && !value) return;
    if (!value && old !== undefined && start === 0 && end === PIECE_BITS) {
      this.#count -= countBits(old);
      this.#pieces[index] = undefined;
      return;
    }
    const piece = old ?? (this.#pieces[index] = new Uint8Array(PIECE_BYTES));
    let bit = start;
    for (; bit < end && (bit & 7) !== 0; bit++) this.#assignBit(piece, bit, value);
    const wholeEnd = end - (end & 7);
    if (bit < wholeEnd) {
      const whole = piece.subarray(bit >> 3, wholeEnd >> 3);
      this.#count += (value ? wholeEnd - bit : 0) - countBits(whole);
      whole.fill(value ? 0xff : 0);
      bit = wholeEnd;
    }
    for (; bit < end; bit++) this.#assignBit(piece, bit, value);
  }

  #assignBit(piece: Uint8Array, bit: number, value: boolean): void {
    const mask = 1 << (bit & 7);
    const byte = piece[bit >> 3]!;
    if (((byte & mask) !== 0) === value) return;
    piece[bit >> 3] = byte ^ mask;
    this.#count += value ? 1 : -1;
  }

  /** The first bit of the given value at or after `start` and before `end`; `end` when there is none. */
  next(value: boolean, start: number, end: number): number {
    const stop = Math.min(end, this.#size);
    for (let bit = start; bit < stop; ) {
      const index = Math.floor(bit / PIECE_BITS);
      const piece = this.#pieces[index];
      const pieceEnd = (index + 1) * PIECE_BITS;
      if (piece !== undefined) {
        const found = nextInPiece(piece, bit - index * PIECE_BITS, value);
        if (found < PIECE_BITS) return Math.min(end, index * PIECE_BITS + found);
      } else if (!value) return bit;
      bit = pieceEnd;
    }
    return value ? end : Math.min(end, Math.max(start, stop));
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#count = 0;
  }

  /** New bits are clear; cut-off ones are forgotten. */
  resize(size: number): void {
    if (size < this.#size) this.assign(size, this.#size, false);
    this.#size = size;
  }

  /** The bytes of the stored form from byte `offset` on; beyond the end they are zero. */
  copyTo(offset: number, target: Uint8Array): void {
    target.fill(0);
    for (let at = 0; at < target.length; ) {
      const index = Math.floor((offset + at) / PIECE_BYTES);
      const within = offset + at - index * PIECE_BYTES;
      const count = Math.min(target.length - at, PIECE_BYTES - within);
      const piece = this.#pieces[index];
      if (piece !== undefined) target.set(piece.subarray(within, within + count), at);
      at += count;
    }
  }

  /** Replaces the bytes of the stored form from byte `offset` on; bits beyond the size are ignored. */
  copyFrom(offset: number, source: Uint8Array): void {
    for (let at = 0; at < source.length; ) {
      const index = Math.floor((offset + at) / PIECE_BYTES);
      const within = offset + at - index * PIECE_BYTES;
      const count = Math.min(source.length - at, PIECE_BYTES - within);
      this.#replace(index, within, source.subarray(at, at + count));
      at += count;
    }
    const beyond = (offset + source.length) * 8;
    if (beyond > this.#size) this.#cutTail(beyond);
  }

  #replace(index: number, within: number, bytes: Uint8Array): void {
    let piece = this.#pieces[index];
    if (piece === undefined) {
      if (bytes.every((byte) => byte === 0)) return;
      piece = this.#pieces[index] = new Uint8Array(PIECE_BYTES);
    }
    const part = piece.subarray(within, within + bytes.length);
    this.#count += countBits(bytes) - countBits(part);
    part.set(bytes);
  }

  #cutTail(end: number): void {
    const size = this.#size;
    this.#size = end;
    this.assign(size, end, false);
    this.#size = size;
  }
}

function nextInPiece(piece: Uint8Array, start: number, value: boolean): number {
  const skipped = value ? 0 : 0xff;
  let bit = start;
  while (bit < PIECE_BITS) {
    const byte = piece[bit >> 3]!;
    if ((bit & 7) === 0 && byte === skipped) {
      bit += 8;
      continue;
    }
    if (((byte >> (bit & 7)) & 1) === (value ? 1 : 0)) return bit;
    bit++;
  }
  return PIECE_BITS;
}

const BITS_IN_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (let index = 0; index < bytes.length; index++) count += BITS_IN_BYTE[bytes[index]!]!;
  return count;
}

export interface DirtyArea {
  readonly offset: number;
  readonly count: number;
}

/** Which uses of a bitmap `checkUsable` lets pass. */
export interface AllowedStates {
  readonly readOnly?: boolean;
  readonly inconsistent?: boolean;
}

export interface DirtyBitmapIdentity {
  /** Undefined for bitmaps of jobs, which nobody else sees. */
  readonly name?: string | undefined;
  /** A power of two of at least 512. */
  readonly granularity: number;
  /** Bytes of the node. */
  readonly size: number;
}

export class DirtyBitmap implements DirtyObserver {
  readonly name: string | undefined;
  readonly granularity: number;
  /** New writes are marked. */
  enabled = true;
  /** An operation uses it; nobody else may. */
  busy = false;
  /** The image it is stored in cannot be written. */
  readOnly = false;
  /** Its image was not closed properly after a change: of no use but to be removed. */
  inconsistent = false;
  /** Stored in the image when that is closed. */
  persistent = false;
  #size: number;
  #bits: BitSet;

  constructor({ name, granularity, size }: DirtyBitmapIdentity) {
    assert(granularity >= 1 && Number.isInteger(Math.log2(granularity)), 'a granularity is a power of two');
    this.name = name;
    this.granularity = granularity;
    this.#size = size;
    this.#bits = new BitSet(Math.ceil(size / granularity));
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of dirty granules; the last one counts whole. */
  get dirtyBytes(): number {
    return this.#bits.count * this.granularity;
  }

  /** From the node: something was written. */
  mark(offset: number, count: number): void {
    if (this.enabled) this.setDirty(offset, count);
  }

  setDirty(offset: number, count: number): void {
    if (count <= 0) return;
    this.#bits.assign(Math.floor(offset / this.granularity), Math.ceil((offset + count) / this.granularity), true);
  }

  /** Granules that the range touches become clean. */
  setClean(offset: number, count: number): void {
    if (count <= 0) return;
    this.#bits.assign(Math.floor(offset / this.granularity), Math.ceil((offset + count) / this.granularity), false);
  }

  clear(): void {
    this.#bits.clear();
  }

  isDirty(offset: number): boolean {
    return this.#bits.has(Math.floor(offset / this.granularity));
  }

  /** The first dirty byte at or after `start`; undefined when there is none before `end`. */
  nextDirty(start: number, end = this.#size): number | undefined {
    return this.#next(true, start, end);
  }

  nextClean(start: number, end = this.#size): number | undefined {
    return this.#next(false, start, end);
  }

  #next(value: boolean, start: number, end: number): number | undefined {
    const stop = Math.min(end, this.#size);
    if (start >= stop) return undefined;
    const endBit = Math.ceil(stop / this.granularity);
    const bit = this.#bits.next(value, Math.floor(start / this.granularity), endBit);
    const offset = Math.max(start, bit * this.granularity);
    return bit >= endBit || offset >= stop ? undefined : offset;
  }

  /** The next run of dirty bytes, at most `limit` long; undefined when there is none before `end`. */
  nextDirtyArea(start: number, end = this.#size, limit = Infinity): DirtyArea | undefined {
    const offset = this.nextDirty(start, end);
    if (offset === undefined) return undefined;
    const stop = Math.min(end, this.#size, offset + limit);
    const clean = this.nextClean(offset, stop) ?? stop;
    return { offset, count: clean - offset };
  }

  /** All runs of dirty bytes in ascending order. */
  *dirtyAreas(): Generator<DirtyArea> {
    for (let area = this.nextDirtyArea(0); area !== undefined; area = this.nextDirtyArea(area.offset + area.count)) yield area;
  }

  /** Everything dirty in `source` is dirty here too. */
  merge(source: DirtyBitmap): void {
    if (source.size !== this.#size) {
      throw new ErrnoFailure(
        'EINVAL',
        `Bitmaps are of different sizes (destination size is ${this.#size}, source size is ${source.size}) and can't be merged`,
      );
    }
    for (const { offset, count } of source.dirtyAreas()) this.setDirty(offset, count);
  }

  resize(size: number): void {
    this.#size = size;
    this.#bits.resize(Math.ceil(size / this.granularity));
  }

  /** Bytes of the whole bitmap as qcow2 stores it: in whole 64-bit words. */
  get storedBytes(): number {
    return Math.ceil(this.#bits.size / 64) * 8;
  }

  /** The stored form from byte `offset` of it. */
  copyTo(offset: number, target: Uint8Array): void {
    this.#bits.copyTo(offset, target);
  }

  copyFrom(offset: number, source: Uint8Array): void {
    this.#bits.copyFrom(offset, source);
  }

  /** Whether the stored form has a bit set in these bytes. */
  hasBitsIn(offset: number, count: number): boolean {
    return this.#bits.next(true, offset * 8, (offset + count) * 8) < Math.min((offset + count) * 8, this.#bits.size);
  }

  /** Sets the bits that stored bytes stand for. */
  fillStored(offset: number, count: number): void {
    this.#bits.assign(offset * 8, (offset + count) * 8, true);
  }

  /** Failure when somebody else uses it, or when it cannot be used that way. */
  checkUsable(allowed: AllowedStates = {}): void {
    if (this.busy) throw new ErrnoFailure('EBUSY', `Bitmap '${this.name}' is currently in use by another operation and cannot be used`);
    if (this.readOnly && !allowed.readOnly) throw new ErrnoFailure('EPERM', `Bitmap '${this.name}' is readonly and cannot be modified`);
    if (this.inconsistent && !allowed.inconsistent) {
      throw new InconsistentBitmapFailure(`Bitmap '${this.name}' is inconsistent and cannot be used`);
    }
  }
}

/** An operating error with a second line of advice. */
export class InconsistentBitmapFailure extends Failure {
  readonly hint = 'Try block-dirty-bitmap-remove to delete this bitmap from disk';

  constructor(message: string) {
    super('invalid-argument', message);
  }
}
