// Fields of L1, L2 and refcount table entries, as `check` and the snapshots need them: 64-bit words taken apart into halves,
// because their offsets are numbers and their flags are at the top. Specification: qcow2.txt, "Cluster mapping".

/** Bits 63 and 62 as bits of the upper half. */
export const UPPER = { COPIED: 0x8000_0000, COMPRESSED: 0x4000_0000 } as const;
const OFFSET_UPPER = 0x00ff_ffff;
const OFFSET_LOWER = 0xffff_fe00;

/** Bits 9 to 55: a host offset. Exact, since it is a multiple of 512. */
export function hostOffset(upper: number, lower: number): number {
  return (upper & OFFSET_UPPER) * 2 ** 32 + ((lower & OFFSET_LOWER) >>> 0);
}

/** Bits 1 to 8 and 56 to 61 of a standard L2 entry. */
export const hasReservedL2Bits = (upper: number, lower: number): boolean => (upper & 0x3f00_0000) !== 0 || (lower & 0x1fe) !== 0;
/** Bits 0 to 8 and 56 to 62 of an L1 entry. */
export const hasReservedL1Bits = (upper: number, lower: number): boolean => (upper & 0x7f00_0000) !== 0 || (lower & 0x1ff) !== 0;

/** 64 bits in hexadecimal without leading zeroes. */
export function hex64(upper: number, lower: number): string {
  if (upper === 0) return (lower >>> 0).toString(16);
  return (upper >>> 0).toString(16) + (lower >>> 0).toString(16).padStart(8, '0');
}

export type ClusterType = 'unallocated' | 'zero-plain' | 'zero-allocated' | 'normal' | 'compressed';

/** What an L2 entry says; with an external data file the host offset 0 is one like any other. */
export function clusterType(upper: number, lower: number, hasSubclusters: boolean, hasDataFile: boolean): ClusterType {
  if (upper & UPPER.COMPRESSED) return 'compressed';
  const hasOffset = (upper & OFFSET_UPPER) !== 0 || (lower & OFFSET_LOWER) !== 0;
  if (lower & 1 && !hasSubclusters) return hasOffset ? 'zero-allocated' : 'zero-plain';
  if (hasOffset) return 'normal';
  return hasDataFile && (upper & UPPER.COPIED) !== 0 ? 'normal' : 'unallocated';
}

export interface CompressedRange {
  readonly offset: number;
  readonly bytes: number;
  /** The offset in hexadecimal: it may be more than a number holds exactly. */
  readonly offsetText: string;
}

/** The bytes that a compressed cluster's descriptor names: up to the end of its last sector. */
export function compressedRange(upper: number, lower: number, clusterBits: number): CompressedRange {
  const word = (BigInt(upper >>> 0) << 32n) | BigInt(lower >>> 0);
  const shift = BigInt(62 - (clusterBits - 8));
  const offset = word & ((1n << shift) - 1n);
  const sectors = Number((word >> shift) & ((1n << BigInt(clusterBits - 8)) - 1n)) + 1;
  return { offset: Number(offset), bytes: sectors * 512 - Number(offset & 511n), offsetText: offset.toString(16) };
}
