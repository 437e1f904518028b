// What the tools do with the dirty bitmaps of a node: add, remove, clear, enable, disable, merge, and copy all of them from one
// image to another. Messages are the reference's. Changes to persistent bitmaps reach the image when its node is closed.
import { ErrnoFailure, errnoOf, errnoText } from '../base/errno.ts';
import { Failure } from '../base/failure.ts';
import { BITMAP_NAME_MAX, DirtyBitmap } from './dirty-bitmap.ts';
import { attachBitmap, bitmapPower, bitmapsOf, defaultGranularity, detachBitmap, findBitmap, requireBitmap } from './node-bitmaps.ts';
import type { BlockNode } from './node.ts';

const MIN_GRANULARITY = 512;

export interface NewBitmap {
  readonly granularity?: number | undefined;
  readonly persistent?: boolean | undefined;
  readonly disabled?: boolean | undefined;
}

export function addBitmap(node: BlockNode, name: string, { granularity, persistent, disabled }: NewBitmap = {}): DirtyBitmap {
  if (name === '') throw new ErrnoFailure('EINVAL', 'Bitmap name cannot be empty');
  const bytes = granularity ?? defaultGranularity(node);
  if (bytes < MIN_GRANULARITY || bytes >= 2 ** 32 || !Number.isInteger(Math.log2(bytes))) {
    throw new ErrnoFailure('EINVAL', 'Granularity must be power of 2 and at least 512');
  }
  if (persistent) checkCanStore(node, name, bytes);
  if (findBitmap(node, name) !== undefined) throw new ErrnoFailure('EEXIST', `Bitmap already exists: ${name}`);
  if (new TextEncoder().encode(name).length > BITMAP_NAME_MAX) throw new ErrnoFailure('EINVAL', `Bitmap name too long: ${name}`);
  const bitmap = new DirtyBitmap({ name, granularity: bytes, size: node.size });
  bitmap.enabled = !disabled;
  bitmap.persistent = persistent ?? false;
  attachBitmap(node, bitmap);
  return bitmap;
}

function checkCanStore(node: BlockNode, name: string, granularity: number): void {
  const power = bitmapPower(node);
  if (power === undefined) {
    throw new ErrnoFailure('ENOTSUP', `Can't store persistent bitmaps to ${node.name}: ${errnoText('ENOTSUP')}`);
  }
  try {
    power.checkCanStore(name, granularity);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `Can't make bitmap '${name}' persistent in '${node.name}': ${error.message}`, { cause: error });
  }
}

export async function removeBitmap(node: BlockNode, name: string): Promise<void> {
  const bitmap = requireBitmap(node, name);
  bitmap.checkUsable({ inconsistent: true });
  if (bitmap.persistent) await bitmapPower(node)?.removeStored(name);
  detachBitmap(node, bitmap);
}

export function clearBitmap(node: BlockNode, name: string): void {
  const bitmap = requireBitmap(node, name);
  bitmap.checkUsable();
  bitmap.clear();
}

export function enableBitmap(node: BlockNode, name: string): void {
  setEnabled(node, name, true);
}

export function disableBitmap(node: BlockNode, name: string): void {
  setEnabled(node, name, false);
}

function setEnabled(node: BlockNode, name: string, enabled: boolean): void {
  const bitmap = requireBitmap(node, name);
  bitmap.checkUsable({ readOnly: true });
  bitmap.enabled = enabled;
}

/** Everything dirty in the source bitmap is dirty in the target's, too. The nodes may be the same. */
export function mergeBitmap(target: BlockNode, name: string, source: BlockNode, sourceName: string): void {
  const into = requireBitmap(target, name);
  into.checkUsable();
  const from = requireBitmap(source, sourceName);
  from.checkUsable({ readOnly: true });
  into.merge(from);
}

/** A failure with a line of advice. */
export class BitmapCopyFailure extends ErrnoFailure {
  readonly hint = "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it";

  constructor(name: string) {
    super('EINVAL', `Cannot copy inconsistent bitmap '${name}'`);
  }
}

/** Before `copyBitmaps`: Failure when a persistent bitmap of the node is of no use. */
export function checkBitmapsConsistent(node: BlockNode): void {
  for (const bitmap of persistentBitmaps(node)) if (bitmap.inconsistent) throw new BitmapCopyFailure(bitmap.name!);
}

/** All persistent bitmaps of the source, made persistent in the target. `warn` hears of those that are left out. */
export async function copyBitmaps(source: BlockNode, target: BlockNode, warn: (line: string) => void): Promise<void> {
  for (const bitmap of persistentBitmaps(source)) {
    const name = bitmap.name!;
    if (bitmap.inconsistent) warn(`Skipping inconsistent bitmap '${name}'`);
    else await copyBitmap(source, bitmap, target, name);
  }
}

const persistentBitmaps = (node: BlockNode): DirtyBitmap[] =>
  bitmapsOf(node).filter(({ persistent, name }) => persistent && name !== undefined);

async function copyBitmap(source: BlockNode, bitmap: DirtyBitmap, target: BlockNode, name: string): Promise<void> {
  const { granularity, enabled } = bitmap;
  explained(`Failed to create bitmap ${name}`, () => addBitmap(target, name, { granularity, persistent: true, disabled: true }));
  try {
    explained(`Failed to populate bitmap ${name}`, () => mergeBitmap(target, name, source, name));
  } catch (error) {
    await removeBitmap(target, name);
    throw error;
  }
  if (enabled) enableBitmap(target, name);
}

function explained(what: string, work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `${what}: ${error.message}`, { cause: error });
  }
}
