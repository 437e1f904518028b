// What a monitor does with drives: shows them, changes media, resizes, and commits an overlay while the guest runs. Texts are
// QEMU's.
import { errnoText, errnoOf } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BlockBackend } from '../../block/backend.ts';
import { isDebugEvent, type Breakpoints } from '../../block/debug-events.ts';
import { displayFilename } from '../../block/filename.ts';
import type { Edge, BlockNode } from '../../block/node.ts';
import { commit } from '../../block/operations/commit.ts';
import type { PlacedDrive } from './drive-places.ts';
import type { MachineDrive } from './machine-drive.ts';
import type { MachineDrives } from './machine-drives.ts';

const fail = (message: string): Failure => new Failure('invalid-argument', message);

export class DriveCommands {
  readonly #drives: MachineDrives;

  constructor(drives: MachineDrives) {
    this.#drives = drives;
  }

  #find(name: string): MachineDrive {
    const drive = this.#drives.drives.get(name);
    if (drive === undefined) throw new Failure('not-found', `Device '${name}' not found`);
    return drive;
  }

  /** The text of `info block`, of one drive or of all. */
  info(name?: string): string {
    const shown = name === undefined || name === '' ? [...this.#drives.drives.values()] : [this.#find(name)];
    return shown.map((drive) => infoText(drive)).join('\n\n');
  }

  /** Takes the medium out. A locked tray is only opened by force; else the guest is asked. */
  async eject(name: string, force: boolean): Promise<void> {
    const drive = this.#find(name);
    await this.#openTray(drive, force);
    await removeMedium(drive);
  }

  async #openTray(drive: MachineDrive, force: boolean): Promise<void> {
    if (!drive.isRemovable) throw fail(`Device '${drive.name}' is not removable`);
    if (drive.locked && !force) {
      drive.onMediumChange?.('eject-requested');
      throw fail(`Device '${drive.name}' is locked and force was not specified, wait for tray to open and try again`);
    }
  }

  /** Puts another image in. */
  async change(name: string, file: string, format?: string, readOnlyMode = 'retain'): Promise<void> {
    const drive = this.#find(name);
    const placed = this.#drives.placed.find(({ id }) => id === name);
    if (!drive.isRemovable || placed === undefined) throw fail(`Device '${name}' is not removable`);
    const modes: Readonly<Record<string, boolean | undefined>> = { 'read-only': true, 'read-write': false };
    if (readOnlyMode !== 'retain' && modes[readOnlyMode] === undefined) throw fail(`invalid parameter value: ${readOnlyMode}`);
    const readOnly = modes[readOnlyMode] ?? placed.readOnly ?? placed.media === 'cdrom';
    const { format: _format, node: _node, ...kept } = placed;
    const next: PlacedDrive = { ...kept, file, readOnly, ...(format !== undefined && { format }) };
    const backend = await this.#drives.openMedium(next);
    try {
      await this.#openTray(drive, false);
    } catch (error) {
      await backend.close();
      throw error;
    }
    await removeMedium(drive);
    drive.replaceMedium(backend);
  }

  async resize(name: string, bytes: number): Promise<void> {
    const { backend } = this.#find(name);
    if (backend === undefined) throw fail(`Device '${name}' has no medium`);
    backend.setPermissions({ write: true, resize: true, exclusive: true });
    try {
      await backend.resize(bytes);
    } finally {
      backend.setPermissions({ write: true, exclusive: true });
    }
    this.#find(name).onResize?.();
  }

  /** A command of qemu-io for blkdebug's breakpoints: the others are nandu-io's. */
  breakpoint(name: string, command: string): void {
    const [action = '', first = '', second = '', ...more] = command.split(/\s+/);
    const breakpoints = breakpointsOf(this.#find(name));
    if (breakpoints === undefined) throw fail(`Device '${name}' has no breakpoints: there is no blkdebug in it`);
    if (action === 'break' && isDebugEvent(first) && second !== '' && more.length === 0) breakpoints.add(first, second);
    else if ((action === 'resume' || action === 'remove_break') && first !== '' && second === '') {
      if (!(action === 'resume' ? breakpoints.resume(first) : breakpoints.remove(first))) throw fail(`there is no request '${first}'`);
    } else throw fail(`"${command}" is none of "break EVENT TAG", "resume TAG" and "remove_break TAG"`);
  }

  /** Writes what the top image of a drive has into the one below, and empties it. `all`: of every drive that has one below. */
  async commit(name: string): Promise<void> {
    const chosen = name === 'all' ? [...this.#drives.drives.values()] : [this.#find(name)];
    for (const drive of chosen) {
      const layers = layersOf(drive);
      if (layers === undefined && name === 'all') continue;
      try {
        if (layers === undefined) throw new Failure('unsupported', errnoText('ENOTSUP'));
        await commitLayer(drive.backend!, layers);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        throw new Failure(error.kind, `'commit' error for '${drive.name}': ${errnoText(errnoOf(error))}`, { cause: error });
      }
    }
  }
}

/** Those of the nearest node that has some. */
function breakpointsOf({ backend }: MachineDrive): Breakpoints | undefined {
  for (let node = backend?.node; node !== undefined; node = node.primary?.node) {
    if (node.instance.breakpoints !== undefined) return node.instance.breakpoints;
  }
  return undefined;
}

async function removeMedium(drive: MachineDrive): Promise<void> {
  const { backend } = drive;
  if (backend === undefined) return;
  drive.replaceMedium(undefined);
  await backend.close();
}

interface Layers {
  readonly top: BlockNode;
  readonly edge: Edge;
}

/** The topmost image of a drive and its edge to the one below; undefined when there is none. */
function layersOf({ backend }: MachineDrive): Layers | undefined {
  let top = backend?.node;
  while (top?.filtered !== undefined) top = top.filtered.node;
  return top?.backing === undefined ? undefined : { top, edge: top.backing };
}

/** The guest's requests wait meanwhile. The image below is opened for writing and then again as it was. */
async function commitLayer(backend: BlockBackend, { top, edge }: Layers): Promise<void> {
  const { graph } = backend;
  const { node: below, role, name } = edge;
  const { filename, options, flags } = below;
  await backend.drainedBegin();
  try {
    graph.detach(edge);
    await graph.release(below);
    const reopen = async (readOnly: boolean): Promise<BlockNode> =>
      graph.open({ filename: filename === '' ? undefined : filename, options: options.copy(), flags: { ...flags, readOnly } });
    try {
      const base = await BlockBackend.over(graph, await reopen(false), { write: true, resize: true });
      try {
        await commit({ top, base });
        await top.instance.makeEmpty?.();
      } finally {
        await base.close();
      }
    } finally {
      graph.attachChild(top, name, role, await reopen(flags.readOnly));
    }
  } finally {
    backend.drainedEnd();
  }
}

function infoText(drive: MachineDrive): string {
  const { backend, name } = drive;
  const lines = [backend === undefined ? `${name}: [not inserted]` : `${name} (${backend.node.name}): ${imageText(backend.node)}`];
  if (drive.owner !== undefined) lines.push(`Attached to:      ${drive.owner}`);
  if (drive.isRemovable) lines.push(`Removable device: ${drive.locked ? '' : 'not '}locked, tray ${drive.trayOpen ? 'open' : 'closed'}`);
  if (backend !== undefined) {
    const { direct, noFlush } = backend.node.flags;
    const basic = backend.writethrough ? 'writethrough' : 'writeback';
    lines.push(`Cache mode:       ${basic}${direct ? ', direct' : ''}${noFlush ? ', ignore flushes' : ''}`);
    const { detectZeroes } = backend.node;
    if (detectZeroes !== 'off') lines.push(`Detect zeroes:    ${detectZeroes}`);
    const backing = chainOf(backend.node);
    if (backing !== undefined) lines.push(`Backing file:     ${backing.name} (chain depth: ${backing.depth})`);
  }
  return lines.join('\n    ');
}

const imageText = (node: BlockNode): string => `${displayFilename(node)} (${node.driver.name}${node.readOnly ? ', read-only' : ''})`;

function chainOf(node: BlockNode): { readonly name: string; readonly depth: number } | undefined {
  let depth = 0;
  let first: BlockNode | undefined;
  for (let at = node.backing ?? node.filtered; at !== undefined; at = at.node.backing ?? at.node.filtered) {
    if (at.role.filtered === true) continue;
    first ??= at.node;
    depth++;
  }
  return first === undefined ? undefined : { name: displayFilename(first), depth };
}
