// Zeroes and discards: changes of L2 entries (and subcluster bitmaps) that give clusters back. The zero flag is version 3's; a
// version 2 image can only forget clusters where no backing image would show through.
import { ErrnoFailure } from '../../base/errno.ts';
import { WRITE } from '../driver.ts';
import { bitRange, freeEntry } from './allocation.ts';
import { roundDown, roundUp } from './geometry.ts';
import type { Qcow2Image } from './image.ts';
import { locked, readSlice, sliceCoverage, writableSlice } from './l2-tables.ts';
import { clusterKind, ENTRY, isCopied, KIND, sliceIndex } from './mapping.ts';
import { lookUpLocked } from './reader.ts';
import type { FreeReason } from './refcounts.ts';
import { readsAsZero } from './writer.ts';

/** What freeing clusters may have changed since; nobody is writing into the range, and nobody begins while the lock is held. */
async function lockedAlone<T>(image: Qcow2Image, start: number, end: number, section: () => Promise<T>): Promise<T> {
  for (;;) {
    const busy = await locked(image, async () => {
      const request = image.inFlight.anyIn(start, end);
      return request === undefined ? { result: await section() } : { request };
    });
    if ('result' in busy) return busy.result;
    await image.inFlight.wait(busy.request);
  }
}

/** ENOTSUP for what the tables cannot say: the node then writes zero bytes. */
export async function writeZeroes(image: Qcow2Image, offset: number, count: number, flags: number): Promise<void> {
  image.checkUsable();
  const { subclusterSize } = image.geometry;
  const end = offset + count;
  const head = offset % subclusterSize;
  const tail = end === image.size ? 0 : roundUp(end, subclusterSize) - end;
  if (head === 0 && tail === 0) {
    return lockedAlone(image, offset, roundUp(end, image.geometry.clusterSize), () => zeroize(image, offset, end, flags));
  }
  const start = offset - head;
  if (end > start + subclusterSize) throw new ErrnoFailure('ENOTSUP');
  const isZero = (await isUnallocatedZero(image, start, offset)) && (await isUnallocatedZero(image, end, end + tail));
  if (!isZero) throw new ErrnoFailure('ENOTSUP');
  await lockedAlone(image, start, start + subclusterSize, async () => {
    const { kind } = await lookUpLocked(image, start, subclusterSize);
    if (kind === KIND.NORMAL || kind === KIND.COMPRESSED) throw new ErrnoFailure('ENOTSUP'); // somebody wrote meanwhile
    await zeroize(image, start, start + subclusterSize, flags);
  });
}

/** The rest of a subcluster reads as zero, by its tables or those of the backing chain. */
async function isUnallocatedZero(image: Qcow2Image, start: number, end: number): Promise<boolean> {
  return start >= end || readsAsZero(image, start, end);
}

/** Sets the zero flag on whole subclusters (or up to the image's end). Under the lock. */
export async function zeroize(image: Qcow2Image, start: number, end: number, flags: number): Promise<void> {
  const { geometry, header, refcounts } = image;
  if (image.isRawDataFile) await image.data.writeZeroes(start, end - start, flags & WRITE.MAY_UNMAP);
  if (header.version < 3) throw new ErrnoFailure('ENOTSUP');
  const { clusterSize } = geometry;
  const last = end === image.size ? roundUp(end, clusterSize) : end;
  const firstWhole = Math.min(roundUp(start, clusterSize), last), lastWhole = Math.max(firstWhole, roundDown(last, clusterSize));
  await refcounts.batchDiscards(async () => {
    if (start < firstWhole) await zeroSubclusters(image, start, firstWhole);
    for (let at = firstWhole; at < lastWhole; ) at += await zeroSlice(image, at, lastWhole - at, flags);
    if (lastWhole < last && lastWhole >= firstWhole && lastWhole >= start) await zeroSubclusters(image, lastWhole, last);
  });
}

/** Whole clusters within one slice; returns the bytes done. */
async function zeroSlice(image: Qcow2Image, offset: number, bytes: number, flags: number): Promise<number> {
  const { geometry, l2Cache } = image;
  const { extendedL2 } = geometry;
  return changeSlice(image, offset, bytes, await writableSlice(image, offset), 'request', (high, low, zeroBits) => {
    const kind = clusterKind(image, high, low);
    const isPlaced = kind === KIND.NORMAL || kind === KIND.ZERO_PLACED || kind === KIND.COMPRESSED;
    const gives = kind === KIND.COMPRESSED || ((flags & WRITE.MAY_UNMAP) !== 0 && isPlaced);
    const newHigh = gives ? 0 : high, kept = gives ? 0 : low;
    const newLow = extendedL2 ? kept : (kept | ENTRY.ZERO_LOW) >>> 0;
    return { high: newHigh, low: newLow, zeroBits: extendedL2 ? 0xffffffff : zeroBits, allocatedBits: 0, frees: gives };
  }, l2Cache.sliceBytes);
}

interface NewEntry {
  readonly high: number;
  readonly low: number;
  readonly zeroBits: number;
  readonly allocatedBits: number;
  /** What the entry referred to is given back. */
  readonly frees: boolean;
}

/** Changes the entries of whole clusters in a slice, and gives back what they referred to after that. */
async function changeSlice(
  image: Qcow2Image,
  offset: number,
  bytes: number,
  slice: { readonly view: DataView } & Parameters<Qcow2Image['l2Cache']['markDirty']>[0],
  reason: FreeReason,
  change: (high: number, low: number, zeroBits: number, allocatedBits: number) => NewEntry | undefined,
  sliceBytes: number,
): Promise<number> {
  const { geometry, l2Cache } = image;
  const { l2EntryBytes, extendedL2, clusterSize } = geometry;
  const { view } = slice;
  const first = sliceIndex(geometry, sliceBytes, offset);
  const count = Math.min(Math.ceil(bytes / clusterSize), sliceBytes / l2EntryBytes - first);
  const freed: number[] = [];
  for (let index = first; index < first + count; index++) {
    const at = index * l2EntryBytes;
    const high = view.getUint32(at), low = view.getUint32(at + 4);
    const zeroBits = extendedL2 ? view.getUint32(at + 8) : 0, allocatedBits = extendedL2 ? view.getUint32(at + 12) : 0;
    const next = change(high, low, zeroBits, allocatedBits);
    if (next === undefined) continue;
    const sameBits = !extendedL2 || (next.zeroBits === zeroBits && next.allocatedBits === allocatedBits);
    const same = next.high === high && next.low === low && sameBits;
    if (same) continue;
    if (next.frees) freed.push(high, low);
    l2Cache.markDirty(slice);
    view.setUint32(at, next.high);
    view.setUint32(at + 4, next.low);
    if (!extendedL2) continue;
    view.setUint32(at + 8, next.zeroBits);
    view.setUint32(at + 12, next.allocatedBits);
  }
  for (let n = 0; n < freed.length; n += 2) await freeEntry(image, freed[n]!, freed[n + 1]!, reason);
  return count * clusterSize;
}

/** A part of one cluster with extended L2 entries. */
async function zeroSubclusters(image: Qcow2Image, start: number, end: number): Promise<void> {
  const { geometry, l2Cache } = image;
  const { clusterMask, subclusterSize, l2EntryBytes } = geometry;
  const slice = await writableSlice(image, start);
  const at = sliceIndex(geometry, l2Cache.sliceBytes, start) * l2EntryBytes;
  const { view } = slice;
  const kind = clusterKind(image, view.getUint32(at), view.getUint32(at + 4));
  if (kind === KIND.COMPRESSED || (kind === KIND.NORMAL && !isCopied(view.getUint32(at)))) throw new ErrnoFailure('ENOTSUP');
  const from = Math.floor((start & clusterMask) / subclusterSize);
  const bits = bitRange(from, from + Math.ceil((end - start) / subclusterSize));
  l2Cache.markDirty(slice);
  view.setUint32(at + 8, (view.getUint32(at + 8) | bits) >>> 0);
  view.setUint32(at + 12, (view.getUint32(at + 12) & ~bits) >>> 0);
}

/** A guest's discard: whole clusters only. ENOTSUP for what is not done. */
export async function discard(image: Qcow2Image, offset: number, count: number): Promise<void> {
  image.checkUsable();
  const { clusterSize } = image.geometry;
  // Without a zero flag a backing image would show through.
  if (image.header.version < 3 && image.backing() !== undefined) throw new ErrnoFailure('ENOTSUP');
  const end = offset + count;
  if (offset % clusterSize !== 0 || (end % clusterSize !== 0 && end !== image.size)) throw new ErrnoFailure('ENOTSUP');
  await lockedAlone(image, offset, roundUp(end, clusterSize), () => discardClusters(image, offset, end, 'request', false));
}

/** Makes clusters unallocated (`full`), or such that they read as zeroes. Under the lock. */
export async function discardClusters(image: Qcow2Image, start: number, end: number, reason: FreeReason, full: boolean): Promise<void> {
  await image.refcounts.batchDiscards(async () => {
    for (let at = start; at < end; ) {
      const coverage = sliceCoverage(image);
      const stop = Math.min(end, (Math.floor(at / coverage) + 1) * coverage);
      if (full && (await readSlice(image, at)) === undefined) at = stop;
      else at += await discardSlice(image, at, stop - at, reason, full);
    }
  });
}

async function discardSlice(image: Qcow2Image, offset: number, bytes: number, reason: FreeReason, full: boolean): Promise<number> {
  const { extendedL2 } = image.geometry;
  const hasBacking = image.backing() !== undefined;
  const zeroLow = image.header.version >= 3 && !extendedL2 ? ENTRY.ZERO_LOW : 0;
  const slice = await writableSlice(image, offset);
  return changeSlice(image, offset, bytes, slice, reason, (high, low) => {
    if (full) return { high: 0, low: 0, zeroBits: 0, allocatedBits: 0, frees: true };
    const kind = clusterKind(image, high, low);
    const isPlaced = kind === KIND.NORMAL || kind === KIND.ZERO_PLACED || kind === KIND.COMPRESSED;
    if (!hasBacking && !isPlaced) return undefined;
    return { high: 0, low: zeroLow, zeroBits: extendedL2 ? 0xffffffff : 0, allocatedBits: 0, frees: true };
  }, image.l2Cache.sliceBytes);
}
