// A drive as a controller sees it, over a block backend: the medium that may be taken out, and what `werror` and `rerror` make
// of a failed request. Opening is in machine-drives.ts.
import { ErrnoFailure, errnoOf } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../../block/backend.ts';
import { WRITE } from '../../block/driver.ts';
import type { RemovableDrive } from '../../ports/disk.ts';
import { defineEvents } from '../../trace/event.ts';
import { requestContext } from '../../trace/request.ts';
import { LatencyHistogram } from '../../trace/latency-histogram.ts';
import { loopNs } from '../../trace/stalls.ts';
import { beginWait, endWait } from '../../trace/waits.ts';
import type { ErrorAction } from '../options.ts';

const SECTOR = 512;
const BOUNCE_BYTES = 1024 * 1024;
const BOUNCES_KEPT = 4;
/** The clock is asked for every eighth request only. */
const LATENCY_EVERY_MASK = 7;

const trace = defineEvents('drive', {
  submit: 'request {request} drive {drive:str} {operation:str} offset {offset} count {count}',
  done: 'request {request} drive {drive:str}',
  error: '{drive:str} {operation:str} at {offset} count {count}: {message:str}, {action:str}',
});

type Operation = 'read' | 'write' | 'write-zeroes' | 'discard' | 'flush';

export interface MachineDriveOptions {
  readonly name: string;
  /** A CD or a diskette. */
  readonly removable: boolean;
  readonly backend: BlockBackend | undefined;
  readonly onReadError: ErrorAction;
  readonly onWriteError: ErrorAction;
  /** Stops the machine because of an error. */
  readonly stopMachine: () => void;
  /** The host has to be waited for: a request did not end at once. */
  readonly onWait: () => void;
}

export class MachineDrive implements RemovableDrive {
  readonly name: string;
  onMediumChange: ((what: 'changed' | 'eject-requested') => void) | undefined;
  onReadError: ErrorAction;
  onWriteError: ErrorAction;
  locked = false;
  trayOpen = false;
  requestsInFlight = 0;
  /** The device that has it. */
  owner: string | undefined;
  /** The size has changed. */
  onResize: (() => void) | undefined;
  readonly removable: boolean;
  /** Of every eighth request. */
  readonly latencies = new LatencyHistogram();
  #requests = 0;
  #backend: BlockBackend | undefined;
  readonly #stopMachine: () => void;
  readonly #onWait: () => void;
  /** Failed requests that wait for the machine to go on, to be tried again. */
  readonly #stopped: (() => void)[] = [];
  readonly #bounces: Uint8Array[] = [];
  readonly #idleWaiters: (() => void)[] = [];

  constructor({ name, removable, backend, onReadError, onWriteError, stopMachine, onWait }: MachineDriveOptions) {
    this.name = name;
    this.removable = removable;
    this.#backend = backend;
    this.onReadError = onReadError;
    this.onWriteError = onWriteError;
    this.#stopMachine = stopMachine;
    this.#onWait = onWait;
  }

  /** The medium's backend; undefined without one. */
  get backend(): BlockBackend | undefined {
    return this.#backend;
  }

  /** Only for who changes media: gives another one, or none. The former one is the caller's to close. */
  replaceMedium(backend: BlockBackend | undefined): void {
    this.#backend = backend;
    this.trayOpen = backend === undefined;
    this.onMediumChange?.('changed');
  }

  get isRemovable(): boolean {
    return this.removable || this.onMediumChange !== undefined;
  }

  get inserted(): boolean {
    return this.#backend !== undefined;
  }

  get size(): number {
    const size = this.#backend?.size ?? 0;
    return size - (size % SECTOR);
  }

  get readOnly(): boolean {
    return this.#backend?.node.readOnly ?? false;
  }

  get requestAlignment(): number {
    return this.#backend?.node.limits.requestAlignment ?? 0;
  }

  get writeCache(): boolean {
    return this.#backend?.writethrough !== true;
  }

  setWriteCache(enabled: boolean): void {
    if (this.#backend !== undefined) this.#backend.writethrough = !enabled;
  }

  /** Others may write to the image too: the guest takes care (share-rw). */
  shareWrites(): void {
    this.#backend?.setPermissions({ write: !this.readOnly, exclusive: false });
  }

  get discards(): boolean {
    return this.#backend?.node.flags.unmap ?? false;
  }

  setLocked(locked: boolean): void {
    this.locked = locked;
  }

  setTray(open: boolean): void {
    this.trayOpen = open;
  }

  /** Whether requests wait for the machine to go on. */
  get hasStoppedRequests(): boolean {
    return this.#stopped.length > 0;
  }

  /** The machine goes on: what failed is tried again. */
  retry(): void {
    for (const again of this.#stopped.splice(0)) again();
  }

  read(offset: number, target: Uint8Array): Eventual<void> {
    return this.#attempt('read', offset, target.length, (backend) => backend.read(offset, target));
  }

  write(offset: number, source: Uint8Array, options?: { readonly fua?: boolean }): Eventual<void> {
    const flags = options?.fua ? WRITE.FUA : 0;
    return this.#attempt('write', offset, source.length, (backend) => backend.write(offset, source, flags));
  }

  readv(offset: number, targets: readonly Uint8Array[]): Eventual<void> {
    if (targets.length === 1) return this.read(offset, targets[0]!);
    const count = bytesIn(targets);
    return this.#attempt('read', offset, count, (backend) => {
      const result = backend.readv(offset, targets, count);
      return result === false ? this.#readBounced(backend, offset, targets, count) : result;
    });
  }

  writev(offset: number, sources: readonly Uint8Array[], options?: { readonly fua?: boolean }): Eventual<void> {
    if (sources.length === 1) return this.write(offset, sources[0]!, options);
    const count = bytesIn(sources);
    return this.#attempt('write', offset, count, (backend) => {
      const result = !options?.fua && backend.writev(offset, sources, count);
      return result === false ? this.#writeBounced(backend, offset, sources, count, options?.fua ? WRITE.FUA : 0) : result;
    });
  }

  #readBounced(backend: BlockBackend, offset: number, targets: readonly Uint8Array[], count: number): Eventual<void> {
    const bounce = this.#takeBounce(count);
    const scatter = (): void => {
      let at = 0;
      for (const target of targets) target.set(bounce.subarray(at, (at += target.length)));
    };
    return this.#usingBounce(bounce, backend.read(offset, bounce), scatter);
  }

  #writeBounced(
    backend: BlockBackend, offset: number, sources: readonly Uint8Array[], count: number, flags: number,
  ): Eventual<void> {
    const bounce = this.#takeBounce(count);
    let at = 0;
    for (const source of sources) {
      bounce.set(source, at);
      at += source.length;
    }
    return this.#usingBounce(bounce, backend.write(offset, bounce, flags), undefined);
  }

  /** One buffer for many, where a block node takes only one. */
  #takeBounce(bytes: number): Uint8Array {
    if (bytes > BOUNCE_BYTES) return new Uint8Array(bytes);
    return (this.#bounces.pop() ?? new Uint8Array(BOUNCE_BYTES)).subarray(0, bytes);
  }

  /** A buffer whose request failed is not used again: something may still be on its way into it. */
  #usingBounce(bounce: Uint8Array, result: Eventual<void>, finish: (() => void) | undefined): Eventual<void> {
    const done = (): void => {
      finish?.();
      const isKept = bounce.buffer.byteLength === BOUNCE_BYTES && this.#bounces.length < BOUNCES_KEPT;
      if (isKept) this.#bounces.push(new Uint8Array(bounce.buffer));
    };
    return result instanceof Promise ? result.then(done) : done();
  }

  writeZeroes(offset: number, count: number, options?: { readonly unmap?: boolean; readonly fua?: boolean }): Eventual<void> {
    const flags = (options?.unmap ? WRITE.MAY_UNMAP : 0) | (options?.fua ? WRITE.FUA : 0);
    return this.#attempt('write-zeroes', offset, count, (backend) => backend.writeZeroes(offset, count, flags));
  }

  discard(offset: number, count: number): Eventual<void> {
    return this.#attempt('discard', offset, count, (backend) => backend.discard(offset, count));
  }

  flush(): Eventual<void> {
    return this.#attempt('flush', 0, 0, (backend) => (backend.node.readOnly || backend.isFlushed ? undefined : backend.flush()));
  }

  #attempt(operation: Operation, offset: number, count: number, request: (backend: BlockBackend) => Eventual<void>): Eventual<void> {
    const backend = this.#backend;
    if (backend === undefined) throw new ErrnoFailure('ENOMEDIUM');
    const failed = (error: unknown): Eventual<void> => {
      if (!(error instanceof Failure)) throw error;
      return this.#failed(error, operation, offset, count, () => this.#attempt(operation, offset, count, request));
    };
    const { current } = requestContext;
    trace.submit?.({ request: current, drive: this.name, operation, offset, count });
    const begunNs = (this.#requests++ & LATENCY_EVERY_MASK) === 0 ? loopNs() : undefined;
    try {
      const result = request(backend);
      if (result instanceof Promise) return this.#inFlight(result, operation, current, begunNs).catch(failed);
      if (begunNs !== undefined) this.latencies.add(loopNs() - begunNs);
      trace.done?.({ request: current, drive: this.name });
      return result;
    } catch (error) {
      return failed(error);
    }
  }

  async #inFlight(result: Promise<void>, operation: Operation, request: number, begunNs: number | undefined): Promise<void> {
    this.requestsInFlight++;
    this.#onWait();
    const wait = beginWait(this.name, operation);
    try {
      await result;
    } finally {
      endWait(wait);
      if (begunNs !== undefined) this.latencies.add(loopNs() - begunNs);
      trace.done?.({ request, drive: this.name });
      this.requestsInFlight--;
      if (this.requestsInFlight === 0) for (const wake of this.#idleWaiters.splice(0)) wake();
    }
  }

  /** Resolves when no request is on its way; those that are stopped do not count. */
  async idle(): Promise<void> {
    if (this.requestsInFlight > 0) await new Promise<void>((wake) => this.#idleWaiters.push(wake));
  }

  #failed(error: Failure, operation: Operation, offset: number, count: number, again: () => Eventual<void>): Eventual<void> {
    const policy = operation === 'read' ? this.onReadError : this.onWriteError;
    const action = policy === 'enospc' ? (errnoOf(error) === 'ENOSPC' ? 'stop' : 'report') : policy;
    trace.error?.({ drive: this.name, operation, offset, count, message: error.message, action });
    if (action === 'ignore') return;
    if (action === 'report') throw error;
    this.#stopMachine();
    return new Promise((resolve, reject) => {
      this.#stopped.push(() => {
        try {
          Promise.resolve(again()).then(resolve, reject);
        } catch (failure) {
          reject(failure as Error);
        }
      });
    });
  }
}

function bytesIn(buffers: readonly Uint8Array[]): number {
  let bytes = 0;
  for (let index = 0; index < buffers.length; index++) bytes += buffers[index]!.length;
  return bytes;
}
