// Whether an image looks as if its clusters were allocated without data (`preallocation=metadata`): then it pays to ask the file
// where its holes are.
import { isPromise } from '../../base/eventual.ts';
import type { Qcow2Image } from './image.ts';
import { locked } from './l2-tables.ts';

/** Answers per image, for as long as it is open. */
const answers = new WeakMap<Qcow2Image, boolean>();

export function looksPreallocated(image: Qcow2Image): boolean | Promise<boolean> {
  const known = answers.get(image);
  if (known !== undefined) return known;
  if (image.hasDataFile) return remember(image, false);
  return locked(image, () => compare(image));
}

function remember(image: Qcow2Image, answer: boolean): boolean {
  answers.set(image, answer);
  return answer;
}

/** Counts clusters until there are clearly more than the host has allocated. */
async function compare(image: Qcow2Image): Promise<boolean> {
  const { file, geometry, refcounts } = image;
  const allocated = file.node.instance.allocatedFileSize?.();
  const length = file.size;
  if (allocated === undefined || allocated >= length) return remember(image, false);
  const clusters = Math.ceil(length / geometry.clusterSize);
  const real = Math.ceil(allocated / geometry.clusterSize);
  const threshold = Math.max(Math.floor((real * 10) / 9), real + 2);
  let counted = 0;
  for (let index = 0; index < clusters; index++) {
    const count = refcounts.get(index);
    if ((isPromise(count) ? await count : count) > 0) counted++;
    if (counted >= threshold) return remember(image, true);
  }
  return remember(image, false);
}
