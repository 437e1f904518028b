// A BlockBackend: who uses a block node from outside the graph (a tool, a guest device, an export, a job). It holds the root
// edge with its permissions, keeps requests inside the node's size, and applies the cache mode: with writethrough every
// write is stable before it returns.
import { ErrnoFailure } from '../base/errno.ts';
import type { Eventual } from '../base/eventual.ts';
import { WRITE, type OpenFlags, type TruncateRequest } from './driver.ts';
import type { BlockGraph } from './graph.ts';
import type { BlockNode, Edge, EdgeParent } from './node.ts';
import type { OptionDict } from './options.ts';
import { PERM, PERM_ALL } from './permissions.ts';
import { waitingFor } from '../trace/waits.ts';

export interface BackendUse {
  readonly write?: boolean;
  readonly resize?: boolean;
  /** Nobody else may write meanwhile. */
  readonly exclusive?: boolean;
  /** No data is read (info, snapshot lists). */
  readonly noIo?: boolean;
  /** Every write is flushed (cache=writethrough, directsync). */
  readonly writethrough?: boolean;
  readonly label?: string;
}

export interface BackendRequest extends BackendUse {
  readonly filename?: string | undefined;
  readonly options?: OptionDict | undefined;
  readonly flags?: Partial<OpenFlags> | undefined;
}

function rootPermissions({ write, resize, exclusive, noIo }: BackendUse): { perm: number; shared: number } {
  const read = noIo ? 0 : PERM.CONSISTENT_READ | (write ? PERM.WRITE : 0);
  return { perm: read | (resize ? PERM.RESIZE : 0), shared: exclusive ? PERM.CONSISTENT_READ | PERM.WRITE_UNCHANGED : PERM_ALL };
}

export class BlockBackend implements EdgeParent {
  readonly label: string;
  readonly graph: BlockGraph;
  writethrough: boolean;
  /** Writes may go beyond the end: formats that make their own file grow. */
  growing = false;
  #root: Edge;
  #quiesced = 0;
  #resume: (() => void)[] = [];

  private constructor(graph: BlockGraph, node: BlockNode, use: BackendUse) {
    this.graph = graph;
    this.label = use.label === undefined ? 'an unnamed block device' : `block device '${use.label}'`;
    this.writethrough = use.writethrough ?? false;
    this.#root = graph.attachRoot(this, 'root', node, rootPermissions(use));
  }

  /** Opens an image and attaches to it. `write` follows from the wanted flags when it is not given, not from what became of them. */
  static async open(graph: BlockGraph, request: BackendRequest): Promise<BlockBackend> {
    const node = await graph.open(request);
    const noIo = request.noIo ?? request.flags?.noIo ?? false;
    return BlockBackend.over(graph, node, { ...request, noIo, write: request.write ?? !request.flags?.readOnly });
  }

  /** Attaches to an open node; releases it when that is refused. */
  static async over(graph: BlockGraph, node: BlockNode, use: BackendUse): Promise<BlockBackend> {
    try {
      const backend = new BlockBackend(graph, node, use);
      backend.growing = use.resize ?? false;
      return backend;
    } catch (error) {
      await graph.release(node).catch(() => {});
      throw error;
    }
  }

  get root(): Edge {
    return this.#root;
  }

  get node(): BlockNode {
    return this.#root.node;
  }

  get size(): number {
    return this.#root.node.size;
  }

  read(offset: number, target: Uint8Array, flags = 0): Eventual<void> {
    this.#checkRange(offset, target.length, false);
    if (this.#quiesced > 0) return this.#whenResumed(() => this.#root.read(offset, target, flags));
    return this.#root.read(offset, target, flags);
  }

  write(offset: number, source: Uint8Array, flags = 0): Eventual<void> {
    this.#checkRange(offset, source.length, this.growing);
    const all = this.writethrough ? flags | WRITE.FUA : flags;
    if (this.#quiesced > 0) return this.#whenResumed(() => this.#root.write(offset, source, all));
    return this.#root.write(offset, source, all);
  }

  /** `read` into several buffers, `count` bytes in all; false, and nothing has happened, where only one will do. */
  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    this.#checkRange(offset, count, false);
    return this.#quiesced === 0 && this.#root.readv(offset, targets, count);
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    this.#checkRange(offset, count, this.growing);
    return this.#quiesced === 0 && !this.writethrough && this.#root.writev(offset, sources, count);
  }

  writeZeroes(offset: number, count: number, flags = 0): Eventual<void> {
    this.#checkRange(offset, count, this.growing);
    const all = this.writethrough ? flags | WRITE.FUA : flags;
    if (this.#quiesced > 0) return this.#whenResumed(() => this.#root.writeZeroes(offset, count, all));
    return this.#root.writeZeroes(offset, count, all);
  }

  async discard(offset: number, count: number): Promise<void> {
    this.#checkRange(offset, count, false);
    if (this.#quiesced > 0) await this.#whenResumed(() => undefined);
    await this.#root.discard(offset, count);
  }

  /** Whether `flush` would find nothing to do; false where only trying can tell. */
  get isFlushed(): boolean {
    return this.node.isFlushed;
  }

  async flush(): Promise<void> {
    await this.#root.flush();
  }

  truncate(request: TruncateRequest): Promise<void> {
    return this.#root.truncate(request);
  }

  resize(size: number): Promise<void> {
    return this.#root.resize(size);
  }

  /** Other permissions for the root edge; throws when somebody else is in the way. */
  setPermissions(use: BackendUse): void {
    this.graph.setEdgePermissions(this.#root, rootPermissions(use));
  }

  /** No new requests reach the node until `drainedEnd`; resolves when none is in flight. */
  async drainedBegin(): Promise<void> {
    this.#quiesced++;
    await waitingFor(this.label, 'drain', drainSubtree(this.node));
  }

  drainedEnd(): void {
    this.#quiesced--;
    if (this.#quiesced === 0) for (const wake of this.#resume.splice(0)) wake();
  }

  /** Detaches, and closes the node when nobody else uses it. Errors of the last flush come out here. */
  async close(): Promise<void> {
    const { node } = this;
    this.graph.detach(this.#root);
    await this.graph.release(node);
  }

  async #whenResumed(request: () => Eventual<void>): Promise<void> {
    while (this.#quiesced > 0) await new Promise<void>((wake) => this.#resume.push(wake));
    await request();
  }

  #checkRange(offset: number, count: number, growing: boolean): void {
    if (offset < 0 || (!growing && offset + count > this.size)) throw new ErrnoFailure('EIO');
  }
}

/** Resolves when no request is in flight on a node and on everything below it. */
export async function drainSubtree(node: BlockNode): Promise<void> {
  node.instance.drainBegin?.();
  try {
    await node.requests.idle();
    for (const edge of node.children) await drainSubtree(edge.node);
  } finally {
    node.instance.drainEnd?.();
  }
}
