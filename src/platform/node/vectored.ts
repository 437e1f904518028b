// Reading and writing a file descriptor with several buffers, one behind the other: preadv(2) and pwritev(2), so that the pages of a
// guest's request need no buffer in between. Completely, as in transfer.ts.
import * as fs from 'node:fs';
import { ErrnoFailure } from '../../base/errno.ts';
import { hostFailure } from './host-failure.ts';
import { pooledTransfer, wasInterrupted, type Transfer } from './transfer.ts';

/** IOV_MAX of Linux; other systems have no less. */
export const BUFFERS_MAX = 1024;

/** What is left of `buffers` behind the first `done` bytes. */
export function behind(buffers: readonly Uint8Array[], done: number): readonly Uint8Array[] {
  if (done === 0) return buffers;
  let first = 0;
  let skip = done;
  while (first < buffers.length && skip >= buffers[first]!.length) skip -= buffers[first++]!.length;
  const rest = buffers.slice(first);
  if (skip > 0) rest[0] = rest[0]!.subarray(skip);
  return rest;
}

type VectorCall = typeof fs.readv | typeof fs.writev;

/** Calls until `count` bytes have been moved, or none could be; resolves to how many were. */
function pooledCalls(
  call: VectorCall, fd: number, offset: number, buffers: readonly Uint8Array[], count: number, from: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = from;
    const next = (): void => {
      call(fd, behind(buffers, done), offset + done, (error, moved) => {
        if (error !== null) {
          if (wasInterrupted(error)) next();
          else reject(hostFailure(error));
          return;
        }
        done += moved;
        if (moved === 0 || done === count) resolve(done);
        else next();
      });
    };
    next();
  });
}

/** Fills `targets` from byte `from` on; returns how many bytes of all of them are filled, less only at the end of the file. */
export const pooledReadv = (fd: number, offset: number, targets: readonly Uint8Array[], count: number, from = 0): Promise<number> =>
  pooledCalls(fs.readv, fd, offset, targets, count, from);

export async function pooledWritev(fd: number, offset: number, sources: readonly Uint8Array[], count: number): Promise<void> {
  const done = await pooledCalls(fs.writev, fd, offset, sources, count, 0);
  if (done < count) throw new ErrnoFailure('ENOSPC');
}

export function writevNow(fd: number, offset: number, sources: readonly Uint8Array[], count: number): void {
  for (let done = 0; done < count; ) {
    let moved: number;
    try {
      moved = fs.writevSync(fd, behind(sources, done), offset + done);
    } catch (error) {
      if (wasInterrupted(error)) continue;
      throw hostFailure(error);
    }
    if (moved === 0) throw new ErrnoFailure('ENOSPC');
    done += moved;
  }
}

/** Node's thread pool, with several buffers too. */
export const pooledVectors: Transfer = {
  ...pooledTransfer,
  readv: (fd, offset, targets, count) => targets.length <= BUFFERS_MAX && pooledReadv(fd, offset, targets, count),
  writev: (fd, offset, sources, count) => sources.length <= BUFFERS_MAX && pooledWritev(fd, offset, sources, count),
};
