// The devices that drives with an interface (`-drive if=…`, `-hda`) get without a -device. QEMU's rules for the pc machine.
import { Failure } from '../../base/failure.ts';
import type { Chipset } from '../../machine/chipset.ts';
import type { PlacedDrive } from '../drives/drive-places.ts';
import { FLASH_BANKS_MAX } from '../flash.ts';
import type { DeviceOptions, DriveInterface } from '../options.ts';

type DeviceOf = (drive: PlacedDrive, chipset: Chipset) => Pick<DeviceOptions, 'driver' | 'bus' | 'properties'> | undefined;

const notHere: DeviceOf = ({ interface: type, bus, unit }) => {
  throw new Failure('unsupported', `machine type does not support if=${type},bus=${bus},unit=${unit}`);
};

const ideDevice: DeviceOf = (drive, chipset) => {
  const { id, bus, unit, media } = drive;
  if (bus >= chipset.ataBuses.length || unit >= chipset.ataBuses[bus]!.units.length) return notHere(drive, chipset);
  return { driver: media === 'cdrom' ? 'ide-cd' : 'ide-hd', bus: `ide.${bus}`, properties: { drive: id, unit } };
};

/** By interface: the device for a drive; undefined for what the board or a -device takes. */
const DEVICES: Readonly<Record<DriveInterface, DeviceOf>> = {
  none: () => undefined,
  virtio: ({ id }) => ({ driver: 'virtio-blk-pci', properties: { drive: id } }),
  ide: ideDevice,
  scsi: notHere,
  floppy: ({ id, unit }) => ({ driver: 'floppy', properties: { drive: id, unit } }),
  pflash: (drive, chipset) => (drive.unit < FLASH_BANKS_MAX ? undefined : notHere(drive, chipset)),
};

export function interfaceDevice(drive: PlacedDrive, chipset: Chipset): DeviceOptions | undefined {
  const device = DEVICES[drive.interface](drive, chipset);
  return device === undefined ? undefined : { ...device, ...(drive.origin !== undefined && { origin: drive.origin }) };
}
