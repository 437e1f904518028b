// Files of a host in memory, for fuzzing and tests: sparse, bounded in what they hold, and counting what is written, so that a
// test sees whether something that should only be read was changed.
import { ErrnoFailure } from '../../base/errno.ts';
import type { HostFile, HostFileOptions, HostFiles } from '../../ports/host-file.ts';

const PAGE_BYTES = 4096;

export class MemoryFileContent {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #maxPages: number;
  size = 0;
  changes = 0;

  constructor(maxBytes: number) {
    this.#maxPages = Math.ceil(maxBytes / PAGE_BYTES);
  }

  static of(bytes: Uint8Array, maxBytes: number): MemoryFileContent {
    const content = new MemoryFileContent(maxBytes);
    content.write(0, bytes);
    content.changes = 0;
    return content;
  }

  read(offset: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.length, this.size - offset));
    target.fill(0, 0, count);
    for (let at = 0; at < count; ) {
      const inPage = (offset + at) % PAGE_BYTES;
      const step = Math.min(PAGE_BYTES - inPage, count - at);
      const page = this.#pages.get(Math.floor((offset + at) / PAGE_BYTES));
      if (page !== undefined) target.set(page.subarray(inPage, inPage + step), at);
      at += step;
    }
    return count;
  }

  write(offset: number, source: Uint8Array): void {
    this.changes++;
    for (let at = 0; at < source.length; ) {
      const inPage = (offset + at) % PAGE_BYTES;
      const step = Math.min(PAGE_BYTES - inPage, source.length - at);
      this.#pageForWriting(Math.floor((offset + at) / PAGE_BYTES)).set(source.subarray(at, at + step), inPage);
      at += step;
    }
    this.size = Math.max(this.size, offset + source.length);
  }

  #pageForWriting(index: number): Uint8Array {
    let page = this.#pages.get(index);
    if (page !== undefined) return page;
    if (this.#pages.size >= this.#maxPages) throw new ErrnoFailure('ENOSPC');
    page = new Uint8Array(PAGE_BYTES);
    this.#pages.set(index, page);
    return page;
  }

  truncate(size: number): void {
    this.changes++;
    const end = Math.ceil(size / PAGE_BYTES);
    for (const index of [...this.#pages.keys()]) if (index >= end) this.#pages.delete(index);
    this.#pages.get(end - 1)?.fill(0, size - (end - 1) * PAGE_BYTES);
    this.size = size;
  }

  /** Everything, for small files. */
  bytes(): Uint8Array {
    const all = new Uint8Array(this.size);
    this.read(0, all);
    return all;
  }
}

export class MemoryFiles implements HostFiles {
  readonly contents = new Map<string, MemoryFileContent>();
  readonly workingDirectory = '/';
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  open(path: string, { create, write }: HostFileOptions): HostFile {
    let content = this.contents.get(path);
    if (content === undefined) {
      if (!create) throw new ErrnoFailure('ENOENT');
      content = new MemoryFileContent(this.#maxBytes);
      this.contents.set(path, content);
    } else if (create) content.truncate(0);
    return memoryFile(path, content, write);
  }

  kind(path: string): 'regular' | undefined {
    return this.contents.has(path) ? 'regular' : undefined;
  }

  remove(path: string): void {
    this.contents.delete(path);
  }

  realPath(path: string): string {
    return path;
  }
}

function memoryFile(path: string, content: MemoryFileContent, isWritable: boolean): HostFile {
  const checkWritable = (): void => {
    if (!isWritable) throw new ErrnoFailure('EBADF');
  };
  return {
    path,
    kind: 'regular',
    alignment: 1,
    size: () => content.size,
    allocatedBytes: () => undefined,
    read: (offset, target) => content.read(offset, target),
    write(offset, source) {
      checkWritable();
      content.write(offset, source);
    },
    flush() {},
    truncate(size) {
      checkWritable();
      content.truncate(size);
    },
    close() {},
  };
}
