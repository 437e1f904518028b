// Builders of the virtio devices: each type once, over PCI (`-pci`) and behind a window of registers (`-device`).
import { Failure } from '../../base/failure.ts';
import { VirtioBalloon } from '../../devices/virtio/virtio-balloon.ts';
import type { VirtioType } from '../../devices/virtio/declarations.ts';
import { VirtioBlk } from '../../devices/virtio/virtio-blk.ts';
import type { VirtioDevice, VirtioHandler } from '../../devices/virtio/virtio-device.ts';
import { VirtioConsole } from '../../devices/virtio/virtio-console.ts';
import { VirtioPci } from '../../devices/virtio/virtio-pci.ts';
import { VirtioRng } from '../../devices/virtio/virtio-rng.ts';
import { VirtioScsi } from '../../devices/virtio/virtio-scsi.ts';
import { given, type DeviceBuilder, type DeviceBuilders, type DeviceSite } from './device-site.ts';

const STORAGE = 0x01_0000;
const COMMUNICATION = 0x07_8000;
const OTHER = 0x00_ff00;

interface Placement {
  readonly classCode: number;
  /** The device id of the legacy interface, less 0x1000; absent where there never was one. */
  readonly legacyId?: number;
  /** MSI-X vectors unless the user says so; default: one a queue, and one for the configuration. */
  readonly vectors?: number;
}

/** How a device is reached. */
interface Transport {
  readonly plugIn: (handler: VirtioHandler, placement: Placement) => VirtioDevice;
  /** The Open Firmware path of a unit of the device. */
  readonly unitPath: (unit: string) => string;
}

const ringOptions = (site: DeviceSite) =>
  given({ packed: site.flag('packed'), eventIndex: site.flag('event_idx'), indirect: site.flag('indirect_desc') });

const overPci = (site: DeviceSite): Transport => ({
  plugIn(handler, { classCode, legacyId, vectors }) {
    const modern = site.flag('disable-modern') !== true;
    const legacy = site.text('disable-legacy') !== 'on' && legacyId !== undefined;
    if (!modern && !legacy) {
      throw new Failure('invalid-argument', 'device cannot work as neither modern nor legacy mode is enabled');
    }
    const transport = new VirtioPci({
      ...site.pciPlace(), pci: site.bus('PCI'), handler, classCode, modern,
      legacyId: legacy ? legacyId : undefined,
      vectors: site.number('vectors') ?? vectors ?? handler.queueSizes.length + 1,
      ...ringOptions(site), ...given({ multiFunction: site.flag('multifunction') }),
    });
    for (const [name, device] of transport.parts(site.name)) site.board.devices.add(name, device);
    return transport.device;
  },
  unitPath: (unit) => site.pciUnitPath(unit),
});

function overMmio(site: DeviceSite): Transport {
  const window = site.bus('virtio-bus');
  return {
    plugIn(handler) {
      const device = window.plugIn(handler, ringOptions(site));
      site.board.devices.add(site.name, device);
      return device;
    },
    unitPath: (unit) => `/virtio-mmio@${window.base.toString(16).padStart(16, '0')}/${unit}`,
  };
}

const TYPES: Readonly<Record<VirtioType, (site: DeviceSite, transport: Transport) => void>> = {
  'virtio-blk': (site, transport) => {
    const drive = site.drive('virtio-blk-device');
    const handler = new VirtioBlk({
      drive,
      ...given({
        serial: site.text('serial'), queues: site.number('num-queues'), queueSize: site.number('queue-size'),
        logicalBlockSize: site.number('logical_block_size'), physicalBlockSize: site.number('physical_block_size'),
        minIoSize: site.number('min_io_size'), optIoSize: site.number('opt_io_size'),
        discardGranularity: site.number('discard_granularity'),
        discard: site.flag('discard'), writeZeroes: site.flag('write-zeroes'), configWce: site.flag('config-wce'),
      }),
    });
    transport.plugIn(handler, { classCode: STORAGE, legacyId: 1 });
    drive.onResize = () => handler.resized();
    site.addBootDrive(drive, 'disk', 'Virtio disk', transport.unitPath('disk@0,0'));
  },
  'virtio-scsi': (site, transport) => {
    const handler = new VirtioScsi(
      given({
        queues: site.number('num_queues'), queueSize: site.number('virtqueue_size'), maxSectors: site.number('max_sectors'),
        commandsPerLun: site.number('cmd_per_lun'),
      }),
    );
    transport.plugIn(handler, { classCode: STORAGE, legacyId: 4 });
    site.host.buses.add('SCSI', handler.bus, { ownerId: site.options.id, firmwarePath: transport.unitPath('channel@0') });
  },
  'virtio-rng': (site, transport) => {
    transport.plugIn(new VirtioRng(site.host.fillRandom), { classCode: OTHER, legacyId: 5 });
  },
  'virtio-balloon': (site, transport) => {
    const { ramBytes, discard } = site.host.ram;
    const reporting = site.flag('free-page-reporting');
    const balloon = new VirtioBalloon({ ramBytes, discard, ...given({ deflateOnOom: site.flag('deflate-on-oom'), reporting }) });
    if (site.host.balloons.length > 0) throw new Failure('invalid-argument', 'Only one balloon device is supported');
    site.host.balloons.push(balloon);
    transport.plugIn(balloon, { classCode: OTHER, legacyId: 2 });
  },
  'virtio-serial': (site, transport) => {
    const handler = new VirtioConsole(site.number('max_ports'));
    transport.plugIn(handler, { classCode: COMMUNICATION, legacyId: 3, vectors: 2 });
    site.host.buses.add('virtio-serial-bus', handler, { ownerId: site.options.id });
  },
};

const onBuses = Object.entries(TYPES).flatMap(([type, build]): [string, DeviceBuilder][] => [
  [`${type}-pci`, (site) => build(site, overPci(site))],
  [`${type}-device`, (site) => build(site, overMmio(site))],
]);

export const VIRTIO_BUILDERS: DeviceBuilders = {
  ...Object.fromEntries(onBuses),
  virtconsole: (site) => addPort(site, true),
  virtserialport: (site) => addPort(site, false),
};

function addPort(site: DeviceSite, isConsole: boolean): void {
  const port = { isConsole, backend: site.chardev, portName: site.text('name'), number: site.number('nr') };
  site.bus('virtio-serial-bus').addPort(port);
}
