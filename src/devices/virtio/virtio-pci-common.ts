// The common configuration structure of the modern interface: registers of one, two and four bytes. Virtio 1.2, 4.1.4.3.
import { allOnes, type RegisterNames } from '../../bus/address-space.ts';
import { guestErrors } from '../../trace/guest-errors.ts';
import { NO_VECTOR, type QueueNumber, type VirtioDevice } from './virtio-device.ts';

interface Row {
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly name: string;
  readonly read: (registers: CommonRegisters) => number;
  readonly write?: (registers: CommonRegisters, value: number) => void;
}

/** A register of the selected queue; a queue that there is not has zeroes, and one that is enabled is not changed. */
const queueRow = (at: number, size: 2 | 4, name: string, field: QueueNumber): Row => ({
  at, size, name,
  read: ({ device }) => device.selected?.[field] ?? 0,
  write({ device }, value) {
    const { selected } = device;
    if (selected !== undefined && !selected.enabled) selected[field] = value;
  },
});

// prettier-ignore
const ROWS: readonly Row[] = [
  { at: 0x00, size: 4, name: 'device_feature_select', read: ({ device }) => device.state.deviceFeatureSelect,
    write: ({ device }, value) => { device.state.deviceFeatureSelect = value; } },
  { at: 0x04, size: 4, name: 'device_feature', read: ({ device }) => device.offeredWord(device.state.deviceFeatureSelect) },
  { at: 0x08, size: 4, name: 'driver_feature_select', read: ({ device }) => device.state.driverFeatureSelect,
    write: ({ device }, value) => { device.state.driverFeatureSelect = value; } },
  { at: 0x0c, size: 4, name: 'driver_feature', read: ({ device }) => device.driverFeaturesWord(device.state.driverFeatureSelect),
    write: ({ device }, value) => device.setDriverFeatures(device.state.driverFeatureSelect, value) },
  { at: 0x10, size: 2, name: 'config_msix_vector', read: ({ device }) => device.state.configVector,
    write: (registers, value) => { registers.device.state.configVector = registers.vector(value); } },
  { at: 0x12, size: 2, name: 'num_queues', read: ({ device }) => device.queues.length },
  { at: 0x14, size: 1, name: 'device_status', read: ({ device }) => device.status, write: ({ device }, value) => device.setStatus(value) },
  { at: 0x15, size: 1, name: 'config_generation', read: ({ device }) => device.state.configGeneration },
  { at: 0x16, size: 2, name: 'queue_select', read: ({ device }) => device.state.queueSelect,
    write: ({ device }, value) => { device.state.queueSelect = value; } },
  { at: 0x18, size: 2, name: 'queue_size', read: ({ device }) => device.selected?.size ?? 0,
    write: ({ device }, value) => device.setSelectedSize(value) },
  { at: 0x1a, size: 2, name: 'queue_msix_vector', read: ({ device }) => device.selected?.vector ?? NO_VECTOR,
    write: (registers, value) => registers.setQueueVector(value) },
  { at: 0x1c, size: 2, name: 'queue_enable', read: ({ device }) => (device.selected?.enabled === true ? 1 : 0),
    write: ({ device }, value) => { if (value === 1) device.enableSelected(); } },
  { at: 0x1e, size: 2, name: 'queue_notify_off', read: ({ device }) => (device.selected === undefined ? 0 : device.state.queueSelect) },
  queueRow(0x20, 4, 'queue_desc_lo', 'descriptorsLow'),
  queueRow(0x24, 4, 'queue_desc_hi', 'descriptorsHigh'),
  queueRow(0x28, 4, 'queue_driver_lo', 'driverLow'),
  queueRow(0x2c, 4, 'queue_driver_hi', 'driverHigh'),
  queueRow(0x30, 4, 'queue_device_lo', 'deviceLow'),
  queueRow(0x34, 4, 'queue_device_hi', 'deviceHigh'),
];

const rowAt: ReadonlyMap<number, Row> = new Map(ROWS.map((row) => [row.at, row]));

export class CommonRegisters implements RegisterNames {
  readonly offsets = ROWS;
  readonly device: VirtioDevice;
  readonly #vectors: number;

  constructor(device: VirtioDevice, vectors: number) {
    this.device = device;
    this.#vectors = vectors;
  }

  read(at: number, size: number): number {
    const row = rowAt.get(at);
    if (row?.size === size) return row.read(this);
    // Firmware reads words in bytes; a byte of a wider register is that byte.
    const wider = rowAt.get(at & ~3) ?? rowAt.get(at & ~1);
    if (wider !== undefined && at + size <= wider.at + wider.size) return (wider.read(this) >>> (8 * (at - wider.at))) & allOnes(size);
    guestErrors.badAccess?.({ device: this.device.name, at, size });
    return 0;
  }

  write(at: number, size: number, value: number): void {
    const row = rowAt.get(at);
    if (row?.size === size) row.write?.(this, value);
    else guestErrors.badAccess?.({ device: this.device.name, at, size });
  }

  /** What a vector register holds after a write: no vector where there is no such one. */
  vector(value: number): number {
    return value < this.#vectors ? value : NO_VECTOR;
  }

  setQueueVector(value: number): void {
    const { selected } = this.device;
    if (selected !== undefined) selected.vector = this.vector(value);
  }
}
