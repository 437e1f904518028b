// What every filter driver does that changes only some kinds of requests: hand the others to the node below. A driver spreads
// `passThrough(edge)` into its instance and overrides what it changes; `size` must be taken over as a getter (see
// `filterInstance`). Not a driver.
import { WRITE, type BlockInstance } from './driver.ts';
import type { Edge } from './node.ts';

/** Flags that mean nothing of their own to a filter. FUA is passed on where the node below knows it; its own node emulates it otherwise. */
const PASSED_FLAGS = WRITE.UNCHANGED | WRITE.SERIALISING;

/** An instance that looks like the node of `edge`, except for `own`. Limits, flags and powers are those of the node below. */
export function filterInstance(edge: Edge, own: Partial<BlockInstance> = {}): BlockInstance {
  const below = edge.node.instance;
  const instance: BlockInstance = {
    size: 0,
    writeFlags: PASSED_FLAGS | ((below.writeFlags ?? 0) & WRITE.FUA),
    zeroFlags: PASSED_FLAGS | WRITE.MAY_UNMAP | WRITE.NO_FALLBACK | ((below.zeroFlags ?? 0) & WRITE.FUA),
    read: (offset, target, flags) => edge.read(offset, target, flags),
    write: (offset, source, flags) => edge.write(offset, source, flags),
    writeZeroes: (offset, count, flags) => edge.writeZeroes(offset, count, flags),
    discard: (offset, count) => edge.discard(offset, count),
    writeCompressed: (offset, source) => edge.write(offset, source, WRITE.COMPRESSED),
    truncate: (request) => edge.truncate(request),
    hasZeroInit: below.hasZeroInit ?? false,
    supportsCompressed: below.supportsCompressed ?? false,
    close: () => {},
  };
  if (below.info !== undefined) instance.info = () => below.info!();
  const merged = Object.defineProperty(instance, 'size', { get: () => edge.size, enumerable: true });
  return Object.defineProperties(merged, Object.getOwnPropertyDescriptors(own)) as BlockInstance;
}
