// Power management of the PIIX4 (82371AB, function 3): the PCI function that places the PM block, and GPE0 at the port where QEMU
// has it. What the registers do is in acpi-pm.ts.
import type { Claim, SystemBus } from '../../bus/address-space.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import {
  ACPI, AcpiPm, claimSmiCommand, gpe0Registers, PM1_BYTES, pm1Registers, readPm1, writePm1, type AcpiPmWires,
} from './acpi-pm.ts';

export const PIIX4_ACPI = { GPE0_BASE: 0xafe0, GPE0_BYTES: 4, ENABLE: 0xf1, DISABLE: 0xf0 } as const;
const PM_BYTES = 64;

/** Configuration registers. */
const PMBASE = 0x40;
const DEVACTB = 0x5b;
const PMREGMISC = 0x80;

export const piix4Header = {
  name: 'piix4-pm',
  vendorId: 0x8086,
  deviceId: 0x7113,
  revision: 3,
  classCode: 0x06_8000,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  interruptPin: 1,
  initial: {
    0x06: 0x80,
    0x07: 0x02,
    0x3c: ACPI.SCI_IRQ,
    [PMBASE]: 1,
    [DEVACTB]: 0x02, // APMC_EN: set from reset on tells firmware that there is no SMM for it to set up
    0x90: 0x01,
    0x91: 0x07,
    0xd2: 0x09,
  },
  writable: { [PMBASE]: 0xc0, [PMBASE + 1]: 0xff, [PMREGMISC]: 1, [DEVACTB]: 0x02, 0x90: 0xf0, 0x91: 0xff, 0xd2: 0x0f },
} as const;

function place(block: Claim, port: number | undefined): void {
  if (port === undefined) block.unmap();
  else block.map(port);
}

export interface Piix4Pm {
  readonly pm: AcpiPm;
  readonly function: PciFunction;
  /** Where the PM block lies now; undefined when it is nowhere. */
  readonly port: () => number | undefined;
}

/** Plugs the power management function in at 1.3 and claims its ports; the PM block moves with PMBASE. */
export function piix4Pm(bus: SystemBus, pci: PciBus, wires: Omit<AcpiPmWires, 'commands'>): Piix4Pm {
  const pm = new AcpiPm({ ...wires, commands: { enable: PIIX4_ACPI.ENABLE, disable: PIIX4_ACPI.DISABLE } });
  const pciFunction = pci.add(1, 3, piix4Header);
  const block: Claim = bus.ports.claimUnmapped({
    base: ACPI.PM_BASE,
    size: PM_BYTES,
    name: 'acpi-pm',
    widthMax: 4,
    priority: -1,
    registers: pm1Registers,
    read: (at, size) => (at < PM1_BYTES ? readPm1(pm, at, size) : 0),
    write: (at, size, value) => writePm1(pm, at, size, value),
  });
  const port = (): number | undefined => {
    const base = pciFunction.u16(PMBASE) & 0xffc0;
    return (pciFunction.byte(PMREGMISC) & 1) !== 0 && base !== 0 ? base : undefined;
  };
  pciFunction.onConfig = () => place(block, port());
  pciFunction.settle();
  const gpe0 = gpe0Registers(PIIX4_ACPI.GPE0_BYTES / 2);
  bus.claimPorts({
    base: PIIX4_ACPI.GPE0_BASE,
    size: PIIX4_ACPI.GPE0_BYTES,
    name: 'gpe0',
    registers: gpe0,
    read: (at) => gpe0.read(pm, at),
    write: (at, _size, value) => gpe0.write(pm, at, value),
  });
  claimSmiCommand(bus, pm);
  return { pm, function: pciFunction, port };
}
