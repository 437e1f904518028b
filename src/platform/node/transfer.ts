// Reading and writing a file descriptor completely: the operating system may take or give less than was asked, and may be
// interrupted by a signal. Once synchronously, once through Node's thread pool (callbacks are about twice as fast as
// node:fs/promises, which is why the promises are made by hand).
import * as fs from 'node:fs';
import type { Eventual } from '../../base/eventual.ts';
import { ErrnoFailure } from '../../base/errno.ts';
import { hostFailure } from './host-failure.ts';

/** One system call moves less than 2 GiB on Linux. */
const MAX_CALL_BYTES = 1 << 30;

export interface Transfer {
  /** Answers with promises, from other threads. */
  readonly pooled: boolean;
  /** Fills `target` up to the end of the file; returns the number of bytes. */
  read(fd: number, offset: number, target: Uint8Array): Eventual<number>;
  write(fd: number, offset: number, source: Uint8Array): Eventual<void>;
  /** With several buffers, `count` bytes in all; false, and nothing is done, when there are too many. */
  readv?(fd: number, offset: number, targets: readonly Uint8Array[], count: number): Eventual<number> | false;
  writev?(fd: number, offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false;
  flush(fd: number): Eventual<void>;
  truncate(fd: number, size: number): Eventual<void>;
}

/** A transfer that is known to answer at once. */
export interface SyncTransfer extends Transfer {
  read(fd: number, offset: number, target: Uint8Array): number;
  write(fd: number, offset: number, source: Uint8Array): void;
}

export const wasInterrupted = (error: unknown): boolean => (error as NodeJS.ErrnoException | null)?.code === 'EINTR';

function readOnce(fd: number, target: Uint8Array, at: number, offset: number): number {
  for (;;) {
    try {
      return fs.readSync(fd, target, at, Math.min(target.length - at, MAX_CALL_BYTES), offset);
    } catch (error) {
      if (!wasInterrupted(error)) throw hostFailure(error);
    }
  }
}

function writeOnce(fd: number, source: Uint8Array, at: number, offset: number): number {
  for (;;) {
    try {
      return fs.writeSync(fd, source, at, Math.min(source.length - at, MAX_CALL_BYTES), offset);
    } catch (error) {
      if (!wasInterrupted(error)) throw hostFailure(error);
    }
  }
}

function atOnce(call: () => void): void {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!wasInterrupted(error)) throw hostFailure(error);
    }
  }
}

export const syncTransfer: SyncTransfer = {
  pooled: false,
  read(fd, offset, target) {
    let done = 0;
    while (done < target.length) {
      const count = readOnce(fd, target, done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  },
  write(fd, offset, source) {
    let done = 0;
    while (done < source.length) {
      const count = writeOnce(fd, source, done, offset + done);
      if (count === 0) throw new ErrnoFailure('ENOSPC');
      done += count;
    }
  },
  flush(fd) {
    atOnce(() => fs.fdatasyncSync(fd));
  },
  truncate(fd, size) {
    atOnce(() => fs.ftruncateSync(fd, size));
  },
};

type Done = (error: NodeJS.ErrnoException | null) => void;

/** A call with a callback as a promise, repeated while signals interrupt it. */
function pooled(call: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const done: Done = (error) => {
      if (error === null) resolve();
      else if (wasInterrupted(error)) call(done);
      else reject(hostFailure(error));
    };
    call(done);
  });
}

export const pooledTransfer: Transfer = {
  pooled: true,
  read(fd, offset, target) {
    return new Promise((resolve, reject) => {
      let done = 0;
      const next = (): void => {
        fs.read(fd, target, done, Math.min(target.length - done, MAX_CALL_BYTES), offset + done, (error, count) => {
          if (error !== null) {
            if (wasInterrupted(error)) next();
            else reject(hostFailure(error));
            return;
          }
          done += count;
          if (count === 0 || done === target.length) resolve(done);
          else next();
        });
      };
      next();
    });
  },
  write(fd, offset, source) {
    return new Promise((resolve, reject) => {
      let done = 0;
      const next = (): void => {
        fs.write(fd, source, done, Math.min(source.length - done, MAX_CALL_BYTES), offset + done, (error, count) => {
          if (error !== null) {
            if (wasInterrupted(error)) next();
            else reject(hostFailure(error));
            return;
          }
          done += count;
          if (done === source.length) resolve();
          else if (count === 0) reject(new ErrnoFailure('ENOSPC'));
          else next();
        });
      };
      next();
    });
  },
  flush: (fd) => pooled((done) => fs.fdatasync(fd, done)),
  truncate: (fd, size) => pooled((done) => fs.ftruncate(fd, size, done)),
};

/** The way to another thread and back is worth it from this size on. */
const BULK_READ_BYTES = 256 << 10;

/** At once, but for large reads. */
export const bulkTransfer: Transfer = {
  ...syncTransfer,
  read: (fd, offset, target) => (target.length < BULK_READ_BYTES ? syncTransfer : pooledTransfer).read(fd, offset, target),
};

/** The same for writes: the server that has given a large one away takes the next from the socket meanwhile. */
const LARGE_WRITE_BYTES = 128 << 10;

/** At once, but for large reads and writes. */
export const serverTransfer: Transfer = {
  ...bulkTransfer,
  write: (fd, offset, source) => (source.length < LARGE_WRITE_BYTES ? syncTransfer : pooledTransfer).write(fd, offset, source),
};
