// Persistent dirty bitmaps of an open qcow2 image: loaded when it is opened, marked "in use" on the medium while they may
// differ from what is stored, stored anew when it is closed. A bitmap that was in use at opening was lost by a crash; it
// stays known so that it can be removed. The bytes are bitmap-directory.ts.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { DirtyBitmap } from '../dirty-bitmap.ts';
import type { PersistentBitmapInfo } from '../driver.ts';
import { attachBitmap, bitmapsOf, detachBitmap, findBitmap, type BitmapPower } from '../node-bitmaps.ts';
import type { BlockNode } from '../node.ts';
import {
  ALL_ONES,
  BITMAP_FLAG,
  BITMAP_LIMIT,
  directoryEntryBytes,
  encodeBitmapDirectory,
  encodeBitmapTable,
  readBitmapDirectory,
  readBitmapTable,
  type StoredBitmap,
} from './bitmap-directory.ts';
import { AUTOCLEAR } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { locked } from './l2-tables.ts';
import { OVERLAP } from './overlap.ts';

/** Bytes of all bitmaps of an image that are not zero: what they take in memory. */
const MAX_LOADED_BYTES = 2 ** 30;

const nameBytes = (name: string): Uint8Array => new TextEncoder().encode(name);

export class PersistentBitmaps implements BitmapPower {
  readonly #image: Qcow2Image;
  readonly #node: BlockNode;
  /** The directory as it is in the image. */
  #stored: StoredBitmap[] = [];
  #loadedBytes = 0;

  constructor(image: Qcow2Image, node: BlockNode) {
    this.#image = image;
    this.#node = node;
  }

  get supported(): boolean {
    return this.#image.header.version >= 3;
  }

  list(): readonly PersistentBitmapInfo[] {
    return this.#stored.map(({ name, granularityBits, flags }) => ({
      name,
      granularity: 2 ** granularityBits,
      flags: [...(flags & BITMAP_FLAG.IN_USE ? (['in-use'] as const) : []), ...(flags & BITMAP_FLAG.AUTO ? (['auto'] as const) : [])],
    }));
  }

  // Loading -----------------------------------------------------------------------------------------------------------------

  /** Reads all bitmaps when the image is opened, or has become writable. */
  async load(): Promise<void> {
    const image = this.#image;
    if (image.header.bitmaps === undefined) return;
    this.#stored = await readBitmapDirectory(image.file, image.header);
    this.#loadedBytes = 0;
    const { readOnly } = image.flags;
    let changed = false;
    for (const stored of this.#stored) {
      if (findBitmap(this.#node, stored.name) !== undefined) continue;
      const bitmap = await this.#loadOne(stored);
      bitmap.persistent = true;
      bitmap.readOnly = readOnly;
      attachBitmap(this.#node, bitmap);
      if (bitmap.inconsistent || readOnly) continue;
      stored.flags |= BITMAP_FLAG.IN_USE;
      changed = true;
    }
    if (!changed) return;
    try {
      await this.#storeDirectoryInPlace();
    } catch (error) {
      this.release();
      throw explained("Can't update bitmap directory", error);
    }
  }

  async #loadOne(stored: StoredBitmap): Promise<DirtyBitmap> {
    const image = this.#image;
    const bitmap = new DirtyBitmap({ name: stored.name, granularity: 2 ** stored.granularityBits, size: image.size });
    bitmap.enabled = (stored.flags & BITMAP_FLAG.AUTO) !== 0;
    if (stored.flags & BITMAP_FLAG.IN_USE) {
      bitmap.inconsistent = true;
      bitmap.enabled = false;
      return bitmap;
    }
    let table: Float64Array;
    try {
      table = await readBitmapTable(image.file, stored, image.geometry.clusterSize);
    } catch (error) {
      throw explained(`Could not read bitmap_table table from image for bitmap '${stored.name}'`, error);
    }
    try {
      await this.#loadBits(bitmap, table);
    } catch (error) {
      throw explained(`Could not read bitmap '${stored.name}' from image`, error);
    }
    return bitmap;
  }

  async #loadBits(bitmap: DirtyBitmap, table: Float64Array): Promise<void> {
    const { clusterSize } = this.#image.geometry;
    const bytes = bitmap.storedBytes;
    if (Math.ceil(bytes / clusterSize) !== table.length) throw new ErrnoFailure('EINVAL');
    for (let index = 0; index < table.length; index++) {
      const offset = index * clusterSize;
      const count = Math.min(clusterSize, bytes - offset);
      const entry = table[index]!;
      if (entry !== 0 && (this.#loadedBytes += count) > MAX_LOADED_BYTES) throw new ErrnoFailure('ENOMEM');
      if (entry === ALL_ONES) bitmap.fillStored(offset, count);
      else if (entry !== 0) bitmap.copyFrom(offset, await this.#image.file.readBytes(entry, count));
    }
  }

  /** The image's bitmaps are no longer the node's. */
  release(): void {
    for (const bitmap of [...bitmapsOf(this.#node)]) if (bitmap.persistent) detachBitmap(this.#node, bitmap);
  }

  // Directory ---------------------------------------------------------------------------------------------------------------

  /** Flags have changed, nothing else. The autoclear bit is off meanwhile: half a directory would count for nothing. */
  async #storeDirectoryInPlace(): Promise<void> {
    const { header, file, overlaps } = this.#image;
    const directory = encodeBitmapDirectory(this.#stored);
    const { directoryOffset } = header.bitmaps!;
    header.autoclearFeatures &= ~AUTOCLEAR.BITMAPS;
    await this.#writeHeader();
    await overlaps.guard(OVERLAP.BITMAP_DIRECTORY, directoryOffset, directory.length);
    await file.write(directoryOffset, directory);
    await this.#image.flushFiles();
    header.autoclearFeatures |= AUTOCLEAR.BITMAPS;
    await this.#writeHeader();
  }

  async #writeHeader(): Promise<void> {
    await this.#image.writeHeader();
    await this.#image.file.flush();
  }

  /** A new directory at a new place, then the header, then the old one is freed. */
  async #replaceDirectory(bitmaps: StoredBitmap[]): Promise<void> {
    const image = this.#image;
    const { header, refcounts } = image;
    const old = header.bitmaps;
    const oldAutoclear = header.autoclearFeatures;
    const directory = encodeBitmapDirectory(bitmaps);
    let directoryOffset = 0;
    try {
      if (bitmaps.length > 0) {
        directoryOffset = await refcounts.allocate(directory.length);
        await image.overlaps.guard(OVERLAP.NONE, directoryOffset, directory.length);
        await image.file.write(directoryOffset, directory);
        header.bitmaps = { nbBitmaps: bitmaps.length, directorySize: directory.length, directoryOffset };
        header.autoclearFeatures |= AUTOCLEAR.BITMAPS;
      } else {
        header.bitmaps = undefined;
        header.autoclearFeatures &= ~AUTOCLEAR.BITMAPS;
      }
      await image.flushCaches();
      await image.flushFiles();
      await this.#writeHeader();
    } catch (error) {
      header.bitmaps = old;
      header.autoclearFeatures = oldAutoclear;
      if (directoryOffset > 0) await refcounts.free(directoryOffset, directory.length, 'other');
      throw error;
    }
    this.#stored = bitmaps;
    if (old !== undefined && old.directorySize > 0) await refcounts.free(old.directoryOffset, old.directorySize, 'other');
  }

  async #freeTable(table: Float64Array | undefined, stored: StoredBitmap): Promise<void> {
    const { refcounts, geometry } = this.#image;
    for (const offset of table ?? []) if (offset > 0) await refcounts.free(offset, geometry.clusterSize, 'always');
    await refcounts.free(stored.tableOffset, stored.tableSize * 8, 'other');
  }

  /** Undefined when the table is broken: then its clusters leak. */
  async #tableOf(stored: StoredBitmap): Promise<Float64Array | undefined> {
    try {
      return await readBitmapTable(this.#image.file, stored, this.#image.geometry.clusterSize);
    } catch (error) {
      if (error instanceof Failure) return undefined;
      throw error;
    }
  }

  // Storing -----------------------------------------------------------------------------------------------------------------

  /** Stores what is persistent, when the image is closed. The bitmaps are the node's no longer afterwards. */
  async storeAndRelease(): Promise<void> {
    await locked(this.#image, () => this.#store());
    this.release();
  }

  async #store(): Promise<void> {
    const image = this.#image;
    const wanted = bitmapsOf(this.#node).filter(({ persistent, inconsistent, readOnly }) => persistent && !inconsistent && !readOnly);
    if (wanted.length === 0) return;
    if (image.flags.readOnly) throw new ErrnoFailure('EINVAL', 'No write access');
    const next = this.#stored.map((stored) => ({ ...stored }));
    const dropped: StoredBitmap[] = [];
    const sources = new Map<StoredBitmap, DirtyBitmap>();
    for (const bitmap of wanted) sources.set(this.#entryFor(bitmap, next, dropped), bitmap);
    if (next.length > BITMAP_LIMIT.COUNT) throw new ErrnoFailure('EINVAL', 'Too many persistent bitmaps');
    const written: StoredBitmap[] = [];
    try {
      for (const stored of next) {
        const bitmap = sources.get(stored);
        if (bitmap === undefined) continue;
        await this.#storeBits(stored, bitmap);
        written.push(stored);
      }
      await this.#update(next);
    } catch (error) {
      for (const stored of written) await this.#freeTable(await this.#tableOf(stored), stored);
      throw error;
    }
    for (const stored of dropped) await this.#freeTable(await this.#tableOf(stored), stored);
  }

  /** The directory entry that the bitmap goes to, new or old; what an old one had is dropped later. */
  #entryFor(bitmap: DirtyBitmap, next: StoredBitmap[], dropped: StoredBitmap[]): StoredBitmap {
    const name = bitmap.name!;
    try {
      this.#checkConstraints(name, bitmap.granularity);
    } catch (error) {
      throw error instanceof Failure
        ? new ErrnoFailure('EINVAL', `Bitmap '${name}' doesn't satisfy the constraints: ${error.message}`)
        : error;
    }
    const flags = bitmap.enabled ? BITMAP_FLAG.AUTO : 0;
    const index = next.findIndex((stored) => stored.name === name);
    const entry: StoredBitmap = {
      tableOffset: 0,
      tableSize: 0,
      flags,
      granularityBits: Math.log2(bitmap.granularity),
      nameBytes: index < 0 ? nameBytes(name) : next[index]!.nameBytes,
      name,
    };
    if (index < 0) next.push(entry);
    else {
      if ((next[index]!.flags & BITMAP_FLAG.IN_USE) === 0) throw new ErrnoFailure('EINVAL', `Bitmap '${name}' already exists in the image`);
      dropped.push(next[index]!);
      next[index] = entry;
    }
    return entry;
  }

  async #update(next: StoredBitmap[]): Promise<void> {
    try {
      await this.#replaceDirectory(next);
    } catch (error) {
      throw explained('Failed to update bitmap extension', error);
    }
  }

  /** Writes a bitmap's data and table to new clusters; only clusters with a bit set get one. */
  async #storeBits(stored: StoredBitmap, bitmap: DirtyBitmap): Promise<void> {
    const { refcounts, overlaps, file, geometry } = this.#image;
    const { clusterSize } = geometry;
    const bytes = bitmap.storedBytes;
    const table = new Float64Array(Math.ceil(bytes / clusterSize));
    const allocate = async (count: number): Promise<number> => {
      try {
        return await refcounts.allocate(count);
      } catch (error) {
        throw explained(`Failed to allocate clusters for bitmap '${stored.name}'`, error);
      }
    };
    const write = async (offset: number, source: Uint8Array): Promise<void> => {
      try {
        await overlaps.guard(OVERLAP.NONE, offset, source.length);
        await file.write(offset, source);
      } catch (error) {
        throw explained(`Failed to write bitmap '${stored.name}' to file`, error);
      }
    };
    const free = async (): Promise<void> => {
      for (const offset of table) if (offset > 0) await refcounts.free(offset, clusterSize, 'always');
    };
    try {
      for (let index = 0; index < table.length; index++) {
        if (!bitmap.hasBitsIn(index * clusterSize, clusterSize)) continue;
        const cluster = new Uint8Array(clusterSize);
        bitmap.copyTo(index * clusterSize, cluster.subarray(0, Math.min(clusterSize, bytes - index * clusterSize)));
        const offset = await allocate(clusterSize);
        table[index] = offset;
        await write(offset, cluster);
      }
      stored.tableOffset = await allocate(table.length * 8);
      stored.tableSize = table.length;
      await write(stored.tableOffset, encodeBitmapTable(table));
    } catch (error) {
      await free();
      throw error;
    }
  }

  // Operations --------------------------------------------------------------------------------------------------------------

  checkCanStore(name: string, granularity: number): void {
    if (this.#image.header.version < 3) throw new ErrnoFailure('EINVAL', 'Cannot store dirty bitmaps in qcow2 v2 files');
    this.#checkConstraints(name, granularity);
    const names = bitmapsOf(this.#node)
      .filter(({ persistent }) => persistent)
      .map((bitmap) => nameBytes(bitmap.name!).length);
    if (names.length + 1 > BITMAP_LIMIT.COUNT) throw new ErrnoFailure('EINVAL', 'Maximum number of persistent bitmaps is already reached');
    const bytes = [...names, nameBytes(name).length].reduce((sum, length) => sum + directoryEntryBytes(length), 0);
    if (bytes > BITMAP_LIMIT.DIRECTORY_BYTES) throw new ErrnoFailure('EINVAL', 'Not enough space in the bitmap directory');
  }

  #checkConstraints(name: string, granularity: number): void {
    const { size, geometry } = this.#image;
    const { MAX_GRANULARITY_BITS, MIN_GRANULARITY_BITS } = BITMAP_LIMIT;
    const fail = (message: string): never => {
      throw new ErrnoFailure('EINVAL', message);
    };
    if (granularity > 2 ** MAX_GRANULARITY_BITS) fail(`Granularity exceeds maximum (${2 ** MAX_GRANULARITY_BITS} bytes)`);
    if (granularity < 2 ** MIN_GRANULARITY_BITS) fail(`Granularity is under minimum (${2 ** MIN_GRANULARITY_BITS} bytes)`);
    const bytes = Math.ceil(Math.ceil(size / granularity) / 8);
    if (bytes > BITMAP_LIMIT.STORED_BYTES || bytes > BITMAP_LIMIT.TABLE_ENTRIES * geometry.clusterSize) {
      fail('Too much space will be occupied by the bitmap. Use larger granularity');
    }
    if (nameBytes(name).length > BITMAP_LIMIT.NAME_BYTES) fail(`Name length exceeds maximum (${BITMAP_LIMIT.NAME_BYTES} characters)`);
  }

  removeStored(name: string): Promise<void> {
    return locked(this.#image, async () => {
      const stored = this.#stored.find((bitmap) => bitmap.name === name);
      if (stored === undefined) return;
      const table = await this.#tableOf(stored);
      await this.#update(this.#stored.filter((bitmap) => bitmap !== stored));
      await this.#freeTable(table, stored);
    });
  }

  /** Before the image's size changes: Failure when a stored bitmap could not follow. */
  checkResizable(): void {
    for (const { name } of this.#stored) {
      const bitmap = findBitmap(this.#node, name);
      if (bitmap === undefined)
        throw new ErrnoFailure('ENOTSUP', 'Cannot resize qcow2 with persistent bitmaps that were not loaded into memory');
      bitmap.checkUsable();
    }
  }
}

function explained(what: string, error: unknown): Failure {
  if (!(error instanceof Failure)) throw error;
  const errno = errnoOf(error);
  return new ErrnoFailure(errno, `${what}: ${errnoText(errno)}`, { cause: error });
}
