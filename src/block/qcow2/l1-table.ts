// The active L1 table in memory, as it lies in the file. Changing an entry writes the sector of the table that holds it.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Edge } from '../node.ts';

/** Entries from the first place that says whether a table was copied; bits 9 to 55 are the offset. */
export const ENTRY_COPIED_HIGH = 0x80000000;
const OFFSET_HIGH_MASK = 0x00ffffff;
const SECTOR_ENTRIES = 512 / 8;

export class L1Table {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly length: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.length = bytes.length >> 3;
  }

  static async read(file: Edge, offset: number, entries: number): Promise<L1Table> {
    return new L1Table(entries === 0 ? new Uint8Array(0) : await file.readBytes(offset, entries * 8));
  }

  /** Host offset of the L2 table; 0 when there is none. Not checked for alignment. */
  offsetAt(index: number): number {
    return (this.view.getUint32(index * 8) & OFFSET_HIGH_MASK) * 2 ** 32 + ((this.view.getUint32(index * 8 + 4) & ~511) >>> 0);
  }

  /** The L2 table belongs to the active image alone. */
  isCopied(index: number): boolean {
    return this.view.getInt32(index * 8) < 0;
  }

  set(index: number, offset: number, copied: boolean): void {
    if (index >= this.length) throw new ErrnoFailure('EFBIG');
    this.view.setUint32(index * 8, Math.floor(offset / 2 ** 32) + (copied ? ENTRY_COPIED_HIGH : 0));
    this.view.setUint32(index * 8 + 4, offset % 2 ** 32);
  }

  /** A bigger table with the same beginning, or a shorter one. */
  resized(entries: number): L1Table {
    const bytes = new Uint8Array(entries * 8);
    bytes.set(this.bytes.subarray(0, Math.min(this.bytes.length, bytes.length)));
    return new L1Table(bytes);
  }

  /** The part of the table that is written when entry `index` changes. */
  sectorOf(index: number): { readonly start: number; readonly bytes: Uint8Array } {
    const first = index - (index % SECTOR_ENTRIES);
    return { start: first * 8, bytes: this.bytes.slice(first * 8, Math.min(this.length, first + SECTOR_ENTRIES) * 8) };
  }
}
