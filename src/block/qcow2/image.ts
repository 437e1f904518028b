// An open qcow2 image: the state that everything in this folder works on, and the few operations on it that all share (header
// updates, feature bits, the end of an image found corrupt). Opening is open.ts; reading, writing, tables and refcounts have
// their own files.
//
// Who may touch what: metadata (L1, L2, refcounts, header) changes only under `lock`. Data is read and written without it, after
// the mapping was looked up. Requests that allocate are in `inFlight` from allocation until their L2 entries are linked, and
// others that overlap them wait.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { SectorCipher } from '../crypto/sector-cipher.ts';
import type { BlockHost } from '../host.ts';
import type { Edge } from '../node.ts';
import { BufferPool } from './buffer-pool.ts';
import type { CompressedCache } from './compressed.ts';
import type { Geometry } from './geometry.ts';
import { COMPATIBLE, CRYPT, encodeHeader, headerLayout, INCOMPATIBLE, type Qcow2Header } from './header.ts';
import type { InFlightList } from './in-flight.ts';
import type { L1Table } from './l1-table.ts';
import { Mutex } from './mutex.ts';
import type { Qcow2Options } from './options.ts';
import type { OverlapChecks } from './overlap.ts';
import type { Refcounts } from './refcounts.ts';
import type { TableCache } from './table-cache.ts';

/** What the core needs to know of an internal snapshot; snapshots.ts keeps more in the same objects. */
export interface SnapshotTables {
  readonly l1TableOffset: number;
  readonly l1Size: number;
}

export interface ImageFlags {
  readonly readOnly: boolean;
  readonly check: boolean;
  readonly noIo: boolean;
  /** No flush ever reaches the medium: no order of writes is worth keeping. */
  readonly noFlush: boolean;
}

export class Qcow2Image {
  readonly host: BlockHost;
  /** The image file: metadata, and data unless there is an external data file. */
  readonly file: Edge;
  /** Set while opening; `data` is this or `file`. */
  dataFile: Edge | undefined;
  readonly header: Qcow2Header;
  geometry: Geometry;
  flags: ImageFlags;
  options: Qcow2Options;
  /** The options again, for another image size. */
  resolveOptions: () => Qcow2Options = () => this.options;
  #cleanedNs = 0;
  readonly lock = new Mutex();
  readonly buffers = new BufferPool();

  l1!: L1Table;
  refcounts!: Refcounts;
  l2Cache!: TableCache;
  refcountCache!: TableCache;
  overlaps!: OverlapChecks;
  inFlight!: InFlightList;
  compressed!: CompressedCache;

  /** What the guest sees now; another value than the header's while a snapshot is loaded temporarily. */
  size: number;
  cipher: SectorCipher | undefined;
  /** Host offsets are the basis of the vectors (LUKS), or guest offsets (AES). */
  cipherByHostOffset = false;
  snapshots: readonly SnapshotTables[] = [];
  /** The edge to the backing image, which the graph opens after this node. */
  backing: () => Edge | undefined;
  /** The header on the medium names bitmaps that say nothing any more: it is written anew without them before anything else. */
  hasStaleBitmaps = false;
  /** The data's file cannot zero efficiently: not asked again. */
  cannotZero = false;
  /** The backing image's file works in other threads: what has to be waited for is not tried at once. */
  backingAnswersLater = false;
  #isBroken = false;
  #corruptionSignalled = false;

  constructor(how: {
    readonly host: BlockHost;
    readonly file: Edge;
    readonly header: Qcow2Header;
    readonly geometry: Geometry;
    readonly flags: ImageFlags;
    readonly options: Qcow2Options;
    readonly backing: () => Edge | undefined;
  }) {
    this.host = how.host;
    this.file = how.file;
    this.header = how.header;
    this.geometry = how.geometry;
    this.flags = how.flags;
    this.options = how.options;
    this.backing = how.backing;
    this.size = how.header.size - (how.header.size % 512);
  }

  /** Where clusters of guest data lie. */
  get data(): Edge {
    return this.dataFile ?? this.file;
  }

  get hasDataFile(): boolean {
    return this.dataFile !== undefined;
  }

  get isEncrypted(): boolean {
    return this.header.cryptMethod !== CRYPT.NONE;
  }

  get isRawDataFile(): boolean {
    return this.dataFile !== undefined && (this.header.autoclearFeatures & 2n) !== 0n;
  }

  get isDirty(): boolean {
    return (this.header.incompatibleFeatures & INCOMPATIBLE.DIRTY) !== 0n;
  }

  get isCorrupt(): boolean {
    return (this.header.incompatibleFeatures & INCOMPATIBLE.CORRUPT) !== 0n;
  }

  get usesLazyRefcounts(): boolean {
    return this.options.lazyRefcounts;
  }

  /** Throws ENOMEDIUM once the image was found corrupt while it was written to. */
  checkUsable(): void {
    if (this.#isBroken) throw new ErrnoFailure('ENOMEDIUM');
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  // Header ------------------------------------------------------------------------------------------------------------------

  /** Writes the whole header cluster from `header`. */
  async writeHeader(): Promise<void> {
    const { backingFileOffset, backingFileSize } = this.header;
    try {
      await this.file.write(0, encodeHeader(this.header));
    } catch (error) {
      this.header.backingFileOffset = backingFileOffset;
      this.header.backingFileSize = backingFileSize;
      throw error;
    }
  }

  /** Writes single fields of the header in place: those from the first to the last named, in one request. */
  async writeHeaderFields(...names: readonly (keyof typeof headerLayout.fields)[]): Promise<void> {
    const fields = names.map((name) => headerLayout.fields[name]);
    const start = Math.min(...fields.map(({ offset }) => offset));
    const end = Math.max(...fields.map(({ offset, sizeBytes }) => offset + sizeBytes));
    await this.file.write(start, encodeHeader(this.header).slice(start, end));
  }

  /** Sets the dirty bit on the medium: refcounts may be wrong from now on. */
  async markDirty(): Promise<void> {
    if (this.isDirty) return;
    this.header.incompatibleFeatures |= INCOMPATIBLE.DIRTY;
    await this.writeHeaderFields('incompatibleFeatures');
    await this.file.flush();
  }

  /** Takes the dirty bit away, with everything written before. */
  async markClean(): Promise<void> {
    if (!this.isDirty) return;
    this.header.incompatibleFeatures &= ~INCOMPATIBLE.DIRTY;
    await this.flushCaches();
    await this.file.flush();
    await this.writeHeader();
  }

  /** Sets the corrupt bit: nobody opens the image for writing any more. */
  async markCorrupt(): Promise<void> {
    this.header.incompatibleFeatures |= INCOMPATIBLE.CORRUPT;
    await this.writeHeader();
  }

  async markConsistent(): Promise<void> {
    if (!this.isCorrupt) return;
    this.header.incompatibleFeatures &= ~INCOMPATIBLE.CORRUPT;
    await this.flushCaches();
    await this.writeHeader();
  }

  get hasLazyRefcountsFeature(): boolean {
    return (this.header.compatibleFeatures & COMPATIBLE.LAZY_REFCOUNTS) !== 0n;
  }

  // Caches ------------------------------------------------------------------------------------------------------------------

  /** Both caches to the file, in their order; refcounts not while the dirty bit says that they are wrong. Under `lock`. */
  async flushCaches(): Promise<void> {
    await this.l2Cache.writeBack();
    if (!this.isDirty) await this.refcountCache.writeBack();
  }

  /** The file, and the data file, to the medium. */
  async flushFiles(): Promise<void> {
    if (this.dataFile !== undefined) await this.dataFile.flush();
    await this.file.flush();
  }

  /** Drops what the caches did not need for a while (`cache-clean-interval`); looked at whenever the lock is taken. */
  cleanCaches(): void {
    const { cleanIntervalS } = this.options;
    if (cleanIntervalS === 0) return;
    const now = this.host.nowNs();
    if (this.#cleanedNs === 0) this.#cleanedNs = now;
    if (now - this.#cleanedNs < cleanIntervalS * 1e9) return;
    this.#cleanedNs = now;
    this.l2Cache.clean();
    this.refcountCache.clean();
  }

  /** The caches fit the image's size. */
  resizeCaches(): void {
    this.options = this.resolveOptions();
    this.l2Cache.grow(this.options.l2Slices);
    this.refcountCache.grow(this.options.refcountBlocks);
  }

  // Corruption --------------------------------------------------------------------------------------------------------------

  /**
   * Tells the user that the metadata contradict themselves and returns the error to throw. A fatal one, in an image that is
   * written to, marks it corrupt and makes it unusable: nothing may be written by wrong tables.
   */
  async corruption(message: string, fatal = true): Promise<Failure> {
    const isFatal = fatal && !this.flags.readOnly;
    const error = new ErrnoFailure('EIO');
    if (this.#corruptionSignalled && (!isFatal || this.isCorrupt)) return error;
    this.#corruptionSignalled = true;
    this.#print(
      isFatal
        ? `qcow2: Marking image as corrupt: ${message}; further corruption events will be suppressed`
        : `qcow2: Image is corrupt: ${message}; further non-fatal corruption events will be suppressed`,
    );
    if (!isFatal) return error;
    this.#isBroken = true;
    try {
      await this.markCorrupt();
    } catch {
      // It stays unmarked; it is not written to any more either way.
    }
    return error;
  }

  #print(line: string): void {
    if (this.host.print !== undefined) this.host.print(line);
    else this.host.warn(line);
  }
}
