// An open qed image. Allocation appends to the file; no reference counts are kept, so an image that was not closed is walked
// through before it is written to again (NEED_CHECK). With a backing file, where a lost entry would show old data, the new
// cluster is flushed before the entry that points to it instead.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockInstance, CheckRequest, CheckResult, DriverInfo, TruncateRequest } from '../driver.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import { readLe64, TablePages, writeLe64 } from '../image-format/table-pages.ts';
import { MAX_SIZE, SECTOR, type BlockNode, type Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { checkQed } from './check.ts';
import { ENTRY, FEATURE, HEADER, isClusterOffset, isImageSize, isTableOffset, type QedHeader } from './header.ts';

const STATUS_CLUSTERS_MAX = 4096;
/** New clusters that are filled and written together. */
const RUN_BYTES = 1 << 20;

export interface QedParts {
  readonly node: BlockNode;
  readonly file: Edge;
  readonly header: QedHeader;
  readonly backing: { readonly name: string; readonly format: string | undefined } | undefined;
}

export class QedImage implements BlockInstance {
  readonly limits: { readonly requestAlignment: number; readonly pwriteZeroesAlignment: number };
  readonly hasZeroInit = true;
  readonly supportsBacking = true;
  backingFile?: { readonly name: string; readonly format: string | undefined };
  readonly #node: BlockNode;
  readonly #file: Edge;
  readonly #header: QedHeader;
  readonly #l1: TablePages;
  readonly #l2: TablePages;
  readonly #allocations = new SerialQueue();
  #fileEnd: number;
  /** NEED_CHECK was set here: an image that could not be mended stays marked. */
  #marked = false;

  constructor({ node, file, header, backing }: QedParts) {
    this.#node = node;
    this.#file = file;
    this.#header = header;
    if (backing !== undefined) this.backingFile = backing;
    this.limits = { requestAlignment: SECTOR, pwriteZeroesAlignment: header.clusterBytes };
    this.#l1 = new TablePages(file, header.tableBytes);
    this.#l2 = new TablePages(file, header.tableBytes);
    this.#fileEnd = Math.ceil(file.size / header.clusterBytes) * header.clusterBytes;
  }

  get size(): number {
    return this.#header.imageSize;
  }

  // Looking up ------------------------------------------------------------------------------------------------------------

  #entry(pages: TablePages, table: number, index: number): Eventual<number> {
    return after(pages.page(table, index), (page) => readLe64(page, pages.position(index)));
  }

  #l2Table(cluster: number): Eventual<number> {
    const header = this.#header;
    const entry = this.#entry(this.#l1, header.l1TableOffset, Math.floor(cluster / header.tableEntries));
    return after(entry, (table) => {
      if (table !== ENTRY.UNALLOCATED && !isTableOffset(header, table, this.#fileEnd)) throw new ErrnoFailure('EINVAL');
      return table;
    });
  }

  /** The offset of a guest cluster, or a value of ENTRY. */
  #place(cluster: number): Eventual<number> {
    return after(this.#l2Table(cluster), (table) => {
      if (table === ENTRY.UNALLOCATED) return ENTRY.UNALLOCATED;
      return after(this.#entry(this.#l2, table, cluster % this.#header.tableEntries), (place) => {
        if (place > ENTRY.ZERO && !isClusterOffset(this.#header, place, this.#fileEnd)) throw new ErrnoFailure('EINVAL');
        return place;
      });
    });
  }

  async #runLength(cluster: number, place: number, max: number): Promise<number> {
    const { clusterBytes, tableEntries } = this.#header;
    const table = await this.#l2Table(cluster);
    const step = place > ENTRY.ZERO ? clusterBytes : 0;
    const inTable = Math.min(max, tableEntries - (cluster % tableEntries));
    if (table === ENTRY.UNALLOCATED) return inTable;
    let count = 1;
    while (count < inTable && (await this.#entry(this.#l2, table, (cluster % tableEntries) + count)) === place + count * step) count++;
    return count;
  }

  // Reading ---------------------------------------------------------------------------------------------------------------

  read(offset: number, target: Uint8Array): Eventual<void> {
    const { clusterBytes } = this.#header;
    const inCluster = offset % clusterBytes;
    if (inCluster + target.length > clusterBytes) return this.#readRuns(offset, target);
    return after(this.#place((offset - inCluster) / clusterBytes), (place) => this.#readPlace(offset, place, target));
  }

  async #readRuns(offset: number, target: Uint8Array): Promise<void> {
    const { clusterBytes } = this.#header;
    for (let at = 0; at < target.length; ) {
      const inCluster = (offset + at) % clusterBytes;
      const cluster = (offset + at - inCluster) / clusterBytes;
      const place = await this.#place(cluster);
      const clusters = await this.#runLength(cluster, place, Math.ceil((inCluster + target.length - at) / clusterBytes));
      const count = Math.min(target.length - at, clusters * clusterBytes - inCluster);
      await this.#readPlace(offset + at, place, target.subarray(at, at + count));
      at += count;
    }
  }

  #readPlace(offset: number, place: number, target: Uint8Array): Eventual<void> {
    const backing = this.#node.backing;
    if (place > ENTRY.ZERO) return this.#file.read(place + (offset % this.#header.clusterBytes), target);
    if (place === ENTRY.UNALLOCATED && backing !== undefined) return backing.read(offset, target);
    target.fill(0);
  }

  // Writing ---------------------------------------------------------------------------------------------------------------

  async write(offset: number, source: Uint8Array): Promise<void> {
    const { clusterBytes } = this.#header;
    for (let at = 0; at < source.length; ) {
      const inCluster = (offset + at) % clusterBytes;
      const cluster = (offset + at - inCluster) / clusterBytes;
      const place = await this.#place(cluster);
      const rest = Math.min(source.length - at, Math.max(RUN_BYTES, clusterBytes));
      if (place <= ENTRY.ZERO) {
        at += await this.#allocations.run(() => this.#allocate(cluster, inCluster, source.subarray(at, at + rest)));
        continue;
      }
      const clusters = await this.#runLength(cluster, place, Math.ceil((inCluster + rest) / clusterBytes));
      const count = Math.min(rest, clusters * clusterBytes - inCluster);
      await this.#file.write(place + inCluster, source.subarray(at, at + count));
      at += count;
    }
  }

  /** New clusters for as much of `source` as needs them; answers how many bytes that was. */
  async #allocate(cluster: number, inCluster: number, source: Uint8Array): Promise<number> {
    const { clusterBytes, tableEntries } = this.#header;
    const most = Math.min(Math.ceil((inCluster + source.length) / clusterBytes), tableEntries - (cluster % tableEntries));
    let clusters = 0;
    while (clusters < most && (await this.#place(cluster + clusters)) <= ENTRY.ZERO) clusters++;
    if (clusters === 0) return 0; // somebody else was first
    const count = Math.min(source.length, clusters * clusterBytes - inCluster);
    await this.#markForCheck();
    const start = this.#reserve(clusters * clusterBytes);
    await this.#writeWithSurroundings(start, cluster, inCluster, source.subarray(0, count), clusters);
    await this.#setEntries(cluster, clusters, (nth) => start + nth * clusterBytes);
    return count;
  }

  /** Whole clusters, filled up with what was in the first and the last one. */
  async #writeWithSurroundings(start: number, cluster: number, inCluster: number, source: Uint8Array, clusters: number): Promise<void> {
    const { clusterBytes } = this.#header;
    const total = clusters * clusterBytes;
    const tail = inCluster + source.length;
    if (inCluster > 0) await this.#copyOld(cluster * clusterBytes, start, inCluster);
    await this.#file.write(start + inCluster, source);
    if (tail < total) await this.#copyOld(cluster * clusterBytes + tail, start + tail, total - tail);
  }

  async #copyOld(guestOffset: number, fileOffset: number, count: number): Promise<void> {
    for (let at = 0; at < count; at += RUN_BYTES) {
      const part = new Uint8Array(Math.min(RUN_BYTES, count - at));
      const known = Math.max(0, Math.min(part.length, this.size - guestOffset - at));
      if (known > 0) await this.read(guestOffset + at, part.subarray(0, known));
      await this.#file.write(fileOffset + at, part);
    }
  }

  #reserve(count: number): number {
    const start = this.#fileEnd;
    if (start > MAX_SIZE - count) throw new ErrnoFailure('EFBIG');
    this.#fileEnd = start + count;
    return start;
  }

  async #setEntries(cluster: number, count: number, value: (nth: number) => number): Promise<void> {
    const { tableEntries, tableBytes, l1TableOffset } = this.#header;
    let table = await this.#l2Table(cluster);
    const isNew = table === ENTRY.UNALLOCATED;
    if (isNew) {
      table = this.#reserve(tableBytes);
      await this.#file.writeZeroes(table, tableBytes);
    }
    if (this.#node.backing !== undefined) await this.#file.flush();
    await this.#l2.set(table, cluster % tableEntries, count, (view, at, nth) => writeLe64(view, at, value(nth)));
    if (!isNew) return;
    if (this.#node.backing !== undefined) await this.#file.flush();
    await this.#l1.set(l1TableOffset, Math.floor(cluster / tableEntries), 1, (view, at) => writeLe64(view, at, table));
  }

  async writeZeroes(offset: number, count: number): Promise<void> {
    const { clusterBytes } = this.#header;
    for (let at = offset; at < offset + count; ) {
      const cluster = Math.floor(at / clusterBytes);
      const end = Math.min(offset + count, (cluster + 1) * clusterBytes);
      const isWhole = at % clusterBytes === 0 && (end % clusterBytes === 0 || end === this.size);
      if (!isWhole) throw new ErrnoFailure('ENOTSUP');
      await this.#allocations.run(() => this.#zeroCluster(cluster, end - at));
      at = end;
    }
  }

  async #zeroCluster(cluster: number, count: number): Promise<void> {
    const place = await this.#place(cluster);
    if (place > ENTRY.ZERO) return this.#file.writeZeroes(place, count);
    if (place === ENTRY.ZERO) return;
    await this.#markForCheck();
    await this.#setEntries(cluster, 1, () => ENTRY.ZERO);
  }

  // Header ----------------------------------------------------------------------------------------------------------------

  async #markForCheck(): Promise<void> {
    if (this.#node.backing !== undefined || this.#header.features & FEATURE.NEED_CHECK) return;
    this.#header.features |= FEATURE.NEED_CHECK;
    this.#marked = true;
    await this.#writeHeader();
    await this.#file.flush();
  }

  async #unmarkForCheck(): Promise<void> {
    if (!(this.#header.features & FEATURE.NEED_CHECK)) return;
    await this.#file.flush();
    this.#header.features &= ~FEATURE.NEED_CHECK;
    await this.#writeHeader();
  }

  async #writeHeader(): Promise<void> {
    const { imageSize, features, backingFilenameOffset, backingFilenameSize } = this.#header;
    const bytes = await this.#file.readBytes(0, HEADER.sizeBytes);
    // Nobody here knows what the autoclear features say, so they are not true any more.
    const numbers = { features: BigInt(features), imageSize: BigInt(imageSize), autoclearFeatures: 0n };
    HEADER.write(bytes, { ...numbers, backingFilenameOffset, backingFilenameSize });
    await this.#file.write(0, bytes);
  }

  /** What a writer does first: unknown automatic features go, and an image that was not closed is repaired. */
  async prepareForWriting(): Promise<void> {
    if (this.#header.autoclearFeatures !== 0n) {
      await this.#writeHeader();
      await this.#file.flush();
    }
    if (this.#header.features & FEATURE.NEED_CHECK) await this.#checkAndClear(true);
  }

  async truncate({ size, preallocation }: TruncateRequest): Promise<void> {
    const { clusterBytes, tableBytes, imageSize } = this.#header;
    if (preallocation !== 'off') throw new ErrnoFailure('ENOTSUP', `Unsupported preallocation mode '${preallocation}'`);
    if (!isImageSize(size, clusterBytes, tableBytes)) throw new ErrnoFailure('EINVAL', 'Invalid image size specified');
    if (size < imageSize) throw new ErrnoFailure('ENOTSUP', 'Shrinking images is currently not supported');
    this.#header.imageSize = size;
    try {
      await this.#writeHeader();
    } catch (error) {
      this.#header.imageSize = imageSize;
      throw error;
    }
  }

  async changeBackingFile(name: string | undefined, format: string | undefined): Promise<void> {
    const header = this.#header;
    const bytes = new TextEncoder().encode(name ?? '');
    if (HEADER.sizeBytes + bytes.length > header.headerBytes) throw new ErrnoFailure('ENOSPC');
    header.features &= ~(FEATURE.BACKING_FILE | FEATURE.BACKING_FORMAT_NO_PROBE);
    if (name !== undefined) header.features |= FEATURE.BACKING_FILE | (format === 'raw' ? FEATURE.BACKING_FORMAT_NO_PROBE : 0);
    header.backingFilenameOffset = name === undefined ? 0 : HEADER.sizeBytes;
    header.backingFilenameSize = bytes.length;
    if (name !== undefined) await this.#file.write(HEADER.sizeBytes, bytes);
    await this.#writeHeader();
    await this.#file.flush();
    if (name === undefined) delete this.backingFile;
    else this.backingFile = { name, format: format === 'raw' ? 'raw' : undefined };
  }

  // Describing ------------------------------------------------------------------------------------------------------------

  check({ fixErrors, fixLeaks }: CheckRequest): Promise<CheckResult> {
    return this.#checkAndClear(fixErrors || fixLeaks);
  }

  async #checkAndClear(fix: boolean): Promise<CheckResult> {
    const fileSize = Math.floor(this.#file.size / this.#header.clusterBytes) * this.#header.clusterBytes;
    const result = await checkQed({ header: this.#header, fileSize, l1: this.#l1, l2: this.#l2, fix });
    if (fix && result.corruptions === 0) await this.#unmarkForCheck();
    return result;
  }

  async status(offset: number, count: number): Promise<BlockStatus> {
    const { clusterBytes } = this.#header;
    const inCluster = offset % clusterBytes;
    const cluster = (offset - inCluster) / clusterBytes;
    const place = await this.#place(cluster);
    const most = Math.min(STATUS_CLUSTERS_MAX, Math.ceil((inCluster + count) / clusterBytes));
    const alike = Math.min(count, (await this.#runLength(cluster, place, most)) * clusterBytes - inCluster);
    if (place === ENTRY.UNALLOCATED) return { count: alike, flags: 0 };
    if (place === ENTRY.ZERO) return { count: alike, flags: STATUS.ZERO | STATUS.ALLOCATED };
    const flags = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED;
    return { count: alike, flags, hostOffset: place + inCluster, file: this.#file.node };
  }

  info(): DriverInfo {
    return { clusterSize: this.#header.clusterBytes, isDirty: (this.#header.features & FEATURE.NEED_CHECK) !== 0 };
  }

  flush(): Promise<void> {
    return this.#allocations.idle();
  }

  async close(): Promise<void> {
    await this.#allocations.idle();
    if (this.#marked) await this.#unmarkForCheck();
  }
}

/** Names in the header end where they say, or at a NUL. */
export async function backingOf(file: Edge, header: QedHeader): Promise<QedParts['backing']> {
  if (!(header.features & FEATURE.BACKING_FILE)) return undefined;
  const { backingFilenameOffset: offset, backingFilenameSize: count, headerBytes, features } = header;
  if (offset + count > headerBytes) throw new Failure('invalid-format', 'QED backing filename offset is invalid');
  if (count > 1023) throw new Failure('invalid-format', 'Failed to read backing filename');
  const bytes = await file.readBytes(offset, count);
  const end = bytes.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  return { name, format: features & FEATURE.BACKING_FORMAT_NO_PROBE ? 'raw' : undefined };
}
