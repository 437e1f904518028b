// The second half of `check`: compares the counted references with the stored refcounts, and the COPIED flags with both; mends
// what can be mended entry by entry. Counting is check-references.ts, building the refcounts anew is rebuild.ts.
import { errnoOf, errnoText } from '../../base/errno.ts';
import { isPromise } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { CheckRequest, CheckResult } from '../driver.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';
import { readTable } from './check-references.ts';
import { getCount, setCount } from './refcount-width.ts';
import { ReferenceCounts } from './reference-counts.ts';
import type { TableSlice } from './table-cache.ts';
import { clusterType, hex64, hostOffset, UPPER } from './table-entries.ts';

interface Difference {
  readonly cluster: number;
  readonly stored: number;
  /** `stored` exactly. */
  readonly storedText: string;
  readonly counted: number;
}

export interface Comparison {
  /** Nothing is referenced or counted above this cluster. */
  highestCluster: number;
  /** A cluster in use has no refcount: it may have been given away already. */
  mustRebuild: boolean;
}

export class RefcountComparison {
  readonly #image: Qcow2Image;
  readonly #counts: ReferenceCounts;
  readonly #request: CheckRequest;
  readonly #result: CheckResult;
  readonly #fixLeaks: boolean;
  readonly #fixErrors: boolean;
  readonly #outcome: Comparison = { highestCluster: 0, mustRebuild: false };

  constructor(
    image: Qcow2Image,
    counts: ReferenceCounts,
    request: CheckRequest,
    result: CheckResult,
    fix: { readonly leaks: boolean; readonly errors: boolean },
  ) {
    this.#image = image;
    this.#counts = counts;
    this.#request = request;
    this.#result = result;
    this.#fixLeaks = fix.leaks;
    this.#fixErrors = fix.errors;
  }

  async run(): Promise<Comparison> {
    const { refcountBlockEntries } = this.#image.geometry;
    const total = this.#counts.clusterCount;
    await this.#image.refcounts.batchDiscards(async () => {
      let nextCounted = 0;
      for (let index = 0; index * refcountBlockEntries < total; index++) {
        const first = index * refcountBlockEntries;
        const end = Math.min(total, first + refcountBlockEntries);
        const hasBlock = (this.#image.refcounts.table[index] ?? 0) !== 0;
        if (nextCounted < first) nextCounted = this.#counts.skipEmpty(first);
        if (hasBlock || nextCounted < end) await this.#block(index, first, end);
      }
    });
    return this.#outcome;
  }

  async #block(index: number, first: number, end: number): Promise<void> {
    let slice: TableSlice | undefined;
    const offset = this.#image.refcounts.table[index] ?? 0;
    if (offset !== 0) {
      try {
        await this.#image.refcounts.get(first); // complains about one that is not aligned
        const got = this.#image.refcountCache.get(offset);
        slice = isPromise(got) ? await got : got;
      } catch (error) {
        return this.#unreadable(first, end, error);
      }
    }
    for (const difference of this.#differences(slice, first, end)) await this.#settle(difference);
  }

  #unreadable(first: number, end: number, error: unknown): void {
    if (!(error instanceof Failure)) throw error;
    const text = errnoText(errnoOf(error));
    for (let cluster = first; cluster < end; cluster++) {
      this.#request.report(`Can't get refcount for cluster ${cluster}: ${text}`, 'stderr');
      this.#result.checkErrors++;
    }
  }

  /** What differs in the range of one refcount block; undefined stands for a block of zeroes. */
  #differences(slice: TableSlice | undefined, first: number, end: number): Difference[] {
    const { refcountOrder } = this.#image.geometry;
    const base = first;
    const found: Difference[] = [];
    for (let cluster = slice === undefined ? this.#counts.skipEmpty(first) : first; cluster < end; cluster++) {
      const within = cluster - base;
      const stored = slice === undefined ? 0 : getCount(slice.view, within, refcountOrder);
      const counted = this.#counts.get(cluster);
      if (stored > 0 || counted > 0) this.#outcome.highestCluster = cluster;
      if (stored === counted) continue;
      const storedText = refcountOrder === 6 && slice !== undefined ? String(slice.view.getBigUint64(within * 8)) : String(stored);
      found.push({ cluster, stored, storedText, counted });
    }
    return found;
  }

  async #settle({ cluster, stored, storedText, counted }: Difference): Promise<void> {
    let fix = false;
    if (stored === 0) this.#outcome.mustRebuild = true;
    else fix = stored > counted ? this.#fixLeaks : this.#fixErrors;
    const what = fix ? 'Repairing' : stored < counted ? 'ERROR' : 'Leaked';
    this.#request.report(`${what} cluster ${cluster} refcount=${storedText} reference=${counted}`, 'stderr');
    if (fix && (await this.#correct(cluster, stored, counted))) {
      if (stored > counted) this.#result.leaksFixed++;
      else this.#result.corruptionsFixed++;
    } else if (stored < counted) this.#result.corruptions++;
    else this.#result.leaks++;
  }

  async #correct(cluster: number, stored: number, counted: number): Promise<boolean> {
    const { clusterSize } = this.#image.geometry;
    try {
      if (stored > Number.MAX_SAFE_INTEGER) await this.#replace(cluster, counted);
      else await this.#image.refcounts.add(cluster * clusterSize, 1, counted - stored, 'always');
      return true;
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
  }

  /** For counts that are no exact numbers: there is no difference to add. */
  async #replace(cluster: number, count: number): Promise<void> {
    const { geometry, refcounts, refcountCache } = this.#image;
    const { refcountBlockEntries, refcountOrder } = geometry;
    const slice = await refcountCache.get(refcounts.table[Math.floor(cluster / refcountBlockEntries)]!);
    setCount(slice.view, cluster % refcountBlockEntries, refcountOrder, count);
    refcountCache.markDirty(slice);
  }
}

/** Tables with wrong flags are looked at again this often when more than one L1 entry names them. */
const MAX_REPEATED_TABLES = 64;
const VISITED = 1;
const VISITED_IS_WRONG = 2;

/** Checks that the COPIED flags of the active tables say whether a refcount is exactly one, and sets them right when `repair`. */
export class CopiedFlagCheck {
  readonly #image: Qcow2Image;
  readonly #request: CheckRequest;
  readonly #result: CheckResult;
  readonly #repair: boolean;
  /** L2 tables that were looked at, by cluster. */
  readonly #visited: ReferenceCounts;
  #repeated = 0;

  constructor(image: Qcow2Image, request: CheckRequest, result: CheckResult, repair: boolean) {
    this.#image = image;
    this.#request = request;
    this.#result = result;
    this.#repair = repair;
    this.#visited = new ReferenceCounts(8, 0);
  }

  get #verb(): string {
    return this.#repair ? 'Repairing' : 'ERROR';
  }

  async run(): Promise<void> {
    const { l1 } = this.#image;
    for (let index = 0; index < l1.length; index++) {
      const offset = l1.offsetAt(index);
      if (offset === 0) continue;
      const refcount = await this.#refcount(offset);
      if (refcount === undefined) continue;
      if ((refcount === 1) !== l1.isCopied(index)) await this.#l1Entry(index, offset, refcount);
      // Beyond the end of the file there are no entries.
      if (offset < this.#image.file.size && this.#isWorthALook(offset) && !(await this.#l2Table(offset))) return;
    }
  }

  /** False for a table that was found right before, or wrong too often. */
  #isWorthALook(offset: number): boolean {
    const { clusterSize } = this.#image.geometry;
    const state = this.#visited.get(Math.floor(offset / clusterSize));
    if (state === 0) return true;
    if (state === VISITED && offset % clusterSize === 0) return false;
    return ++this.#repeated <= MAX_REPEATED_TABLES;
  }

  /** Undefined when it cannot be read: that was reported before. */
  async #refcount(offset: number): Promise<number | undefined> {
    try {
      return await this.#image.refcounts.get(Math.floor(offset / this.#image.geometry.clusterSize));
    } catch (error) {
      if (error instanceof Failure) return undefined;
      throw error;
    }
  }

  async #l1Entry(index: number, offset: number, refcount: number): Promise<void> {
    const { l1, header, overlaps, file } = this.#image;
    const entry = hex64(l1.view.getUint32(index * 8), l1.view.getUint32(index * 8 + 4));
    this.#result.corruptions++;
    this.#request.report(`${this.#verb} OFLAG_COPIED L2 cluster: l1_index=${index} l1_entry=${entry} refcount=${refcount}`, 'stderr');
    if (!this.#repair) return;
    const upper = l1.view.getUint32(index * 8);
    l1.view.setUint32(index * 8, refcount === 1 ? (upper | UPPER.COPIED) >>> 0 : upper & ~UPPER.COPIED);
    const { start, bytes } = l1.sectorOf(index);
    try {
      await overlaps.guard(OVERLAP.ACTIVE_L1, header.l1TableOffset + start, bytes.length);
      await file.write(header.l1TableOffset + start, bytes);
      await file.flush();
    } catch (error) {
      this.#result.checkErrors++;
      throw error;
    }
    this.#result.corruptions--;
    this.#result.corruptionsFixed++;
  }

  /** False when the check cannot go on. */
  async #l2Table(offset: number): Promise<boolean> {
    const { geometry, file } = this.#image;
    let bytes: Uint8Array;
    try {
      bytes = await readTable(file, offset, geometry.clusterSize);
    } catch (error) {
      this.#request.report(`ERROR: Could not read L2 table: ${errnoText(errnoOf(error))}`, 'stderr');
      this.#result.checkErrors++;
      throw error;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let changed = 0;
    const { corruptions } = this.#result;
    for (let index = 0; index < geometry.l2Entries; index++) {
      const at = index * geometry.l2EntryBytes;
      if (view.getUint32(at) === 0 && view.getUint32(at + 4) === 0) continue;
      if (await this.#l2Entry(view, at)) changed++;
    }
    const isRight = this.#result.corruptions === corruptions || changed > 0;
    this.#visited.set(Math.floor(offset / geometry.clusterSize), isRight ? VISITED : VISITED_IS_WRONG);
    return changed === 0 || this.#writeL2(offset, bytes, changed);
  }

  /** Whether the entry was changed. */
  async #l2Entry(view: DataView, at: number): Promise<boolean> {
    const { geometry, hasDataFile } = this.#image;
    const upper = view.getUint32(at);
    const lower = view.getUint32(at + 4);
    const type = clusterType(upper, lower, geometry.extendedL2, hasDataFile);
    if (type !== 'normal' && type !== 'zero-allocated') return false;
    const refcount = hasDataFile ? 1 : await this.#refcount(hostOffset(upper, lower));
    if (refcount === undefined || (refcount === 1) === ((upper & UPPER.COPIED) !== 0)) return false;
    this.#result.corruptions++;
    this.#request.report(`${this.#verb} OFLAG_COPIED data cluster: l2_entry=${hex64(upper, lower)} refcount=${refcount}`, 'stderr');
    if (!this.#repair) return false;
    view.setUint32(at, refcount === 1 ? (upper | UPPER.COPIED) >>> 0 : upper & ~UPPER.COPIED);
    return true;
  }

  async #writeL2(offset: number, bytes: Uint8Array, changed: number): Promise<boolean> {
    const { overlaps, file } = this.#image;
    try {
      await overlaps.guard(OVERLAP.ACTIVE_L2, offset, bytes.length);
    } catch (error) {
      this.#request.report(`ERROR: Could not write L2 table; metadata overlap check failed: ${errnoText(errnoOf(error))}`, 'stderr');
      this.#result.checkErrors++;
      throw error;
    }
    try {
      await file.write(offset, bytes);
    } catch (error) {
      this.#request.report(`ERROR: Could not write L2 table: ${errnoText(errnoOf(error))}`, 'stderr');
      this.#result.checkErrors++;
      throw error;
    }
    this.#result.corruptions -= changed;
    this.#result.corruptionsFixed += changed;
    return true;
  }
}
