// Checking a qed image: every table and cluster lies inside the file, and none is used twice. Entries that lead nowhere can be
// repaired by making them unallocated; clusters that nobody uses are only counted.
import { isZero } from '../../base/zero.ts';
import { Failure } from '../../base/failure.ts';
import type { CheckResult } from '../driver.ts';
import { readLe64, writeLe64, type TablePages } from '../image-format/table-pages.ts';
import { ENTRY, isClusterOffset, isTableOffset, TABLE_ENTRY_BYTES, type QedHeader } from './header.ts';

export interface QedCheck {
  readonly header: QedHeader;
  readonly fileSize: number;
  readonly l1: TablePages;
  readonly l2: TablePages;
  readonly fix: boolean;
}

const BITS = 32;
/** The bitmap of used clusters may not take more than this. */
const BITMAP_CLUSTERS_MAX = 2 ** 31;

class UsedClusters {
  readonly #bits: Uint32Array;

  constructor(clusters: number) {
    this.#bits = new Uint32Array(Math.ceil(clusters / BITS));
  }

  has(cluster: number): boolean {
    return ((this.#bits[Math.floor(cluster / BITS)]! >>> cluster % BITS) & 1) !== 0;
  }

  add(cluster: number): void {
    this.#bits[Math.floor(cluster / BITS)]! |= 1 << cluster % BITS;
  }
}

export async function checkQed(check: QedCheck): Promise<CheckResult> {
  const { header, fileSize } = check;
  const { clusterBytes } = header;
  const clusters = Math.floor(fileSize / clusterBytes);
  if (clusters > BITMAP_CLUSTERS_MAX) throw new Failure('limit', 'The image is too large to be checked');
  const run = new CheckRun(check, new UsedClusters(clusters));
  const headerClusters = Math.min(clusters, header.headerBytes / clusterBytes);
  run.use(0, headerClusters);
  run.use(header.l1TableOffset, header.tableBytes / clusterBytes);
  await run.walkL1();
  let leaks = 0;
  for (let cluster = headerClusters; cluster < clusters; cluster++) if (!run.used.has(cluster)) leaks++;
  return {
    corruptions: run.corruptions - run.fixed,
    leaks,
    checkErrors: 0,
    corruptionsFixed: run.fixed,
    leaksFixed: 0,
    imageEndOffset: 0,
    fragmentation: {
      total: Math.ceil(header.imageSize / clusterBytes),
      allocated: run.allocated,
      fragmented: run.fragmented,
      compressed: 0,
    },
  };
}

class CheckRun {
  readonly used: UsedClusters;
  corruptions = 0;
  fixed = 0;
  allocated = 0;
  fragmented = 0;
  readonly #check: QedCheck;

  constructor(check: QedCheck, used: UsedClusters) {
    this.#check = check;
    this.used = used;
  }

  /** Marks clusters; each that was marked before is an error. */
  use(offset: number, count: number): boolean {
    const first = offset / this.#check.header.clusterBytes;
    const before = this.corruptions;
    for (let cluster = first; cluster < first + count; cluster++) {
      if (this.used.has(cluster)) this.corruptions++;
      this.used.add(cluster);
    }
    return this.corruptions === before;
  }

  async walkL1(): Promise<void> {
    const { header, fileSize, l1 } = this.#check;
    const tableClusters = header.tableBytes / header.clusterBytes;
    await this.#walk(l1, header.l1TableOffset, async (offset) => {
      if (!isTableOffset(header, offset, fileSize)) return false;
      if (this.use(offset, tableClusters)) await this.#walkL2(offset);
      return true;
    });
  }

  async #walkL2(tableOffset: number): Promise<void> {
    const { header, fileSize, l2 } = this.#check;
    let last = 0;
    await this.#walk(l2, tableOffset, (offset) => {
      if (offset === ENTRY.ZERO) return true;
      this.allocated++;
      if (last !== 0 && last + header.clusterBytes !== offset) this.fragmented++;
      last = offset;
      if (!isClusterOffset(header, offset, fileSize)) return false;
      this.use(offset, 1);
      return true;
    });
  }

  /** Shows `visit` every entry that is not 0; one that it finds wrong is counted, and cleared when repairs are wanted. */
  async #walk(pages: TablePages, tableOffset: number, visit: (offset: number) => boolean | Promise<boolean>): Promise<void> {
    const { tableEntries } = this.#check.header;
    for (let index = 0; index < tableEntries; ) {
      const page = await pages.page(tableOffset, index);
      const count = page.byteLength / TABLE_ENTRY_BYTES;
      const empty = isZero(new Uint8Array(page.buffer));
      for (let nth = 0; nth < count && !empty; nth++) {
        const offset = readLe64(page, nth * TABLE_ENTRY_BYTES);
        if (offset === ENTRY.UNALLOCATED || (await visit(offset))) continue;
        this.corruptions++;
        if (!this.#check.fix) continue;
        await pages.set(tableOffset, index + nth, 1, (view, at) => writeLe64(view, at, ENTRY.UNALLOCATED));
        this.fixed++;
      }
      index += count;
    }
  }
}
