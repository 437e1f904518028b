// Writing guest data. Overwriting the image's own clusters, when their tables are cached and the file answers at once, makes no
// promise. Everything else is planned under the lock (allocation.ts), then written without it: what surrounds the data in new
// clusters is written together with them in one request, or zeroed by the file when it reads as zero; then the L2
// entries are set, under the lock again.
import { errnoOf } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { isZeroFast } from '../chain-status.ts';
import { debugEvent } from '../debug-events.ts';
import { WRITE } from '../driver.ts';
import { abandon, link, needsAllocation, planWrite, UnalignedCluster, type Allocation, type WritePlan } from './allocation.ts';
import type { Qcow2Image } from './image.ts';
import { locked, sliceOffset } from './l2-tables.ts';
import { CorruptMetadata, entryOffset, hex, KIND, kindAt, sliceIndex } from './mapping.ts';
import { OVERLAP } from './overlap.ts';
import { lookUp, read } from './reader.ts';
import { quickWrite } from './quick-write.ts';
import { TaskGroup } from './task-group.ts';

/** Encrypted data are copied; this much at a time. */
const MAX_ENCRYPTED_CLUSTERS = 32;
/** What surrounds so little is read in one request with what is there instead of the data. */
const MAX_READ_OVER = 16384;

export function write(image: Qcow2Image, offset: number, source: Uint8Array): Eventual<void> {
  image.checkUsable();
  const host = image.lock.isReadable ? ownRun(image, offset, source.length) : -1;
  if (host >= 0) return writeOwn(image, host, offset, source);
  if (!image.lock.isFree) return writeInTurn(image, offset, source);
  const quick = quickWrite(image, offset, source);
  return quick === 'slow' ? writeSlowly(image, offset, source) : quick;
}

function writeOwn(image: Qcow2Image, host: number, offset: number, source: Uint8Array): Eventual<void> {
  const held = debugEvent(image.data, 'write_aio');
  const result = held instanceof Promise ? held.then(() => image.data.write(host, source)) : image.data.write(host, source);
  return result instanceof Promise ? tracked(image, result, offset, source.length) : undefined;
}

/** `write` of several buffers, over clusters of the image's own; false, and nothing has happened, elsewhere. */
export function writev(image: Qcow2Image, offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
  image.checkUsable();
  const host = image.lock.isReadable ? ownRun(image, offset, count) : -1;
  if (host < 0) return false;
  const result = image.data.writev(host, sources, count);
  return result instanceof Promise ? tracked(image, result, offset, count) : result;
}

/** While it is in flight, nobody frees its clusters. */
async function tracked(image: Qcow2Image, result: Promise<void>, offset: number, bytes: number): Promise<void> {
  const request = image.inFlight.begin(offset, offset + bytes, false);
  try {
    await result;
  } finally {
    image.inFlight.end(request);
  }
}

/** Host offset when the whole range lies in clusters of the image's own, one behind the other, and can be written at once; else -1. */
function ownRun(image: Qcow2Image, offset: number, bytes: number): number {
  if (image.cipher !== undefined) return -1;
  if (!image.inFlight.isEmpty && image.inFlight.allocationIn(offset, offset + bytes) !== undefined) return -1;
  const { geometry, l2Cache, l1 } = image;
  const { clusterSize, clusterMask, l2EntryBytes } = geometry;
  const l1Index = Math.floor(offset / geometry.l1Coverage);
  if (l1Index >= l1.length || !l1.isCopied(l1Index) || (l1.offsetAt(l1Index) & clusterMask) !== 0) return -1;
  const at = sliceOffset(image, offset);
  const slice = at === 0 ? undefined : l2Cache.peek(at);
  if (slice === undefined) return -1;
  const { view } = slice;
  const within = offset & clusterMask;
  let index = sliceIndex(geometry, l2Cache.sliceBytes, offset);
  const first = entryOffset(view.getUint32(index * l2EntryBytes), view.getUint32(index * l2EntryBytes + 4));
  if ((first & clusterMask) !== 0) return -1;
  let expected = first;
  for (let done = -within; done < bytes; done += clusterSize, index++, expected += clusterSize) {
    const entry = index * l2EntryBytes;
    if (entry >= view.byteLength) return -1;
    const high = view.getUint32(entry), low = view.getUint32(entry + 4);
    if (needsAllocation(image, high, low) || entryOffset(high, low) !== expected) return -1;
    if (!isWritten(image, view, index, Math.max(0, -done), Math.min(clusterSize, bytes - done))) return -1;
  }
  return mayWrite(image, first + within, bytes) ? first + within : -1;
}

/** Every subcluster of entry `index` from byte `from` to `to` has data. */
function isWritten(image: Qcow2Image, view: DataView, index: number, from: number, to: number): boolean {
  const { subclusterSize } = image.geometry;
  for (let subcluster = Math.floor(from / subclusterSize); subcluster * subclusterSize < to; subcluster++) {
    if (kindAt(image, view, index, subcluster) !== KIND.NORMAL) return false;
  }
  return true;
}

/** No metadata lie there, as far as memory tells. */
function mayWrite(image: Qcow2Image, host: number, bytes: number): boolean {
  return image.hasDataFile || image.overlaps.allows(host, bytes);
}

/** After whoever has the lock: the tables may be in memory by then. */
function writeInTurn(image: Qcow2Image, offset: number, source: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    image.lock.enqueue(() => {
      try {
        image.checkUsable();
        const host = ownRun(image, offset, source.length);
        const written = host >= 0 ? writeOwn(image, host, offset, source) : quickWrite(image, offset, source);
        resolve(written === 'slow' ? writeSlowly(image, offset, source) : written);
      } catch (error) {
        reject(error);
      }
    });
  });
}

async function writeSlowly(image: Qcow2Image, offset: number, source: Uint8Array): Promise<void> {
  const tasks = new TaskGroup();
  const step = image.cipher === undefined ? source.length : MAX_ENCRYPTED_CLUSTERS * image.geometry.clusterSize;
  try {
    for (let at = 0; at < source.length && !tasks.failed; ) {
      const part = source.subarray(at, Math.min(source.length, at + step));
      const plan = await makePlan(image, offset + at, part.length);
      await tasks.add(carryOut(image, plan, offset + at, part.subarray(0, plan.count)));
      at += plan.count;
    }
  } finally {
    await tasks.finish();
  }
}

/** A plan, after waiting for whoever allocates the same clusters now. */
export async function makePlan(image: Qcow2Image, offset: number, bytes: number): Promise<WritePlan> {
  for (;;) {
    const plan = await locked(image, () => planChecked(image, offset, bytes));
    if ('allocations' in plan) return plan;
    await image.inFlight.wait(plan);
  }
}

async function planChecked(image: Qcow2Image, offset: number, bytes: number): ReturnType<typeof planWrite> {
  try {
    const plan = await planWrite(image, offset, bytes);
    if (!('allocations' in plan) || image.hasDataFile) return plan;
    try {
      await image.overlaps.guard(OVERLAP.NONE, plan.host, plan.count);
    } catch (error) {
      for (const allocation of plan.allocations) await abandon(image, allocation);
      throw error;
    }
    return plan;
  } catch (error) {
    if (error instanceof UnalignedCluster) {
      const { what, offset: host } = error;
      throw new CorruptMetadata(`${what} cluster offset ${hex(host)} unaligned (guest offset: ${hex(offset)})`);
    }
    throw error;
  }
}

async function carryOut(image: Qcow2Image, plan: WritePlan, offset: number, source: Uint8Array): Promise<void> {
  const { allocations } = plan;
  if (allocations.length === 0) return tracked(image, writeData(image, plan.host, offset, source), offset, source.length);
  try {
    await writeWithCopies(image, plan, offset, source);
  } catch (error) {
    await image.lock.run(async () => {
      for (const allocation of allocations) await abandon(image, allocation);
    });
    throw error;
  }
  await locked(image, () => linkAll(image, allocations));
}

async function linkAll(image: Qcow2Image, allocations: readonly Allocation[]): Promise<void> {
  let done = 0;
  try {
    for (; done < allocations.length; done++) await link(image, allocations[done]!);
  } finally {
    for (const allocation of allocations.slice(done)) await abandon(image, allocation);
  }
}

export async function writeData(image: Qcow2Image, host: number, offset: number, source: Uint8Array): Promise<void> {
  await debugEvent(image.data, 'write_aio');
  await image.data.write(host, image.cipher === undefined ? source : encrypted(image, host, offset, source.slice()));
}

function encrypted(image: Qcow2Image, host: number, offset: number, bytes: Uint8Array): Uint8Array {
  image.cipher!.encrypt(image.cipherByHostOffset ? host : offset, bytes);
  return bytes;
}

/** The data and what surrounds them. Only the first allocation has anything before the data, and only the last one after. */
async function writeWithCopies(image: Qcow2Image, plan: WritePlan, offset: number, source: Uint8Array): Promise<void> {
  const first = plan.allocations[0]!, last = plan.allocations.at(-1)!;
  const start = Math.min(offset, first.cowStart), end = Math.max(offset + source.length, last.cowEnd);
  const before = offset - start, after = end - offset - source.length;
  if (before + after === 0) return writeData(image, plan.host, offset, source);
  const isZero = (await readsAsZero(image, start, offset)) && (await readsAsZero(image, offset + source.length, end));
  if (isZero && image.cipher === undefined && (await zeroAround(image, plan, before, after))) {
    return writeData(image, plan.host, offset, source);
  }
  const bytes = image.buffers.take(end - start);
  try {
    if (isZero) bytes.fill(0);
    else if (source.length <= MAX_READ_OVER) await readAround(image, start, bytes);
    else {
      await readAround(image, start, bytes.subarray(0, before));
      await readAround(image, offset + source.length, bytes.subarray(before + source.length));
    }
    bytes.set(source, before);
    await debugEvent(image.data, 'write_aio');
    await debugEvent(image.data, 'cow_write');
    await image.data.write(plan.host - before, image.cipher === undefined ? bytes : encrypted(image, plan.host - before, start, bytes));
  } finally {
    image.buffers.give(bytes);
  }
}

async function readAround(image: Qcow2Image, offset: number, target: Uint8Array): Promise<void> {
  if (target.length === 0) return;
  await debugEvent(image.file, 'cow_read');
  await read(image, offset, target);
}

/** Only what surrounds the data of a plan, which have no contents yet. */
export async function copyAround(image: Qcow2Image, plan: WritePlan, offset: number): Promise<void> {
  if (plan.allocations.length === 0) return;
  const end = offset + plan.count;
  const start = Math.min(offset, plan.allocations[0]!.cowStart), stop = Math.max(end, plan.allocations.at(-1)!.cowEnd);
  for (const [from, to] of [[start, offset], [end, stop]] as const) {
    if (from === to) continue;
    const bytes = new Uint8Array(to - from);
    await readAround(image, from, bytes);
    await debugEvent(image.data, 'cow_write');
    await writeData(image, plan.host + from - offset, from, bytes);
  }
}

/** Whether guest bytes certainly read as zero, found out without reading them. */
export async function readsAsZero(image: Qcow2Image, start: number, end: number): Promise<boolean> {
  const stop = start > image.size ? end : Math.min(end, image.size); // a machine's state lies behind the disk
  for (let at = start; at < stop; ) {
    const extent = await lookUp(image, at, stop - at);
    switch (extent.kind) {
      case KIND.ZERO:
      case KIND.ZERO_PLACED:
        break;
      case KIND.UNALLOCATED:
      case KIND.UNALLOCATED_PLACED: {
        const below = image.backing()?.node;
        if (below !== undefined && at < below.size && !(await isZeroFast(below, at, extent.count))) return false;
        break;
      }
      default:
        return false;
    }
    at += extent.count;
  }
  return true;
}

/**
 * Makes the host bytes around the data zero in an efficient way; false when there is none. Space past the end of the file is zero
 * when the file grows over it.
 */
async function zeroAround(image: Qcow2Image, plan: WritePlan, before: number, after: number): Promise<boolean> {
  const { data } = image;
  await debugEvent(data, 'cluster_alloc_space');
  if (plan.host - before >= data.size && data.node.instance.hasZeroInit === true) return true;
  if (image.cannotZero) return false;
  try {
    if (before + after >= plan.count) await zeroHost(image, plan.host - before, before + plan.count + after);
    else {
      if (before > 0) await zeroHost(image, plan.host - before, before);
      if (after > 0) await zeroHost(image, plan.host + plan.count, after);
    }
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    if (errno !== 'ENOTSUP' && errno !== 'EAGAIN') throw error;
    image.cannotZero = errno === 'ENOTSUP';
    return false;
  }
}

async function zeroHost(image: Qcow2Image, host: number, bytes: number): Promise<void> {
  if (!image.hasDataFile) {
    const wait = image.overlaps.guard(OVERLAP.NONE, host, bytes);
    if (wait !== undefined) await wait;
  }
  await image.data.writeZeroes(host, bytes, WRITE.NO_FALLBACK);
}

