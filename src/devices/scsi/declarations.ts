// The SCSI devices that -device can add, with their properties.
import { blockSizeProblem, driveProperties, type DeviceDeclaration } from '../../schema/device.ts';
import { bool, str, uint, type Properties } from '../../schema/property.ts';

const unitProperties = {
  ...driveProperties,
  channel: { type: uint(32), default: 0 },
  'scsi-id': { type: uint(32), help: 'target; the first free one when it is not given' },
  lun: { type: uint(32), help: 'logical unit; the first free one when it is not given' },
  vendor: { type: str },
  product: { type: str },
  ver: { type: str, help: 'revision' },
  device_id: { type: str, help: 'name of the unit; the serial number when it is not given' },
  wwn: { type: str, help: 'world wide name, a number of 64 bits', default: '0' },
} as const satisfies Properties;

function unitProblem(given: Readonly<Record<string, unknown>>): string | undefined {
  const { wwn, channel } = given;
  if (typeof wwn === 'string' && !/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(wwn)) return "Parameter 'wwn' expects uint64";
  if ((channel ?? 0) !== 0) return `bad scsi channel id: ${String(channel)}`;
  return blockSizeProblem(given);
}

export const scsiDevices: readonly DeviceDeclaration[] = [
  {
    name: 'scsi-hd',
    category: 'Storage',
    bus: 'SCSI',
    description: 'virtual SCSI disk',
    properties: { ...unitProperties, removable: { type: bool, default: false }, rotation_rate: { type: uint(16), default: 0 } },
    check: unitProblem,
  },
  { name: 'scsi-cd', category: 'Storage', bus: 'SCSI', description: 'virtual SCSI CD-ROM', properties: unitProperties, check: unitProblem },
];
