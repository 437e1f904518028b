// Reference counts of host clusters and the allocation of clusters that rests on them: the refcount table, its blocks (through
// the cache), the search for free clusters, and the growth of the structures. A crash between any two writes leaves counts that
// are too high (leaks), never too low: counts rise on the medium before anything refers to the cluster, and fall after.
// Not the rebuilding of broken counts (check.ts).
import { assert } from '../../base/assert.ts';
import { ErrnoFailure } from '../../base/errno.ts';
import { isPromise, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { debugEvent } from '../debug-events.ts';
import { refcountMetadata, roundDown, roundUp } from './geometry.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';
import { getCount, setCount } from './refcount-width.ts';
import type { TableSlice } from './table-cache.ts';

/** Why clusters become free: which option decides whether the file's space is given back. */
export type FreeReason = 'never' | 'always' | 'request' | 'snapshot' | 'other';

/** No more freed clusters than this wait for a flush before they may be used again. */
const MAX_QUARANTINE = 65536;
/** Host offsets in L2 entries have 56 bits; ours are exact numbers. */
const MAX_HOST_OFFSET = Number.MAX_SAFE_INTEGER;

/** The clusters that were to be counted are used by a new refcount block or table: look for others. */
class Retry extends Error {}

export class Refcounts {
  readonly #image: Qcow2Image;
  /** Host offset of every refcount block; 0 where there is none. */
  table: Float64Array;
  /** No cluster below this one is free. */
  #firstFree = 0;
  /** Where the next compressed cluster may go on in a cluster that has others; 0 for nowhere. */
  #freeByte = 0;
  /** Freed since the last flush: on the medium something may still refer to them. */
  readonly #quarantine = new Set<number>();
  #discards: { start: number; end: number }[] = [];
  #holdDiscards = 0;
  #flushBeforeDiscards = false;

  constructor(image: Qcow2Image, table: Float64Array) {
    this.#image = image;
    this.table = table;
  }

  // Reading counts ------------------------------------------------------------------------------------------------------------

  /** The count of host cluster `index`; 0 where there is no block. */
  get(index: number): Eventual<number> {
    const { refcountBlockEntries, refcountOrder } = this.#image.geometry;
    const within = index % refcountBlockEntries;
    const block = this.#block((index - within) / refcountBlockEntries);
    if (block === undefined) return 0;
    if (isPromise(block)) return block.then((slice) => getCount(slice.view, within, refcountOrder));
    return getCount(block.view, within, refcountOrder);
  }

  #block(tableIndex: number): Eventual<TableSlice> | undefined {
    const offset = tableIndex < this.table.length ? this.table[tableIndex]! : 0;
    if (offset === 0) return undefined;
    if ((offset & this.#image.geometry.clusterMask) !== 0) return this.#unaligned(offset, tableIndex);
    return this.#image.refcountCache.get(offset);
  }

  async #unaligned(offset: number, tableIndex: number): Promise<never> {
    throw await this.#image.corruption(`Refblock offset ${hex(offset)} unaligned (reftable index: ${hex(tableIndex)})`);
  }

  // Allocation ----------------------------------------------------------------------------------------------------------------

  /** A run of host clusters for `bytes` bytes, each counted once. */
  async allocate(bytes: number): Promise<number> {
    await debugEvent(this.#image.file, 'cluster_alloc');
    for (;;) {
      const offset = await this.#find(bytes);
      if (await this.#tryCount(offset, bytes)) {
        await this.#settleQuarantine(offset, bytes);
        return offset;
      }
    }
  }

  /** Host offset of the first `clusters` free clusters in a row when their counts are in memory and they may be used at once; else -1. */
  peekFree(clusters: number): number {
    if (this.#quarantine.size > 0) return -1;
    const { refcountBlockEntries, refcountOrder, clusterSize } = this.#image.geometry;
    const first = this.#firstFree % refcountBlockEntries;
    const slice = this.#cachedBlock((this.#firstFree - first) / refcountBlockEntries);
    if (slice === undefined) return -1;
    let run = 0;
    for (let within = first; within < refcountBlockEntries; within++) {
      run = getCount(slice.view, within, refcountOrder) === 0 ? run + 1 : 0;
      if (run === clusters) return (this.#firstFree - first + within + 1 - clusters) * clusterSize;
    }
    return -1;
  }

  /** Counts the clusters that `peekFree` found just now. */
  takeFree(host: number, clusters: number): void {
    const { refcountBlockEntries, refcountOrder, clusterSize } = this.#image.geometry;
    const index = host / clusterSize;
    const within = index % refcountBlockEntries;
    const slice = this.#cachedBlock((index - within) / refcountBlockEntries);
    assert(slice !== undefined, 'the block was in memory just now');
    this.#image.refcountCache.markDirty(slice);
    for (let n = 0; n < clusters; n++) setCount(slice.view, within + n, refcountOrder, 1);
    this.#firstFree = index + clusters;
  }

  #cachedBlock(tableIndex: number): TableSlice | undefined {
    const offset = tableIndex < this.table.length ? this.table[tableIndex]! : 0;
    if (offset === 0 || (offset & this.#image.geometry.clusterMask) !== 0) return undefined;
    return this.#image.refcountCache.peek(offset);
  }

  /** Takes as many of `clusters` clusters from `offset` on as are free in a row; returns how many. */
  async allocateAt(offset: number, clusters: number): Promise<number> {
    const { clusterSize } = this.#image.geometry;
    for (;;) {
      let free = 0;
      const first = offset / clusterSize;
      while (free < clusters && (await this.get(first + free)) === 0) free++;
      if (free === 0) return 0;
      if (await this.#tryCount(offset, free * clusterSize)) {
        await this.#settleQuarantine(offset, free * clusterSize);
        return free;
      }
    }
  }

  /** Space for a compressed cluster, in a cluster with others when there is room. */
  async allocateBytes(size: number): Promise<number> {
    const { clusterSize, clusterMask, refcountMax } = this.#image.geometry;
    assert(size > 0 && size <= clusterSize, 'a compressed cluster is no bigger than a cluster');
    await debugEvent(this.#image.file, 'cluster_alloc_bytes');
    for (;;) {
      let offset = this.#freeByte;
      if (offset !== 0 && (await this.get(Math.floor(offset / clusterSize))) >= refcountMax) offset = 0;
      let room = offset === 0 ? 0 : clusterSize - (offset & clusterMask);
      if (room < size) {
        const next = await this.#find(clusterSize);
        if (next === 0) throw await this.#image.corruption('Preventing invalid allocation of compressed cluster at offset 0');
        if (offset === 0 || roundUp(offset, clusterSize) !== next) offset = next;
        else room += clusterSize;
      }
      if (!(await this.#tryCount(offset, size))) {
        this.#freeByte = 0;
        continue;
      }
      await this.#settleQuarantine(offset, size);
      await this.#image.l2Cache.dependOn(this.#image.refcountCache);
      this.#freeByte = ((offset + size) & clusterMask) === 0 ? 0 : offset + size;
      return offset;
    }
  }

  /** The compressed clusters to come begin in a cluster of their own. */
  resetFreeByte(): void {
    this.#freeByte = 0;
  }

  /** Every count is another now. */
  startOver(): void {
    this.#firstFree = 0;
    this.#freeByte = 0;
    this.#quarantine.clear();
    this.#discards = [];
  }

  /** Where the search for free clusters begins again. */
  restartSearch(index = 0): void {
    this.#firstFree = Math.min(this.#firstFree, index);
  }

  async #find(bytes: number): Promise<number> {
    const { clusterSize } = this.#image.geometry;
    const wanted = Math.ceil(bytes / clusterSize);
    let index = this.#firstFree;
    for (let run = 0; run < wanted; ) {
      const count = this.get(index);
      const value = isPromise(count) ? await count : count;
      index++;
      run = value === 0 ? run + 1 : 0;
      if (index * clusterSize > MAX_HOST_OFFSET) throw new ErrnoFailure('EFBIG');
    }
    this.#firstFree = index;
    return (index - wanted) * clusterSize;
  }

  /** Counts one reference more; false when the clusters were taken meanwhile for the counting itself. */
  async #tryCount(offset: number, bytes: number): Promise<boolean> {
    try {
      await this.#add(offset, bytes, 1, 'never');
      return true;
    } catch (error) {
      if (!(error instanceof Retry)) throw error;
      this.restartSearch(Math.floor(offset / this.#image.geometry.clusterSize));
      return false;
    }
  }

  // Changing counts -----------------------------------------------------------------------------------------------------------

  /** Adds `delta` to the count of every cluster that `offset`..`offset + bytes` touches; all or none of them. */
  async add(offset: number, bytes: number, delta: number, reason: FreeReason): Promise<void> {
    try {
      await this.#add(offset, bytes, delta, reason);
    } catch (error) {
      throw error instanceof Retry ? new ErrnoFailure('EAGAIN') : error; // a referred cluster that no block counted
    }
  }

  async #add(offset: number, bytes: number, delta: number, reason: FreeReason): Promise<void> {
    if (bytes <= 0) return;
    const { clusterSize, refcountBlockEntries } = this.#image.geometry;
    // Counts that fall must not be on the medium before the L2 entries that stopped referring are.
    if (delta < 0) await this.#image.refcountCache.dependOn(this.#image.l2Cache);
    const first = Math.floor(offset / clusterSize), last = Math.floor((offset + bytes - 1) / clusterSize);
    const raisesEvents = this.#image.file.node.instance.debugEvent !== undefined;
    this.#holdDiscards++;
    let index = first;
    try {
      for (; index <= last; index++) {
        if (raisesEvents && (index === first || index % refcountBlockEntries === 0)) await this.#announceBlock(index);
        await this.#addToCluster(index, delta, reason);
      }
    } catch (error) {
      for (let undo = first; undo < index; undo++) await this.#addToCluster(undo, -delta, 'undo').catch(() => {});
      throw error;
    } finally {
      this.#holdDiscards--;
    }
    if (this.#discards.length > 0 && this.#holdDiscards === 0) await this.processDiscards();
  }

  /** The events before a change in the block of cluster `index`. */
  async #announceBlock(index: number): Promise<void> {
    const { file, geometry } = this.#image;
    await debugEvent(file, 'refblock_alloc');
    const offset = this.table[Math.floor(index / geometry.refcountBlockEntries)] ?? 0;
    if (offset !== 0) await debugEvent(file, 'refblock_load');
  }

  async #addToCluster(index: number, delta: number, reason: FreeReason | 'undo'): Promise<void> {
    const image = this.#image;
    const { refcountBlockEntries, refcountOrder, refcountMax, clusterSize } = image.geometry;
    const within = index % refcountBlockEntries;
    const tableIndex = (index - within) / refcountBlockEntries;
    let slice: TableSlice;
    const known = this.#block(tableIndex);
    if (known !== undefined) slice = isPromise(known) ? await known : known;
    else {
      if (delta < 0) throw new ErrnoFailure('EINVAL');
      slice = await this.#newBlock(index, tableIndex);
    }
    const count = getCount(slice.view, within, refcountOrder) + delta;
    if (count < 0 || count > refcountMax) throw new ErrnoFailure('EINVAL');
    image.refcountCache.markDirty(slice);
    setCount(slice.view, within, refcountOrder, count);
    if (count > 0) return;
    this.restartSearch(index);
    this.#forgetTables(index * clusterSize);
    if (!image.flags.noFlush && reason !== 'undo') this.#quarantine.add(index);
    if (this.passesDiscard(reason)) this.#queueDiscard(index * clusterSize, clusterSize);
  }

  #forgetTables(offset: number): void {
    const { refcountCache, l2Cache, geometry } = this.#image;
    refcountCache.forget(offset);
    l2Cache.forgetRange(offset, offset + geometry.clusterSize);
    if (roundDown(this.#freeByte, geometry.clusterSize) === offset) this.#freeByte = 0;
  }

  /** A new refcount block for cluster `index`, hooked up. Always ends in Retry, or an error: the search must see the block. */
  async #newBlock(index: number, tableIndex: number): Promise<never> {
    const image = this.#image;
    const { clusterSize, refcountBlockEntries, refcountOrder } = image.geometry;
    const offset = await this.#find(clusterSize);
    if (offset === 0) throw await image.corruption('Preventing invalid allocation of refcount block at offset 0');
    await this.#settleQuarantine(offset, clusterSize);
    const own = offset / clusterSize;
    const coversItself = Math.floor(own / refcountBlockEntries) === tableIndex;
    if (!coversItself) {
      // Counted by another block, which may have to be made first.
      await this.#add(offset, clusterSize, 1, 'never');
      await image.refcountCache.flush();
    }
    const slice = await image.refcountCache.getEmpty(offset);
    if (coversItself) setCount(slice.view, own % refcountBlockEntries, refcountOrder, 1);
    await debugEvent(image.file, 'refblock_alloc_write');
    await image.refcountCache.flush();
    if (tableIndex < this.table.length) await this.#setTableEntry(tableIndex, offset);
    else {
      await debugEvent(image.file, 'reftable_grow');
      const used = Math.ceil(Math.max(index + 1, own) / refcountBlockEntries);
      await this.makeArea(used * refcountBlockEntries * clusterSize, 0, false, { tableIndex, offset });
    }
    throw new Retry();
  }

  async #setTableEntry(tableIndex: number, offset: number): Promise<void> {
    const image = this.#image;
    const entry = new Uint8Array(8);
    new DataView(entry.buffer).setBigUint64(0, BigInt(offset));
    await debugEvent(image.file, 'refblock_alloc_hookup');
    await image.file.write(image.header.refcountTableOffset + tableIndex * 8, entry);
    this.table[tableIndex] = offset;
    image.overlaps.refcountBlockAdded(offset);
  }

  // Growing the table ---------------------------------------------------------------------------------------------------------

  /**
   * Builds a bigger refcount table at host offset `start`, behind the blocks that count it and themselves, then switches to
   * it with one write of the header. `additionalClusters` behind the area are covered too (but not counted). Returns the end.
   */
  async makeArea(
    start: number,
    additionalClusters: number,
    exact: boolean,
    newBlock?: { readonly tableIndex: number; readonly offset: number },
  ): Promise<number> {
    const image = this.#image;
    const { clusterSize, refcountBlockEntries } = image.geometry;
    const clusters = start / clusterSize + additionalClusters;
    const { blocks } = refcountMetadata(image.geometry, clusters, !exact);
    if (blocks > LIMIT.MAX_REFCOUNT_TABLE_BYTES / 8) throw new ErrnoFailure('EFBIG');
    const entries = roundUp(Math.max(exact ? blocks : blocks + Math.ceil(blocks / 2), this.table.length), clusterSize / 8);
    if (entries * 8 > LIMIT.MAX_REFCOUNT_TABLE_BYTES) throw new ErrnoFailure('EFBIG');
    const table = new Float64Array(entries);
    table.set(this.table);
    if (newBlock !== undefined) table[newBlock.tableIndex] = newBlock.offset;
    const firstBlock = Math.floor(start / (clusterSize * refcountBlockEntries));
    let newBlocks = 0;
    for (let index = firstBlock; index < blocks; index++) if (table[index] === 0) newBlocks++;
    const tableOffset = start + newBlocks * clusterSize;
    const end = tableOffset + entries * 8;
    await this.#fillArea(table, start, end, firstBlock, blocks);
    await debugEvent(image.file, 'refblock_alloc_write_blocks');
    await image.refcountCache.flush();
    await this.#switchTable(table, tableOffset);
    return end;
  }

  /** The blocks of a new area: each counts its part of `start`..`end`. */
  async #fillArea(table: Float64Array, start: number, end: number, firstBlock: number, blocks: number): Promise<void> {
    const image = this.#image;
    const { clusterSize, refcountBlockEntries, refcountOrder } = image.geometry;
    let at = start;
    const first = start / clusterSize, last = end / clusterSize;
    for (let index = firstBlock; index < blocks; index++) {
      let slice: TableSlice;
      if (table[index] === 0) {
        await image.overlaps.guard(OVERLAP.NONE, at, clusterSize);
        slice = await image.refcountCache.getEmpty(at);
        table[index] = at;
        at += clusterSize;
      } else slice = await image.refcountCache.get(table[index]!);
      const base = index * refcountBlockEntries;
      const from = Math.max(first, base), to = Math.min(last, base + refcountBlockEntries);
      for (let cluster = from; cluster < to; cluster++) {
        if (getCount(slice.view, cluster - base, refcountOrder) !== 0) {
          throw await image.corruption(`New refcount area at ${hex(start)} is in use`);
        }
        setCount(slice.view, cluster - base, refcountOrder, 1);
      }
      if (from < to) image.refcountCache.markDirty(slice);
    }
  }

  async #switchTable(table: Float64Array, offset: number): Promise<void> {
    const image = this.#image;
    const { header } = image;
    await image.overlaps.guard(OVERLAP.NONE, offset, table.length * 8);
    await debugEvent(image.file, 'refblock_alloc_write_table');
    await image.file.write(offset, encodeOffsets(table));
    await image.file.flush();
    await debugEvent(image.file, 'refblock_alloc_switch_table');
    const old = { offset: header.refcountTableOffset, clusters: header.refcountTableClusters };
    header.refcountTableOffset = offset;
    header.refcountTableClusters = (table.length * 8) / image.geometry.clusterSize;
    try {
      await image.writeHeaderFields('refcountTableOffset', 'refcountTableClusters');
      await image.file.flush();
    } catch (error) {
      header.refcountTableOffset = old.offset;
      header.refcountTableClusters = old.clusters;
      throw error;
    }
    this.replaceTable(table);
    await this.free(old.offset, old.clusters * image.geometry.clusterSize, 'other');
  }

  /** Another table is the image's now (also for check's rebuilding and amend). */
  replaceTable(table: Float64Array): void {
    this.table = table;
    this.#image.overlaps.reset();
  }

  /** A block is not in the table any more: it counts nothing, except perhaps itself. */
  async dropBlock(offset: number): Promise<void> {
    const { geometry, refcountCache } = this.#image;
    const { clusterSize, refcountBlockEntries } = geometry;
    const index = this.table.indexOf(offset);
    const countsItself = Math.floor(offset / clusterSize / refcountBlockEntries) === index;
    refcountCache.forget(offset);
    if (index >= 0) this.table[index] = 0;
    if (!countsItself) await this.free(offset, clusterSize, 'other');
    else this.restartSearch(offset / clusterSize);
  }

  // Freeing -------------------------------------------------------------------------------------------------------------------

  /** One reference less. Errors are told, not thrown: the clusters leak, which check mends. */
  async free(offset: number, bytes: number, reason: FreeReason): Promise<void> {
    await debugEvent(this.#image.file, 'cluster_free');
    try {
      await this.add(offset, bytes, -1, reason);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#image.host.print?.(`qcow2_free_clusters failed: ${error.message}`);
    }
  }

  /** Until `work` is done, space is given back in as few requests as possible. */
  async batchDiscards<T>(work: () => Promise<T>): Promise<T> {
    this.#holdDiscards++;
    try {
      return await work();
    } finally {
      this.#holdDiscards--;
      if (this.#holdDiscards === 0) await this.processDiscards();
    }
  }

  /** Whether space that becomes free for `reason` is given back to the host. */
  passesDiscard(reason: FreeReason | 'undo'): boolean {
    switch (reason) {
      case 'undo':
      case 'never':
        return false;
      case 'always':
        return true;
      case 'request':
        return this.#image.options.passDiscardRequest;
      case 'snapshot':
        return this.#image.options.passDiscardSnapshot;
      case 'other':
        return this.#image.options.passDiscardOther;
    }
  }

  /**
   * What is freed now cannot be read without its bytes (compressed clusters): nothing may refer to it on the medium any more when
   * its space is given back. Other clusters then read as zero, which is what a discarded one may do.
   */
  flushBeforeDiscards(): void {
    if (!this.#image.flags.noFlush) this.#flushBeforeDiscards = true;
  }

  #queueDiscard(start: number, count: number): void {
    const last = this.#discards.at(-1);
    if (last !== undefined && last.end === start) last.end += count;
    else this.#discards.push({ start, end: start + count });
  }

  /** Gives the space of freed clusters back to the host; what was allocated again meanwhile is kept. */
  async processDiscards(): Promise<void> {
    const ranges = this.#discards;
    this.#discards = [];
    const { clusterSize } = this.#image.geometry;
    if (ranges.length > 0 && this.#flushBeforeDiscards) {
      this.#flushBeforeDiscards = false;
      await this.#image.l2Cache.flush();
    }
    for (const { start, end } of ranges) {
      for (let at = start; at < end; ) {
        let stop = at;
        while (stop < end && (await this.get(stop / clusterSize)) === 0) stop += clusterSize;
        if (stop > at) await this.#image.file.discard(at, stop - at).catch(() => {});
        at = Math.max(stop, at + clusterSize);
      }
    }
  }

  // Reuse after a crash -------------------------------------------------------------------------------------------------------

  /** Everything freed before is on the medium now. */
  flushed(): void {
    this.#quarantine.clear();
  }

  get mustFlush(): boolean {
    return this.#quarantine.size > MAX_QUARANTINE;
  }

  /**
   * A cluster that was freed a moment ago may still be referred to on the medium. Before something else is written there, the
   * entries that no longer refer to it must be stable.
   */
  async #settleQuarantine(offset: number, bytes: number): Promise<void> {
    if (this.#quarantine.size === 0) return;
    const { clusterSize } = this.#image.geometry;
    const first = Math.floor(offset / clusterSize), last = Math.floor((offset + bytes - 1) / clusterSize);
    let reused = this.mustFlush;
    for (let index = first; index <= last && !reused; index++) reused = this.#quarantine.has(index);
    if (!reused) return;
    await this.#image.l2Cache.flush();
    this.flushed();
  }
}

const hex = (value: number): string => (value === 0 ? '0' : `0x${value.toString(16)}`);

/** A table of host offsets as it lies in the file. */
export function encodeOffsets(table: Float64Array): Uint8Array {
  const bytes = new Uint8Array(table.length * 8);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < table.length; index++) {
    const offset = table[index]!;
    view.setUint32(index * 8, Math.floor(offset / 2 ** 32));
    view.setUint32(index * 8 + 4, offset % 2 ** 32);
  }
  return bytes;
}

export function decodeOffsets(bytes: Uint8Array): Float64Array {
  const table = new Float64Array(bytes.length >> 3);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let index = 0; index < table.length; index++) {
    table[index] = view.getUint32(index * 8) * 2 ** 32 + ((view.getUint32(index * 8 + 4) & ~511) >>> 0);
  }
  return table;
}
