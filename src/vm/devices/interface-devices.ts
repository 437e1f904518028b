// The devices that drives with an interface (`-drive if=…`, `-hda`) get without a -device. QEMU's rules for the pc machine.
import { Failure } from '../../base/failure.ts';
import type { Board } from '../../machine/board.ts';
import type { PlacedDrive } from '../drives/drive-places.ts';
import { FLASH_BANKS_MAX } from '../flash.ts';
import type { DeviceOptions, DriveInterface } from '../options.ts';

type DeviceOf = (drive: PlacedDrive, board: Board) => Pick<DeviceOptions, 'driver' | 'bus' | 'properties'> | undefined;

const notHere: DeviceOf = ({ interface: type, bus, unit }) => {
  throw new Failure('unsupported', `machine type does not support if=${type},bus=${bus},unit=${unit}`);
};

const ideDevice: DeviceOf = (drive, board) => {
  const { id, bus, unit, media } = drive;
  const units = board.chipset?.ataBuses[bus]?.units.length ?? 0;
  if (unit >= units) return notHere(drive, board);
  return { driver: media === 'cdrom' ? 'ide-cd' : 'ide-hd', bus: `ide.${bus}`, properties: { drive: id, unit } };
};

/** By interface: the device for a drive; undefined for what the board or a -device takes. */
const DEVICES: Readonly<Record<DriveInterface, DeviceOf>> = {
  none: () => undefined,
  virtio: ({ id }) => ({ driver: 'virtio-blk-pci', properties: { drive: id } }),
  ide: ideDevice,
  scsi: notHere,
  floppy: (drive, board) =>
    board.fdc === undefined ? notHere(drive, board) : { driver: 'floppy', properties: { drive: drive.id, unit: drive.unit } },
  pflash: (drive, board) => (board.chipset !== undefined && drive.unit < FLASH_BANKS_MAX ? undefined : notHere(drive, board)),
};

export function interfaceDevice(drive: PlacedDrive, board: Board): DeviceOptions | undefined {
  const device = DEVICES[drive.interface](drive, board);
  return device === undefined ? undefined : { ...device, ...(drive.origin !== undefined && { origin: drive.origin }) };
}
