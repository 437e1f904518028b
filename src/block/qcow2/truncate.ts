// Changing the size of an open image, with preallocation of what is new. The header's size changes last when growing, and after
// the data are given up when shrinking, so that a crash leaves clusters that leak at worst.
import { ErrnoFailure, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { Preallocation, TruncateRequest } from '../driver.ts';
import { abandon, link, type Allocation, type WritePlan } from './allocation.ts';
import { l1EntriesFor, roundDown, roundUp } from './geometry.ts';
import type { Qcow2Image } from './image.ts';
import { locked, sliceCoverage } from './l2-tables.ts';
import { read } from './reader.ts';
import type { InFlight } from './in-flight.ts';
import { clearL1From } from './l1-clear.ts';
import { growL1 } from './l1-growth.ts';
import { lastCluster, shrinkRefcountTable } from './shrink.ts';
import { copyAround, makePlan, write, writeData } from './writer.ts';
import { discardClusters, zeroize } from './zeroing.ts';

const SECTOR = 512;
const MAX_PREALLOCATED_BYTES = 2 ** 31 - 2 ** 21;

/** Runs a step; its failure is told with `message` before the system's words. */
export async function step<T>(message: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new ErrnoFailure(errnoOf(error), `${message}: ${errnoText(errnoOf(error))}`, { cause: error });
  }
}

export async function truncate(image: Qcow2Image, request: TruncateRequest): Promise<void> {
  image.checkUsable();
  const { size } = request;
  if (size % SECTOR !== 0) throw new ErrnoFailure('EINVAL', `The new size must be a multiple of ${SECTOR}`);
  const oldSize = image.size;
  if (image.snapshots.length > 0 && image.header.version < 3) {
    throw new ErrnoFailure('ENOTSUP', "Can't resize a v2 image which has snapshots");
  }
  if (size < oldSize) await locked(image, () => shrink(image, request));
  else await grow(image, request, oldSize);
  if (request.zeroWrite && size > oldSize) await zeroNewPart(image, oldSize, size);
  await locked(image, () => setSize(image, size, request.preallocation));
}

async function setSize(image: Qcow2Image, size: number, preallocation: Preallocation): Promise<void> {
  if (preallocation !== 'off') await step('Failed to flush the preallocated area to disk', () => image.flushCaches());
  const { header } = image;
  const old = header.size;
  header.size = size;
  try {
    await step('Failed to update the image size', async () => {
      await image.writeHeaderFields('size');
      await image.file.flush();
    });
  } catch (error) {
    header.size = old;
    throw error;
  }
  image.size = size;
  image.resizeCaches();
}

// Shrinking -------------------------------------------------------------------------------------------------------------------

async function shrink(image: Qcow2Image, { size, exact, preallocation }: TruncateRequest): Promise<void> {
  const { clusterSize } = image.geometry;
  if (preallocation !== 'off') throw new ErrnoFailure('EINVAL', "Preallocation can't be used for shrinking an image");
  const start = roundUp(size, clusterSize);
  await step('Failed to discard cropped clusters', () => discardClusters(image, start, Math.max(start, image.size), 'always', true));
  await step('Failed to reduce the number of L2 tables', () => clearL1From(image, l1EntriesFor(image.geometry, size)));
  if (image.hasDataFile) await image.data.truncate({ size, exact, preallocation: 'off', zeroWrite: false });
  await step('Failed to discard unused refblocks', () => shrinkRefcountTable(image));
  await dropTail(image);
}

/** The file ends with the last cluster in use. */
async function dropTail(image: Qcow2Image): Promise<void> {
  const { clusterSize } = image.geometry;
  const fileSize = image.file.size;
  const last = await step('Failed to find the last cluster', () => lastCluster(image, fileSize));
  if ((last + 1) * clusterSize >= fileSize) return;
  try {
    await image.l2Cache.flush();
    await image.refcountCache.flush();
    await image.file.truncate({ size: (last + 1) * clusterSize, exact: false, preallocation: 'off', zeroWrite: false });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    image.host.warn(`Failed to truncate the tail of the image: ${error.message}`);
  }
}

// Growing ---------------------------------------------------------------------------------------------------------------------

async function grow(image: Qcow2Image, request: TruncateRequest, oldSize: number): Promise<void> {
  const { size, exact } = request;
  await step('Failed to grow the L1 table', () => locked(image, () => growL1(image, l1EntriesFor(image.geometry, size), true)));
  // A raw data file shows the guest's bytes at their places from the beginning.
  const preallocation = request.preallocation === 'off' && image.isRawDataFile && size > oldSize ? 'metadata' : request.preallocation;
  if (preallocation === 'off') {
    if (image.hasDataFile) await image.data.truncate({ size, exact, preallocation, zeroWrite: false });
  } else if (preallocation === 'metadata' || image.hasDataFile) await preallocate(image, oldSize, size, preallocation);
  else await preallocateArea(image, oldSize, size, preallocation);
}

/** Every cluster from `start` to `end` gets a place, in the order of the guest. */
async function preallocate(image: Qcow2Image, start: number, end: number, preallocation: Preallocation): Promise<void> {
  let hostEnd = 0;
  for (let at = start; at < end; ) {
    const count = Math.min(end - at, MAX_PREALLOCATED_BYTES);
    const plan = await step('Allocating clusters failed', () => makePlan(image, at, count));
    await step('Mapping clusters failed', () => preparePlaces(image, plan, at));
    hostEnd = plan.host + plan.count;
    at += plan.count;
  }
  if (image.data.size >= hostEnd) return;
  const ofFile = preallocation === 'metadata' ? 'off' : preallocation;
  await image.data.truncate({ size: hostEnd, exact: false, preallocation: ofFile, zeroWrite: false });
}

async function preparePlaces(image: Qcow2Image, plan: WritePlan, offset: number): Promise<void> {
  try {
    await copyAround(image, plan, offset);
  } catch (error) {
    await locked(image, async () => {
      for (const allocation of plan.allocations) await abandon(image, allocation);
    });
    throw error;
  }
  await locked(image, () => linkPlaces(image, plan.allocations));
}

/** Places without contents: with subclusters none is allocated. */
async function linkPlaces(image: Qcow2Image, allocations: readonly Allocation[]): Promise<void> {
  let done = 0;
  try {
    for (; done < allocations.length; done++) {
      const allocation = allocations[done]!;
      await link(image, { ...allocation, cowStart: allocation.start, cowEnd: allocation.start });
    }
  } finally {
    for (const allocation of allocations.slice(done)) await abandon(image, allocation);
  }
}

/**
 * One run of host clusters behind everything else, allocated by the file itself; the refcounts that cover it come before it. The
 * last cluster of the old size moves there too, when it is not full.
 */
async function preallocateArea(image: Qcow2Image, oldSize: number, size: number, preallocation: Preallocation): Promise<void> {
  const { clusterSize } = image.geometry;
  const start = roundDown(oldSize, clusterSize);
  const clusters = (roundUp(size, clusterSize) - start) / clusterSize;
  if (clusters === 0 || size === oldSize) return;
  const host = await locked(image, () => makeArea(image, clusters, preallocation));
  const moved = await moveHead(image, start, oldSize, host);
  try {
    await step('Failed to update L2 tables', () => locked(image, () => linkArea(image, start, host, clusters)));
  } finally {
    if (moved !== undefined) image.inFlight.end(moved);
  }
}

async function makeArea(image: Qcow2Image, clusters: number, preallocation: Preallocation): Promise<number> {
  const { geometry, file, refcounts } = image;
  const { clusterSize, l2Entries } = geometry;
  const last = await step('Failed to find the last cluster', () => lastCluster(image, file.size));
  const fileEnd = last >= 0 ? (last + 1) * clusterSize : roundUp(file.size, clusterSize);
  const tables = Math.ceil(clusters / l2Entries);
  const host = await step('Failed to resize refcount structures', () => refcounts.makeArea(fileEnd, clusters + tables, true));
  try {
    await file.truncate({ size: host + clusters * clusterSize, exact: false, preallocation, zeroWrite: false });
  } catch (error) {
    throw prefixed('Failed to resize underlying file', error);
  }
  const taken = await step('Failed to allocate data clusters', () => refcounts.allocateAt(host, clusters));
  if (taken !== clusters) throw new ErrnoFailure('EIO', 'Failed to allocate data clusters: Input/output error');
  return host;
}

/** Copies the used part of the last old cluster to its new place. Nobody writes to it until the returned request ends. */
async function moveHead(image: Qcow2Image, start: number, oldSize: number, host: number): Promise<InFlight | undefined> {
  if (start === oldSize) return undefined;
  const end = start + image.geometry.clusterSize;
  for (;;) {
    const busy = image.inFlight.anyIn(start, end);
    if (busy === undefined) break;
    await image.inFlight.wait(busy);
  }
  const request = image.inFlight.begin(start, end, true);
  try {
    const bytes = new Uint8Array(oldSize - start);
    await read(image, start, bytes);
    await writeData(image, host, start, bytes);
    return request;
  } catch (error) {
    image.inFlight.end(request);
    throw error;
  }
}

async function linkArea(image: Qcow2Image, start: number, host: number, clusters: number): Promise<void> {
  const { clusterSize } = image.geometry;
  const coverage = sliceCoverage(image);
  for (let done = 0; done < clusters; ) {
    const at = start + done * clusterSize;
    const count = Math.min(clusters - done, (roundDown(at, coverage) + coverage - at) / clusterSize);
    const inFlight = image.inFlight.begin(at, at + count * clusterSize, true);
    const place = { start: at, host: host + done * clusterSize, clusters: count, keepsOld: false, inFlight };
    await link(image, { ...place, cowStart: at, cowEnd: at, dataStart: at, dataEnd: at });
    done += count;
  }
}

/** What is new reads as zeroes: zero clusters, and written zeroes in the rest of the last old one. */
async function zeroNewPart(image: Qcow2Image, oldSize: number, size: number): Promise<void> {
  const { subclusterSize } = image.geometry;
  const start = roundUp(oldSize, subclusterSize);
  if (start < size) {
    await step('Failed to zero out new clusters', () =>
      locked(image, async () => {
        const shown = image.size;
        image.size = size;
        try {
          await zeroize(image, start, size, 0);
        } finally {
          image.size = shown;
        }
      }),
    );
  }
  if (start === oldSize) return;
  const head = new Uint8Array(Math.min(start, size) - oldSize);
  await step('Failed to zero out the new area', () => write(image, oldSize, head));
}
