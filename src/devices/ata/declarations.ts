// The ATA devices that -device can add, with their properties.
import { blockSizeProblem, driveProperties, pciProperties, type DeviceDeclaration } from '../../schema/device.ts';
import { str, uint, type Properties } from '../../schema/property.ts';

const BUS = 'IDE';

const unitProperties = {
  ...driveProperties,
  unit: { type: uint(32), help: 'place on the bus: 0 is the master, 1 the slave' },
  model: { type: str },
  ver: { type: str, help: 'firmware revision' },
  wwn: { type: str, help: 'world wide name, a number of 64 bits', default: '0' },
} as const satisfies Properties;

/** Sectors of ATA devices have 512 bytes. */
function unitProblem(given: Readonly<Record<string, unknown>>): string | undefined {
  if ((given['logical_block_size'] ?? 512) !== 512) return 'logical_block_size must be 512 for IDE';
  const { wwn } = given;
  if (typeof wwn === 'string' && !/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(wwn)) return "Parameter 'wwn' expects uint64";
  return blockSizeProblem(given);
}

const hostAdapter = { category: 'Storage', bus: 'PCI', description: 'AHCI controller with six ports', properties: pciProperties } as const;

export const ataDevices: readonly DeviceDeclaration[] = [
  {
    name: 'ide-hd',
    category: 'Storage',
    bus: BUS,
    description: 'virtual IDE disk',
    properties: { ...unitProperties, rotation_rate: { type: uint(16), default: 0 } },
    check: unitProblem,
  },
  { name: 'ide-cd', category: 'Storage', bus: BUS, description: 'virtual IDE CD-ROM', properties: unitProperties, check: unitProblem },
  { name: 'ahci', ...hostAdapter },
  { name: 'ich9-ahci', ...hostAdapter },
];
