// Block status over several nodes: what a node's own answer means together with its file and its backing chain. QEMU's
// bdrv_block_status and _above as their callers see them (docs: qemu-img map, NBD's base:allocation).
import type { BlockNode } from './node.ts';
import { STATUS, type BlockStatus } from './status.ts';

export interface ChainStatus extends BlockStatus {
  /** How many layers below the first the answer comes from: 0 is the first itself. */
  readonly depth: number;
}

/** One layer's answer, with zeroes found through its file. `count` in the answer is at least 1, or 0 at the end of the node. */
export async function nodeStatus(node: BlockNode, wantZero: boolean, offset: number, count: number): Promise<BlockStatus> {
  const { size } = node;
  if (offset >= size) return { count: 0, flags: STATUS.EOF };
  if (count === 0) return { count: 0, flags: 0 };
  const own = await alignedStatus(node, wantZero, offset, Math.min(count, size - offset));
  if (own.flags & STATUS.RAW && own.file !== undefined && own.hostOffset !== undefined) {
    const below = await nodeStatus(own.file, wantZero, own.hostOffset, own.count);
    return withEof(below, offset, size);
  }
  let { flags } = own;
  if (flags & (STATUS.DATA | STATUS.ZERO)) flags |= STATUS.ALLOCATED;
  else if (node.instance.supportsBacking) {
    const below = node.backing?.node;
    if (below === undefined || (wantZero && offset >= below.size)) flags |= STATUS.ZERO;
  }
  const looked = wantZero ? await lookIntoFile(node, { ...own, flags }) : { ...own, flags };
  return withEof(looked, offset, size);
}

const withEof = (status: BlockStatus, offset: number, size: number): BlockStatus =>
  offset + status.count === size ? { ...status, flags: status.flags | STATUS.EOF } : { ...status, flags: status.flags & ~STATUS.EOF };

async function alignedStatus(node: BlockNode, wantZero: boolean, offset: number, count: number): Promise<BlockStatus> {
  const alignment = node.limits.requestAlignment;
  const skipped = offset % alignment;
  const end = Math.ceil((offset + count) / alignment) * alignment;
  const answer = await node.status(offset - skipped, end - offset + skipped, wantZero);
  const hostOffset = answer.hostOffset === undefined ? undefined : answer.hostOffset + skipped;
  return {
    count: Math.min(answer.count - skipped, count),
    flags: answer.flags,
    ...(hostOffset === undefined ? {} : { hostOffset }),
    ...(answer.file === undefined ? {} : { file: answer.file }),
  };
}

/** Data of a format may still be a hole of its file. */
async function lookIntoFile(node: BlockNode, status: BlockStatus): Promise<BlockStatus> {
  const { flags, hostOffset, file } = status;
  const worthIt = flags & STATUS.RECURSE && flags & STATUS.DATA && !(flags & STATUS.ZERO) && flags & STATUS.OFFSET_VALID;
  if (!worthIt || file === undefined || file === node || hostOffset === undefined) return status;
  const below = await nodeStatus(file, true, hostOffset, status.count);
  // A format may read beyond the end of its file: that is zeroes.
  if (below.flags & STATUS.EOF && (below.count === 0 || below.flags & STATUS.ZERO)) return { ...status, flags: flags | STATUS.ZERO };
  return { ...status, count: below.count, flags: flags | (below.flags & STATUS.ZERO) };
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
export async function statusAbove(top: BlockNode, offset: number, count: number, request: StatusRequest = {}): Promise<ChainStatus> {
  const { wantZero = true, base, includeBase = false } = request;
  if (!includeBase && top === base) return { count, flags: 0, depth: 0 };
  let answer = await nodeStatus(top, wantZero, offset, count);
  if (answer.count === 0 || answer.flags & STATUS.ALLOCATED || top === base) return { ...answer, depth: 0 };
  const end = answer.flags & STATUS.EOF ? offset + answer.count : undefined;
  let depth = 0;
  let bytes = answer.count;
  for (let node = nextLayer(top); node !== undefined && (includeBase || node !== base); node = nextLayer(node)) {
    answer = await nodeStatus(node, wantZero, offset, bytes);
    depth++;
    if (answer.count === 0) {
      // This layer is short: the zeroes beyond its end count as its own.
      answer = { count: bytes, flags: STATUS.ZERO | STATUS.ALLOCATED, file: node };
      break;
    }
    if (answer.flags & STATUS.ALLOCATED) break;
    bytes = answer.count;
    if (node === base) break;
  }
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
export async function isZeroFast(node: BlockNode, offset: number, count: number): Promise<boolean> {
  for (let at = offset; at < offset + count; ) {
    const { flags, count: known } = await statusAbove(node, at, offset + count - at);
    if (known === 0) return true; // beyond the end
    if (!(flags & STATUS.ZERO)) return false;
    at += known;
  }
  return true;
}
