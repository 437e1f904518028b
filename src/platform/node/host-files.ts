// Files and block devices of the host on node:fs, for the block layer (src/ports/host-file.ts). Three back ends: `syncHostFiles`
// answers at once and is the fastest for one task after the other (the tools); `bulkHostFiles` lets other threads do large reads
// meanwhile; `pooledHostFiles` goes through Node's thread pool and keeps the event loop free (servers, the machine), except for
// reads that need not wait (cached-reads.ts). What Node has no call for comes from host-sparse.ts and host-locks.ts, and is absent
// where the host has none; O_DIRECT goes through direct-io.ts.
import * as fs from 'node:fs';
import type { Eventual } from '../../base/eventual.ts';
import { ErrnoFailure } from '../../base/errno.ts';
import type { HostFile, HostFileKind, HostFileLocks, HostFileOptions, HostFiles, HostSparseFile } from '../../ports/host-file.ts';
import { blockDeviceSize } from './block-device.ts';
import { cachedTransfer } from './cached-reads.ts';
import { directTransfer, probeAlignment } from './direct-io.ts';
import { hostDirectories } from './host-directories.ts';
import { hostFailure } from './host-failure.ts';
import { copyFileRange } from './host-copy.ts';
import { fileLocks } from './host-locks.ts';
import { sparseFile } from './host-sparse.ts';
import { bulkTransfer, pooledTransfer, serverTransfer, syncTransfer, type Transfer } from './transfer.ts';
import { pooledVectors } from './vectored.ts';

const ST_BLOCK_BYTES = 512;

export function syncHostFiles(): HostFiles {
  return hostFiles(() => syncTransfer);
}

/** For whoever has something else to do while it reads, such as writing what it read before. */
export function bulkHostFiles(): HostFiles {
  return hostFiles(() => bulkTransfer);
}

/** For whoever has a socket to look after while much is read or written. */
export function serverHostFiles(): HostFiles {
  return hostFiles(() => serverTransfer);
}

export interface PooledOptions {
  /** Small reads of what is in the page cache end at once, without a promise; the default where the host can tell. */
  readonly cachedReads?: boolean;
}

export function pooledHostFiles({ cachedReads = true }: PooledOptions = {}): HostFiles {
  return hostFiles(({ direct, cachedReads: wanted = true }) => {
    if (direct) return pooledTransfer;
    return cachedReads && wanted ? cachedTransfer() : pooledVectors;
  });
}

function hostFiles(transferFor: (options: HostFileOptions) => Transfer): HostFiles {
  return {
    open: (path, options) => openFile(path, options, transferFor(options)),
    kind: kindOfPath,
    directories: hostDirectories,
    remove: (path) => guarded(() => fs.unlinkSync(path)),
    get workingDirectory(): string {
      return process.cwd();
    },
    realPath: (path) => guarded(() => fs.realpathSync.native(path)),
  };
}

/** Runs a call of node:fs and turns its error into ours. */
function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw hostFailure(error);
  }
}

function kindOf(stat: fs.Stats): HostFileKind | 'directory' | 'other' {
  if (stat.isFile()) return 'regular';
  if (stat.isBlockDevice()) return 'block-device';
  if (stat.isCharacterDevice()) return 'character-device';
  return stat.isDirectory() ? 'directory' : 'other';
}

function kindOfPath(path: string): HostFileKind | 'directory' | 'other' | undefined {
  try {
    return kindOf(fs.statSync(path));
  } catch {
    return undefined;
  }
}

function openFlags({ write, create, keep, direct }: HostFileOptions): number {
  const { O_RDWR, O_RDONLY, O_CREAT, O_TRUNC, O_DIRECT, O_NONBLOCK } = fs.constants;
  if (direct && O_DIRECT === undefined) throw new ErrnoFailure('EINVAL');
  let flags = (write ? O_RDWR : O_RDONLY) | (O_NONBLOCK ?? 0); // a FIFO without a peer must not hang us
  if (create) flags |= O_CREAT | (keep ? 0 : O_TRUNC);
  return direct ? flags | O_DIRECT : flags;
}

function openFile(path: string, options: HostFileOptions, transfer: Transfer): HostFile {
  const fd = guarded(() => fs.openSync(path, openFlags(options), 0o644));
  try {
    const stat = fs.fstatSync(fd);
    const kind = kindOf(stat);
    if (kind === 'directory') throw new ErrnoFailure('EISDIR');
    if (kind === 'other') throw new ErrnoFailure('ESPIPE');
    const alignment = options.direct ? probeAlignment(fd, kind, stat) : 1;
    const used = options.direct ? directTransfer(transfer, alignment) : transfer;
    return new OpenHostFile({ path, fd, kind, alignment, rdev: stat.rdev }, used);
  } catch (error) {
    fs.closeSync(fd);
    throw hostFailure(error);
  }
}

interface OpenDescription {
  readonly path: string;
  readonly fd: number;
  readonly kind: HostFileKind;
  readonly alignment: number;
  /** Device number of a device node. */
  readonly rdev: number;
}

class OpenHostFile implements HostFile {
  readonly path: string;
  readonly kind: HostFileKind;
  readonly alignment: number;
  readonly #fd: number;
  readonly #rdev: number;
  readonly #transfer: Transfer;
  #closed = false;
  // The native calls are loaded when they are first asked for: most opens never need them.
  #sparse: HostSparseFile | undefined;
  #locks: HostFileLocks | undefined;
  #sparseAsked = false;
  #locksAsked = false;

  constructor({ path, fd, kind, alignment, rdev }: OpenDescription, transfer: Transfer) {
    this.path = path;
    this.kind = kind;
    this.alignment = alignment;
    this.#fd = fd;
    this.#rdev = rdev;
    this.#transfer = transfer;
  }

  size(): number {
    this.#checkOpen();
    if (this.kind === 'block-device') return blockDeviceSize(this.#fd, this.#rdev);
    return guarded(() => fs.fstatSync(this.#fd).size);
  }

  allocatedBytes(): number | undefined {
    this.#checkOpen();
    const { blocks } = guarded(() => fs.fstatSync(this.#fd));
    return typeof blocks === 'number' ? blocks * ST_BLOCK_BYTES : undefined;
  }

  read(offset: number, target: Uint8Array): Eventual<number> {
    this.#checkOpen();
    return this.#transfer.read(this.#fd, offset, target);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    this.#checkOpen();
    return this.#transfer.write(this.#fd, offset, source);
  }

  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<number> | false {
    this.#checkOpen();
    return this.#transfer.readv?.(this.#fd, offset, targets, count) ?? false;
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    this.#checkOpen();
    return this.#transfer.writev === undefined ? false : this.#transfer.writev(this.#fd, offset, sources, count);
  }

  flush(): Eventual<void> {
    this.#checkOpen();
    return this.#transfer.flush(this.#fd);
  }

  copyFrom(offset: number, source: HostFile, sourceOffset: number, count: number): Eventual<void> {
    this.#checkOpen();
    if (!(source instanceof OpenHostFile) || source.kind !== 'regular' || this.kind !== 'regular') throw new ErrnoFailure('ENOTSUP');
    source.#checkOpen();
    return copyFileRange({ from: source.#fd, sourceOffset, to: this.#fd, offset, count, pooled: this.#transfer.pooled });
  }

  truncate(size: number): Eventual<void> {
    this.#checkOpen();
    return this.#transfer.truncate(this.#fd, size);
  }

  get sparse(): HostSparseFile | undefined {
    if (!this.#sparseAsked) {
      this.#sparseAsked = true;
      this.#sparse = sparseFile(this.#fd, this.kind, this.#transfer.pooled);
    }
    return this.#sparse;
  }

  get locks(): HostFileLocks | undefined {
    if (!this.#locksAsked) {
      this.#locksAsked = true;
      this.#locks = fileLocks(this.#fd);
    }
    return this.#locks;
  }

  close(): Eventual<void> {
    if (this.#closed) return;
    this.#closed = true;
    guarded(() => fs.closeSync(this.#fd));
  }

  /** A descriptor number may belong to another file by now. */
  #checkOpen(): void {
    if (this.#closed) throw new ErrnoFailure('EBADF');
  }
}
