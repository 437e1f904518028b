// O_DIRECT: memory, offsets and counts must be aligned. JavaScript cannot choose where a buffer lies, but the memory of
// WebAssembly begins at a page, so transfers go through slots of one.
import * as fs from 'node:fs';
import { ErrnoFailure } from '../../base/errno.ts';
import type { HostFileKind } from '../../ports/host-file.ts';
import { logicalBlockBytes } from './block-device.ts';
import { syncTransfer, type Transfer } from './transfer.ts';

const SLOT_BYTES = 1 << 20;
const SLOTS = 16;
const WASM_PAGE = 65536;
const MAX_ALIGNMENT = 4096;

/** Aligned buffers; whoever finds none waits for one. Pages that were never used cost nothing. */
class AlignedBuffers {
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];

  constructor() {
    const { buffer } = new WebAssembly.Memory({ initial: (SLOT_BYTES * SLOTS) / WASM_PAGE });
    for (let slot = SLOTS - 1; slot >= 0; slot--) this.#free.push(new Uint8Array(buffer, slot * SLOT_BYTES, SLOT_BYTES));
  }

  /** Makes a new one rather than wait. */
  takeNow(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(new WebAssembly.Memory({ initial: SLOT_BYTES / WASM_PAGE }).buffer);
  }

  take(): Promise<Uint8Array> {
    const buffer = this.#free.pop();
    return buffer === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(buffer);
  }

  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }
}

let sharedBuffers: AlignedBuffers | undefined;
const buffers = (): AlignedBuffers => (sharedBuffers ??= new AlignedBuffers());

/**
 * The smallest power of two that a read takes, as the kernel judges it. Where one byte can be read, the file system does not
 * tell (or copies through its cache): then the largest that is usual.
 */
export function probeAlignment(fd: number, kind: HostFileKind, stat: fs.Stats): number {
  const logical = kind === 'block-device' ? logicalBlockBytes(stat.rdev) : undefined;
  if (logical !== undefined && logical > 0) return logical;
  const buffer = buffers().takeNow();
  try {
    if (canRead(fd, buffer.subarray(0, 1))) return MAX_ALIGNMENT;
    for (let alignment = 512; alignment <= MAX_ALIGNMENT; alignment *= 2) {
      if (canRead(fd, buffer.subarray(0, alignment))) return alignment;
    }
  } finally {
    buffers().give(buffer);
  }
  throw new ErrnoFailure('EINVAL', 'Could not find working O_DIRECT alignment');
}

function canRead(fd: number, target: Uint8Array): boolean {
  try {
    fs.readSync(fd, target, 0, target.length, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EINVAL'; // another error says nothing of the alignment
  }
}

/** `transfer` in aligned pieces. */
export function directTransfer(transfer: Transfer, alignment: number): Transfer {
  return transfer.pooled ? pooledDirect(transfer, alignment) : syncDirect(alignment);
}

function checkAligned(alignment: number, offset: number, count: number): void {
  if (offset % alignment !== 0 || count % alignment !== 0) throw new ErrnoFailure('EINVAL');
}

function syncDirect(alignment: number): Transfer {
  return {
    ...syncTransfer,
    read(fd, offset, target) {
      checkAligned(alignment, offset, target.length);
      const slot = buffers().takeNow();
      try {
        let done = 0;
        while (done < target.length) {
          const wanted = Math.min(SLOT_BYTES, target.length - done);
          const count = syncTransfer.read(fd, offset + done, slot.subarray(0, wanted));
          target.set(slot.subarray(0, count), done);
          done += count;
          if (count < wanted) break;
        }
        return done;
      } finally {
        buffers().give(slot);
      }
    },
    write(fd, offset, source) {
      checkAligned(alignment, offset, source.length);
      const slot = buffers().takeNow();
      try {
        for (let at = 0; at < source.length; at += SLOT_BYTES) {
          const part = source.subarray(at, at + SLOT_BYTES);
          slot.set(part);
          syncTransfer.write(fd, offset + at, slot.subarray(0, part.length));
        }
      } finally {
        buffers().give(slot);
      }
    },
  };
}

function pooledDirect(transfer: Transfer, alignment: number): Transfer {
  const readPart = async (fd: number, offset: number, target: Uint8Array): Promise<number> => {
    const slot = await buffers().take();
    try {
      const count = await transfer.read(fd, offset, slot.subarray(0, target.length));
      target.set(slot.subarray(0, count));
      return count;
    } finally {
      buffers().give(slot);
    }
  };
  const writePart = async (fd: number, offset: number, source: Uint8Array): Promise<void> => {
    const slot = await buffers().take();
    try {
      slot.set(source);
      await transfer.write(fd, offset, slot.subarray(0, source.length));
    } finally {
      buffers().give(slot);
    }
  };
  return {
    ...transfer,
    async read(fd, offset, target) {
      checkAligned(alignment, offset, target.length);
      let done = 0;
      while (done < target.length) {
        const part = target.subarray(done, done + SLOT_BYTES);
        const count = await readPart(fd, offset + done, part);
        done += count;
        if (count < part.length) break;
      }
      return done;
    },
    async write(fd, offset, source) {
      checkAligned(alignment, offset, source.length);
      for (let at = 0; at < source.length; at += SLOT_BYTES) await writePart(fd, offset + at, source.subarray(at, at + SLOT_BYTES));
    },
  };
}
