// A drive in memory for the benches of disk controllers: conformance, fuzzing, unit tests. It can be slow (every request ends
// with a promise) and can fail, and it counts what was asked of it.
import type { Eventual } from '../base/eventual.ts';
import { ErrnoFailure } from '../base/errno.ts';
import { assert } from '../base/assert.ts';
import type { RemovableDrive } from '../ports/disk.ts';
import { requestContext } from '../trace/request.ts';

export interface MemoryDriveOptions {
  readonly size: number;
  readonly readOnly?: boolean;
  /** Requests end later, in the order of `finishOne`. */
  readonly slow?: boolean;
}

export class MemoryDrive implements RemovableDrive {
  readonly name = 'memory';
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly requestAlignment = 1;
  readonly writeCache = true;
  readonly discards = true;
  inserted = true;
  locked = false;
  trayOpen = false;
  onMediumChange: ((what: 'changed' | 'eject-requested') => void) | undefined;
  /** Requests that touch this offset fail. */
  badOffset = -1;
  slow: boolean;
  flushes = 0;
  /** The number of the request that asked for something last. */
  lastRequest = 0;
  writes = 0;
  readonly #waiting: (() => void)[] = [];

  constructor({ size, readOnly = false, slow = false }: MemoryDriveOptions) {
    this.bytes = new Uint8Array(size);
    this.readOnly = readOnly;
    this.slow = slow;
  }

  get size(): number {
    return this.inserted ? this.bytes.length : 0;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Ends the oldest request that waits. */
  finishOne(): void {
    this.#waiting.shift()?.();
  }

  /** Ends everything, also what that begins. */
  async finishAll(): Promise<void> {
    for (let idle = 0; idle < 4; idle++) {
      if (this.#waiting.length > 0) idle = 0;
      this.finishOne();
      await new Promise<void>((resolve) => { resolve(); });
    }
  }

  #perform(offset: number, count: number, action: () => void): Eventual<void> {
    assert(offset >= 0 && count >= 0 && offset + count <= this.size, 'a request lies inside its drive');
    this.lastRequest = requestContext.current;
    const fails = this.badOffset >= offset && this.badOffset < offset + count;
    if (!this.slow) {
      if (fails) throw new ErrnoFailure('EIO');
      action();
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (fails) return reject(new ErrnoFailure('EIO'));
        action();
        resolve();
      });
    });
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return this.readv(offset, [target]);
  }

  write(offset: number, source: Uint8Array): Eventual<void> {
    return this.writev(offset, [source]);
  }

  readv(offset: number, targets: readonly Uint8Array[]): Eventual<void> {
    return this.#perform(offset, totalBytes(targets), () => {
      let at = offset;
      for (const target of targets) {
        target.set(this.bytes.subarray(at, at + target.length));
        at += target.length;
      }
    });
  }

  writev(offset: number, sources: readonly Uint8Array[]): Eventual<void> {
    assert(!this.readOnly, 'nobody writes to a read-only drive');
    return this.#perform(offset, totalBytes(sources), () => {
      this.writes++;
      let at = offset;
      for (const source of sources) {
        this.bytes.set(source, at);
        at += source.length;
      }
    });
  }

  writeZeroes(offset: number, count: number): Eventual<void> {
    return this.#perform(offset, count, () => this.bytes.fill(0, offset, offset + count));
  }

  discard(offset: number, count: number): Eventual<void> {
    return this.writeZeroes(offset, count);
  }

  flush(): Eventual<void> {
    return this.#perform(0, 0, () => { this.flushes++; });
  }

  setLocked(locked: boolean): void {
    this.locked = locked;
  }

  setTray(open: boolean): void {
    this.trayOpen = open;
  }

  /** Another disc, or none, from outside. */
  change(inserted: boolean): void {
    this.inserted = inserted;
    this.onMediumChange?.('changed');
  }
}

const totalBytes = (views: readonly Uint8Array[]): number => views.reduce((sum, view) => sum + view.length, 0);
