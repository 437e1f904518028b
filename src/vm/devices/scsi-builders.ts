// Builders of the units on a SCSI bus.
import { MmcDrive } from '../../devices/scsi/mmc-drive.ts';
import { SbcDisk } from '../../devices/scsi/sbc-disk.ts';
import type { ScsiUnit } from '../../devices/scsi/scsi-bus.ts';
import { given, type DeviceBuilders, type DeviceSite } from './device-site.ts';

const VENDOR = 'NANDU';
const REVISION = '1.0';
/** What a drive without a serial number is called where a name is needed. */
const unnamed = (site: DeviceSite): string => site.text('device_id') ?? site.text('serial') ?? site.text('drive') ?? site.name;

/** Where it is for the boot menu and for the boot order. */
function attach(site: DeviceSite, unit: ScsiUnit): { readonly place: string; readonly path: string | undefined } {
  const bus = site.bus('SCSI');
  const controller = site.host.buses.firmwarePath(bus);
  const { target, lun } = bus.attach(unit, given({ target: site.number('scsi-id'), lun: site.number('lun') }));
  const path = controller === undefined ? undefined : `${controller}/disk@${target.toString(16)},${lun.toString(16)}`;
  return { place: `SCSI ${target}:${lun}`, path };
}

const identityOf = (site: DeviceSite, product: string) => ({
  vendor: site.text('vendor') ?? VENDOR, product: site.text('product') ?? product, revision: site.text('ver') ?? REVISION,
});

export const SCSI_BUILDERS: DeviceBuilders = {
  'scsi-hd': (site) => {
    const drive = site.drive();
    const identity = {
      ...identityOf(site, 'NANDU HARDDISK'), serial: site.text('serial'), deviceId: unnamed(site), wwn: BigInt(site.text('wwn') ?? 0),
      removable: site.flag('removable'), rotationRate: site.number('rotation_rate'),
    };
    const disk = new SbcDisk({
      drive, identity,
      ...given({
        blockBytes: site.number('logical_block_size'), physicalBlockBytes: site.number('physical_block_size'),
        minIoBytes: site.number('min_io_size'), optIoBytes: site.number('opt_io_size'),
        discardGranularity: site.number('discard_granularity'),
      }),
    });
    const { place, path } = attach(site, disk);
    site.board.devices.add(site.name, disk);
    site.addBootDrive(drive, 'disk', `${place} disk`, path);
  },
  'scsi-cd': (site) => {
    const drive = site.removableDrive();
    const unit = new MmcDrive({ drive, ...identityOf(site, 'NANDU DVD-ROM'), serial: site.text('serial') ?? unnamed(site) });
    const { place, path } = attach(site, unit);
    site.board.devices.add(site.name, unit);
    if (drive !== undefined) site.addBootDrive(drive, 'cdrom', `${place} CD`, path);
  },
};
