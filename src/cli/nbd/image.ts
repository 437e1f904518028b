// The image that nandu-nbd serves: opened as the command line says, with the layers that -s, -o and -l put around it.
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BlockBackend } from '../../block/backend.ts';
import type { OpenFlags } from '../../block/driver.ts';
import { displayFilename } from '../../block/filename.ts';
import { BlockGraph } from '../../block/graph.ts';
import type { BlockNode } from '../../block/node.ts';
import { OptionDict } from '../../block/options.ts';
import { parseImageOptions } from '../image-tools/image-options.ts';
import type { NbdSettings, SnapshotChoice } from './options.ts';

export async function openServedImage(graph: BlockGraph, settings: NbdSettings): Promise<BlockBackend> {
  const { readOnly, cache, unmap = false, detectZeroes, aio } = settings;
  const name = settings.operands[0]!;
  const flags: Partial<OpenFlags> = {
    readOnly, unmap, direct: cache?.direct ?? false, noFlush: cache?.noFlush ?? false, nativeAio: aio === 'native',
  }; // prettier-ignore
  let node: BlockNode;
  try {
    node = await openNode(graph, name, settings, flags);
  } catch (error) {
    throw prefixed(`Failed to blk_new_open '${name}'`, error);
  }
  let top = node;
  try {
    if (settings.offset !== undefined && settings.offset !== 0n) top = await openWindow(graph, node, settings.offset, flags);
    if (settings.loadSnapshot !== undefined) await loadSnapshot(top, settings.loadSnapshot);
    if (detectZeroes === 'unmap' && !unmap) {
      throw new Failure('invalid-argument', 'setting detect-zeroes to unmap is not allowed without setting discard operation to unmap');
    }
    top.detectZeroes = detectZeroes;
  } catch (error) {
    await graph.release(top).catch(() => {});
    if (top !== node) await graph.release(node).catch(() => {});
    throw error;
  }
  return BlockBackend.over(graph, top, { write: !readOnly, writethrough: cache?.writethrough ?? false });
}

function openNode(graph: BlockGraph, name: string, settings: NbdSettings, flags: Partial<OpenFlags>): Promise<BlockNode> {
  const options = settings.imageOpts ? parseImageOptions(name, undefined) : new OptionDict();
  const filename = settings.imageOpts ? undefined : name;
  if (settings.format !== undefined) options.set('driver', settings.format);
  if (settings.snapshot) return openOverlay(graph, filename, options, flags);
  return graph.open({ filename, options, flags });
}

/** A temporary qcow2 overlay; its name is gone as soon as it is open. */
async function openOverlay(
  graph: BlockGraph,
  filename: string | undefined,
  options: OptionDict,
  flags: Partial<OpenFlags>,
): Promise<BlockNode> {
  const below = await graph.open({ filename, options, flags: { ...flags, readOnly: true } });
  const overlay = join(tmpdir(), `vl.${randomBytes(6).toString('hex')}`);
  try {
    await graph.createImage('qcow2', overlay, new Map([['size', below.size]]));
    const layered = new OptionDict([['driver', 'qcow2'], ['backing', below.name]]);
    return await graph.open({ filename: overlay, options: layered, flags: { ...flags, readOnly: false, noFlush: true } });
  } catch (error) {
    await graph.release(below).catch(() => {});
    throw prefixed(`Could not create temporary overlay for '${displayFilename(below)}'`, error);
  } finally {
    rmSync(overlay, { force: true });
  }
}

const OFFSET_COMPLAINT = [
  "Parameter 'offset' expects a non-negative number below 2^64",
  'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-',
  'and exabytes, respectively.',
].join('\n');

async function openWindow(graph: BlockGraph, node: BlockNode, offset: bigint, flags: Partial<OpenFlags>): Promise<BlockNode> {
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new Failure('invalid-argument', OFFSET_COMPLAINT);
  }
  const options = new OptionDict([['driver', 'raw'], ['file', node.name], ['offset', Number(offset)]]);
  return graph.open({ options, flags });
}

async function loadSnapshot(node: BlockNode, { id, name, idOrName }: SnapshotChoice): Promise<void> {
  const { snapshots } = node.instance;
  try {
    if (snapshots === undefined) {
      const format = `Block format '${node.driver.name}' used by device ''`;
      throw new Failure('unsupported', `${format} does not support temporarily loading internal snapshots`);
    }
    if (idOrName === undefined) return await snapshots.loadTemporarily(id, name);
    // A plain argument is an id first, and a name when there is no such id.
    const all = await snapshots.list();
    const isId = all.some((snapshot) => snapshot.id === idOrName);
    await snapshots.loadTemporarily(isId ? idOrName : undefined, isId ? undefined : idOrName);
  } catch (error) {
    throw prefixed('Failed to load snapshot', error);
  }
}
