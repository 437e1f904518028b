// The chipset of machine `q35`: the Q35's host bridge and the ICH9's LPC bridge. Wiring only: every PIRQ leads through the router to
// ISA interrupts and, always, to a pin of the I/O APIC behind those of ISA.
import { fanOut } from '../bus/irq.ts';
import { PciBus } from '../bus/pci-bus.ts';
import { ich9Ahci } from '../devices/ata/ich9-ahci.ts';
import { ACPI } from '../devices/chipset/acpi-pm.ts';
import { ecamWindow, mch } from '../devices/chipset/mch.ts';
import { ich9Lpc, ich9Route, ICH9_ROUTES } from '../devices/chipset/ich9-lpc.ts';
import { PirqRouter } from '../devices/chipset/pirq-router.ts';
import { isaResetControl } from '../devices/chipset/reset-control.ts';
import type { Chipset, ChipsetWires } from './chipset.ts';

/** Pin of the I/O APIC that PIRQA leads to; the others follow. */
export const FIRST_PIRQ_PIN = 16;
/** Device 31 is the LPC bridge and what else the ICH9 has. */
const LPC_SLOT = 31;

export function q35Chipset(wires: ChipsetWires): Chipset {
  const { bus, isa, ioapicPin, devices, timers, memory, sendMessage, reset, sleep, pamChanged } = wires;
  const router = new PirqRouter({ irqs: Array.from({ length: 16 }, (_, n) => isa.irq(n)), registers: ICH9_ROUTES });
  const pirqs = ICH9_ROUTES.map((_, n) => fanOut(router.line(n), ioapicPin(FIRST_PIRQ_PIN + n)));
  const pci = new PciBus({ bus, memory, sendMessage, pirqs, route: ich9Route });
  const host = mch(pci, { pamChanged });
  const { bridge, pm, lpc, pmPort } = ich9Lpc(bus, pci, { router, timers, sci: isa.irq(ACPI.SCI_IRQ), sleep });
  devices.add('mch', host);
  devices.add('ich9-lpc', bridge);
  devices.add('ich9-registers', lpc);
  devices.add('pirq-router', router);
  devices.add('reset-control', isaResetControl(bus, reset));
  devices.add('acpi-pm', pm);
  const ahci = ich9Ahci(pci, { timers, slot: LPC_SLOT, number: 2 });
  devices.add('ich9-ahci', ahci.function);
  devices.add('ahci', ahci.chip);
  devices.add('pci', pci);
  const ataPlace = { slot: LPC_SLOT, number: 2 };
  return { pci, pciBusName: 'pcie.0', pm, pmPort, ataBuses: ahci.chip.ports, ataPlace, ecam: () => ecamWindow(host) };
}
