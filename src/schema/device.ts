// How a device that `-device` can add is declared: its name, where it plugs in, its properties. The devices' catalogue is
// a list of these; the command line, `-device help` and `-device NAME,help` read it.
import { bool, choice, driveId, int32, pciAddress, size, str, type Properties } from './property.ts';

export interface DeviceDeclaration {
  readonly name: string;
  // prettier-ignore
  readonly category: 'Controller/Bridge/Hub' | 'USB' | 'Storage' | 'Network' | 'Input' | 'Display' | 'Sound' | 'Misc' | 'CPU' | 'Watchdog' | 'Uncategorized';
  /** The kind of bus that it plugs into; `bus=` names one. */
  readonly bus?: string;
  readonly description?: string;
  readonly properties: Properties;
  /** Says what is missing or impossible in a set of properties, for an error in one line. */
  readonly check?: (properties: Readonly<Record<string, unknown>>) => string | undefined;
}

/** What every device on a PCI bus takes. */
export const pciProperties = {
  addr: { type: pciAddress, help: 'Slot and optional function number, example: 06.0 or 06' },
  multifunction: { type: bool, default: false },
} as const satisfies Properties;

/** What every device with a disk behind it takes. */
export const driveProperties = {
  drive: { type: driveId, help: 'Node name or ID of a block device to use as a backend' },
  bootindex: { type: int32 },
  serial: { type: str },
  logical_block_size: { type: size(), help: 'A power of two between 512 B and 2 MiB', default: 512 },
  physical_block_size: { type: size(), help: 'A power of two between 512 B and 2 MiB', default: 512 },
  min_io_size: { type: size(), default: 0 },
  opt_io_size: { type: size(), default: 0 },
  discard_granularity: { type: size(), default: 4294967295 },
  'write-cache': { type: choice('on', 'off', 'auto'), default: 'auto' },
  'share-rw': { type: bool, default: false },
  rerror: { type: choice('auto', 'report', 'ignore', 'stop'), help: 'Error handling policy', default: 'auto' },
  werror: { type: choice('auto', 'report', 'ignore', 'enospc', 'stop'), help: 'Error handling policy', default: 'auto' },
} as const satisfies Properties;

/** What is wrong with the block sizes that a user gave. */
export function blockSizeProblem(given: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of ['logical_block_size', 'physical_block_size']) {
    const value = given[name];
    if (typeof value !== 'number') continue;
    if (value < 512 || value > 2 * 1024 * 1024) {
      return `Property .${name} doesn't take value ${value} (minimum: 512, maximum: 2097152)`;
    }
    if (!Number.isInteger(Math.log2(value))) return `Property .${name} doesn't take value '${value}', it's not a power of 2`;
  }
  const { logical_block_size: logical = 512, physical_block_size: physical = 512 } = given as Readonly<Record<string, number>>;
  const isTooBig = logical > physical && given['physical_block_size'] !== undefined;
  return isTooBig ? 'logical_block_size > physical_block_size not supported' : undefined;
}

/** The text of `-device help`. */
export function deviceListHelp(devices: readonly DeviceDeclaration[]): string {
  const categories = [...new Set(devices.map((device) => device.category))];
  return categories
    .map((category) => {
      const rows = devices
        .filter((device) => device.category === category)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, bus, description }) => {
          return `name "${name}"${bus === undefined ? '' : `, bus ${bus}`}${description === undefined ? '' : `, desc "${description}"`}\n`;
        });
      return `${category} devices:\n${rows.join('')}`;
    })
    .join('\n');
}
