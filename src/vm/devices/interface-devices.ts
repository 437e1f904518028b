// The devices that drives with an interface (`-drive if=…`, `-hda`) get without a -device. QEMU's rules for the pc machine.
import { Failure } from '../../base/failure.ts';
import type { PlacedDrive } from '../drives/drive-places.ts';
import { FLASH_BANKS_MAX } from '../flash.ts';
import type { DeviceOptions, DriveInterface } from '../options.ts';

type DeviceOf = (drive: PlacedDrive) => Pick<DeviceOptions, 'driver' | 'bus' | 'properties'> | undefined;

const notHere: DeviceOf = ({ interface: type, bus, unit }) => {
  throw new Failure('unsupported', `machine type does not support if=${type},bus=${bus},unit=${unit}`);
};

/** By interface: the device for a drive; undefined for what the board or a -device takes. */
const DEVICES: Readonly<Record<DriveInterface, DeviceOf>> = {
  none: () => undefined,
  virtio: ({ id }) => ({ driver: 'virtio-blk-pci', properties: { drive: id } }),
  ide: notHere,
  scsi: notHere,
  floppy: notHere,
  pflash: (drive) => (drive.unit < FLASH_BANKS_MAX ? undefined : notHere(drive)),
};

export function interfaceDevice(drive: PlacedDrive): DeviceOptions | undefined {
  const device = DEVICES[drive.interface](drive);
  return device === undefined ? undefined : { ...device, ...(drive.origin !== undefined && { origin: drive.origin }) };
}
