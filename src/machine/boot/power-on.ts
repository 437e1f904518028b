// What firmware leaves behind besides tables, for a boot without firmware: the real-mode interrupt vectors, and the bus
// writes that set the board's devices up as a PC BIOS does. The vm replays them through its buses after a reset.
import { I440FX_PAM } from '../../devices/chipset/i440fx.ts';
import { ICH9, ICH9_ROUTES, ICH9_SLOT } from '../../devices/chipset/ich9-lpc.ts';
import { MCH_PAM, PCIEXBAR } from '../../devices/chipset/mch.ts';
import { PIIX3_ROUTES } from '../../devices/chipset/piix3.ts';
import { layout, le16 } from '../../struct/layout.ts';
import { LOCAL_APIC_ADDRESS, PM_EVENT_PORT } from '../acpi/pc-hardware.ts';
import { ROM_AREA_ADDRESS } from '../e820.ts';
import type { RamWriter } from '../guest-ram.ts';

export interface BusWrite {
  readonly space: 'port' | 'memory';
  readonly address: number;
  readonly sizeBytes: 1 | 2 | 4;
  readonly value: number;
}

const port = (address: number, value: number, sizeBytes: 1 | 2 | 4 = 1): BusWrite => ({ space: 'port', address, sizeBytes, value });

/** A PCI configuration byte or doubleword of bus 0, through configuration mechanism #1. */
function configuration(device: number, fn: number, register: number, sizeBytes: 1 | 4, value: number): BusWrite[] {
  const address = (0x80000000 | (device << 11) | (fn << 8) | (register & ~3)) >>> 0;
  return [port(0xcf8, address, 4), port(0xcfc + (register & 3), value, sizeBytes)];
}

/** IRQ lines of PIRQA..D, and of E..H where there are those; the guest may move them. */
const PIRQ_LINES = [10, 10, 11, 11];
export const pirqLine = (pirq: number): number => PIRQ_LINES[pirq % PIRQ_LINES.length]!;

/** 8259s at vectors 8 and 0x70 with only the timer and the cascade open; lines 9, 10 and 11 level triggered. */
// prettier-ignore
const interruptControllers: readonly BusWrite[] = [
  port(0x20, 0x11), port(0xa0, 0x11), port(0x21, 0x08), port(0xa1, 0x70), port(0x21, 4), port(0xa1, 2), port(0x21, 1), port(0xa1, 1),
  port(0x21, 0xfa), port(0xa1, 0xff), port(0x4d0, 0), port(0x4d1, 0x0e),
];

/** PIT counter 0: rate generator, 65536 ticks. */
const timer: readonly BusWrite[] = [port(0x43, 0x34), port(0x40, 0), port(0x40, 0)];

/** 8042: keyboard on, scan codes translated to set 1, its interrupt enabled, system flag set; the auxiliary port off. */
const keyboardController: readonly BusWrite[] = [port(0x64, 0xa7), port(0x64, 0xae), port(0x64, 0x60), port(0x60, 0x65)];

/** The attribute map, from its first register on: everything below 1 MiB is RAM, readable and writable. */
const openShadow = (first: number): BusWrite[] =>
  [0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33].flatMap((value, n) => configuration(0, 0, first + n, 1, value));

const PIIX_DEVICE = 1;

/** i440FX, PIIX3 and PIIX4: shadow, PIRQ routes, the base address of power management and its enable bit (PMREGMISC). */
export const pcChipsetWrites: readonly BusWrite[] = [
  ...openShadow(I440FX_PAM),
  ...PIRQ_LINES.flatMap((line, n) => configuration(PIIX_DEVICE, 0, PIIX3_ROUTES[n]!, 1, line)),
  ...configuration(PIIX_DEVICE, 3, 0x40, 4, PM_EVENT_PORT | 1),
  ...configuration(PIIX_DEVICE, 3, 0x80, 1, 1),
];

/** Where a direct boot puts the configuration spaces of machine `q35`, and its chipset registers. */
export const Q35_ECAM = { start: 0xb000_0000, sizeBytes: 0x1000_0000 } as const;
const RCBA_ADDRESS = 0xfed1_c000;

/** Q35 and ICH9: shadow, PCIEXBAR, PIRQ routes, the base addresses of power management and of the chipset's registers. */
export const q35ChipsetWrites: readonly BusWrite[] = [
  ...openShadow(MCH_PAM),
  ...configuration(0, 0, PCIEXBAR, 4, Q35_ECAM.start + 1),
  ...ICH9_ROUTES.flatMap((register, n) => configuration(ICH9_SLOT, 0, register, 1, pirqLine(n))),
  ...configuration(ICH9_SLOT, 0, ICH9.PMBASE, 4, PM_EVENT_PORT | 1),
  ...configuration(ICH9_SLOT, 0, ICH9.ACPI_CONTROL, 1, 0x80),
  ...configuration(ICH9_SLOT, 0, ICH9.RCBA, 4, RCBA_ADDRESS + 1),
];

/** Local APIC of the boot processor in virtual wire mode: enabled, the 8259s on LINT0, NMI on LINT1. */
const localApic: readonly BusWrite[] = [[0xf0, 0x1ff], [0x350, 0x8700], [0x360, 0x8400]].map(([register = 0, value = 0]) => {
  return { space: 'memory', address: LOCAL_APIC_ADDRESS + register, sizeBytes: 4, value };
});

/** Everything; `chipset` is what the board's own chips need. */
export function firmwareWrites(chipset: readonly BusWrite[]): readonly BusWrite[] {
  return [...chipset, ...localApic, ...interruptControllers, ...timer, ...keyboardController];
}

const VECTOR_COUNT = 256;
const HANDLERS_OFFSET = 0x7000;
/** IRET; the same after an end of interrupt to the master; the same to both. */
const HANDLER_CODE = {
  IGNORE: [0xcf],
  MASTER: [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf],
  BOTH: [0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf],
} as const;
const HANDLER_SPACING = 16;

/** Handlers that do nothing, in the ROM area, and the vector table that points to them. */
export function placeInterruptVectors(ram: RamWriter): void {
  const code = new Uint8Array(3 * HANDLER_SPACING);
  [HANDLER_CODE.IGNORE, HANDLER_CODE.MASTER, HANDLER_CODE.BOTH].forEach((bytes, n) => code.set(bytes, n * HANDLER_SPACING));
  ram(ROM_AREA_ADDRESS + HANDLERS_OFFSET, code);
  const vector = layout('interrupt vector', { offset: le16(0), segment: le16(2) });
  const table = new Uint8Array(VECTOR_COUNT * vector.sizeBytes);
  for (let n = 0; n < VECTOR_COUNT; n++) {
    const handler = n >= 0x08 && n < 0x10 ? 1 : n >= 0x70 && n < 0x78 ? 2 : 0;
    vector.write(table, { offset: HANDLERS_OFFSET + handler * HANDLER_SPACING, segment: ROM_AREA_ADDRESS / 16 }, n * vector.sizeBytes);
  }
  ram(0, table);
}
