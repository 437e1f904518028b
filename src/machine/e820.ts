// The guest-physical memory map as firmware reports it (ACPI 6.5 section 15, INT 15h E820): where RAM is,
// what of it the tables occupy, and the hole below 4 GiB that belongs to PCI. Not the address decoding (that is the bus).
import { Failure } from '../base/failure.ts';
import { layout, le32, le64 } from '../struct/layout.ts';
import { alignDown } from './guest-ram.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** AddressRange types of ACPI table 15.1. */
export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3, NVS: 4 } as const;

export interface AddressRange {
  readonly start: number;
  readonly sizeBytes: number;
}

export interface MemoryRange extends AddressRange {
  readonly type: number;
}

export interface MemoryMap {
  /** All RAM, and the part of it below 4 GiB; the rest begins at 4 GiB. */
  readonly ramBytes: number;
  readonly lowRamBytes: number;
  /** First byte of the area for firmware tables; RAM below it and above 1 MiB is the guest's. */
  readonly tableAddress: number;
  readonly tableBytes: number;
  readonly ranges: readonly MemoryRange[];
  /** Where PCI memory windows lie: from the end of low RAM up to the I/O APIC, but for what is reserved there. */
  readonly pciWindows: readonly { readonly start: number; readonly end: number }[];
}

export const EBDA_ADDRESS = 0x9fc00;
export const ROM_AREA_ADDRESS = 0xf0000;
export const HIGH_MEMORY = 1 * MIB;
export const LOW_RAM_BYTES_MAX = 3 * GIB;
const FOUR_GIB = 4 * GIB;
const IO_APIC_ADDRESS = 0xfec00000;
const RAM_BYTES_MIN = 2 * MIB;

const e820Entry = layout('e820 entry', { address: le64(0), sizeBytes: le64(8), type: le32(16) });

/** The table area is page-aligned and ends where low RAM ends. `reserved` is a range of the hole below 4 GiB. */
export function memoryMap(ramBytes: number, tableBytes: number, reserved?: AddressRange): MemoryMap {
  if (ramBytes < RAM_BYTES_MIN) throw new Failure('limit', `RAM size must be at least ${RAM_BYTES_MIN / MIB} MiB`);
  const lowRamBytes = Math.min(ramBytes, LOW_RAM_BYTES_MAX);
  const tableAddress = alignDown(lowRamBytes - tableBytes, 4 * KIB);
  if (tableAddress <= HIGH_MEMORY) throw new Failure('limit', 'not enough memory for the firmware tables');
  const span = (start: number, end: number, type: number): MemoryRange => ({ start, sizeBytes: end - start, type });
  const ranges = [
    span(0, EBDA_ADDRESS, E820.RAM),
    span(EBDA_ADDRESS, 0xa0000, E820.RESERVED),
    span(ROM_AREA_ADDRESS, HIGH_MEMORY, E820.RESERVED),
    span(HIGH_MEMORY, tableAddress, E820.RAM),
    span(tableAddress, lowRamBytes, E820.RESERVED),
    ...(reserved === undefined ? [] : [{ ...reserved, type: E820.RESERVED }]),
    span(FOUR_GIB, FOUR_GIB + ramBytes - lowRamBytes, E820.RAM),
  ].filter((range) => range.sizeBytes > 0);
  const hole = { start: lowRamBytes, end: IO_APIC_ADDRESS };
  const windows = reserved === undefined
    ? [hole]
    : [{ start: hole.start, end: reserved.start }, { start: reserved.start + reserved.sizeBytes, end: hole.end }];
  const pciWindows = windows.filter(({ start, end }) => end > start);
  return { ramBytes, lowRamBytes, tableAddress, tableBytes: lowRamBytes - tableAddress, ranges, pciWindows };
}

/** True when the whole of [start, start + sizeBytes) is RAM that the guest may use. */
export function isUsableRam(map: MemoryMap, start: number, sizeBytes: number): boolean {
  return map.ranges.some((range) => {
    return range.type === E820.RAM && start >= range.start && start + sizeBytes <= range.start + range.sizeBytes;
  });
}

/** The map as E820 entries of 20 bytes each. */
export function encodeE820(ranges: readonly MemoryRange[]): Uint8Array {
  const result = new Uint8Array(ranges.length * e820Entry.sizeBytes);
  ranges.forEach((range, index) => {
    const values = { address: BigInt(range.start), sizeBytes: BigInt(range.sizeBytes), type: range.type };
    e820Entry.write(result, values, index * e820Entry.sizeBytes);
  });
  return result;
}

export const E820_ENTRY_BYTES = e820Entry.sizeBytes;
