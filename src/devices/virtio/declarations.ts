// The virtio devices that -device can add, with their properties. Names, defaults and help are QEMU's.
import { blockSizeProblem, driveProperties, pciProperties, type DeviceDeclaration } from '../../schema/device.ts';
import { bool, chardevId, choice, str, uint } from '../../schema/property.ts';
import { PORTS_MAX } from './virtio-console.ts';
import { QUEUES_MAX, QUEUE_SIZE_MAX } from './virtio-device.ts';

/** What every virtio device takes, whatever it hangs on. */
const ringProperties = {
  packed: { type: bool, default: false },
  event_idx: { type: bool, default: true },
  indirect_desc: { type: bool, default: true },
} as const;

const overPci = {
  ...pciProperties,
  'disable-legacy': { type: choice('on', 'off', 'auto'), default: 'auto' },
  'disable-modern': { type: bool, default: false },
  vectors: { type: uint(32) },
} as const;

function queueProblem(given: Readonly<Record<string, unknown>>): string | undefined {
  const { 'num-queues': queues, 'queue-size': size } = given as Readonly<Record<string, number | undefined>>;
  if (queues !== undefined && (queues < 1 || queues > QUEUES_MAX)) return `num-queues property must be between 1 and ${QUEUES_MAX}`;
  if (size !== undefined && (size <= 2 || size > QUEUE_SIZE_MAX || !Number.isInteger(Math.log2(size)))) {
    return `invalid queue-size property (${size}), must be a power of 2 (max ${QUEUE_SIZE_MAX})`;
  }
  return undefined;
}

const iothread = { type: str, help: 'accepted: there is one thread that all devices share' } as const;

/** The types by the name that `-pci` and `-device` follow. */
const TYPES = {
  'virtio-blk': {
    category: 'Storage',
    properties: {
      ...driveProperties,
      'num-queues': { type: uint(16), help: 'default: one a processor' },
      'queue-size': { type: uint(16), default: 256 },
      'config-wce': { type: bool, default: true },
      discard: { type: bool, default: true },
      'write-zeroes': { type: bool, default: true },
      iothread,
    },
    check: (given) => queueProblem(given) ?? blockSizeProblem(given),
  },
  'virtio-scsi': {
    category: 'Storage',
    properties: {
      num_queues: { type: uint(32), help: 'default: one a processor' },
      virtqueue_size: { type: uint(32), default: 256 },
      max_sectors: { type: uint(32), default: 65535 },
      cmd_per_lun: { type: uint(32), default: 128 },
      iothread,
    },
    check: ({ num_queues: queues, virtqueue_size: size }) => queueProblem({ 'num-queues': queues, 'queue-size': size }),
  },
  'virtio-rng': { category: 'Misc', properties: { rng: { type: str, help: 'accepted: the source is the host\'s generator' } } },
  'virtio-serial': {
    category: 'Input',
    properties: { max_ports: { type: uint(32), default: PORTS_MAX } },
    check: ({ max_ports: ports }) =>
      typeof ports === 'number' && (ports < 1 || ports > PORTS_MAX)
        ? `Invalid number of ports: ${ports}, maximum is ${PORTS_MAX}`
        : undefined,
  },
  'virtio-balloon': {
    category: 'Misc',
    properties: { 'deflate-on-oom': { type: bool, default: false }, 'free-page-reporting': { type: bool, default: false } },
  },
} as const satisfies Readonly<Record<string, Omit<DeviceDeclaration, 'name' | 'bus'>>>;
export type VirtioType = keyof typeof TYPES;
export const VIRTIO_TYPES = Object.keys(TYPES) as readonly VirtioType[];

/** Each type over PCI, and behind a window of registers (virtio-mmio). */
const onBuses: readonly DeviceDeclaration[] = VIRTIO_TYPES.flatMap((type): readonly DeviceDeclaration[] => [
  { ...TYPES[type], name: `${type}-pci`, bus: 'PCI', properties: { ...overPci, ...ringProperties, ...TYPES[type].properties } },
  { ...TYPES[type], name: `${type}-device`, bus: 'virtio-bus', properties: { ...ringProperties, ...TYPES[type].properties } },
]);

const portProperties = {
  chardev: { type: chardevId, help: 'ID of a chardev to use as a backend' },
  name: { type: str, help: 'the name by which the guest finds the port' },
  nr: { type: uint(32), help: 'number of the port; the first free one when it is not given' },
} as const;

const port = { category: 'Input', bus: 'virtio-serial-bus', properties: portProperties } as const;
export const virtconsole = { name: 'virtconsole', ...port } as const satisfies DeviceDeclaration;
export const virtserialport = { name: 'virtserialport', ...port } as const satisfies DeviceDeclaration;

export const virtioDevices: readonly DeviceDeclaration[] = [...onBuses, virtconsole, virtserialport];
