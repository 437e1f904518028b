// Sizes that follow from a qcow2 header: clusters, subclusters, tables. Offsets are numbers below 2^53; what lies in a cluster is
// taken with 32-bit masks (clusters have at most 2^21 bytes), which JavaScript applies to the low 32 bits of any such number.
import type { Qcow2Header } from './header.ts';
import { INCOMPATIBLE } from './header.ts';

export interface Geometry {
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly clusterMask: number;
  readonly extendedL2: boolean;
  /** 32 with extended L2 entries, else 1. */
  readonly subclusters: number;
  readonly subclusterSize: number;
  /** 8, or 16 with extended L2 entries. */
  readonly l2EntryBytes: number;
  readonly l2Entries: number;
  /** Guest bytes that one L1 entry maps. */
  readonly l1Coverage: number;
  readonly refcountOrder: number;
  readonly refcountBits: number;
  /** The greatest refcount; for 64 bits as much as a number holds. */
  readonly refcountMax: number;
  /** Refcounts in one block. */
  readonly refcountBlockEntries: number;
}

export function geometryOf(header: Pick<Qcow2Header, 'clusterBits' | 'refcountOrder' | 'incompatibleFeatures'>): Geometry {
  const { clusterBits, refcountOrder } = header;
  const clusterSize = 2 ** clusterBits;
  const extendedL2 = (header.incompatibleFeatures & INCOMPATIBLE.EXTENDED_L2) !== 0n;
  const subclusters = extendedL2 ? 32 : 1;
  const l2EntryBytes = extendedL2 ? 16 : 8;
  const refcountBits = 2 ** refcountOrder;
  return {
    clusterBits,
    clusterSize,
    clusterMask: clusterSize - 1,
    extendedL2,
    subclusters,
    subclusterSize: clusterSize / subclusters,
    l2EntryBytes,
    l2Entries: clusterSize / l2EntryBytes,
    l1Coverage: (clusterSize / l2EntryBytes) * clusterSize,
    refcountOrder,
    refcountBits,
    refcountMax: refcountBits >= 64 ? Number.MAX_SAFE_INTEGER : 2 ** refcountBits - 1,
    refcountBlockEntries: (clusterSize * 8) / refcountBits,
  };
}

export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
export const roundDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

/** L1 entries for a guest of `size` bytes. */
export const l1EntriesFor = (geometry: Geometry, size: number): number => Math.ceil(size / geometry.l1Coverage);

/**
 * How many refcount blocks and table clusters it takes to count `clusters` clusters and themselves. `generous` adds half of
 * the table's size, so that a growing table is not copied for every block.
 */
export function refcountMetadata(geometry: Geometry, clusters: number, generous: boolean): { blocks: number; tableClusters: number } {
  const entriesPerTableCluster = geometry.clusterSize / 8;
  const settle = (counted: number): { blocks: number; tableClusters: number } => {
    let blocks = 0, tableClusters = 0;
    for (;;) {
      const nextBlocks = Math.ceil((counted + blocks + tableClusters) / geometry.refcountBlockEntries);
      const nextTable = Math.ceil(nextBlocks / entriesPerTableCluster);
      if (nextBlocks === blocks && nextTable === tableClusters) return { blocks, tableClusters };
      blocks = nextBlocks;
      tableClusters = nextTable;
    }
  };
  const exact = settle(clusters);
  return generous ? settle(clusters + Math.ceil(exact.tableClusters / 2)) : exact;
}
