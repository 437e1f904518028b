// Block status of a qcow2 node: what its tables say of a range, in the terms of ../status.ts.
import { after, type Eventual } from '../../base/eventual.ts';
import type { BlockStatus } from '../status.ts';
import { STATUS } from '../status.ts';
import type { Qcow2Image } from './image.ts';
import { KIND, type Extent } from './mapping.ts';
import { looksPreallocated } from './preallocation.ts';
import { cachedExtent, lookUp } from './reader.ts';

export function blockStatus(image: Qcow2Image, offset: number, count: number): Eventual<BlockStatus> {
  image.checkUsable();
  const cached = image.lock.isReadable ? cachedExtent(image, offset, count) : undefined;
  if (cached !== undefined) return statusOf(image, cached);
  return lookUp(image, offset, count).then((extent) => statusOf(image, extent));
}

function statusOf(image: Qcow2Image, extent: Extent): Eventual<BlockStatus> {
  const { kind, count, hostOffset } = extent;
  const isPlaced = kind === KIND.NORMAL || kind === KIND.ZERO_PLACED || kind === KIND.UNALLOCATED_PLACED;
  const isValid = isPlaced && !image.isEncrypted;
  const valid = isValid ? STATUS.OFFSET_VALID : 0;
  const answer = (flags: number): BlockStatus => (isValid ? { count, flags, hostOffset, file: image.data.node } : { count, flags });
  switch (kind) {
    case KIND.ZERO:
    case KIND.ZERO_PLACED:
      return answer(valid | STATUS.ZERO);
    case KIND.NORMAL: {
      if (!isValid) return answer(STATUS.DATA);
      return after(looksPreallocated(image), (preallocated) => answer(valid | STATUS.DATA | (preallocated ? STATUS.RECURSE : 0)));
    }
    case KIND.COMPRESSED:
      return answer(valid | STATUS.DATA | STATUS.COMPRESSED);
    default:
      return answer(valid);
  }
}
