// `check` of a qcow2 image: the snapshot table, the references and refcounts, the COPIED flags; and what of it can be
// repaired, in the order in which one rests on the other. The caller holds the image's lock and has no request in flight.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { CheckRequest, CheckResult } from '../driver.ts';
import { CopiedFlagCheck, RefcountComparison } from './check-refcounts.ts';
import { ReferenceWalk, type CheckSubject } from './check-references.ts';
import { LIMIT } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { OVERLAP } from './overlap.ts';
import { rebuildRefcounts } from './rebuild.ts';
import {
  checkTablePlace,
  readSnapshotTable,
  REQUIRED_EXTRA_BYTES,
  SnapshotTableFailure,
  type SnapshotTable,
  type TableRepair,
} from './snapshot-table.ts';
import { writeSnapshotTable } from './snapshots.ts';

function newResult(): CheckResult {
  return { corruptions: 0, leaks: 0, checkErrors: 0, corruptionsFixed: 0, leaksFixed: 0, imageEndOffset: 0 };
}

/** Findings of the snapshot table, kept apart: they are repaired last, when there are refcounts to rely on. */
function addFindings(result: CheckResult, found: CheckResult): void {
  result.corruptions += found.corruptions;
  result.checkErrors += found.checkErrors;
  result.corruptionsFixed += found.corruptionsFixed;
}

/** Checks (and repairs) an open image. An ErrnoFailure when the check could not be finished. */
export async function checkImage(image: Qcow2Image, request: CheckRequest): Promise<CheckResult> {
  await image.flushCaches();
  await image.l2Cache.empty();
  const result = newResult();
  const snapshotFindings = newResult();
  const table = await checkSnapshotTable(image, request, snapshotFindings);
  await checkReferences(image, table, request, result);
  await repairSnapshotTable(image, table, request, snapshotFindings);
  addFindings(result, snapshotFindings);
  if ((request.fixErrors || request.fixLeaks) && result.checkErrors === 0 && result.corruptions === 0) {
    await image.markClean();
    await image.markConsistent();
  }
  await image.l2Cache.empty();
  image.overlaps.reset();
  return result;
}

/** A message of the program, as distinct from a line of the report. */
function complain(request: CheckRequest, message: string, hint?: string): void {
  if (request.complain !== undefined) request.complain(message);
  else request.report(message, 'stderr');
  if (hint !== undefined) request.report(hint, 'stderr');
}

async function checkSnapshotTable(image: Qcow2Image, request: CheckRequest, found: CheckResult): Promise<SnapshotTable> {
  const { header, file, geometry } = image;
  const fix = request.fixErrors;
  const overhanging = header.nbSnapshots - LIMIT.MAX_SNAPSHOTS;
  if (overhanging > 0 && fix) {
    request.report(`Discarding ${overhanging} overhanging snapshots`, 'stderr');
    found.corruptions += overhanging;
    header.nbSnapshots = LIMIT.MAX_SNAPSHOTS;
  }
  const repair: TableRepair = { entriesDropped: 0, extraDataDropped: 0, report: (line) => request.report(line, 'stderr') };
  let table: SnapshotTable;
  try {
    checkTablePlace(header.snapshotsOffset, header.nbSnapshots, geometry.clusterSize, 'ERROR snapshot table');
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const hint = overhanging > 0 ? `You can force-remove all ${overhanging} overhanging snapshots with qemu-img check -r all` : undefined;
    complain(request, error.message, hint);
    throw new ErrnoFailure(errnoOf(error));
  }
  try {
    table = await readSnapshotTable(file, header, fix ? repair : undefined);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    complain(
      request,
      `ERROR failed to read the snapshot table: ${error.message}`,
      error instanceof SnapshotTableFailure ? error.hint : undefined,
    );
    throw new ErrnoFailure(errnoOf(error));
  }
  found.corruptions += repair.entriesDropped + repair.extraDataDropped;
  if (overhanging > 0 || repair.entriesDropped > 0)
    await dropOverhanging(image, table, found, Math.max(0, overhanging) + repair.entriesDropped);
  // Version 2 asks for no extra data.
  if (header.version >= 3) reportIncomplete(table, request, found);
  return table;
}

/** Entries that are out of bounds go at once: the rest of the check rests on the number of snapshots. */
async function dropOverhanging(image: Qcow2Image, table: SnapshotTable, found: CheckResult, dropped: number): Promise<void> {
  image.header.nbSnapshots = table.snapshots.length;
  await image.writeHeaderFields('nbSnapshots');
  await image.file.flush();
  found.corruptions -= dropped;
  found.corruptionsFixed += dropped;
}

function reportIncomplete(table: SnapshotTable, request: CheckRequest, found: CheckResult): void {
  table.snapshots.forEach(({ extraDataSize }, index) => {
    if (extraDataSize >= REQUIRED_EXTRA_BYTES) return;
    found.corruptions++;
    request.report(`${request.fixErrors ? 'Repairing' : 'ERROR'} snapshot table entry ${index} is incomplete`, 'stderr');
  });
}

async function repairSnapshotTable(image: Qcow2Image, table: SnapshotTable, request: CheckRequest, found: CheckResult): Promise<void> {
  if (found.corruptions === 0 || !request.fixErrors) return;
  try {
    await writeSnapshotTable(image, table.snapshots);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    found.checkErrors++;
    request.report(`ERROR failed to update snapshot table: ${errnoText(errnoOf(error))}`, 'stderr');
    throw new ErrnoFailure(errnoOf(error));
  }
  found.corruptionsFixed += found.corruptions;
  found.corruptions = 0;
}

async function checkReferences(image: Qcow2Image, snapshots: SnapshotTable, request: CheckRequest, result: CheckResult): Promise<void> {
  image.snapshots = snapshots.snapshots;
  image.overlaps.snapshotTableBytes = snapshots.bytes;
  const subject: CheckSubject = {
    file: image.file,
    header: image.header,
    snapshots,
    guardL2: (isActive, offset, bytes) => image.overlaps.guard(isActive ? OVERLAP.ACTIVE_L2 : OVERLAP.INACTIVE_L2, offset, bytes),
  };
  const walk = new ReferenceWalk(subject, request, result, request.fixErrors);
  await walk.run();
  result.fragmentation = walk.fragments;
  const counted = { ...result };
  const compare = (fix: { leaks: boolean; errors: boolean }) => new RefcountComparison(image, walk.counts, request, result, fix).run();
  let { highestCluster, mustRebuild } = await compare({ leaks: false, errors: false });
  mustRebuild ||= walk.mustRebuild;
  if (mustRebuild && request.fixErrors) highestCluster = await rebuild(image, walk, request, result);
  else if (request.fixLeaks || request.fixErrors) {
    if (mustRebuild) {
      request.report('ERROR need to rebuild refcount structures', 'stderr');
      throw new ErrnoFailure('EIO');
    }
    if (result.leaks > 0 || result.corruptions > 0) {
      Object.assign(result, counted);
      ({ highestCluster } = await compare({ leaks: request.fixLeaks, errors: request.fixErrors }));
    }
  }
  // Without permission to mend errors, the flags are mended only where nothing else is wrong that they may rest on.
  const isSound = result.checkErrors === 0 && result.corruptions === 0 && result.leaks === 0;
  const repairFlags = request.fixErrors || (request.fixLeaks && isSound);
  await new CopiedFlagCheck(image, request, result, repairFlags).run();
  result.imageEndOffset = (highestCluster + 1) * image.geometry.clusterSize;
}

async function rebuild(image: Qcow2Image, walk: ReferenceWalk, request: CheckRequest, result: CheckResult): Promise<number> {
  const before = { ...result };
  request.report('Rebuilding refcount structure', 'stderr');
  try {
    await rebuildRefcounts(image, walk.counts);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    complain(request, error.message);
    throw new ErrnoFailure(errnoOf(error));
  }
  result.corruptions = 0;
  result.leaks = 0;
  const again = new ReferenceWalk(walk.subject, request, result, false);
  await again.run();
  const compared = newResult();
  const outcome = await new RefcountComparison(image, again.counts, request, compared, { leaks: request.fixLeaks, errors: false }).run();
  if (outcome.mustRebuild) request.report('ERROR rebuilt refcount structure is still broken', 'stderr');
  if (result.corruptions < before.corruptions) result.corruptionsFixed += before.corruptions - result.corruptions;
  if (result.leaks < before.leaks) result.leaksFixed += before.leaks - result.leaks;
  return outcome.highestCluster;
}
