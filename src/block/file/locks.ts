// How processes that have one image open respect each other, in the way that QEMU's tools do (its documentation calls it "image
// locking"): a shared lock on byte 100 + n says "I use permission n", one on byte 200 + n says "I do not share permission n".
// Before a permission is used, nobody may hold the byte that forbids it, and the other way round.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { HostFile, HostFileLocks } from '../../ports/host-file.ts';
import { PERM_ALL, permissionNames, type Permissions } from '../permissions.ts';

const USED_BASE = 100;
const UNSHARED_BASE = 200;
const BITS = [0, 1, 2, 3] as const;

/** Nothing is used and everything is shared. */
export const NO_PERMISSIONS: Permissions = { perm: 0, shared: PERM_ALL };

export class ImageLocks {
  readonly #file: HostFile;
  /** As the user knows the image. */
  readonly #filename: string;
  #held: Permissions = NO_PERMISSIONS;

  constructor(file: HostFile, filename: string) {
    this.#file = file;
    this.#filename = filename;
  }

  get held(): Permissions {
    return this.#held;
  }

  /** Makes `wanted` known to the others; throws, and leaves everything as it was, when one of them objects. */
  change(wanted: Permissions): void {
    const before = this.#held;
    if (before.perm === wanted.perm && before.shared === wanted.shared) return;
    const locks = this.#file.locks;
    if (locks === undefined) return;
    try {
      this.#take(locks, before, wanted);
      this.#check(locks, wanted);
    } catch (error) {
      this.#release(locks, wanted, before);
      throw error;
    }
    this.#release(locks, before, wanted);
    this.#held = wanted;
  }

  /** The same on another open file, whose predecessor still holds its own: conflicts with others cannot be new. */
  adopt(permissions: Permissions): void {
    const locks = this.#file.locks;
    if (locks !== undefined) this.#take(locks, NO_PERMISSIONS, permissions);
    this.#held = permissions;
  }

  #take(locks: HostFileLocks, before: Permissions, wanted: Permissions): void {
    for (const bit of bitsOf(wanted.perm & ~before.perm)) this.#lock(locks, USED_BASE + bit);
    for (const bit of bitsOf(before.shared & ~wanted.shared)) this.#lock(locks, UNSHARED_BASE + bit);
  }

  #lock(locks: HostFileLocks, byte: number): void {
    if (!locks.lockShared(byte, 1)) throw new ErrnoFailure('EAGAIN', `Failed to lock byte ${byte}`);
  }

  #check(locks: HostFileLocks, { perm, shared }: Permissions): void {
    for (const bit of bitsOf(perm)) {
      if (locks.wouldConflict(UNSHARED_BASE + bit, 1)) throw this.#inUse(`Failed to get "${permissionNames(1 << bit)}" lock`);
    }
    for (const bit of bitsOf(PERM_ALL & ~shared)) {
      if (locks.wouldConflict(USED_BASE + bit, 1)) throw this.#inUse(`Failed to get shared "${permissionNames(1 << bit)}" lock`);
    }
  }

  #inUse(text: string): Failure {
    return new ErrnoFailure('EAGAIN', `${text}\nIs another process using the image [${this.#filename}]?`);
  }

  /** Gives back what `from` has and `to` has not. */
  #release(locks: HostFileLocks, from: Permissions, to: Permissions): void {
    for (const bit of bitsOf(from.perm & ~to.perm)) locks.unlock(USED_BASE + bit, 1);
    for (const bit of bitsOf(to.shared & ~from.shared)) locks.unlock(UNSHARED_BASE + bit, 1);
  }
}

const bitsOf = (mask: number): number[] => BITS.filter((bit) => (mask & (1 << bit)) !== 0);
