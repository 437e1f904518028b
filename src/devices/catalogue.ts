// The devices that `-device` can add, with their properties. What builds them is the vm's; what they do is in their files.
import type { DeviceDeclaration } from '../schema/device.ts';
import { chardevId, uint } from '../schema/property.ts';

// prettier-ignore
export const deviceCatalogue: readonly DeviceDeclaration[] = [
  {
    name: 'isa-debug-exit', category: 'Misc', bus: 'ISA',
    description: 'a write ends the emulator with status (value << 1) | 1',
    properties: {
      iobase: { type: uint(32), default: 0x501 },
      iosize: { type: uint(32), default: 2 },
    },
  },
  {
    name: 'isa-debugcon', category: 'Misc', bus: 'ISA',
    description: 'a port that prints what is written to it',
    properties: {
      chardev: { type: chardevId, help: 'ID of a chardev to use as a backend' },
      iobase: { type: uint(32), default: 0xe9 },
      readback: { type: uint(32), default: 0xe9 },
    },
    check: ({ chardev }) => (chardev === undefined ? "Can't create debugcon device, empty char device" : undefined),
  },
  { name: 'pc-testdev', category: 'Misc', bus: 'ISA', description: 'ports for programs that test a PC', properties: {} },
];
