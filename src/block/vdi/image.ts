// An open VirtualBox disk image: a map from blocks of 1 MiB to their places in the file. A block is allocated by writing it
// whole at the end, then the count in the header, then its map entry: a crash in between leaves space unused, nothing else.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import type { BlockInstance, CheckRequest, CheckResult, DriverInfo } from '../driver.ts';
import { EntryTable, LE32 } from '../image-format/entry-table.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import { MAX_SIZE as MAX_OFFSET, type Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { checkImage } from './check.ts';
import { BLOCK_BYTES, BLOCKS_ALLOCATED_OFFSET, IMAGE_TYPE, isAllocated, SECTOR_BYTES, type CheckedHeader, type Header } from './header.ts';

/** How many map entries one status answer looks at. */
const STATUS_BLOCKS_MAX = 1024;

export class VdiImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR_BYTES };
  readonly hasZeroInit: boolean;
  readonly #file: Edge;
  readonly #header: Header;
  readonly #map: EntryTable;
  readonly #allocations = new SerialQueue();
  #blocksAllocated: number;

  constructor(file: Edge, { header, diskSize }: CheckedHeader) {
    this.#file = file;
    this.#header = header;
    this.#blocksAllocated = header.blocksAllocated;
    this.size = diskSize;
    this.hasZeroInit = header.imageType !== IMAGE_TYPE.STATIC || (file.node.instance.hasZeroInit ?? false);
    this.#map = new EntryTable({ file, offset: header.mapOffset, count: header.blocksInImage, format: LE32 });
  }

  #hostOffset(entry: number): number {
    const offset = this.#header.dataOffset + entry * BLOCK_BYTES;
    if (offset > MAX_OFFSET - BLOCK_BYTES) throw new ErrnoFailure('EIO');
    return offset;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    for (let at = 0; at < target.length; ) {
      const inBlock = (offset + at) % BLOCK_BYTES;
      const count = Math.min(BLOCK_BYTES - inBlock, target.length - at);
      const entry = this.#map.get(Math.floor((offset + at) / BLOCK_BYTES));
      if (entry instanceof Promise) return this.#readSlowly(offset + at, target.subarray(at), entry);
      const reading = this.#readEntry(entry, inBlock, target.subarray(at, at + count));
      if (reading instanceof Promise) return this.#readSlowly(offset + at + count, target.subarray(at + count), reading);
      at += count;
    }
  }

  async #readSlowly(offset: number, target: Uint8Array, first: Promise<unknown>): Promise<void> {
    await first;
    await this.read(offset, target);
  }

  #readEntry(entry: number, inBlock: number, target: Uint8Array): Eventual<void> {
    if (!isAllocated(entry)) {
      target.fill(0);
      return;
    }
    return this.#file.read(this.#hostOffset(entry) + inBlock, target);
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    for (let at = 0; at < source.length; ) {
      const inBlock = (offset + at) % BLOCK_BYTES;
      const count = Math.min(BLOCK_BYTES - inBlock, source.length - at);
      await this.#writeBlock(Math.floor((offset + at) / BLOCK_BYTES), inBlock, source.subarray(at, at + count));
      at += count;
    }
  }

  async #writeBlock(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const entry = await this.#map.get(block);
    if (isAllocated(entry)) await this.#file.write(this.#hostOffset(entry) + inBlock, source);
    else await this.#allocations.run(() => this.#allocate(block, inBlock, source));
  }

  async #allocate(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const present = await this.#map.get(block);
    if (isAllocated(present)) return this.#file.write(this.#hostOffset(present) + inBlock, source);
    const entry = this.#blocksAllocated;
    if (!isAllocated(entry + 1)) throw new ErrnoFailure('EIO');
    const whole = source.length === BLOCK_BYTES ? source : new Uint8Array(BLOCK_BYTES);
    if (whole !== source) whole.set(source, inBlock);
    await this.#file.write(this.#hostOffset(entry), whole);
    this.#blocksAllocated = entry + 1;
    const count = new Uint8Array(4);
    new DataView(count.buffer).setUint32(0, entry + 1, true);
    await this.#file.write(BLOCKS_ALLOCATED_OFFSET, count);
    await this.#map.set(block, entry);
  }

  async status(offset: number, count: number): Promise<BlockStatus> {
    const first = Math.floor(offset / BLOCK_BYTES);
    const end = Math.min(this.#map.count, Math.ceil((offset + count) / BLOCK_BYTES), first + STATUS_BLOCKS_MAX);
    const entry = await this.#map.get(first);
    const allocated = isAllocated(entry);
    let block = first + 1;
    for (; block < end; block++) {
      const next = await this.#map.get(block);
      if (allocated ? next !== entry + (block - first) : isAllocated(next)) break;
    }
    const alike = Math.min(count, block * BLOCK_BYTES - offset);
    if (!allocated) return { count: alike, flags: STATUS.ZERO | STATUS.ALLOCATED };
    const recurse = this.#header.imageType === IMAGE_TYPE.STATIC ? STATUS.RECURSE : 0;
    const hostOffset = this.#hostOffset(entry) + (offset % BLOCK_BYTES);
    return { count: alike, flags: STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED | recurse, hostOffset, file: this.#file.node };
  }

  info(): DriverInfo {
    return { clusterSize: BLOCK_BYTES };
  }

  check(request: CheckRequest): Promise<CheckResult> {
    return checkImage(request, {
      entryAt: (index) => this.#map.get(index),
      blocks: this.#map.count,
      mapEnd: this.#header.mapOffset + 4 * this.#map.count,
      fileSize: this.#file.size,
      blocksAllocated: this.#blocksAllocated,
    });
  }

  flush(): Promise<void> {
    return this.#allocations.idle();
  }

  close(): Promise<void> {
    return this.#allocations.idle();
  }
}
