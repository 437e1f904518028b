// Host clusters for a write: which of the clusters in place may be overwritten, which must be allocated, what around the data must
// be copied, and, after data and copies are written, linking the new clusters in the L2 table. Everything here runs under the
// image's lock; moving the data is writer.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import { roundDown } from './geometry.ts';
import type { Qcow2Image } from './image.ts';
import type { InFlight } from './in-flight.ts';
import { writableSlice } from './l2-tables.ts';
import { clusterKind, compressedRange, ENTRY, entryOffset, hex, isCopied, KIND, kindAt, sliceIndex } from './mapping.ts';
import type { FreeReason } from './refcounts.ts';
import type { TableSlice } from './table-cache.ts';

/** Clusters that will be linked when the data are written. Guest offsets. */
export interface Allocation {
  /** The first cluster. */
  readonly start: number;
  readonly host: number;
  readonly clusters: number;
  /** The clusters are the image's own already, and get contents (preallocated zero clusters, subclusters). */
  readonly keepsOld: boolean;
  readonly cowStart: number;
  readonly dataStart: number;
  readonly dataEnd: number;
  readonly cowEnd: number;
  readonly inFlight: InFlight;
}

export interface WritePlan {
  readonly host: number;
  readonly count: number;
  readonly allocations: readonly Allocation[];
}

/** Host clusters for a beginning of `offset`..`offset + bytes`; or the request that must be waited for first. */
export async function planWrite(image: Qcow2Image, offset: number, bytes: number): Promise<WritePlan | InFlight> {
  const planner = new WritePlanner(image, offset, bytes);
  try {
    return await planner.plan();
  } catch (error) {
    for (const allocation of planner.allocations) await abandon(image, allocation);
    throw error;
  }
}

class WritePlanner {
  readonly allocations: Allocation[] = [];
  readonly #image: Qcow2Image;
  readonly #offset: number;
  readonly #bytes: number;
  /** Host offset of `#offset`; -1 until known. */
  #host = -1;
  #done = 0;

  constructor(image: Qcow2Image, offset: number, bytes: number) {
    this.#image = image;
    this.#offset = offset;
    this.#bytes = bytes;
  }

  async plan(): Promise<WritePlan | InFlight> {
    while (this.#done < this.#bytes) {
      const at = this.#offset + this.#done;
      let rest = this.#bytes - this.#done;
      const conflict = this.#image.inFlight.allocationIn(at, at + rest);
      if (conflict !== undefined) {
        if (conflict.offset > at) rest = conflict.offset - at;
        else if (this.#done === 0) return conflict;
        else break;
      }
      const slice = await writableSlice(this.#image, at);
      const count = this.#overwrite(slice, at, rest) || (await this.#allocate(slice, at, rest));
      if (count === 0) break;
      this.#done += count;
    }
    return { host: this.#host, count: this.#done, allocations: this.allocations };
  }

  /** The host offset that what follows must have; -1 when it does not matter. */
  get #expected(): number {
    return this.#host < 0 ? -1 : this.#host + this.#done;
  }

  /** Bytes from `at` on that may be written in place. */
  #overwrite(slice: TableSlice, at: number, rest: number): number {
    const image = this.#image;
    const { clusterSize, clusterMask, l2EntryBytes } = image.geometry;
    const { view } = slice;
    const index = sliceIndex(image.geometry, image.l2Cache.sliceBytes, at);
    const within = at & clusterMask;
    const first = index * l2EntryBytes;
    const high = view.getUint32(first), low = view.getUint32(first + 4);
    if (needsAllocation(image, high, low)) return 0;
    const host = checkedOffset(image, high, low);
    if (this.#expected >= 0 && this.#expected !== host + within) return 0;
    const wanted = Math.min(Math.ceil((within + rest) / clusterSize), view.byteLength / l2EntryBytes - index);
    let clusters = 1;
    for (; clusters < wanted; clusters++) {
      const entry = (index + clusters) * l2EntryBytes;
      const nextHigh = view.getUint32(entry), nextLow = view.getUint32(entry + 4);
      if (needsAllocation(image, nextHigh, nextLow) || entryOffset(nextHigh, nextLow) !== host + clusters * clusterSize) break;
    }
    const count = Math.min(rest, clusters * clusterSize - within);
    if (this.#host < 0) this.#host = host + within;
    if (!isAllNormal(image, view, index, within, count)) this.#register(view, index, at, count, host, clusters, true);
    return count;
  }

  /** Bytes from `at` on that got new clusters; 0 when none follow the others in the file. */
  async #allocate(slice: TableSlice, at: number, rest: number): Promise<number> {
    const image = this.#image;
    const { clusterSize, clusterMask, l2EntryBytes } = image.geometry;
    const { view } = slice;
    const index = sliceIndex(image.geometry, image.l2Cache.sliceBytes, at);
    const within = at & clusterMask;
    const wanted = Math.min(Math.ceil((within + rest) / clusterSize), view.byteLength / l2EntryBytes - index);
    let clusters = 0;
    for (; clusters < wanted; clusters++) {
      const entry = (index + clusters) * l2EntryBytes;
      if (!needsAllocation(image, view.getUint32(entry), view.getUint32(entry + 4))) break;
    }
    if (clusters === 0) return 0;
    const place = await this.#hostClusters(at - within, clusters, within);
    if (place === undefined) return 0;
    const count = Math.min(rest, place.clusters * clusterSize - within);
    if (this.#host < 0) this.#host = place.host + within;
    const used = Math.ceil((within + count) / clusterSize);
    this.#register(view, index, at, count, place.host, used, false);
    return count;
  }

  async #hostClusters(guest: number, clusters: number, within: number): Promise<{ host: number; clusters: number } | undefined> {
    const { refcounts, hasDataFile, geometry } = this.#image;
    const expected = this.#expected;
    if (hasDataFile) return expected >= 0 && expected - within !== guest ? undefined : { host: guest, clusters };
    if (expected < 0) return { host: await refcounts.allocate(clusters * geometry.clusterSize), clusters };
    const taken = await refcounts.allocateAt(expected - within, clusters);
    return taken === 0 ? undefined : { host: expected - within, clusters: taken };
  }

  #register(view: DataView, index: number, at: number, count: number, host: number, clusters: number, keepsOld: boolean): void {
    const image = this.#image;
    const { clusterSize, clusterMask } = image.geometry;
    const start = at - (at & clusterMask);
    const used = Math.ceil((at - start + count) / clusterSize);
    const cowStart = copyStart(image, view, index, at, keepsOld);
    const cowEnd = copyEnd(image, view, index + used - 1, at + count, keepsOld);
    // What is the image's own may be filled from both sides at a time.
    const inFlight = keepsOld
      ? image.inFlight.begin(cowStart, cowEnd, true)
      : image.inFlight.begin(start, start + clusters * clusterSize, true);
    this.allocations.push({ start, host, clusters: used, keepsOld, cowStart, dataStart: at, dataEnd: at + count, cowEnd, inFlight });
  }
}

/** Not the image's own, or not there at all. */
export function needsAllocation(image: Qcow2Image, high: number, low: number): boolean {
  if (!isCopied(high)) return true;
  const kind = clusterKind(image, high, low);
  return kind !== KIND.NORMAL && kind !== KIND.ZERO_PLACED;
}

function checkedOffset(image: Qcow2Image, high: number, low: number): number {
  const offset = entryOffset(high, low);
  if (!Number.isSafeInteger(offset) || (offset & image.geometry.clusterMask) !== 0) {
    throw new UnalignedCluster(clusterKind(image, high, low) === KIND.NORMAL ? 'Data' : 'Preallocated zero', offset);
  }
  return offset;
}

/** An entry of a contradictory table; reported by whoever knows the request. */
export class UnalignedCluster extends ErrnoFailure {
  readonly what: string;
  readonly offset: number;

  constructor(what: string, offset: number) {
    super('EIO');
    this.what = what;
    this.offset = offset;
  }
}

function isAllNormal(image: Qcow2Image, view: DataView, index: number, within: number, count: number): boolean {
  const { clusterSize, subclusterSize } = image.geometry;
  for (let at = roundDown(within, subclusterSize); at < within + count; at += subclusterSize) {
    const subcluster = Math.floor((at % clusterSize) / subclusterSize);
    if (kindAt(image, view, index + Math.floor(at / clusterSize), subcluster) !== KIND.NORMAL) return false;
  }
  return true;
}

/** Where copying begins before data at guest `at`, whose cluster has entry `index`. */
function copyStart(image: Qcow2Image, view: DataView, index: number, at: number, keepsOld: boolean): number {
  const { clusterMask, subclusterSize, extendedL2, l2EntryBytes } = image.geometry;
  const within = at & clusterMask;
  const clusterStart = at - within;
  const subcluster = Math.floor(within / subclusterSize);
  const kind = kindAt(image, view, index, subcluster);
  if (keepsOld) return kind === KIND.NORMAL ? at : clusterStart + subcluster * subclusterSize;
  if (!extendedL2 || kind === KIND.COMPRESSED) return clusterStart;
  if (kind === KIND.UNALLOCATED || kind === KIND.ZERO) return clusterStart + subcluster * subclusterSize;
  const allocated = view.getUint32(index * l2EntryBytes + 12);
  return clusterStart + Math.min(subcluster, lowestBit(allocated)) * subclusterSize;
}

/** Where copying ends after data that end at guest `end`, in the cluster with entry `index`. */
function copyEnd(image: Qcow2Image, view: DataView, index: number, end: number, keepsOld: boolean): number {
  const { clusterSize, subclusterSize, extendedL2, l2EntryBytes, subclusters } = image.geometry;
  const clusterStart = roundDown(end - 1, clusterSize);
  const subcluster = Math.floor((end - 1 - clusterStart) / subclusterSize);
  const kind = kindAt(image, view, index, subcluster);
  const subclusterEnd = clusterStart + (subcluster + 1) * subclusterSize;
  if (keepsOld) return kind === KIND.NORMAL ? end : subclusterEnd;
  if (!extendedL2 || kind === KIND.COMPRESSED) return clusterStart + clusterSize;
  if (kind === KIND.UNALLOCATED || kind === KIND.ZERO) return subclusterEnd;
  const allocated = view.getUint32(index * l2EntryBytes + 12);
  return Math.max(subclusterEnd, clusterStart + (subclusters - Math.clz32(allocated)) * subclusterSize);
}

const lowestBit = (bits: number): number => (bits === 0 ? 32 : 31 - Math.clz32(bits & -bits));

/** Sets the L2 entries of written clusters, then gives the old ones back. */
export async function link(image: Qcow2Image, allocation: Allocation): Promise<void> {
  const { l2Cache, refcountCache, geometry } = image;
  if (image.usesLazyRefcounts) await image.markDirty();
  if (!image.isDirty && !image.hasDataFile) await l2Cache.dependOn(refcountCache);
  l2Cache.dependOnFlush(); // data and copies first
  const slice = await writableSlice(image, allocation.start);
  l2Cache.markDirty(slice);
  const index = sliceIndex(geometry, l2Cache.sliceBytes, allocation.start);
  const freed: number[] = [];
  for (let n = 0; n < allocation.clusters; n++) {
    const at = (index + n) * geometry.l2EntryBytes;
    const high = slice.view.getUint32(at), low = slice.view.getUint32(at + 4);
    if (!allocation.keepsOld && (high !== 0 || low !== 0)) freed.push(high, low);
    const host = allocation.host + n * geometry.clusterSize;
    slice.view.setUint32(at, Math.floor(host / 2 ** 32) + ENTRY.COPIED_HIGH);
    slice.view.setUint32(at + 4, host % 2 ** 32);
    if (geometry.extendedL2) markWritten(image, slice.view, at, allocation, n);
  }
  for (let n = 0; n < freed.length; n += 2) await freeEntry(image, freed[n]!, freed[n + 1]!, 'never');
  image.inFlight.end(allocation.inFlight);
}

/** The subclusters of cluster `n` that data and copies cover are allocated now. */
function markWritten(image: Qcow2Image, view: DataView, at: number, { start, cowStart, cowEnd }: Allocation, n: number): void {
  const { clusterSize, subclusterSize } = image.geometry;
  const clusterStart = start + n * clusterSize;
  const from = Math.max(0, Math.floor((cowStart - clusterStart) / subclusterSize));
  const to = Math.min(32, Math.ceil((cowEnd - clusterStart) / subclusterSize));
  if (to <= from) return;
  const bits = bitRange(from, to);
  view.setUint32(at + 8, (view.getUint32(at + 8) & ~bits) >>> 0);
  view.setUint32(at + 12, (view.getUint32(at + 12) | bits) >>> 0);
}

/** Bits `from` to `to` - 1. */
export const bitRange = (from: number, to: number): number => Number((1n << BigInt(to)) - (1n << BigInt(from)));

/** The write failed: its clusters are free again. */
export async function abandon(image: Qcow2Image, { keepsOld, host, clusters, inFlight }: Allocation): Promise<void> {
  if (!keepsOld && !image.hasDataFile) await image.refcounts.free(host, clusters * image.geometry.clusterSize, 'never');
  image.inFlight.end(inFlight);
}

/** One reference less for what an L2 entry refers to. */
export async function freeEntry(image: Qcow2Image, high: number, low: number, reason: FreeReason): Promise<void> {
  const { geometry, refcounts } = image;
  const kind = clusterKind(image, high, low);
  if (kind === KIND.COMPRESSED) {
    image.compressed.invalidate();
    if (refcounts.passesDiscard(reason)) refcounts.flushBeforeDiscards();
    const { offset, bytes } = compressedRange(geometry, high, low);
    return refcounts.free(offset, bytes, reason);
  }
  if (kind !== KIND.NORMAL && kind !== KIND.ZERO_PLACED) return;
  const offset = entryOffset(high, low);
  if (image.hasDataFile) {
    if (refcounts.passesDiscard(reason)) await image.data.discard(offset, geometry.clusterSize).catch(() => {});
    return;
  }
  if ((offset & geometry.clusterMask) !== 0) {
    await image.corruption(`Cannot free unaligned cluster ${hex(offset)}`, false);
    return;
  }
  await refcounts.free(offset, geometry.clusterSize, reason);
}

