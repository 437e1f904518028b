// An open VHDX file without parent: blocks of 1 to 256 MiB that lie anywhere in the file. A block is allocated by growing the
// file (which makes it read as zeroes), writing the data, and changing the block's table entry through the log.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import type { BlockInstance, CheckRequest, CheckResult, DriverInfo } from '../driver.ts';
import { EntryTable } from '../image-format/entry-table.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import type { Edge } from '../node.ts';
import {
  BLOCK_ENTRY,
  blockEntry,
  chunkRatio,
  entryCount,
  entryIndex,
  offsetOf,
  placeErrors,
  stateOf,
  visitPresentBlocks,
} from './block-table.ts';
import type { Headers } from './headers.ts';
import { BLOCK, LOGICAL_SECTOR_BYTES, MIB, roundUp } from './layout.ts';
import type { Journal } from './log.ts';
import type { DiskParameters, Region } from './regions.ts';

export interface OpenedVhdx {
  readonly file: Edge;
  readonly headers: Headers;
  readonly journal: Journal;
  readonly parameters: DiskParameters;
  readonly blockTable: Region;
  readonly replayed: boolean;
  readonly newGuid: () => Uint8Array;
  readonly complain: (line: string) => void;
}

export class VhdxImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: LOGICAL_SECTOR_BYTES };
  hasZeroInit = true;
  readonly #opened: OpenedVhdx;
  readonly #file: Edge;
  readonly #blockSize: number;
  readonly #ratio: number;
  readonly #table: EntryTable;
  readonly #changes = new SerialQueue();
  #isMarkedWritten = false;
  #failedWrite = false;

  constructor(opened: OpenedVhdx) {
    const { file, parameters, blockTable, journal } = opened;
    this.#opened = opened;
    this.#file = file;
    this.size = parameters.size;
    this.#blockSize = parameters.blockSize;
    this.#ratio = chunkRatio(parameters);
    const write = (offset: number, bytes: Uint8Array): Promise<void> => journal.write(offset, bytes);
    this.#table = new EntryTable({ file, offset: blockTable.offset, count: entryCount(parameters), format: BLOCK_ENTRY, write });
  }

  /** A file with all blocks in place is as zero as the file below it. */
  async lookAtFirstBlock(): Promise<void> {
    if (this.#table.count === 0 || stateOf(await this.#table.get(0)) !== BLOCK.FULLY_PRESENT) return;
    this.hasZeroInit = this.#file.node.instance.hasZeroInit ?? false;
  }

  #entryOf(block: number): Eventual<number> {
    return this.#table.get(entryIndex(block, this.#ratio));
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    for (let at = 0; at < target.length; ) {
      const inBlock = (offset + at) % this.#blockSize;
      const count = Math.min(this.#blockSize - inBlock, target.length - at);
      const part = target.subarray(at, at + count);
      const reading = after(this.#entryOf(Math.floor((offset + at) / this.#blockSize)), (entry) => this.#readEntry(entry, inBlock, part));
      at += count;
      if (reading instanceof Promise) return reading.then(() => this.read(offset + at, target.subarray(at)));
    }
  }

  #readEntry(entry: number, inBlock: number, target: Uint8Array): Eventual<void> {
    switch (stateOf(entry)) {
      case BLOCK.FULLY_PRESENT:
        return this.#file.read(placeOf(entry) + inBlock, target);
      case BLOCK.NOT_PRESENT:
      case BLOCK.UNDEFINED:
      case BLOCK.ZERO:
      case BLOCK.UNMAPPED:
      case BLOCK.UNMAPPED_EARLY:
        target.fill(0);
        return;
      default:
        throw new ErrnoFailure('EIO');
    }
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    if (!this.#isMarkedWritten) await this.#changes.run(() => this.#markWritten());
    for (let at = 0; at < source.length; ) {
      const inBlock = (offset + at) % this.#blockSize;
      const count = Math.min(this.#blockSize - inBlock, source.length - at);
      await this.#writeBlock(Math.floor((offset + at) / this.#blockSize), inBlock, source.subarray(at, at + count));
      at += count;
    }
  }

  /** Before the first write: new identities for the file and what it holds. */
  async #markWritten(): Promise<void> {
    if (this.#isMarkedWritten) return;
    const { headers, newGuid } = this.#opened;
    await headers.update({ fileWriteGuid: newGuid(), dataWriteGuid: newGuid() });
    this.#isMarkedWritten = true;
  }

  async #writeBlock(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const entry = await this.#entryOf(block);
    const state = stateOf(entry);
    if (state === BLOCK.FULLY_PRESENT) return this.#file.write(placeOf(entry) + inBlock, source);
    if (state === BLOCK.PARTIALLY_PRESENT || state === 4) throw new ErrnoFailure('EIO');
    await this.#changes.run(() => this.#allocate(block, inBlock, source));
  }

  async #allocate(block: number, inBlock: number, source: Uint8Array): Promise<void> {
    const present = await this.#entryOf(block);
    if (stateOf(present) === BLOCK.FULLY_PRESENT) return this.#file.write(placeOf(present) + inBlock, source);
    if (this.#failedWrite) throw new ErrnoFailure('EIO');
    const place = roundUp(this.#file.size, MIB);
    await this.#file.truncate({ size: place + this.#blockSize, exact: false, preallocation: 'off', zeroWrite: true });
    await this.#file.write(place + inBlock, source);
    try {
      await this.#table.set(entryIndex(block, this.#ratio), blockEntry(place, BLOCK.FULLY_PRESENT));
    } catch (error) {
      this.#failedWrite = true; // the log may hold this change; another one would overwrite it
      throw error;
    }
  }

  info(): DriverInfo {
    return { clusterSize: this.#blockSize };
  }

  /** What was repaired by replaying the log on opening is counted here. */
  async check(_request: CheckRequest): Promise<CheckResult> {
    const { parameters, blockTable, complain, replayed } = this.#opened;
    const corruptionsFixed = replayed ? 1 : 0;
    const result: CheckResult = { corruptions: 0, leaks: 0, checkErrors: 0, corruptionsFixed, leaksFixed: 0, imageEndOffset: 0 };
    const fileSize = this.#file.size;
    await visitPresentBlocks({ file: this.#file, offset: blockTable.offset, ...parameters }, (index, offset, lengthBytes) => {
      for (const line of placeErrors(index, offset, lengthBytes, fileSize)) {
        complain(line);
        result.corruptions++;
      }
    });
    return result;
  }

  flush(): Promise<void> {
    return this.#changes.idle();
  }

  close(): Promise<void> {
    return this.#changes.idle();
  }
}

function placeOf(entry: number): number {
  const place = offsetOf(entry);
  if (place > 2 ** 52) throw new ErrnoFailure('EIO');
  return place;
}
