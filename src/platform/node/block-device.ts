// What Linux says of a block device in /sys: no ioctl is needed for its size and its block size.
import { readFileSync } from 'node:fs';
import { ErrnoFailure } from '../../base/errno.ts';

const SECTOR = 512;

/** Numbers as in glibc's makedev: 12 bits of minor around 12 (and more) bits of major. */
function deviceFolder(rdev: number): string {
  const major = Math.floor(rdev / 256) % 0x1000;
  const minor = (rdev % 256) + (Math.floor(rdev / 0x100000) % 0x1000) * 0x100;
  return `/sys/dev/block/${major}:${minor}`;
}

function numberIn(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'latin1'));
    return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

export function blockDeviceSize(_fd: number, rdev: number): number {
  const sectors = numberIn(`${deviceFolder(rdev)}/size`);
  if (sectors === undefined) throw new ErrnoFailure('ENOTSUP');
  return sectors * SECTOR;
}

/** A partition has no queue of its own: its disk's counts. */
export function logicalBlockBytes(rdev: number): number | undefined {
  const folder = deviceFolder(rdev);
  return numberIn(`${folder}/queue/logical_block_size`) ?? numberIn(`${folder}/../queue/logical_block_size`);
}
