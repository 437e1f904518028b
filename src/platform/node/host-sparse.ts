// Holes in files and on block devices: lseek with SEEK_DATA and SEEK_HOLE, fallocate(2), and the ioctls of block devices.
import { ErrnoFailure, errnoFromNumber, type Errno } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import type { HostFileKind, HostSparseFile } from '../../ports/host-file.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const FALLOC_KEEP_SIZE = 1;
const FALLOC_PUNCH_HOLE = 2;
const FALLOC_ZERO_RANGE = 0x10;
const BLKDISCARD = 0x1277;
const BLKZEROOUT = 0x127f;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_EXTSIZE = 0x800;
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_NOCOW_FL = 0x00800000;

const ENXIO = 6;
const ENODEV = 19;
const ENOTTY = 25;
const ENOSYS = 38;
const EOPNOTSUPP = 95;

/** All that mean "not here": no such call, no such call for this file, no such ioctl. */
const UNSUPPORTED: ReadonlySet<number> = new Set([ENODEV, ENOTTY, ENOSYS, EOPNOTSUPP]);

export function failure(negativeErrno: number): ErrnoFailure {
  const name: Errno = UNSUPPORTED.has(-negativeErrno) ? 'ENOTSUP' : errnoFromNumber(-negativeErrno);
  return new ErrnoFailure(name);
}

function done(result: Eventual<number>): Eventual<void> {
  if (result instanceof Promise) return result.then((value) => void done(value));
  if (result < 0) throw failure(result);
}

export function sparseFile(fd: number, kind: HostFileKind, pooled: boolean): HostSparseFile | undefined {
  const calls = systemCalls();
  if (calls === undefined) return undefined;
  const { fallocate, posixFallocate, ioctl } = pooled ? calls.pooled : calls;
  const seek = (offset: number, whence: number): number | undefined => {
    const at = calls.lseek(fd, offset, whence);
    if (at === -ENXIO) return undefined;
    if (at < 0) throw failure(at);
    return at;
  };
  const isDevice = kind === 'block-device';
  return {
    seekData: (offset) => seek(offset, SEEK_DATA),
    seekHole: (offset) => seek(offset, SEEK_HOLE),
    punchHole: (offset, count) => done(fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, count)),
    zeroRange: (offset, count) =>
      done(isDevice ? ioctl(fd, BLKZEROOUT, byteRange(offset, count)) : fallocate(fd, FALLOC_ZERO_RANGE, offset, count)),
    reserve: (offset, count) => done(fallocate(fd, 0, offset, count)),
    allocate: (offset, count) => done(posixFallocate(fd, offset, count)),
    discard: (offset, count) =>
      done(isDevice ? ioctl(fd, BLKDISCARD, byteRange(offset, count)) : fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, offset, count)),
    setExtentSizeHint: (bytes) => setExtentSizeHint(calls, fd, bytes),
    disableCopyOnWrite: () => disableCopyOnWrite(calls, fd),
  };
}

/** `uint64_t range[2]` of the block ioctls. */
function byteRange(offset: number, count: number): Uint8Array {
  return new Uint8Array(new BigUint64Array([BigInt(offset), BigInt(count)]).buffer);
}

/** struct fsxattr: flags, extent size, …; 28 bytes. */
function setExtentSizeHint(calls: SystemCalls, fd: number, bytes: number): void {
  const attributes = new Uint8Array(28);
  const view = new DataView(attributes.buffer);
  done(calls.ioctl(fd, FS_IOC_FSGETXATTR, attributes));
  view.setUint32(0, view.getUint32(0, true) | FS_XFLAG_EXTSIZE, true);
  view.setUint32(4, bytes, true);
  done(calls.ioctl(fd, FS_IOC_FSSETXATTR, attributes));
}

function disableCopyOnWrite(calls: SystemCalls, fd: number): void {
  const flags = new Uint8Array(8);
  const view = new DataView(flags.buffer);
  done(calls.ioctl(fd, FS_IOC_GETFLAGS, flags));
  view.setUint32(0, view.getUint32(0, true) | FS_NOCOW_FL, true);
  done(calls.ioctl(fd, FS_IOC_SETFLAGS, flags));
}
