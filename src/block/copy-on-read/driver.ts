// copy-on-read: a filter that stores what is read from a backing image in the image above it, so that it need not be fetched
// twice. `bottom` names the last layer whose data is not copied up again: what lies in it or above stays. Reference: QMP's
// BlockdevOptionsCor.
import type { Eventual } from '../../base/eventual.ts';
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { isZero } from '../../base/zero.ts';
import { str } from '../../schema/property.ts';
import { isAllocatedAbove, nextLayer } from '../chain-status.ts';
import { debugEvent } from '../debug-events.ts';
import { WRITE, type BlockDriver, type BlockInstance, type OpenContext } from '../driver.ts';
import { filterInstance } from '../filter.ts';
import type { BlockNode, Edge } from '../node.ts';
import { defaultChildPermissions, PERM, ROLE, type Permissions } from '../permissions.ts';
import { TrackedRequests } from '../request.ts';

const OPTIONS = { bottom: { type: str } } as const;
const MAX_BOUNCE_BYTES = 1 << 20;

/** The first node below a chain of filters. */
function skipFilters(node: BlockNode): BlockNode {
  let at = node;
  for (let below = at.filtered?.node; below !== undefined; below = at.filtered?.node) at = below;
  return at;
}

class Copier {
  readonly #edge: Edge;
  readonly #bottom: BlockNode | undefined;
  /** Copies and guest writes of the same place must not overtake each other. */
  readonly #requests = new TrackedRequests();

  constructor(edge: Edge, bottom: BlockNode | undefined) {
    this.#edge = edge;
    this.#bottom = bottom;
  }

  get #clusterSize(): number {
    return Math.max(1, this.#edge.node.instance.info?.()?.clusterSize ?? 1);
  }

  async read(offset: number, target: Uint8Array, flags: number): Promise<void> {
    for (let at = 0; at < target.length;) {
      const part = await this.#isThere(offset + at, target.length - at);
      const piece = target.subarray(at, at + part.count);
      if (part.there) await this.#edge.read(offset + at, piece, flags);
      else await this.#readAndCopy(offset + at, piece);
      at += part.count;
    }
  }

  /** Whether a range needs no copying: it is in the image above, or it is not in the layers that count. */
  async #isThere(offset: number, count: number): Promise<{ there: boolean; count: number }> {
    const image = skipFilters(this.#edge.node);
    const own = await isAllocatedAbove(image, nextLayer(image), offset, count);
    if (own.allocated || own.count === 0) return { there: true, count: own.count === 0 ? count : own.count };
    if (this.#bottom === undefined) return { there: false, count: own.count };
    const below = nextLayer(image);
    if (below === undefined) return { there: true, count: own.count };
    const chain = await isAllocatedAbove(below, this.#bottom, offset, own.count, true);
    return { there: !chain.allocated, count: chain.count === 0 ? own.count : chain.count };
  }

  async #readAndCopy(offset: number, target: Uint8Array): Promise<void> {
    const cluster = this.#clusterSize;
    const start = offset - (offset % cluster);
    const end = Math.min(this.#edge.size, Math.ceil((offset + target.length) / cluster) * cluster);
    const request = this.#requests.begin(start, end - start, true);
    try {
      await this.#requests.waitForOverlaps(request);
      const step = Math.max(cluster, MAX_BOUNCE_BYTES);
      for (let at = start; at < end; at += step) await this.#copyPiece(at, Math.min(step, end - at), offset, target);
    } finally {
      this.#requests.end(request);
    }
  }

  async #copyPiece(start: number, count: number, offset: number, target: Uint8Array): Promise<void> {
    const buffer = await this.#edge.readBytes(start, count);
    // Somebody may have written there before this request had the range for itself.
    const { allocated, count: known } = await isAllocatedAbove(
      skipFilters(this.#edge.node),
      nextLayer(skipFilters(this.#edge.node)),
      start,
      count,
    );
    if (!allocated || known < count) await this.#store(start, buffer);
    const from = Math.max(start, offset);
    const to = Math.min(start + count, offset + target.length);
    if (from < to) target.set(buffer.subarray(from - start, to - start), from - offset);
  }

  async #store(start: number, buffer: Uint8Array): Promise<void> {
    await debugEvent(this.#edge, 'cor_write');
    try {
      if (isZero(buffer)) await this.#edge.writeZeroes(start, buffer.length, WRITE.UNCHANGED);
      else await this.#edge.write(start, buffer, WRITE.UNCHANGED);
    } catch (error) {
      // The data is there all the same; what cannot be kept is fetched again. The reference fails such a read.
      throw error instanceof Failure ? error : new ErrnoFailure('EIO', undefined, { cause: error });
    }
  }

  /** A write waits for copies of its range, which would put the old data over it. */
  change(offset: number, count: number, request: () => Eventual<void>): Eventual<void> {
    if (!this.#requests.anySerialising && this.#requests.count === 0) {
      const result = request();
      return result instanceof Promise ? this.#requests.track(result, offset, count) : undefined;
    }
    return this.#changeLater(offset, count, request);
  }

  async #changeLater(offset: number, count: number, request: () => Eventual<void>): Promise<void> {
    const tracked = this.#requests.begin(offset, count);
    try {
      await this.#requests.waitForOverlaps(tracked);
      await request();
    } finally {
      this.#requests.end(tracked);
    }
  }
}

function findBottom(graph: OpenContext['graph'], top: BlockNode, name: string): BlockNode {
  const bottom = graph.nodes.get(name);
  if (bottom === undefined) throw new Failure('not-found', `Bottom node '${name}' not found`);
  for (let at: BlockNode | undefined = top; at !== undefined; at = nextLayer(at)) {
    if (at === bottom) return bottom;
  }
  throw new Failure('invalid-argument', `Bottom node '${name}' isn't reachable from the top`);
}

async function open({ options, openChild, graph, node, flags }: OpenContext): Promise<BlockInstance> {
  const edge = (await openChild('file', ROLE.FILTERED))!;
  const name = options.absorb(OPTIONS).bottom;
  const bottom = name === undefined ? undefined : findBottom(graph, edge.node, name);
  if (flags.readOnly || edge.node.readOnly) throw new ErrnoFailure('EACCES', 'Block node is read-only');
  const copier = new Copier(edge, bottom);
  return filterInstance(edge, {
    read: (offset, target, readFlags) => copier.read(offset, target, readFlags),
    write: (offset, source, writeFlags) => copier.change(offset, source.length, () => edge.write(offset, source, writeFlags)),
    writeZeroes: (offset, count, writeFlags) => copier.change(offset, count, () => edge.writeZeroes(offset, count, writeFlags)),
    discard: (offset, count) => copier.change(offset, count, () => edge.discard(offset, count)),
    childPermissions(_name, role, own): Permissions {
      const { perm, shared } = defaultChildPermissions(role, own, !node.readOnly);
      return { perm: perm | PERM.WRITE_UNCHANGED, shared };
    },
  });
}

export const driver: BlockDriver = { name: 'copy-on-read', kind: 'filter', options: OPTIONS, strongOptions: ['bottom'], open };
