// References of an L1 table to everything below it: adding one, taking one away, or only setting the COPIED flags right after
// another table's references have changed. What snapshots are made and unmade with. Under the image's lock.
import { isPromise } from '../../base/eventual.ts';
import type { Qcow2Image } from './image.ts';
import type { L1Table } from './l1-table.ts';
import { CorruptMetadata, hex } from './mapping.ts';
import { clusterType, compressedRange, hostOffset, UPPER } from './table-entries.ts';

/** Adds `delta` (1, -1 or 0) to the refcounts of all that `l1` refers to. Tells whether entries of `l1` in memory have changed. */
export async function updateReferences(image: Qcow2Image, l1: L1Table, delta: -1 | 0 | 1): Promise<boolean> {
  const changed = await image.refcounts.batchDiscards(() => updateTables(image, l1, delta));
  await image.flushCaches();
  await image.flushFiles();
  return changed;
}

async function updateTables(image: Qcow2Image, l1: L1Table, delta: -1 | 0 | 1): Promise<boolean> {
  const { clusterSize, clusterMask } = image.geometry;
  let changed = false;
  for (let index = 0; index < l1.length; index++) {
    const l2Offset = l1.offsetAt(index);
    if (l2Offset === 0) continue;
    if ((l2Offset & clusterMask) !== 0) throw new CorruptMetadata(`L2 table offset ${hex(l2Offset)} unaligned (L1 index: ${hex(index)})`);
    for (let at = 0; at < clusterSize; at += image.l2Cache.sliceBytes) await updateSlice(image, l2Offset, at, delta);
    if (delta !== 0) await image.refcounts.add(l2Offset, clusterSize, delta, 'snapshot');
    const isCopied = (await image.refcounts.get(l2Offset / clusterSize)) === 1;
    if (isCopied === l1.isCopied(index)) continue;
    l1.set(index, l2Offset, isCopied);
    changed = true;
  }
  return changed;
}

/** One slice of an L2 table, `at` bytes into it. */
async function updateSlice(image: Qcow2Image, l2Offset: number, at: number, delta: -1 | 0 | 1): Promise<void> {
  const { l2Cache } = image;
  const cached = l2Cache.get(l2Offset + at);
  // A copy: in an image that contradicts itself the slice may vanish while counts change.
  const bytes = (isPromise(cached) ? await cached : cached).bytes.slice();
  const view = new DataView(bytes.buffer);
  if (delta !== 0) await addToClusters(image, view, l2Offset, at, delta);
  if (!(await setCopiedFlags(image, view))) return;
  if (delta > 0) await l2Cache.dependOn(image.refcountCache);
  const slice = await l2Cache.get(l2Offset + at);
  slice.bytes.set(bytes);
  l2Cache.markDirty(slice);
}

/** Changes the counts of every cluster that the slice names; neighbours in the file together. */
async function addToClusters(image: Qcow2Image, view: DataView, l2Offset: number, at: number, delta: -1 | 1): Promise<void> {
  const { geometry, refcounts, hasDataFile } = image;
  const { l2EntryBytes, clusterSize, clusterMask } = geometry;
  let start = 0,
    end = 0;
  const settle = (): Promise<void> | undefined => (end > start ? refcounts.add(start, end - start, delta, 'snapshot') : undefined);
  for (let entry = 0; entry < view.byteLength; entry += l2EntryBytes) {
    const upper = view.getUint32(entry),
      lower = view.getUint32(entry + 4);
    const type = clusterType(upper, lower, geometry.extendedL2, hasDataFile);
    if (type === 'compressed') {
      const range = compressedRange(upper, lower, geometry.clusterBits);
      await refcounts.add(range.offset, range.bytes, delta, 'snapshot');
    } else if (type === 'normal' || type === 'zero-allocated') {
      const offset = hostOffset(upper, lower);
      if ((offset & clusterMask) !== 0) {
        const index = (at + entry) / l2EntryBytes;
        throw new CorruptMetadata(
          `Cluster allocation offset ${hex(offset)} unaligned (L2 offset: ${hex(l2Offset)}, L2 index: ${hex(index)})`,
        );
      }
      if (offset !== end || end === 0) {
        await settle();
        start = offset;
      }
      end = offset + clusterSize;
    }
  }
  await settle();
}

/** True when a flag in `view` was changed. */
async function setCopiedFlags(image: Qcow2Image, view: DataView): Promise<boolean> {
  const { geometry, refcounts, hasDataFile } = image;
  let changed = false;
  for (let entry = 0; entry < view.byteLength; entry += geometry.l2EntryBytes) {
    const upper = view.getUint32(entry),
      lower = view.getUint32(entry + 4);
    if (upper === 0 && lower === 0) continue;
    const type = clusterType(upper, lower, geometry.extendedL2, hasDataFile);
    let isCopied = false;
    if (type === 'normal' || type === 'zero-allocated') {
      const count = refcounts.get(Math.floor(hostOffset(upper, lower) / geometry.clusterSize));
      isCopied = (isPromise(count) ? await count : count) === 1;
    }
    const next = isCopied ? (upper | UPPER.COPIED) >>> 0 : (upper & ~UPPER.COPIED) >>> 0;
    if (next === upper) continue;
    view.setUint32(entry, next);
    changed = true;
  }
  return changed;
}
