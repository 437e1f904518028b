// Whether a new image reads as zeroes before anything is written to it.
import type { BlockNode } from '../node.ts';

export function readsAsZero(node: BlockNode): boolean {
  if (node.backing !== undefined) return false;
  if (node.instance.hasZeroInit !== undefined) return node.instance.hasZeroInit;
  return node.filtered !== undefined && readsAsZero(node.filtered.node);
}
