// The chipset of machine `pc`: i440FX, PIIX3, and the power management function of the PIIX4. Wiring only.
import { PciBus } from '../bus/pci-bus.ts';
import { i440fx } from '../devices/chipset/i440fx.ts';
import { Piix3, piix3 } from '../devices/chipset/piix3.ts';
import { piix4Pm } from '../devices/chipset/piix4-pm.ts';
import type { Chipset, ChipsetWires } from './chipset.ts';

export function pcChipset({ bus, isa, devices, timers, memory, sendMessage, reset, sleep, pamChanged }: ChipsetWires): Chipset {
  const chip = new Piix3({ irqs: Array.from({ length: 16 }, (_, n) => isa.irq(n)), reset });
  const pci = new PciBus({ bus, memory, sendMessage, pirqs: [0, 1, 2, 3].map((n) => chip.pirq(n)) });
  devices.add('i440fx', i440fx(pci, { pamChanged }));
  devices.add('piix3', piix3(bus, pci, chip).bridge);
  devices.add('piix3-chip', chip);
  const pm = piix4Pm(bus, pci, { timers, sci: isa.irq(9), sleep });
  devices.add('piix4-pm', pm.function);
  devices.add('acpi-pm', pm.pm);
  devices.add('pci', pci);
  return { pci, pm: pm.pm };
}
