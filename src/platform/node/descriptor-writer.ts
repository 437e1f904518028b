// Writes a stream of bytes to a file descriptor without ever blocking the event loop: a bounded queue, one write in
// flight. What is left at the end of the process is written synchronously, for a limited time.
import { write, writeSync } from 'node:fs';
import { ByteQueue } from '../../chardev/byte-queue.ts';
import { hostClockNs } from './host-clock.ts';
import { isErrorCode } from './system-error.ts';

const CAPACITY_BYTES = 256 * 1024;
const WRITE_BYTES_MAX = 64 * 1024;
const RETRY_MS = 2;
const FLUSH_NS_MAX = 1e9;

export class DescriptorWriter {
  readonly #descriptor: number;
  readonly #onRoom: () => void;
  readonly #queue = new ByteQueue(CAPACITY_BYTES);
  #writing = false;
  #refused = false;
  /** The reader has gone: everything is swallowed from now on. */
  #broken = false;
  #idle: (() => void)[] = [];

  /** `onRoom` is called after a `push` that took less than it was given. */
  constructor(descriptor: number, onRoom: () => void) {
    this.#descriptor = descriptor;
    this.#onRoom = onRoom;
  }

  push(bytes: Uint8Array): number {
    if (this.#broken) return bytes.length;
    const taken = this.#queue.push(bytes);
    this.#refused = taken < bytes.length;
    this.#writeNext();
    return taken;
  }

  /** Resolves when everything has been written. */
  async flush(): Promise<void> {
    if (this.#writing) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** The last resort at process exit. A write in flight may complete as well: at worst its bytes appear twice. */
  flushSync(): void {
    const deadlineNs = hostClockNs() + FLUSH_NS_MAX;
    while (this.#queue.count > 0 && !this.#broken && hostClockNs() < deadlineNs) {
      try {
        this.#queue.drop(writeSync(this.#descriptor, this.#queue.peek(WRITE_BYTES_MAX)));
      } catch (error) {
        if (!isErrorCode(error, 'EAGAIN', 'EINTR')) this.#broken = true;
      }
    }
  }

  #writeNext(): void {
    if (this.#writing || this.#queue.count === 0) return;
    this.#writing = true;
    write(this.#descriptor, this.#queue.peek(WRITE_BYTES_MAX), (error, writtenCount) => this.#written(error, writtenCount));
  }

  #written(error: NodeJS.ErrnoException | null, writtenCount: number): void {
    if (isErrorCode(error, 'EAGAIN')) {
      // Someone made the descriptor non-blocking, and its reader is slow.
      setTimeout(() => {
        this.#writing = false;
        this.#writeNext();
      }, RETRY_MS);
      return;
    }
    this.#writing = false;
    if (error !== null) this.#broken = true;
    this.#queue.drop(error === null ? writtenCount : this.#queue.count);
    this.#writeNext();
    if (!this.#writing) for (const resolve of this.#idle.splice(0)) resolve();
    if (!this.#refused) return;
    this.#refused = false;
    this.#onRoom();
  }
}
