// Internal snapshots: making, deleting, going back to and showing them. The order of writes is such that a crash leaves at
// most clusters that nobody refers to: counts rise before anything new is referred to, and fall after it no longer is. The
// format of the snapshot table is snapshot-table.ts.
import { ErrnoFailure, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { SnapshotInfo, SnapshotPower } from '../driver.ts';
import { bitmapsOf } from '../node-bitmaps.ts';
import type { BlockNode } from '../node.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { growL1 } from './l1-growth.ts';
import { L1Table } from './l1-table.ts';
import { locked } from './l2-tables.ts';
import { OVERLAP } from './overlap.ts';
import { updateReferences } from './snapshot-refcounts.ts';
import {
  bytesText,
  checkTablePlace,
  encodeSnapshotTable,
  readSnapshotTable,
  REQUIRED_EXTRA_BYTES,
  type StoredSnapshot,
} from './snapshot-table.ts';

/** What the tools of the reference keep of a name. */
const MAX_NAME_BYTES = 255;
const NO_ICOUNT = (1n << 64n) - 1n;

export type NewSnapshot = Parameters<SnapshotPower['create']>[1];

/** Reads the snapshot table when an image is opened; `check` does it for itself, and tells what is wrong. */
export async function readSnapshots(image: Qcow2Image): Promise<void> {
  const { header, geometry, flags } = image;
  if (flags.check) return;
  checkTablePlace(header.snapshotsOffset, header.nbSnapshots, geometry.clusterSize, 'Snapshot table');
  const table = await readSnapshotTable(image.file, header);
  setSnapshots(image, table.snapshots, table.bytes);
}

function setSnapshots(image: Qcow2Image, snapshots: readonly StoredSnapshot[], bytes: number): void {
  image.snapshots = snapshots;
  image.overlaps.snapshotTableBytes = bytes;
}

const snapshotsOf = (image: Qcow2Image): readonly StoredSnapshot[] => image.snapshots as readonly StoredSnapshot[];

/** Writes a new table, makes it the image's, and frees the old one. The image keeps the old list when that fails. */
export async function writeSnapshotTable(image: Qcow2Image, snapshots: readonly StoredSnapshot[]): Promise<void> {
  const { header, refcounts, file, overlaps } = image;
  const bytes = encodeSnapshotTable(snapshots);
  const old = { offset: header.snapshotsOffset, count: header.nbSnapshots, bytes: overlaps.snapshotTableBytes };
  const offset = bytes.length === 0 ? 0 : await refcounts.allocate(bytes.length);
  try {
    if (bytes.length > 0) {
      await stabilise(image); // the table must be counted before anything is in it
      await overlaps.guard(OVERLAP.NONE, offset, bytes.length);
      await file.write(offset, bytes);
    }
    await stabilise(image);
    header.snapshotsOffset = offset;
    header.nbSnapshots = snapshots.length;
    await image.writeHeaderFields('nbSnapshots', 'snapshotsOffset');
    await file.flush();
  } catch (error) {
    header.snapshotsOffset = old.offset;
    header.nbSnapshots = old.count;
    if (bytes.length > 0) await refcounts.free(offset, bytes.length, 'always');
    throw error;
  }
  setSnapshots(image, snapshots, bytes.length);
  if (old.bytes > 0) await refcounts.free(old.offset, old.bytes, 'snapshot');
}

/** Everything written so far is on the medium. */
async function stabilise(image: Qcow2Image): Promise<void> {
  await image.flushCaches();
  await image.flushFiles();
}

export function snapshotInfo(snapshot: StoredSnapshot): SnapshotInfo {
  const { idBytes, nameBytes, vmStateSize, dateSeconds, dateNanoseconds, vmClockNs, diskSize, icount } = snapshot;
  return {
    id: bytesText(idBytes),
    name: bytesText(nameBytes),
    vmStateSize: Number(vmStateSize),
    dateSeconds,
    dateNanoseconds,
    vmClockNs,
    diskSize: Number(diskSize),
    ...(icount === NO_ICOUNT ? {} : { icount }),
  };
}

function findByIdAndName(image: Qcow2Image, id: string | undefined, name: string | undefined): StoredSnapshot | undefined {
  return snapshotsOf(image).find(
    ({ idBytes, nameBytes }) => (id === undefined || bytesText(idBytes) === id) && (name === undefined || bytesText(nameBytes) === name),
  );
}

/** An id comes before any name. */
function findByIdOrName(image: Qcow2Image, idOrName: string): StoredSnapshot | undefined {
  return findByIdAndName(image, idOrName, undefined) ?? findByIdAndName(image, undefined, idOrName);
}

function nextId(image: Qcow2Image): string {
  let highest = 0;
  for (const { idBytes } of snapshotsOf(image)) {
    const digits = /^\s*\+?(\d+)/.exec(bytesText(idBytes))?.[1];
    if (digits !== undefined) highest = Math.max(highest, Math.min(Number(digits), Number.MAX_SAFE_INTEGER - 1));
  }
  return String(highest + 1);
}

function nameBytes(name: string): Uint8Array {
  return new TextEncoder().encode(name).slice(0, MAX_NAME_BYTES);
}

export function createSnapshot(image: Qcow2Image, name: string, info: NewSnapshot): Promise<void> {
  return locked(image, async () => {
    if (image.snapshots.length >= LIMIT.MAX_SNAPSHOTS) throw new ErrnoFailure('EFBIG');
    if (image.hasDataFile) throw new ErrnoFailure('ENOTSUP');
    const { l1 } = image;
    const l1TableOffset = await copyL1(image);
    try {
      if (await updateReferences(image, l1, 1)) await writeActiveL1(image);
      const snapshot: StoredSnapshot = {
        l1Place: BigInt(l1TableOffset),
        l1TableOffset,
        l1Size: l1.length,
        idBytes: new TextEncoder().encode(nextId(image)),
        nameBytes: nameBytes(name),
        dateSeconds: info.dateSeconds,
        dateNanoseconds: info.dateNanoseconds,
        vmClockNs: info.vmClockNs,
        vmStateSize: BigInt(info.vmStateSize),
        diskSize: BigInt(image.size),
        icount: 0n,
        extraDataSize: REQUIRED_EXTRA_BYTES + 8,
        unknownExtra: new Uint8Array(0),
      };
      await writeSnapshotTable(image, [...snapshotsOf(image), snapshot]);
    } catch (error) {
      await image.refcounts.free(l1TableOffset, l1.bytes.length, 'always');
      throw error;
    }
  });
}

/** Where a copy of the active L1 table lies. */
async function copyL1(image: Qcow2Image): Promise<number> {
  const { l1, refcounts, overlaps, file } = image;
  const offset = await refcounts.allocate(Math.max(1, l1.bytes.length));
  try {
    await overlaps.guard(OVERLAP.NONE, offset, l1.bytes.length);
    await file.write(offset, l1.bytes);
  } catch (error) {
    await refcounts.free(offset, l1.bytes.length, 'always');
    throw error;
  }
  return offset;
}

async function writeActiveL1(image: Qcow2Image): Promise<void> {
  await writeL1(image, image.header.l1TableOffset, image.l1, OVERLAP.ACTIVE_L1);
}

async function writeL1(image: Qcow2Image, offset: number, l1: L1Table, ignored: number): Promise<void> {
  await image.overlaps.guard(ignored, offset, l1.bytes.length);
  await image.file.write(offset, l1.bytes);
  await image.file.flush();
}

function checkL1(image: Qcow2Image, { l1TableOffset, l1Size }: StoredSnapshot): void {
  if (l1Size * 8 > LIMIT.MAX_L1_BYTES) throw new ErrnoFailure('EFBIG', 'Snapshot L1 table too large');
  if (l1TableOffset % image.geometry.clusterSize !== 0 || l1TableOffset > Number.MAX_SAFE_INTEGER - l1Size * 8) {
    throw new ErrnoFailure('EINVAL', 'Snapshot L1 table offset invalid');
  }
}

export function removeSnapshot(image: Qcow2Image, id: string | undefined, name: string | undefined): Promise<void> {
  return locked(image, async () => {
    const snapshot = findByIdAndName(image, id, name);
    if (snapshot === undefined) throw new ErrnoFailure('ENOENT', "Can't find the snapshot");
    checkL1(image, snapshot);
    const rest = snapshotsOf(image).filter((other) => other !== snapshot);
    await explained('Failed to remove snapshot from snapshot list', () => writeSnapshotTable(image, rest));
    // From here on a failure leaks clusters, and no more.
    await explained('Failed to free the cluster and L1 table', async () => {
      const l1 = await L1Table.read(image.file, snapshot.l1TableOffset, snapshot.l1Size);
      await updateReferences(image, l1, -1);
    });
    await image.refcounts.free(snapshot.l1TableOffset, snapshot.l1Size * 8, 'snapshot');
    await explained('Failed to update snapshot status in disk', async () => {
      if (await updateReferences(image, image.l1, 0)) await writeActiveL1(image);
    });
  });
}

async function explained(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    throw new ErrnoFailure(errno, `${what}: ${errnoText(errno)}`, { cause: error });
  }
}

/** `resize` brings the image to another size (not under the lock). */
export async function applySnapshot(image: Qcow2Image, idOrName: string, resize: (size: number) => Promise<void>): Promise<void> {
  if (image.hasDataFile) throw new ErrnoFailure('ENOTSUP');
  const snapshot = findByIdOrName(image, idOrName);
  if (snapshot === undefined) throw new ErrnoFailure('ENOENT');
  try {
    checkL1(image, snapshot);
  } catch (error) {
    if (error instanceof Failure) image.host.warn(error.message);
    throw error;
  }
  if (snapshot.diskSize !== BigInt(image.size)) {
    if (snapshot.diskSize > BigInt(Number.MAX_SAFE_INTEGER)) throw new ErrnoFailure('EFBIG');
    await resize(Number(snapshot.diskSize));
  }
  await locked(image, () => switchL1(image, snapshot));
}

async function switchL1(image: Qcow2Image, snapshot: StoredSnapshot): Promise<void> {
  if (snapshot.l1Size > image.l1.length) await growL1(image, snapshot.l1Size, true);
  const read = await L1Table.read(image.file, snapshot.l1TableOffset, snapshot.l1Size);
  const old = image.l1;
  if (await updateReferences(image, read, 1)) await writeL1(image, snapshot.l1TableOffset, read, OVERLAP.INACTIVE_L1);
  // Filled up with zeroes. Nothing in it says "copied" now, so that a crash does not leave clusters that are written in place.
  const next = read.resized(old.length);
  await writeL1(image, image.header.l1TableOffset, next, OVERLAP.ACTIVE_L1);
  let failure: unknown;
  try {
    await updateReferences(image, old, -1);
  } catch (error) {
    failure = error;
  }
  // Whatever became of the counts, the table on the medium is the new one.
  image.l1 = next;
  image.overlaps.reset();
  if (failure !== undefined) throw failure;
  if (await updateReferences(image, image.l1, 0)) await writeActiveL1(image);
}

/** Shows the snapshot through an image that is opened read-only. The size stays the image's. */
export function loadSnapshotTemporarily(image: Qcow2Image, id: string | undefined, name: string | undefined): Promise<void> {
  return locked(image, async () => {
    const snapshot = findByIdAndName(image, id, name);
    if (snapshot === undefined) throw new ErrnoFailure('ENOENT', "Can't find snapshot");
    checkL1(image, snapshot);
    try {
      image.l1 = await L1Table.read(image.file, snapshot.l1TableOffset, snapshot.l1Size);
    } catch (error) {
      throw prefixed('Failed to read l1 table for snapshot', error);
    }
    image.overlaps.reset();
  });
}

/** The snapshots of an open image, as the graph sees them. `resize` is for going back to a snapshot of another size. */
export function snapshotPower(image: Qcow2Image, node: BlockNode, resize: (size: number) => Promise<void>): SnapshotPower {
  const apply = async (idOrName: string): Promise<void> => {
    // Their bits would say nothing about what the disk shows afterwards.
    if (bitmapsOf(node).length > 0) throw new ErrnoFailure('EBUSY', 'Device has active dirty bitmaps');
    await applySnapshot(image, idOrName, resize);
  };
  return {
    list: () => snapshotsOf(image).map(snapshotInfo),
    create: (name, info) => createSnapshot(image, name, info),
    remove: (id, name) => removeSnapshot(image, id, name),
    apply,
    loadTemporarily: (id, name) => loadSnapshotTemporarily(image, id, name),
  };
}
