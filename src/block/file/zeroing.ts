// Zeroes in a file or on a device without writing them, by whatever the host can do there; what turned out not to work is not
// tried again.
import { ErrnoFailure, errnoOf } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile, HostSparseFile } from '../../ports/host-file.ts';
import { WRITE } from '../driver.ts';

/** True: done. False: the host or the file system cannot; another way may work. */
async function attempt(call: () => Eventual<void>): Promise<'done' | 'never' | 'not-here'> {
  try {
    await call();
    return 'done';
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    if (errno === 'ENOTSUP') return 'never';
    if (errno === 'EINVAL') return 'not-here'; // some file systems refuse what is not aligned to their blocks
    throw error;
  }
}

export class Zeroing {
  readonly #file: HostFile;
  #canZero = true;
  #canPunch = true;
  #canReserve = true;

  constructor(file: HostFile) {
    this.#file = file;
  }

  /** ErrnoFailure ENOTSUP when nothing but writing zeroes is left. `fileEnd`: where the file ends now. */
  async writeZeroes(offset: number, count: number, flags: number, fileEnd: number): Promise<void> {
    const { sparse } = this.#file;
    if (sparse === undefined) throw new ErrnoFailure('ENOTSUP');
    if (flags & WRITE.MAY_UNMAP && (await this.#punch(sparse, offset, count))) return;
    if (this.#file.kind === 'block-device') return this.#zeroDevice(sparse, offset, count, flags);
    if (await this.#zeroRange(sparse, offset, count)) return;
    if (await this.#punchAndReserve(sparse, offset, count)) return;
    if (offset >= fileEnd && (await this.#reserve(sparse, offset, count))) return;
    throw new ErrnoFailure('ENOTSUP');
  }

  /** The kernel may write zeroes itself then, which is no faster than doing it here. */
  async #zeroDevice(sparse: HostSparseFile, offset: number, count: number, flags: number): Promise<void> {
    if (flags & WRITE.NO_FALLBACK || !(await this.#zeroRange(sparse, offset, count))) throw new ErrnoFailure('ENOTSUP');
  }

  async #zeroRange(sparse: HostSparseFile, offset: number, count: number): Promise<boolean> {
    if (!this.#canZero) return false;
    const outcome = await attempt(() => sparse.zeroRange(offset, count));
    if (outcome === 'never') this.#canZero = false;
    return outcome === 'done';
  }

  async #punch(sparse: HostSparseFile, offset: number, count: number): Promise<boolean> {
    if (!this.#canPunch) return false;
    const outcome = await attempt(() => sparse.punchHole(offset, count));
    if (outcome === 'never') this.#canPunch = false;
    return outcome === 'done';
  }

  async #reserve(sparse: HostSparseFile, offset: number, count: number): Promise<boolean> {
    if (!this.#canReserve) return false;
    const outcome = await attempt(() => sparse.reserve(offset, count));
    if (outcome === 'never') this.#canReserve = false;
    return outcome === 'done';
  }

  async #punchAndReserve(sparse: HostSparseFile, offset: number, count: number): Promise<boolean> {
    return this.#canReserve && (await this.#punch(sparse, offset, count)) && this.#reserve(sparse, offset, count);
  }

  async discard(offset: number, count: number): Promise<void> {
    const { sparse } = this.#file;
    if (sparse === undefined || !this.#canPunch) throw new ErrnoFailure('ENOTSUP');
    const outcome = await attempt(() => sparse.discard(offset, count));
    if (outcome === 'done') return;
    if (outcome === 'never') this.#canPunch = false;
    throw new ErrnoFailure(outcome === 'never' ? 'ENOTSUP' : 'EINVAL');
  }
}
