// Builds the refcount structures of a qcow2 image anew from counted references (`check -r all`): blocks for everything that is
// referenced and a table, all in free space, made the image's own with one write of the header. The old structures are
// left as they are, and are leaks afterwards.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';
import { setCount } from './refcount-width.ts';
import { encodeOffsets } from './refcounts.ts';
import type { ReferenceCounts } from './reference-counts.ts';

export async function rebuildRefcounts(image: Qcow2Image, counts: ReferenceCounts): Promise<void> {
  await image.refcountCache.empty();
  const rebuild = new Rebuild(image, counts);
  let grown = await rebuild.writeBlocks(0, counts.clusterCount);
  if (!grown) throw new ErrnoFailure('EIO', 'There are no references in the refcount table.');
  let tableCluster = -1;
  let tableClusters = 0;
  // The table is counted by blocks that it may have to grow for.
  while (grown) {
    for (let index = 0; index < tableClusters; index++) counts.set(tableCluster + index, 0);
    tableClusters = (rebuild.table.length * 8) / image.geometry.clusterSize;
    tableCluster = allocate(counts, tableClusters, 0).start;
    grown = await rebuild.writeBlocks(tableCluster, tableCluster + tableClusters);
  }
  await rebuild.switchTo(tableCluster);
}

async function explained(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    throw new ErrnoFailure(errno, `${what}: ${errnoText(errno)}`, { cause: error });
  }
}

/** The first run of `wanted` clusters without references at or after `from`; counts them. */
function allocate(counts: ReferenceCounts, wanted: number, from: number): { readonly start: number; readonly firstFree: number } {
  let firstFree: number | undefined;
  let run = 0;
  let cluster = from;
  for (; cluster < counts.clusterCount && run < wanted; cluster++) {
    if (counts.get(cluster) === 0) {
      run++;
      firstFree ??= cluster;
    } else run = 0;
  }
  const start = cluster - run;
  for (let index = 0; index < wanted; index++) counts.set(start + index, 1);
  return { start, firstFree: firstFree ?? from };
}

class Rebuild {
  readonly #image: Qcow2Image;
  readonly #counts: ReferenceCounts;
  /** Host offsets of the new blocks; whole clusters long. */
  table = new Float64Array(0);

  constructor(image: Qcow2Image, counts: ReferenceCounts) {
    this.#image = image;
    this.#counts = counts;
  }

  /** Writes the blocks that count the referenced clusters from `start` to `end`. True when the table has grown. */
  async writeBlocks(start: number, end: number): Promise<boolean> {
    const { refcountBlockEntries } = this.#image.geometry;
    let grown = false;
    let firstFree = 0;
    for (let cluster = this.#counts.skipEmpty(start); cluster < end; cluster = this.#counts.skipEmpty(cluster + 1)) {
      if (this.#counts.get(cluster) === 0) continue;
      const index = Math.floor(cluster / refcountBlockEntries);
      const blockStart = index * refcountBlockEntries;
      if ((this.table[index] ?? 0) === 0) {
        // Not in the range of a block that was written already.
        firstFree = Math.max(firstFree, blockStart);
        const found = allocate(this.#counts, 1, firstFree);
        firstFree = found.firstFree;
        grown = this.#enter(index, found.start * this.#image.geometry.clusterSize) || grown;
      }
      await this.#writeBlock(index);
      cluster = blockStart + refcountBlockEntries - 1;
    }
    return grown;
  }

  #enter(index: number, offset: number): boolean {
    const grows = index >= this.table.length;
    if (grows) {
      const entriesPerCluster = this.#image.geometry.clusterSize / 8;
      const table = new Float64Array(Math.ceil((index + 1) / entriesPerCluster) * entriesPerCluster);
      table.set(this.table);
      this.table = table;
    }
    this.table[index] = offset;
    return grows;
  }

  async #writeBlock(index: number): Promise<void> {
    const { geometry, overlaps, file } = this.#image;
    const { refcountBlockEntries, refcountOrder, clusterSize } = geometry;
    const block = new Uint8Array(clusterSize);
    const view = new DataView(block.buffer);
    const first = index * refcountBlockEntries;
    for (let within = 0; within < refcountBlockEntries; within++) {
      const count = this.#counts.get(first + within);
      if (count !== 0) setCount(view, within, refcountOrder, count);
    }
    const offset = this.table[index]!;
    await explained('ERROR writing refblock', async () => {
      await overlaps.guard(OVERLAP.NONE, offset, clusterSize);
      await file.write(offset, block);
    });
  }

  async switchTo(tableCluster: number): Promise<void> {
    const { geometry, overlaps, file, header, refcounts } = this.#image;
    const offset = tableCluster * geometry.clusterSize;
    const bytes = encodeOffsets(this.table);
    await explained('ERROR writing reftable', async () => {
      await overlaps.guard(OVERLAP.NONE, offset, bytes.length);
      await file.write(offset, bytes);
      await file.flush();
    });
    header.refcountTableOffset = offset;
    header.refcountTableClusters = bytes.length / geometry.clusterSize;
    await explained('ERROR setting reftable', async () => {
      await this.#image.writeHeaderFields('refcountTableOffset', 'refcountTableClusters');
      await file.flush();
    });
    refcounts.replaceTable(this.table);
    refcounts.restartSearch();
  }
}
