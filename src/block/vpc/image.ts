// An open virtual hard disk. Fixed: the data, then the footer. Dynamic: a table of blocks, each with a bitmap of its sectors
// before it. As there are no differencing disks here, the bitmap decides nothing; a block that is written to has all its bits
// set. A block is allocated by writing the footer behind it, its bitmap and its data, then its table entry.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import type { BlockInstance, DriverInfo } from '../driver.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import type { Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { SECTOR_BYTES, UNUSED_BLOCK } from './layout.ts';
import type { DynamicImage, OpenedImage } from './open-image.ts';

const LIMITS = { requestAlignment: SECTOR_BYTES };

export class FixedVpcImage implements BlockInstance {
  readonly size: number;
  readonly limits = LIMITS;
  readonly hasZeroInit: boolean;
  readonly #file: Edge;

  constructor(file: Edge, { size }: OpenedImage) {
    this.#file = file;
    this.size = size;
    this.hasZeroInit = file.node.instance.hasZeroInit ?? false;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return this.#file.read(offset, target);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    return this.#file.write(offset, source);
  }

  status(offset: number, count: number): BlockStatus {
    const flags = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.RECURSE | STATUS.ALLOCATED;
    return { count, flags, hostOffset: offset, file: this.#file.node };
  }

  info(): DriverInfo {
    return { clusterSize: 0 };
  }

  close(): void {}
}

/** How many table entries one status answer looks at. */
const STATUS_BLOCKS_MAX = 1024;

export class DynamicVpcImage implements BlockInstance {
  readonly size: number;
  readonly limits = LIMITS;
  readonly hasZeroInit = true;
  readonly #file: Edge;
  readonly #footer: Uint8Array;
  readonly #image: DynamicImage;
  readonly #allocations = new SerialQueue();
  #freeOffset: number;
  /** The block whose bitmap is known to be full. */
  #fullBitmapAt = -1;

  constructor(file: Edge, { size, footer }: OpenedImage, image: DynamicImage) {
    this.#file = file;
    this.size = size;
    this.#footer = footer;
    this.#image = image;
    this.#freeOffset = image.freeOffset;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    const { blockSize, table } = this.#image;
    for (let at = 0; at < target.length; ) {
      const inBlock = (offset + at) % blockSize;
      const count = Math.min(blockSize - inBlock, target.length - at);
      const part = target.subarray(at, at + count);
      const reading = after(table.get(Math.floor((offset + at) / blockSize)), (entry) => this.#readEntry(entry, inBlock, part));
      at += count;
      if (reading instanceof Promise) return reading.then(() => this.read(offset + at, target.subarray(at)));
    }
  }

  #readEntry(entry: number, inBlock: number, target: Uint8Array): Eventual<void> {
    if (entry !== UNUSED_BLOCK) return this.#file.read(this.#dataOffset(entry) + inBlock, target);
    target.fill(0);
  }

  #dataOffset(entry: number): number {
    return entry * SECTOR_BYTES + this.#image.bitmapBytes;
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    const { blockSize } = this.#image;
    for (let at = 0; at < source.length; ) {
      const inBlock = (offset + at) % blockSize;
      const count = Math.min(blockSize - inBlock, source.length - at);
      await this.#writeBlock(Math.floor((offset + at) / blockSize), inBlock, source.subarray(at, at + count));
      at += count;
    }
  }

  async #writeBlock(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const entry = await this.#image.table.get(block);
    if (entry === UNUSED_BLOCK) return this.#allocations.run(() => this.#allocate(block, inBlock, source));
    await this.#fillBitmap(entry);
    await this.#file.write(this.#dataOffset(entry) + inBlock, source);
  }

  async #fillBitmap(entry: number): Promise<void> {
    if (this.#fullBitmapAt === entry) return;
    await this.#file.write(entry * SECTOR_BYTES, new Uint8Array(this.#image.bitmapBytes).fill(0xff));
    this.#fullBitmapAt = entry;
  }

  async #allocate(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const { table, blockSize, bitmapBytes } = this.#image;
    const present = await table.get(block);
    if (present !== UNUSED_BLOCK) return this.#writeBlock(block, inBlock, source);
    const start = this.#freeOffset;
    const entry = start / SECTOR_BYTES;
    if (entry >= UNUSED_BLOCK) throw new ErrnoFailure('EFBIG');
    const end = start + bitmapBytes + blockSize;
    await this.#file.write(end, this.#footer);
    await this.#fillBitmap(entry);
    await this.#file.write(this.#dataOffset(entry) + inBlock, source);
    this.#freeOffset = end;
    await table.set(block, entry);
  }

  async status(offset: number, count: number): Promise<BlockStatus> {
    const { blockSize, table } = this.#image;
    const first = Math.floor(offset / blockSize);
    const entry = await table.get(first);
    if (entry !== UNUSED_BLOCK) {
      const flags = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED;
      const inBlock = offset % blockSize;
      return { count: Math.min(count, blockSize - inBlock), flags, hostOffset: this.#dataOffset(entry) + inBlock, file: this.#file.node };
    }
    const end = Math.min(table.count, Math.ceil((offset + count) / blockSize), first + STATUS_BLOCKS_MAX);
    let block = first + 1;
    while (block < end && (await table.get(block)) === UNUSED_BLOCK) block++;
    return { count: Math.min(count, block * blockSize - offset), flags: STATUS.ZERO | STATUS.ALLOCATED };
  }

  info(): DriverInfo {
    return { clusterSize: this.#image.blockSize };
  }

  flush(): Promise<void> {
    return this.#allocations.idle();
  }

  close(): Promise<void> {
    return this.#allocations.idle();
  }
}
