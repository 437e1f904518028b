// The block graph: opens nodes from options, joins them by edges, keeps every edge's permissions compatible with the others',
// and closes what nobody uses any more. Requests go through the nodes themselves (node.ts).
import { assert } from '../base/assert.ts';
import { prefixed } from '../base/errno.ts';
import { Failure } from '../base/failure.ts';
import { BlockBackend } from './backend.ts';
import type { BlockDriver, CreateContext, CreateValues, OpenContext, OpenFlags } from './driver.ts';
import { hasDriver, loadDriver, PROBE_BYTES, probeFormat, protocolOf } from './drivers.ts';
import { displayFilename, fullBackingNameOf } from './filename.ts';
import type { BlockHost } from './host.ts';
import { BlockNode, Edge, SECTOR, type EdgeParent } from './node.ts';
import { childFlags, DEFAULT_FLAGS, takeCommonOptions } from './open-flags.ts';
import { OptionDict, parseJsonFilename, type OptionValue } from './options.ts';
import { updatePermissions } from './permission-update.ts';
import { defaultChildPermissions, ROLE, type ChildRole, type Permissions } from './permissions.ts';

export interface OpenRequest {
  readonly filename?: string | undefined;
  readonly options?: OptionDict | undefined;
  readonly flags?: Partial<OpenFlags> | undefined;
}

/** Where a node is opened for. */
interface Placement {
  /** A protocol without a format over it: nothing is probed. */
  readonly protocolLevel: boolean;
}

const MAX_DEPTH = 200;
const NODE_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,30}$/;

export class BlockGraph {
  readonly host: BlockHost;
  readonly nodes = new Map<string, BlockNode>();
  /** Nodes that the user made and that stay without a parent (blockdev-add). */
  readonly owned = new Set<BlockNode>();
  #nextName = 100;
  #depth = 0;

  constructor(host: BlockHost) {
    this.host = host;
  }

  /** Opens a node with its whole subtree. Whoever calls attaches a backend, or releases it again with `release`. */
  async open({ filename, options, flags }: OpenRequest, placement: Placement = { protocolLevel: false }): Promise<BlockNode> {
    if (this.#depth >= MAX_DEPTH) throw new Failure('limit', 'Too many nodes below each other (a backing file that refers to itself?)');
    this.#depth++;
    try {
      return await this.#open(filename, options?.copy() ?? new OptionDict(), { ...DEFAULT_FLAGS, ...flags }, placement);
    } finally {
      this.#depth--;
    }
  }

  find(name: string): BlockNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Failure('not-found', `Cannot find device='${name}' nor node-name='${name}'`);
    return node;
  }

  async #open(filename: string | undefined, options: OptionDict, flags: OpenFlags, placement: Placement): Promise<BlockNode> {
    const name = this.#takeJson(filename, options);
    if (name !== undefined && placement.protocolLevel) await this.#fillProtocolOptions(name, options);
    const driverName = options.takeText('driver');
    if (driverName !== undefined && !hasDriver(driverName)) throw new Failure('invalid-argument', `Unknown driver '${driverName}'`);
    if (placement.protocolLevel && driverName === undefined) {
      throw new Failure('invalid-argument', 'Must specify either driver or file');
    }
    const driver = driverName === undefined ? undefined : await loadDriver(driverName);
    if (driver === undefined || (driver.kind !== 'protocol' && name !== undefined)) {
      return this.#openOverFile(name, options, flags, driver);
    }
    // The name of a protocol that was asked for as a format (`-f file`) is that protocol's.
    if (name !== undefined && !placement.protocolLevel) await this.#fillProtocolOptions(name, options, driver.name);
    options.take('driver');
    return this.#openDriver(driver, name, options, flags, undefined);
  }

  /** Merges the options of a json:{…} name; returns the name when it is a plain one. */
  #takeJson(filename: string | undefined, options: OptionDict): string | undefined {
    if (filename === undefined || !filename.startsWith('json:')) return filename;
    for (const [key, value] of parseJsonFilename(filename).entries()) options.setDefault(key, value);
    return undefined;
  }

  async #fillProtocolOptions(filename: string, options: OptionDict, wanted?: string): Promise<void> {
    const driverName = wanted ?? options.get('driver') ?? protocolOf(filename, (path) => this.host.files.kind(path));
    options.setDefault('driver', driverName);
    const driver = await loadDriver(String(driverName));
    if (driver.parseFilename !== undefined) driver.parseFilename(filename, options);
    else options.setDefault('filename', filename);
  }

  /** A format (or a filter by name) whose file is given by `filename` or the options `file…`; the format is probed when unknown. */
  async #openOverFile(
    filename: string | undefined,
    options: OptionDict,
    flags: OpenFlags,
    wanted: BlockDriver | undefined,
  ): Promise<BlockNode> {
    const hasFile = filename !== undefined || options.has('file') || options.hasUnder('file');
    if (!hasFile && wanted === undefined) throw new Failure('invalid-argument', 'Must specify either driver or file');
    if (wanted !== undefined && !hasFile) return this.#openDriver(wanted, filename, options, flags, undefined);
    if (filename !== undefined && (options.has('file') || options.hasUnder('file'))) {
      if (options.has('file')) throw new Failure('invalid-argument', 'Cannot reference an existing block device while giving a filename');
    }
    const common = takeCommonOptions(options.copy(), flags);
    const parentIsFormat = wanted === undefined || wanted.kind === 'format';
    const file = await this.#openChildNode('file', ROLE.IMAGE, common.flags, options, { filename, format: !parentIsFormat });
    assert(file !== undefined, 'a file was given');
    try {
      const driver = wanted ?? (await this.#probe(file, filename));
      const probed = { ...flags, probed: wanted === undefined && driver.name === 'raw' };
      return await this.#openDriver(driver, filename, options, probed, file);
    } catch (error) {
      await this.release(file);
      throw error;
    }
  }

  async #probe(file: BlockNode, filename: string | undefined): Promise<BlockDriver> {
    const head = new Uint8Array(Math.min(PROBE_BYTES, Math.max(file.size, SECTOR)));
    try {
      await file.read(0, head);
    } catch (error) {
      throw prefixed('Could not read image for determining its format', error);
    }
    return loadDriver(file.size === 0 ? 'raw' : probeFormat(head, filename ?? displayFilename(file)));
  }

  async #openDriver(
    driver: BlockDriver,
    filename: string | undefined,
    options: OptionDict,
    flags: OpenFlags,
    file: BlockNode | undefined,
  ): Promise<BlockNode> {
    const given = options.copy();
    const common = takeCommonOptions(options, flags);
    const node = new BlockNode({ name: this.#nodeName(common.nodeName), driver, options: given }, common.flags);
    node.filename = filename ?? '';
    node.detectZeroes = common.detectZeroes;
    this.nodes.set(node.name, node);
    try {
      const backing = driver.kind === 'format' ? takeBackingOptions(options, common.flags) : undefined;
      node.attach(await driver.open(this.#context(node, options, file)));
      refuseLeftOver(driver, options, filename);
      await this.#openBacking(node, backing ?? NO_CHILD_OPTIONS);
      updatePermissions([node]);
      return node;
    } catch (error) {
      await this.#discardNode(node, file);
      throw error;
    }
  }

  #nodeName(given: string | undefined): string {
    if (given === undefined) return `#block${this.#nextName++}`;
    if (!NODE_NAME.test(given)) throw new Failure('invalid-argument', `Invalid node-name: '${given}'`);
    if (this.nodes.has(given)) throw new Failure('invalid-argument', "Duplicate nodes with node-name='" + given + "'");
    return given;
  }

  #context(node: BlockNode, options: OptionDict, file: BlockNode | undefined): OpenContext {
    let opened = file;
    return {
      node,
      graph: this,
      host: this.host,
      flags: node.flags,
      options,
      openChild: async (name, role, how = {}) => {
        if (name === 'file' && opened !== undefined) {
          const edge = this.#join(node, name, role, opened);
          opened = undefined;
          return edge;
        }
        const child = await this.#openChildNode(name, role, node.flags, options, how);
        if (child !== undefined) return this.#join(node, name, role, child);
        if (how.optional) return undefined;
        throw new Failure('invalid-argument', `A block device must be specified for "${name}"`);
      },
    };
  }

  /** The node that the options `name` (a reference) or `name.*` say, or `filename`; undefined when there is neither. */
  async #openChildNode(
    name: string,
    role: ChildRole,
    parent: OpenFlags,
    options: OptionDict,
    how: { readonly filename?: string | undefined; readonly format?: boolean },
  ): Promise<BlockNode | undefined> {
    const { reference, inner } = takeChildOptions(options, name);
    if (typeof reference === 'string') {
      if (inner.size > 0) {
        throw new Failure('invalid-argument', 'Cannot reference an existing block device with additional options or a new filename');
      }
      return this.find(reference);
    }
    if (inner.size === 0 && how.filename === undefined) return undefined;
    const protocolLevel = how.format !== true;
    if (protocolLevel && how.filename === undefined && !inner.has('driver') && inner.has('filename')) {
      const filename = inner.takeText('filename')!;
      return this.open({ filename, options: inner, flags: childFlags(parent, role) }, { protocolLevel });
    }
    return this.open({ filename: how.filename, options: inner, flags: childFlags(parent, role) }, { protocolLevel });
  }

  /** The backing image that the options or the image itself name. */
  async #openBacking(node: BlockNode, { reference, inner }: ChildOptions): Promise<void> {
    const named = node.instance.backingFile;
    if (reference === null) {
      node.backingOverridden = named !== undefined && !node.flags.noIo;
      return;
    }
    if (node.flags.noBacking) return;
    const isReference = typeof reference === 'string';
    if (!isReference && inner.size === 0 && named === undefined) return;
    if (!node.instance.supportsBacking) throw new Failure('unsupported', "Driver doesn't support backing files");
    const filename = named === undefined || isReference || namesImage(inner) ? undefined : fullBackingNameOf(node, named.name);
    try {
      const backing = isReference ? this.find(reference) : await this.#openBackingNode(node, inner, filename);
      this.#join(node, 'backing', ROLE.BACKING, backing);
      node.backingOverridden = isReference || inner.size > 0 ? this.#differsFromNamed(node, backing) : false;
    } catch (error) {
      throw prefixed('Could not open backing file', error);
    }
  }

  #differsFromNamed(node: BlockNode, backing: BlockNode): boolean {
    const named = node.instance.backingFile?.name;
    if (named === undefined) return true;
    try {
      return fullBackingNameOf(node, named) !== displayFilename(backing);
    } catch {
      return true;
    }
  }

  async #openBackingNode(node: BlockNode, inner: OptionDict, filename: string | undefined): Promise<BlockNode> {
    const named = node.instance.backingFile;
    const flags = childFlags(node.flags, ROLE.BACKING);
    if (namesImage(inner)) return this.open({ options: inner, flags });
    if (named?.format !== undefined) inner.setDefault('driver', named.format);
    return this.open({ filename, options: inner, flags });
  }

  #join(parent: BlockNode, name: string, role: ChildRole, child: BlockNode): Edge {
    const edge = new Edge(name, role, parent, child);
    const wanted = defaultChildPermissions(role, { perm: 0, shared: 15 }, !parent.readOnly);
    parent.children.push(edge);
    child.parents.push(edge);
    try {
      this.setEdgePermissions(edge, wanted);
    } catch (error) {
      parent.children.splice(parent.children.indexOf(edge), 1);
      child.parents.splice(child.parents.indexOf(edge), 1);
      throw error;
    }
    return edge;
  }

  /** Asks for other permissions on an edge; throws, and leaves everything as it was, when that conflicts with somebody. */
  setEdgePermissions(edge: Edge, { perm, shared }: Permissions): void {
    const old = { perm: edge.perm, shared: edge.shared };
    edge.perm = perm;
    edge.shared = shared;
    try {
      updatePermissions([edge.node]);
    } catch (error) {
      edge.perm = old.perm;
      edge.shared = old.shared;
      updatePermissions([edge.node]);
      throw error;
    }
  }

  /** A root edge: what a backend holds. */
  attachRoot(parent: EdgeParent, name: string, node: BlockNode, permissions: Permissions): Edge {
    const edge = new Edge(name, {}, parent, node);
    node.parents.push(edge);
    try {
      this.setEdgePermissions(edge, permissions);
    } catch (error) {
      node.parents.splice(node.parents.indexOf(edge), 1);
      throw error;
    }
    return edge;
  }

  /** A further child of an open node (a filter put in between, a new backing file). */
  attachChild(parent: BlockNode, name: string, role: ChildRole, child: BlockNode): Edge {
    const edge = this.#join(parent, name, role, child);
    try {
      updatePermissions([parent]);
    } catch (error) {
      this.detach(edge);
      throw error;
    }
    parent.refreshLimits();
    return edge;
  }

  /** Takes an edge away; the node stays open until it is released. */
  detach(edge: Edge): void {
    const siblings = edge.parent instanceof BlockNode ? edge.parent.children : undefined;
    if (siblings?.includes(edge)) siblings.splice(siblings.indexOf(edge), 1);
    edge.node.parents.splice(edge.node.parents.indexOf(edge), 1);
    edge.perm = 0;
    edge.shared = 15;
    if (edge.node.isOpen) updatePermissions([edge.node]);
  }

  /** Lets an edge point at another node. Nothing may be in flight below. */
  replaceNode(edge: Edge, next: BlockNode): void {
    const former = edge.node;
    former.parents.splice(former.parents.indexOf(edge), 1);
    edge.node = next;
    next.parents.push(edge);
    try {
      updatePermissions([former, next]);
    } catch (error) {
      next.parents.splice(next.parents.indexOf(edge), 1);
      edge.node = former;
      former.parents.push(edge);
      updatePermissions([former, next]);
      throw error;
    }
  }

  /** Closes a node that has no parent left, and then its children. */
  async release(node: BlockNode): Promise<void> {
    if (node.parents.length > 0 || this.owned.has(node) || !this.nodes.has(node.name)) return;
    let failure: unknown;
    try {
      if (node.isOpen) {
        await node.requests.idle();
        if (!node.readOnly) await node.flush();
      }
    } catch (error) {
      failure = error;
    }
    try {
      if (node.isOpen) await node.instance.close();
    } catch (error) {
      failure ??= error;
    }
    try {
      await this.#dropChildren(node);
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined) throw failure;
  }

  async #dropChildren(node: BlockNode): Promise<void> {
    node.attach(undefined);
    this.nodes.delete(node.name);
    let failure: unknown;
    for (const edge of [...node.children]) {
      this.detach(edge);
      try {
        await this.release(edge.node);
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** After a failed opening: what was opened is closed again, except a file that the caller releases. */
  async #discardNode(node: BlockNode, keep: BlockNode | undefined): Promise<void> {
    if (node.isOpen) await Promise.resolve(node.instance.close()).catch(() => {});
    node.attach(undefined);
    this.nodes.delete(node.name);
    for (const edge of [...node.children]) {
      this.detach(edge);
      if (edge.node !== keep) await this.release(edge.node).catch(() => {});
    }
  }

  /** A new image of a format or protocol. Values are typed by the driver's createOptions. */
  async createImage(driverName: string, filename: string, values: CreateValues, context?: Partial<CreateContext>): Promise<void> {
    const driver = await loadDriver(driverName);
    if (driver.create === undefined) throw new Failure('unsupported', `Format driver '${driverName}' does not support image creation`);
    await driver.create(filename, values, { graph: this, host: this.host, warn: (line) => this.host.warn(line), ...context });
  }

  /** The protocol-level file of a format's new image: made, or emptied when the protocol can only open; opened for writing. */
  async createFile(filename: string, values: CreateValues): Promise<BlockBackend> {
    const driver = await loadDriver(protocolOf(filename, (path) => this.host.files.kind(path)));
    if (driver.create !== undefined) {
      await driver.create(filename, values, { graph: this, host: this.host, warn: (line) => this.host.warn(line) });
      return this.openFile(filename);
    }
    return this.#emptyExisting(filename, driver, Number(values.get('size') ?? 0));
  }

  async #emptyExisting(filename: string, driver: BlockDriver, size: number): Promise<BlockBackend> {
    const backend = await this.openFile(filename);
    try {
      if (backend.node.instance.truncate !== undefined) await backend.resize(size);
      else if (backend.size < size) {
        throw new Failure(
          'limit',
          `Protocol driver '${driver.name}' does not support creating new images, and the existing one is smaller than ${size} bytes`,
        );
      }
      const head = new Uint8Array(Math.min(SECTOR, backend.size));
      if (head.length > 0) await backend.write(0, head); // no old header may be found there
      return backend;
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  /** A file without a format over it, for writing. */
  async openFile(filename: string, flags: Partial<OpenFlags> = {}): Promise<BlockBackend> {
    const node = await this.open({ filename, flags: { unmap: true, ...flags } }, { protocolLevel: true });
    return BlockBackend.over(this, node, { write: true, resize: true });
  }
}

interface ChildOptions {
  readonly reference: OptionValue | undefined;
  readonly inner: OptionDict;
}

const NO_CHILD_OPTIONS: ChildOptions = { reference: undefined, inner: new OptionDict() };

const takeChildOptions = (options: OptionDict, name: string): ChildOptions => ({
  reference: options.take(name),
  inner: options.takeUnder(name),
});

/** Where no backing image is wanted, options for one are refused with all others that nobody took. */
function takeBackingOptions(options: OptionDict, flags: OpenFlags): ChildOptions {
  if (!flags.noBacking) return takeChildOptions(options, 'backing');
  const reference = options.get('backing') === null ? options.take('backing') : undefined;
  return { reference, inner: new OptionDict() };
}

function refuseLeftOver(driver: BlockDriver, options: OptionDict, filename: string | undefined): void {
  const [first] = options.keys();
  if (first === undefined) return;
  const kind = driver.kind === 'protocol' ? 'protocol' : 'format';
  if (first === 'filename' && filename === undefined && driver.kind !== 'protocol') {
    throw new Failure('invalid-argument', `Block ${kind} '${driver.name}' does not support the option 'filename'`);
  }
  const verb = kind === 'protocol' ? "doesn't" : 'does not'; // so it is in the reference
  throw new Failure('invalid-argument', `Block ${kind} '${driver.name}' ${verb} support the option '${first}'`);
}

/** Whether the options of a backing image say where it is. */
const namesImage = (options: OptionDict): boolean =>
  options.has('file') || options.hasUnder('file') || (options.has('driver') && options.has('filename'));
