// A node of the block graph and the edges to it. A node is what every parent sees of a driver's instance: requests of any
// offset and size, in bounds or not, are brought here into the form that the driver takes (alignment, splitting, serialising,
// fall-backs for zeroes and FUA), counted, and noted in dirty bitmaps. Opening and permissions: graph.ts. Block status over
// several nodes: chain-status.ts.
import { assert } from '../base/assert.ts';
import { ErrnoFailure, errnoOf } from '../base/errno.ts';
import type { Eventual } from '../base/eventual.ts';
import { Failure } from '../base/failure.ts';
import { isZero } from '../base/zero.ts';
import { WRITE, type BlockDriver, type BlockInstance, type BlockLimits, type OpenFlags, type TruncateRequest } from './driver.ts';
import type { OptionDict } from './options.ts';
import { PERM, PERM_ALL, type ChildRole } from './permissions.ts';
import { TrackedRequests } from './request.ts';
import { STATUS, type BlockStatus } from './status.ts';
import { during, hasEvents, isTraced, traced } from './trace.ts';

export const SECTOR = 512;
/** No zero buffer is bigger than this. */
const MAX_BOUNCE = 1 << 20;
/** Offsets and sizes end here: what a number holds exactly, in whole sectors. */
export const MAX_SIZE = Number.MAX_SAFE_INTEGER - SECTOR + 1;

const NO_LIMITS: BlockLimits = {
  requestAlignment: 1,
  maxTransfer: Infinity,
  optTransfer: 0,
  maxPwriteZeroes: Infinity,
  pwriteZeroesAlignment: 0,
  maxPdiscard: Infinity,
  pdiscardAlignment: 0,
};

/** Anything that marks which parts of a node were written. */
export interface DirtyObserver {
  mark(offset: number, count: number): void;
  /** The node has another size now. */
  resize?(size: number): void;
}

/** Called before a write reaches the driver (copy-before-write, thresholds); the write waits for it. */
export type BeforeWrite = (offset: number, count: number) => Eventual<void>;

export class NodeStatistics {
  readOperations = 0;
  readBytes = 0;
  writeOperations = 0;
  writeBytes = 0;
  flushOperations = 0;
  zeroOperations = 0;
  discardOperations = 0;
  /** End of the highest write. */
  highestWritten = 0;
}

export type DetectZeroes = 'off' | 'on' | 'unmap';

/** How a node is named, beside its driver. */
export interface NodeIdentity {
  readonly name: string;
  readonly driver: BlockDriver;
  /** What was given, for json:{…} names and reopening. */
  readonly options: OptionDict;
}

export class BlockNode {
  readonly name: string;
  readonly driver: BlockDriver;
  readonly options: OptionDict;
  /** The name that it was opened by; '' where only options say what it is. */
  filename = '';
  /** The backing node is not the one that the image itself names. */
  backingOverridden = false;
  flags: OpenFlags;
  readonly children: Edge[] = [];
  readonly parents: Edge[] = [];
  limits: BlockLimits = NO_LIMITS;
  readonly statistics = new NodeStatistics();
  readonly requests = new TrackedRequests();
  readonly dirtyObservers = new Set<DirtyObserver>();
  readonly beforeWrite = new Set<BeforeWrite>();
  detectZeroes: DetectZeroes = 'off';
  /** QMP's BLOCK_WRITE_THRESHOLD, once; 0 when none is set. */
  writeThreshold = 0;
  onThreshold: ((excess: number) => void) | undefined;
  #instance: BlockInstance | undefined;
  #writeGeneration = 0;
  #flushedGeneration = 0;
  #flushing: Promise<void> | undefined;

  constructor(identity: NodeIdentity, flags: OpenFlags) {
    this.name = identity.name;
    this.driver = identity.driver;
    this.options = identity.options;
    this.flags = flags;
  }

  get instance(): BlockInstance {
    if (this.#instance === undefined) throw new ErrnoFailure('ENOMEDIUM');
    return this.#instance;
  }

  /** Only for graph.ts: the driver's instance, once it is open. */
  attach(instance: BlockInstance | undefined): void {
    this.#instance = instance;
    if (instance !== undefined) this.refreshLimits();
  }

  get isOpen(): boolean {
    return this.#instance !== undefined;
  }

  get size(): number {
    return this.instance.size;
  }

  get readOnly(): boolean {
    return this.flags.readOnly;
  }

  child(name: string): Edge | undefined {
    return this.children.find((edge) => edge.name === name);
  }

  /** The node below a copy-on-write edge. */
  get backing(): Edge | undefined {
    return this.children.find((edge) => edge.role.cow);
  }

  /** The node a filter shows. */
  get filtered(): Edge | undefined {
    return this.children.find((edge) => edge.role.filtered);
  }

  /** The child that holds this node's data and metadata, or that it filters: the one QEMU calls primary. */
  get primary(): Edge | undefined {
    return this.children.find((edge) => edge.role.primary);
  }

  refreshLimits(): void {
    const own = this.instance.limits ?? {};
    const below = this.children.filter((edge) => edge.role.data || edge.role.filtered).map((edge) => edge.node.limits);
    const alignmentBelow = Math.max(
      1,
      ...this.children.filter((edge) => edge.role.filtered).map((edge) => edge.node.limits.requestAlignment),
    );
    this.limits = {
      ...NO_LIMITS,
      maxTransfer: Math.min(Infinity, ...below.map((limits) => limits.maxTransfer)),
      optTransfer: Math.max(0, ...below.map((limits) => limits.optTransfer)),
      requestAlignment: alignmentBelow,
      ...own,
    };
  }

  // Reading -------------------------------------------------------------------------------------------------------------

  /** Fills `target`; what lies beyond the end reads as zeroes. */
  read(offset: number, target: Uint8Array, flags = 0): Eventual<void> {
    const count = target.length;
    checkRange(offset, count);
    if (count === 0) return;
    this.statistics.readOperations++;
    this.statistics.readBytes += count;
    if (isTraced('coPreadv')) return traced('coPreadv', this, offset, count, () => this.#read(offset, target, flags));
    return this.#read(offset, target, flags);
  }

  #read(offset: number, target: Uint8Array, flags: number): Eventual<void> {
    const count = target.length;
    if (!this.#isPlain(offset, count) || offset + count > this.instance.size) return this.#readSlowly(offset, target, flags);
    const result = this.instance.read(offset, target, flags);
    return result instanceof Promise ? this.requests.track(result, offset, count) : undefined;
  }

  /** `read` into several buffers, `count` bytes in all; false, and nothing has happened, where only one will do. */
  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    const { instance } = this;
    if (instance.readv === undefined || hasEvents('coPreadv') || !this.#isPlain(offset, count)) return false;
    if (offset + count > instance.size) return false;
    const result = during(this.driver.name, () => instance.readv!(offset, targets, count));
    if (result === false) return false;
    this.statistics.readOperations++;
    this.statistics.readBytes += count;
    return result instanceof Promise ? this.requests.track(result, offset, count) : undefined;
  }

  /** Whether a request can go to the driver as it is. */
  #isPlain(offset: number, count: number): boolean {
    const { requestAlignment, maxTransfer } = this.limits;
    const isAligned = requestAlignment === 1 || (offset % requestAlignment === 0 && count % requestAlignment === 0);
    return isAligned && count <= maxTransfer && !this.requests.anySerialising;
  }

  async #readSlowly(offset: number, target: Uint8Array, flags: number): Promise<void> {
    const request = this.requests.begin(offset, target.length);
    try {
      await this.requests.waitForOverlaps(request);
      const inside = Math.max(0, Math.min(target.length, this.instance.size - offset));
      target.fill(0, inside);
      if (inside > 0) await this.#readAligned(offset, target.subarray(0, inside), flags);
    } finally {
      this.requests.end(request);
    }
  }

  async #readAligned(offset: number, target: Uint8Array, flags: number): Promise<void> {
    const { requestAlignment: alignment, maxTransfer } = this.limits;
    const start = offset - (offset % alignment);
    const end = Math.ceil((offset + target.length) / alignment) * alignment;
    const exact = start === offset && end === offset + target.length;
    const buffer = exact ? target : new Uint8Array(end - start);
    const step = maxTransfer === Infinity ? buffer.length : Math.max(alignment, maxTransfer - (maxTransfer % alignment));
    for (let at = 0; at < buffer.length; at += step) {
      await this.instance.read(start + at, buffer.subarray(at, Math.min(at + step, buffer.length)), flags);
    }
    if (!exact) target.set(buffer.subarray(offset - start, offset - start + target.length));
  }

  // Writing -------------------------------------------------------------------------------------------------------------

  /** Writes beyond the end grow a node that can grow (files). */
  write(offset: number, source: Uint8Array, flags = 0): Eventual<void> {
    const count = source.length;
    checkRange(offset, count);
    this.#checkWritable();
    if (count === 0) return;
    this.statistics.writeOperations++;
    this.statistics.writeBytes += count;
    if (isTraced('coPwritev')) return traced('coPwritev', this, offset, count, () => this.#write(offset, source, flags));
    return this.#write(offset, source, flags);
  }

  #write(offset: number, source: Uint8Array, flags: number): Eventual<void> {
    const count = source.length;
    const plain = flags === 0 && this.#writesAsGiven && this.#isPlain(offset, count);
    if (!plain || this.instance.write === undefined) return this.#writeSlowly(offset, source, flags);
    const result = this.instance.write!(offset, source, 0);
    if (result instanceof Promise) return this.#finishWrite(result, offset, count);
    this.#written(offset, count);
  }

  /** Nobody looks at what is written before it is. */
  get #writesAsGiven(): boolean {
    return this.detectZeroes === 'off' && this.beforeWrite.size === 0;
  }

  /** `write` of several buffers, as `readv`. */
  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    const { instance } = this;
    if (instance.writev === undefined || hasEvents('coPwritev') || !this.#writesAsGiven || !this.#isPlain(offset, count)) return false;
    this.#checkWritable();
    const result = during(this.driver.name, () => instance.writev!(offset, sources, count));
    if (result === false) return false;
    this.statistics.writeOperations++;
    this.statistics.writeBytes += count;
    if (result instanceof Promise) return this.#finishWrite(result, offset, count);
    this.#written(offset, count);
  }

  async #finishWrite(result: Promise<void>, offset: number, count: number): Promise<void> {
    try {
      await this.requests.track(result, offset, count);
    } finally {
      this.#written(offset, count); // also after a failure: part of it may be there
    }
  }

  async #writeSlowly(offset: number, source: Uint8Array, flags: number): Promise<void> {
    const alignment = this.limits.requestAlignment;
    const aligned = offset % alignment === 0 && source.length % alignment === 0;
    const start = offset - (offset % alignment);
    const end = Math.ceil((offset + source.length) / alignment) * alignment;
    const request = this.requests.begin(start, end - start, !aligned || (flags & WRITE.SERIALISING) !== 0);
    try {
      await this.requests.waitForOverlaps(request);
      await this.#announce(offset, source.length);
      const buffer = aligned ? source : await this.#padded(start, end, offset, source);
      await this.#writeAligned(start, buffer, flags);
    } finally {
      this.#written(offset, source.length);
      this.requests.end(request);
    }
  }

  /** Read-modify-write: the blocks around `source`, with it in the middle. */
  async #padded(start: number, end: number, offset: number, source: Uint8Array): Promise<Uint8Array> {
    const buffer = new Uint8Array(end - start);
    const alignment = this.limits.requestAlignment;
    const inside = Math.min(this.instance.size, end);
    const tail = end - alignment;
    const needsHead = start < offset;
    const needsTail = offset + source.length < end;
    const shared = needsHead && needsTail && tail === start; // one block is both
    if (needsHead) await this.#readEdge('head', start, inside, buffer.subarray(0, alignment), shared);
    if (needsTail && !shared) await this.#readEdge('tail', tail, inside, buffer.subarray(tail - start), false);
    buffer.set(source, offset - start);
    return buffer;
  }

  /** The block that a write covers only in part. Its events are blkdebug's. */
  async #readEdge(which: 'head' | 'tail', offset: number, inside: number, target: Uint8Array, shared: boolean): Promise<void> {
    const { instance } = this;
    await instance.debugEvent?.(`pwritev_rmw_${which}`);
    if (shared) await instance.debugEvent?.('pwritev_rmw_tail');
    if (offset < inside) await this.#readAligned(offset, target.subarray(0, inside - offset), 0);
    await instance.debugEvent?.(`pwritev_rmw_after_${which}`);
    if (shared) await instance.debugEvent?.('pwritev_rmw_after_tail');
  }

  async #writeAligned(offset: number, source: Uint8Array, flags: number): Promise<void> {
    if (this.detectZeroes !== 'off' && (flags & WRITE.COMPRESSED) === 0 && isZero(source)) {
      const unmap = this.detectZeroes === 'unmap' && this.flags.unmap ? WRITE.MAY_UNMAP : 0;
      return this.#zeroAligned(offset, source.length, flags | unmap);
    }
    if (flags & WRITE.COMPRESSED) return this.#writeCompressed(offset, source);
    const instance = this.instance;
    if (instance.write === undefined) throw new ErrnoFailure('ENOTSUP');
    const supported = flags & (instance.writeFlags ?? 0);
    const { requestAlignment, maxTransfer } = this.limits;
    const step = maxTransfer === Infinity ? source.length : Math.max(requestAlignment, maxTransfer - (maxTransfer % requestAlignment));
    for (let at = 0; at < source.length; at += step) {
      await instance.write(offset + at, source.subarray(at, Math.min(at + step, source.length)), supported);
    }
    if (flags & WRITE.FUA && !(supported & WRITE.FUA)) await this.#flushAfterWrite();
  }

  async #writeCompressed(offset: number, source: Uint8Array): Promise<void> {
    const instance = this.instance;
    if (instance.writeCompressed === undefined) throw new ErrnoFailure('ENOTSUP');
    await instance.writeCompressed(offset, source);
  }

  /** See copy-range.ts. */
  async copyFrom(offset: number, source: BlockNode, sourceOffset: number, count: number): Promise<void> {
    checkRange(offset, count);
    this.#checkWritable();
    const { instance } = this;
    const isAligned = (offset | sourceOffset | count) % Math.max(this.limits.requestAlignment, source.limits.requestAlignment) === 0;
    if (instance.copyFrom === undefined || !isAligned || count > this.limits.maxTransfer) throw new ErrnoFailure('ENOTSUP');
    this.statistics.writeOperations++;
    this.statistics.writeBytes += count;
    const request = this.requests.begin(offset, count);
    try {
      await this.requests.waitForOverlaps(request);
      await this.#announce(offset, count);
      await instance.copyFrom(offset, source, sourceOffset, count);
    } finally {
      this.#written(offset, count);
      this.requests.end(request);
    }
  }

  // Zeroes and discards -------------------------------------------------------------------------------------------------

  writeZeroes(offset: number, count: number, flags = 0): Eventual<void> {
    checkRange(offset, count);
    this.#checkWritable();
    if (count === 0) return;
    this.statistics.zeroOperations++;
    const allowed = this.flags.unmap ? flags : flags & ~WRITE.MAY_UNMAP;
    if (!isTraced('coPwriteZeroes')) return this.#writeZeroesTracked(offset, count, allowed);
    return traced('coPwriteZeroes', this, offset, count, () => this.#writeZeroesTracked(offset, count, allowed));
  }

  async #writeZeroesTracked(offset: number, count: number, flags: number): Promise<void> {
    const alignment = this.limits.requestAlignment;
    const start = offset - (offset % alignment);
    const end = Math.ceil((offset + count) / alignment) * alignment;
    const aligned = start === offset && end === offset + count;
    const request = this.requests.begin(start, end - start, !aligned || (flags & WRITE.SERIALISING) !== 0);
    try {
      await this.requests.waitForOverlaps(request);
      await this.#announce(offset, count);
      if (aligned) await this.#zeroAligned(offset, count, flags);
      else await this.#zeroUnaligned(offset, count, flags);
    } finally {
      this.#written(offset, count);
      this.requests.end(request);
    }
  }

  async #zeroUnaligned(offset: number, count: number, flags: number): Promise<void> {
    const alignment = this.limits.requestAlignment;
    const bodyStart = Math.ceil(offset / alignment) * alignment;
    const bodyEnd = offset + count - ((offset + count) % alignment);
    if (bodyStart >= bodyEnd) return this.#zeroByBuffer(offset, count, flags);
    if (offset < bodyStart) await this.#zeroByBuffer(offset, bodyStart - offset, flags);
    await this.#zeroAligned(bodyStart, bodyEnd - bodyStart, flags);
    if (bodyEnd < offset + count) await this.#zeroByBuffer(bodyEnd, offset + count - bodyEnd, flags);
  }

  /** Zeroes written as data, with what surrounds them in their blocks. */
  async #zeroByBuffer(offset: number, count: number, flags: number): Promise<void> {
    const alignment = this.limits.requestAlignment;
    const passed = flags & ~(WRITE.MAY_UNMAP | WRITE.NO_FALLBACK | WRITE.SERIALISING);
    const step = Math.max(alignment, Math.min(MAX_BOUNCE, this.limits.maxTransfer));
    for (let at = offset; at < offset + count;) {
      const end = Math.min(offset + count, (Math.floor(at / step) + 1) * step);
      const start = at - (at % alignment);
      const blockEnd = Math.ceil(end / alignment) * alignment;
      const zeroes = new Uint8Array(end - at);
      const buffer = start === at && blockEnd === end ? zeroes : await this.#padded(start, blockEnd, at, zeroes);
      await this.#writeData(start, buffer, passed);
      at = end;
    }
  }

  async #writeData(offset: number, source: Uint8Array, flags: number): Promise<void> {
    const detect = this.detectZeroes;
    this.detectZeroes = 'off';
    try {
      const pending = this.#writeAligned(offset, source, flags); // looks at detectZeroes before its first await
      this.detectZeroes = detect;
      await pending;
    } finally {
      this.detectZeroes = detect;
    }
  }

  async #zeroAligned(offset: number, count: number, flags: number): Promise<void> {
    const instance = this.instance;
    const unit = Math.max(this.limits.pwriteZeroesAlignment, this.limits.requestAlignment);
    const { maxPwriteZeroes } = this.limits;
    for (let at = offset; at < offset + count;) {
      const rest = offset + count - at;
      const misfit = at % unit;
      // A head up to the next unit, whole units, and a tail are requests of their own.
      let step = misfit > 0 ? Math.min(rest, unit - misfit) : rest >= unit ? rest - (rest % unit) : rest;
      step = Math.min(step, maxPwriteZeroes);
      await this.#zeroPart(instance, at, step, flags);
      at += step;
    }
    if (flags & WRITE.FUA && !((instance.zeroFlags ?? 0) & WRITE.FUA)) await this.#flushAfterWrite();
  }

  async #zeroPart(instance: BlockInstance, offset: number, count: number, flags: number): Promise<void> {
    if (instance.writeZeroes !== undefined) {
      try {
        return await instance.writeZeroes(offset, count, flags & (instance.zeroFlags ?? 0));
      } catch (error) {
        if (!(error instanceof Failure) || errnoOf(error) !== 'ENOTSUP' || flags & WRITE.NO_FALLBACK) throw error;
      }
    } else if (flags & WRITE.NO_FALLBACK) throw new ErrnoFailure('ENOTSUP');
    await this.#zeroByBuffer(offset, count, flags & ~WRITE.FUA);
  }

  /** A hint: parts that the driver cannot give back stay as they are. */
  async discard(offset: number, count: number): Promise<void> {
    checkRange(offset, count);
    this.#checkWritable();
    const instance = this.instance;
    const inside = Math.min(count, instance.size - offset);
    if (inside <= 0 || !this.flags.unmap || instance.discard === undefined) return;
    this.statistics.discardOperations++;
    if (!isTraced('coPdiscard')) return this.#discardTracked(offset, inside);
    return traced('coPdiscard', this, offset, inside, () => this.#discardTracked(offset, inside));
  }

  async #discardTracked(offset: number, inside: number): Promise<void> {
    const request = this.requests.begin(offset, inside);
    try {
      await this.requests.waitForOverlaps(request);
      await this.#announce(offset, inside);
      await this.#discardParts(offset, inside);
    } finally {
      this.#written(offset, inside);
      this.requests.end(request);
    }
  }

  async #discardParts(offset: number, count: number): Promise<void> {
    const unit = Math.max(1, this.limits.pdiscardAlignment, this.limits.requestAlignment);
    for (let at = offset; at < offset + count;) {
      const rest = offset + count - at;
      const misfit = at % unit;
      const step = Math.min(
        misfit > 0 ? Math.min(rest, unit - misfit) : rest >= unit ? rest - (rest % unit) : rest,
        this.limits.maxPdiscard,
      );
      try {
        await this.instance.discard!(at, step);
      } catch (error) {
        if (!(error instanceof Failure) || errnoOf(error) !== 'ENOTSUP') throw error;
      }
      at += step;
    }
  }

  // Flush, size, status -------------------------------------------------------------------------------------------------

  /** Everything written before is on the medium, unless the node was opened with cache.no-flush. */
  async flush(): Promise<void> {
    if (!this.isOpen) return;
    this.statistics.flushOperations++;
    await (isTraced('coFlush') ? traced('coFlush', this, 0, 0, () => this.#flush()) : this.#flush());
  }

  /** Whether `flush` would find nothing to do, here and below; false where only trying can tell. */
  get isFlushed(): boolean {
    if (!this.isOpen || this.#flushing !== undefined) return false;
    const { instance } = this;
    if (this.driver.kind === 'protocol') return this.flags.noFlush || this.#writeGeneration === this.#flushedGeneration;
    if (instance.flush !== undefined && instance.isFlushed !== true) return false;
    if (this.primary?.node.instance.debugEvent !== undefined) return false; // somebody counts the events of a flush
    if (this.flags.noFlush) return true;
    for (const edge of this.children) if (edge.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED) && !edge.node.isFlushed) return false;
    return true;
  }

  async #flush(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing.catch(() => {});
    const generation = this.#writeGeneration;
    this.#flushing = this.#flushNow(generation);
    try {
      await this.#flushing;
    } finally {
      this.#flushing = undefined;
    }
  }

  async #flushNow(generation: number): Promise<void> {
    const instance = this.instance;
    const isProtocol = this.driver.kind === 'protocol';
    if (isProtocol && (this.flags.noFlush || generation === this.#flushedGeneration)) return;
    const raiseBelow = (event: string): Eventual<void> => this.primary?.node.instance.debugEvent?.(event);
    await raiseBelow('flush_to_os');
    if (!this.readOnly || !isProtocol) await instance.flush?.();
    await raiseBelow('flush_to_disk');
    if (!this.flags.noFlush && !instance.flushesChildren)
      for (const edge of this.children) if (edge.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) await edge.node.flush();
    this.#flushedGeneration = generation;
  }

  async #flushAfterWrite(): Promise<void> {
    this.#writeGeneration++;
    await this.flush();
  }

  async truncate(request: TruncateRequest): Promise<void> {
    checkRange(request.size, 0);
    this.#checkWritable();
    const { instance, filtered } = this;
    const old = instance.size;
    const start = Math.min(old, request.size);
    const tracked = this.requests.begin(start, Math.abs(request.size - old), true);
    try {
      await this.requests.waitForOverlaps(tracked);
      const below = this.backing?.node;
      const zeroWrite = request.zeroWrite || (request.size > old && below !== undefined && below.size > old);
      if (instance.truncate !== undefined) await instance.truncate({ ...request, zeroWrite });
      else if (filtered !== undefined) await filtered.node.truncate(request);
      else throw new ErrnoFailure('ENOTSUP', 'Image format driver does not support resize');
    } finally {
      this.#writeGeneration++;
      this.requests.end(tracked);
    }
    this.#sizeChanged();
  }

  #sizeChanged(): void {
    for (const observer of this.dirtyObservers) observer.resize?.(this.size);
    for (const parent of this.parents) parent.onResize?.();
  }

  /** This node's own answer, in bounds and in whole request blocks; not that of its children. */
  status(offset: number, count: number, wantZero: boolean): Eventual<BlockStatus> {
    const { instance, filtered } = this;
    if (instance.status !== undefined) return instance.status(offset, count, wantZero);
    if (filtered !== undefined) {
      return { count, flags: STATUS.RAW | STATUS.OFFSET_VALID, hostOffset: offset, file: filtered.node };
    }
    const isProtocol = this.driver.kind === 'protocol';
    const flags = STATUS.DATA | STATUS.ALLOCATED | (isProtocol ? STATUS.OFFSET_VALID : 0);
    return isProtocol ? { count, flags, hostOffset: offset, file: this } : { count, flags };
  }

  // -----------------------------------------------------------------------------------------------------------------------

  #checkWritable(): void {
    if (this.flags.readOnly) throw new ErrnoFailure('EPERM');
  }

  async #announce(offset: number, count: number): Promise<void> {
    for (const observer of this.beforeWrite) await observer(offset, count);
  }

  #written(offset: number, count: number): void {
    this.#writeGeneration++;
    const end = offset + count;
    if (end > this.statistics.highestWritten) this.statistics.highestWritten = end;
    if (this.writeThreshold > 0 && end > this.writeThreshold) {
      const excess = end - this.writeThreshold;
      this.writeThreshold = 0;
      this.onThreshold?.(excess);
    }
    for (const observer of this.dirtyObservers) observer.mark(offset, count);
  }
}

function checkRange(offset: number, count: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || count < 0 || offset > MAX_SIZE - count) throw new ErrnoFailure('EIO');
}

/** What holds the parent's end of an edge: a node, or a BlockBackend. */
export interface EdgeParent {
  readonly label: string;
}

/**
 * From a parent to a node, with what the parent may do there. Everything a driver does with its file goes through one; the
 * permissions were granted by the graph, so a request without one is our own error.
 */
export class Edge {
  readonly name: string;
  readonly role: ChildRole;
  readonly parent: BlockNode | EdgeParent;
  node: BlockNode;
  perm = 0;
  shared = PERM_ALL;
  onResize: (() => void) | undefined;

  constructor(name: string, role: ChildRole, parent: BlockNode | EdgeParent, node: BlockNode) {
    this.name = name;
    this.role = role;
    this.parent = parent;
    this.node = node;
  }

  get size(): number {
    return this.node.size;
  }

  read(offset: number, target: Uint8Array, flags = 0): Eventual<void> {
    return this.node.read(offset, target, flags);
  }

  /** A new buffer of `count` bytes. */
  async readBytes(offset: number, count: number): Promise<Uint8Array> {
    const target = new Uint8Array(count);
    await this.node.read(offset, target);
    return target;
  }

  write(offset: number, source: Uint8Array, flags = 0): Eventual<void> {
    assert((this.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0, `${this.name}: write without permission`);
    return this.node.write(offset, source, flags);
  }

  readv(offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> | false {
    return this.node.readv(offset, targets, count);
  }

  writev(offset: number, sources: readonly Uint8Array[], count: number): Eventual<void> | false {
    assert((this.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0, `${this.name}: write without permission`);
    return this.node.writev(offset, sources, count);
  }

  copyFrom(offset: number, source: BlockNode, sourceOffset: number, count: number): Promise<void> {
    assert((this.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0, `${this.name}: write without permission`);
    return this.node.copyFrom(offset, source, sourceOffset, count);
  }

  writeZeroes(offset: number, count: number, flags = 0): Eventual<void> {
    assert((this.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0, `${this.name}: write without permission`);
    return this.node.writeZeroes(offset, count, flags);
  }

  discard(offset: number, count: number): Promise<void> {
    assert((this.perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0, `${this.name}: discard without permission`);
    return this.node.discard(offset, count);
  }

  flush(): Promise<void> {
    return this.node.flush();
  }

  truncate(request: TruncateRequest): Promise<void> {
    assert((this.perm & PERM.RESIZE) !== 0, `${this.name}: resize without permission`);
    return this.node.truncate(request);
  }

  /** `truncate` to an exact size without preallocation. */
  resize(size: number): Promise<void> {
    return this.truncate({ size, exact: true, preallocation: 'off', zeroWrite: false });
  }

  status(offset: number, count: number, wantZero = true): Eventual<BlockStatus> {
    return this.node.status(offset, count, wantZero);
  }
}
