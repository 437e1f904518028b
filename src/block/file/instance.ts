// An open file or device of the host as a node's instance: reading past the end gives zeroes, writing past it grows the file.
// Its parts: locks.ts, extents.ts (holes), zeroing.ts, resize.ts.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile } from '../../ports/host-file.ts';
import { WRITE, type BlockInstance, type BlockLimits, type OpenFlags, type TruncateRequest, type DriverInfo } from '../driver.ts';
import type { BlockNode } from '../node.ts';
import { PERM, PERM_ALL, type Permissions } from '../permissions.ts';
import { STATUS, type BlockStatus } from '../status.ts';
import { waitingFor } from '../../trace/waits.ts';
import { FileExtents } from './extents.ts';
import { ImageLocks } from './locks.ts';
import { resizeFile } from './resize.ts';
import { isTracedHost, tracedHost } from './trace.ts';
import { Zeroing } from './zeroing.ts';

/** Sizes are counted in sectors, as everywhere in the reference: a file's last sector is filled up with zeroes. */
const SECTOR = 512;
const inSectors = (bytes: number): number => Math.ceil(bytes / SECTOR) * SECTOR;

export interface OpenedFile {
  readonly file: HostFile;
  /** As the user gave it. */
  readonly filename: string;
  readonly node: BlockNode;
  readonly locking: boolean;
  /** Opens the same file again in another way. */
  readonly openAgain: (flags: OpenFlags) => Promise<HostFile>;
  /** auto-read-only: why the file could not be opened for writing. */
  readonly writeRefusal: Failure | undefined;
}

export class FileInstance implements BlockInstance {
  size: number;
  limits: Partial<BlockLimits>;
  readonly zeroFlags = WRITE.MAY_UNMAP | WRITE.NO_FALLBACK;
  readonly hasZeroInit: boolean;
  /** Absent for devices, which have no holes that lseek knows. */
  readonly status?: (offset: number, count: number, wantZero: boolean) => BlockStatus;
  readonly #opened: OpenedFile;
  #file: HostFile;
  #locks: ImageLocks;
  #extents: FileExtents;
  #zeroing: Zeroing;
  #flushFailure: Failure | undefined;
  #writeRefusal: Failure | undefined;

  constructor(opened: OpenedFile) {
    const { file } = opened;
    this.#opened = opened;
    this.#file = file;
    this.#writeRefusal = opened.writeRefusal;
    this.#locks = new ImageLocks(file, opened.filename);
    this.#extents = new FileExtents(file);
    this.#zeroing = new Zeroing(file);
    this.size = inSectors(file.size());
    this.limits = { requestAlignment: file.alignment };
    this.hasZeroInit = file.kind === 'regular';
    if (file.kind === 'regular') this.status = (offset, count, wantZero) => this.#status(offset, count, wantZero);
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    const count = isTracedHost()
      ? tracedHost('read', offset, target.length, () => this.#file.read(offset, target))
      : this.#file.read(offset, target);
    if (count instanceof Promise) return count.then((done) => void target.fill(0, done));
    if (count < target.length) target.fill(0, count);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    let result: Eventual<void>;
    try {
      result = isTracedHost()
        ? tracedHost('write', offset, source.length, () => this.#file.write(offset, source))
        : this.#file.write(offset, source);
    } catch (error) {
      return this.#grewInPart(error);
    }
    const end = offset + source.length;
    if (result instanceof Promise) return result.then(() => this.#grow(end), (error: unknown) => this.#grewInPart(error));
    this.#grow(end);
  }

  /** A failed write may have left a part behind the former end, where others expect zeroes. */
  #grewInPart(error: unknown): never {
    if (this.#file.kind === 'regular') this.#grow(this.#file.size());
    throw error;
  }

  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    if (isTracedHost()) return false;
    const result = this.#file.readv?.(offset, targets, count) ?? false;
    if (result === false) return false;
    if (result instanceof Promise) return result.then((done) => zeroBehind(targets, done, count));
    zeroBehind(targets, result, count);
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    if (isTracedHost() || this.#file.writev === undefined) return false;
    const result = this.#file.writev(offset, sources, count);
    if (result === false) return false;
    if (result instanceof Promise) return result.then(() => this.#grow(offset + count));
    this.#grow(offset + count);
  }

  async copyFrom(offset: number, source: BlockNode, sourceOffset: number, count: number): Promise<void> {
    const { instance } = source;
    if (!(instance instanceof FileInstance) || this.#file.copyFrom === undefined) throw new ErrnoFailure('ENOTSUP');
    this.#extents.forget();
    await this.#file.copyFrom(offset, instance.#file, sourceOffset, count);
    this.#grow(offset + count);
  }

  #grow(end: number): void {
    if (end > this.size) this.size = inSectors(end);
  }

  async writeZeroes(offset: number, count: number, flags: number): Promise<void> {
    this.#extents.forget();
    const end = offset + count;
    const grows = end > this.size && this.#file.kind === 'regular';
    await this.#zeroing.writeZeroes(offset, count, flags, this.size);
    // A hole that was punched past the end is not there yet.
    if (grows && this.#file.size() < end) await this.#file.truncate(end);
    this.#grow(end);
  }

  discard(offset: number, count: number): Promise<void> {
    this.#extents.forget();
    return this.#zeroing.discard(offset, count);
  }

  async flush(): Promise<void> {
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
    try {
      const flushed = isTracedHost() ? tracedHost('flush', 0, 0, () => this.#file.flush()) : this.#file.flush();
      if (flushed instanceof Promise) await waitingFor(this.#opened.filename, "the host's flush", flushed);
    } catch (error) {
      // The kernel may have marked what it could not write as clean: a later flush would succeed without having saved it.
      if (this.#file.alignment === 1 && error instanceof Failure) this.#flushFailure = error;
      throw error;
    }
  }

  async truncate({ size, exact, preallocation }: TruncateRequest): Promise<void> {
    this.#extents.forget();
    if (this.#file.kind !== 'regular') return this.#checkDeviceSize(size, exact, preallocation);
    await resizeFile(this.#file, size, preallocation);
    this.size = inSectors(size);
  }

  #checkDeviceSize(size: number, exact: boolean, preallocation: string): void {
    if (preallocation !== 'off') {
      throw new ErrnoFailure('ENOTSUP', `Preallocation mode '${preallocation}' unsupported for this non-regular file`);
    }
    if (exact && size !== this.size) throw new ErrnoFailure('ENOTSUP', 'Cannot resize device files');
    if (size > this.size) throw new ErrnoFailure('EINVAL', 'Cannot grow device files');
  }

  #status(offset: number, count: number, wantZero: boolean): BlockStatus {
    const { node } = this.#opened;
    if (wantZero) return { ...this.#extents.status(offset, count, this.size), file: node };
    const end = offset + count >= this.size ? STATUS.EOF : 0;
    return { count, flags: STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED | end, hostOffset: offset, file: node };
  }

  /** As the reference, whose files know of no clusters but answer. */
  info(): DriverInfo {
    return { clusterSize: 0 };
  }

  allocatedFileSize(): number | undefined {
    return this.#file.allocatedBytes();
  }

  setPermissions({ perm, shared }: Permissions): void {
    if (this.#writeRefusal !== undefined && perm & (PERM.WRITE | PERM.WRITE_UNCHANGED | PERM.RESIZE)) throw this.#writeRefusal;
    if (!this.#opened.locking) return;
    this.#locks.change({ perm, shared: this.#opened.node.flags.forceShare ? PERM_ALL : shared });
  }

  async reopen(flags: OpenFlags): Promise<void> {
    const next = await this.#opened.openAgain(flags);
    const locks = new ImageLocks(next, this.#opened.filename);
    try {
      if (this.#opened.locking) locks.adopt(this.#locks.held);
    } catch (error) {
      await next.close();
      throw error;
    }
    const former = this.#file;
    this.#file = next;
    this.#writeRefusal = undefined;
    this.#locks = locks;
    this.#extents = new FileExtents(next);
    this.#zeroing = new Zeroing(next);
    this.limits = { requestAlignment: next.alignment };
    await former.close();
  }

  close(): Eventual<void> {
    return this.#file.close();
  }
}

/** The end of the file came after `done` of `count` bytes. */
function zeroBehind(targets: readonly Uint8Array[], done: number, count: number): void {
  if (done === count) return;
  let at = 0;
  for (const target of targets) {
    target.fill(0, Math.min(target.length, Math.max(0, done - at)));
    at += target.length;
  }
}
