// Addresses and lines that the ACPI tables of every board announce, what a board decides of them (board-hardware.ts), and what a
// configuration chooses. The devices declare the same addresses; the board's wiring has to agree with both.
import type { AddressRange } from '../e820.ts';
import type { AmlNode } from './aml.ts';

export const SCI_LINE = 9;
/** Where the power management block lies unless a ROM has put it elsewhere. */
export const PM_EVENT_PORT = 0x600;
export const PM_CONTROL_OFFSET = 4;
export const PM_TIMER_OFFSET = 8;
export const SMI_COMMAND_PORT = 0xb2;
export const RESET_CONTROL = { PORT: 0xcf9, VALUE: 6 } as const;

export const LOCAL_APIC_ADDRESS = 0xfee00000;
export const IO_APIC_ADDRESS = 0xfec00000;
export const HPET_ADDRESS = 0xfed00000;
export const HPET_BYTES = 0x400;

/** Bits of IAPC_BOOT_ARCH (ACPI 6.5, table 5.11). */
export const BOOT_ARCHITECTURE = { LEGACY_DEVICES: 1, KEYBOARD_8042: 1 << 1, NO_VGA: 1 << 2, NO_CMOS_RTC: 1 << 5 } as const;

export interface PortRange {
  readonly base: number;
  readonly sizeBytes: number;
}

export interface AcpiHardware {
  /** There are 8259s as well. */
  readonly pic: boolean;
  /** IAPC_BOOT_ARCH of the FADT (table 5.11). */
  readonly bootArchitecture: number;
  /** Status registers of the general-purpose events, then as many bytes of enables; `pmPort` is where the block lies. */
  readonly gpe0: (pmPort: number) => PortRange;
  /** What switches ACPI on and off at the SMI command port. */
  readonly commands: { readonly enable: number; readonly disable: number };
  /** Port ranges of board functions that no PCI function's registers announce. */
  readonly boardPorts: (pmPort: number) => readonly PortRange[];
  readonly dsdt: (config: AcpiConfig) => readonly AmlNode[];
}

export interface AcpiConfig {
  readonly hardware: AcpiHardware;
  /** Where the power management block lies; absent: at PM_EVENT_PORT. */
  readonly pmPort?: number | undefined;
  readonly cpuCount: number;
  readonly hpet: boolean;
  /** How many of COM1 and COM2 exist. */
  readonly serialPorts: number;
  /** PCI memory windows of the host bridge, [start, end). */
  readonly pciWindows: readonly { readonly start: number; readonly end: number }[];
  /** Where configuration spaces are mapped into memory. */
  readonly ecam?: AddressRange | undefined;
}
