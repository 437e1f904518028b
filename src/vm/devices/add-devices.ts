// Builds what `-device` and drives with an interface name. Properties have been checked against the catalogue; what is not
// given takes the device's own default.
import { Failure } from '../../base/failure.ts';
import type { Chipset } from '../../machine/chipset.ts';
import { isaFirmwarePath, pciFirmwarePath } from '../../machine/firmware-path.ts';
import { inContext } from '../../schema/command-line.ts';
import type { DeviceOptions } from '../options.ts';
import type { BusTree } from './bus-tree.ts';
import { DeviceSite, type DeviceBuilders, type DeviceHost } from './device-site.ts';
import { interfaceDevice } from './interface-devices.ts';
import { ISA_BUILDERS } from './isa-builders.ts';
import { STORAGE_BUILDERS } from './storage-builders.ts';
import { SCSI_BUILDERS } from './scsi-builders.ts';
import { VIRTIO_BUILDERS } from './virtio-builders.ts';

const BUILDERS: DeviceBuilders = { ...ISA_BUILDERS, ...SCSI_BUILDERS, ...VIRTIO_BUILDERS, ...STORAGE_BUILDERS };

export function addDevices(host: DeviceHost, devices: readonly DeviceOptions[]): void {
  addBoardBuses(host);
  for (const options of devices) addDevice(host, options);
  for (const drive of host.drives.placed) {
    const options = inOrigin(drive.origin, () => interfaceDevice(drive, host.board));
    if (options !== undefined) addDevice(host, options);
  }
}

/** The buses that the board has from the beginning. */
function addBoardBuses({ board, buses }: DeviceHost): void {
  const { chipset, fdc, isa, virtioWindows } = board;
  if (chipset !== undefined) addChipsetBuses(buses, chipset);
  buses.add('ISA', isa, { name: 'isa.0' });
  if (chipset !== undefined && fdc !== undefined) {
    const firmwarePath = `${isaFirmwarePath(chipset.pci)}/fdc@03f0`;
    buses.add('floppy-bus', fdc, { isFull: () => !fdc.drives.includes(undefined), firmwarePath });
  }
  for (const { name, window } of virtioWindows) buses.add('virtio-bus', window, { name, isFull: () => window.device !== undefined });
}

function addChipsetBuses(buses: BusTree, { pci, pciBusName, ataBuses, ataPlace }: Chipset): void {
  buses.add('PCI', pci, { name: pciBusName });
  const ataPath = pciFirmwarePath(pci, ataPlace.slot, ataPlace.number);
  for (const [n, bus] of ataBuses.entries()) {
    buses.add('IDE', bus, { isFull: () => !bus.units.includes(undefined), firmwarePath: `${ataPath}/drive@${n}` });
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
