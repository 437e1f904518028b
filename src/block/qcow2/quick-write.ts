// The short way of a write into one cluster that has to be allocated, or into several whole ones: when all tables are cached and the
// file answers at once, it does what writer.ts and allocation.ts do, in the same order, without a promise and without the lock,
// since nobody else runs in between. It gives up before it has changed anything when something would have to be waited for; only
// the data may be.
import type { Eventual } from '../../base/eventual.ts';
import { isZero } from '../../base/zero.ts';
import { isZeroFast } from '../chain-status.ts';
import { abandon, link, needsAllocation, type Allocation } from './allocation.ts';
import type { Qcow2Image } from './image.ts';
import { locked, sliceOffset } from './l2-tables.ts';
import { clusterKind, ENTRY, KIND, sliceIndex, type Kind } from './mapping.ts';
import type { TableSlice } from './table-cache.ts';

/** Where a write goes: entries with nothing to give back, in a table of the image's own. */
interface Place {
  readonly slice: TableSlice;
  /** Of the first entry, in the slice. */
  readonly at: number;
  readonly clusters: number;
  readonly readsBacking: boolean;
}

/** Without the lock, or with it held by the caller. 'slow': nothing was done. */
export function quickWrite(image: Qcow2Image, offset: number, source: Uint8Array): Eventual<void> | 'slow' {
  const place = placeFor(image, offset, source.length);
  if (place === undefined) return 'slow';
  const { clusterSize, clusterMask } = image.geometry;
  const { clusters } = place;
  const within = offset & clusterMask;
  const start = offset - within;
  const isWhole = source.length === clusters * clusterSize;
  const copy = isWhole || !place.readsBacking ? undefined : backingBytes(image, start);
  if (copy === 'slow') return 'slow';
  const host = image.refcounts.peekFree(clusters);
  // Past the end of the file the rest of the cluster is zero when the file grows over it; elsewhere it would have to be made so.
  const isBeyondEnd = host >= image.data.size && image.data.node.instance.hasZeroInit === true;
  const mayWrite = host > 0 && (isWhole || copy !== undefined || isBeyondEnd) && image.overlaps.allows(host, clusters * clusterSize);
  const isOrdered = mayWrite && (image.isDirty || image.l2Cache.dependOnNow(image.refcountCache));
  if (!isOrdered) {
    if (copy !== undefined) image.buffers.give(copy);
    return 'slow';
  }
  image.refcounts.takeFree(host, clusters);
  copy?.set(source, within);
  let written: Eventual<void>;
  try {
    written = image.data.write(copy === undefined ? host + within : host, copy ?? source);
  } catch (error) {
    if (copy !== undefined) image.buffers.give(copy);
    return failed(image, allocationAt(image, start, host, clusters), error);
  }
  if (written instanceof Promise) return finish(image, allocationAt(image, start, host, clusters), written, copy);
  if (copy !== undefined) image.buffers.give(copy);
  setEntries(image, place, host);
  return undefined;
}

/** The clusters that were taken, all of them data, for what has to be waited for. */
function allocationAt(image: Qcow2Image, start: number, host: number, clusters: number): Allocation {
  const end = start + clusters * image.geometry.clusterSize;
  const inFlight = image.inFlight.begin(start, end, true);
  return { start, host, clusters, keepsOld: false, inFlight, cowStart: start, dataStart: start, dataEnd: end, cowEnd: end };
}

function placeFor(image: Qcow2Image, offset: number, bytes: number): Place | undefined {
  const { clusterSize, clusterMask } = image.geometry;
  const within = offset & clusterMask;
  const start = offset - within;
  const clusters = Math.ceil((within + bytes) / clusterSize);
  if (clusters > 1 && (within !== 0 || bytes % clusterSize !== 0)) return undefined;
  const end = start + clusters * clusterSize;
  if (!image.inFlight.isEmpty && image.inFlight.anyIn(start, end) !== undefined) return undefined;
  return emptyPlace(image, start, clusters);
}

/** Entries that refer to nothing, in a cached table that may be changed now. */
function emptyPlace(image: Qcow2Image, start: number, clusters: number): Place | undefined {
  const { geometry, l1, l2Cache } = image;
  const { clusterMask, l2EntryBytes } = geometry;
  if (geometry.extendedL2 || image.hasDataFile || image.cipher !== undefined) return undefined;
  if (image.usesLazyRefcounts && !image.isDirty) return undefined;
  if (image.file.node.instance.debugEvent !== undefined) return undefined; // events are raised on the long way
  const l1Index = Math.floor(start / geometry.l1Coverage);
  if (l1Index >= l1.length || !l1.isCopied(l1Index) || (l1.offsetAt(l1Index) & clusterMask) !== 0) return undefined;
  const slicePlace = sliceOffset(image, start);
  const slice = slicePlace === 0 ? undefined : l2Cache.peek(slicePlace);
  if (slice === undefined) return undefined;
  const at = sliceIndex(geometry, l2Cache.sliceBytes, start) * l2EntryBytes;
  const stop = at + clusters * l2EntryBytes;
  if (stop > slice.view.byteLength) return undefined;
  let isUnallocated = false;
  for (let entry = at; entry < stop; entry += l2EntryBytes) {
    const kind = emptyKind(image, slice.view.getUint32(entry), slice.view.getUint32(entry + 4));
    if (kind === undefined) return undefined;
    isUnallocated ||= kind === KIND.UNALLOCATED;
  }
  const below = isUnallocated ? image.backing() : undefined;
  return { slice, at, clusters, readsBacking: below !== undefined && start < below.size };
}

/** The kind of a cluster that has no place in the file. */
function emptyKind(image: Qcow2Image, high: number, low: number): Kind | undefined {
  if (!needsAllocation(image, high, low)) return undefined;
  const kind = clusterKind(image, high, low);
  return kind === KIND.UNALLOCATED || (kind === KIND.ZERO && image.header.version >= 3) ? kind : undefined;
}

/** The backing image's cluster; undefined when it certainly reads as zero. */
function backingBytes(image: Qcow2Image, start: number): Uint8Array | undefined | 'slow' {
  if (image.backingAnswersLater) return 'slow';
  const { clusterSize } = image.geometry;
  const backing = image.backing()!;
  const known = isZeroFast(backing.node, start, clusterSize);
  if (known instanceof Promise) {
    known.catch(() => {}); // a table is being read; the long way waits for it
    return 'slow';
  }
  if (known) return undefined;
  const bytes = image.buffers.take(clusterSize);
  const reading = backing.read(start, bytes);
  if (reading instanceof Promise) {
    reading.catch(() => {}); // the buffer is not used again
    image.backingAnswersLater = true;
    return 'slow';
  }
  if (!isZero(bytes)) return bytes;
  image.buffers.give(bytes);
  return undefined;
}

/** The rest of a write whose file answers later. */
async function finish(image: Qcow2Image, allocation: Allocation, written: Promise<void>, copy: Uint8Array | undefined): Promise<void> {
  try {
    await written;
  } catch (error) {
    return failed(image, allocation, error);
  } finally {
    if (copy !== undefined) image.buffers.give(copy);
  }
  if (linkNow(image, allocation)) return;
  await locked(image, async () => {
    try {
      await link(image, allocation);
    } catch (error) {
      await abandon(image, allocation);
      throw error;
    }
  });
}

async function failed(image: Qcow2Image, allocation: Allocation, error: unknown): Promise<never> {
  await image.lock.run(() => abandon(image, allocation));
  throw error;
}

/** `link` where nothing has to be waited for; else false. */
function linkNow(image: Qcow2Image, { start, host, clusters, inFlight }: Allocation): boolean {
  if (!image.lock.isFree || image.isBroken) return false;
  const place = emptyPlace(image, start, clusters);
  if (place === undefined || !(image.isDirty || image.l2Cache.dependOnNow(image.refcountCache))) return false;
  setEntries(image, place, host);
  image.inFlight.end(inFlight);
  return true;
}

function setEntries({ l2Cache, geometry }: Qcow2Image, { slice, at, clusters }: Place, host: number): void {
  l2Cache.dependOnFlush(); // the data first
  l2Cache.markDirty(slice);
  const { clusterSize, l2EntryBytes } = geometry;
  for (let n = 0; n < clusters; n++) {
    const place = host + n * clusterSize;
    slice.view.setUint32(at + n * l2EntryBytes, Math.floor(place / 2 ** 32) + ENTRY.COPIED_HIGH);
    slice.view.setUint32(at + n * l2EntryBytes + 4, place % 2 ** 32);
  }
}
