// Gives an image another backing image without changing what it shows: where old and new backing image differ, and the image
// has no data of its own, the old contents are written into it. Changing the name in the image is the caller's.
import { equalBytes } from '../../base/equal.ts';
import { isPromise } from '../../base/eventual.ts';
import { errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../backend.ts';
import { isAllocatedAbove, nodeStatus } from '../chain-status.ts';
import { SECTOR, type BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';
import { Pace, type Operation } from './pace.ts';
import { tracedJob } from './trace.ts';

const BUFFER_BYTES = 2 << 20;

export interface RebaseRequest extends Operation {
  readonly overlay: BlockBackend;
  readonly oldBacking: BlockNode | undefined;
  readonly newBacking: BlockNode | undefined;
  /** The new backing image is in the old chain: only what lies above it can differ. */
  readonly prefix?: BlockNode | undefined;
}

export const rebase = (request: RebaseRequest): Promise<void> => tracedJob('rebase', () => rebaseNow(request));

async function rebaseNow(request: RebaseRequest): Promise<void> {
  const { overlay, oldBacking, newBacking, prefix } = request;
  const pace = new Pace(overlay.graph.host, request);
  const oldBuffer = new Uint8Array(BUFFER_BYTES);
  const newBuffer = new Uint8Array(BUFFER_BYTES);
  const { size } = overlay;
  for (let offset = 0; offset < size;) {
    const own = await nodeStatus(overlay.node, false, offset, Math.min(BUFFER_BYTES, size - offset));
    let count = Math.max(1, own.count);
    let mayDiffer = (own.flags & STATUS.ALLOCATED) === 0;
    if (mayDiffer && prefix !== undefined && oldBacking !== undefined && offset < oldBacking.size) {
      const above = await isAllocatedAbove(oldBacking, prefix, offset, count);
      if (above.count > 0) count = above.count;
      mayDiffer = above.allocated || above.count === 0;
    }
    if (mayDiffer) {
      const oldEnd = oldBacking?.size ?? 0;
      const isZeroBefore = offset >= oldEnd;
      if (!isZeroBefore) count = Math.min(count, oldEnd - offset);
      const before = oldBuffer.subarray(0, count);
      const after = newBuffer.subarray(0, count);
      await readBacking(oldBacking, 'old', offset, before);
      await readBacking(newBacking, 'new', offset, after);
      await writeDifferences(overlay, offset, before, after, isZeroBefore);
    }
    offset += count;
    request.progress?.(count, size);
    const pause = pace.step(mayDiffer ? count : 0);
    if (pause !== undefined) await pause;
  }
}

async function readBacking(node: BlockNode | undefined, which: string, offset: number, target: Uint8Array): Promise<void> {
  if (node === undefined || offset >= node.size) {
    target.fill(0);
    return;
  }
  try {
    const result = node.read(offset, target); // zeroes beyond the end
    if (isPromise(result)) await result;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.kind, `error while reading from ${which} backing file`, { cause: error });
  }
}

/** Writes the runs of sectors that differ. */
async function writeDifferences(
  overlay: BlockBackend,
  offset: number,
  before: Uint8Array,
  after: Uint8Array,
  isZero: boolean,
): Promise<void> {
  const { length } = before;
  for (let start = nextDifference(before, after, 0); start < length;) {
    let end = start;
    while (end < length && !equalBytes(before, after, end, Math.min(end + SECTOR, length))) end += SECTOR;
    end = Math.min(end, length);
    try {
      if (isZero) await overlay.writeZeroes(offset + start, end - start);
      else await overlay.write(offset + start, before.subarray(start, end));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure(error.kind, `Error while writing to COW image: ${errnoText(errnoOf(error))}`, { cause: error });
    }
    start = nextDifference(before, after, end);
  }
}

const COARSE_BYTES = 65536;

/** Where the first sector from `start` on begins that differs; the end when there is none. */
function nextDifference(before: Uint8Array, after: Uint8Array, start: number): number {
  const { length } = before;
  for (let at = start; at < length; ) {
    const coarse = Math.min(at + COARSE_BYTES, length);
    if (equalBytes(before, after, at, coarse)) {
      at = coarse;
      continue;
    }
    while (equalBytes(before, after, at, Math.min(at + SECTOR, length))) at += SECTOR;
    return at;
  }
  return length;
}
