// An export that is a buffer: for tests and fuzzing. Holes are the 4 KiB blocks that are zero. It checks that it is only asked for
// what lies within it.
import { assert } from '../../base/assert.ts';
import { ErrnoFailure, type Errno } from '../../base/errno.ts';
import { isZero } from '../../base/zero.ts';
import type { Extent, MetaContext, NbdExport, ZeroRequest } from './export.ts';
import { CONTEXT_BASE_ALLOCATION, MAX_REQUEST_BYTES, STATE } from './protocol.ts';

const BLOCK = 4096;

export class MemoryExport implements NbdExport {
  readonly name: string;
  readonly description = 'in memory';
  readonly readOnly: boolean;
  readonly multiConn = true;
  readonly minimumBlock = 1;
  readonly maximumBlock = MAX_REQUEST_BYTES;
  readonly contexts: readonly MetaContext[];
  readonly bytes: Uint8Array;
  flushes = 0;
  /** Requests end with this from now on. */
  failing: Errno | undefined;
  /** Requests wait for this. */
  gate: Promise<void> | undefined;
  inFlight = 0;
  inFlightMax = 0;

  constructor(size: number, { name = '', readOnly = false } = {}) {
    this.name = name;
    this.readOnly = readOnly;
    this.bytes = new Uint8Array(size);
    this.contexts = [{ id: 0, name: CONTEXT_BASE_ALLOCATION, extents: (offset, count, limit) => this.#extents(offset, count, limit) }];
  }

  get size(): number {
    return this.bytes.length;
  }

  async #enter(offset: number, count: number, writes: boolean): Promise<void> {
    assert(offset >= 0 && count >= 0 && offset + count <= this.size, 'requests lie within the export');
    assert(!writes || !this.readOnly, 'nobody writes to a read-only export');
    this.inFlight++;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    try {
      await this.gate;
    } finally {
      this.inFlight--;
    }
    if (this.failing !== undefined) throw new ErrnoFailure(this.failing);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    await this.#enter(offset, target.length, false);
    target.set(this.bytes.subarray(offset, offset + target.length));
  }

  #extentAt(offset: number, count: number): Extent {
    const isHole = (at: number): boolean => isZero(this.bytes.subarray(at, Math.min(this.size, at + BLOCK)));
    const stateOf = (at: number): number => (isHole(at) ? STATE.HOLE | STATE.ZERO : 0);
    const start = offset - (offset % BLOCK);
    const flags = stateOf(start);
    let end = start + BLOCK;
    while (end < offset + count && stateOf(end) === flags) end += BLOCK;
    return { count: Math.min(end, offset + count) - offset, flags };
  }

  #extents(offset: number, count: number, limit: number): readonly Extent[] {
    const extents: Extent[] = [];
    for (let at = offset; at < offset + count && extents.length < limit; at += extents.at(-1)!.count) {
      extents.push(this.#extentAt(at, offset + count - at));
    }
    return extents;
  }

  sparse(offset: number, count: number): { count: number; zero: boolean } {
    const extent = this.#extentAt(offset, count);
    return { count: extent.count, zero: extent.flags !== 0 };
  }

  async write(offset: number, source: Uint8Array): Promise<void> {
    await this.#enter(offset, source.length, true);
    this.bytes.set(source, offset);
  }

  async writeZeroes(offset: number, count: number, _how: ZeroRequest): Promise<void> {
    await this.#enter(offset, count, true);
    this.bytes.fill(0, offset, offset + count);
  }

  trim(offset: number, count: number): Promise<void> {
    return this.#enter(offset, count, true);
  }

  async flush(): Promise<void> {
    await this.#enter(0, 0, false);
    this.flushes++;
  }

  cache(offset: number, count: number): Promise<void> {
    return this.#enter(offset, count, false);
  }
}
