// What follows from clusters becoming free at the end of a file: where the last one in use is, and refcount blocks that count
// nothing any more.
import { isPromise } from '../../base/eventual.ts';
import type { Qcow2Image } from './image.ts';
import { getCount } from './refcount-width.ts';
import { OVERLAP } from './overlap.ts';
import { encodeOffsets } from './refcounts.ts';

/** Index of the last cluster of the file that is in use; -1 when there is none. */
export async function lastCluster(image: Qcow2Image, fileSize: number): Promise<number> {
  const { clusterSize } = image.geometry;
  for (let index = Math.ceil(fileSize / clusterSize) - 1; index >= 0; index--) {
    const count = image.refcounts.get(index);
    if ((isPromise(count) ? await count : count) > 0) return index;
  }
  return image.corruption('There are no references in the refcount table.').then((error) => {
    throw error;
  });
}

/** Takes blocks that count nothing (but themselves) out of the refcount table, which keeps its size. */
export async function shrinkRefcountTable(image: Qcow2Image): Promise<void> {
  const { refcounts, header, geometry } = image;
  const kept = refcounts.table.slice();
  const dropped: number[] = [];
  for (let index = 0; index < kept.length; index++) {
    const offset = kept[index]!;
    if (offset === 0 || !(await countsNothing(image, index, offset))) continue;
    kept[index] = 0;
    dropped.push(offset);
  }
  if (dropped.length === 0) return;
  await image.overlaps.guard(OVERLAP.REFCOUNT_TABLE, header.refcountTableOffset, kept.length * 8);
  await image.l2Cache.flush();
  await image.refcountCache.flush();
  await image.file.write(header.refcountTableOffset, encodeOffsets(kept));
  await image.file.flush();
  for (const offset of dropped) await refcounts.dropBlock(offset);
  for (let index = 0; index < kept.length; index++) refcounts.table[index] = kept[index]!;
  image.overlaps.reset();
  for (const offset of dropped) await image.file.discard(offset, geometry.clusterSize).catch(() => {});
}

async function countsNothing(image: Qcow2Image, index: number, offset: number): Promise<boolean> {
  const { refcountBlockEntries, refcountOrder, clusterSize } = image.geometry;
  const { view } = await image.refcountCache.get(offset);
  const self = offset / clusterSize - index * refcountBlockEntries;
  for (let entry = 0; entry < refcountBlockEntries; entry++) {
    if (entry !== self && getCount(view, entry, refcountOrder) !== 0) return false;
  }
  return true;
}
