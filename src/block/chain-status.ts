// Block status over several nodes: what a node's own answer means together with its file and its backing chain. QEMU's
// bdrv_block_status and _above as their callers see them (docs: qemu-img map, NBD's base:allocation).
import { after, type Eventual } from '../base/eventual.ts';
import type { BlockNode } from './node.ts';
import { STATUS, type BlockStatus } from './status.ts';

export interface ChainStatus extends BlockStatus {
  /** How many layers below the first the answer comes from: 0 is the first itself. */
  readonly depth: number;
}

/** One layer's answer, with zeroes found through its file. `count` in the answer is at least 1, or 0 at the end of the node. */
export function nodeStatus(node: BlockNode, wantZero: boolean, offset: number, count: number): Eventual<BlockStatus> {
  const { size } = node;
  if (offset >= size) return { count: 0, flags: STATUS.EOF };
  if (count === 0) return { count: 0, flags: 0 };
  const answer = alignedStatus(node, wantZero, offset, Math.min(count, size - offset));
  return after(answer, (own) => completed(node, wantZero, offset, size, own));
}

function completed(node: BlockNode, wantZero: boolean, offset: number, size: number, own: BlockStatus): Eventual<BlockStatus> {
  if (own.flags & STATUS.RAW && own.file !== undefined && own.hostOffset !== undefined) {
    return after(nodeStatus(own.file, wantZero, own.hostOffset, own.count), (below) => withEof(below, offset, size));
  }
  let { flags } = own;
  if (flags & (STATUS.DATA | STATUS.ZERO)) flags |= STATUS.ALLOCATED;
  else if (node.instance.supportsBacking) {
    const below = node.backing?.node;
    if (below === undefined || (wantZero && offset >= below.size)) flags |= STATUS.ZERO;
  }
  if (!wantZero) return withEof({ ...own, flags }, offset, size);
  return after(lookIntoFile(node, { ...own, flags }), (looked) => withEof(looked, offset, size));
}

const withEof = (status: BlockStatus, offset: number, size: number): BlockStatus =>
  offset + status.count === size ? { ...status, flags: status.flags | STATUS.EOF } : { ...status, flags: status.flags & ~STATUS.EOF };

function alignedStatus(node: BlockNode, wantZero: boolean, offset: number, count: number): Eventual<BlockStatus> {
  const alignment = node.limits.requestAlignment;
  if (alignment === 1) return node.status(offset, count, wantZero);
  const skipped = offset % alignment;
  const end = Math.ceil((offset + count) / alignment) * alignment;
  return after(node.status(offset - skipped, end - offset + skipped, wantZero), (answer) => {
    const hostOffset = answer.hostOffset === undefined ? undefined : answer.hostOffset + skipped;
    return {
      count: Math.min(answer.count - skipped, count),
      flags: answer.flags,
      ...(hostOffset === undefined ? {} : { hostOffset }),
      ...(answer.file === undefined ? {} : { file: answer.file }),
    };
  });
}

/** Data of a format may still be a hole of its file. */
function lookIntoFile(node: BlockNode, status: BlockStatus): Eventual<BlockStatus> {
  const { flags, hostOffset, file } = status;
  const worthIt = flags & STATUS.RECURSE && flags & STATUS.DATA && !(flags & STATUS.ZERO) && flags & STATUS.OFFSET_VALID;
  if (!worthIt || file === undefined || file === node || hostOffset === undefined) return status;
  return after(nodeStatus(file, true, hostOffset, status.count), (below) => {
    // A format may read beyond the end of its file: that is zeroes.
    if (below.flags & STATUS.EOF && (below.count === 0 || below.flags & STATUS.ZERO)) return { ...status, flags: flags | STATUS.ZERO };
    return { ...status, count: below.count, flags: flags | (below.flags & STATUS.ZERO) };
  });
}

/** The node that a layer leaves unallocated parts to: a filter's child or the backing image. */
export const nextLayer = (node: BlockNode): BlockNode | undefined => (node.filtered ?? node.backing)?.node;

export interface StatusRequest {
  readonly wantZero?: boolean;
  /** Where to stop; not asked itself, unless `includeBase`. Undefined is the end of the chain. */
  readonly base?: BlockNode | undefined;
  readonly includeBase?: boolean;
}

/** The status as seen through a chain from `top` down to `base`: the first layer that has the range allocated answers. */
export function statusAbove(top: BlockNode, offset: number, count: number, request: StatusRequest = {}): Eventual<ChainStatus> {
  const { wantZero = true, base, includeBase = false } = request;
  if (!includeBase && top === base) return { count, flags: 0, depth: 0 };
  return after(nodeStatus(top, wantZero, offset, count), (answer) => {
    if (answer.count === 0 || answer.flags & STATUS.ALLOCATED || top === base) return { ...answer, depth: 0 };
    const end = answer.flags & STATUS.EOF ? offset + answer.count : undefined;
    return lowerStatus({ wantZero, base, includeBase, offset, end }, nextLayer(top), answer, 0);
  });
}

interface Walk {
  readonly wantZero: boolean;
  readonly base: BlockNode | undefined;
  readonly includeBase: boolean;
  readonly offset: number;
  /** Where the top ends, when what it answered reaches so far. */
  readonly end: number | undefined;
}

/** Goes on in `node`; `answer` is of the layer above, which has nothing of its own there. */
function lowerStatus(walk: Walk, node: BlockNode | undefined, answer: BlockStatus, depth: number): Eventual<ChainStatus> {
  if (node === undefined || (!walk.includeBase && node === walk.base)) return chainStatus(walk, answer, depth);
  return after(nodeStatus(node, walk.wantZero, walk.offset, answer.count), (own) => {
    // This layer is short: the zeroes beyond its end count as its own.
    if (own.count === 0) return chainStatus(walk, { count: answer.count, flags: STATUS.ZERO | STATUS.ALLOCATED, file: node }, depth + 1);
    if (own.flags & STATUS.ALLOCATED || node === walk.base) return chainStatus(walk, own, depth + 1);
    return lowerStatus(walk, nextLayer(node), own, depth + 1);
  });
}

function chainStatus({ offset, end }: Walk, answer: BlockStatus, depth: number): ChainStatus {
  const flags = offset + answer.count === end ? answer.flags | STATUS.EOF : answer.flags & ~STATUS.EOF;
  return { ...answer, flags, depth };
}

export interface Allocation {
  readonly allocated: boolean;
  /** How many bytes are alike. */
  readonly count: number;
  readonly depth: number;
}

/** Whether any layer from `top` down to (not including, unless asked) `base` has data or zeroes of its own there. */
export async function isAllocatedAbove(
  top: BlockNode,
  base: BlockNode | undefined,
  offset: number,
  count: number,
  includeBase = false,
): Promise<Allocation> {
  const status = await statusAbove(top, offset, count, { wantZero: false, base, includeBase });
  return { allocated: (status.flags & STATUS.ALLOCATED) !== 0, count: status.count, depth: status.depth };
}

/** Whether a range certainly reads as zeroes, without reading it. */
export function isZeroFast(node: BlockNode, offset: number, count: number): Eventual<boolean> {
  const end = offset + count;
  for (let at = offset; at < end; ) {
    const status = statusAbove(node, at, end - at);
    if (status instanceof Promise) return isZeroLater(node, at, end, status);
    if (status.count === 0) return true; // beyond the end
    if (!(status.flags & STATUS.ZERO)) return false;
    at += status.count;
  }
  return true;
}

async function isZeroLater(node: BlockNode, start: number, end: number, first: Promise<ChainStatus>): Promise<boolean> {
  for (let at = start, next: Eventual<ChainStatus> = first; at < end; next = statusAbove(node, at, end - at)) {
    const { flags, count } = await next;
    if (count === 0) return true;
    if (!(flags & STATUS.ZERO)) return false;
    at += count;
    if (at >= end) break;
  }
  return true;
}
