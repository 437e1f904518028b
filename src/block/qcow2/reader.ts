// Reading guest data: allocated clusters from the file, zeroes, the backing image, compressed and encrypted clusters. A read
// whose tables are cached and whose file answers at once makes no promise.
import type { Eventual } from '../../base/eventual.ts';
import { debugEvent, type DebugEvent } from '../debug-events.ts';
import { readCompressed } from './compressed.ts';
import type { Qcow2Image } from './image.ts';
import { locked, readSlice, sliceCoverage, sliceOffset } from './l2-tables.ts';
import { CorruptMetadata, extentAt, KIND, sliceIndex, type Extent } from './mapping.ts';
import type { Edge } from '../node.ts';
import { TaskGroup } from './task-group.ts';

/** Fills `target` from guest `offset`; all of it lies within the image. */
export function read(image: Qcow2Image, offset: number, target: Uint8Array): Eventual<void> {
  image.checkUsable();
  if (!image.lock.isReadable || image.cipher !== undefined) return readSlowly(image, offset, target, 0);
  let at = 0;
  while (at < target.length) {
    const extent = cachedExtent(image, offset + at, target.length - at);
    if (extent === undefined || extent.kind === KIND.COMPRESSED) return readSlowly(image, offset, target, at);
    const part = extent.count === target.length ? target : target.subarray(at, at + extent.count);
    const result = readExtent(image, extent, offset + at, part);
    at += extent.count;
    if (result !== undefined) return at === target.length ? result : restAfter(image, result, offset, target, at);
  }
}

/** `read` into several buffers, where one extent has all of it; false, and nothing has happened, elsewhere. */
export function readv(image: Qcow2Image, offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
  image.checkUsable();
  if (!image.lock.isReadable || image.cipher !== undefined) return false;
  const extent = cachedExtent(image, offset, count);
  if (extent === undefined || extent.count < count || extent.kind === KIND.COMPRESSED) return false;
  if (extent.kind === KIND.NORMAL) return image.data.readv(extent.hostOffset, targets, count);
  const isBacked = extent.kind === KIND.UNALLOCATED || extent.kind === KIND.UNALLOCATED_PLACED;
  const below = isBacked ? image.backing() : undefined;
  if (below !== undefined) return below.readv(offset, targets, count);
  for (const target of targets) target.fill(0);
}

/** The extent at `offset` when its slice is cached (or there is none); undefined otherwise. */
export function cachedExtent(image: Qcow2Image, offset: number, bytes: number): Extent | undefined {
  const { geometry, l2Cache } = image;
  try {
    const at = sliceOffset(image, offset);
    if (at === 0) return unmapped(image, offset, bytes);
    const slice = l2Cache.peek(at);
    if (slice === undefined) return undefined;
    return extentAt(image, slice.view, sliceIndex(geometry, l2Cache.sliceBytes, offset), offset, bytes);
  } catch (error) {
    if (error instanceof CorruptMetadata) return undefined; // reported on the slow way
    throw error;
  }
}

/** No table: unallocated as far as the table would go. */
function unmapped(image: Qcow2Image, offset: number, bytes: number): Extent {
  const { l1Coverage } = image.geometry;
  const end = (Math.floor(offset / l1Coverage) + 1) * l1Coverage;
  return { kind: KIND.UNALLOCATED, hostOffset: 0, count: Math.min(bytes, end - offset), high: 0, low: 0 };
}

/** The extent at `offset`, with its slice read when needed. */
export async function lookUp(image: Qcow2Image, offset: number, bytes: number): Promise<Extent> {
  if (image.lock.isReadable) {
    const cached = cachedExtent(image, offset, bytes);
    if (cached !== undefined) return cached;
  }
  return locked(image, () => lookUpLocked(image, offset, bytes), false);
}

export async function lookUpLocked(image: Qcow2Image, offset: number, bytes: number): Promise<Extent> {
  const slice = await readSlice(image, offset);
  if (slice === undefined) return unmapped(image, offset, Math.min(bytes, sliceCoverage(image)));
  return extentAt(image, slice.view, sliceIndex(image.geometry, image.l2Cache.sliceBytes, offset), offset, bytes);
}

async function restAfter(image: Qcow2Image, first: Promise<void>, offset: number, target: Uint8Array, done: number): Promise<void> {
  const tasks = new TaskGroup();
  await tasks.add(first);
  await readParts(image, offset, target, done, tasks);
}

async function readSlowly(image: Qcow2Image, offset: number, target: Uint8Array, done: number): Promise<void> {
  await readParts(image, offset, target, done, new TaskGroup());
}

async function readParts(image: Qcow2Image, offset: number, target: Uint8Array, done: number, tasks: TaskGroup): Promise<void> {
  try {
    for (let at = done; at < target.length && !tasks.failed; ) {
      const extent = await lookUp(image, offset + at, target.length - at);
      await tasks.add(readExtent(image, extent, offset + at, target.subarray(at, at + extent.count)));
      at += extent.count;
    }
  } finally {
    await tasks.finish();
  }
}

function readExtent(image: Qcow2Image, extent: Extent, offset: number, target: Uint8Array): Promise<void> | undefined {
  switch (extent.kind) {
    case KIND.ZERO:
    case KIND.ZERO_PLACED:
      target.fill(0);
      return undefined;
    case KIND.NORMAL:
      if (image.cipher !== undefined) return readEncrypted(image, extent, offset, target);
      return readFrom(image, 'read_aio', image.data, extent.hostOffset, target);
    case KIND.COMPRESSED:
      return readCompressed(image, extent, offset & image.geometry.clusterMask, target);
    default: {
      const backing = image.backing();
      if (backing !== undefined) return readFrom(image, 'read_backing_aio', backing, offset, target); // zeroes beyond its end
      target.fill(0);
      return undefined;
    }
  }
}

function readFrom(image: Qcow2Image, event: DebugEvent, from: Edge, offset: number, target: Uint8Array): Promise<void> | undefined {
  const held = debugEvent(image.file, event);
  return held instanceof Promise ? held.then(() => from.read(offset, target)) : promised(from.read(offset, target));
}

const promised = (result: Eventual<void>): Promise<void> | undefined => (result instanceof Promise ? result : undefined);

async function readEncrypted(image: Qcow2Image, { hostOffset }: Extent, offset: number, target: Uint8Array): Promise<void> {
  await debugEvent(image.file, 'read_aio');
  await image.data.read(hostOffset, target);
  image.cipher!.decrypt(image.cipherByHostOffset ? hostOffset : offset, target);
}
