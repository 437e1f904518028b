// The block allocation table of a VHDX file ([MS-VHDX] 2.5): for each chunk of blocks their entries and one for a bitmap that
// only differencing disks use. And the check that what it points to lies in the file.
import type { Edge } from '../node.ts';
import type { EntryFormat } from '../image-format/entry-table.ts';
import { BLOCK, LOGICAL_SECTOR_BYTES, MIB } from './layout.ts';

/** An entry as a number: the offset in MiB times 8, and the state. Reserved bits are not kept. */
export const BLOCK_ENTRY: EntryFormat = {
  sizeBytes: 8,
  get(view, at) {
    const low = view.getUint32(at, true);
    return (view.getUint32(at + 4, true) * 4096 + (low >>> 20)) * 8 + (low & 7);
  },
  set(view, at, value) {
    const offsetMib = Math.floor(value / 8);
    view.setUint32(at, (((offsetMib % 4096) << 20) | (value % 8)) >>> 0, true);
    view.setUint32(at + 4, Math.floor(offsetMib / 4096), true);
  },
};

export const blockEntry = (offset: number, state: number): number => (offset / MIB) * 8 + state;
export const stateOf = (entry: number): number => entry % 8;
export const offsetOf = (entry: number): number => Math.floor(entry / 8) * MIB;

export interface BlockGeometry {
  readonly size: number;
  readonly blockSize: number;
}

export const blockCount = ({ size, blockSize }: BlockGeometry): number => Math.ceil(size / blockSize);
/** Blocks whose sectors fill one bitmap block of 1 MiB. */
export const chunkRatio = ({ blockSize }: BlockGeometry): number => (2 ** 23 * LOGICAL_SECTOR_BYTES) / blockSize;
export const entryIndex = (block: number, ratio: number): number => block + Math.floor(block / ratio);

/** An empty disk counts as if its last block were the last of 2^32: that is how images of no size are made and read. */
export function entryCount(geometry: BlockGeometry): number {
  const blocks = blockCount(geometry);
  return blocks + Math.floor(((blocks - 1) >>> 0) / chunkRatio(geometry));
}

const MAX_OFFSET = 2n ** 63n - 1n;
const PART_BYTES = MIB;

export interface TableToCheck extends BlockGeometry {
  readonly file: Edge;
  readonly offset: number;
}

/** Called for every entry of a present block, with its offset as the file says it. */
export type VisitBlock = (index: number, offset: bigint, lengthBytes: number) => void;

export async function visitPresentBlocks(table: TableToCheck, visit: VisitBlock): Promise<void> {
  const { file, offset, size, blockSize } = table;
  const count = entryCount(table);
  const inFile = Math.min(8 * count, Math.max(0, file.size - offset));
  const ratio = chunkRatio(table);
  for (let start = 0; start < inFile; start += PART_BYTES) {
    const bytes = await file.readBytes(offset + start, Math.min(PART_BYTES, inFile - start));
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      if ((bytes[at]! & 7) !== BLOCK.FULLY_PRESENT) continue;
      const index = (start + at) / 8;
      if (index % (ratio + 1) === ratio) continue;
      const block = index - Math.floor(index / (ratio + 1));
      if (block * blockSize >= size) continue;
      visit(index, view.getBigUint64(at, true) & ~0xfffffn, Math.min(blockSize, size - block * blockSize));
    }
  }
}

/** The lines that say what is wrong with a block's place. */
export function placeErrors(index: number, offset: bigint, lengthBytes: number, fileSize: number): string[] {
  const errors: string[] = [];
  const truncated = `points after end of file (${fileSize}). Image has probably been truncated.`;
  if (offset > MAX_OFFSET - BigInt(lengthBytes)) errors.push(`VHDX BAT entry ${index} offset overflow.`);
  if (offset >= BigInt(fileSize)) errors.push(`VHDX BAT entry ${index} start offset ${offset} ${truncated}`);
  const end = offset + BigInt(lengthBytes) - 1n;
  if (errors.length === 0 && end >= BigInt(fileSize)) errors.push(`VHDX BAT entry ${index} end offset ${end} ${truncated}`);
  return errors;
}
