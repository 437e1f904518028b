// Files in memory for tests and the fuzzer: sparse, bounded, with a log of what was written and flushed, from which every state
// that a power cut could leave is made. Not a protocol that anybody opens by name.
import { ErrnoFailure } from '../../base/errno.ts';
import type { HostFile, HostFileOptions, HostFiles, HostSparseFile } from '../../ports/host-file.ts';

const PAGE_BYTES = 1 << 16;

/** One change of a file; `flush` has neither bytes nor size. */
export interface FileEvent {
  readonly path: string;
  readonly kind: 'write' | 'truncate' | 'flush' | 'zero' | 'punch';
  readonly offset: number;
  readonly bytes?: Uint8Array;
  readonly count?: number;
}

export class MemoryFile {
  readonly #pages = new Map<number, Uint8Array>();
  readonly #maxPages: number;
  size = 0;

  constructor(maxBytes = 64 << 20) {
    this.#maxPages = Math.ceil(maxBytes / PAGE_BYTES);
  }

  read(offset: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.length, this.size - offset));
    for (let done = 0; done < count; ) {
      const { index, within, length } = this.#place(offset + done, count - done);
      const page = this.#pages.get(index);
      if (page === undefined) target.fill(0, done, done + length);
      else target.set(page.subarray(within, within + length), done);
      done += length;
    }
    return count;
  }

  write(offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const { index, within, length } = this.#place(offset + done, source.length - done);
      this.#page(index).set(source.subarray(done, done + length), within);
      done += length;
    }
    this.size = Math.max(this.size, offset + source.length);
  }

  zero(offset: number, count: number): void {
    for (const [index, page] of this.#pages) {
      const start = index * PAGE_BYTES;
      page.fill(0, Math.max(0, Math.min(PAGE_BYTES, offset - start)), Math.max(0, Math.min(PAGE_BYTES, offset + count - start)));
    }
  }

  truncate(size: number): void {
    if (size < this.size) this.zero(size, this.size - size);
    this.size = size;
  }

  #place(offset: number, rest: number): { index: number; within: number; length: number } {
    const index = Math.floor(offset / PAGE_BYTES), within = offset % PAGE_BYTES;
    return { index, within, length: Math.min(rest, PAGE_BYTES - within) };
  }

  #page(index: number): Uint8Array {
    let page = this.#pages.get(index);
    if (page !== undefined) return page;
    if (this.#pages.size >= this.#maxPages) throw new ErrnoFailure('ENOSPC');
    page = new Uint8Array(PAGE_BYTES);
    this.#pages.set(index, page);
    return page;
  }

  /** All of it; for files that are known to be small. */
  contents(): Uint8Array {
    const bytes = new Uint8Array(this.size);
    this.read(0, bytes);
    return bytes;
  }
}

type Note = (event: Omit<FileEvent, 'path'>) => void;

function sparseOf(file: MemoryFile, note: Note): HostSparseFile {
  const zero = (offset: number, count: number, grows: boolean): void => {
    file.zero(offset, count);
    if (grows) file.size = Math.max(file.size, offset + count);
    note({ kind: grows ? 'zero' : 'punch', offset, count });
  };
  const reserve = (offset: number, count: number): void => {
    file.size = Math.max(file.size, offset + count);
    note({ kind: 'truncate', offset: file.size });
  };
  return {
    seekData: (offset) => (offset < file.size ? offset : undefined),
    seekHole: (offset) => (offset < file.size ? file.size : undefined),
    punchHole: (offset, count) => zero(offset, count, false),
    zeroRange: (offset, count) => zero(offset, count, true),
    discard: (offset, count) => zero(offset, count, false),
    reserve,
    allocate: reserve,
    setExtentSizeHint: () => {},
    disableCopyOnWrite: () => {},
  };
}

async function turnsLater(turns: number): Promise<void> {
  for (let n = 0; n < turns; n++) await undefined;
}

export class MemoryFiles implements HostFiles {
  readonly files = new Map<string, MemoryFile>();
  readonly workingDirectory = '/';
  /** What happened, when it is set. */
  log: FileEvent[] | undefined;
  /** Asked before every write; throws to make it fail. */
  onWrite: ((path: string, offset: number, count: number) => void) | undefined;
  /** So many turns of the microtask queue until a write of some bytes is done, in any order; undefined is 0. */
  writeTurns: ((count: number) => number) | undefined;

  open(path: string, { create }: HostFileOptions): HostFile {
    let file = this.files.get(path);
    if (create) this.files.set(path, (file = new MemoryFile()));
    if (file === undefined) throw new ErrnoFailure('ENOENT');
    return this.#handle(path, file);
  }

  #handle(path: string, file: MemoryFile): HostFile {
    const note: Note = (event) => void this.log?.push({ path, ...event });
    const write = (offset: number, source: Uint8Array): void => {
      file.write(offset, source);
      note({ kind: 'write', offset, bytes: source.slice() });
    };
    return {
      path,
      kind: 'regular',
      alignment: 1,
      size: () => file.size,
      allocatedBytes: () => undefined,
      read: (offset, target) => file.read(offset, target),
      write: (offset, source) => {
        this.onWrite?.(path, offset, source.length);
        const turns = this.writeTurns?.(source.length) ?? 0;
        if (turns === 0) return write(offset, source);
        return turnsLater(turns).then(() => write(offset, source));
      },
      flush: () => note({ kind: 'flush', offset: 0 }),
      truncate: (size) => {
        file.truncate(size);
        note({ kind: 'truncate', offset: size });
      },
      sparse: sparseOf(file, note),
      close: () => {},
    };
  }

  kind(path: string): 'regular' | undefined {
    return this.files.has(path) ? 'regular' : undefined;
  }

  remove(path: string): void {
    this.files.delete(path);
  }

  realPath(path: string): string {
    return path;
  }
}

/** Applies a log to a file. */
export function replay(file: MemoryFile, events: Iterable<FileEvent>): void {
  for (const { kind, offset, bytes, count } of events) {
    if (kind === 'write') file.write(offset, bytes!);
    else if (kind === 'truncate') file.truncate(offset);
    else if (kind !== 'flush') file.zero(offset, count!);
    if (kind === 'zero') file.size = Math.max(file.size, offset + count!);
  }
}
