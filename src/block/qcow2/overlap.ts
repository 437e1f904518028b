// Checks that no write goes where metadata lie that it does not mean to change: the last line of defence against contradictory
// tables (qcow2 option `overlap-check`). The active structures are looked up in memory; inactive L2 tables must be read.
import type { Failure } from '../../base/failure.ts';
import type { Qcow2Image } from './image.ts';
import { L1Table } from './l1-table.ts';

/** Kinds of metadata; a set of them is the sum. */
export const OVERLAP = {
  NONE: 0,
  MAIN_HEADER: 1,
  ACTIVE_L1: 2,
  ACTIVE_L2: 4,
  REFCOUNT_BLOCK: 8,
  REFCOUNT_TABLE: 0x10,
  SNAPSHOT_TABLE: 0x20,
  INACTIVE_L1: 0x40,
  INACTIVE_L2: 0x80,
  BITMAP_DIRECTORY: 0x100,
} as const;

const CONSTANT = OVERLAP.MAIN_HEADER | OVERLAP.ACTIVE_L1 | OVERLAP.REFCOUNT_TABLE | OVERLAP.SNAPSHOT_TABLE | OVERLAP.BITMAP_DIRECTORY;
const CACHED = CONSTANT | OVERLAP.ACTIVE_L2 | OVERLAP.REFCOUNT_BLOCK | OVERLAP.INACTIVE_L1;

export const OVERLAP_TEMPLATES: ReadonlyMap<string, number> = new Map([
  ['none', 0],
  ['constant', CONSTANT],
  ['cached', CACHED],
  ['all', CACHED | OVERLAP.INACTIVE_L2],
]);

const NAMES: readonly (readonly [bit: number, name: string])[] = [
  [OVERLAP.MAIN_HEADER, 'qcow2_header'],
  [OVERLAP.ACTIVE_L1, 'active L1 table'],
  [OVERLAP.ACTIVE_L2, 'active L2 table'],
  [OVERLAP.REFCOUNT_BLOCK, 'refcount block'],
  [OVERLAP.REFCOUNT_TABLE, 'refcount table'],
  [OVERLAP.SNAPSHOT_TABLE, 'snapshot table'],
  [OVERLAP.INACTIVE_L1, 'inactive L1 table'],
  [OVERLAP.INACTIVE_L2, 'inactive L2 table'],
  [OVERLAP.BITMAP_DIRECTORY, 'bitmap directory'],
];

/** Inactive L1 tables are not read when they are bigger than any real one. */
const MAX_INACTIVE_L1_BYTES = 32 << 20;

export class OverlapChecks {
  readonly #image: Qcow2Image;
  /** Clusters with active L2 tables and refcount blocks, by number; built when first needed. */
  #l2Tables: Set<number> | undefined;
  #refcountBlocks: Set<number> | undefined;
  /** Bytes of the snapshot table, which only its reader knows. */
  snapshotTableBytes = 0;

  constructor(image: Qcow2Image) {
    this.#image = image;
  }

  /** The tables are others now. */
  reset(): void {
    this.#l2Tables = undefined;
    this.#refcountBlocks = undefined;
  }

  l2TableAdded(offset: number): void {
    this.#l2Tables?.add(offset / this.#image.geometry.clusterSize);
  }

  l2TableRemoved(offset: number): void {
    this.#l2Tables?.delete(offset / this.#image.geometry.clusterSize);
  }

  refcountBlockAdded(offset: number): void {
    this.#refcountBlocks?.add(offset / this.#image.geometry.clusterSize);
  }

  /** Undefined when a write may go there; else a promise that ends in the error. */
  guard(ignored: number, offset: number, bytes: number): Promise<void> | undefined {
    const found = this.find(ignored, offset, bytes);
    if (found !== 0) return this.#refuse(found);
    const checks = this.#image.options.overlapChecks & ~ignored;
    if ((checks & OVERLAP.INACTIVE_L2) === 0 || this.#image.snapshots.length === 0) return undefined;
    return this.#guardInactiveL2(offset, bytes);
  }

  async #refuse(kind: number): Promise<never> {
    const name = NAMES.find(([bit]) => bit === kind)?.[1] ?? '';
    throw await this.#refused(`Preventing invalid write on metadata (overlaps with ${name})`);
  }

  #refused(message: string): Promise<Failure> {
    return this.#image.corruption(message);
  }

  /** No metadata lie there, as far as memory tells. */
  allows(offset: number, bytes: number): boolean {
    const { options, snapshots } = this.#image;
    if ((options.overlapChecks & OVERLAP.INACTIVE_L2) !== 0 && snapshots.length > 0) return false;
    return this.find(OVERLAP.NONE, offset, bytes) === 0;
  }

  /** The kind of metadata in memory that a write would hit; 0 for none. */
  find(ignored: number, offset: number, bytes: number): number {
    const image = this.#image;
    const checks = image.options.overlapChecks & ~ignored;
    if (checks === 0 || bytes === 0) return 0;
    const { clusterSize, clusterMask } = image.geometry;
    const { header } = image;
    if (checks & OVERLAP.MAIN_HEADER && offset < clusterSize) return OVERLAP.MAIN_HEADER;
    // Tables begin at clusters and own them whole.
    const start = offset - (offset & clusterMask);
    const end = Math.ceil((offset + bytes) / clusterSize) * clusterSize;
    const hits = (at: number, count: number): boolean => count > 0 && at < end && start < at + count;
    if (checks & OVERLAP.ACTIVE_L1 && hits(header.l1TableOffset, image.l1.length * 8)) return OVERLAP.ACTIVE_L1;
    if (checks & OVERLAP.ACTIVE_L2 && this.#hitsAny(this.#activeL2(), start, end)) return OVERLAP.ACTIVE_L2;
    if (checks & OVERLAP.REFCOUNT_BLOCK && this.#hitsAny(this.#blocks(), start, end)) return OVERLAP.REFCOUNT_BLOCK;
    if (checks & OVERLAP.REFCOUNT_TABLE && hits(header.refcountTableOffset, image.refcounts.table.length * 8)) {
      return OVERLAP.REFCOUNT_TABLE;
    }
    if (checks & OVERLAP.SNAPSHOT_TABLE && hits(header.snapshotsOffset, this.snapshotTableBytes)) return OVERLAP.SNAPSHOT_TABLE;
    if (checks & OVERLAP.INACTIVE_L1) {
      for (const { l1TableOffset, l1Size } of image.snapshots) if (hits(l1TableOffset, l1Size * 8)) return OVERLAP.INACTIVE_L1;
    }
    const { bitmaps } = header;
    if (checks & OVERLAP.BITMAP_DIRECTORY && bitmaps !== undefined && hits(bitmaps.directoryOffset, bitmaps.directorySize)) {
      return OVERLAP.BITMAP_DIRECTORY;
    }
    return 0;
  }

  #hitsAny(clusters: Set<number>, start: number, end: number): boolean {
    const { clusterSize } = this.#image.geometry;
    for (let index = start / clusterSize; index < end / clusterSize; index++) if (clusters.has(index)) return true;
    return false;
  }

  #activeL2(): Set<number> {
    return (this.#l2Tables ??= this.#tablesOf(this.#image.l1));
  }

  #tablesOf(l1: L1Table): Set<number> {
    const clusters = new Set<number>();
    for (let index = 0; index < l1.length; index++) {
      const offset = l1.offsetAt(index);
      if (offset !== 0) clusters.add(Math.floor(offset / this.#image.geometry.clusterSize));
    }
    return clusters;
  }

  #blocks(): Set<number> {
    if (this.#refcountBlocks !== undefined) return this.#refcountBlocks;
    const clusters = new Set<number>();
    for (const offset of this.#image.refcounts.table) if (offset !== 0) clusters.add(Math.floor(offset / this.#image.geometry.clusterSize));
    this.#refcountBlocks = clusters;
    return clusters;
  }

  async #guardInactiveL2(offset: number, bytes: number): Promise<void> {
    const image = this.#image;
    const { clusterSize, clusterMask } = image.geometry;
    const start = offset - (offset & clusterMask), end = Math.ceil((offset + bytes) / clusterSize) * clusterSize;
    for (const { l1TableOffset, l1Size } of image.snapshots) {
      if (l1Size * 8 > MAX_INACTIVE_L1_BYTES) continue;
      const table = await L1Table.read(image.file, l1TableOffset, l1Size);
      for (let index = 0; index < table.length; index++) {
        const at = table.offsetAt(index);
        if (at !== 0 && at < end && start < at + clusterSize) return this.#refuse(OVERLAP.INACTIVE_L2);
      }
    }
  }
}
