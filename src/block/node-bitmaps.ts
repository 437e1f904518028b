// The dirty bitmaps of a node: which there are, by name, and what the node's format can do about storing them. What a bitmap
// is: dirty-bitmap.ts. The operations of the tools on them: bitmap-operations.ts.
import { ErrnoFailure } from '../base/errno.ts';
import type { DirtyBitmap } from './dirty-bitmap.ts';
import type { PersistentBitmapInfo } from './driver.ts';
import type { BlockNode } from './node.ts';

/** `BlockInstance.bitmaps` of a format that stores bitmaps. */
export interface BitmapPower {
  /** False for versions of the format that cannot store any. */
  readonly supported: boolean;
  /** Failure when a new bitmap of that name and granularity could not be stored. */
  checkCanStore(name: string, granularity: number): void;
  /** Removes a stored bitmap from the image; one that is not there is no error. */
  removeStored(name: string): Promise<void>;
  /** Those in the image now, in their order there. */
  list(): readonly PersistentBitmapInfo[];
}

const lists = new WeakMap<BlockNode, DirtyBitmap[]>();

/** The latest first, as the reference goes through them. */
export const bitmapsOf = (node: BlockNode): readonly DirtyBitmap[] => lists.get(node) ?? [];

export const findBitmap = (node: BlockNode, name: string): DirtyBitmap | undefined =>
  bitmapsOf(node).find((bitmap) => bitmap.name === name);

/** The bitmap marks what is written to the node from now on, as long as it is enabled. */
export function attachBitmap(node: BlockNode, bitmap: DirtyBitmap): void {
  const list = lists.get(node);
  if (list === undefined) lists.set(node, [bitmap]);
  else list.unshift(bitmap);
  node.dirtyObservers.add(bitmap);
}

export function detachBitmap(node: BlockNode, bitmap: DirtyBitmap): void {
  const list = lists.get(node);
  const index = list?.indexOf(bitmap) ?? -1;
  if (index >= 0) list!.splice(index, 1);
  node.dirtyObservers.delete(bitmap);
}

/** What the node's format does about bitmaps; undefined when it stores none. */
export function bitmapPower(node: BlockNode): BitmapPower | undefined {
  return node.instance.bitmaps as BitmapPower | undefined;
}

export function requireBitmap(node: BlockNode, name: string): DirtyBitmap {
  const bitmap = findBitmap(node, name);
  if (bitmap === undefined) throw new ErrnoFailure('ENOENT', `Dirty bitmap '${name}' not found`);
  return bitmap;
}

const MIN_DEFAULT_GRANULARITY = 4096;
const MAX_DEFAULT_GRANULARITY = 65536;

/** The format's cluster size, within bounds. */
export function defaultGranularity(node: BlockNode): number {
  const clusterSize = node.instance.info?.()?.clusterSize ?? 0;
  if (clusterSize === 0) return MAX_DEFAULT_GRANULARITY;
  return Math.min(MAX_DEFAULT_GRANULARITY, Math.max(MIN_DEFAULT_GRANULARITY, clusterSize));
}
