// Tables of 64-bit entries that lie anywhere in an image file (the L1 and L2 tables of qcow and qed), kept by pages of at most
// 64 KiB, so that neither the size of a table nor their number decides how much memory is used. Changes are written at once.
// What an entry means is the format's; the file is not checked to reach as far as a table claims (beyond it is zeroes).
import type { Eventual } from '../../base/eventual.ts';
import type { Edge } from '../node.ts';

export const ENTRY_BYTES = 8;
const PAGE_BYTES = 65536;
const CACHE_BYTES = 8 << 20;
const HALF = 0x1_0000_0000;

/** Inexact, and far beyond every offset, when the value is beyond 2^53. */
export const readBe64 = (view: DataView, at: number): number => view.getUint32(at) * HALF + view.getUint32(at + 4);
export const readLe64 = (view: DataView, at: number): number => view.getUint32(at + 4, true) * HALF + view.getUint32(at, true);

export function writeBe64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / HALF));
  view.setUint32(at + 4, value % HALF);
}

export function writeLe64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % HALF, true);
  view.setUint32(at + 4, Math.floor(value / HALF), true);
}

export class TablePages {
  readonly #file: Edge;
  readonly #tableBytes: number;
  readonly #pageBytes: number;
  readonly #pagesMax: number;
  /** By offset in the file, in the order of their last use. */
  readonly #pages = new Map<number, DataView>();
  readonly #loading = new Map<number, Promise<DataView>>();
  #recentOffset = -1;
  #recent: DataView | undefined;

  constructor(file: Edge, tableBytes: number) {
    this.#file = file;
    this.#tableBytes = tableBytes;
    this.#pageBytes = Math.min(PAGE_BYTES, tableBytes);
    this.#pagesMax = Math.max(16, Math.floor(CACHE_BYTES / Math.max(1, this.#pageBytes)));
  }

  /** Where an entry lies in its page. */
  position(index: number): number {
    return (index * ENTRY_BYTES) % this.#pageBytes;
  }

  /** The page that holds an entry of the table at `tableOffset`. */
  page(tableOffset: number, index: number): Eventual<DataView> {
    const start = index * ENTRY_BYTES;
    const inTable = start - (start % this.#pageBytes);
    const offset = tableOffset + inTable;
    if (offset === this.#recentOffset) return this.#recent!;
    const page = this.#pages.get(offset);
    if (page === undefined) return this.#loading.get(offset) ?? this.#load(offset, Math.min(this.#pageBytes, this.#tableBytes - inTable));
    this.#keep(offset, page);
    return page;
  }

  #load(offset: number, count: number): Eventual<DataView> {
    const page = new DataView(new ArrayBuffer(count));
    const reading = this.#file.read(offset, new Uint8Array(page.buffer));
    if (!(reading instanceof Promise)) {
      this.#keep(offset, page);
      return page;
    }
    const loading = reading.then(() => (this.#keep(offset, page), page)).finally(() => this.#loading.delete(offset));
    this.#loading.set(offset, loading);
    return loading;
  }

  #keep(offset: number, page: DataView): void {
    this.#pages.delete(offset);
    this.#pages.set(offset, page);
    this.#recentOffset = offset;
    this.#recent = page;
    if (this.#pages.size <= this.#pagesMax) return;
    const [oldest] = this.#pages.keys();
    this.#pages.delete(oldest!);
  }

  /** Changes `count` consecutive entries here and in the file. As it was when writing fails. */
  async set(tableOffset: number, index: number, count: number, put: (view: DataView, at: number, nth: number) => void): Promise<void> {
    for (let done = 0; done < count; ) {
      const page = await this.page(tableOffset, index + done);
      const at = this.position(index + done);
      const here = Math.min(count - done, (page.byteLength - at) / ENTRY_BYTES);
      const bytes = new Uint8Array(page.buffer, at, here * ENTRY_BYTES);
      const old = bytes.slice();
      for (let nth = 0; nth < here; nth++) put(page, at + nth * ENTRY_BYTES, done + nth);
      const target = tableOffset + (index + done) * ENTRY_BYTES;
      try {
        await this.#file.write(target, bytes.slice());
      } catch (error) {
        bytes.set(old);
        throw error;
      }
      this.#keep(target - at, page); // it may have been dropped, and read again, meanwhile
      done += here;
    }
  }

  /** Forgets everything: the tables were changed behind this cache. */
  clear(): void {
    this.#pages.clear();
    this.#recentOffset = -1;
    this.#recent = undefined;
  }
}
