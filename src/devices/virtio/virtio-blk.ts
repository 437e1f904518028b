// The virtio block device over a Drive: virtio 1.2, 5.2. Requests are taken in batches and neighbours joined; what the drive
// answers at once is done before the driver's notification returns.
import { isPromise, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Drive } from '../../ports/disk.ts';
import { layout, le16, le32, le64, u8, type Decoded } from '../../struct/layout.ts';
import { defineEvents } from '../../trace/event.ts';
import { requestContext } from '../../trace/request.ts';
import { beginNamedActivity, endActivity } from '../../trace/activity.ts';
import { heldSince, loopNs } from '../../trace/stalls.ts';
import type { Chain } from './ring.ts';
import type { VirtioDevice, VirtioHandler, VirtQueue } from './virtio-device.ts';

const trace = defineEvents('virtioBlk', {
  handleControl: 'request {request} drive {drive:str} type {type}',
  handleRead: 'request {request} drive {drive:str} sector {sector} bytes {bytes}',
  handleWrite: 'request {request} drive {drive:str} sector {sector} bytes {bytes}',
  submitMultireq: 'request {request} drive {drive:str} requests {requests} offset {offset} bytes {bytes} isWrite {isWrite}',
  rwComplete: 'request {request} status {status}',
  reqComplete: 'request {request} status {status}',
});

const SECTOR = 512;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const SEGMENT_BYTES = 16;
/** A request that is longer is none that a driver makes. */
const REQUEST_BYTES_MAX = 64 * 1024 * 1024;
/** Neighbours are joined up to this. */
const RUN_BYTES_MAX = 1024 * 1024;
const DISCARD_SECTORS_MAX = 4194304;

const REQUEST = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
const STATUS = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
const UNMAP = 1;

// prettier-ignore
const FEATURE = {
  SEG_MAX: 2, GEOMETRY: 4, RO: 5, BLK_SIZE: 6, FLUSH: 9, TOPOLOGY: 10, CONFIG_WCE: 11, MQ: 12, DISCARD: 13, WRITE_ZEROES: 14,
} as const;

export const blkConfig = layout('virtio_blk_config', {
  capacity: le64(0), size_max: le32(8), seg_max: le32(12), cylinders: le16(16), heads: u8(18), sectors: u8(19), blk_size: le32(20),
  physical_block_exp: u8(24), alignment_offset: u8(25), min_io_size: le16(26), opt_io_size: le32(28), writeback: u8(32),
  num_queues: le16(34), max_discard_sectors: le32(36), max_discard_seg: le32(40), discard_sector_alignment: le32(44),
  max_write_zeroes_sectors: le32(48), max_write_zeroes_seg: le32(52), write_zeroes_may_unmap: u8(56),
}, 60);

export interface VirtioBlkOptions {
  readonly drive: Drive;
  /** What GET_ID answers. */
  readonly serial?: string;
  readonly queues?: number;
  readonly queueSize?: number;
  readonly logicalBlockSize?: number;
  readonly physicalBlockSize?: number;
  readonly minIoSize?: number;
  readonly optIoSize?: number;
  readonly discardGranularity?: number | undefined;
  readonly discard?: boolean;
  readonly writeZeroes?: boolean;
  /** Whether the driver may switch the write cache. */
  readonly configWce?: boolean;
}

/** Requests that are consecutive on the drive, as one. */
interface Run {
  readonly isWrite: boolean;
  readonly offset: number;
  bytes: number;
  readonly chains: Chain[];
  readonly views: Uint8Array[];
}

export class VirtioBlk implements VirtioHandler {
  readonly name = 'virtio-blk';
  readonly type = 2;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #drive: Drive;
  readonly #serial: Uint8Array;
  readonly #blockSize: number;
  readonly #writeCacheAtReset: boolean;
  #device: VirtioDevice | undefined;
  /** Of the request that begins. */
  readonly #header = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#header.buffer);

  constructor(options: VirtioBlkOptions) {
    const { drive, serial = '', queues = 1, queueSize = 256 } = options;
    this.#drive = drive;
    this.#serial = new TextEncoder().encode(serial).subarray(0, ID_BYTES);
    this.#blockSize = options.logicalBlockSize ?? SECTOR;
    this.#writeCacheAtReset = drive.writeCache;
    this.queueSizes = new Array<number>(queues).fill(queueSize);
    this.features = [
      FEATURE.SEG_MAX, FEATURE.GEOMETRY, FEATURE.BLK_SIZE, FEATURE.FLUSH, FEATURE.TOPOLOGY,
      ...(options.configWce === false ? [] : [FEATURE.CONFIG_WCE]), ...(drive.readOnly ? [FEATURE.RO] : []),
      ...(queues > 1 ? [FEATURE.MQ] : []), ...(options.discard === false ? [] : [FEATURE.DISCARD]),
      ...(options.writeZeroes === false ? [] : [FEATURE.WRITE_ZEROES]),
    ];
    this.config = blkConfig.encode(configOf(options, queues, queueSize));
  }

  readonly writableConfig = (at: number): boolean => at === blkConfig.fields.writeback.offset;

  configWritten(): void {
    this.#drive.setWriteCache?.(this.#device?.state.config[blkConfig.fields.writeback.offset] !== 0);
  }

  started(device: VirtioDevice): void {
    this.#device = device;
    // A driver that knows neither must find every write on the medium.
    if (!device.features.has(FEATURE.CONFIG_WCE)) this.#drive.setWriteCache?.(device.features.has(FEATURE.FLUSH));
  }

  reset(): void {
    this.#drive.setWriteCache?.(this.#writeCacheAtReset);
  }

  /** The drive has another size now. */
  resized(): void {
    const capacity = BigInt(Math.floor(this.#drive.size / SECTOR));
    blkConfig.write(this.config, { capacity });
    this.#device?.changeConfig((config) => blkConfig.write(config, { capacity }));
  }

  notified(queue: VirtQueue): void {
    let run: Run | undefined;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) run = this.#begin(queue, chain, run);
    if (run !== undefined) this.#submit(queue, run);
    queue.arm();
    queue.publish();
  }

  /** Begins a request. Reads and writes are put off until no neighbour follows. */
  #begin(queue: VirtQueue, chain: Chain, run: Run | undefined): Run | undefined {
    if (chain.writable.bytes === 0 || !chain.readable.copyFirst(HEADER_BYTES, this.#header)) {
      queue.device.breakDown(queue, 'a request without header or status');
      queue.push(chain, 0);
      return run;
    }
    const view = this.#headerView;
    const type = view.getUint32(0, true);
    const sector = view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32;
    if (type === REQUEST.IN || type === REQUEST.OUT) return this.#beginTransfer(queue, chain, type === REQUEST.OUT, sector, run);
    if (run !== undefined) this.#submit(queue, run);
    trace.handleControl?.({ request: chain.request, drive: this.#drive.name, type });
    this.#finish(queue, chain, () => this.#control(type, chain));
    return undefined;
  }

  #beginTransfer(queue: VirtQueue, chain: Chain, isWrite: boolean, sector: number, run: Run | undefined): Run | undefined {
    const bytes = isWrite ? chain.readable.bytes - HEADER_BYTES : chain.writable.bytes - 1;
    const handle = isWrite ? trace.handleWrite : trace.handleRead;
    handle?.({ request: chain.request, drive: this.#drive.name, sector, bytes });
    const offset = sector * SECTOR;
    const views = this.#isTransfer(offset, bytes, isWrite)
      ? isWrite ? chain.readable.views(HEADER_BYTES, bytes) : chain.writable.views(0, bytes)
      : undefined;
    if (views === undefined) {
      complete(queue, chain, STATUS.IOERR, 1);
      return run;
    }
    const isNeighbour = run?.isWrite === isWrite && run.offset + run.bytes === offset && run.bytes + bytes <= RUN_BYTES_MAX;
    if (run !== undefined && isNeighbour) {
      run.bytes += bytes;
      run.chains.push(chain);
      run.views.push(...views);
      return run;
    }
    if (run !== undefined) this.#submit(queue, run);
    return { isWrite, offset, bytes, chains: [chain], views };
  }

  #isTransfer(offset: number, bytes: number, isWrite: boolean): boolean {
    const isWhole = bytes % this.#blockSize === 0 && offset % this.#blockSize === 0;
    const isInside = bytes <= REQUEST_BYTES_MAX && offset + bytes <= this.#drive.size;
    return isWhole && isInside && !(isWrite && this.#drive.readOnly);
  }

  #submit(queue: VirtQueue, run: Run): void {
    const { isWrite, offset, bytes, chains, views } = run;
    const { request } = chains[0]!;
    trace.submitMultireq?.({ request, drive: this.#drive.name, requests: chains.length, offset, bytes, isWrite });
    let result: Eventual<void>;
    requestContext.enter(request);
    try {
      result = bytes === 0 ? undefined : isWrite ? this.#drive.writev(offset, views) : this.#drive.readv(offset, views);
    } catch (error) {
      completeRun(queue, run, statusOf(error));
      return;
    } finally {
      requestContext.leave();
    }
    if (!isPromise(result)) {
      completeRun(queue, run, STATUS.OK);
      return;
    }
    const later = (status: number): void => {
      const begun = loopNs();
      const doing = beginNamedActivity('completion', this.#drive.name);
      trace.rwComplete?.({ request, status });
      completeRun(queue, run, status);
      queue.publish();
      endActivity(doing);
      heldSince(begun, 'completion', this.#drive.name);
    };
    result.then(() => later(STATUS.OK), (error: unknown) => later(statusOf(error)));
  }

  #finish(queue: VirtQueue, chain: Chain, action: () => Eventual<number>): void {
    let result: Eventual<number>;
    requestContext.enter(chain.request);
    try {
      result = action();
    } catch (error) {
      result = statusOf(error);
    }
    requestContext.leave();
    if (!isPromise(result)) {
      complete(queue, chain, result, chain.writable.bytes);
      return;
    }
    const later = (status: number): void => {
      const begun = loopNs();
      complete(queue, chain, status, chain.writable.bytes);
      queue.publish();
      heldSince(begun, 'completion', this.#drive.name);
    };
    result.then(later, (error: unknown) => later(statusOf(error)));
  }

  /** What moves no sectors; the status. */
  #control(type: number, chain: Chain): Eventual<number> {
    switch (type) {
      case REQUEST.FLUSH:
        return ok(this.#drive.flush());
      case REQUEST.GET_ID: {
        const id = new Uint8Array(Math.min(ID_BYTES, chain.writable.bytes - 1));
        id.set(this.#serial.subarray(0, id.length));
        return chain.writable.fill(id) ? STATUS.OK : STATUS.IOERR;
      }
      case REQUEST.DISCARD:
      case REQUEST.WRITE_ZEROES:
        return this.#clear(type, chain);
      default:
        return STATUS.UNSUPP;
    }
  }

  #clear(type: number, chain: Chain): Eventual<number> {
    const segment = chain.readable.bytes === HEADER_BYTES + SEGMENT_BYTES ? chain.readable.gather(SEGMENT_BYTES, HEADER_BYTES) : undefined;
    if (segment === undefined) return STATUS.UNSUPP; // one segment is what the configuration allows
    const view = new DataView(segment.buffer);
    const offset = (view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32) * SECTOR;
    const count = view.getUint32(8, true) * SECTOR;
    const flags = view.getUint32(12, true);
    if ((flags & ~UNMAP) !== 0 || (type === REQUEST.DISCARD && flags !== 0)) return STATUS.UNSUPP;
    const isInside = offset + count <= this.#drive.size && offset % this.#blockSize === 0 && count % this.#blockSize === 0;
    if (!isInside || this.#drive.readOnly || count > DISCARD_SECTORS_MAX * SECTOR) return STATUS.IOERR;
    if (count === 0) return STATUS.OK;
    if (type === REQUEST.DISCARD) return ok(this.#drive.discard(offset, count));
    return ok(this.#drive.writeZeroes(offset, count, { unmap: (flags & UNMAP) !== 0 }));
  }
}

function configOf(options: VirtioBlkOptions, queues: number, queueSize: number): Partial<Decoded<typeof blkConfig.fields>> {
  const { drive, logicalBlockSize = SECTOR, physicalBlockSize = logicalBlockSize, minIoSize = 0, optIoSize = 0 } = options;
  const sectors = Math.floor(drive.size / SECTOR);
  const granularity = options.discardGranularity ?? physicalBlockSize;
  return {
    capacity: BigInt(sectors), seg_max: queueSize - 2,
    cylinders: Math.min(16383, Math.floor(sectors / (16 * 63))), heads: 16, sectors: 63,
    blk_size: logicalBlockSize, physical_block_exp: Math.log2(physicalBlockSize / logicalBlockSize),
    min_io_size: Math.floor(minIoSize / logicalBlockSize), opt_io_size: Math.floor(optIoSize / logicalBlockSize),
    writeback: drive.writeCache ? 1 : 0, num_queues: queues,
    ...(options.discard === false
      ? {}
      : { max_discard_sectors: DISCARD_SECTORS_MAX, max_discard_seg: 1, discard_sector_alignment: Math.max(1, granularity / SECTOR) }),
    ...(options.writeZeroes === false
      ? {}
      : { max_write_zeroes_sectors: DISCARD_SECTORS_MAX, max_write_zeroes_seg: 1, write_zeroes_may_unmap: 1 }),
  };
}

const ok = (result: Eventual<void>): Eventual<number> => (isPromise(result) ? result.then(() => STATUS.OK) : STATUS.OK);

function statusOf(error: unknown): number {
  if (error instanceof Failure) return STATUS.IOERR;
  throw error;
}

function completeRun(queue: VirtQueue, { isWrite, chains }: Run, status: number): void {
  for (const chain of chains) {
    if (!isWrite && queue.owns(chain)) chain.writable.written();
    complete(queue, chain, status, isWrite ? 1 : chain.writable.bytes);
  }
}

function complete(queue: VirtQueue, chain: Chain, status: number, written: number): void {
  trace.reqComplete?.({ request: chain.request, status });
  if (queue.owns(chain)) chain.writable.setByte(chain.writable.bytes - 1, status);
  queue.push(chain, written);
}
