// Builds what `-device` names on the board. Properties have been checked against the catalogue; what is not given takes
// the device's own default.
import { Failure } from '../base/failure.ts';
import { ISA_SERIAL_DEFAULTS, isaSerial } from '../devices/char/isa-serial.ts';
import { isaDebugcon } from '../devices/char/debugcon.ts';
import { isaDebugExit } from '../devices/misc/debug-exit.ts';
import { pcTestdev } from '../devices/misc/pc-testdev.ts';
import type { PcBoard } from '../machine/pc.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import type { DeviceOptions, DevicePropertyValue } from './options.ts';

export interface DeviceWires {
  readonly exit: (code: number) => void;
}

type Properties = Readonly<Record<string, DevicePropertyValue>>;
const numeric = (properties: Properties, name: string): number | undefined => {
  const value = properties[name];
  return value === undefined ? undefined : Number(value);
};
const backendOf = (properties: Properties): CharBackend | undefined => properties['chardev'] as CharBackend | undefined;

/** Only the members that were given, so that defaults stay the device's. */
function given<T extends Record<string, unknown>>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

const BUILDERS: Readonly<Record<string, (board: PcBoard, properties: Properties, wires: DeviceWires) => void>> = {
  'isa-debug-exit': (board, properties, { exit }) =>
    isaDebugExit(board.isa, { ...given({ iobase: numeric(properties, 'iobase'), iosize: numeric(properties, 'iosize') }), exit }),
  'pc-testdev': (board) => {
    const irqs = Array.from({ length: 16 }, (_, n) => board.isa.irq(n));
    board.devices.add('pc-testdev', pcTestdev(board.bus, { irqs }));
  },
  'isa-serial': (board, properties) => {
    const index = numeric(properties, 'index') ?? board.serialCount;
    const defaults = ISA_SERIAL_DEFAULTS[index];
    if (defaults === undefined) throw new Failure('invalid-argument', "Property 'isa-serial.index' doesn't take a value above 3");
    const iobase = numeric(properties, 'iobase') ?? defaults.iobase;
    const irq = numeric(properties, 'irq') ?? defaults.irq;
    board.devices.add(`isa-serial${board.serialCount++}`, isaSerial(board.isa, { iobase, irq, backend: backendOf(properties) }));
  },
  'isa-debugcon': (board, properties) =>
    isaDebugcon(board.isa, given({
      iobase: numeric(properties, 'iobase'), readback: numeric(properties, 'readback'), backend: backendOf(properties),
    })),
};

export function addDevices(board: PcBoard, devices: readonly DeviceOptions[], wires: DeviceWires): void {
  for (const { driver, properties } of devices) {
    const build = BUILDERS[driver];
    if (build === undefined) throw new Failure('unsupported', `'${driver}' is not a valid device model name`);
    build(board, properties, wires);
  }
}
