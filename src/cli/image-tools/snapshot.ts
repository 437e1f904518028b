// nandu-img snapshot: lists, makes, applies and deletes the snapshots inside an image.
import { ErrnoFailure, errnoNumber, errnoOf, errnoText, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import type { SnapshotPower } from '../../block/driver.ts';
import { listSnapshots, snapshotNode } from '../../block/operations/image-info.ts';
import { LONG } from './common-options.ts';
import { snapshotTable } from './image-dump.ts';
import { UsageFailure, type Session } from './session.ts';

const GRAMMAR = { short: ':la:c:d:hqU', long: [LONG.help, LONG.object, LONG.imageOpts, LONG.forceShare] } as const;

interface Action {
  readonly kind: 'l' | 'a' | 'c' | 'd';
  readonly snapshot: string;
}

export async function run(words: readonly string[], session: Session): Promise<number> {
  const operands: string[] = [];
  let action: Action | undefined;
  let imageOptions = false;
  let forceShare = false;
  for (const { name, argument } of session.options<string>('snapshot', words, GRAMMAR, operands)) {
    if (name === 'l' || name === 'a' || name === 'c' || name === 'd') {
      if (action !== undefined) throw new UsageFailure("Cannot mix '-l', '-a', '-c', '-d'");
      action = { kind: name, snapshot: argument ?? '' };
    } else if (name === 'q') session.isQuiet = true;
    else if (name === 'U') forceShare = true;
    else if (name === 'image-opts') imageOptions = true;
  }
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const flags = { readOnly: action?.kind === 'l', unmap: true };
  const backend = await session.open({ filename: operands[0]!, imageOptions, forceShare, flags });
  try {
    if (action !== undefined) await act(session, backend, action);
  } finally {
    await backend.close();
  }
  return 0;
}

async function act(session: Session, backend: BlockBackend, { kind, snapshot }: Action): Promise<void> {
  if (kind === 'l') {
    const snapshots = await listSnapshots(backend.node);
    if (snapshots !== undefined && snapshots.length > 0) session.io.out(`Snapshot list:\n${snapshotTable(snapshots)}`);
    return;
  }
  const power = snapshotNode(backend.node)?.instance.snapshots;
  if (kind === 'c') await create(backend, power, snapshot);
  else if (kind === 'a') await apply(power, snapshot);
  else await remove(power, snapshot);
}

async function create(backend: BlockBackend, power: SnapshotPower | undefined, name: string): Promise<void> {
  const nowMs = backend.graph.host.dateMs();
  const info = {
    vmStateSize: 0,
    dateSeconds: Math.floor(nowMs / 1000),
    dateNanoseconds: Math.round((nowMs % 1000) * 1e6),
    vmClockNs: 0n,
  };
  try {
    if (power === undefined) throw new ErrnoFailure('ENOTSUP');
    await power.create(name, info);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    throw new ErrnoFailure(errno, `Could not create snapshot '${name}': -${errnoNumber(errno)} (${errnoText(errno)})`, { cause: error });
  }
}

async function apply(power: SnapshotPower | undefined, name: string): Promise<void> {
  if (power === undefined) throw new Failure('unsupported', `Could not apply snapshot '${name}': Block driver does not support snapshots`);
  try {
    await power.apply(name);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    const what = errno === 'EBUSY' ? error.message : `Failed to load snapshot: ${errnoText(errno)}`;
    throw new ErrnoFailure(errno, `Could not apply snapshot '${name}': ${what}`, { cause: error });
  }
}

async function remove(power: SnapshotPower | undefined, idOrName: string): Promise<void> {
  const snapshots = (await power?.list()) ?? [];
  const found = snapshots.find(({ id, name }) => id === idOrName || name === idOrName);
  if (power === undefined || found === undefined) {
    throw new Failure('not-found', `Could not delete snapshot '${idOrName}': snapshot not found`);
  }
  try {
    await power.remove(found.id, found.name);
  } catch (error) {
    throw prefixed(`Could not delete snapshot '${idOrName}'`, error);
  }
}
