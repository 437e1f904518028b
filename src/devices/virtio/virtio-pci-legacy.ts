// The legacy interface of virtio over PCI: an I/O region with 32 feature bits, one page number a queue, and the device's
// configuration space behind it, which moves when MSI-X is on. Virtio 1.2, 4.1.4.10.
import { allOnes, type Region } from '../../bus/address-space.ts';
import { placeLegacyQueue } from './legacy-queue.ts';
import { NO_VECTOR, type VirtioDevice } from './virtio-device.ts';

const AT = {
  DEVICE_FEATURES: 0x00, DRIVER_FEATURES: 0x04, QUEUE_ADDRESS: 0x08, QUEUE_SIZE: 0x0c, QUEUE_SELECT: 0x0e, QUEUE_NOTIFY: 0x10,
  STATUS: 0x12, ISR: 0x13, CONFIG_VECTOR: 0x14, QUEUE_VECTOR: 0x16,
} as const;
const HEADER_BYTES = 0x14;
const HEADER_BYTES_WITH_MSIX = 0x18;
const PAGE_BYTES = 4096;
const ALIGNMENT = 4096;

const names = Object.entries(AT).map(([name, at]) => ({ at, name: name.toLowerCase() }));

export interface LegacyWires {
  readonly vectors: number;
  /** Reading acknowledges. */
  readonly readIsr: () => number;
  readonly msixEnabled: () => boolean;
}

export function legacyRegion(device: VirtioDevice, { vectors, readIsr, msixEnabled }: LegacyWires): Omit<Region, 'base'> {
  const headerBytes = (): number => (msixEnabled() ? HEADER_BYTES_WITH_MSIX : HEADER_BYTES);
  const vector = (value: number): number => (value < vectors ? value : NO_VECTOR);
  return {
    size: 2 ** Math.ceil(Math.log2(HEADER_BYTES_WITH_MSIX + device.state.config.length)),
    name: `${device.name}.legacy`,
    widthMax: 4,
    registers: { offsets: names },
    read(at, size) {
      const header = headerBytes();
      return at >= header ? device.readConfig(at - header, size) : (readHeader(device, at, size, readIsr) & allOnes(size)) >>> 0;
    },
    write(at, size, value) {
      const header = headerBytes();
      if (at >= header) device.writeConfig(at - header, size, value);
      else if (at === AT.CONFIG_VECTOR) device.state.configVector = vector(value);
      else if (at === AT.QUEUE_VECTOR) {
        if (device.selected !== undefined) device.selected.vector = vector(value);
      } else writeHeader(device, at, value);
    },
  };
}

function readHeader(device: VirtioDevice, at: number, size: number, readIsr: () => number): number {
  const { state, selected } = device;
  switch (at) {
    case AT.DEVICE_FEATURES:
      return device.offeredWord(0);
    case AT.DRIVER_FEATURES:
      return state.driverFeaturesLow;
    case AT.QUEUE_ADDRESS:
      return selected?.enabled === true ? pageOf(selected.descriptorsLow, selected.descriptorsHigh) : 0;
    case AT.QUEUE_SIZE:
      return device.handler.queueSizes[state.queueSelect] ?? 0;
    case AT.QUEUE_SELECT:
      return state.queueSelect;
    case AT.STATUS:
      return state.status;
    case AT.ISR:
      return readIsr();
    case AT.CONFIG_VECTOR:
      return state.configVector;
    case AT.QUEUE_VECTOR:
      return selected?.vector ?? NO_VECTOR;
    default:
      return allOnes(size);
  }
}

function writeHeader(device: VirtioDevice, at: number, value: number): void {
  switch (at) {
    case AT.DRIVER_FEATURES:
      device.setDriverFeatures(0, value);
      device.setDriverFeatures(1, 0);
      break;
    case AT.QUEUE_ADDRESS:
      placeQueue(device, value >>> 0);
      break;
    case AT.QUEUE_SELECT:
      device.state.queueSelect = value & 0xffff;
      break;
    case AT.QUEUE_NOTIFY:
      device.notify(value & 0xffff);
      break;
    case AT.STATUS:
      device.setStatus(value & 0xff);
      break;
  }
}

const pageOf = (low: number, high: number): number => ((low >>> 12) | (high << 20)) >>> 0;

/** Over PCI the size of a queue is not the driver's choice. 0 takes the queue away. */
function placeQueue(device: VirtioDevice, page: number): void {
  const { selected, state } = device;
  if (selected === undefined) return;
  selected.size = device.handler.queueSizes[state.queueSelect]!;
  placeLegacyQueue(device, page * PAGE_BYTES, ALIGNMENT);
}
