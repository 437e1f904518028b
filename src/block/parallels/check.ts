// Checking a Parallels image: whether it was closed, clusters outside the file, and space at the end that no cluster uses.
import type { CheckRequest, CheckResult } from '../driver.ts';
import type { EntryTable } from '../image-format/entry-table.ts';
import { SECTOR, type Edge } from '../node.ts';
import { BAT_OFFSET, type ParallelsHeader } from './header.ts';

export interface ParallelsCheck {
  readonly header: ParallelsHeader;
  readonly bat: EntryTable;
  readonly file: Edge;
  readonly wasOpen: boolean;
}

export async function checkParallels(request: CheckRequest, { header, bat, file, wasOpen }: ParallelsCheck): Promise<CheckResult> {
  const { fixErrors, fixLeaks } = request;
  const say = (fixed: boolean, text: string): void => request.report(`${fixed ? 'Repairing' : 'ERROR'} ${text}`, 'stderr');
  const { clusterBytes, entryUnitBytes, batEntries } = header;
  const result: CheckResult = { corruptions: 0, leaks: 0, checkErrors: 0, corruptionsFixed: 0, leaksFixed: 0, imageEndOffset: 0 };
  const fragmentation = { total: batEntries, allocated: 0, fragmented: 0, compressed: 0 };
  const found = (fixed: boolean): void => void (fixed ? result.corruptionsFixed++ : result.corruptions++);
  if (wasOpen) {
    say(fixErrors, 'image was not closed correctly');
    found(fixErrors);
  }
  const size = Math.ceil(file.size / SECTOR) * SECTOR;
  let previous = 0;
  let highest = 0;
  // Entries beyond the end of the file are zero.
  const stored = Math.min(batEntries, Math.max(0, Math.ceil((file.size - BAT_OFFSET) / 4)));
  for (let cluster = 0; cluster < stored; cluster++) {
    const entry = bat.get(cluster);
    const offset = (entry instanceof Promise ? await entry : entry) * entryUnitBytes;
    if (offset === 0) {
      previous = 0;
      continue;
    }
    if (offset > size) {
      say(fixErrors, `cluster ${cluster} is outside image`);
      found(fixErrors);
      if (fixErrors) {
        previous = 0;
        await bat.set(cluster, 0);
        continue;
      }
    }
    highest = Math.max(highest, offset);
    fragmentation.allocated++;
    if (previous !== 0 && previous + clusterBytes !== offset) fragmentation.fragmented++;
    previous = offset;
  }
  result.imageEndOffset = highest === 0 ? header.dataOffset : highest + clusterBytes;
  if (size > result.imageEndOffset) {
    const unused = size - result.imageEndOffset;
    say(fixLeaks, `space leaked at the end of the image ${unused}`);
    if (fixLeaks) {
      await file.truncate({ size: result.imageEndOffset, exact: true, preallocation: 'off', zeroWrite: false });
      result.leaksFixed = Math.ceil(unused / clusterBytes);
    } else result.leaks = Math.ceil(unused / clusterBytes);
  }
  return { ...result, fragmentation };
}
