// Binary search, once: where in a row of things a property ends that holds for a first part of them and for nothing behind it.

/** The first index from `start` on, before `end`, at which `holds` is false; `end` when it holds for all. */
export function partitionPoint(start: number, end: number, holds: (index: number) => boolean): number {
  let low = start;
  let high = end;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
