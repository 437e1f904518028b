// ACPI's fixed hardware at ports that nothing moves, for a board without PCI. What the registers do is in acpi-pm.ts.
import type { SystemBus } from '../../bus/address-space.ts';
import { ACPI, AcpiPm, claimSmiCommand, gpe0Registers, PM1_BYTES, pm1Registers, readPm1, writePm1, type AcpiPmWires } from './acpi-pm.ts';

/** The PM block at ACPI.PM_BASE and the general-purpose events behind it. */
export const FIXED_PM = { BYTES: 0x20, GPE0_OFFSET: 0x20, GPE0_BYTES: 4, ENABLE: 0xf1, DISABLE: 0xf0 } as const;

export function fixedPm(bus: SystemBus, wires: Omit<AcpiPmWires, 'commands'>): AcpiPm {
  const pm = new AcpiPm({ ...wires, commands: { enable: FIXED_PM.ENABLE, disable: FIXED_PM.DISABLE } });
  bus.claimPorts({
    base: ACPI.PM_BASE, size: FIXED_PM.BYTES, name: 'acpi-pm', widthMax: 4, registers: pm1Registers,
    read: (at, size) => (at < PM1_BYTES ? readPm1(pm, at, size) : 0),
    write: (at, size, value) => writePm1(pm, at, size, value),
  });
  const gpe0 = gpe0Registers(FIXED_PM.GPE0_BYTES / 2);
  bus.claimPorts({
    base: ACPI.PM_BASE + FIXED_PM.GPE0_OFFSET, size: FIXED_PM.GPE0_BYTES, name: 'gpe0', registers: gpe0,
    read: (at) => gpe0.read(pm, at),
    write: (at, _size, value) => gpe0.write(pm, at, value),
  });
  claimSmiCommand(bus, pm);
  return pm;
}
