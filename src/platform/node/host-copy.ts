// Copying between files within the kernel: copy_file_range(2).
import type { Eventual } from '../../base/eventual.ts';
import { ErrnoFailure } from '../../base/errno.ts';
import { failure } from './host-sparse.ts';
import { systemCalls } from './system-calls.ts';

const EXDEV = 18;
const EINVAL = 22;

export interface FileCopy {
  readonly from: number;
  readonly sourceOffset: number;
  readonly to: number;
  readonly offset: number;
  readonly count: number;
  /** On another thread. */
  readonly pooled: boolean;
}

export function copyFileRange(copy: FileCopy): Eventual<void> {
  const calls = systemCalls();
  if (calls === undefined) throw new ErrnoFailure('ENOTSUP');
  const { copyFileRange: call } = copy.pooled ? calls.pooled : calls;
  const positions = new BigInt64Array([BigInt(copy.sourceOffset), BigInt(copy.offset)]); // the kernel moves them on
  const [from, to] = [new Uint8Array(positions.buffer, 0, 8), new Uint8Array(positions.buffer, 8, 8)];
  let rest = copy.count;
  const next = (): Eventual<void> => {
    for (;;) {
      const result = call(copy.from, from, copy.to, to, rest, 0);
      if (result instanceof Promise) return result.then((count) => (isDone(count) ? undefined : next()));
      if (isDone(result)) return undefined;
    }
  };
  const isDone = (result: number): boolean => {
    // Other file systems, or one that does not know it; or the source ends before.
    if (result === -EXDEV || result === -EINVAL || result === 0) throw new ErrnoFailure('ENOTSUP');
    if (result < 0) throw failure(result);
    rest -= result;
    return rest === 0;
  };
  return next();
}
