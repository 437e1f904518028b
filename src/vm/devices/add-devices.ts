// Builds what `-device` and drives with an interface name. Properties have been checked against the catalogue; what is not
// given takes the device's own default.
import { Failure } from '../../base/failure.ts';
import { pciFirmwarePath } from '../../machine/firmware-path.ts';
import { inContext } from '../../schema/command-line.ts';
import type { DeviceOptions } from '../options.ts';
import { DeviceSite, type DeviceBuilders, type DeviceHost } from './device-site.ts';
import { interfaceDevice } from './interface-devices.ts';
import { ISA_BUILDERS } from './isa-builders.ts';
import { STORAGE_BUILDERS } from './storage-builders.ts';
import { SCSI_BUILDERS } from './scsi-builders.ts';
import { VIRTIO_BUILDERS } from './virtio-builders.ts';

const BUILDERS: DeviceBuilders = { ...ISA_BUILDERS, ...SCSI_BUILDERS, ...VIRTIO_BUILDERS, ...STORAGE_BUILDERS };

export function addDevices(host: DeviceHost, devices: readonly DeviceOptions[]): void {
  host.buses.add('PCI', host.board.pci, { name: host.board.chipset.pciBusName });
  host.buses.add('ISA', host.board.isa, { name: 'isa.0' });
  const { ataBuses, ataPlace } = host.board.chipset;
  const ataPath = pciFirmwarePath(host.board.pci, ataPlace.slot, ataPlace.number);
  for (const [n, bus] of ataBuses.entries()) {
    host.buses.add('IDE', bus, { isFull: () => !bus.units.includes(undefined), firmwarePath: `${ataPath}/drive@${n}` });
  }
  const { fdc } = host.board;
  host.buses.add('floppy-bus', fdc, { isFull: () => !fdc.drives.includes(undefined) });
  for (const options of devices) addDevice(host, options);
  for (const drive of host.drives.placed) {
    const options = inOrigin(drive.origin, () => interfaceDevice(drive, host.board.chipset));
    if (options !== undefined) addDevice(host, options);
  }
}

function addDevice(host: DeviceHost, options: DeviceOptions): void {
  const { driver, origin } = options;
  inOrigin(origin, () => {
    const build = Object.hasOwn(BUILDERS, driver) ? BUILDERS[driver] : undefined;
    if (build === undefined) throw new Failure('unsupported', `'${driver}' is not a valid device model name`);
    build(new DeviceSite(host, options));
  });
}

const inOrigin = <T>(origin: string | undefined, action: () => T): T => (origin === undefined ? action() : inContext(origin, action));
