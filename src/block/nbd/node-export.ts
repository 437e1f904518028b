// An export made of a block back end: what an NBD client reads, writes and asks becomes requests to the node, and the status of the
// node's chain becomes the extents of metadata contexts. Needs nothing of the host, so that any program can export a node.
import { WRITE } from '../driver.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../backend.ts';
import { isAllocatedAbove, statusAbove } from '../chain-status.ts';
import { SECTOR, type BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';
import type { Extent, MetaContext, NbdExport, ZeroRequest } from './export.ts';
import {
  CONTEXT_ALLOCATION_DEPTH,
  CONTEXT_BASE_ALLOCATION,
  CONTEXT_DIRTY_BITMAP,
  MAX_REQUEST_BYTES,
  MAX_STRING_BYTES,
  STATE,
  STATE_DIRTY,
} from './protocol.ts';

/** What an export needs to know of a dirty bitmap; see dirty-bitmap.ts. */
export interface ExportBitmap {
  readonly name?: string | undefined;
  /** Undefined when there is none before `end`. */
  nextDirty(start: number, end: number): number | undefined;
  nextClean(start: number, end: number): number | undefined;
}

export interface NodeExportOptions {
  readonly name: string;
  readonly description?: string | undefined;
  readonly readOnly: boolean;
  readonly multiConn: boolean;
  /** Tell how deep in the backing chain data lie. */
  readonly allocationDepth?: boolean;
  readonly bitmaps?: readonly ExportBitmap[];
}

type StatusOf = (offset: number, count: number) => Eventual<Extent>;

/** Collects extents, joining alike neighbours, until enough is known. */
async function collect(offset: number, count: number, limit: number, statusOf: StatusOf): Promise<readonly Extent[]> {
  const extents: { count: number; flags: number }[] = [];
  for (let at = offset; at < offset + count; ) {
    const pending = statusOf(at, offset + count - at);
    const next = pending instanceof Promise ? await pending : pending;
    const known = Math.min(next.count, offset + count - at);
    if (known <= 0) break;
    const last = extents.at(-1);
    if (last?.flags === next.flags) last.count += known;
    else if (extents.length === limit) break;
    else extents.push({ count: known, flags: next.flags });
    at += known;
  }
  return extents.length > 0 ? extents : [{ count, flags: 0 }];
}

const context = (id: number, name: string, statusOf: StatusOf): MetaContext => ({
  id,
  name,
  extents: (offset, count, limit) => collect(offset, count, limit, statusOf),
});

/** Beyond the node, up to the next sector, there are zeroes. */
function within(node: BlockNode, statusOf: StatusOf): StatusOf {
  return (offset, count) => (offset >= node.size ? { count, flags: STATE.HOLE | STATE.ZERO } : statusOf(offset, count));
}

const baseAllocation = (backend: BlockBackend): StatusOf =>
  async (offset, count) => {
    const status = await statusAbove(backend.node, offset, count);
    const flags = (status.flags & STATUS.DATA ? 0 : STATE.HOLE) | (status.flags & STATUS.ZERO ? STATE.ZERO : 0);
    return { count: status.count, flags };
  };

const allocationDepth = (backend: BlockBackend): StatusOf =>
  async (offset, count) => {
    const { allocated, depth, count: known } = await isAllocatedAbove(backend.node, undefined, offset, count);
    return { count: known, flags: allocated ? depth + 1 : 0 };
  };

const dirtyBitmap = (bitmap: ExportBitmap): StatusOf =>
  (offset, count) => {
    const end = offset + count;
    const dirty = bitmap.nextDirty(offset, end) ?? end;
    if (dirty > offset) return { count: dirty - offset, flags: 0 };
    return { count: (bitmap.nextClean(offset, end) ?? end) - offset, flags: STATE_DIRTY };
  };

function contextsOf(backend: BlockBackend, options: NodeExportOptions): MetaContext[] {
  const contexts = [context(0, CONTEXT_BASE_ALLOCATION, within(backend.node, baseAllocation(backend)))];
  if (options.allocationDepth) contexts.push(context(1, CONTEXT_ALLOCATION_DEPTH, within(backend.node, allocationDepth(backend))));
  for (const [index, bitmap] of (options.bitmaps ?? []).entries()) {
    contexts.push(context(2 + index, `${CONTEXT_DIRTY_BITMAP}${bitmap.name ?? ''}`, within(backend.node, dirtyBitmap(bitmap))));
  }
  return contexts;
}

function checkLength(what: string, value: string): void {
  if (new TextEncoder().encode(value).length > MAX_STRING_BYTES) throw new Failure('limit', `${what} '${value}' too long`);
}

class NodeExport implements NbdExport {
  readonly name: string;
  readonly description: string | undefined;
  readonly size: number;
  readonly readOnly: boolean;
  readonly multiConn: boolean;
  readonly minimumBlock: number;
  readonly maximumBlock: number;
  readonly contexts: readonly MetaContext[];
  readonly #backend: BlockBackend;

  constructor(backend: BlockBackend, options: NodeExportOptions) {
    checkLength('export name', options.name);
    if (options.description !== undefined) checkLength('description', options.description);
    this.#backend = backend;
    this.name = options.name;
    this.description = options.description;
    this.readOnly = options.readOnly;
    this.multiConn = options.multiConn;
    this.size = Math.ceil(backend.size / SECTOR) * SECTOR; // clients count in sectors
    this.minimumBlock = backend.node.limits.requestAlignment;
    this.maximumBlock = Math.min(MAX_REQUEST_BYTES, backend.node.limits.maxTransfer);
    this.contexts = contextsOf(backend, options);
  }

  /** The last sector may reach beyond the node, which a back end refuses and the node itself does not. */
  #isInside(offset: number, count: number): boolean {
    return offset + count <= this.#backend.size;
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    const { root } = this.#backend;
    return this.#isInside(offset, target.length) ? this.#backend.read(offset, target) : root.read(offset, target);
  }

  async sparse(offset: number, count: number): Promise<{ count: number; zero: boolean }> {
    if (offset >= this.#backend.size) return { count, zero: true };
    const status = await statusAbove(this.#backend.node, offset, count);
    return { count: Math.max(1, status.count), zero: (status.flags & STATUS.ZERO) !== 0 };
  }

  write(offset: number, source: Uint8Array, fua: boolean): Eventual<void> {
    const flags = fua ? WRITE.FUA : 0;
    if (this.#isInside(offset, source.length)) return this.#backend.write(offset, source, flags);
    return this.#backend.root.write(offset, source, flags);
  }

  writeZeroes(offset: number, count: number, { fua, mayUnmap, fast }: ZeroRequest): Eventual<void> {
    const flags = (fua ? WRITE.FUA : 0) | (mayUnmap ? WRITE.MAY_UNMAP : 0) | (fast ? WRITE.NO_FALLBACK : 0);
    if (this.#isInside(offset, count)) return this.#backend.writeZeroes(offset, count, flags);
    return this.#backend.root.writeZeroes(offset, count, flags);
  }

  async trim(offset: number, count: number, fua: boolean): Promise<void> {
    const inside = Math.min(count, this.#backend.size - offset);
    if (inside > 0) await this.#backend.discard(offset, inside);
    if (fua) await this.#backend.flush();
  }

  flush(): Promise<void> {
    return this.#backend.flush();
  }

  async cache(offset: number, count: number): Promise<void> {
    // Only a layer that copies what is read gains by this.
    if (this.#backend.node.driver.name !== 'copy-on-read') return;
    const inside = Math.min(count, this.#backend.size - offset);
    if (inside > 0) await this.#backend.read(offset, new Uint8Array(inside));
  }
}

/** Exports a node. The back end has to have the permission to write, unless the export is read-only. */
export const exportBackend = (backend: BlockBackend, options: NodeExportOptions): NbdExport => new NodeExport(backend, options);
