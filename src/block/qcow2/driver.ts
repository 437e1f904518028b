// The qcow2 driver: the instance of an open image, put together from this folder's parts, and the driver's declaration.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import {
  WRITE,
  type BlockDriver,
  type BlockInstance,
  type BlockLimits,
  type CheckRequest,
  type CheckResult,
  type DriverInfo,
  type OpenContext,
  type OpenFlags,
  type SnapshotPower,
  type TruncateRequest,
} from '../driver.ts';
import type { BlockNode } from '../node.ts';
import type { BlockStatus } from '../status.ts';
import { amendImage, amendOptions } from './amend.ts';
import { PersistentBitmaps } from './bitmaps.ts';
import { checkImage } from './check.ts';
import { writeCompressed } from './compressed-writer.ts';
import { createOptions } from './create-options.ts';
import { create } from './create.ts';
import { makeEmpty } from './empty.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { specificInfo } from './info.ts';
import { locked } from './l2-tables.ts';
import { measure } from './measure.ts';
import { openImage, prepareForWriting } from './open.ts';
import { openOptions } from './options.ts';
import { read, readv } from './reader.ts';
import { snapshotPower } from './snapshots.ts';
import { blockStatus } from './status.ts';
import type { TableCache } from './table-cache.ts';
import { truncate } from './truncate.ts';
import { readVmState, vmStateOffset, writeVmState } from './vm-state.ts';
import { write, writev } from './writer.ts';
import { discard, writeZeroes } from './zeroing.ts';

const ENCRYPTED_ALIGNMENT = 512;

class Qcow2Instance implements BlockInstance {
  readonly image: Qcow2Image;
  readonly limits: Partial<BlockLimits>;
  readonly writeFlags = 0;
  readonly bitmaps: PersistentBitmaps;
  readonly snapshots: SnapshotPower;
  readonly supportsBacking = true;
  readonly vmState: NonNullable<BlockInstance['vmState']>;
  readonly #node: BlockNode;

  constructor(image: Qcow2Image, node: BlockNode) {
    const { clusterSize, subclusterSize } = image.geometry;
    this.image = image;
    this.#node = node;
    this.vmState = {
      read: (offset, target) => readVmState(image, offset, target),
      write: (offset, source) => writeVmState(image, offset, source),
    };
    this.bitmaps = new PersistentBitmaps(image, node);
    this.snapshots = snapshotPower(image, node, (size) => node.truncate({ size, exact: false, preallocation: 'off', zeroWrite: false }));
    this.limits = {
      pwriteZeroesAlignment: subclusterSize,
      pdiscardAlignment: clusterSize,
      ...(image.isEncrypted ? { requestAlignment: ENCRYPTED_ALIGNMENT } : {}),
    };
  }

  get size(): number {
    return this.image.size;
  }

  get zeroFlags(): number {
    return this.image.header.version >= 3 ? WRITE.MAY_UNMAP | WRITE.NO_FALLBACK : 0;
  }

  get encrypted(): boolean {
    return this.image.isEncrypted;
  }

  get supportsCompressed(): boolean {
    return !this.image.hasDataFile;
  }

  /** An image with preallocated clusters shows what its file has there. */
  get hasZeroInit(): boolean {
    const { image } = this;
    if (image.l1.length === 0 || image.size === 0 || image.l1.offsetAt(0) === 0) return true;
    return !image.isEncrypted && (image.data.node.instance.hasZeroInit ?? false);
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return read(this.image, offset, target);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    return write(this.image, offset, source);
  }

  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    return readv(this.image, offset, targets, count);
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    return writev(this.image, offset, sources, count);
  }

  writeZeroes(offset: number, count: number, flags: number): Promise<void> {
    return writeZeroes(this.image, offset, count, flags);
  }

  discard(offset: number, count: number): Promise<void> {
    return discard(this.image, offset, count);
  }

  writeCompressed(offset: number, source: Uint8Array): Promise<void> {
    return writeCompressed(this.image, offset, source);
  }

  status(offset: number, count: number): Eventual<BlockStatus> {
    return blockStatus(this.image, offset, count);
  }

  get isFlushed(): boolean {
    const { image } = this;
    if (image.flags.readOnly || image.isBroken) return true;
    return image.lock.isFree && !image.l2Cache.isDirty && (image.isDirty || !image.refcountCache.isDirty);
  }

  /** Metadata to the files; the node flushes those. */
  flush(): Eventual<void> {
    const { image } = this;
    if (image.flags.readOnly || image.isBroken) return;
    return locked(image, () => image.flushCaches());
  }

  truncate(request: TruncateRequest): Promise<void> {
    if (this.image.header.bitmaps !== undefined) this.bitmaps.checkResizable();
    return truncate(this.image, request);
  }

  info(): DriverInfo {
    const { geometry, isDirty } = this.image;
    const { clusterSize, subclusterSize } = geometry;
    return { clusterSize, subclusterSize, vmStateOffset: vmStateOffset(this.image), isDirty };
  }

  specificInfo(): ReturnType<NonNullable<BlockInstance['specificInfo']>> {
    return specificInfo(this.image, this.bitmaps.list());
  }

  get backingFile(): { readonly name: string; readonly format: string | undefined } | undefined {
    const { backingFile, backingFormat } = this.image.header;
    return backingFile === undefined ? undefined : { name: backingFile, format: backingFormat };
  }

  async changeBackingFile(name: string | undefined, format: string | undefined): Promise<void> {
    const { image } = this;
    if (name !== undefined && image.isRawDataFile) throw new ErrnoFailure('EINVAL');
    if (name !== undefined && new TextEncoder().encode(name).length > LIMIT.MAX_BACKING_NAME_BYTES) throw new ErrnoFailure('EINVAL');
    await locked(image, async () => {
      const { backingFile, backingFormat } = image.header;
      image.header.backingFile = name === '' ? undefined : name;
      image.header.backingFormat = format;
      try {
        await image.writeHeader();
      } catch (error) {
        image.header.backingFile = backingFile;
        image.header.backingFormat = backingFormat;
        throw error;
      }
    });
  }

  check(request: CheckRequest): Promise<CheckResult> {
    return locked(this.image, () => checkImage(this.image, request));
  }

  amend(options: ReadonlyMap<string, string>, progress: (done: number, total: number) => void, force: boolean): Promise<void> {
    const resize = (size: number): Promise<void> => this.#node.truncate({ size, exact: false, preallocation: 'off', zeroWrite: false });
    return amendImage(this.image, { options, force, progress, resize });
  }

  makeEmpty(): Promise<void> {
    return makeEmpty(this.image);
  }

  /** From read-only to writable and back. */
  async reopen(flags: OpenFlags): Promise<void> {
    const { image } = this;
    const wasReadOnly = image.flags.readOnly;
    if (wasReadOnly && !flags.readOnly && image.isCorrupt && !flags.check) {
      throw new ErrnoFailure('EACCES', 'qcow2: Image is corrupt; cannot be opened read/write');
    }
    if (!wasReadOnly && flags.readOnly) await this.#settle();
    image.flags = flags;
    if (wasReadOnly && !flags.readOnly) await this.#beginWriting();
  }

  async #beginWriting(): Promise<void> {
    const { image } = this;
    await prepareForWriting(image, async () => {
      await this.check({ fixLeaks: true, fixErrors: true, report: () => {} });
    });
    if (!image.flags.readOnly) await this.bitmaps.load();
  }

  async start(): Promise<void> {
    if (this.image.flags.readOnly) await this.bitmaps.load();
    else await this.#beginWriting();
  }

  /** Everything that is only in memory goes to the files, and the image is marked clean. */
  async #settle(): Promise<void> {
    const { image } = this;
    try {
      await this.bitmaps.storeAndRelease();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      image.host.warn(`Lost persistent bitmaps during inactivation of node '${this.#node.name}': ${error.message}`);
      this.bitmaps.release();
    }
    await locked(image, async () => {
      // Nobody waits for these: what cannot be written is told, and the image stays as it was marked.
      const tables = await settled(image, 'L2 table', image.l2Cache);
      const counts = await settled(image, 'refcount block', image.refcountCache);
      if (tables && counts && !image.flags.check) await image.markClean();
    });
  }

  async close(): Promise<void> {
    const { image } = this;
    if (image.isBroken || image.flags.readOnly) this.bitmaps.release();
    else await this.#settle();
  }
}

/** Brings a cache to the medium; false when that fails. */
async function settled(image: Qcow2Image, name: string, cache: TableCache): Promise<boolean> {
  try {
    await cache.flush();
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    image.host.report?.(`Failed to flush the ${name} cache: ${error.message}`);
    return false;
  }
}

async function open(context: OpenContext): Promise<Qcow2Instance> {
  const image = await openImage(context);
  const instance = new Qcow2Instance(image, context.node);
  await instance.start();
  return instance;
}

export const driver: BlockDriver = {
  name: 'qcow2',
  kind: 'format',
  options: openOptions,
  strongOptions: ['encrypt.key-secret'],
  createOptions,
  amendOptions,
  create,
  measure,
  open,
};
