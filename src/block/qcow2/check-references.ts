// The first half of `check`: walks every table of a qcow2 image and counts the references to each host cluster, reporting what
// cannot be right on the way. Comparing the counts with the stored refcounts is check-refcounts.ts.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { CheckRequest, CheckResult } from '../driver.ts';
import type { Edge } from '../node.ts';
import { readBitmapDirectory, readBitmapTable } from './bitmap-directory.ts';
import { INCOMPATIBLE, LIMIT, type Qcow2Header } from './header.ts';
import { ReferenceCounts } from './reference-counts.ts';
import { bytesText, type SnapshotTable, type StoredSnapshot } from './snapshot-table.ts';
import { clusterType, compressedRange, hasReservedL1Bits, hasReservedL2Bits, hex64, hostOffset, UPPER } from './table-entries.ts';

/** What is checked. The header and the snapshots are the open image's; everything else is read from the file. */
export interface CheckSubject {
  readonly file: Edge;
  readonly header: Qcow2Header;
  readonly snapshots: SnapshotTable;
  /** Ends in an error when a write of an L2 entry would hit other metadata. */
  guardL2(isActive: boolean, offset: number, bytes: number): Promise<void> | undefined;
}

export interface FragmentCounts {
  total: number;
  allocated: number;
  fragmented: number;
  compressed: number;
}

const OVERFLOW_ADVICE =
  'Use qemu-img amend to increase the refcount entry width ' +
  'or qemu-img convert to create a clean copy if the image cannot be opened for writing';
/**
 * Tables that are referred to again and again, which no sound image has, are walked this often in all: their number is bounded
 * by nothing but the size of the tables that refer to them, and the walk would take days.
 */
const MAX_REPEATED_TABLES = 1024;
/** L1 tables are read in pieces of this size, so that a big one costs no memory. */
const L1_WINDOW_ENTRIES = 8192;

export class ReferenceWalk {
  readonly subject: CheckSubject;
  readonly result: CheckResult;
  readonly fragments: FragmentCounts;
  readonly counts: ReferenceCounts;
  /** The refcounts cannot be mended one by one. */
  mustRebuild = false;
  readonly clusterSize: number;
  readonly hasSubclusters: boolean;
  readonly hasDataFile: boolean;
  readonly #request: CheckRequest;
  readonly #fix: boolean;
  #l1Tables = 0;
  #repeatedTables = 0;

  constructor(subject: CheckSubject, request: CheckRequest, result: CheckResult, fix: boolean) {
    const { header, file } = subject;
    this.subject = subject;
    this.result = result;
    this.#request = request;
    this.#fix = fix;
    this.clusterSize = 2 ** header.clusterBits;
    this.hasSubclusters = (header.incompatibleFeatures & INCOMPATIBLE.EXTENDED_L2) !== 0n;
    this.hasDataFile = (header.incompatibleFeatures & INCOMPATIBLE.DATA_FILE) !== 0n;
    this.counts = new ReferenceCounts(1 << header.refcountOrder, Math.ceil(file.size / this.clusterSize));
    this.fragments = { total: Math.ceil(header.size / this.clusterSize), allocated: 0, fragmented: 0, compressed: 0 };
  }

  /** Counts everything, in the reference's order. */
  async run(): Promise<void> {
    const { header } = this.subject;
    const { snapshots, bytes } = this.subject.snapshots;
    this.#region(0, this.clusterSize);
    await this.#l1Table(header.l1TableOffset, header.l1Size, true);
    if (this.hasDataFile && snapshots.length > 0) {
      this.#corruption(`ERROR ${snapshots.length} snapshots in image with data file`);
    }
    for (const snapshot of snapshots) await this.#snapshot(snapshot);
    this.#region(header.snapshotsOffset, bytes);
    this.#region(header.refcountTableOffset, header.refcountTableClusters * this.clusterSize);
    if (header.crypto !== undefined) this.#region(header.crypto.offset, header.crypto.length);
    await this.#bitmaps();
    await this.#refcountBlocks();
  }

  #print(line: string): void {
    this.#request.report(line, 'stderr');
  }

  #corruption(line: string): void {
    this.#print(line);
    this.result.corruptions++;
  }

  /**
   * A table or a cluster that is in use. The last cluster of a file may be there in part only. False when there are more
   * references than can be counted.
   */
  #region(offset: number, bytes: number, offsetText = offset.toString(16)): boolean {
    if (bytes <= 0) return true;
    if (offset + bytes - this.subject.file.size >= this.clusterSize) {
      this.#corruption(
        'ERROR: counting reference for region exceeding the end of the file by one cluster or more: ' +
          `offset 0x${offsetText} size 0x${bytes.toString(16)}`,
      );
      return true;
    }
    let isCounted = true;
    const last = Math.floor((offset + bytes - 1) / this.clusterSize);
    for (let cluster = Math.floor(offset / this.clusterSize); cluster <= last; cluster++) {
      if (this.counts.increment(cluster)) continue;
      isCounted = false;
      this.#corruption(`ERROR: overflow cluster offset=0x${(cluster * this.clusterSize).toString(16)}`);
      this.#print(OVERFLOW_ADVICE);
    }
    return isCounted;
  }

  async #read(offset: number, bytes: number, where: string): Promise<DataView> {
    try {
      const source = await readTable(this.subject.file, offset, bytes);
      return new DataView(source.buffer, source.byteOffset, bytes);
    } catch (error) {
      this.#print(`ERROR: I/O error in ${where}`);
      this.result.checkErrors++;
      throw new ErrnoFailure(errnoOf(error));
    }
  }

  async #snapshot({ idBytes, nameBytes, l1Place, l1TableOffset, l1Size }: StoredSnapshot): Promise<void> {
    const name = `snapshot ${bytesText(idBytes)} (${bytesText(nameBytes)})`;
    if (l1Place % BigInt(this.clusterSize) !== 0n) {
      this.#corruption(`ERROR ${name} l1_offset=${alternateHex(l1Place)}: L1 table is not cluster aligned; snapshot table entry corrupted`);
    } else if (l1Size > LIMIT.MAX_L1_BYTES / 8) {
      this.#corruption(`ERROR ${name} l1_size=${alternateHex(l1Size)}: L1 table is too large; snapshot table entry corrupted`);
    } else await this.#l1Table(l1TableOffset, l1Size, false);
  }

  async #l1Table(offset: number, entries: number, isActive: boolean): Promise<void> {
    if (entries === 0) return;
    const isCounted = this.#region(offset, entries * 8);
    this.#l1Tables++;
    if (offset >= this.subject.file.size || this.#isRepeated(offset, isCounted ? 1 : 0)) return;
    for (let first = 0; first < entries; first += L1_WINDOW_ENTRIES) {
      const count = Math.min(L1_WINDOW_ENTRIES, entries - first);
      const view = await this.#read(offset + first * 8, count * 8, 'check_refcounts_l1');
      for (let index = 0; index < count; index++) {
        const upper = view.getUint32(index * 8);
        const lower = view.getUint32(index * 8 + 4);
        if (upper !== 0 || lower !== 0) await this.#l1Entry(upper, lower, isActive);
      }
    }
  }

  async #l1Entry(upper: number, lower: number, isActive: boolean): Promise<void> {
    if (hasReservedL1Bits(upper, lower)) this.#corruption(`ERROR found L1 entry with reserved bits set: ${hex64(upper, lower)}`);
    const l2Offset = hostOffset(upper, lower);
    const isCounted = this.#region(l2Offset, this.clusterSize);
    if (l2Offset % this.clusterSize !== 0) {
      this.#corruption(`ERROR l2_offset=${l2Offset.toString(16)}: Table is not cluster aligned; L1 entry corrupted`);
    }
    // Beyond the end of the file there is nothing to see.
    if (l2Offset >= this.subject.file.size || this.#isRepeated(l2Offset, isCounted ? this.#l1Tables : 0)) return;
    await this.#l2Table(l2Offset, isActive);
  }

  /** Whether a table is referred to more often than `expected`, and such tables were walked too often already. */
  #isRepeated(offset: number, expected: number): boolean {
    return this.counts.get(Math.floor(offset / this.clusterSize)) > expected && ++this.#repeatedTables > MAX_REPEATED_TABLES;
  }

  async #l2Table(offset: number, isActive: boolean): Promise<void> {
    const view = await this.#read(offset, this.clusterSize, 'check_refcounts_l2');
    const table = new L2Walk(view, offset, isActive);
    const entryBytes = this.hasSubclusters ? 16 : 8;
    const count = this.clusterSize / entryBytes;
    for (let index = 0; index < count; index++) {
      const upper = view.getUint32(index * entryBytes);
      const lower = view.getUint32(index * entryBytes + 4);
      if (upper !== 0 || lower !== 0 || this.hasSubclusters) await this.#l2Entry(table, index, upper, lower);
    }
  }

  async #l2Entry(table: L2Walk, index: number, upper: number, lower: number): Promise<void> {
    const zeroBits = this.hasSubclusters ? table.view.getUint32(index * 16 + 8) : 0;
    const allocatedBits = this.hasSubclusters ? table.view.getUint32(index * 16 + 12) : 0;
    const type = clusterType(upper, lower, this.hasSubclusters, this.hasDataFile);
    if (type !== 'compressed' && hasReservedL2Bits(upper, lower)) {
      this.#corruption(`ERROR found l2 entry with reserved bits set: ${hex64(upper, lower)}`);
    }
    switch (type) {
      case 'compressed':
        return this.#compressed(table, index, upper, lower, zeroBits !== 0 || allocatedBits !== 0);
      case 'zero-allocated':
      case 'normal':
        return this.#standard(table, index, upper, lower, zeroBits, allocatedBits);
      case 'unallocated':
        if (allocatedBits !== 0) this.#corruption('ERROR: Unallocated cluster has non-zero subcluster allocation map');
        return;
      case 'zero-plain':
        return;
    }
  }

  #compressed(table: L2Walk, index: number, upper: number, lower: number, hasBitmap: boolean): void {
    const isCopied = (upper & UPPER.COPIED) !== 0;
    const plainUpper = upper & ~UPPER.COPIED;
    const { offset, bytes, offsetText } = compressedRange(plainUpper, lower, this.subject.header.clusterBits);
    if (isCopied) this.#corruption(`ERROR: coffset=0x${offsetText}: copied flag must never be set for compressed clusters`);
    if (this.hasDataFile) {
      this.#corruption(`ERROR compressed cluster ${index} with data file, entry=0x${hex64(plainUpper, lower)}`);
      return;
    }
    if (hasBitmap) {
      this.#corruption(`ERROR compressed cluster ${index} with non-zero subcluster allocation bitmap, entry=0x${hex64(plainUpper, lower)}`);
      return;
    }
    this.#region(offset, bytes, offsetText);
    if (!table.isActive) return;
    // They share sectors with their neighbours and are read one by one: fragmented by nature.
    this.fragments.allocated++;
    this.fragments.compressed++;
    this.fragments.fragmented++;
  }

  async #standard(table: L2Walk, index: number, upper: number, lower: number, zeroBits: number, allocatedBits: number): Promise<void> {
    const offset = hostOffset(upper, lower);
    if ((zeroBits & allocatedBits) !== 0) {
      this.#corruption(`ERROR offset=${offset.toString(16)}: Allocated cluster has corrupted subcluster allocation bitmap`);
    }
    if (table.isActive) {
      this.fragments.allocated++;
      if (table.nextOffset !== 0 && offset !== table.nextOffset) this.fragments.fragmented++;
      table.nextOffset = offset + this.clusterSize;
    }
    if (offset % this.clusterSize !== 0) {
      const hasData = this.hasSubclusters ? allocatedBits !== 0 : (lower & 1) === 0;
      if (hasData) this.#corruption(`ERROR offset=${offset.toString(16)}: Data cluster is not properly aligned; L2 entry corrupted.`);
      else {
        const verb = this.#fix ? 'Repairing' : 'ERROR';
        this.#corruption(`${verb} offset=${offset.toString(16)}: Preallocated cluster is not properly aligned; L2 entry corrupted.`);
        if (this.#fix) return this.#zeroEntry(table, index);
      }
    }
    if (!this.hasDataFile) this.#region(offset, this.clusterSize);
  }

  /** Makes an entry that means nothing one that reads as zeroes. */
  async #zeroEntry(table: L2Walk, index: number): Promise<void> {
    if (!this.#fix) return;
    const { view } = table;
    const entryBytes = this.hasSubclusters ? 16 : 8;
    const at = index * entryBytes;
    view.setUint32(at, 0);
    view.setUint32(at + 4, this.hasSubclusters ? 0 : 1);
    if (this.hasSubclusters) {
      // Subclusters that were allocated read as zeroes now, the others as before.
      view.setUint32(at + 8, view.getUint32(at + 8) | view.getUint32(at + 12));
      view.setUint32(at + 12, 0);
    }
    const entry = new Uint8Array(view.buffer, view.byteOffset + at, entryBytes);
    try {
      await this.subject.guardL2(table.isActive, table.offset + at, entryBytes);
    } catch (error) {
      this.#print('ERROR: Overlap check failed');
      this.result.checkErrors++;
      throw new ErrnoFailure(errnoOf(error));
    }
    try {
      await this.subject.file.write(table.offset + at, entry);
      await this.subject.file.flush();
    } catch (error) {
      const errno = errnoOf(error);
      this.#print(`ERROR: Failed to overwrite L2 table entry: ${errnoText(errno)}`);
      this.result.checkErrors++;
      throw new ErrnoFailure(errno);
    }
    this.result.corruptions--;
    this.result.corruptionsFixed++;
  }

  async #bitmaps(): Promise<void> {
    const { file, header } = this.subject;
    if (header.bitmaps === undefined) return;
    this.#region(header.bitmaps.directoryOffset, header.bitmaps.directorySize);
    let at = 'directory';
    try {
      for (const bitmap of await readBitmapDirectory(file, header)) {
        at = bitmap.name;
        this.#region(bitmap.tableOffset, bitmap.tableSize * 8);
        for (const offset of await readBitmapTable(file, bitmap, this.clusterSize)) if (offset > 0) this.#region(offset, this.clusterSize);
      }
    } catch (error) {
      this.result.checkErrors++;
      throw new ErrnoFailure(at === 'directory' ? 'EINVAL' : errnoOf(error));
    }
  }

  async #refcountBlocks(): Promise<void> {
    const { file, header } = this.subject;
    const entries = (header.refcountTableClusters * this.clusterSize) / 8;
    for (let first = 0; first < entries; first += L1_WINDOW_ENTRIES) {
      const count = Math.min(L1_WINDOW_ENTRIES, entries - first);
      const source = await file.readBytes(header.refcountTableOffset + first * 8, count * 8);
      const view = new DataView(source.buffer, source.byteOffset, source.length);
      for (let index = 0; index < count; index++) {
        const upper = view.getUint32(index * 8);
        const lower = view.getUint32(index * 8 + 4);
        if (upper !== 0 || lower !== 0) await this.#refcountBlock(first + index, upper, lower);
      }
    }
  }

  async #refcountBlock(index: number, upper: number, lower: number): Promise<void> {
    const offset = upper * 2 ** 32 + ((lower & 0xffff_fe00) >>> 0);
    const cluster = Math.floor(offset / this.clusterSize);
    if (lower & 0x1ff) {
      this.#corruption(`ERROR refcount table entry ${index} has reserved bits set`);
      this.mustRebuild = true;
    } else if ((lower & (this.clusterSize - 1)) !== 0) {
      this.#corruption(`ERROR refcount block ${index} is not cluster aligned; refcount table entry corrupted`);
      this.mustRebuild = true;
    } else if (cluster >= this.counts.clusterCount) {
      this.#corruption(`${this.#fix ? 'Repairing' : 'ERROR'} refcount block ${index} is outside image`);
      if (this.#fix) await this.#growToBlock(offset);
    } else {
      this.#region(offset, this.clusterSize);
      const references = this.counts.get(cluster);
      if (references === 1) return;
      this.#corruption(`ERROR refcount block ${index} refcount=${references}`);
      this.mustRebuild = true;
    }
  }

  async #resizeFile(size: number): Promise<void> {
    try {
      if (size > Number.MAX_SAFE_INTEGER) throw new ErrnoFailure('EFBIG', `Could not resize file: ${errnoText('EFBIG')}`);
      await this.subject.file.resize(size);
    } catch (error) {
      if (error instanceof Failure) this.#request.complain?.(error.message);
      throw error;
    }
  }

  /** Makes a refcount block exist that lies beyond the end of the file: as zeroes. */
  async #growToBlock(offset: number): Promise<void> {
    const { file } = this.subject;
    try {
      if (offset > 2 ** 63 - this.clusterSize) throw new ErrnoFailure('EINVAL');
      await this.#resizeFile(offset + this.clusterSize);
    } catch (error) {
      this.mustRebuild = true;
      this.#print(`ERROR could not resize image: ${errnoText(errnoOf(error))}`);
      return;
    }
    this.counts.clusterCount = Math.max(this.counts.clusterCount, Math.ceil(file.size / this.clusterSize));
    this.result.corruptionsFixed++;
    this.result.corruptions--;
    this.#region(offset, this.clusterSize);
  }
}

/** Bytes of a table; what lies beyond the end of the file is zero, however far. */
export async function readTable(file: Edge, offset: number, bytes: number): Promise<Uint8Array> {
  return offset >= file.size ? new Uint8Array(bytes) : file.readBytes(offset, bytes);
}

/** An L2 table on the walk. */
class L2Walk {
  readonly view: DataView;
  readonly offset: number;
  /** Counted for fragmentation. */
  readonly isActive: boolean;
  /** Where a cluster would lie that is not a fragment; 0 at first. */
  nextOffset = 0;

  constructor(view: DataView, offset: number, isActive: boolean) {
    this.view = view;
    this.offset = offset;
    this.isActive = isActive;
  }
}

/** As printf's %#x: no prefix for zero. */
const alternateHex = (value: number | bigint): string => (Number(value) === 0 ? '0' : `0x${value.toString(16)}`);
