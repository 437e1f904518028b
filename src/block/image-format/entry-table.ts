// A table of integers in an image file (block maps, allocation tables) that is read page by page when it is needed, so that
// the memory used does not depend on what a header claims. Bits of an entry mean what the format says; nothing is checked
// here beyond the index.
import { assert } from '../../base/assert.ts';
import type { Eventual } from '../../base/eventual.ts';
import type { Edge } from '../node.ts';

/** How one entry is stored. */
export interface EntryFormat {
  readonly sizeBytes: number;
  get(view: DataView, at: number): number;
  set(view: DataView, at: number, value: number): void;
}

export const LE32: EntryFormat = {
  sizeBytes: 4,
  get: (view, at) => view.getUint32(at, true),
  set: (view, at, value) => view.setUint32(at, value, true),
};

export const BE32: EntryFormat = {
  sizeBytes: 4,
  get: (view, at) => view.getUint32(at),
  set: (view, at, value) => view.setUint32(at, value),
};

/** 64-bit entries. What a number cannot hold exactly is read as -1. */
export const LE64: EntryFormat = {
  sizeBytes: 8,
  get(view, at) {
    const high = view.getUint32(at + 4, true);
    return high >= 2 ** 21 ? -1 : high * 2 ** 32 + view.getUint32(at, true);
  },
  set(view, at, value) {
    view.setUint32(at, value % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  },
};

const PAGE_BYTES = 65536;
const MAX_PAGES = 64;

interface Page {
  readonly view: DataView;
  pins: number;
}

export interface EntryTableOptions {
  readonly file: Edge;
  /** Where the table begins in the file. */
  readonly offset: number;
  readonly count: number;
  readonly format: EntryFormat;
  /** How a changed part reaches the file; plainly when it is not given. */
  readonly write?: (offset: number, bytes: Uint8Array) => Eventual<void>;
}

export class EntryTable {
  readonly count: number;
  readonly #options: EntryTableOptions;
  readonly #entriesPerPage: number;
  /** In the order of their last use. */
  readonly #pages = new Map<number, Page>();
  readonly #loading = new Map<number, Promise<Page>>();
  #recentIndex = -1;
  #recent: Page | undefined;

  constructor(options: EntryTableOptions) {
    this.#options = options;
    this.count = options.count;
    this.#entriesPerPage = PAGE_BYTES / options.format.sizeBytes;
  }

  /** At once when the page is there. */
  get(index: number): Eventual<number> {
    assert(index >= 0 && index < this.count, 'an entry of the table');
    const page = this.#page(Math.floor(index / this.#entriesPerPage));
    return page instanceof Promise ? page.then((loaded) => this.#entry(loaded, index)) : this.#entry(page, index);
  }

  /** Changes an entry here and in the file; as it was when writing fails. */
  async set(index: number, value: number): Promise<void> {
    assert(index >= 0 && index < this.count, 'an entry of the table');
    const page = await this.#page(Math.floor(index / this.#entriesPerPage));
    const { format, file, offset, write } = this.#options;
    const at = (index % this.#entriesPerPage) * format.sizeBytes;
    const old = new Uint8Array(page.view.buffer, at, format.sizeBytes).slice();
    page.pins++;
    try {
      format.set(page.view, at, value);
      const bytes = new Uint8Array(page.view.buffer, at, format.sizeBytes).slice();
      const target = offset + index * format.sizeBytes;
      await (write === undefined ? file.write(target, bytes) : write(target, bytes));
    } catch (error) {
      new Uint8Array(page.view.buffer).set(old, at);
      throw error;
    } finally {
      page.pins--;
    }
  }

  #entry(page: Page, index: number): number {
    const { format } = this.#options;
    return format.get(page.view, (index % this.#entriesPerPage) * format.sizeBytes);
  }

  #page(index: number): Eventual<Page> {
    if (index === this.#recentIndex) return this.#recent!;
    const page = this.#pages.get(index);
    if (page === undefined) return this.#loading.get(index) ?? this.#load(index);
    this.#pages.delete(index);
    this.#keep(index, page);
    return page;
  }

  #load(index: number): Eventual<Page> {
    const { file, offset, count, format } = this.#options;
    const bytes = new Uint8Array(Math.min(PAGE_BYTES, count * format.sizeBytes - index * PAGE_BYTES));
    const page: Page = { view: new DataView(bytes.buffer), pins: 0 };
    const reading = file.read(offset + index * PAGE_BYTES, bytes);
    if (!(reading instanceof Promise)) {
      this.#keep(index, page);
      return page;
    }
    const loading = reading.then(() => (this.#keep(index, page), page)).finally(() => this.#loading.delete(index));
    this.#loading.set(index, loading);
    return loading;
  }

  #keep(index: number, page: Page): void {
    this.#pages.set(index, page);
    this.#recentIndex = index;
    this.#recent = page;
    if (this.#pages.size <= MAX_PAGES) return;
    for (const [old, candidate] of this.#pages) {
      if (candidate.pins > 0 || old === index) continue;
      this.#pages.delete(old);
      return;
    }
  }
}
