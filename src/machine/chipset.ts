// What a chipset is to the board it is built into: it brings the PCI bus with its bridges and the power management, and is given
// the wires that every PC board has. The boards are in pc-chipset.ts and its neighbours.
import type { SystemBus } from '../bus/address-space.ts';
import type { IsaBus } from '../bus/isa-bus.ts';
import type { PciBus } from '../bus/pci-bus.ts';
import type { ResetTree } from '../bus/reset-tree.ts';
import type { AtaBus } from '../devices/ata/ata-bus.ts';
import type { AcpiPm } from '../devices/chipset/acpi-pm.ts';
import type { EcamWindow } from '../devices/chipset/mch.ts';
import type { PamRegion } from '../devices/chipset/pam.ts';
import type { Timers } from '../ports/clock.ts';
import type { IrqLine } from '../ports/irq-line.ts';
import type { DmaMemory } from '../ports/dma.ts';

export interface ChipsetWires {
  readonly bus: SystemBus;
  readonly isa: IsaBus;
  /** A driver's end of a pin of the I/O APIC. */
  readonly ioapicPin: (number: number) => IrqLine;
  readonly devices: ResetTree;
  /** Guest memory, for bus masters. */
  readonly memory: DmaMemory;
  /** A memory write that is an interrupt (MSI, MSI-X). */
  readonly sendMessage: (address: number, data: number) => void;
  readonly timers: Timers;
  readonly reset: () => void;
  /** A sleep state of the chipset: 0 is soft off. */
  readonly sleep: (type: number) => void;
  readonly pamChanged: (regions: readonly PamRegion[]) => void;
}

export interface Chipset {
  readonly pci: PciBus;
  /** What -device calls the bus. */
  readonly pciBusName: string;
  readonly pm: AcpiPm;
  /** Where the power management block lies now; undefined when it is nowhere. */
  readonly pmPort: () => number | undefined;
  /** Where drives with interface `ide` go, in order. */
  readonly ataBuses: readonly AtaBus[];
  /** Where their controller is on the PCI bus. */
  readonly ataPlace: { readonly slot: number; readonly number: number };
  /** Where configuration spaces are mapped into memory now; for a chipset that can. */
  readonly ecam?: () => EcamWindow | undefined;
}

/** Builds a chipset and adds its devices to the board's. */
export type ChipsetBuilder = (wires: ChipsetWires) => Chipset;
