// An open Parallels image: one table from clusters to places in the file. New clusters go to the end, data first, then the
// table entry. From the first of them until it is closed the image says that it is in use.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import type { BlockInstance, CheckRequest, CheckResult } from '../driver.ts';
import { EntryTable, LE32 } from '../image-format/entry-table.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import { MAX_SIZE, SECTOR, type BlockNode, type Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { checkParallels } from './check.ts';
import { BAT_OFFSET, IN_USE, IN_USE_OFFSET, type ParallelsHeader } from './header.ts';

const STATUS_CLUSTERS_MAX = 4096;
/** New clusters that are filled and written together. */
const PART_BYTES = 1 << 20;
const ENTRY_MAX = 2 ** 32 - 1;

export class ParallelsImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly hasZeroInit = true;
  readonly supportsBacking = true;
  readonly #node: BlockNode;
  readonly #file: Edge;
  readonly #header: ParallelsHeader;
  readonly #bat: EntryTable;
  readonly #allocations = new SerialQueue();
  #fileEnd: number;
  #inUse = false;
  #wasOpen: boolean;

  constructor(node: BlockNode, file: Edge, header: ParallelsHeader) {
    this.#node = node;
    this.#file = file;
    this.#header = header;
    this.size = header.size;
    this.#wasOpen = header.wasOpen;
    this.#bat = new EntryTable({ file, offset: BAT_OFFSET, count: header.batEntries, format: LE32 });
    this.#fileEnd = Math.max(file.size, header.dataOffset);
  }

  /** Offset in the file; 0 when there is none. */
  #place(cluster: number): Eventual<number> {
    if (cluster >= this.#header.batEntries) return 0;
    return after(this.#bat.get(cluster), (entry) => {
      const offset = entry * this.#header.entryUnitBytes;
      if (offset > MAX_SIZE - this.#header.clusterBytes) throw new ErrnoFailure('EIO');
      return offset;
    });
  }

  async #runLength(cluster: number, place: number, max: number): Promise<number> {
    const step = place === 0 ? 0 : this.#header.clusterBytes;
    if (cluster >= this.#header.batEntries) return max;
    let count = 1;
    while (count < max && (await this.#place(cluster + count)) === place + count * step) count++;
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
    if (place !== 0) return this.#file.read(place + (offset % this.#header.clusterBytes), target);
    if (this.#node.backing !== undefined) return this.#node.backing.read(offset, target);
    target.fill(0);
  }

  // Writing ---------------------------------------------------------------------------------------------------------------

  async write(offset: number, source: Uint8Array): Promise<void> {
    const { clusterBytes, batEntries } = this.#header;
    for (let at = 0; at < source.length; ) {
      const inCluster = (offset + at) % clusterBytes;
      const cluster = (offset + at - inCluster) / clusterBytes;
      if (cluster >= batEntries) throw new ErrnoFailure('EINVAL');
      const count = Math.min(source.length - at, clusterBytes - inCluster);
      const part = source.subarray(at, at + count);
      const place = await this.#place(cluster);
      if (place !== 0) await this.#file.write(place + inCluster, part);
      else await this.#allocations.run(() => this.#allocate(cluster, inCluster, part));
      at += count;
    }
  }

  async #allocate(cluster: number, inCluster: number, source: Uint8Array): Promise<void> {
    const { clusterBytes, entryUnitBytes } = this.#header;
    const present = await this.#place(cluster);
    if (present !== 0) return this.#file.write(present + inCluster, source);
    const entry = Math.ceil(this.#fileEnd / entryUnitBytes);
    const start = entry * entryUnitBytes;
    if (entry > ENTRY_MAX || start > MAX_SIZE - clusterBytes) throw new ErrnoFailure('EFBIG');
    await this.#markInUse(true);
    this.#fileEnd = start + clusterBytes;
    const tail = inCluster + source.length;
    await this.#copyOld(cluster * clusterBytes, start, inCluster);
    await this.#file.write(start + inCluster, source);
    await this.#copyOld(cluster * clusterBytes + tail, start + tail, clusterBytes - tail);
    await this.#bat.set(cluster, entry);
  }

  /** Fills a part of a new cluster with what the guest saw there: the backing image, or zeroes, as the file is beyond its end. */
  async #copyOld(guestOffset: number, fileOffset: number, count: number): Promise<void> {
    const { backing } = this.#node;
    if (backing === undefined) {
      if (this.#file.size < fileOffset + count) await this.#file.resize(fileOffset + count);
      return;
    }
    for (let at = 0; at < count; at += PART_BYTES) {
      const part = new Uint8Array(Math.min(PART_BYTES, count - at));
      await backing.read(guestOffset + at, part);
      await this.#file.write(fileOffset + at, part);
    }
  }

  async #markInUse(inUse: boolean): Promise<void> {
    if (this.#inUse === inUse) return;
    this.#inUse = inUse;
    const field = new Uint8Array(4);
    new DataView(field.buffer).setUint32(0, inUse ? IN_USE.OPEN : IN_USE.CLOSED, true);
    await this.#file.write(IN_USE_OFFSET, field);
    await this.#file.flush();
  }

  // Describing ------------------------------------------------------------------------------------------------------------

  async status(offset: number, count: number): Promise<BlockStatus> {
    const { clusterBytes } = this.#header;
    const inCluster = offset % clusterBytes;
    const cluster = (offset - inCluster) / clusterBytes;
    const place = await this.#place(cluster);
    const most = Math.min(STATUS_CLUSTERS_MAX, Math.ceil((inCluster + count) / clusterBytes));
    const alike = Math.min(count, (await this.#runLength(cluster, place, most)) * clusterBytes - inCluster);
    if (place === 0) return { count: alike, flags: 0 };
    const flags = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED;
    return { count: alike, flags, hostOffset: place + inCluster, file: this.#file.node };
  }

  check(request: CheckRequest): Promise<CheckResult> {
    return this.#allocations.run(async () => {
      const result = await checkParallels(request, { header: this.#header, bat: this.#bat, file: this.#file, wasOpen: this.#wasOpen });
      if (request.fixErrors && this.#wasOpen) {
        this.#inUse = true;
        await this.#markInUse(false);
        this.#wasOpen = false;
      }
      this.#fileEnd = Math.max(this.#file.size, this.#header.dataOffset);
      return result;
    });
  }

  flush(): Promise<void> {
    return this.#allocations.idle();
  }

  async close(): Promise<void> {
    await this.#allocations.idle();
    if (!this.#inUse) return;
    await this.#file.flush();
    await this.#markInUse(false);
  }
}
