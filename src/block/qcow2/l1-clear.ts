// Taking L2 tables out of the L1 table of an image that gets smaller or empty. The table itself keeps its size.
import { debugEvent } from '../debug-events.ts';
import type { Qcow2Image } from './image.ts';

/** Forgets the L2 tables from entry `entries` on, whose clusters are free already, and frees them. Under the lock. */
export async function clearL1From(image: Qcow2Image, entries: number): Promise<void> {
  const { l1, header, geometry } = image;
  if (entries >= l1.length) return;
  const tables: number[] = [];
  for (let index = entries; index < l1.length; index++) if (l1.offsetAt(index) !== 0) tables.push(l1.offsetAt(index));
  await image.l2Cache.flush();
  await debugEvent(image.file, 'l1_shrink_write_table');
  await image.file.writeZeroes(header.l1TableOffset + entries * 8, (l1.length - entries) * 8);
  await image.file.flush();
  for (let index = entries; index < l1.length; index++) l1.set(index, 0, false);
  image.overlaps.reset();
  await debugEvent(image.file, 'l1_shrink_free_l2_clusters');
  for (const table of tables) {
    if ((table & geometry.clusterMask) === 0) await image.refcounts.free(table, geometry.clusterSize, 'always');
  }
}
