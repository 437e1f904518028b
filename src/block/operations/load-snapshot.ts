// Reading an image as it was at one of its internal snapshots (`-l` of convert, measure and nbd).
import { errnoOf, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { splitAtCommas } from '../../schema/key-value.ts';
import type { BlockNode } from '../node.ts';

export interface SnapshotChoice {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  /** Either of both, as a plain word gives it. */
  readonly idOrName?: string | undefined;
}

/** `snapshot.id=…,snapshot.name=…`, or an id or name. `report` is told what is wrong before the failure is. */
export function parseSnapshotParameter(text: string, report: (line: string) => void): SnapshotChoice {
  if (!text.startsWith('snapshot.')) return { idOrName: text };
  const values = new Map<string, string>();
  for (const item of splitAtCommas(text)) {
    const equals = item.indexOf('=');
    const name = equals < 0 ? item : item.slice(0, equals);
    if (name !== 'snapshot.id' && name !== 'snapshot.name') {
      report(`Invalid parameter '${name}'`);
      throw new Failure('invalid-argument', `Failed in parsing snapshot param '${text}'`);
    }
    values.set(name, equals < 0 ? 'on' : item.slice(equals + 1));
  }
  return { id: values.get('snapshot.id'), name: values.get('snapshot.name') };
}

export async function loadSnapshot(node: BlockNode, { id, name, idOrName }: SnapshotChoice): Promise<void> {
  const power = node.instance.snapshots;
  try {
    if (power === undefined) {
      throw new Failure(
        'unsupported',
        `Block format '${node.driver.name}' used by device '' does not support temporarily loading internal snapshots`,
      );
    }
    if (idOrName === undefined) return await power.loadTemporarily(id, name);
    try {
      await power.loadTemporarily(idOrName, undefined);
    } catch (error) {
      if (!(error instanceof Failure) || !['ENOENT', 'EINVAL'].includes(errnoOf(error))) throw error;
      await power.loadTemporarily(undefined, idOrName);
    }
  } catch (error) {
    throw prefixed('Failed to load snapshot', error);
  }
}
