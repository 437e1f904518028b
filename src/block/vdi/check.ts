// `check` of a VirtualBox disk image: every block number below the number of blocks, used once, and as many as the header
// says. There is no repair.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { CheckRequest, CheckResult } from '../driver.ts';
import { isAllocated } from './header.ts';

const ENDLESS_BLOCKS = 1 << 16;

export interface MapToCheck {
  entryAt(index: number): Eventual<number>;
  readonly blocks: number;
  /** Where the map ends in the file. */
  readonly mapEnd: number;
  readonly fileSize: number;
  readonly blocksAllocated: number;
}

export async function checkImage(request: CheckRequest, map: MapToCheck): Promise<CheckResult> {
  if (request.fixLeaks || request.fixErrors) throw new ErrnoFailure('ENOTSUP');
  // Reads beyond the end are zeroes: as many errors as the header claims blocks, which nobody wants to see.
  if (map.blocks > ENDLESS_BLOCKS && map.mapEnd > Math.ceil(map.fileSize / 512) * 512) {
    throw new Failure('corrupt', 'The block map ends after the end of the file');
  }
  const result: CheckResult = { corruptions: 0, leaks: 0, checkErrors: 0, corruptionsFixed: 0, leaksFixed: 0, imageEndOffset: 0 };
  const complain = (line: string): void => {
    request.report(`ERROR: ${line}`, 'stderr');
    result.corruptions++;
  };
  const used = new Uint8Array(Math.ceil(map.blocks / 8));
  let allocated = 0;
  for (let index = 0; index < map.blocks; index++) {
    const pending = map.entryAt(index);
    const entry = pending instanceof Promise ? await pending : pending;
    if (!isAllocated(entry)) continue;
    if (entry >= map.blocks) {
      complain(`block index ${index} too large, is ${entry}`);
      continue;
    }
    allocated++;
    const bit = 1 << (entry & 7);
    if (used[entry >> 3]! & bit) complain(`block index ${entry} also used by ${entry}`);
    used[entry >> 3]! |= bit;
  }
  if (allocated !== map.blocksAllocated) complain(`allocated blocks mismatch, is ${allocated}, should be ${map.blocksAllocated}`);
  return result;
}
