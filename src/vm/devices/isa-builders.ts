// Builders of the devices on the ISA bus.
import { Failure } from '../../base/failure.ts';
import { isaDebugcon } from '../../devices/char/debugcon.ts';
import { ISA_SERIAL_DEFAULTS, isaSerial } from '../../devices/char/isa-serial.ts';
import { isaDebugExit } from '../../devices/misc/debug-exit.ts';
import { pcTestdev } from '../../devices/misc/pc-testdev.ts';
import { given, type DeviceBuilders } from './device-site.ts';

export const ISA_BUILDERS: DeviceBuilders = {
  'isa-debug-exit': (site) =>
    isaDebugExit(site.bus('ISA'), {
      ...given({ iobase: site.number('iobase'), iosize: site.number('iosize') }),
      exit: site.host.exit,
    }),
  'pc-testdev': (site) => {
    const isa = site.bus('ISA');
    const irqs = Array.from({ length: 16 }, (_, n) => isa.irq(n));
    site.board.devices.add('pc-testdev', pcTestdev(site.board.bus, { irqs }));
  },
  'isa-serial': (site) => {
    const { board } = site;
    const index = site.number('index') ?? board.serialCount;
    const defaults = ISA_SERIAL_DEFAULTS[index];
    if (defaults === undefined) throw new Failure('invalid-argument', "Property 'isa-serial.index' doesn't take a value above 3");
    const iobase = site.number('iobase') ?? defaults.iobase;
    const irq = site.number('irq') ?? defaults.irq;
    board.devices.add(`isa-serial${board.serialCount++}`, isaSerial(site.bus('ISA'), { iobase, irq, backend: site.chardev }));
  },
  'isa-debugcon': (site) =>
    isaDebugcon(
      site.bus('ISA'),
      given({ iobase: site.number('iobase'), readback: site.number('readback'), backend: site.chardev }),
    ),
};
