// The drives of a machine and the block graph under them: opened before there is a machine, given to the devices that name
// them, flushed and closed at its end. Requests are machine-drive.ts's; what the options mean is as in QEMU's blockdev.c.
import { Failure } from '../../base/failure.ts';
import { BlockBackend } from '../../block/backend.ts';
import { BlockGraph } from '../../block/graph.ts';
import type { BlockHost } from '../../block/host.ts';
import type { BlockNode } from '../../block/node.ts';
import { OptionDict, type NestedOptions } from '../../block/options.ts';
import { addThrottleGroup, knownThrottleGroup, limitsFromOptions } from '../../block/throttle-group.ts';
import { boardModel } from '../../machine/board-model.ts';
import { inContext } from '../../schema/command-line.ts';
import { waitingFor } from '../../trace/waits.ts';
import type { CompleteMachineOptions } from '../options.ts';
import { DrivePlaces, type PlacedDrive } from './drive-places.ts';
import { MachineDrive } from './machine-drive.ts';

const SNAPSHOT_IN_PLACE_OF_WRITES = { readOnly: true, autoReadOnly: false } as const;

export interface DriveHost {
  readonly block: BlockHost;
  /** A path for a file that goes away with its last use. */
  temporaryPath(): string;
}

export class MachineDrives {
  readonly graph: BlockGraph;
  /** Those of -drive, in the order they were given. */
  readonly placed: PlacedDrive[] = [];
  /** By id, or by node name for those that a device attached to a node. */
  readonly drives = new Map<string, MachineDrive>();
  /** Stops the machine; set when there is one. */
  onStop: () => void = () => {};
  /** A request has not ended at once: the event loop must have its turn for it. */
  onWait: () => void = () => {};
  readonly #host: DriveHost;
  readonly #places: DrivePlaces;
  #closed: Promise<void> | undefined;

  private constructor(host: DriveHost, ideUnits: 1 | 2) {
    this.#host = host;
    this.#places = new DrivePlaces(ideUnits);
    this.graph = new BlockGraph(host.block);
  }

  /** Opens everything, or closes it again and throws. */
  static async open(host: DriveHost, options: CompleteMachineOptions): Promise<MachineDrives> {
    const drives = new MachineDrives(host, boardModel(options.machine.type)?.ideUnits ?? 2);
    try {
      await drives.#openAll(options);
      return drives;
    } catch (error) {
      await drives.close().catch(() => {}); // the first error is the one that tells
      throw error;
    }
  }

  async #openAll({ drives, blockdevs, throttleGroups, snapshot, devices, machine }: CompleteMachineOptions): Promise<void> {
    for (const [id, limits] of Object.entries(throttleGroups)) addThrottleGroup(this.graph, id, OptionDict.fromNested(limits));
    for (const { options, origin } of blockdevs) await inOrigin(origin, () => this.addNode(options));
    for (const drive of drives) {
      await inOrigin(drive.origin, async () => {
        const placed = this.#places.add({ ...drive, snapshot: drive.snapshot ?? snapshot });
        const backend = hasMedium(placed) ? await this.openMedium(placed) : undefined;
        this.placed.push(placed);
        this.#add(placed.id, backend, placed);
      });
    }
    for (const drive of [...devices.map(({ properties }) => properties['drive']), ...(machine.pflash ?? [])]) {
      if (typeof drive === 'string' && !this.drives.has(drive) && this.graph.nodes.has(drive)) await this.#attachNode(drive);
    }
  }

  #add(name: string, backend: BlockBackend | undefined, policy: Partial<PlacedDrive>): void {
    const { onReadError = 'report', onWriteError = 'enospc' } = policy;
    const removable = policy.media === 'cdrom' || policy.interface === 'floppy';
    const calls = { stopMachine: () => this.onStop(), onWait: () => this.onWait() };
    this.drives.set(name, new MachineDrive({ name, removable, backend, onReadError, onWriteError, ...calls }));
  }

  /** A node of blockdev-add: it stays until the end. */
  async addNode(nested: NestedOptions): Promise<void> {
    const options = OptionDict.fromNested(nested);
    if (!options.has('driver')) throw new Failure('invalid-argument', "Parameter 'driver' is missing");
    if (!options.has('node-name')) throw new Failure('invalid-argument', "'node-name' must be specified for the root node");
    this.graph.owned.add(await this.graph.open({ options }));
  }

  async #attachNode(name: string): Promise<void> {
    const node = this.graph.find(name);
    const backend = await BlockBackend.over(this.graph, node, { write: !node.readOnly, exclusive: true, label: name });
    this.#add(name, backend, {});
  }

  /** The image of a drive with everything that its options put over it. */
  async openMedium(drive: PlacedDrive): Promise<BlockBackend> {
    const { readOnly = drive.media === 'cdrom', writethrough = false, id } = drive;
    const base = await this.#openBase(drive, readOnly);
    let node = base;
    try {
      if (drive.snapshot === true) node = await this.#openOverlay(node);
      if (drive.copyOnRead === true) node = await this.#openFilter(node, { driver: 'copy-on-read' });
      if (drive.throttling !== undefined) node = await this.#openThrottle(node, drive);
      return await BlockBackend.over(this.graph, node, { write: !node.readOnly, exclusive: true, writethrough, label: id });
    } catch (error) {
      await this.graph.release(node).catch(() => {});
      throw error;
    }
  }

  async #openBase({ file, format, node = {}, snapshot }: PlacedDrive, readOnly: boolean): Promise<BlockNode> {
    const options = OptionDict.fromNested(node);
    if (format !== undefined) {
      if (options.has('driver')) throw new Failure('invalid-argument', "Cannot specify both 'driver' and 'format'");
      options.set('driver', format);
    }
    const flags = snapshot === true ? SNAPSHOT_IN_PLACE_OF_WRITES : { readOnly, autoReadOnly: true };
    return this.graph.open({ filename: file, options, flags });
  }

  /** A temporary image over `base`, which has no name any more when it is open. */
  async #openOverlay(base: BlockNode): Promise<BlockNode> {
    const path = this.#host.temporaryPath();
    await this.graph.createImage('qcow2', path, new Map([['size', base.size]]));
    try {
      const options = OptionDict.fromNested({ driver: 'qcow2', file: { driver: 'file', filename: path }, backing: base.name });
      return await this.graph.open({ options, flags: { noFlush: true, unmap: true } });
    } finally {
      this.graph.host.files.remove(path);
    }
  }

  #openFilter(node: BlockNode, options: NestedOptions): Promise<BlockNode> {
    const flags = { readOnly: node.readOnly, unmap: node.flags.unmap, noFlush: node.flags.noFlush };
    return this.graph.open({ options: OptionDict.fromNested({ ...options, file: node.name }), flags });
  }

  /** Drives with the same group name share its limits; those of the last one count. */
  #openThrottle(node: BlockNode, { id, throttling }: PlacedDrive): Promise<BlockNode> {
    const { group = id, limits = {} } = throttling ?? {};
    const options = new OptionDict(Object.entries(limits).map(([name, value]) => [`limits.${name}`, value] as const));
    const known = knownThrottleGroup(this.graph, group);
    if (known === undefined) addThrottleGroup(this.graph, group, options);
    else if (options.size > 0) known.limits = limitsFromOptions(options);
    return this.#openFilter(node, { driver: 'throttle', 'throttle-group': group });
  }

  /** The drive that a device wants; `property` is who wants it, for the error. */
  take(id: string, property: string, owner: string): MachineDrive {
    const drive = this.drives.get(id);
    if (drive === undefined) throw new Failure('invalid-argument', `Property '${property}' can't find value '${id}'`);
    if (drive.owner !== undefined) throw new Failure('invalid-argument', `Drive '${id}' is already in use by another device`);
    drive.owner = owner;
    return drive;
  }

  /** Whether the host is at work for the guest. */
  get busy(): boolean {
    for (const { requestsInFlight } of this.drives.values()) if (requestsInFlight > 0) return true;
    return false;
  }

  async idle(): Promise<void> {
    while (this.busy) for (const drive of this.drives.values()) await waitingFor(drive.name, 'end of its requests', drive.idle());
  }

  /** The machine goes on: stopped requests are tried again. */
  retry(): void {
    for (const drive of this.drives.values()) drive.retry();
  }

  /** Everything that was written is on the hosts' media. */
  async flush(): Promise<void> {
    for (const { name, backend } of this.drives.values()) {
      if (backend !== undefined && !backend.node.readOnly) await waitingFor(name, 'flush', backend.flush());
    }
  }

  /** Flushes and closes all images; the first error comes out when all are closed. */
  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  async #closeAll(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = (action: () => Promise<void>): Promise<void> => action().catch((error: unknown) => void failures.push(error));
    for (const { name, backend } of [...this.drives.values()].reverse()) {
      if (backend !== undefined) await attempt(() => waitingFor(name, 'close', backend.close()));
    }
    const nodes = [...this.graph.owned].reverse();
    for (const node of nodes) {
      this.graph.owned.delete(node);
      await attempt(() => this.graph.release(node));
    }
    if (failures.length > 0) throw failures[0];
  }
}

const hasMedium = ({ file, format, node = {} }: PlacedDrive): boolean =>
  (file ?? '') !== '' || format !== undefined || Object.keys(node).some((key) => key === 'driver' || key.startsWith('file'));

/** `inContext` for what takes time. */
async function inOrigin(origin: string | undefined, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (origin === undefined) throw error;
    inContext(origin, () => { throw error; });
  }
}
