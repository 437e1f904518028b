// What the block layer needs of the host's files and block devices. Interfaces only; src/platform/node implements them
// twice: synchronously, for the tools' bulk work, and through the thread pool, for servers and the machine.
// Errors are ErrnoFailures with the text of strerror().
import type { Eventual } from '../base/eventual.ts';

export interface HostFileOptions {
  readonly write: boolean;
  /** Made when it is not there; an existing one is truncated to nothing. */
  readonly create?: boolean;
  /** With `create`: an existing file keeps its content (until its locks are had, say). */
  readonly keep?: boolean;
  /** O_DIRECT: offsets, counts and buffers must be aligned to `HostFile.alignment`. */
  readonly direct?: boolean;
  /** False: no read ends at once because the page cache has it; all go through other threads where there are any. */
  readonly cachedReads?: boolean;
}

export type HostFileKind = 'regular' | 'block-device' | 'character-device';

export interface HostFile {
  readonly path: string;
  readonly kind: HostFileKind;
  /** 1, or what O_DIRECT asks for. */
  readonly alignment: number;
  /** Size in bytes now: st_size, or what the block device says. */
  size(): number;
  /** st_blocks in bytes; undefined where the host cannot tell. */
  allocatedBytes(): number | undefined;
  /** Fills `target` as far as the file goes; returns how many bytes that was. */
  read(offset: number, target: Uint8Array): Eventual<number>;
  write(offset: number, source: Uint8Array): Eventual<void>;
  /** The same with one buffer behind the other, `count` bytes in all; false, and nothing is done, where only one will do. */
  readv?(offset: number, targets: readonly Uint8Array[], count: number): Eventual<number> | false;
  writev?(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false;
  /** Data and what is needed to find it are on the medium: fdatasync. */
  flush(): Eventual<void>;
  /** Copies within the kernel from another file of this host: copy_file_range. ErrnoFailure ENOTSUP where that is not to be had. */
  copyFrom?(offset: number, source: HostFile, sourceOffset: number, count: number): Eventual<void>;
  truncate(size: number): Eventual<void>;
  /** Absent where the host has no such calls; then holes are not seen and zeroes are written. */
  readonly sparse?: HostSparseFile | undefined;
  /** Open-file-description locks on single bytes; absent where the host has none. */
  readonly locks?: HostFileLocks | undefined;
  close(): Eventual<void>;
}

export interface HostSparseFile {
  /** The next offset >= `offset` that has data; undefined when there is none before the end (ENXIO). */
  seekData(offset: number): number | undefined;
  /** The next offset >= `offset` that is a hole (the end counts as one); undefined at or after the end. */
  seekHole(offset: number): number | undefined;
  /** FALLOC_FL_PUNCH_HOLE | KEEP_SIZE. ErrnoFailure ENOTSUP where the file system cannot; so also the following. */
  punchHole(offset: number, count: number): Eventual<void>;
  /** FALLOC_FL_ZERO_RANGE (allocated zeroes, the file grown); BLKZEROOUT of a block device. */
  zeroRange(offset: number, count: number): Eventual<void>;
  /** fallocate without a mode: space reserved, the file grown, content kept. */
  reserve(offset: number, count: number): Eventual<void>;
  /** posix_fallocate: like `reserve`, by writing where the file system cannot. */
  allocate(offset: number, count: number): Eventual<void>;
  /** Space is given back: a hole in a file; BLKDISCARD of a block device, whatever reads there then. */
  discard(offset: number, count: number): Eventual<void>;
  /** XFS and others: space is taken in pieces of this size. */
  setExtentSizeHint(bytes: number): void;
  /** btrfs: for a file that is still empty. */
  disableCopyOnWrite(): void;
}

export interface HostFileLocks {
  /** A shared lock of one byte; false when somebody else holds it exclusively. */
  lockShared(offset: number, count: number): boolean;
  unlock(offset: number, count: number): void;
  /** Whether an exclusive lock could be had (nobody else holds a shared one). Takes nothing. */
  wouldConflict(offset: number, count: number): boolean;
}

export interface HostFiles {
  open(path: string, options: HostFileOptions): Eventual<HostFile>;
  /** Undefined when there is nothing of that name. */
  kind(path: string): HostFileKind | 'directory' | 'other' | undefined;
  remove(path: string): void;
  /** Absent where there are none to be read. */
  readonly directories?: HostDirectories;
  readonly workingDirectory: string;
  realPath(path: string): string;
}

/** A time of the host's calendar, in its time zone. */
export interface CalendarTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** What a name of a directory stands for; links are followed. */
export interface HostDirectoryEntry {
  readonly name: string;
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
  readonly modified: CalendarTime;
  readonly changed: CalendarTime;
  readonly accessed: CalendarTime;
}

export interface HostDirectories {
  /** Undefined when there is nothing of that name. */
  describe(path: string): HostDirectoryEntry | undefined;
  /** In the order of the host, without `.` and `..`; names that lead nowhere are left out. */
  list(path: string): readonly HostDirectoryEntry[];
}
