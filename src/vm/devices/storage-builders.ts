// Builders of the disk controllers other than virtio's and SCSI's, and of what hangs on them.
import { Failure } from '../../base/failure.ts';
import type { AtaBus } from '../../devices/ata/ata-bus.ts';
import { AtaDisk } from '../../devices/ata/ata-disk.ts';
import { AtapiCd } from '../../devices/ata/atapi-cd.ts';
import { ich9Ahci } from '../../devices/ata/ich9-ahci.ts';
import type { AtaIdentity } from '../../devices/ata/identify.ts';
import { floppyCmos } from '../../devices/floppy/isa-fdc.ts';
import { nvme } from '../../devices/nvme/nvme.ts';
import { MmcDrive } from '../../devices/scsi/mmc-drive.ts';
import type { DeviceBuilders, DeviceSite } from './device-site.ts';

const FIRMWARE = '1.0';
const ATA_KINDS = new Set(['ata-disk', 'atapi-cd']);

/** A serial number for a device that was given none: counted through the machine. */
function countedSerial({ board }: DeviceSite): string {
  const before = [...board.devices.devices.values()].filter((device) => ATA_KINDS.has(device.schema.kind)).length;
  return `ND${String(before + 1).padStart(5, '0')}`;
}

function identityOf(site: DeviceSite, model: string): AtaIdentity {
  return {
    model: site.text('model') ?? model,
    serial: site.text('serial') ?? countedSerial(site),
    firmware: site.text('ver') ?? FIRMWARE,
    wwn: BigInt(site.text('wwn') ?? '0') & 0xffff_ffff_ffff_ffffn,
    physicalBlockBytes: site.number('physical_block_size') ?? 512,
    rotationRate: site.number('rotation_rate') ?? 0,
  };
}

/** The place that `unit=` says, or the first free one. */
function placeOn(bus: AtaBus, site: DeviceSite): number {
  const place = site.number('unit') ?? bus.units.indexOf(undefined);
  const places = bus.units.length;
  if (place >= places) throw new Failure('invalid-argument', `Can't create IDE unit ${place}, bus supports only ${places} units`);
  if (bus.units[place] !== undefined) throw new Failure('invalid-argument', `IDE unit ${place} is in use`);
  return place;
}

const menuLine = (bus: AtaBus, place: number): string => (bus.serialAta ? bus.label : `${bus.label}-${place}`);

function unitPath({ host }: DeviceSite, bus: AtaBus, place: number): string | undefined {
  const path = host.buses.firmwarePath(bus);
  return path === undefined ? undefined : `${path}/disk@${place}`;
}

function buildAhci(site: DeviceSite): void {
  const place = site.pciPlace();
  const { function: own, chip } = ich9Ahci(place.bus, {
    ...place, timers: site.host.timers, multiFunction: site.flag('multifunction') ?? false,
  });
  site.board.devices.add(`${site.name}.pci`, own);
  site.board.devices.add(site.name, chip);
  for (const [n, port] of chip.ports.entries()) {
    const isFull = (): boolean => port.units[0] !== undefined;
    site.host.buses.add('IDE', port, { ownerId: site.options.id, isFull, firmwarePath: site.pciUnitPath(`drive@${n}`) });
  }
}

export const STORAGE_BUILDERS: DeviceBuilders = {
  ahci: buildAhci,
  'ich9-ahci': buildAhci,
  'ide-hd': (site) => {
    const bus = site.bus('IDE');
    const place = placeOn(bus, site);
    const drive = site.drive();
    if (drive.readOnly) throw new Failure('invalid-argument', 'Block node is read-only');
    const disk = new AtaDisk({ drive, identity: identityOf(site, 'NANDU HARDDISK'), serialAta: bus.serialAta });
    bus.attach(place, disk);
    site.board.devices.add(site.name, disk);
    site.addBootDrive(drive, 'disk', menuLine(bus, place), unitPath(site, bus, place));
  },
  'ide-cd': (site) => {
    const bus = site.bus('IDE');
    const place = placeOn(bus, site);
    const drive = site.removableDrive();
    const identity = identityOf(site, 'NANDU DVD-ROM');
    const logicalUnit = new MmcDrive({ drive, vendor: 'NANDU', product: 'DVD-ROM', revision: FIRMWARE, serial: identity.serial });
    const cd = new AtapiCd({ logicalUnit, identity, serialAta: bus.serialAta });
    bus.attach(place, cd);
    site.board.devices.add(site.name, cd);
    site.board.devices.add(`${site.name}.unit`, logicalUnit);
    if (drive !== undefined) site.addBootDrive(drive, 'cdrom', menuLine(bus, place), unitPath(site, bus, place));
  },
  floppy: (site) => {
    const fdc = site.bus('floppy-bus');
    const unit = site.number('unit') ?? fdc.drives.indexOf(undefined);
    if (unit >= fdc.drives.length) {
      const message = `Can't create floppy unit ${unit}, bus supports only ${fdc.drives.length} units`;
      throw new Failure('invalid-argument', message);
    }
    if (fdc.drives[unit] !== undefined) throw new Failure('invalid-argument', `Floppy unit ${unit} is in use`);
    const drive = site.removableDrive();
    if (drive === undefined) throw new Failure('invalid-argument', 'drive property not set');
    fdc.attach(unit, drive);
    const { rtc } = site.board;
    rtc?.setCmos(floppyCmos(fdc, rtc.state.cmos));
    site.addBootDrive(drive, 'floppy', 'Floppy', `${site.host.buses.firmwarePath(fdc)}/floppy@${unit}`);
  },
  nvme: (site) => {
    const place = site.pciPlace();
    const drive = site.drive();
    const { function: own, chip, msix } = nvme(place.bus, {
      ...place, timers: site.host.timers, drive, serial: site.text('serial') ?? '',
      blockBytes: site.number('logical_block_size') ?? 512, multiFunction: site.flag('multifunction') ?? false,
    });
    site.board.devices.add(`${site.name}.pci`, own);
    site.board.devices.add(`${site.name}.msix`, msix);
    site.board.devices.add(site.name, chip);
    site.addBootDrive(drive, 'disk', 'NVMe disk', site.pciUnitPath('namespace@1,0'));
  },
};
