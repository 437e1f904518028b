// What a direct boot needs in memory in place of firmware: ACPI and SMBIOS tables, the BIOS data area, interrupt
// vectors, the memory map. What firmware does to devices is in boot/power-on.ts.
// With a ROM (`-bios`) the ROM places its own and this is not called: it takes the tables from fw_cfg (firmware-files.ts).
import { layout, le16, u8 } from '../struct/layout.ts';
import { buildAcpiTables } from './acpi/tables.ts';
import type { AcpiConfig, AcpiHardware } from './acpi/pc-hardware.ts';
import { placeTables } from './acpi/relocation.ts';
import { placeInterruptVectors } from './boot/power-on.ts';
import { EBDA_ADDRESS, memoryMap, ROM_AREA_ADDRESS, type AddressRange, type MemoryMap } from './e820.ts';
import { alignUp, type RamWriter } from './guest-ram.ts';
import { buildSmbios, type SmbiosConfig } from './smbios.ts';

export interface FirmwareConfig {
  readonly hardware: AcpiHardware;
  /** Where configuration spaces are mapped into memory; absent: nowhere. */
  readonly ecam?: AddressRange | undefined;
  /** Where the power management block lies; absent: where it is without a ROM. */
  readonly pmPort?: number | undefined;
  readonly ramBytes: number;
  readonly cpuCount: number;
  readonly hpet: boolean;
  /** `-machine acpi=off`: nothing announces the tables. On when absent. */
  readonly acpi?: boolean;
  /** How many of COM1 and COM2 exist. */
  readonly serialPorts: number;
  readonly identity: Pick<SmbiosConfig, 'uuid' | 'manufacturer' | 'product' | 'version' | 'serial'>;
}

export interface FirmwareTables {
  readonly memory: MemoryMap;
  /** 0 without ACPI. */
  readonly rsdpAddress: number;
  readonly smbiosAddress: number;
  /** ACPI tables by signature. */
  readonly acpiAddresses: Readonly<Record<string, number>>;
}

const SMBIOS_OFFSET = 0x40;
const COM_PORTS = [0x3f8, 0x2f8];

/** What systems still read of the BIOS data area at 0x400: serial ports, EBDA segment, memory below 640 KiB. */
const biosDataArea = layout('BIOS data area', { com1: le16(0), com2: le16(2), ebdaSegment: le16(0xe), baseMemoryKib: le16(0x13) }, 0x100);
const BIOS_DATA_AREA_ADDRESS = 0x400;
const ebda = layout('EBDA', { sizeKib: u8(0) });

function placeBiosData(ram: RamWriter, serialPorts: number): void {
  const [com1 = 0, com2 = 0] = COM_PORTS.slice(0, serialPorts);
  const values = { com1, com2, ebdaSegment: EBDA_ADDRESS / 16, baseMemoryKib: EBDA_ADDRESS / 1024 };
  ram(BIOS_DATA_AREA_ADDRESS, biosDataArea.encode(values));
  ram(EBDA_ADDRESS, ebda.encode({ sizeKib: 1 }));
}

/** Where OVMF puts 64-bit memory of PCI functions: the last eighth of a physical address space of 40 bits. */
const HIGH_PCI_WINDOW = { start: 0xe0_0000_0000, end: 0x100_0000_0000 } as const;

/** The PCI windows are the hole below 4 GiB and one at the end of the address space. */
export function acpiConfig(config: FirmwareConfig): AcpiConfig {
  return { ...config, pciWindows: [...memoryMap(config.ramBytes, 0, config.ecam).pciWindows, HIGH_PCI_WINDOW] };
}

export function smbiosConfig({ identity, cpuCount, ramBytes }: FirmwareConfig, lowRamBytes: number): SmbiosConfig {
  return { ...identity, cpuCount, ramBytes, lowRamBytes };
}

function placeAcpi(ram: RamWriter, config: FirmwareConfig): Pick<FirmwareTables, 'memory' | 'rsdpAddress' | 'acpiAddresses'> {
  const tables = buildAcpiTables(acpiConfig(config));
  const memory = memoryMap(config.ramBytes, tables.area.bytes.length, config.ecam);
  if (config.acpi === false) return { memory, rsdpAddress: 0, acpiAddresses: {} };
  const { area, root } = placeTables(tables, memory.tableAddress);
  ram(memory.tableAddress, area);
  ram(ROM_AREA_ADDRESS, root);
  const addresses = Object.entries(tables.offsets).map(([signature, offset]) => [signature, memory.tableAddress + offset]);
  return { memory, rsdpAddress: ROM_AREA_ADDRESS, acpiAddresses: Object.fromEntries(addresses) as Record<string, number> };
}

/** Writes all tables; the memory map it returns has their areas reserved. */
export function placeFirmwareTables(ram: RamWriter, config: FirmwareConfig): FirmwareTables {
  const acpi = placeAcpi(ram, config);
  const smbiosAddress = ROM_AREA_ADDRESS + SMBIOS_OFFSET;
  const told = smbiosConfig(config, acpi.memory.lowRamBytes);
  const entryBytes = buildSmbios(told, 0).entryPoint.length;
  const tableAddress = alignUp(smbiosAddress + entryBytes, 16);
  const smbios = buildSmbios(told, tableAddress);
  ram(smbiosAddress, smbios.entryPoint);
  ram(tableAddress, smbios.table);
  placeBiosData(ram, config.serialPorts);
  placeInterruptVectors(ram);
  return { ...acpi, smbiosAddress };
}
