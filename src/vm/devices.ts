// Builds what `-device` names on the board. Properties have been checked against the catalogue; what is not given takes
// the device's own default.
import { Failure } from '../base/failure.ts';
import { isaDebugcon } from '../devices/char/debugcon.ts';
import { isaDebugExit } from '../devices/misc/debug-exit.ts';
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
/** Only the members that were given, so that defaults stay the device's. */
function given<T extends Record<string, unknown>>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

const BUILDERS: Readonly<Record<string, (board: PcBoard, properties: Properties, wires: DeviceWires) => void>> = {
  'isa-debug-exit': (board, properties, { exit }) =>
    isaDebugExit(board.isa, { ...given({ iobase: numeric(properties, 'iobase'), iosize: numeric(properties, 'iosize') }), exit }),
  'isa-debugcon': (board, properties) =>
    isaDebugcon(board.isa, given({ iobase: numeric(properties, 'iobase'), readback: numeric(properties, 'readback'), backend: properties['chardev'] as CharBackend | undefined })),
};

export function addDevices(board: PcBoard, devices: readonly DeviceOptions[], wires: DeviceWires): void {
  for (const { driver, properties } of devices) {
    const build = BUILDERS[driver];
    if (build === undefined) throw new Failure('unsupported', `'${driver}' is not a valid device model name`);
    build(board, properties, wires);
  }
}
