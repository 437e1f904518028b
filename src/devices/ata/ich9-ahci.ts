// The AHCI controller of the ICH9 (82801IR, device 31 function 2) as a PCI function: base address register 5, INTA or a message.
// It has no index and data ports, and no mode in which it is an IDE controller.
import { busMasterMemory } from '../../bus/bus-master.ts';
import { Msi, msiCapability } from '../../bus/msi.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction, PciHeader } from '../../bus/pci-function.ts';
import type { Timers } from '../../ports/clock.ts';
import { Ahci, AHCI_BYTES, ahciRegisters } from './ahci.ts';

const MSI_AT = 0x80;

const header = {
  name: 'ich9-ahci',
  vendorId: 0x8086,
  deviceId: 0x2922,
  revision: 2,
  classCode: 0x01_0601,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  interruptPin: 1,
  capabilities: [msiCapability(MSI_AT)],
  initial: { 0x90: 0x40 }, // AHCI mode
} as const satisfies PciHeader;

export interface Ich9AhciOptions {
  readonly timers: Timers;
  readonly slot: number;
  readonly number?: number;
  readonly multiFunction?: boolean;
}

export interface Ich9AhciParts {
  readonly function: PciFunction;
  readonly chip: Ahci;
}

export function ich9Ahci(pci: PciBus, { timers, slot, number = 0, multiFunction = false }: Ich9AhciOptions): Ich9AhciParts {
  const chip: Ahci = new Ahci({
    memory: busMasterMemory(pci.memory, () => ahci),
    timers,
    interrupt: (level) => ahci.setInterrupt(level && !msi.enabled),
    message: () => msi.notify(),
  });
  const ahci: PciFunction = pci.add(slot, number, {
    ...header,
    multiFunction,
    bars: [{
      index: 5, space: 'memory',
      region: {
        size: AHCI_BYTES, name: 'ahci', widthMax: 4, registers: ahciRegisters,
        read: (at, size) => ahciRegisters.read(chip, at, size), write: (at, size, value) => ahciRegisters.write(chip, at, value, size),
      },
    }],
  });
  const msi = new Msi(ahci, pci.sendMessage);
  return { function: ahci, chip };
}
