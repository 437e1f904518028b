// What the kill test writes: blocks whose sectors name the write that they are from, so that each can be judged alone.
import { Prng } from '../../src/base/prng.ts';

export const SECTOR_BYTES = 512;
export const BLOCK_BYTES = 4096;
const MAGIC = 0x6e64_6b31;

/** Where write number `sequence` goes: all over the image, so that clusters are allocated all the time. */
export const blockOf = (sequence: number, blocks: number): number => new Prng(sequence).below(blocks);

function fillSector(sector: Uint8Array, sequence: number, index: number): void {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.length);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, sequence, true);
  const random = new Prng(sequence * 8 + index);
  for (let at = 8; at < SECTOR_BYTES; at += 4) view.setUint32(at, random.u32(), true);
}

export function fillBlock(block: Uint8Array, sequence: number): void {
  for (let index = 0; index < BLOCK_BYTES / SECTOR_BYTES; index++) {
    fillSector(block.subarray(index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES), sequence, index);
  }
}

/** The number of the write that a sector is from: 0 where nothing was written, undefined for what nobody wrote. */
export function sequenceOf(sector: Uint8Array, index: number): number | undefined {
  if (sector.every((byte) => byte === 0)) return 0;
  const sequence = new DataView(sector.buffer, sector.byteOffset, sector.length).getUint32(4, true);
  const expected = new Uint8Array(SECTOR_BYTES);
  fillSector(expected, sequence, index);
  return expected.every((byte, at) => byte === sector[at]) ? sequence : undefined;
}
