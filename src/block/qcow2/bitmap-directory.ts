// The bitmap directory and the bitmap tables of a qcow2 image as bytes: decoding with every check, and encoding.
// Specification: qcow2.txt, "Bitmaps". What bitmaps do is bitmaps.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import { be16, be32, be64, layout, u8 } from '../../struct/layout.ts';
import type { Edge } from '../node.ts';
import type { Qcow2Header } from './header.ts';
import { bytesText } from './snapshot-table.ts';

export const BITMAP_FLAG = { IN_USE: 1, AUTO: 2 } as const;
const RESERVED_FLAGS = 0xffff_fffc;
const DIRTY_TRACKING = 1;

export const BITMAP_LIMIT = {
  COUNT: 65535,
  DIRECTORY_BYTES: 65535 * 1024,
  /** Entries of one bitmap's table. */
  TABLE_ENTRIES: 0x800_0000,
  /** Bytes of one bitmap's data. */
  STORED_BYTES: 0x2000_0000,
  /** Entries of the tables of all bitmaps; the reference has no such bound, and no memory for more. */
  ALL_TABLE_ENTRIES: 0x800_0000,
  MIN_GRANULARITY_BITS: 9,
  MAX_GRANULARITY_BITS: 31,
  NAME_BYTES: 1023,
} as const;

const entryLayout = layout('qcow2 bitmap directory entry', {
  tableOffset: be64(0),
  tableSize: be32(8),
  flags: be32(12),
  type: u8(16),
  granularityBits: u8(17),
  nameSize: be16(18),
  extraDataSize: be32(20),
});

export interface StoredBitmap {
  tableOffset: number;
  /** Entries of its table. */
  tableSize: number;
  flags: number;
  readonly granularityBits: number;
  readonly nameBytes: Uint8Array;
  readonly name: string;
}

const invalid = (message: string): ErrnoFailure => new ErrnoFailure('EINVAL', message);
const BROKEN = 'Broken bitmap directory';

/** The directory that the header names. Failure in the reference's words. */
export async function readBitmapDirectory(file: Edge, header: Qcow2Header): Promise<StoredBitmap[]> {
  const extension = header.bitmaps;
  if (extension === undefined) return [];
  const { nbBitmaps, directorySize, directoryOffset } = extension;
  if (directorySize === 0) throw invalid('Requested bitmap directory size is zero');
  if (directorySize > BITMAP_LIMIT.DIRECTORY_BYTES) throw invalid('Requested bitmap directory size is too big');
  const bytes = await file.readBytes(directoryOffset, directorySize);
  const bitmaps: StoredBitmap[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + entryLayout.sizeBytes > bytes.length) throw invalid(BROKEN);
    if (bitmaps.length >= nbBitmaps) throw invalid('More bitmaps found than specified in header extension');
    const entry = entryLayout.decode(bytes, at);
    const nameAt = at + entryLayout.sizeBytes + entry.extraDataSize;
    const end = Math.ceil((nameAt + entry.nameSize) / 8) * 8;
    if (end > bytes.length) throw invalid(BROKEN);
    if (entry.extraDataSize !== 0) throw invalid('Bitmap extra data is not supported');
    const nameBytes = bytes.slice(nameAt, nameAt + entry.nameSize);
    const name = bytesText(nameBytes);
    if (!isAcceptable(entry, header)) throw invalid(`Bitmap '${name}' doesn't satisfy the constraints`);
    const { tableSize, flags, granularityBits } = entry;
    bitmaps.push({ tableOffset: Number(entry.tableOffset), tableSize, flags, granularityBits, nameBytes, name });
    at = end;
  }
  const tableEntries = bitmaps.reduce((sum, { tableSize }) => sum + tableSize, 0);
  if (tableEntries > BITMAP_LIMIT.ALL_TABLE_ENTRIES) throw invalid('Bitmap tables are too large');
  if (bitmaps.length !== nbBitmaps) throw invalid('Less bitmaps found than specified in header extension');
  return bitmaps;
}

function isAcceptable(entry: ReturnType<typeof entryLayout.decode>, header: Qcow2Header): boolean {
  const clusterSize = 2 ** header.clusterBits;
  if (entry.tableSize === 0 || entry.tableSize > BITMAP_LIMIT.TABLE_ENTRIES) return false;
  if (entry.tableOffset === 0n || entry.tableOffset % BigInt(clusterSize) !== 0n) return false;
  if (entry.tableOffset > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  if (entry.granularityBits > BITMAP_LIMIT.MAX_GRANULARITY_BITS || entry.granularityBits < BITMAP_LIMIT.MIN_GRANULARITY_BITS) return false;
  if ((entry.flags & RESERVED_FLAGS) !== 0 || entry.type !== DIRTY_TRACKING) return false;
  if (entry.nameSize === 0 || entry.nameSize > BITMAP_LIMIT.NAME_BYTES) return false;
  const storedBytes = entry.tableSize * clusterSize;
  if (storedBytes > BITMAP_LIMIT.STORED_BYTES) return false;
  // One that was not closed properly may be of an older size.
  return (entry.flags & BITMAP_FLAG.IN_USE) !== 0 || header.size <= storedBytes * 8 * 2 ** entry.granularityBits;
}

/** ErrnoFailure EINVAL when it is more than the format allows. */
export function encodeBitmapDirectory(bitmaps: readonly StoredBitmap[]): Uint8Array {
  const sizes = bitmaps.map(({ nameBytes }) => Math.ceil((entryLayout.sizeBytes + nameBytes.length) / 8) * 8);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total > BITMAP_LIMIT.DIRECTORY_BYTES) throw invalid('Bitmap directory is too large');
  const directory = new Uint8Array(total);
  let at = 0;
  bitmaps.forEach(({ tableOffset, tableSize, flags, granularityBits, nameBytes }, index) => {
    entryLayout.write(
      directory,
      {
        tableOffset: BigInt(tableOffset),
        tableSize,
        flags,
        type: DIRTY_TRACKING,
        granularityBits,
        nameSize: nameBytes.length,
        extraDataSize: 0,
      },
      at,
    );
    directory.set(nameBytes, at + entryLayout.sizeBytes);
    at += sizes[index]!;
  });
  return directory;
}

/** Bytes that one more bitmap of this name adds to the directory. */
export const directoryEntryBytes = (nameBytes: number): number => Math.ceil((entryLayout.sizeBytes + nameBytes) / 8) * 8;

/** A table entry: a cluster's offset, or 0 with all its bits clear, or -1 with all of them set. */
export type TableEntry = number;
export const ALL_ONES: TableEntry = -1;

/** The entries of a bitmap's table; undefined stands for a broken one. */
export function decodeTableEntry(view: DataView, index: number, clusterSize: number): TableEntry | undefined {
  const upper = view.getUint32(index * 8);
  const lower = view.getUint32(index * 8 + 4);
  if ((upper & 0xff00_0000) !== 0 || (lower & 0x1fe) !== 0) return undefined;
  const offset = upper * 2 ** 32 + ((lower & 0xffff_fe00) >>> 0);
  if (offset === 0) return lower & 1 ? ALL_ONES : 0;
  return lower & 1 || offset % clusterSize !== 0 ? undefined : offset;
}

/** A bitmap's table. Failure when an entry is broken. */
export async function readBitmapTable(file: Edge, bitmap: StoredBitmap, clusterSize: number): Promise<Float64Array> {
  const bytes = await file.readBytes(bitmap.tableOffset, bitmap.tableSize * 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const table = new Float64Array(bitmap.tableSize);
  for (let index = 0; index < table.length; index++) {
    const entry = decodeTableEntry(view, index, clusterSize);
    if (entry === undefined) throw new ErrnoFailure('EINVAL');
    table[index] = entry;
  }
  return table;
}

export function encodeBitmapTable(table: Float64Array): Uint8Array {
  const bytes = new Uint8Array(table.length * 8);
  const view = new DataView(bytes.buffer);
  table.forEach((entry, index) => view.setBigUint64(index * 8, entry === ALL_ONES ? 1n : BigInt(entry)));
  return bytes;
}
