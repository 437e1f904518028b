// The virtio memory balloon: virtio 1.2, 5.5. Pages that the guest puts in, and free pages that it reports, go back to the host;
// statistics are asked for by whoever wants them. Not page poisoning or free page hinting, which serve migration.
import { layout, le32 } from '../../struct/layout.ts';
import type { Chain } from './ring.ts';
import type { VirtioDevice, VirtioHandler, VirtQueue } from './virtio-device.ts';

const FEATURE = { STATS_VQ: 1, DEFLATE_ON_OOM: 2, REPORTING: 5 } as const;
const QUEUE = { INFLATE: 0, DEFLATE: 1, STATISTICS: 2, REPORTING: 3 } as const;
const PAGE_BYTES = 4096;
const PAGES_MAX = 32768;
const STATISTIC_BYTES = 10;
const STATISTICS_MAX = 64;
const NEVER = 2n ** 64n - 1n;

const balloonConfig = layout('virtio_balloon_config', { num_pages: le32(0), actual: le32(4) });

/** By tag; the names are QEMU's. */
const STATISTICS = [
  'stat-swap-in', 'stat-swap-out', 'stat-major-faults', 'stat-minor-faults', 'stat-free-memory', 'stat-total-memory',
  'stat-available-memory', 'stat-disk-caches', 'stat-htlb-pgalloc', 'stat-htlb-pgfail',
] as const;
export type BalloonStatistic = (typeof STATISTICS)[number];

export interface VirtioBalloonOptions {
  readonly ramBytes: number;
  readonly deflateOnOom?: boolean;
  readonly reporting?: boolean;
  /** The guest has no use for a range of its memory: what was there is gone. */
  readonly discard: (address: number, size: number) => void;
}

export class VirtioBalloon implements VirtioHandler {
  readonly name = 'virtio-balloon';
  readonly type = 5;
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly config = balloonConfig.encode({});
  /** What the guest said last. */
  readonly statistics = new Map<BalloonStatistic, bigint>();
  readonly #options: VirtioBalloonOptions;
  #device: VirtioDevice | undefined;
  /** The buffer with which the next statistics are asked for. */
  #asking: { readonly queue: VirtQueue; readonly chain: Chain } | undefined;

  constructor(options: VirtioBalloonOptions) {
    this.#options = options;
    const { reporting = false, deflateOnOom = false } = options;
    this.features = [FEATURE.STATS_VQ, ...(deflateOnOom ? [FEATURE.DEFLATE_ON_OOM] : []), ...(reporting ? [FEATURE.REPORTING] : [])];
    this.queueSizes = reporting ? [128, 128, 128, 32] : [128, 128, 128];
  }

  /** Bytes that the guest has left. */
  get actualBytes(): number {
    const pages = this.#device === undefined ? 0 : balloonConfig.decode(this.#device.state.config).actual;
    return Math.max(0, this.#options.ramBytes - pages * PAGE_BYTES);
  }

  /** Asks the guest to make do with `bytes`. */
  setTarget(bytes: number): void {
    const pages = Math.floor((this.#options.ramBytes - Math.min(bytes, this.#options.ramBytes)) / PAGE_BYTES);
    this.#device?.changeConfig((config) => balloonConfig.write(config, { num_pages: pages }));
  }

  /** Asks for new statistics; they are there when the guest has answered. */
  askForStatistics(): void {
    const asking = this.#asking;
    this.#asking = undefined;
    if (asking === undefined) return;
    asking.queue.push(asking.chain, 0);
    asking.queue.publish();
  }

  readonly writableConfig = (at: number): boolean => at >= balloonConfig.fields.actual.offset;

  started(device: VirtioDevice): void {
    this.#device = device;
  }

  reset(): void {
    const asking = this.#asking;
    this.#asking = undefined;
    this.statistics.clear();
    asking?.queue.push(asking.chain, 0);
  }

  notified(queue: VirtQueue): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (queue.index === QUEUE.STATISTICS) {
        this.#takeStatistics(queue, chain);
        continue;
      }
      if (queue.index === QUEUE.INFLATE) this.#inflate(chain);
      if (queue.index === QUEUE.REPORTING) chain.writable.eachPiece((address, size) => this.#discard(address, size));
      queue.push(chain, 0);
    }
    queue.arm();
    queue.publish();
  }

  /** A list of page numbers; neighbours are given back together. */
  #inflate(chain: Chain): void {
    const count = Math.min(PAGES_MAX, chain.readable.bytes >> 2);
    const list = chain.readable.gather(count * 4);
    if (list === undefined) return;
    const view = new DataView(list.buffer);
    const pages = Uint32Array.from({ length: count }, (_, index) => view.getUint32(4 * index, true)).sort();
    for (let first = 0; first < count; ) {
      let end = first + 1;
      while (end < count && pages[end]! - pages[first]! <= end - first) end++;
      this.#discard(pages[first]! * PAGE_BYTES, (pages[end - 1]! - pages[first]! + 1) * PAGE_BYTES);
      first = end;
    }
  }

  /** Whole pages inside RAM only. */
  #discard(address: number, size: number): void {
    const start = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
    const end = Math.min(this.#options.ramBytes, Math.floor((address + size) / PAGE_BYTES) * PAGE_BYTES);
    if (end > start) this.#options.discard(start, end - start);
  }

  #takeStatistics(queue: VirtQueue, chain: Chain): void {
    const count = Math.min(STATISTICS_MAX, Math.floor(chain.readable.bytes / STATISTIC_BYTES));
    const data = chain.readable.gather(count * STATISTIC_BYTES);
    const view = data === undefined ? undefined : new DataView(data.buffer);
    for (let index = 0; view !== undefined && index < count; index++) {
      const name = STATISTICS[view.getUint16(index * STATISTIC_BYTES, true)];
      const value = view.getBigUint64(index * STATISTIC_BYTES + 2, true);
      if (name !== undefined && value !== NEVER) this.statistics.set(name, value);
    }
    this.askForStatistics(); // a driver has one such buffer; a second one takes its place
    this.#asking = { queue, chain };
  }
}
