// What the page cache can serve is done at once, the rest by the thread pool. Small writes go into the page cache at once. Reads
// are tried with preadv2(2) and RWF_NOWAIT, which reads only what is in memory, or says EAGAIN: for 4 KiB that is 1.5 us instead
// of 34 us, and the event loop never waits for a disk.
import type { Eventual } from '../../base/eventual.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';
import { pooledTransfer, syncTransfer, type Transfer } from './transfer.ts';

const RWF_NOWAIT = 8;
const EAGAIN = 11;

/** Copying more than this would hold the event loop longer than the thread pool costs. */
const AT_ONCE_BYTES_MAX = 256 << 10;

/** For one file, because file systems differ. The thread pool where the host has no such call. */
export function cachedTransfer(): Transfer {
  const calls = systemCalls();
  return calls === undefined ? pooledTransfer : { ...pooledTransfer, read: cachedRead(calls), write: cachedWrite() };
}

function cachedRead(calls: SystemCalls): Transfer['read'] {
  const vector = new IoVector(calls);
  let isSupported = true;
  return (fd, offset, target) => {
    if (!isSupported || target.length > AT_ONCE_BYTES_MAX) return pooledTransfer.read(fd, offset, target);
    let done = 0;
    while (done < target.length) {
      const count = calls.preadv2(fd, vector.at(target, done), 1, offset + done, RWF_NOWAIT);
      if (count === 0) return done; // the end of the file
      if (count < 0) {
        isSupported = count === -EAGAIN; // EOPNOTSUPP stays; another error is the thread pool's to find again
        return readRest(fd, offset, target, done);
      }
      done += count;
    }
    return done;
  };
}

function readRest(fd: number, offset: number, target: Uint8Array, done: number): Eventual<number> {
  const rest = pooledTransfer.read(fd, offset + done, done === 0 ? target : target.subarray(done)) as Promise<number>;
  return done === 0 ? rest : rest.then((count) => done + count);
}

/** `struct iovec` for one buffer. The memory of a buffer does not move, so where it begins is asked once. */
class IoVector {
  readonly #calls: SystemCalls;
  readonly #words = new BigUint64Array(2);
  readonly #halves = new Uint32Array(this.#words.buffer);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #bases = new WeakMap<ArrayBufferLike, number>();

  constructor(calls: SystemCalls) {
    this.#calls = calls;
  }

  /** `target` from byte `from` on. */
  at(target: Uint8Array, from: number): Uint8Array {
    const { buffer } = target; // which moves the bytes of a small array out of the garbage collector's reach
    let base = this.#bases.get(buffer);
    if (base === undefined) {
      base = this.#calls.address(new Uint8Array(buffer));
      this.#bases.set(buffer, base);
    }
    const address = base + target.byteOffset + from;
    this.#halves[0] = address;
    this.#halves[1] = address / 2 ** 32;
    this.#halves[2] = target.length - from;
    return this.#bytes;
  }
}

/** Small writes into the page cache take microseconds, unless the host holds back who writes too much. */
const WRITE_AT_ONCE_BYTES_MAX = 64 << 10;
const SLOW_WRITE_MS = 5;
const POOLED_AFTER_SLOW_MS = 1000;

/** Writes at once as long as none had to wait; after one that did, through the thread pool for a while. */
function cachedWrite(): Transfer['write'] {
  let pooledUntilMs = 0;
  return (fd, offset, source) => {
    if (source.length > WRITE_AT_ONCE_BYTES_MAX) return pooledTransfer.write(fd, offset, source);
    const start = performance.now();
    if (start < pooledUntilMs) return pooledTransfer.write(fd, offset, source);
    syncTransfer.write(fd, offset, source);
    const end = performance.now();
    if (end - start > SLOW_WRITE_MS) pooledUntilMs = end + POOLED_AFTER_SLOW_MS;
  };
}
