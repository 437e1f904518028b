// The devices that `-device` can add and the ones every machine has, with the properties a user may set: what
// `-device help` and `-device NAME,help` print and what the command line checks. Building them is the machine's.
import type { DeviceDeclaration } from '../schema/device.ts';
import { chardevId, uint } from '../schema/property.ts';
import { ataDevices } from './ata/declarations.ts';
import { floppyDevice } from './floppy/declaration.ts';
import { nvmeDevice } from './nvme/declaration.ts';
import { scsiDevices } from './scsi/declarations.ts';
import { virtioDevices } from './virtio/declarations.ts';

const chardev = { type: chardevId, help: 'ID of a chardev to use as a backend' } as const;

const PORTS = 0x1_0000;
const ISA_IRQS = 16;

/** A device with `size` ports from `iobase` must fit into the port space. */
const portsFit = ({ iobase, iosize }: Readonly<Record<string, unknown>>, size: number): string | undefined =>
  typeof iobase === 'number' && iobase + (typeof iosize === 'number' ? iosize : size) > PORTS
    ? `I/O ports from 0x${iobase.toString(16)} do not fit below 0x10000`
    : undefined;

export const isaSerialDevice = {
  name: 'isa-serial',
  category: 'Input',
  bus: 'ISA',
  description: '16550A UART',
  properties: {
    chardev,
    index: { type: uint(32), help: 'which COM port: sets iobase and irq' },
    iobase: { type: uint(32), help: 'first I/O port', default: 0x3f8 },
    irq: { type: uint(32), help: 'interrupt line', default: 4 },
  },
  check(given) {
    if (typeof given['index'] === 'number' && given['index'] > 3) return 'Max. supported number of ISA serial ports is 4.';
    if (typeof given['irq'] === 'number' && given['irq'] >= ISA_IRQS) return `Maximum value for "irq" is: ${ISA_IRQS - 1}`;
    return portsFit(given, 8);
  },
} as const satisfies DeviceDeclaration;

export const isaDebugconDevice = {
  name: 'isa-debugcon',
  category: 'Misc',
  bus: 'ISA',
  description: 'console that prints what is written to a port',
  properties: {
    chardev,
    iobase: { type: uint(32), help: 'I/O port', default: 0xe9 },
    readback: { type: uint(32), help: 'value that reads return', default: 0xe9 },
  },
  check: (given) => portsFit(given, 1),
} as const satisfies DeviceDeclaration;

export const isaDebugExitDevice = {
  name: 'isa-debug-exit',
  category: 'Misc',
  bus: 'ISA',
  description: 'ends the emulator with status (value << 1) | 1',
  properties: {
    iobase: { type: uint(32), help: 'first I/O port', default: 0x501 },
    iosize: { type: uint(32), help: 'number of I/O ports', default: 2 },
  },
  check: (given) => (given['iosize'] === 0 ? 'iosize must be at least 1' : portsFit(given, 2)),
} as const satisfies DeviceDeclaration;

export const pcTestdevDevice = {
  name: 'pc-testdev',
  category: 'Misc',
  bus: 'ISA',
  description: 'interrupt lines, ports and memory for test guests',
  properties: {},
} as const satisfies DeviceDeclaration;

export const deviceCatalogue: readonly DeviceDeclaration[] = [
  isaSerialDevice, isaDebugconDevice, isaDebugExitDevice, pcTestdevDevice,
  ...scsiDevices, ...virtioDevices, ...ataDevices, nvmeDevice, floppyDevice,
];
