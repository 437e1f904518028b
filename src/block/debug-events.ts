// Events of the block layer that blkdebug's rules wait for: the moments of a format driver's work (a table is loaded, a
// cluster allocated) at which a test wants an error or a pause. Names: QMP's BlkdebugEvent. What happens at an event is
// blkdebug/'s business; without a blkdebug below, raising one costs two property reads.
import type { Eventual } from '../base/eventual.ts';
import type { Edge } from './node.ts';

// prettier-ignore
export const DEBUG_EVENTS = [
  'l1_update', 'l1_grow_alloc_table', 'l1_grow_write_table', 'l1_grow_activate_table',
  'l2_load', 'l2_update', 'l2_update_compressed', 'l2_alloc_cow_read', 'l2_alloc_write',
  'read_aio', 'read_backing_aio', 'read_compressed', 'write_aio', 'write_compressed',
  'vmstate_load', 'vmstate_save', 'cow_read', 'cow_write',
  'reftable_load', 'reftable_grow', 'reftable_update',
  'refblock_load', 'refblock_update', 'refblock_update_part', 'refblock_alloc', 'refblock_alloc_hookup',
  'refblock_alloc_write', 'refblock_alloc_write_blocks', 'refblock_alloc_write_table', 'refblock_alloc_switch_table',
  'cluster_alloc', 'cluster_alloc_bytes', 'cluster_free', 'flush_to_os', 'flush_to_disk',
  'pwritev_rmw_head', 'pwritev_rmw_after_head', 'pwritev_rmw_tail', 'pwritev_rmw_after_tail',
  'pwritev', 'pwritev_zero', 'pwritev_done', 'empty_image_prepare',
  'l1_shrink_write_table', 'l1_shrink_free_l2_clusters', 'cor_write', 'cluster_alloc_space', 'none',
] as const;

export type DebugEvent = (typeof DEBUG_EVENTS)[number];

export const isDebugEvent = (name: string): name is DebugEvent => (DEBUG_EVENTS as readonly string[]).includes(name);

/** Tells the node behind `edge` what its parent is about to do. A promise when a breakpoint holds the request. */
export function debugEvent(edge: Edge, event: DebugEvent): Eventual<void> {
  return edge.node.instance.debugEvent?.(event);
}

/** Breakpoints, for the node nearest below that has them (qemu-io's `break` and its companions). */
export interface Breakpoints {
  /** The next request that raises `event` stops there and is called `tag`. */
  add(event: DebugEvent, tag: string): void;
  /** Forgets the breakpoints of this tag and lets go the requests that they hold; false when no breakpoint was left of it. */
  remove(tag: string): boolean;
  /** Lets go the request that was stopped last; false when there is none of the tag. */
  resume(tag: string): boolean;
  /** Resolves when a request of this tag is stopped. */
  suspended(tag: string): Promise<void>;
}
