// Changing the size of a regular file, with its space reserved or written out where that is wished for.
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile } from '../../ports/host-file.ts';
import type { Preallocation } from '../driver.ts';

/** Zeroes are written in pieces of this size. */
const ZERO_BYTES = 1 << 20;
const SECTOR = 512;
const FIRST_BLOCK_BYTES = 4096;

export async function resizeFile(file: HostFile, size: number, preallocation: Preallocation): Promise<void> {
  const old = file.size();
  if (preallocation !== 'off' && size < old) throw new ErrnoFailure('ENOTSUP', 'Cannot use preallocation for shrinking files');
  switch (preallocation) {
    case 'off':
      await resize(file, size);
      return firstBlock(file, old, size);
    case 'falloc':
      await orRestore(file, old, () => reserve(file, old, size));
      return firstBlock(file, old, size);
    case 'full':
      await resize(file, size); // the file system may plan for the final size
      return orRestore(file, old, () => writeZeroes(file, old, size));
    default:
      throw new ErrnoFailure('ENOTSUP', `Unsupported preallocation mode: ${preallocation}`);
  }
}

async function resize(file: HostFile, size: number): Promise<void> {
  try {
    await file.truncate(size);
  } catch (error) {
    throw prefixed('Could not resize file', error);
  }
}

/**
 * A block of data at the beginning of what was an empty file: file systems check the alignment of O_DIRECT only where there is
 * something to read.
 */
async function firstBlock(file: HostFile, old: number, size: number): Promise<void> {
  if (old > 0 || size === 0) return;
  try {
    await file.write(0, new Uint8Array(size < FIRST_BLOCK_BYTES ? SECTOR : FIRST_BLOCK_BYTES));
  } catch (error) {
    if (!(error instanceof Failure)) throw error; // the file is as it was asked for
  }
}

async function orRestore(file: HostFile, size: number, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    try {
      await file.truncate(size);
    } catch (second) {
      if (!(second instanceof Failure)) throw second; // the first error says more
    }
    throw error;
  }
}

async function reserve(file: HostFile, from: number, to: number): Promise<void> {
  if (from === to) return;
  if (file.sparse === undefined) throw new ErrnoFailure('ENOTSUP', 'Unsupported preallocation mode: falloc');
  try {
    await file.sparse.allocate(from, to - from);
  } catch (error) {
    throw prefixed('Could not preallocate new data', error);
  }
}

async function writeZeroes(file: HostFile, from: number, to: number): Promise<void> {
  const zeroes = new Uint8Array(Math.min(ZERO_BYTES, to - from));
  try {
    for (let at = from; at < to; at += zeroes.length) await file.write(at, zeroes.subarray(0, Math.min(zeroes.length, to - at)));
  } catch (error) {
    throw prefixed('Could not write zeros for preallocation', error);
  }
  try {
    await file.flush();
  } catch (error) {
    throw prefixed('Could not flush file to disk', error);
  }
}
