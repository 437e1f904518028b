// Block status of a qcow2 node: what its tables say of a range, in the terms of ../status.ts.
import type { BlockStatus } from '../status.ts';
import { STATUS } from '../status.ts';
import type { Qcow2Image } from './image.ts';
import { KIND, type Extent } from './mapping.ts';
import { looksPreallocated } from './preallocation.ts';
import { lookUp } from './reader.ts';

export async function blockStatus(image: Qcow2Image, offset: number, count: number): Promise<BlockStatus> {
  image.checkUsable();
  const extent = await lookUp(image, offset, count);
  return statusOf(image, extent);
}

async function statusOf(image: Qcow2Image, extent: Extent): Promise<BlockStatus> {
  const { kind, count, hostOffset } = extent;
  const isPlaced = kind === KIND.NORMAL || kind === KIND.ZERO_PLACED || kind === KIND.UNALLOCATED_PLACED;
  const place = isPlaced && !image.isEncrypted ? { hostOffset, file: image.data.node } : {};
  let flags = isPlaced && !image.isEncrypted ? STATUS.OFFSET_VALID : 0;
  switch (kind) {
    case KIND.ZERO:
    case KIND.ZERO_PLACED:
      flags |= STATUS.ZERO;
      break;
    case KIND.NORMAL:
      flags |= STATUS.DATA;
      if (flags & STATUS.OFFSET_VALID && (await looksPreallocated(image))) flags |= STATUS.RECURSE;
      break;
    case KIND.COMPRESSED:
      flags |= STATUS.DATA | STATUS.COMPRESSED;
      break;
    default:
  }
  return { count, flags, ...place };
}
