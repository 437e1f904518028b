// The short way of a write into one cluster that has to be allocated: when all tables are cached and the file answers at once, it
// does what writer.ts and allocation.ts do, in the same order, without a promise and without the lock, since nobody else runs in
// between. It gives up before it has changed anything when something would have to be waited for.
import type { Eventual } from '../../base/eventual.ts';
import { isZero } from '../../base/zero.ts';
import { isZeroFast } from '../chain-status.ts';
import { abandon, link, needsAllocation, type Allocation } from './allocation.ts';
import type { Qcow2Image } from './image.ts';
import { locked, sliceOffset } from './l2-tables.ts';
import { clusterKind, ENTRY, KIND, sliceIndex } from './mapping.ts';
import type { TableSlice } from './table-cache.ts';

/** Where a write goes: an entry with nothing to give back, in a table of the image's own. */
interface Place {
  readonly slice: TableSlice;
  /** Of the entry, in the slice. */
  readonly at: number;
  readonly readsBacking: boolean;
}

/** Without the lock, or with it held by the caller. 'slow': nothing was done. */
export function quickWrite(image: Qcow2Image, offset: number, source: Uint8Array): Eventual<void> | 'slow' {
  const place = placeFor(image, offset, source.length);
  if (place === undefined) return 'slow';
  const { clusterSize, clusterMask } = image.geometry;
  const within = offset & clusterMask;
  const start = offset - within;
  const isWhole = source.length === clusterSize;
  const copy = isWhole || !place.readsBacking ? undefined : backingBytes(image, start);
  if (copy === 'slow') return 'slow';
  const host = image.refcounts.peekFree();
  // Past the end of the file the rest of the cluster is zero when the file grows over it; elsewhere it would have to be made so.
  const isBeyondEnd = host >= image.data.size && image.data.node.instance.hasZeroInit === true;
  const mayWrite = host > 0 && (isWhole || copy !== undefined || isBeyondEnd) && image.overlaps.allows(host, clusterSize);
  const isOrdered = mayWrite && (image.isDirty || image.l2Cache.dependOnNow(image.refcountCache));
  if (!isOrdered) {
    if (copy !== undefined) image.buffers.give(copy);
    return 'slow';
  }
  image.refcounts.takeFree(host);
  copy?.set(source, within);
  let written: Eventual<void>;
  try {
    written = image.data.write(copy === undefined ? host + within : host, copy ?? source);
  } catch (error) {
    if (copy !== undefined) image.buffers.give(copy);
    return failed(image, allocationAt(image, start, host), error);
  }
  if (written instanceof Promise) return finish(image, allocationAt(image, start, host), written, copy);
  if (copy !== undefined) image.buffers.give(copy);
  setEntry(image, place, host);
  return undefined;
}

/** The cluster that was taken, all of it data now, for what has to be waited for. */
function allocationAt(image: Qcow2Image, start: number, host: number): Allocation {
  const end = start + image.geometry.clusterSize;
  const inFlight = image.inFlight.begin(start, end, true);
  return { start, host, clusters: 1, keepsOld: false, inFlight, cowStart: start, dataStart: start, dataEnd: end, cowEnd: end };
}

function placeFor(image: Qcow2Image, offset: number, bytes: number): Place | undefined {
  const { geometry, l1, l2Cache } = image;
  const { clusterSize, clusterMask, l2EntryBytes } = geometry;
  const within = offset & clusterMask;
  if (within + bytes > clusterSize || geometry.extendedL2 || image.hasDataFile || image.cipher !== undefined) return undefined;
  if (image.usesLazyRefcounts && !image.isDirty) return undefined;
  if (image.file.node.instance.debugEvent !== undefined) return undefined; // events are raised on the long way
  const start = offset - within;
  if (!image.inFlight.isEmpty && image.inFlight.anyIn(start, start + clusterSize) !== undefined) return undefined;
  const l1Index = Math.floor(offset / geometry.l1Coverage);
  if (l1Index >= l1.length || !l1.isCopied(l1Index) || (l1.offsetAt(l1Index) & clusterMask) !== 0) return undefined;
  const slicePlace = sliceOffset(image, offset);
  const slice = slicePlace === 0 ? undefined : l2Cache.peek(slicePlace);
  if (slice === undefined) return undefined;
  const at = sliceIndex(geometry, l2Cache.sliceBytes, offset) * l2EntryBytes;
  const high = slice.view.getUint32(at), low = slice.view.getUint32(at + 4);
  if (!needsAllocation(image, high, low)) return undefined;
  const kind = clusterKind(image, high, low);
  if (kind !== KIND.UNALLOCATED && (kind !== KIND.ZERO || image.header.version < 3)) return undefined;
  const below = kind === KIND.UNALLOCATED ? image.backing() : undefined;
  return { slice, at, readsBacking: below !== undefined && start < below.size };
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

function setEntry({ l2Cache }: Qcow2Image, { slice, at }: Place, host: number): void {
  l2Cache.dependOnFlush(); // the data first
  l2Cache.markDirty(slice);
  slice.view.setUint32(at, Math.floor(host / 2 ** 32) + ENTRY.COPIED_HIGH);
  slice.view.setUint32(at + 4, host % 2 ** 32);
}
