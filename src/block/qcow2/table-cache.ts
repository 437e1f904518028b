// A write-back cache of metadata: L2 tables and refcount blocks in equal slices, with least-recently-used replacement. It keeps
// the order of writes that a power cut must not break: nothing of this cache is written before what it depends on (another
// cache's changes, or a flush of the data) is on the medium. What the tables mean is not its business. To be used under the
// image's lock, except `peek`.
import { assert } from '../../base/assert.ts';
import type { Eventual } from '../../base/eventual.ts';

export interface TableSlice {
  /** Where it lies in the file; -1 when it lies nowhere any more. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly isDirty: boolean;
}

interface Slot extends TableSlice {
  offset: number;
  isDirty: boolean;
  /** Clock reading of the last use, for `clean`. */
  usedAt: number;
  older: Slot | undefined;
  newer: Slot | undefined;
}

export interface TableStore {
  read(offset: number, target: Uint8Array): Eventual<void>;
  /** Checks and writes a slice. */
  write(offset: number, source: Uint8Array): Eventual<void>;
  /** The image's file (and data file) to the medium. */
  flush(): Promise<void>;
}

export class TableCache {
  readonly sliceBytes: number;
  capacity: number;
  readonly #store: TableStore;
  readonly #slots = new Map<number, Slot>();
  readonly #free: Slot[] = [];
  #newest: Slot | undefined;
  #oldest: Slot | undefined;
  #dirtyCount = 0;
  #dependency: TableCache | undefined;
  #dependsOnFlush = false;
  /** Rises with `tick`, for `clean`. */
  #clock = 0;

  /** `capacity` slices of `sliceBytes`; at least 2, so that one can be copied to another. */
  constructor(store: TableStore, sliceBytes: number, capacity: number) {
    assert(capacity >= 2, 'a table cache has room for two slices');
    this.#store = store;
    this.sliceBytes = sliceBytes;
    this.capacity = capacity;
  }

  get isDirty(): boolean {
    return this.#dirtyCount > 0;
  }

  /** The slice at `offset` when it is cached. Valid until the next `await`. */
  peek(offset: number): TableSlice | undefined {
    const newest = this.#newest;
    if (newest !== undefined && newest.offset === offset) return newest;
    const slot = this.#slots.get(offset);
    if (slot !== undefined) this.#touch(slot);
    return slot;
  }

  /** The slice at `offset`, read when needed. It is valid until another slice of this cache is asked for. */
  get(offset: number): Eventual<TableSlice> {
    return this.peek(offset) ?? this.#load(offset);
  }

  async #load(offset: number): Promise<TableSlice> {
    const slot = await this.#vacant();
    try {
      await this.#store.read(offset, slot.bytes);
    } catch (error) {
      this.#free.push(slot);
      throw error;
    }
    return this.#enter(slot, offset);
  }

  /** A slice for a new table at `offset`, all zero and dirty. What was cached of that place before is dropped. */
  async getEmpty(offset: number): Promise<TableSlice> {
    this.forget(offset);
    const slot = await this.#vacant();
    slot.bytes.fill(0);
    this.#enter(slot, offset);
    this.markDirty(slot);
    return slot;
  }

  markDirty(slice: TableSlice): void {
    const slot = slice as Slot;
    assert(this.#slots.get(slot.offset) === slot, 'a changed slice is still in its cache');
    if (slot.isDirty) return;
    slot.isDirty = true;
    this.#dirtyCount++;
  }

  /** From now on nothing of this cache is written before `other` is on the medium. */
  async dependOn(other: TableCache): Promise<void> {
    if (other.#dependency !== undefined) await other.#settleDependency();
    if (this.#dependency !== undefined && this.#dependency !== other) await this.#settleDependency();
    this.#dependency = other;
  }

  /** The same when nothing has to be written for it; false, and nothing is changed, otherwise. */
  dependOnNow(other: TableCache): boolean {
    if (other.#dependency !== undefined || (this.#dependency !== undefined && this.#dependency !== other)) return false;
    this.#dependency = other;
    return true;
  }

  /** From now on nothing of this cache is written before the data written so far is on the medium. */
  dependOnFlush(): void {
    this.#dependsOnFlush = true;
  }

  /** Writes everything that is dirty, and flushes only what the order asks for. */
  async writeBack(): Promise<void> {
    if (this.#dirtyCount === 0) return;
    // In the order of the file, so that neighbours go out together in the host's cache.
    const dirty = [...this.#slots.values()].filter((slot) => slot.isDirty).sort((a, b) => a.offset - b.offset);
    let failure: unknown;
    for (const slot of dirty) {
      try {
        if (slot.isDirty) await this.#writeSlot(slot);
      } catch (error) {
        failure ??= error; // the others are still worth writing
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Writes everything and brings it to the medium. */
  async flush(): Promise<void> {
    await this.writeBack();
    await this.#store.flush();
  }

  /** Drops what is cached of a table, written or not: its cluster was freed. */
  forget(offset: number): void {
    const slot = this.#slots.get(offset);
    if (slot !== undefined) this.#drop(slot);
  }

  /** Drops every slice between `start` and `end`. */
  forgetRange(start: number, end: number): void {
    for (let at = start; at < end; at += this.sliceBytes) this.forget(at);
  }

  /** Writes everything back and drops it. */
  async empty(): Promise<void> {
    await this.flush();
    for (const slot of [...this.#slots.values()]) this.#drop(slot);
    this.#free.length = 0;
  }

  /** Room for so many slices; never less than before. */
  grow(capacity: number): void {
    if (capacity > this.capacity) this.capacity = capacity;
  }

  /** Drops clean slices that were not used since the last call. */
  clean(): void {
    for (const slot of [...this.#slots.values()]) if (!slot.isDirty && slot.usedAt < this.#clock) this.#drop(slot);
    this.#free.length = 0;
    this.#clock++;
  }

  async #settleDependency(): Promise<void> {
    const other = this.#dependency!;
    await other.flush();
    this.#dependency = undefined;
    this.#dependsOnFlush = false;
  }

  async #writeSlot(slot: Slot): Promise<void> {
    if (this.#dependency !== undefined) await this.#settleDependency();
    else if (this.#dependsOnFlush) {
      await this.#store.flush();
      this.#dependsOnFlush = false;
    }
    await this.#store.write(slot.offset, slot.bytes);
    if (!slot.isDirty) return;
    slot.isDirty = false;
    this.#dirtyCount--;
  }

  /** A slot that nobody uses; the oldest is written and given up when there is none. */
  async #vacant(): Promise<Slot> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#slots.size < this.capacity) return this.#newSlot();
    const oldest = this.#oldest!;
    if (oldest.isDirty) await this.#writeSlot(oldest);
    this.#drop(oldest);
    return this.#free.pop()!;
  }

  #newSlot(): Slot {
    const bytes = new Uint8Array(this.sliceBytes);
    const view = new DataView(bytes.buffer);
    return { offset: -1, bytes, view, isDirty: false, usedAt: 0, older: undefined, newer: undefined };
  }

  #enter(slot: Slot, offset: number): Slot {
    slot.offset = offset;
    slot.isDirty = false;
    this.#slots.set(offset, slot);
    this.#link(slot);
    return slot;
  }

  #drop(slot: Slot): void {
    this.#unlink(slot);
    this.#slots.delete(slot.offset);
    if (slot.isDirty) this.#dirtyCount--;
    slot.isDirty = false;
    slot.offset = -1;
    this.#free.push(slot);
  }

  #touch(slot: Slot): void {
    this.#unlink(slot);
    this.#link(slot);
  }

  #link(slot: Slot): void {
    slot.usedAt = this.#clock;
    slot.older = this.#newest;
    slot.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = slot;
    else this.#oldest = slot;
    this.#newest = slot;
  }

  #unlink(slot: Slot): void {
    if (slot.older !== undefined) slot.older.newer = slot.newer;
    else this.#oldest = slot.newer;
    if (slot.newer !== undefined) slot.newer.older = slot.older;
    else this.#newest = slot.older;
    slot.older = undefined;
    slot.newer = undefined;
  }
}
