// The extents of an open virtual disk: flat ones, which are a part of a file, and sparse ones, where the disk lies in grains.
// A grain is allocated by writing it whole at the end of the file and then entering it into the tables; a compressed one is
// written once and never changed. What is unallocated is the parent's.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Compression } from '../../ports/codec.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import type { Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { GRAIN, GrainTables } from './grain-tables.ts';
import { grainMarkerLayout, SECTOR_BYTES, ZEROED_GRAIN } from './layout.ts';
import type { SparseGeometry } from './sparse-header.ts';

/** Reads what an extent leaves to the parent image. Offsets are the extent's. */
export type ReadParent = (offset: number, target: Uint8Array) => Eventual<void>;

export interface Extent {
  readonly file: Edge;
  readonly size: number;
  /** As the descriptor calls it; nothing for a disk that is one file. */
  readonly type: string;
  readonly grainBytes: number | undefined;
  readonly isCompressed: boolean;
  readonly hasZeroedGrains: boolean;
  read(offset: number, target: Uint8Array, parent: ReadParent): Eventual<void>;
  write(offset: number, source: Uint8Array, parent: ReadParent): Eventual<void>;
  /** Whole grains; ErrnoFailure ENOTSUP when tables cannot say zero. */
  writeZeroes(offset: number, count: number): Eventual<void>;
  status(offset: number, count: number): Eventual<BlockStatus>;
  /** The first sector whose grain is not in the file; undefined when all is well. */
  check(): Promise<number | undefined>;
  close(): Eventual<void>;
}

export class FlatExtent implements Extent {
  readonly grainBytes = undefined;
  readonly isCompressed = false;
  readonly hasZeroedGrains = false;
  readonly file: Edge;
  readonly size: number;
  readonly type: string;
  readonly #start: number;

  constructor(file: Edge, type: string, start: number, size: number) {
    this.file = file;
    this.type = type;
    this.size = size;
    this.#start = start;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return this.file.read(this.#start + offset, target);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    return this.file.write(this.#start + offset, source);
  }

  writeZeroes(): void {
    throw new ErrnoFailure('ENOTSUP');
  }

  status(offset: number, count: number): BlockStatus {
    const flags = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.RECURSE | STATUS.ALLOCATED;
    return { count, flags, hostOffset: this.#start + offset, file: this.file.node };
  }

  async check(): Promise<number | undefined> {
    return this.#start >= this.file.size && this.size > 0 ? 0 : undefined;
  }

  close(): void {}
}

/** A new grain is written whole. */
const MAX_GRAIN_BYTES = 64 << 20;
/** How many grains one status answer looks at. */
const STATUS_GRAINS_MAX = 4096;

export class SparseExtent implements Extent {
  readonly file: Edge;
  readonly size: number;
  readonly type: string;
  readonly grainBytes: number;
  readonly isCompressed: boolean;
  readonly hasZeroedGrains: boolean;
  readonly #geometry: SparseGeometry;
  readonly #tables: GrainTables;
  readonly #compression: Compression;
  readonly #allocations = new SerialQueue();
  #nextPlace: number;

  constructor(file: Edge, type: string, geometry: SparseGeometry, compression: Compression) {
    this.file = file;
    this.type = type;
    this.size = geometry.capacitySectors * SECTOR_BYTES;
    this.grainBytes = geometry.grainSectors * SECTOR_BYTES;
    this.isCompressed = geometry.isCompressed;
    this.hasZeroedGrains = geometry.hasZeroedGrains;
    this.#geometry = geometry;
    this.#tables = new GrainTables(file, geometry);
    this.#compression = compression;
    this.#nextPlace = Math.ceil(file.size / this.grainBytes) * this.grainBytes;
  }

  read(offset: number, target: Uint8Array, parent: ReadParent): Eventual<void> {
    const { grainBytes } = this;
    for (let at = 0; at < target.length; ) {
      const inGrain = (offset + at) % grainBytes;
      const count = Math.min(grainBytes - inGrain, target.length - at);
      const part = target.subarray(at, at + count);
      const start = offset + at;
      const reading = after(this.#tables.lookup(Math.floor(start / grainBytes)), (place) => this.#readGrain(place, start, part, parent));
      at += count;
      if (reading instanceof Promise) return reading.then(() => this.read(offset + at, target.subarray(at), parent));
    }
  }

  #readGrain(place: number, offset: number, target: Uint8Array, parent: ReadParent): Eventual<void> {
    if (place === GRAIN.UNALLOCATED) return parent(offset, target);
    if (place === GRAIN.ZEROED) {
      target.fill(0);
      return;
    }
    if (!(place >= 0)) throw new ErrnoFailure('EIO'); // not a number: an entry without meaning
    const inGrain = offset % this.grainBytes;
    return this.isCompressed ? this.#readCompressed(place, offset, target) : this.file.read(place + inGrain, target);
  }

  async #readCompressed(place: number, offset: number, target: Uint8Array): Promise<void> {
    const inGrain = offset % this.grainBytes;
    const grain = await this.#inflate(await this.#packedData(place), inGrain + target.length);
    target.set(grain.subarray(inGrain, inGrain + target.length));
  }

  /** What is stored of a compressed grain; without a marker, all that it can be. */
  async #packedData(place: number): Promise<Uint8Array> {
    const inFile = Math.max(0, this.file.size - place);
    const countMax = 2 * this.grainBytes; // data that does not shrink is a little bigger than the grain
    if (!this.#geometry.hasMarkers) return this.file.readBytes(place, Math.min(countMax, inFile));
    const { size } = grainMarkerLayout.decode(await this.file.readBytes(place, grainMarkerLayout.sizeBytes));
    if (size > countMax) throw new ErrnoFailure('EINVAL');
    return this.file.readBytes(place + grainMarkerLayout.sizeBytes, Math.min(size, inFile));
  }

  async #inflate(source: Uint8Array, count: number): Promise<Uint8Array> {
    try {
      return await this.#compression.inflateZlib(source, count);
    } catch (cause) {
      if (cause instanceof Failure && cause.kind !== 'corrupt') throw cause;
      throw new ErrnoFailure('EINVAL', undefined, { cause });
    }
  }

  async write(offset: number, source: Uint8Array, parent: ReadParent): Promise<void> {
    const { grainBytes } = this;
    for (let at = 0; at < source.length; ) {
      const inGrain = (offset + at) % grainBytes;
      const count = Math.min(grainBytes - inGrain, source.length - at);
      await this.#writeGrain(offset + at, source.subarray(at, at + count), parent);
      at += count;
    }
  }

  async #writeGrain(offset: number, source: Uint8Array, parent: ReadParent): Promise<void> {
    const place = await this.#tables.lookup(Math.floor(offset / this.grainBytes));
    if (place >= 0) await this.#overwrite(place, offset, source);
    else await this.#allocations.run(() => this.#allocate(offset, source, parent));
  }

  #overwrite(place: number, offset: number, source: Uint8Array): Eventual<void> {
    if (this.isCompressed) throw new ErrnoFailure('EIO', 'Could not write to allocated cluster for streamOptimized');
    return this.file.write(place + (offset % this.grainBytes), source);
  }

  async #allocate(offset: number, source: Uint8Array, parent: ReadParent): Promise<void> {
    const { grainBytes } = this;
    const grain = Math.floor(offset / grainBytes);
    const present = await this.#tables.lookup(grain);
    if (present >= 0) return this.#overwrite(present, offset, source);
    if (Number.isNaN(present) || (await this.#tables.tablePlace(grain)) === 0) throw new ErrnoFailure('EIO');
    if (grainBytes > MAX_GRAIN_BYTES) throw new ErrnoFailure('ENOTSUP', 'VMDK grains of more than 64 MiB can only be read');
    const isWhole = source.length === grainBytes || (offset % grainBytes === 0 && offset + source.length === this.size);
    if (this.isCompressed && !isWhole) throw new ErrnoFailure('EINVAL');
    const data = this.isCompressed ? await this.#compressed(offset, source) : await this.#withSurroundings(present, offset, source, parent);
    const place = this.#nextPlace;
    if (place / SECTOR_BYTES > 0xffffffff) throw new ErrnoFailure('EFBIG');
    const used = this.isCompressed ? grainMarkerLayout.sizeBytes + grainMarkerLayout.decode(data).size : grainBytes;
    await this.file.write(place, data);
    this.#nextPlace = place + Math.ceil(used / SECTOR_BYTES) * SECTOR_BYTES;
    await this.#tables.enter(grain, place / SECTOR_BYTES);
  }

  /** A whole grain: what was there, with `source` in it. */
  async #withSurroundings(present: number, offset: number, source: Uint8Array, parent: ReadParent): Promise<Uint8Array> {
    const { grainBytes } = this;
    if (source.length === grainBytes) return source;
    const data = new Uint8Array(grainBytes);
    const inGrain = offset % grainBytes;
    const start = offset - inGrain;
    const end = inGrain + source.length;
    if (present === GRAIN.UNALLOCATED) {
      const inside = Math.min(grainBytes, this.size - start);
      if (inGrain > 0) await parent(start, data.subarray(0, inGrain));
      if (end < inside) await parent(start + end, data.subarray(end, inside));
    }
    data.set(source, inGrain);
    return data;
  }

  /** Marker and compressed data, padded to the size of a grain (the file always reaches that far) or to whole sectors. */
  async #compressed(offset: number, source: Uint8Array): Promise<Uint8Array> {
    const packed = await this.#compression.deflateZlib(source);
    const headBytes = this.#geometry.hasMarkers ? grainMarkerLayout.sizeBytes : 0;
    if (headBytes === 0) throw new ErrnoFailure('ENOTSUP', 'Compressed extents without markers can only be read');
    const bytes = Math.max(this.grainBytes, Math.ceil((headBytes + packed.length) / SECTOR_BYTES) * SECTOR_BYTES);
    const data = new Uint8Array(bytes);
    grainMarkerLayout.write(data, { sector: BigInt(offset / SECTOR_BYTES), size: packed.length });
    data.set(packed, headBytes);
    return data;
  }

  async writeZeroes(offset: number, count: number): Promise<void> {
    const { grainBytes } = this;
    if (!this.hasZeroedGrains || offset % grainBytes !== 0 || count % grainBytes !== 0) throw new ErrnoFailure('ENOTSUP');
    for (let at = offset; at < offset + count; at += grainBytes) {
      await this.#allocations.run(() => this.#tables.enter(at / grainBytes, ZEROED_GRAIN));
    }
  }

  async status(offset: number, count: number): Promise<BlockStatus> {
    const { grainBytes } = this;
    const first = Math.floor(offset / grainBytes);
    const place = await this.#tables.lookup(first);
    if (Number.isNaN(place)) throw new ErrnoFailure('EIO');
    const end = Math.min(Math.ceil((offset + count) / grainBytes), first + STATUS_GRAINS_MAX);
    const step = place >= 0 && !this.isCompressed ? grainBytes : 0;
    const isAlike = (next: number, grain: number): boolean =>
      place >= 0 && this.isCompressed ? next >= 0 : next === place + step * (grain - first);
    let grain = first + 1;
    for (; grain < end; grain++) {
      const pending = this.#tables.lookup(grain);
      if (!isAlike(pending instanceof Promise ? await pending : pending, grain)) break;
    }
    const alike = Math.min(count, grain * grainBytes - offset);
    if (place === GRAIN.UNALLOCATED) return { count: alike, flags: 0 };
    if (place === GRAIN.ZEROED) return { count: alike, flags: STATUS.ZERO | STATUS.ALLOCATED };
    const data = STATUS.DATA | STATUS.ALLOCATED;
    if (this.isCompressed) return { count: alike, flags: data | STATUS.COMPRESSED };
    return { count: alike, flags: data | STATUS.OFFSET_VALID, hostOffset: place + (offset % grainBytes), file: this.file.node };
  }

  async check(): Promise<number | undefined> {
    const { entriesPerTable, grainSectors } = this.#geometry;
    const grains = Math.ceil(this.size / this.grainBytes);
    const seen = new Set<number>(); // tables may claim to be in several places
    for (let first = 0; first < grains; first += entriesPerTable) {
      const table = await this.#tables.tablePlace(first);
      const isWhole = first + entriesPerTable <= grains;
      if (table === 0 || seen.has(table)) continue;
      if (isWhole) seen.add(table);
      for (let grain = first; grain < Math.min(grains, first + entriesPerTable); grain++) {
        const place = await this.#tables.lookup(grain);
        if (Number.isNaN(place) || place >= this.file.size) return grain * grainSectors;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.#allocations.idle();
  }
}
