// Virtio over MMIO: a window of registers and an interrupt line, with a device in it or none. Virtio 1.2, 4.2; the legacy interface
// is 4.2.4. Which windows a board has is the board's; nothing of a device type is here.
import type { RegisterNames, SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { DmaMemory } from '../../ports/dma.ts';
import type { IrqLine } from '../../ports/irq-line.ts';
import { u32 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { guestErrors } from '../../trace/guest-errors.ts';
import { VIRTIO_FEATURE } from './features.ts';
import { placeLegacyQueue } from './legacy-queue.ts';
import { VirtioDevice, type QueueNumber, type VirtioHandler } from './virtio-device.ts';

export const VIRTIO_MMIO_BYTES = 0x200;
const CONFIG = 0x100;
const MAGIC = 0x7472_6976; // "virt"
const VERSION = { LEGACY: 1, MODERN: 2 } as const;
const VENDOR = 0x554d_4551; // QEMU's, which some drivers look for
const NO_REGION = 0xffff_ffff;

const virtioMmioState = defineState({
  kind: 'virtio-mmio',
  version: 1,
  /** Of the legacy interface: the unit of QueuePFN and the alignment of a used ring; powers of two, or 0. */
  fields: { guestPageBytes: u32(), queueAlignment: u32() },
  check: ({ guestPageBytes, queueAlignment }) =>
    isPowerOrZero(guestPageBytes) && isPowerOrZero(queueAlignment) ? undefined : 'a page size or an alignment that is no power of two',
});
type VirtioMmioState = ReturnType<typeof virtioMmioState.initial>;

interface Row {
  readonly at: number;
  readonly name: string;
  /** The interface that has the register; absent: both. */
  readonly only?: 'legacy' | 'modern';
  readonly read?: (device: VirtioDevice, transport: VirtioMmio) => number;
  readonly write?: (device: VirtioDevice, value: number, transport: VirtioMmio) => void;
}

/** An address of the selected queue, which stays while the queue is in use. */
const addressRow = (at: number, name: string, field: QueueNumber): Row => ({
  at, name, only: 'modern',
  write({ selected }, value) { if (selected !== undefined && !selected.enabled) selected[field] = value; },
});

// prettier-ignore
const ROWS: readonly Row[] = [
  { at: 0x008, name: 'DeviceID', read: ({ handler }) => handler.type },
  { at: 0x010, name: 'DeviceFeatures', read: (device) => device.offeredWord(device.state.deviceFeatureSelect) },
  { at: 0x014, name: 'DeviceFeaturesSel', write: ({ state }, value) => { state.deviceFeatureSelect = value; } },
  { at: 0x020, name: 'DriverFeatures', write: (device, value) => device.setDriverFeatures(device.state.driverFeatureSelect, value) },
  { at: 0x024, name: 'DriverFeaturesSel', write: ({ state }, value) => { state.driverFeatureSelect = value; } },
  { at: 0x028, name: 'GuestPageSize', only: 'legacy', write: (_device, value, transport) => transport.setSize('guestPageBytes', value) },
  { at: 0x030, name: 'QueueSel', write: ({ state }, value) => { state.queueSelect = value & 0xffff; } },
  { at: 0x034, name: 'QueueNumMax', read: ({ handler, state }) => handler.queueSizes[state.queueSelect] ?? 0 },
  { at: 0x038, name: 'QueueNum', write: (device, value) => device.setSelectedSize(value) },
  { at: 0x03c, name: 'QueueAlign', only: 'legacy', write: (_device, value, transport) => transport.setSize('queueAlignment', value) },
  { at: 0x040, name: 'QueuePFN', only: 'legacy', read: (device, transport) => transport.queuePage(device),
    write: (device, value, transport) => transport.placeQueue(device, value) },
  { at: 0x044, name: 'QueueReady', only: 'modern', read: ({ selected }) => (selected?.enabled === true ? 1 : 0),
    write: (device, value) => (value === 1 ? device.enableSelected() : device.disableSelected()) },
  { at: 0x050, name: 'QueueNotify', write: (device, value) => device.notify(value) },
  { at: 0x060, name: 'InterruptStatus', read: ({ state }) => state.isr },
  { at: 0x064, name: 'InterruptACK', write: ({ state }, value, transport) => { state.isr &= ~value; transport.settle(); } },
  { at: 0x070, name: 'Status', read: ({ status }) => status, write: (_device, value, transport) => transport.setStatus(value & 0xff) },
  addressRow(0x080, 'QueueDescLow', 'descriptorsLow'),
  addressRow(0x084, 'QueueDescHigh', 'descriptorsHigh'),
  addressRow(0x090, 'QueueDriverLow', 'driverLow'),
  addressRow(0x094, 'QueueDriverHigh', 'driverHigh'),
  addressRow(0x0a0, 'QueueDeviceLow', 'deviceLow'),
  addressRow(0x0a4, 'QueueDeviceHigh', 'deviceHigh'),
  // No device here has shared memory.
  ...(['SHMLenLow', 'SHMLenHigh', 'SHMBaseLow', 'SHMBaseHigh'] as const).map((name, n): Row => (
    { at: 0x0b0 + 4 * n, name, only: 'modern', read: () => NO_REGION }
  )),
  { at: 0x0fc, name: 'ConfigGeneration', only: 'modern', read: ({ state }) => state.configGeneration },
];
const rowAt: ReadonlyMap<number, Row> = new Map(ROWS.map((row) => [row.at, row]));

/** What a driver finds where no device is, too. */
const IDENTITY = { MagicValue: 0x000, Version: 0x004, VendorID: 0x00c } as const;
const names: RegisterNames = {
  offsets: [...Object.entries(IDENTITY).map(([name, at]) => ({ at, name })), ...ROWS],
};

function isPowerOrZero(value: number): boolean {
  return (value & (value - 1)) === 0;
}

export interface VirtioMmioWires {
  readonly bus: SystemBus;
  readonly base: number;
  readonly irq: IrqLine;
  /** Guest memory, for the rings. */
  readonly memory: DmaMemory;
  /** Whether the window has the legacy interface; a driver for the modern one does not find a device then. */
  readonly legacy: boolean;
}

export interface VirtioMmioFeatures {
  readonly packed?: boolean;
  readonly eventIndex?: boolean;
  readonly indirect?: boolean;
}

export class VirtioMmio implements Device<VirtioMmioState> {
  readonly schema = virtioMmioState;
  state = virtioMmioState.initial();
  readonly base: number;
  readonly legacy: boolean;
  device: VirtioDevice | undefined;
  readonly #irq: IrqLine;
  readonly #memory: DmaMemory;

  constructor({ bus, base, irq, memory, legacy }: VirtioMmioWires) {
    this.base = base;
    this.legacy = legacy;
    this.#irq = irq;
    this.#memory = memory;
    bus.claimMmio({
      base, size: VIRTIO_MMIO_BYTES, name: 'virtio-mmio', widthMax: 4, registers: names,
      read: (at, size) => this.#read(at, size),
      write: (at, size, value) => this.#write(at, size, value),
    });
  }

  plugIn(handler: VirtioHandler, { packed = false, eventIndex = true, indirect = true }: VirtioMmioFeatures = {}): VirtioDevice {
    const { VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC, ANY_LAYOUT } = VIRTIO_FEATURE;
    const offered = [
      ...(this.legacy ? [ANY_LAYOUT] : [VERSION_1, ...(packed ? [RING_PACKED] : [])]),
      ...(eventIndex ? [EVENT_IDX] : []), ...(indirect ? [INDIRECT_DESC] : []),
    ];
    this.device = new VirtioDevice(handler, offered, { memory: this.#memory, interrupt: () => this.#irq.set(true) });
    return this.device;
  }

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = virtioMmioState.initial();
    else this.settle();
  }

  settle(): void {
    this.#irq.set((this.device?.state.isr ?? 0) !== 0);
  }

  #read(at: number, size: number): number {
    const { device } = this;
    if (at >= CONFIG) return device?.readConfig(at - CONFIG, size) ?? 0;
    if (size !== 4 || (at & 3) !== 0) return this.#refuse(at, size);
    if (at === IDENTITY.MagicValue) return MAGIC;
    if (at === IDENTITY.Version) return this.legacy ? VERSION.LEGACY : VERSION.MODERN;
    if (at === IDENTITY.VendorID) return VENDOR;
    const row = this.#row(at);
    return device === undefined || row?.read === undefined ? 0 : row.read(device, this) >>> 0;
  }

  #write(at: number, size: number, value: number): void {
    const { device } = this;
    if (device === undefined) return;
    if (at >= CONFIG) device.writeConfig(at - CONFIG, size, value);
    else if (size !== 4 || (at & 3) !== 0) this.#refuse(at, size);
    else this.#row(at)?.write?.(device, value >>> 0, this);
  }

  #refuse(at: number, size: number): number {
    guestErrors.badAccess?.({ device: 'virtio-mmio', at, size });
    return 0;
  }

  #row(at: number): Row | undefined {
    const row = rowAt.get(at);
    return row?.only === (this.legacy ? 'modern' : 'legacy') ? undefined : row;
  }

  // What registers do that is more than a value ------------------------------------------------------------------------------

  setStatus(value: number): void {
    this.device?.setStatus(value);
    if (value === 0) this.settle(); // the page size stays: Linux writes it once, before the first reset
  }

  setSize(field: keyof VirtioMmioState, value: number): void {
    if (isPowerOrZero(value)) this.state[field] = value;
    else guestErrors.invalid?.({ device: 'virtio-mmio', what: field, value });
  }

  /** The selected queue's number of pages, 0 when it is not in use. */
  queuePage({ selected }: VirtioDevice): number {
    const { guestPageBytes } = this.state;
    if (selected?.enabled !== true || guestPageBytes === 0) return 0;
    return (selected.descriptorsHigh * 2 ** 32 + selected.descriptorsLow) / guestPageBytes;
  }

  placeQueue(device: VirtioDevice, page: number): void {
    const { guestPageBytes, queueAlignment } = this.state;
    if (page !== 0 && (guestPageBytes === 0 || queueAlignment === 0)) {
      guestErrors.invalid?.({ device: 'virtio-mmio', what: 'a queue before the size of its pages', value: page });
      return;
    }
    placeLegacyQueue(device, page * guestPageBytes, queueAlignment);
  }
}
