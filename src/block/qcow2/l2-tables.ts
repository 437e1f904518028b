// Getting at L2 tables: slices from the cache or the file, new tables where there are none, and copies of those that snapshots
// share. All under the image's lock, except `peekSlice`. What the entries say is mapping.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import { debugEvent } from '../debug-events.ts';
import type { Qcow2Image } from './image.ts';
import { CorruptMetadata, hex } from './mapping.ts';
import { OVERLAP } from './overlap.ts';
import type { TableSlice } from './table-cache.ts';

/** Host offset of the slice that maps guest `offset`; 0 when there is no table. */
export function sliceOffset(image: Qcow2Image, offset: number): number {
  const { geometry, l1 } = image;
  const { l1Coverage, clusterSize, clusterMask, l2EntryBytes } = geometry;
  const l1Index = Math.floor(offset / l1Coverage);
  const table = l1Index < l1.length ? l1.offsetAt(l1Index) : 0;
  if (table === 0) return 0;
  if ((table & clusterMask) !== 0) throw new CorruptMetadata(`L2 table offset ${hex(table)} unaligned (L1 index: ${hex(l1Index)})`);
  const { sliceBytes } = image.l2Cache;
  if (sliceBytes === clusterSize) return table;
  const cluster = Math.floor((offset - l1Index * l1Coverage) / clusterSize);
  const at = cluster * l2EntryBytes;
  return table + (at - (at & (sliceBytes - 1)));
}

/** Guest bytes that one slice maps. */
export const sliceCoverage = (image: Qcow2Image): number =>
  (image.l2Cache.sliceBytes / image.geometry.l2EntryBytes) * image.geometry.clusterSize;

/** The slice for guest `offset`; undefined when there is no table. */
export async function readSlice(image: Qcow2Image, offset: number): Promise<TableSlice | undefined> {
  const at = sliceOffset(image, offset);
  return at === 0 ? undefined : image.l2Cache.get(at);
}

/** The slice for guest `offset` in a table that only the active image uses: a new one, or a copy, where needed. */
export async function writableSlice(image: Qcow2Image, offset: number): Promise<TableSlice> {
  const { geometry, l1 } = image;
  const l1Index = Math.floor(offset / geometry.l1Coverage);
  if (l1Index >= l1.length) throw new ErrnoFailure('EFBIG');
  const table = l1.offsetAt(l1Index);
  if ((table & geometry.clusterMask) !== 0) {
    throw new CorruptMetadata(`L2 table offset ${hex(table)} unaligned (L1 index: ${hex(l1Index)})`);
  }
  if (!l1.isCopied(l1Index) || table === 0) {
    await newTable(image, l1Index, table);
    if (table !== 0) await image.refcounts.free(table, geometry.clusterSize, 'other');
  }
  return image.l2Cache.get(sliceOffset(image, offset));
}

/** A table of its own for L1 entry `index`, with the contents of `old` when that is not 0. */
async function newTable(image: Qcow2Image, index: number, old: number): Promise<void> {
  const { geometry, l2Cache, refcountCache } = image;
  const offset = await image.refcounts.allocate(geometry.clusterSize);
  try {
    if (offset === 0) throw await image.corruption('Preventing invalid allocation of L2 table at offset 0');
    await refcountCache.flush();
    for (let at = 0; at < geometry.clusterSize; at += l2Cache.sliceBytes) {
      if (old !== 0) await debugEvent(image.file, 'l2_alloc_cow_read');
      if (old === 0) await l2Cache.getEmpty(offset + at);
      else {
        const bytes = (await l2Cache.get(old + at)).bytes.slice();
        (await l2Cache.getEmpty(offset + at)).bytes.set(bytes);
      }
    }
    await debugEvent(image.file, 'l2_alloc_write');
    await l2Cache.flush();
  } catch (error) {
    l2Cache.forgetRange(offset, offset + geometry.clusterSize);
    await image.refcounts.free(offset, geometry.clusterSize, 'always');
    throw error;
  }
  await writeL1Entry(image, index, offset, true, old);
}

/** Sets an L1 entry in memory and in the file. When the writing fails, memory keeps the old one. */
export async function writeL1Entry(image: Qcow2Image, index: number, offset: number, copied: boolean, old: number): Promise<void> {
  const { l1, header } = image;
  const wasCopied = l1.isCopied(index);
  l1.set(index, offset, copied);
  const { start, bytes } = l1.sectorOf(index);
  try {
    await image.overlaps.guard(OVERLAP.ACTIVE_L1, header.l1TableOffset + start, bytes.length);
    await debugEvent(image.file, 'l1_update');
    await image.file.write(header.l1TableOffset + start, bytes);
  } catch (error) {
    l1.set(index, old, wasCopied);
    throw error;
  }
  if (old !== 0) image.overlaps.l2TableRemoved(old);
  if (offset !== 0) image.overlaps.l2TableAdded(offset);
}

/** Runs a section under the lock (`changes`: it may change tables); tables found to be contradictory are reported and end in EIO. */
export async function locked<T>(image: Qcow2Image, section: () => Promise<T>, changes = true): Promise<T> {
  const wait = image.lock.acquire(changes);
  if (wait !== undefined) await wait;
  try {
    image.checkUsable();
    image.cleanCaches();
    return await section();
  } catch (error) {
    throw error instanceof CorruptMetadata ? await image.corruption(error.message) : error;
  } finally {
    image.lock.release();
  }
}
