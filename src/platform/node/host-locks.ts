// Open-file-description locks (fcntl F_OFD_SETLK and F_OFD_GETLK), as fcntl(2) describes them: they belong to the open file, so
// another open of the same process conflicts as well, and they end with its last descriptor.
import { ErrnoFailure, errnoFromNumber } from '../../base/errno.ts';
import type { HostFileLocks } from '../../ports/host-file.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const EACCES = 13;
const EAGAIN = 11;

/** struct flock of 64-bit Linux: type and whence as shorts, then at 8 and 16 start and length; little endian on x64 and arm64. */
const FLOCK_BYTES = 32;

export function fileLocks(fd: number): HostFileLocks | undefined {
  const calls = systemCalls();
  if (calls === undefined) return undefined;
  const set = (type: number, offset: number, count: number): number => calls.fcntl(fd, F_OFD_SETLK, flock(type, offset, count));
  return {
    lockShared(offset, count) {
      const result = set(F_RDLCK, offset, count);
      if (result === -EAGAIN || result === -EACCES) return false;
      if (result < 0) throw new ErrnoFailure(errnoFromNumber(-result));
      return true;
    },
    unlock(offset, count) {
      const result = set(F_UNLCK, offset, count);
      if (result < 0) throw new ErrnoFailure(errnoFromNumber(-result));
    },
    wouldConflict: (offset, count) => wouldConflict(calls, fd, offset, count),
  };
}

function flock(type: number, offset: number, count: number): Uint8Array {
  const bytes = new Uint8Array(FLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, type, true);
  view.setBigInt64(8, BigInt(offset), true);
  view.setBigInt64(16, BigInt(count), true);
  return bytes;
}

function wouldConflict(calls: SystemCalls, fd: number, offset: number, count: number): boolean {
  const lock = flock(F_WRLCK, offset, count);
  const result = calls.fcntl(fd, F_OFD_GETLK, lock);
  if (result < 0) throw new ErrnoFailure(errnoFromNumber(-result));
  return lock[0] !== F_UNLCK; // the kernel says whose lock stands in the way
}
