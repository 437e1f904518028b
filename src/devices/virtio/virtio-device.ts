// A virtio device as its transports see it: status, features, queues and configuration space, the same for every type. What a
// type does with its queues is its handler's (blk.ts, rng.ts, …); registers and interrupts are the transport's (virtio-pci.ts).
// Virtio 1.2, chapters 2 and 3.
import { assert } from '../../base/assert.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import { array, bool, bytes, struct, u16, u32, u8 } from '../../state/fields.ts';
import { defineState, type StateSchema } from '../../state/define-state.ts';
import { defineEvents } from '../../trace/event.ts';
import { nextRequest } from '../../trace/request.ts';
import { guestErrors } from '../../trace/guest-errors.ts';
import { FeatureSet, VIRTIO_FEATURE, VIRTIO_STATUS } from './features.ts';
import { PackedRing } from './packed-ring.ts';
import { RingError, type Chain, type Ring } from './ring.ts';
import { SplitRing } from './split-ring.ts';

export const trace = defineEvents('virtio', {
  status: '{name:str} status {value:hex}',
  queueNotify: '{name:str} queue {queue}',
  notify: '{name:str} vector {vector:hex}',
  broken: '{name:str} queue {queue}: {what:str}',
});

const queueTrace = defineEvents('virtqueue', {
  pop: 'request {request} {name:str} queue {queue} head {head} readable {readable} writable {writable}',
  fill: 'request {request} {name:str} queue {queue} written {written}',
  flush: '{name:str} queue {queue} interrupt {interrupt}',
});

export const NO_VECTOR = 0xffff;
export const QUEUES_MAX = 1024;
export const QUEUE_SIZE_MAX = 1024;

const queueState = {
  size: u16(), vector: u16(NO_VECTOR), enabled: bool(),
  descriptorsLow: u32(), descriptorsHigh: u32(), driverLow: u32(), driverHigh: u32(), deviceLow: u32(), deviceHigh: u32(),
  nextAvailable: u16(), nextUsed: u16(), availableWrap: bool(true), usedWrap: bool(true),
} as const;
const queueField = struct(queueState);
export type QueueState = ReturnType<typeof queueField.initial>;
/** The parts of it that are numbers. */
export type QueueNumber = { [K in keyof QueueState]: QueueState[K] extends number ? K : never }[keyof QueueState];

const stateOf = (name: string, queueSizes: readonly number[], config: Uint8Array) =>
  defineState({
    kind: name,
    version: 1,
    fields: {
      status: u8(), deviceFeatureSelect: u32(), driverFeatureSelect: u32(), driverFeaturesLow: u32(), driverFeaturesHigh: u32(),
      queueSelect: u16(), configVector: u16(NO_VECTOR), configGeneration: u8(), isr: u8(),
      config: bytes(config.length, config),
      queues: array(queueField, queueSizes.length),
    },
    check: ({ queues }) =>
      queues.some(({ size }, index) => size > queueSizes[index]!) ? 'a queue that is longer than its maximum' : undefined,
  });
export type VirtioState = ReturnType<ReturnType<typeof stateOf>['initial']>;

/** What a device type is, and what it does with its queues. */
export interface VirtioHandler {
  readonly name: string;
  /** The device ID of chapter 5. */
  readonly type: number;
  /** Feature bits of the type that are offered. */
  readonly features: readonly number[];
  /** By queue: entries at most. */
  readonly queueSizes: readonly number[];
  /** The configuration space after a reset. */
  readonly config: Uint8Array;
  /** Bytes of it that the driver may write. */
  readonly writableConfig?: (at: number) => boolean;
  /** The driver says that there may be something in a queue. */
  notified(queue: VirtQueue): void;
  /** The driver is ready. */
  started?(device: VirtioDevice): void;
  configWritten?(at: number): void;
  /** Forget everything. Chains that are in flight go back to nobody. */
  reset?(): void;
}

export interface VirtioWires {
  readonly memory: DmaMemory;
  /** A queue's or the configuration's interrupt; `isr` has its bit already. */
  readonly interrupt: (vector: number) => void;
}

export const ISR = { QUEUE: 1, CONFIG: 2 } as const;

export class VirtQueue {
  readonly index: number;
  readonly device: VirtioDevice;
  ring: Ring | undefined;
  /** Chains that the handler has. */
  inFlight = 0;

  constructor(device: VirtioDevice, index: number) {
    this.device = device;
    this.index = index;
  }

  /** The next request. A ring that is nonsense breaks the device. */
  pop(): Chain | undefined {
    if (this.ring === undefined) return undefined;
    try {
      const chain = this.ring.pop();
      if (chain === undefined) return undefined;
      // A driver cannot have more requests than the ring has room for; so a hostile one cannot fill our memory either.
      if (this.inFlight === QUEUE_SIZE_MAX) throw new RingError('more requests than the ring has room for');
      this.inFlight++;
      chain.request = nextRequest();
      queueTrace.pop?.({
        request: chain.request, name: this.device.name, queue: this.index, head: chain.id,
        readable: chain.readable.bytes, writable: chain.writable.bytes,
      });
      return chain;
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      this.device.breakDown(this, error.message);
      return undefined;
    }
  }

  get hasAvailable(): boolean {
    return this.ring?.hasAvailable === true;
  }

  /** Whether a chain still belongs to the driver that made it: no reset came between. */
  owns(chain: Chain): boolean {
    return chain.ring === this.ring && this.ring !== undefined;
  }

  /** Gives a request back; the driver sees it after `publish`. */
  push(chain: Chain, written: number): void {
    this.inFlight--;
    queueTrace.fill?.({ request: chain.request, name: this.device.name, queue: this.index, written });
    if (this.owns(chain)) this.ring!.push(chain, written);
    else this.device.requestEnded();
  }

  /** Shows what was pushed and interrupts the driver if it wants that. */
  publish(): void {
    const interrupt = this.ring?.publish() === true;
    queueTrace.flush?.({ name: this.device.name, queue: this.index, interrupt });
    if (interrupt) this.device.interruptQueue(this.index);
  }

  /** Asks for a notification of what comes next. */
  arm(): void {
    this.ring?.arm();
  }
}

export class VirtioDevice implements Device<VirtioState> {
  readonly schema: StateSchema<VirtioState>;
  state: VirtioState;
  readonly handler: VirtioHandler;
  readonly queues: readonly VirtQueue[];
  readonly offered: FeatureSet;
  readonly #wires: VirtioWires;
  /** A reset that waits for requests in flight: they may write into memory that the driver has not yet back. */
  #resetPending = false;

  constructor(handler: VirtioHandler, transportFeatures: readonly number[], wires: VirtioWires) {
    const { queueSizes, name, config } = handler;
    assert(queueSizes.length <= QUEUES_MAX && queueSizes.every((size) => size <= QUEUE_SIZE_MAX), `${name}: queues`);
    this.handler = handler;
    this.#wires = wires;
    this.offered = FeatureSet.of([...handler.features, ...transportFeatures]);
    this.schema = stateOf(name, queueSizes, config);
    this.state = this.#initialState();
    this.queues = queueSizes.map((_, index) => new VirtQueue(this, index));
  }

  #initialState(): VirtioState {
    const state = this.schema.initial();
    state.queues.forEach((queue, index) => { queue.size = this.handler.queueSizes[index]!; });
    return state;
  }

  get name(): string {
    return this.handler.name;
  }

  /** What driver and device have agreed on. */
  get features(): FeatureSet {
    return new FeatureSet(this.state.driverFeaturesLow, this.state.driverFeaturesHigh);
  }

  get isModern(): boolean {
    return this.features.has(VIRTIO_FEATURE.VERSION_1);
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.#forget();
    else this.settle();
  }

  settle(): void {
    for (const queue of this.queues) this.#makeRing(queue);
    if ((this.state.status & VIRTIO_STATUS.DRIVER_OK) !== 0) this.handler.started?.(this);
  }

  #forget(): void {
    this.state = this.#initialState();
    for (const queue of this.queues) queue.ring = undefined;
    this.handler.reset?.();
  }

  // Status and features -------------------------------------------------------------------------------------------------

  /** 0 only after a reset has come to its end. */
  get status(): number {
    return this.#resetPending ? VIRTIO_STATUS.NEEDS_RESET : this.state.status;
  }

  setStatus(value: number): void {
    trace.status?.({ name: this.name, value });
    if (value === 0) {
      this.#forget();
      this.#resetPending = this.queues.some(({ inFlight }) => inFlight > 0);
      return;
    }
    const { state } = this;
    const rising = value & ~state.status;
    let accepted = value | (state.status & VIRTIO_STATUS.NEEDS_RESET);
    if ((rising & VIRTIO_STATUS.FEATURES_OK) !== 0 && !(this.isModern && this.offered.covers(this.features))) {
      accepted &= ~VIRTIO_STATUS.FEATURES_OK;
    }
    state.status = accepted;
    if ((rising & VIRTIO_STATUS.DRIVER_OK) !== 0) this.handler.started?.(this);
  }

  /** A request that was in flight over a reset is done. */
  requestEnded(): void {
    if (this.queues.every(({ inFlight }) => inFlight === 0)) this.#resetPending = false;
  }

  offeredWord(select: number): number {
    return select === 0 ? this.offered.low : select === 1 ? this.offered.high : 0;
  }

  driverFeaturesWord(select: number): number {
    return select === 0 ? this.state.driverFeaturesLow : select === 1 ? this.state.driverFeaturesHigh : 0;
  }

  setDriverFeatures(select: number, value: number): void {
    const { state } = this;
    if ((state.status & VIRTIO_STATUS.FEATURES_OK) !== 0) return;
    if (select === 0) state.driverFeaturesLow = value;
    else if (select === 1) state.driverFeaturesHigh = value;
  }

  // Queues --------------------------------------------------------------------------------------------------------------

  /** The selected queue's state; undefined for one that there is not. */
  get selected(): QueueState | undefined {
    return this.state.queues[this.state.queueSelect];
  }

  /** A queue in use keeps its size, and none is longer than the device allows. */
  setSelectedSize(value: number): void {
    const { selected, state } = this;
    const max = this.handler.queueSizes[state.queueSelect] ?? 0;
    if (selected !== undefined && !selected.enabled && value > 0 && value <= max) selected.size = value;
  }

  enableSelected(): void {
    const { selected, state } = this;
    if (selected === undefined) return;
    selected.enabled = true;
    this.#makeRing(this.queues[state.queueSelect]!);
  }

  disableSelected(): void {
    const { selected, state } = this;
    if (selected === undefined) return;
    selected.enabled = false;
    selected.nextAvailable = selected.nextUsed = 0;
    selected.availableWrap = selected.usedWrap = true;
    this.queues[state.queueSelect]!.ring = undefined;
  }

  #makeRing(queue: VirtQueue): void {
    const position = this.state.queues[queue.index]!;
    queue.ring = undefined;
    if (!position.enabled || (this.state.status & VIRTIO_STATUS.NEEDS_RESET) !== 0) return;
    const { features } = this;
    const kind = features.has(VIRTIO_FEATURE.RING_PACKED) ? PackedRing : SplitRing;
    try {
      queue.ring = new kind(this.#wires.memory, position, {
        indirect: features.has(VIRTIO_FEATURE.INDIRECT_DESC), eventIndex: features.has(VIRTIO_FEATURE.EVENT_IDX),
      });
      queue.ring.arm();
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      this.breakDown(queue, error.message);
    }
  }

  notify(index: number): void {
    trace.queueNotify?.({ name: this.name, queue: index });
    const queue = this.queues[index];
    if (queue?.ring !== undefined) this.handler.notified(queue);
  }

  /** The driver has broken a ring: nothing is looked at before it resets the device. */
  breakDown(queue: VirtQueue, what: string): void {
    trace.broken?.({ name: this.name, queue: queue.index, what });
    guestErrors.invalid?.({ device: this.name, what, value: queue.index });
    for (const other of this.queues) other.ring = undefined;
    this.state.status |= VIRTIO_STATUS.NEEDS_RESET;
    if (this.isModern && (this.state.status & VIRTIO_STATUS.DRIVER_OK) !== 0) this.interruptConfig();
  }

  // Interrupts and configuration ----------------------------------------------------------------------------------------

  interruptQueue(index: number): void {
    this.state.isr |= ISR.QUEUE;
    this.#interrupt(this.state.queues[index]!.vector);
  }

  interruptConfig(): void {
    this.state.isr |= ISR.CONFIG;
    this.#interrupt(this.state.configVector);
  }

  #interrupt(vector: number): void {
    trace.notify?.({ name: this.name, vector });
    this.#wires.interrupt(vector);
  }

  /** The device changes its configuration space and tells the driver. */
  changeConfig(change: (config: Uint8Array) => void): void {
    change(this.state.config);
    this.state.configGeneration = (this.state.configGeneration + 1) & 0xff;
    if ((this.state.status & VIRTIO_STATUS.DRIVER_OK) !== 0) this.interruptConfig();
  }

  readConfig(at: number, size: number): number {
    const { config } = this.state;
    let value = 0;
    for (let index = size - 1; index >= 0; index--) value = (value << 8) | (config[at + index] ?? 0);
    return value >>> 0;
  }

  writeConfig(at: number, size: number, value: number): void {
    const { config } = this.state;
    const { writableConfig, configWritten } = this.handler;
    if (writableConfig === undefined) return;
    let changed = false;
    for (let index = 0; index < size && at + index < config.length; index++) {
      if (!writableConfig(at + index)) continue;
      config[at + index] = (value >>> (8 * index)) & 0xff;
      changed = true;
    }
    if (changed) configWritten?.call(this.handler, at);
  }
}
