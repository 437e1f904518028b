// What the page cache can serve is done at once, the rest by the thread pool. Small writes go into the page cache at once. Reads
// are tried with preadv2(2) and RWF_NOWAIT, which reads only what is in memory, or says EAGAIN: for 4 KiB that is 1 us of processor
// time instead of 19, for 1 MiB in 256 buffers 60 us instead of 155 and a copy, and the event loop never waits for a disk.
import type { Eventual } from '../../base/eventual.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';
import { pooledTransfer, syncTransfer, type Transfer } from './transfer.ts';
import { BUFFERS_MAX, pooledReadv, pooledVectors, pooledWritev, writevNow } from './vectored.ts';

const RWF_NOWAIT = 8;
const EAGAIN = 11;

/** Copying more than this would hold the event loop longer than the thread pool costs. */
const AT_ONCE_BYTES_MAX = 1 << 20;

/** For one file, because file systems differ. The thread pool where the host has no such call. */
export function cachedTransfer(): Transfer {
  const calls = systemCalls();
  return calls === undefined ? pooledVectors : { ...pooledTransfer, ...cachedReads(calls), ...cachedWrites() };
}

function cachedReads(calls: SystemCalls): Pick<Transfer, 'read' | 'readv'> {
  const vector = new IoVector(calls);
  let isSupported = true;
  return {
    read(fd, offset, target) {
      if (!isSupported || target.length > AT_ONCE_BYTES_MAX) return pooledTransfer.read(fd, offset, target);
      let done = 0;
      while (done < target.length) {
        const count = calls.preadv2(fd, vector.one(target, done), 1, offset + done, RWF_NOWAIT);
        if (count === 0) return done; // the end of the file
        if (count < 0) {
          isSupported = count === -EAGAIN; // EOPNOTSUPP stays; another error is the thread pool's to find again
          return readRest(fd, offset, target, done);
        }
        done += count;
      }
      return done;
    },
    readv(fd, offset, targets, count) {
      if (targets.length > BUFFERS_MAX) return false;
      if (!isSupported || count > AT_ONCE_BYTES_MAX) return pooledReadv(fd, offset, targets, count);
      const done = calls.preadv2(fd, vector.all(targets), targets.length, offset, RWF_NOWAIT);
      if (done < 0) isSupported = done === -EAGAIN;
      return done === count ? count : pooledReadv(fd, offset, targets, count, Math.max(0, done));
    },
  };
}

function readRest(fd: number, offset: number, target: Uint8Array, done: number): Eventual<number> {
  const rest = pooledTransfer.read(fd, offset + done, done === 0 ? target : target.subarray(done)) as Promise<number>;
  return done === 0 ? rest : rest.then((count) => done + count);
}

/** Entries of `struct iovec`. The memory of a buffer does not move, so where it begins is asked once. */
class IoVector {
  readonly #calls: SystemCalls;
  readonly #halves = new Uint32Array(4 * BUFFERS_MAX);
  readonly #bytes = new Uint8Array(this.#halves.buffer);
  readonly #bases = new WeakMap<ArrayBufferLike, number>();

  constructor(calls: SystemCalls) {
    this.#calls = calls;
  }

  /** `target` from byte `from` on. */
  one(target: Uint8Array, from: number): Uint8Array {
    this.#put(0, target, from);
    return this.#bytes;
  }

  all(targets: readonly Uint8Array[]): Uint8Array {
    for (let index = 0; index < targets.length; index++) this.#put(index, targets[index]!, 0);
    return this.#bytes;
  }

  #put(index: number, target: Uint8Array, from: number): void {
    const { buffer } = target; // which moves the bytes of a small array out of the garbage collector's reach
    let base = this.#bases.get(buffer);
    if (base === undefined) {
      base = this.#calls.address(new Uint8Array(buffer));
      this.#bases.set(buffer, base);
    }
    const address = base + target.byteOffset + from;
    this.#halves[4 * index] = address;
    this.#halves[4 * index + 1] = address / 2 ** 32;
    this.#halves[4 * index + 2] = target.length - from;
    this.#halves[4 * index + 3] = 0;
  }
}

/** Small writes into the page cache take microseconds, unless the host holds back who writes too much. */
const WRITE_AT_ONCE_BYTES_MAX = 64 << 10;
const SLOW_WRITE_MS = 5;
const POOLED_AFTER_SLOW_MS = 1000;

/** Writes at once as long as none had to wait; after one that did, through the thread pool for a while. */
function cachedWrites(): Pick<Transfer, 'write' | 'writev'> {
  let pooledUntilMs = 0;
  const mayWriteNow = (count: number, nowMs: number): boolean => count <= WRITE_AT_ONCE_BYTES_MAX && nowMs >= pooledUntilMs;
  const wrote = (startMs: number): void => {
    const endMs = performance.now();
    if (endMs - startMs > SLOW_WRITE_MS) pooledUntilMs = endMs + POOLED_AFTER_SLOW_MS;
  };
  return {
    write(fd, offset, source) {
      const start = performance.now();
      if (!mayWriteNow(source.length, start)) return pooledTransfer.write(fd, offset, source);
      syncTransfer.write(fd, offset, source);
      wrote(start);
    },
    writev(fd, offset, sources, count) {
      if (sources.length > BUFFERS_MAX) return false;
      const start = performance.now();
      if (!mayWriteNow(count, start)) return pooledWritev(fd, offset, sources, count);
      writevNow(fd, offset, sources, count);
      return wrote(start);
    },
  };
}
