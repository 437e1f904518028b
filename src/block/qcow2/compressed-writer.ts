// Writing compressed clusters: several share a host cluster, and each is written before its L2 entry is set. What does not get
// smaller is written as it is.
import { ErrnoFailure } from '../../base/errno.ts';
import { looksIncompressible } from '../../base/incompressible.ts';
import { debugEvent } from '../debug-events.ts';
import { freeEntry } from './allocation.ts';
import { compress } from './compressed.ts';
import type { Qcow2Image } from './image.ts';
import type { InFlight } from './in-flight.ts';
import { locked, writableSlice } from './l2-tables.ts';
import { compressedEntry, isCopied, sliceIndex } from './mapping.ts';
import { OVERLAP } from './overlap.ts';
import { TaskGroup } from './task-group.ts';
import { write } from './writer.ts';

/** Whole clusters, the last one up to the image's end. */
export async function writeCompressed(image: Qcow2Image, offset: number, source: Uint8Array): Promise<void> {
  image.checkUsable();
  if (image.hasDataFile) throw new ErrnoFailure('ENOTSUP');
  const { clusterSize } = image.geometry;
  if (offset % clusterSize !== 0) throw new ErrnoFailure('EINVAL');
  const tasks = new TaskGroup();
  try {
    for (let at = 0; at < source.length && !tasks.failed; ) {
      const plainEnd = endOfIncompressible(source, at, clusterSize);
      const end = plainEnd > at ? plainEnd : Math.min(source.length, at + clusterSize);
      const part = source.subarray(at, end);
      await tasks.add(plainEnd > at ? write(image, offset + at, part) : writeCluster(image, offset + at, part));
      at = end;
    }
  } finally {
    await tasks.finish();
  }
}

/** Whole clusters from `at` on that are not worth compressing go out in one write. */
function endOfIncompressible(source: Uint8Array, at: number, clusterSize: number): number {
  let end = at;
  while (end + clusterSize <= source.length && looksIncompressible(source.subarray(end, end + clusterSize))) end += clusterSize;
  return end;
}

async function writeCluster(image: Qcow2Image, offset: number, source: Uint8Array): Promise<void> {
  const { clusterSize } = image.geometry;
  if (source.length < clusterSize && offset + source.length !== image.size) throw new ErrnoFailure('EINVAL');
  let cluster = source;
  if (source.length < clusterSize) {
    cluster = new Uint8Array(clusterSize);
    cluster.set(source);
  }
  const bytes = await compress(image, cluster);
  if (bytes === undefined) return write(image, offset, source);
  await storeCluster(image, offset, bytes);
}

async function storeCluster(image: Qcow2Image, offset: number, bytes: Uint8Array): Promise<void> {
  const { host, request } = await reserve(image, offset, bytes.length);
  try {
    await debugEvent(image.file, 'write_compressed');
    await image.file.write(host, bytes);
  } catch (error) {
    await image.lock.run(() => image.refcounts.free(host, bytes.length, 'never'));
    image.inFlight.end(request);
    throw error;
  }
  try {
    await locked(image, () => setEntry(image, offset, host, bytes.length));
  } finally {
    image.inFlight.end(request);
  }
}

interface Reserved {
  readonly host: number;
  readonly request: InFlight;
}

async function reserve(image: Qcow2Image, offset: number, bytes: number): Promise<Reserved> {
  const { clusterSize } = image.geometry;
  for (;;) {
    const result = await locked(image, async (): Promise<Reserved | InFlight> => {
      const busy = image.inFlight.anyIn(offset, offset + clusterSize);
      if (busy !== undefined) return busy;
      await checkFree(image, offset);
      const host = await image.refcounts.allocateBytes(bytes);
      await debugEvent(image.file, 'l2_update_compressed');
      image.compressed.invalidate();
      await image.overlaps.guard(OVERLAP.NONE, host, bytes);
      return { host, request: image.inFlight.begin(offset, offset + clusterSize, true) };
    });
    if ('request' in result) return result;
    await image.inFlight.wait(result);
  }
}

/** Compressed clusters do not replace what is there. */
async function checkFree(image: Qcow2Image, offset: number): Promise<void> {
  const slice = await writableSlice(image, offset);
  const at = sliceIndex(image.geometry, image.l2Cache.sliceBytes, offset) * image.geometry.l2EntryBytes;
  if (isCopied(slice.view.getUint32(at))) throw new ErrnoFailure('EIO');
}

async function setEntry(image: Qcow2Image, offset: number, host: number, bytes: number): Promise<void> {
  const { l2Cache, geometry, refcountCache } = image;
  if (image.usesLazyRefcounts) await image.markDirty();
  if (!image.isDirty) await l2Cache.dependOn(refcountCache);
  l2Cache.dependOnFlush();
  const slice = await writableSlice(image, offset);
  const at = sliceIndex(geometry, l2Cache.sliceBytes, offset) * geometry.l2EntryBytes;
  const oldHigh = slice.view.getUint32(at), oldLow = slice.view.getUint32(at + 4);
  const { high, low } = compressedEntry(geometry, host, bytes);
  l2Cache.markDirty(slice);
  slice.view.setUint32(at, high);
  slice.view.setUint32(at + 4, low);
  if (geometry.extendedL2) {
    slice.view.setUint32(at + 8, 0);
    slice.view.setUint32(at + 12, 0);
  }
  if (oldHigh !== 0 || oldLow !== 0) await freeEntry(image, oldHigh, oldLow, 'never');
}
