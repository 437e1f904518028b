// Addresses and lines of machine `pc` that the ACPI tables announce, and what of it a configuration chooses. The devices
// declare the same addresses; the board's wiring has to agree with both.

export const SCI_LINE = 9;
export const PM_EVENT_PORT = 0x600;
export const PM_CONTROL_PORT = 0x604;
export const PM_TIMER_PORT = 0x608;
export const GPE0_PORT = 0xafe0;
export const GPE0_BYTES = 4;
export const SMI_COMMAND = { PORT: 0xb2, ACPI_ENABLE: 0xf1, ACPI_DISABLE: 0xf0 } as const;
export const RESET_CONTROL = { PORT: 0xcf9, VALUE: 6 } as const;

export const LOCAL_APIC_ADDRESS = 0xfee00000;
export const IO_APIC_ADDRESS = 0xfec00000;
export const HPET_ADDRESS = 0xfed00000;
export const HPET_BYTES = 0x400;

/** Port ranges of board functions below the PCI windows' devices: power management and its GPE block. */
export const ACPI_PORTS = [
  { base: 0x600, sizeBytes: 0x40 },
  { base: GPE0_PORT, sizeBytes: GPE0_BYTES },
] as const;

export interface AcpiConfig {
  readonly cpuCount: number;
  readonly hpet: boolean;
  /** How many of COM1 and COM2 exist. */
  readonly serialPorts: number;
  /** PCI memory windows of the host bridge, [start, end). */
  readonly pciWindows: readonly { readonly start: number; readonly end: number }[];
}
