// Emptying an image (commit): every cluster unallocated, so that the backing image shows through again. A plain image is laid out
// anew and its file cut; others lose their clusters one by one.
import { debugEvent } from '../debug-events.ts';
import { CRYPT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { locked } from './l2-tables.ts';
import { setCount } from './refcount-width.ts';
import { encodeOffsets } from './refcounts.ts';
import { discardClusters } from './zeroing.ts';

const STEP_BYTES = 2 ** 31;

export async function makeEmpty(image: Qcow2Image): Promise<void> {
  image.checkUsable();
  const { header, geometry } = image;
  const l1Clusters = Math.ceil((image.l1.length * 8) / geometry.clusterSize);
  const hasOthers = image.snapshots.length > 0 || image.hasDataFile || header.bitmaps !== undefined;
  const isPlain = header.version >= 3 && header.cryptMethod === CRYPT.NONE && !hasOthers;
  if (isPlain && 3 + l1Clusters <= geometry.refcountBlockEntries) return locked(image, () => layOutAnew(image, l1Clusters));
  for (let at = 0; at < image.size; at += STEP_BYTES) {
    await locked(image, () => discardClusters(image, at, Math.min(image.size, at + STEP_BYTES), 'snapshot', true));
  }
}

/** Header, refcount table, one block, L1 table, nothing else. The dirty bit says that the counts are worth nothing until it is done. */
async function layOutAnew(image: Qcow2Image, l1Clusters: number): Promise<void> {
  const { header, geometry, file, refcounts } = image;
  const { clusterSize } = geometry;
  await image.flushCaches();
  await image.l2Cache.empty();
  await image.refcountCache.empty();
  await image.markDirty();
  const l1Bytes = Math.ceil((image.l1.length * 8) / clusterSize) * clusterSize;
  await debugEvent(file, 'l1_update');
  await file.writeZeroes(header.l1TableOffset, l1Bytes); // nothing refers to any cluster now
  await file.flush();
  image.l1.bytes.fill(0);
  await debugEvent(file, 'empty_image_prepare');
  await file.writeZeroes(clusterSize, (2 + l1Clusters) * clusterSize);
  const block = new Uint8Array(clusterSize);
  for (let index = 0; index < 3 + l1Clusters; index++) setCount(new DataView(block.buffer), index, geometry.refcountOrder, 1);
  const table = new Float64Array(clusterSize / 8);
  table[0] = 2 * clusterSize;
  await file.write(2 * clusterSize, block);
  await file.write(clusterSize, encodeOffsets(table));
  await file.flush();
  header.l1TableOffset = 3 * clusterSize;
  header.refcountTableOffset = clusterSize;
  header.refcountTableClusters = 1;
  await image.writeHeaderFields('l1TableOffset', 'refcountTableOffset', 'refcountTableClusters');
  await file.flush();
  refcounts.replaceTable(table);
  refcounts.startOver();
  await file.truncate({ size: (3 + l1Clusters) * clusterSize, exact: false, preallocation: 'off', zeroWrite: false });
}
