// What L2 entries say: the kind of every cluster and subcluster, and runs of guest bytes that are alike and lie together in the
// file. Pure reading of a slice that is in memory; loading and changing tables is l2-tables.ts. Specification: qcow2.txt,
// "Cluster mapping" and "Extended L2 Entries".
import { Failure } from '../../base/failure.ts';
import type { Geometry } from './geometry.ts';
import type { Qcow2Image } from './image.ts';

/** Kinds of subclusters; without extended L2 entries a cluster is one subcluster. */
export const KIND = {
  UNALLOCATED: 0,
  /** Unallocated in a cluster that has a place in the file. */
  UNALLOCATED_PLACED: 1,
  ZERO: 2,
  ZERO_PLACED: 3,
  NORMAL: 4,
  COMPRESSED: 5,
  INVALID: 6,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** Bits of the upper and lower half of an L2 entry. */
export const ENTRY = { COPIED_HIGH: 0x80000000, COMPRESSED_HIGH: 0x40000000, OFFSET_HIGH: 0x00ffffff, ZERO_LOW: 1 } as const;

export interface Extent {
  readonly kind: Kind;
  /** Where the first byte lies; 0 when it lies nowhere. For compressed clusters see `compressedRange`. */
  readonly hostOffset: number;
  readonly count: number;
  readonly high: number;
  readonly low: number;
}

/** Metadata that contradict themselves; whoever catches it reports it through `image.corruption`. */
export class CorruptMetadata extends Failure {
  constructor(message: string) {
    super('corrupt', message);
  }
}

export const hex = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`);

/** Bits 9 to 55. */
export const entryOffset = (high: number, low: number): number => (high & ENTRY.OFFSET_HIGH) * 2 ** 32 + ((low & ~511) >>> 0);
export const isCopied = (high: number): boolean => high < 0 || high >= ENTRY.COPIED_HIGH;
export const isCompressed = (high: number): boolean => (high & ENTRY.COMPRESSED_HIGH) !== 0;

/** The kind of a whole cluster, without its subclusters. */
export function clusterKind(image: Qcow2Image, high: number, low: number): Kind {
  if (isCompressed(high)) return KIND.COMPRESSED;
  const placed = (high & ENTRY.OFFSET_HIGH) !== 0 || (low & ~511) !== 0;
  if (low & ENTRY.ZERO_LOW && !image.geometry.extendedL2) return placed ? KIND.ZERO_PLACED : KIND.ZERO;
  // In an external data file the place 0 is one like any other; the flag tells.
  return placed || (image.hasDataFile && isCopied(high)) ? KIND.NORMAL : KIND.UNALLOCATED;
}

/** The kind of subcluster `index` by the bitmap of an extended entry. */
function subclusterKind(cluster: Kind, zeroBits: number, allocatedBits: number, index: number): Kind {
  if (cluster === KIND.COMPRESSED) return cluster;
  const isZero = ((zeroBits >>> index) & 1) !== 0, isAllocated = ((allocatedBits >>> index) & 1) !== 0;
  if (cluster === KIND.NORMAL) {
    if (isZero && isAllocated) return KIND.INVALID;
    return isZero ? KIND.ZERO_PLACED : isAllocated ? KIND.NORMAL : KIND.UNALLOCATED_PLACED;
  }
  if (allocatedBits !== 0) return KIND.INVALID;
  return isZero ? KIND.ZERO : KIND.UNALLOCATED;
}

/** Kind of the subcluster at `offset` within the slice's entry `index`. */
export function kindAt(image: Qcow2Image, view: DataView, index: number, subcluster: number): Kind {
  const { l2EntryBytes, extendedL2 } = image.geometry;
  const at = index * l2EntryBytes;
  const kind = clusterKind(image, view.getUint32(at), view.getUint32(at + 4));
  return extendedL2 ? subclusterKind(kind, view.getUint32(at + 8), view.getUint32(at + 12), subcluster) : kind;
}

/** The entry's index within its slice. */
export function sliceIndex(geometry: Geometry, sliceBytes: number, offset: number): number {
  const perSlice = sliceBytes / geometry.l2EntryBytes;
  return ((offset - (offset & geometry.clusterMask)) / geometry.clusterSize) % perSlice;
}

const hasPlace = (kind: Kind): boolean => kind === KIND.NORMAL || kind === KIND.ZERO_PLACED || kind === KIND.UNALLOCATED_PLACED;

/**
 * The run of bytes from guest `offset` on, at most `bytes` and within the slice, that are of one kind and lie together. A
 * compressed run is one cluster at most.
 */
export function extentAt(image: Qcow2Image, view: DataView, index: number, offset: number, bytes: number): Extent {
  const { geometry } = image;
  const { clusterSize, clusterMask, l2EntryBytes, subclusterSize } = geometry;
  const at = index * l2EntryBytes;
  const high = view.getUint32(at), low = view.getUint32(at + 4);
  const within = offset & clusterMask;
  const kind = geometry.extendedL2
    ? subclusterKind(clusterKind(image, high, low), view.getUint32(at + 8), view.getUint32(at + 12), Math.floor(within / subclusterSize))
    : clusterKind(image, high, low);
  checkEntry(image, offset, index, kind, high, low);
  if (kind === KIND.COMPRESSED) return { kind, hostOffset: 0, count: Math.min(bytes, clusterSize - within), high, low };
  const hostOffset = hasPlace(kind) ? entryOffset(high, low) + within : 0;
  let count = geometry.extendedL2 ? subclusterRun(image, view, index, within, kind, bytes) : clusterSize - within;
  if (within + count !== clusterSize) return { kind, hostOffset, count: Math.min(count, bytes), high, low };
  const entries = view.byteLength / l2EntryBytes;
  let expected = entryOffset(high, low) + clusterSize;
  for (let next = index + 1; next < entries && count < bytes; next++, expected += clusterSize) {
    const nextAt = next * l2EntryBytes;
    const nextHigh = view.getUint32(nextAt), nextLow = view.getUint32(nextAt + 4);
    if (hasPlace(kind) && entryOffset(nextHigh, nextLow) !== expected) break;
    if (kindAt(image, view, next, 0) !== kind) break;
    if (!geometry.extendedL2) {
      count += clusterSize;
      continue;
    }
    const run = subclusterRun(image, view, next, 0, kind, clusterSize);
    count += run;
    if (run < clusterSize) break;
  }
  return { kind, hostOffset, count: Math.min(count, bytes), high, low };
}

/** Bytes of one cluster from `within` on whose subclusters are of `kind`. */
function subclusterRun(image: Qcow2Image, view: DataView, index: number, within: number, kind: Kind, bytes: number): number {
  const { subclusterSize, subclusters } = image.geometry;
  let subcluster = Math.floor(within / subclusterSize);
  const end = within + bytes;
  while (subcluster < subclusters && subcluster * subclusterSize < end && kindAt(image, view, index, subcluster) === kind) subcluster++;
  return subcluster * subclusterSize - within;
}

function checkEntry(image: Qcow2Image, offset: number, index: number, kind: Kind, high: number, low: number): void {
  if (kind === KIND.UNALLOCATED) return;
  const { geometry, header } = image;
  const place = (): string => `L2 offset: ${hex(image.l1.offsetAt(Math.floor(offset / geometry.l1Coverage)))}, L2 index: ${hex(index)}`;
  if (kind === KIND.INVALID) throw new CorruptMetadata(`Invalid cluster entry found  (${place()})`);
  if ((kind === KIND.ZERO || kind === KIND.ZERO_PLACED) && header.version < 3) {
    throw new CorruptMetadata(`Zero cluster entry found in pre-v3 image (${place()})`);
  }
  if (kind === KIND.COMPRESSED) {
    if (image.hasDataFile) throw new CorruptMetadata(`Compressed cluster entry found in image with external data file (${place()})`);
    return;
  }
  if (!hasPlace(kind)) return;
  const host = entryOffset(high, low);
  if ((low & geometry.clusterMask & ~511) !== 0) throw new CorruptMetadata(`Cluster allocation offset ${hex(host)} unaligned (${place()})`);
  const guest = offset - (offset & geometry.clusterMask);
  if (image.hasDataFile && host !== guest) {
    throw new CorruptMetadata(
      `External data file host cluster offset ${hex(host)} does not match guest cluster offset: ${hex(guest)}, L2 index: ${hex(index)})`,
    );
  }
}

/** Where a compressed cluster's bytes lie: up to the end of their last sector, which may hold the beginning of others. */
export function compressedRange(geometry: Geometry, high: number, low: number): { offset: number; bytes: number } {
  const sectorBits = geometry.clusterBits - 8;
  const offsetBits = 62 - sectorBits; // 49 to 61
  const upperBits = offsetBits - 32;
  const offset = (high & (2 ** upperBits - 1)) * 2 ** 32 + low;
  const sectors = ((high >>> upperBits) & (2 ** sectorBits - 1)) + 1;
  return { offset, bytes: sectors * 512 - (low & 511) };
}

/** The halves of a compressed cluster's entry. */
export function compressedEntry(geometry: Geometry, offset: number, bytes: number): { high: number; low: number } {
  const sectorBits = geometry.clusterBits - 8;
  const upperBits = 62 - sectorBits - 32;
  const sectors = Math.floor((offset + bytes - 1) / 512) - Math.floor(offset / 512);
  const high = (ENTRY.COMPRESSED_HIGH | (sectors << upperBits) | Math.floor(offset / 2 ** 32)) >>> 0;
  return { high, low: offset % 2 ** 32 };
}
