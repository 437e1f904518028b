// The chipset of machine `pc`: i440FX, PIIX3 with its IDE channels, and the power management function of the PIIX4. Wiring only.
import { PciBus } from '../bus/pci-bus.ts';
import { piix3Ide } from '../devices/ata/piix3-ide.ts';
import { i440fx } from '../devices/chipset/i440fx.ts';
import { piix3, PIIX3_ROUTES } from '../devices/chipset/piix3.ts';
import { piix4Pm } from '../devices/chipset/piix4-pm.ts';
import { PirqRouter } from '../devices/chipset/pirq-router.ts';
import { isaResetControl } from '../devices/chipset/reset-control.ts';
import type { Chipset, ChipsetWires } from './chipset.ts';

export function pcChipset({ bus, isa, devices, timers, memory, sendMessage, reset, sleep, pamChanged }: ChipsetWires): Chipset {
  const router = new PirqRouter({ irqs: Array.from({ length: 16 }, (_, n) => isa.irq(n)), registers: PIIX3_ROUTES });
  const pci = new PciBus({ bus, memory, sendMessage, pirqs: PIIX3_ROUTES.map((_, n) => router.line(n)) });
  devices.add('i440fx', i440fx(pci, { pamChanged }));
  devices.add('piix3', piix3(pci, router));
  devices.add('pirq-router', router);
  devices.add('reset-control', isaResetControl(bus, reset));
  const pm = piix4Pm(bus, pci, { timers, sci: isa.irq(9), sleep });
  devices.add('piix4-pm', pm.function);
  devices.add('acpi-pm', pm.pm);
  const ide = piix3Ide(pci, { irqs: [isa.irq(14), isa.irq(15)] });
  devices.add('piix3-ide', ide.function);
  ide.channels.forEach((channel, n) => devices.add(`ide${n}`, channel));
  ide.masters.forEach((master, n) => devices.add(`ide${n}-bus-master`, master));
  devices.add('pci', pci);
  return { pci, pciBusName: 'pci.0', pm: pm.pm, pmPort: pm.port, ataBuses: ide.channels, ataPlace: { slot: 1, number: 1 } };
}
