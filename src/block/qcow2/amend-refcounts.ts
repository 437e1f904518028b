// Another width of the refcounts for an open image (`amend -o refcount_bits=…`): new blocks and a new table are allocated with the
// old ones until nothing more is needed, then filled, then made the image's with one write of the header. Under the lock.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { geometryOf } from './geometry.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';
import { getCount, setCount } from './refcount-width.ts';
import { encodeOffsets } from './refcounts.ts';

export type Progress = (done: number, total: number) => void;

const TABLE_TOO_BIG = 'This operation would make the refcount table grow beyond the maximum size supported by QEMU, aborting';

async function explained<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    throw new ErrnoFailure(errno, `${what}: ${errnoText(errno)}`, { cause: error });
  }
}

/** What is to be done with a new block: `undefined` stands for one of zeroes. */
type BlockVisitor = (index: number, counts: DataView | undefined) => Promise<void>;

export async function changeRefcountWidth(image: Qcow2Image, order: number, progress: Progress): Promise<void> {
  const change = new WidthChange(image, order, progress);
  await change.allocate();
  await change.write();
  await change.switchOver();
}

class WidthChange {
  readonly #image: Qcow2Image;
  readonly #order: number;
  readonly #progress: Progress;
  readonly #blockEntries: number;
  /** Offsets of the new blocks; 0 for those that would count nothing. */
  #table = new Float64Array(0);
  #tableOffset = 0;
  #walks = 0;

  constructor(image: Qcow2Image, order: number, progress: Progress) {
    this.#image = image;
    this.#order = order;
    this.#progress = progress;
    this.#blockEntries = (image.geometry.clusterSize * 8) >> order;
  }

  /** Until everything that has to be counted, the new structures included, has its block. */
  async allocate(): Promise<void> {
    const { refcounts } = this.#image;
    let allocatedBytes = 0;
    for (let grown = true; grown;) {
      grown = false;
      await this.#walk(Math.max(this.#walks + 2, 3), async (index, counts) => {
        if (counts !== undefined && (await this.#provide(index))) grown = true;
      });
      if (!grown) break;
      if (allocatedBytes > 0) await refcounts.free(this.#tableOffset, allocatedBytes, 'never');
      allocatedBytes = this.#table.length * 8;
      this.#tableOffset = await explained('Failed to allocate the new reftable', () => refcounts.allocate(allocatedBytes));
    }
  }

  /** A place for block `index`; false when it has one. */
  async #provide(index: number): Promise<boolean> {
    const { clusterSize } = this.#image.geometry;
    if (index >= this.#table.length) {
      const perCluster = clusterSize / 8;
      const length = Math.ceil((index + 1) / perCluster) * perCluster;
      if (length * 8 > LIMIT.MAX_REFCOUNT_TABLE_BYTES) {
        throw new ErrnoFailure(
          'ENOTSUP',
          'This operation would make the refcount table grow beyond the maximum size supported by QEMU, aborting',
        );
      }
      const table = new Float64Array(length);
      table.set(this.#table);
      this.#table = table;
    }
    if (this.#table[index] !== 0) return false;
    this.#table[index] = await explained('Failed to allocate refblock', () => this.#image.refcounts.allocate(clusterSize));
    return true;
  }

  async write(): Promise<void> {
    const { overlaps, file, geometry } = this.#image;
    await this.#walk(this.#walks + 1, async (index, counts) => {
      const offset = this.#table[index] ?? 0;
      if (offset === 0 || counts === undefined) return;
      await explained('Overlap check failed', async () => overlaps.guard(OVERLAP.NONE, offset, geometry.clusterSize));
      const block = new Uint8Array(counts.buffer, counts.byteOffset, counts.byteLength);
      await explained('Failed to write refblock', async () => file.write(offset, block));
    });
  }

  /** Goes through all stored counts as blocks of the new width. */
  async #walk(totalWalks: number, visit: BlockVisitor): Promise<void> {
    const { refcounts, geometry } = this.#image;
    const { table } = refcounts;
    const walk = this.#walks++;
    const next = new NewBlocks(this.#blockEntries, this.#order, geometry.clusterSize, visit);
    for (let index = 0; index < table.length; index++) {
      this.#progress(walk * table.length + index, totalWalks * table.length);
      await this.#oldBlock(index, table[index]!, next);
    }
    await next.finish();
    this.#progress((walk + 1) * table.length, totalWalks * table.length);
  }

  async #oldBlock(index: number, offset: number, next: NewBlocks): Promise<void> {
    const image = this.#image;
    const { refcountBlockEntries, refcountOrder, clusterSize, clusterMask } = image.geometry;
    if (offset === 0) return next.skip(refcountBlockEntries);
    if ((offset & clusterMask) !== 0) {
      await image.corruption(`Refblock offset 0x${offset.toString(16)} unaligned (reftable index: 0x${index.toString(16)})`);
      throw new ErrnoFailure('EIO', 'Image is corrupt (unaligned refblock offset)');
    }
    // A copy: allocating for the new structures goes through the cache, too.
    const slice = await explained('Failed to retrieve refblock', async () => image.refcountCache.get(offset));
    const old = new DataView(slice.bytes.slice().buffer);
    const limit = this.#order === 6 ? Infinity : 2 ** (1 << this.#order);
    for (let within = 0; within < refcountBlockEntries; within++) {
      const count = getCount(old, within, refcountOrder);
      if (count >= limit) {
        const at = (index * refcountBlockEntries + within) * clusterSize;
        throw new ErrnoFailure(
          'EINVAL',
          `Cannot decrease refcount entry width to ${1 << this.#order} bits: ` +
            `Cluster at offset 0x${at.toString(16)} has a refcount of ${count}`,
        );
      }
      if (next.isFull) await next.settle();
      next.add(count);
    }
  }

  async switchOver(): Promise<void> {
    const image = this.#image;
    const { file, overlaps, refcounts, refcountCache, header, geometry } = image;
    const bytes = encodeOffsets(this.#table);
    await explained('Overlap check failed', async () => overlaps.guard(OVERLAP.NONE, this.#tableOffset, bytes.length));
    await explained('Failed to write the new reftable', async () => file.write(this.#tableOffset, bytes));
    await explained('Failed to flush the refblock cache', () => refcountCache.empty());
    const old = {
      table: refcounts.table,
      offset: header.refcountTableOffset,
      order: header.refcountOrder,
      clusters: header.refcountTableClusters,
    };
    header.refcountTableOffset = this.#tableOffset;
    header.refcountTableClusters = bytes.length / geometry.clusterSize;
    header.refcountOrder = this.#order;
    try {
      await file.flush();
      await explained('Failed to update the qcow2 header', () => image.writeHeader());
      await file.flush();
    } catch (error) {
      header.refcountTableOffset = old.offset;
      header.refcountTableClusters = old.clusters;
      header.refcountOrder = old.order;
      throw error;
    }
    image.geometry = geometryOf(header);
    refcounts.replaceTable(this.#table);
    for (const block of old.table) {
      if (block !== 0 && (block & geometry.clusterMask) === 0) await refcounts.free(block, geometry.clusterSize, 'other');
    }
    await refcounts.free(old.offset, old.clusters * geometry.clusterSize, 'other');
  }
}

/** Counts in the order of clusters, handed on in blocks of the new width. */
class NewBlocks {
  readonly #entries: number;
  readonly #order: number;
  readonly #visit: BlockVisitor;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #isEmpty = true;
  #filled = 0;
  #index = 0;

  constructor(entries: number, order: number, bytes: number, visit: BlockVisitor) {
    this.#entries = entries;
    this.#order = order;
    this.#visit = visit;
    this.#bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get isFull(): boolean {
    return this.#filled === this.#entries;
  }

  add(count: number): void {
    if (count !== 0) {
      setCount(this.#view, this.#filled, this.#order, count);
      this.#isEmpty = false;
    }
    this.#filled++;
  }

  /** Counts of zero, without looking at each. */
  async skip(count: number): Promise<void> {
    for (let rest = count; rest > 0;) {
      if (this.isFull) await this.settle();
      const step = Math.min(rest, this.#entries - this.#filled);
      this.#filled += step;
      rest -= step;
    }
  }

  async settle(): Promise<void> {
    await this.#visit(this.#index, this.#isEmpty ? undefined : this.#view);
    this.#index++;
    this.#filled = 0;
    this.#bytes.fill(0);
    this.#isEmpty = true;
  }

  async finish(): Promise<void> {
    if (this.#filled > 0) await this.settle();
  }
}
