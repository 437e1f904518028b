// An open qcow image (version 1): guest clusters through two levels of tables, without reference counts. What is written where
// nothing is yet goes to the end of the file, data first, then the entry that points to it.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Compression } from '../../ports/codec.ts';
import { readEncrypted, writeEncrypted } from '../crypto/encrypted-io.ts';
import type { SectorCipher } from '../crypto/sector-cipher.ts';
import type { BlockInstance, DriverInfo } from '../driver.ts';
import { SerialQueue } from '../image-format/serial-queue.ts';
import { ENTRY_BYTES, readBe64, TablePages, writeBe64 } from '../image-format/table-pages.ts';
import { MAX_SIZE, SECTOR, type BlockNode, type Edge } from '../node.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { decodeEntry, encodeCompressed, type ClusterPlace, type QcowHeader } from './header.ts';

/** Raw deflate with this window is what every reader of the format expects. */
const DEFLATE_WINDOW_BITS = 12;
/** How many clusters one status answer looks at. */
const STATUS_CLUSTERS_MAX = 4096;
/** Clusters that are allocated together. */
const RUN_BYTES = 1 << 20;
const NONE: ClusterPlace = { kind: 'none' };

export interface QcowParts {
  readonly node: BlockNode;
  readonly file: Edge;
  readonly header: QcowHeader;
  readonly backingName: string | undefined;
  readonly cipher: SectorCipher | undefined;
  readonly compression: Compression;
}

export class QcowImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly hasZeroInit = true;
  readonly supportsCompressed = true;
  readonly supportsBacking = true;
  readonly encrypted: boolean;
  readonly backingFile?: { readonly name: string; readonly format: undefined };
  readonly #parts: QcowParts;
  readonly #clusterBytes: number;
  readonly #l2Entries: number;
  readonly #l1: TablePages;
  readonly #l2: TablePages;
  readonly #allocations = new SerialQueue();
  #fileEnd: number;
  /** The compressed cluster that was decoded last. */
  #decoded: { readonly offset: number; readonly bytes: Uint8Array } | undefined;

  constructor(parts: QcowParts) {
    const { header, file, backingName } = parts;
    this.#parts = parts;
    this.size = header.size - (header.size % SECTOR);
    this.encrypted = header.encrypted;
    if (backingName !== undefined) this.backingFile = { name: backingName, format: undefined };
    this.#clusterBytes = 2 ** header.clusterBits;
    this.#l2Entries = 2 ** header.l2Bits;
    this.#l1 = new TablePages(file, header.l1Entries * ENTRY_BYTES);
    this.#l2 = new TablePages(file, this.#l2Entries * ENTRY_BYTES);
    this.#fileEnd = file.size;
  }

  // Looking up ------------------------------------------------------------------------------------------------------------

  #l2Table(cluster: number): Eventual<number> {
    const index = Math.floor(cluster / this.#l2Entries);
    return after(this.#l1.page(this.#parts.header.l1TableOffset, index), (page) => readBe64(page, this.#l1.position(index)));
  }

  #place(cluster: number): Eventual<ClusterPlace> {
    const index = cluster % this.#l2Entries;
    return after(this.#l2Table(cluster), (table) => {
      if (table === 0) return NONE;
      return after(this.#l2.page(table, index), (page) => decodeEntry(page, this.#l2.position(index), this.#parts.header.clusterBits));
    });
  }

  /** How many clusters from `cluster` on, at most `max`, lie one after the other like the first. */
  async #runLength(cluster: number, place: ClusterPlace, max: number): Promise<number> {
    let count = 1;
    for (; count < max && place.kind !== 'compressed'; count++) {
      const next = await this.#place(cluster + count);
      const follows = place.kind === 'plain' && next.kind === 'plain' && next.offset === place.offset + count * this.#clusterBytes;
      const fits = follows || (place.kind === 'none' && next.kind === 'none');
      if (!fits) break;
    }
    return count;
  }

  // Reading ---------------------------------------------------------------------------------------------------------------

  read(offset: number, target: Uint8Array): Eventual<void> {
    const inCluster = offset % this.#clusterBytes;
    const place = this.#place((offset - inCluster) / this.#clusterBytes);
    if (inCluster + target.length <= this.#clusterBytes) return after(place, (found) => this.#readPlace(offset, found, target));
    return this.#readRuns(offset, target);
  }

  async #readRuns(offset: number, target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length; ) {
      const inCluster = (offset + at) % this.#clusterBytes;
      const cluster = (offset + at - inCluster) / this.#clusterBytes;
      const place = await this.#place(cluster);
      const clusters = await this.#runLength(cluster, place, Math.ceil((inCluster + target.length - at) / this.#clusterBytes));
      const count = Math.min(target.length - at, clusters * this.#clusterBytes - inCluster);
      await this.#readPlace(offset + at, place, target.subarray(at, at + count));
      at += count;
    }
  }

  #readPlace(offset: number, place: ClusterPlace, target: Uint8Array): Eventual<void> {
    const { file, node, cipher } = this.#parts;
    const inCluster = offset % this.#clusterBytes;
    if (place.kind === 'none') {
      if (node.backing !== undefined) return node.backing.read(offset, target);
      target.fill(0);
      return;
    }
    if (place.kind === 'compressed') return this.#readCompressed(place, inCluster, target);
    if (place.offset > MAX_SIZE - this.#clusterBytes) throw new ErrnoFailure('EIO');
    if (cipher === undefined) return file.read(place.offset + inCluster, target);
    return readEncrypted({ file, cipher, fileOffset: place.offset + inCluster, cipherOffset: offset }, target);
  }

  async #readCompressed({ offset, count }: { offset: number; count: number }, inCluster: number, target: Uint8Array): Promise<void> {
    const { file, compression } = this.#parts;
    if (this.#decoded?.offset !== offset) {
      const source = await file.readBytes(offset, count);
      const bytes = await inflated(compression, source, this.#clusterBytes);
      this.#decoded = { offset, bytes };
      target.set(bytes.subarray(inCluster, inCluster + target.length));
    } else target.set(this.#decoded.bytes.subarray(inCluster, inCluster + target.length));
  }

  // Writing ---------------------------------------------------------------------------------------------------------------

  async write(offset: number, source: Uint8Array): Promise<void> {
    for (let at = 0; at < source.length; ) {
      const inCluster = (offset + at) % this.#clusterBytes;
      const cluster = (offset + at - inCluster) / this.#clusterBytes;
      const place = await this.#place(cluster);
      const rest = Math.min(source.length - at, RUN_BYTES);
      if (place.kind !== 'plain') {
        at += await this.#allocations.run(() => this.#allocate(cluster, inCluster, source.subarray(at, at + rest)));
        continue;
      }
      const clusters = await this.#runLength(cluster, place, Math.ceil((inCluster + rest) / this.#clusterBytes));
      const count = Math.min(rest, clusters * this.#clusterBytes - inCluster);
      await this.#writePlain(place.offset + inCluster, offset + at, source.subarray(at, at + count));
      at += count;
    }
  }

  #writePlain(fileOffset: number, offset: number, source: Uint8Array): Eventual<void> {
    const { file, cipher } = this.#parts;
    if (cipher === undefined) return file.write(fileOffset, source);
    return writeEncrypted({ file, cipher, fileOffset, cipherOffset: offset }, source, 0);
  }

  /** New clusters for as much of `source` as needs them; answers how many bytes that was. */
  async #allocate(cluster: number, inCluster: number, source: Uint8Array): Promise<number> {
    const table = await this.#ensureTable(cluster);
    const index = cluster % this.#l2Entries;
    const clustersMax = Math.min(Math.ceil((inCluster + source.length) / this.#clusterBytes), this.#l2Entries - index);
    let clusters = 0;
    while (clusters < clustersMax && (await this.#place(cluster + clusters)).kind !== 'plain') clusters++;
    if (clusters === 0) return 0; // somebody else was first
    const count = Math.min(source.length, clusters * this.#clusterBytes - inCluster);
    const whole = await this.#withSurroundings(cluster, inCluster, source.subarray(0, count), clusters);
    const start = this.#reserve(clusters * this.#clusterBytes, this.#clusterBytes);
    await this.#writePlain(start, cluster * this.#clusterBytes, whole);
    this.#decoded = undefined;
    await this.#l2.set(table, index, clusters, (view, at, nth) => writeBe64(view, at, start + nth * this.#clusterBytes));
    return count;
  }

  /** Whole clusters: `source` with what was in its first and last cluster around it. */
  async #withSurroundings(cluster: number, inCluster: number, source: Uint8Array, clusters: number): Promise<Uint8Array> {
    const total = clusters * this.#clusterBytes;
    if (source.length === total) return source;
    const whole = new Uint8Array(total);
    const start = cluster * this.#clusterBytes;
    const end = inCluster + source.length;
    const known = Math.min(total, this.size - start); // the last cluster may reach beyond the image
    if (inCluster > 0) await this.read(start, whole.subarray(0, inCluster));
    if (end < known) await this.read(start + end, whole.subarray(end, known));
    whole.set(source, inCluster);
    return whole;
  }

  #reserve(count: number, alignment: number): number {
    const start = Math.ceil(this.#fileEnd / alignment) * alignment;
    if (start > MAX_SIZE - count) throw new ErrnoFailure('EFBIG');
    this.#fileEnd = start + count;
    return start;
  }

  async #ensureTable(cluster: number): Promise<number> {
    const { file, header } = this.#parts;
    const table = await this.#l2Table(cluster);
    if (table !== 0) return table;
    const bytes = this.#l2Entries * ENTRY_BYTES;
    const start = this.#reserve(bytes, this.#clusterBytes);
    await file.write(start, new Uint8Array(bytes));
    await this.#l1.set(header.l1TableOffset, Math.floor(cluster / this.#l2Entries), 1, (view, at) => writeBe64(view, at, start));
    return start;
  }

  async writeCompressed(offset: number, source: Uint8Array): Promise<void> {
    if (this.encrypted) throw new Failure('unsupported', 'Compression and encryption not supported at the same time');
    for (let at = 0; at < source.length; at += this.#clusterBytes) {
      const part = source.subarray(at, Math.min(at + this.#clusterBytes, source.length));
      const isLast = offset + at + part.length === this.size;
      if ((offset + at) % this.#clusterBytes !== 0 || (part.length < this.#clusterBytes && !isLast)) throw new ErrnoFailure('EINVAL');
      await this.#writeCompressedCluster(offset + at, part);
    }
  }

  async #writeCompressedCluster(offset: number, source: Uint8Array): Promise<void> {
    const { compression, header, file } = this.#parts;
    const whole = new Uint8Array(this.#clusterBytes);
    whole.set(source);
    const packed = await compression.deflateRaw(whole, DEFLATE_WINDOW_BITS, this.#clusterBytes);
    if (packed === undefined) return this.write(offset, source);
    const cluster = offset / this.#clusterBytes;
    await this.#allocations.run(async () => {
      const table = await this.#ensureTable(cluster);
      const start = this.#reserve(packed.length, SECTOR);
      await file.write(start, packed);
      this.#decoded = undefined;
      const index = cluster % this.#l2Entries;
      await this.#l2.set(table, index, 1, (view, at) => encodeCompressed(view, at, header.clusterBits, start, packed.length));
    });
  }

  /** Everything unallocated again. */
  makeEmpty(): Promise<void> {
    const { file, header } = this.#parts;
    const { l1TableOffset, l1Entries } = header;
    return this.#allocations.run(async () => {
      await file.writeZeroes(l1TableOffset, l1Entries * ENTRY_BYTES);
      await file.resize(l1TableOffset + l1Entries * ENTRY_BYTES);
      this.#l1.clear();
      this.#l2.clear();
      this.#decoded = undefined;
      this.#fileEnd = file.size;
    });
  }

  // Describing ------------------------------------------------------------------------------------------------------------

  async status(offset: number, count: number): Promise<BlockStatus> {
    const inCluster = offset % this.#clusterBytes;
    const cluster = (offset - inCluster) / this.#clusterBytes;
    const place = await this.#place(cluster);
    const most = Math.min(STATUS_CLUSTERS_MAX, Math.ceil((inCluster + count) / this.#clusterBytes));
    const clusters = await this.#runLength(cluster, place, most);
    const alike = Math.min(count, clusters * this.#clusterBytes - inCluster);
    if (place.kind === 'none') return { count: alike, flags: 0 };
    if (place.kind === 'compressed') return { count: alike, flags: STATUS.DATA | STATUS.ALLOCATED | STATUS.COMPRESSED };
    if (this.encrypted) return { count: alike, flags: STATUS.DATA | STATUS.ALLOCATED };
    const flags = STATUS.DATA | STATUS.ALLOCATED | STATUS.OFFSET_VALID;
    return { count: alike, flags, hostOffset: place.offset + inCluster, file: this.#parts.file.node };
  }

  info(): DriverInfo {
    return { clusterSize: this.#clusterBytes };
  }

  flush(): Promise<void> {
    return this.#allocations.idle();
  }

  close(): Promise<void> {
    return this.#allocations.idle();
  }
}

/** Damaged data is an I/O error to whoever reads it. */
async function inflated(compression: Compression, source: Uint8Array, targetBytes: number): Promise<Uint8Array> {
  try {
    return await compression.inflateRaw(source, DEFLATE_WINDOW_BITS, targetBytes);
  } catch (cause) {
    if (cause instanceof Failure) throw new ErrnoFailure('EIO', undefined, { cause });
    throw cause;
  }
}
