// A driver's side of one virtqueue, split or packed, for tests and fuzzers: puts requests into a ring in a small RAM and takes
// them back. It keeps to the rules; who wants to break them writes into `ram`.
import { assert } from '../../base/assert.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { VIRTIO_FEATURE, VIRTIO_STATUS } from './features.ts';
import { VirtioDevice, type VirtioHandler } from './virtio-device.ts';

export const RAM_BYTES = 1 << 18;
/** Where the parts of queue n are: at RING + n * RING_BYTES. */
export const RING = 0x1000;
export const RING_BYTES = 0x2000;
const AVAILABLE = 0x1000;
const USED = 0x1800;
/** Buffers of requests from here on. */
export const BUFFERS = 0x8000;
export const QUEUE_SIZE = 16;

const PACKED = { AVAILABLE: 1 << 7, USED: 1 << 15 } as const;

export interface SampleOptions {
  readonly packed?: boolean;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
  /** Further features to accept. */
  readonly features?: readonly number[];
}

export class SampleBench {
  readonly ram = new Uint8Array(RAM_BYTES);
  readonly view = new DataView(this.ram.buffer);
  readonly device: VirtioDevice;
  interrupts = 0;
  readonly options: SampleOptions;

  constructor(handler: VirtioHandler, options: SampleOptions = {}) {
    this.options = options;
    const memory: DmaMemory = {
      view: (address, size) => (address + size <= RAM_BYTES ? this.ram.subarray(address, address + size) : undefined),
      written: () => {},
    };
    const { VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC } = VIRTIO_FEATURE;
    const transport = [VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC];
    this.device = new VirtioDevice(handler, transport, { memory, interrupt: () => { this.interrupts++; } });
  }

  /** Reset, features, queues, ready: 3.1.1. */
  start(): void {
    const { device, options } = this;
    const { VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC } = VIRTIO_FEATURE;
    device.setStatus(0);
    device.setStatus(VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER);
    const low = (options.eventIndex === true ? 1 << EVENT_IDX : 0) | (options.indirect === true ? 1 << INDIRECT_DESC : 0);
    const high = (1 << (VERSION_1 - 32)) | (options.packed === true ? 1 << (RING_PACKED - 32) : 0);
    const further = (options.features ?? []).reduce((word, bit) => word | (1 << bit), 0);
    device.setDriverFeatures(0, (low | further) >>> 0);
    device.setDriverFeatures(1, high);
    device.setStatus(VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER | VIRTIO_STATUS.FEATURES_OK);
    assert((device.state.status & VIRTIO_STATUS.FEATURES_OK) !== 0, 'the features were accepted');
    this.ram.fill(0, RING, RING + device.queues.length * RING_BYTES);
    for (const { index } of device.queues) this.#placeQueue(index);
    device.setStatus(VIRTIO_STATUS.ACKNOWLEDGE | VIRTIO_STATUS.DRIVER | VIRTIO_STATUS.FEATURES_OK | VIRTIO_STATUS.DRIVER_OK);
  }

  #placeQueue(index: number): void {
    const { device } = this;
    const base = RING + index * RING_BYTES;
    device.state.queueSelect = index;
    Object.assign(device.selected!, { size: QUEUE_SIZE, descriptorsLow: base, driverLow: base + AVAILABLE, deviceLow: base + USED });
    device.enableSelected();
  }

  queue(index = 0): SampleQueue {
    return new SampleQueue(this, index);
  }
}

/** Bytes for the device to read, or room for it to write. */
export interface SampleBuffer {
  readonly address: number;
  readonly size: number;
  readonly writable: boolean;
}

export class SampleQueue {
  readonly bench: SampleBench;
  readonly index: number;
  readonly #base: number;
  #nextDescriptor = 0;
  #availableIndex = 0;
  #usedIndex = 0;
  #wrap = true;
  #usedWrap = true;
  readonly #slotsOf = new Map<number, number>();

  constructor(bench: SampleBench, index: number) {
    this.bench = bench;
    this.index = index;
    this.#base = RING + index * RING_BYTES;
  }

  /** Makes a request available; the device sees it at the next `kick`. Returns its id. */
  add(buffers: readonly SampleBuffer[], indirectTable?: number): number {
    return this.bench.options.packed === true ? this.#addPacked(buffers, indirectTable) : this.#addSplit(buffers, indirectTable);
  }

  kick(): void {
    this.bench.device.notify(this.index);
  }

  #describe(at: number, { address, size, writable }: SampleBuffer, flags: number): void {
    const { view } = this.bench;
    view.setUint32(at, address, true);
    view.setUint32(at + 4, 0, true);
    view.setUint32(at + 8, size, true);
    view.setUint16(at + 12, flags | (writable ? 2 : 0), true);
  }

  #addSplit(buffers: readonly SampleBuffer[], indirectTable: number | undefined): number {
    const { view } = this.bench;
    const head = this.#nextDescriptor;
    const link = (at: number, buffer: SampleBuffer, next: number | undefined): void => {
      this.#describe(at, buffer, next === undefined ? 0 : 1);
      view.setUint16(at + 14, next ?? 0, true);
    };
    const last = buffers.length - 1;
    if (indirectTable !== undefined) {
      buffers.forEach((buffer, index) => link(indirectTable + 16 * index, buffer, index === last ? undefined : index + 1));
      this.#describe(this.#base + 16 * head, { address: indirectTable, size: 16 * buffers.length, writable: false }, 4);
      this.#nextDescriptor = (head + 1) % QUEUE_SIZE;
    } else {
      buffers.forEach((buffer, index) => {
        const at = (head + index) % QUEUE_SIZE;
        link(this.#base + 16 * at, buffer, index === last ? undefined : (at + 1) % QUEUE_SIZE);
      });
      this.#nextDescriptor = (head + buffers.length) % QUEUE_SIZE;
    }
    view.setUint16(this.#base + AVAILABLE + 4 + 2 * (this.#availableIndex % QUEUE_SIZE), head, true);
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    view.setUint16(this.#base + AVAILABLE + 2, this.#availableIndex, true);
    return head;
  }

  #addPacked(buffers: readonly SampleBuffer[], indirectTable: number | undefined): number {
    const id = this.#nextDescriptor;
    if (indirectTable !== undefined) buffers.forEach((buffer, index) => this.#describePacked(indirectTable + 16 * index, buffer, id, 0));
    const table = { address: indirectTable ?? 0, size: 16 * buffers.length, writable: false };
    const entries = indirectTable === undefined ? buffers : [table];
    this.#slotsOf.set(id, entries.length);
    entries.forEach((buffer, index) => {
      const available = this.#wrap ? PACKED.AVAILABLE : PACKED.USED;
      const kind = indirectTable !== undefined ? 4 : index < entries.length - 1 ? 1 : 0;
      this.#describePacked(this.#base + 16 * this.#nextDescriptor, buffer, id, kind | available);
      this.#nextDescriptor++;
      if (this.#nextDescriptor < QUEUE_SIZE) return;
      this.#nextDescriptor = 0;
      this.#wrap = !this.#wrap;
    });
    return id;
  }

  #describePacked(at: number, { address, size, writable }: SampleBuffer, id: number, flags: number): void {
    const { view } = this.bench;
    view.setUint32(at, address, true);
    view.setUint32(at + 4, 0, true);
    view.setUint32(at + 8, size, true);
    view.setUint16(at + 12, id, true);
    view.setUint16(at + 14, flags | (writable ? 2 : 0), true);
  }

  /** What has come back since the last call: ids and bytes written. */
  used(): { readonly id: number; readonly bytes: number }[] {
    return this.bench.options.packed === true ? this.#usedPacked() : this.#usedSplit();
  }

  #usedSplit(): { readonly id: number; readonly bytes: number }[] {
    const { view } = this.bench;
    const back = [];
    while (this.#usedIndex !== view.getUint16(this.#base + USED + 2, true)) {
      const at = this.#base + USED + 4 + 8 * (this.#usedIndex % QUEUE_SIZE);
      back.push({ id: view.getUint32(at, true), bytes: view.getUint32(at + 4, true) });
      this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    }
    // The next interrupt, with event indices: after one more.
    view.setUint16(this.#base + AVAILABLE + 4 + 2 * QUEUE_SIZE, this.#usedIndex, true);
    return back;
  }

  #usedPacked(): { readonly id: number; readonly bytes: number }[] {
    const { view } = this.bench;
    const back = [];
    for (;;) {
      const at = this.#base + 16 * this.#usedIndex;
      const flags = view.getUint16(at + 14, true);
      const isUsed = ((flags & PACKED.USED) !== 0) === this.#usedWrap && ((flags & PACKED.AVAILABLE) !== 0) === this.#usedWrap;
      if (!isUsed) return back;
      const id = view.getUint16(at + 12, true);
      const slots = this.#slotsOf.get(id);
      if (slots === undefined) return back;
      this.#slotsOf.delete(id);
      back.push({ id, bytes: view.getUint32(at + 8, true) });
      this.#usedIndex += slots;
      if (this.#usedIndex < QUEUE_SIZE) continue;
      this.#usedIndex -= QUEUE_SIZE;
      this.#usedWrap = !this.#usedWrap;
    }
  }
}
