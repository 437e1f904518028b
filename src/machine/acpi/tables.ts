// The static ACPI tables (ACPI 6.5 chapter 5; MCFG: PCI Firmware 3.0 section 4.1.2): the RSDP, and everything else in one area.
// Where they lie is decided by whoever places them (relocation.ts). The DSDT's contents are the board's (board-hardware.ts).
import { concatBytes, bytes as byteRun, layout, le16, le32, le64, text, u8 } from '../../struct/layout.ts';
import type { AddressRange } from '../e820.ts';
import { alignUp } from '../guest-ram.ts';
import {
  HPET_ADDRESS, IO_APIC_ADDRESS, LOCAL_APIC_ADDRESS, PM_CONTROL_OFFSET, PM_EVENT_PORT, PM_TIMER_OFFSET, RESET_CONTROL, SCI_LINE,
  SMI_COMMAND_PORT, type AcpiConfig, type AcpiHardware,
} from './pc-hardware.ts';
import type { RelocatableBytes, RelocatableTables } from './relocation.ts';

const OEM_ID = 'NANDU ';
const OEM_TABLE_ID = 'NANDUPC ';
const CREATOR_ID = 'NNDU';

// prettier-ignore
export const tableHeader = layout('ACPI table header', {
  signature: text(0, 4), length: le32(4), revision: u8(8), checksum: u8(9), oemId: text(10, 6), oemTableId: text(16, 8),
  oemRevision: le32(24), creatorId: text(28, 4), creatorRevision: le32(32),
});
const CHECKSUM_OFFSET = tableHeader.fields.checksum.offset;

/** A table before it is placed; pointers are by the signature of the table they lead to. */
interface Table {
  readonly signature: string;
  readonly bytes: Uint8Array;
  readonly pointers: readonly { readonly offset: number; readonly sizeBytes: 4 | 8; readonly to: string }[];
  readonly summed: boolean;
}

function table(signature: string, revision: number, ...body: readonly (Uint8Array | readonly number[])[]): Table {
  const result = concatBytes(new Uint8Array(tableHeader.sizeBytes), ...body);
  const identity = { oemId: OEM_ID, oemTableId: OEM_TABLE_ID, oemRevision: 1, creatorId: CREATOR_ID, creatorRevision: 1 };
  tableHeader.write(result, { signature, length: result.length, revision, ...identity });
  return { signature, bytes: result, pointers: [], summed: true };
}

// prettier-ignore
const rsdpLayout = layout('RSDP', {
  signature: text(0, 8), checksum: u8(8), oemId: text(9, 6), revision: u8(15), rsdtAddress: le32(16), length: le32(20),
  xsdtAddress: le64(24), extendedChecksum: u8(32),
}, 36);

function encodeRsdp(rsdtOffset: number, xsdtOffset: number): RelocatableBytes {
  const FIRST_CHECKSUM_BYTES = 20;
  const { checksum, extendedChecksum, rsdtAddress, xsdtAddress } = rsdpLayout.fields;
  const sizeBytes = rsdpLayout.sizeBytes;
  const offsets = { rsdtAddress: rsdtOffset, xsdtAddress: BigInt(xsdtOffset) };
  return {
    bytes: rsdpLayout.encode({ signature: 'RSD PTR ', oemId: OEM_ID, revision: 2, length: sizeBytes, ...offsets }),
    pointers: [{ offset: rsdtAddress.offset, sizeBytes: 4 }, { offset: xsdtAddress.offset, sizeBytes: 8 }],
    checksums: [
      { offset: checksum.offset, start: 0, sizeBytes: FIRST_CHECKSUM_BYTES },
      { offset: extendedChecksum.offset, start: 0, sizeBytes },
    ],
  };
}

const facsLayout = layout('FACS', { signature: text(0, 4), length: le32(4), version: u8(32) }, 64);
const encodeFacs = (): Table => {
  const bytes = facsLayout.encode({ signature: 'FACS', length: facsLayout.sizeBytes, version: 2 });
  return { signature: 'FACS', bytes, pointers: [], summed: false };
};

const gasLayout = layout('generic address', { space: u8(0), bitWidth: u8(1), bitOffset: u8(2), accessSize: u8(3), address: le64(4) });
const ACCESS_SIZE: Record<number, number> = { 1: 1, 2: 2, 4: 3, 8: 4 };
const portAddress = (port: number, sizeBytes: number, accessBytes: number): Uint8Array =>
  gasLayout.encode({ space: 1, bitWidth: sizeBytes * 8, accessSize: ACCESS_SIZE[accessBytes] ?? 0, address: BigInt(port) });

/** FADT flags, by bit (table 5.10). */
// prettier-ignore
const FADT_FLAG = {
  WBINVD: 1 << 0, PROC_C1: 1 << 2, NO_FIXED_SLEEP_BUTTON: 1 << 5, RTC_S4: 1 << 7, RESET_REG_SUP: 1 << 10, USE_PLATFORM_CLOCK: 1 << 15,
} as const;

/** Offsets are those of the specification: the table header counts. */
// prettier-ignore
const fadtLayout = layout('FADT', {
  firmwareCtrl: le32(36), dsdt: le32(40), preferredPmProfile: u8(45), sciInt: le16(46), smiCmd: le32(48), acpiEnable: u8(52),
  acpiDisable: u8(53), pm1aEvtBlk: le32(56), pm1aCntBlk: le32(64), pmTmrBlk: le32(76), gpe0Blk: le32(80), pm1EvtLen: u8(88),
  pm1CntLen: u8(89), pmTmrLen: u8(91), gpe0BlkLen: u8(92), pLvl2Lat: le16(96), pLvl3Lat: le16(98), century: u8(108),
  iapcBootArch: le16(109), flags: le32(112), resetReg: byteRun(116, 12), resetValue: u8(128), xDsdt: le64(140),
  xPm1aEvtBlk: byteRun(148, 12), xPm1aCntBlk: byteRun(172, 12), xPmTmrBlk: byteRun(208, 12), xGpe0Blk: byteRun(220, 12),
}, 244);

const NO_C_STATE = { C2: 0xfff, C3: 0xfff };

function encodeFadt({ hardware, pmPort = PM_EVENT_PORT }: AcpiConfig): Table {
  const { commands } = hardware;
  const gpe0 = hardware.gpe0(pmPort);
  const { NO_FIXED_SLEEP_BUTTON, PROC_C1, RESET_REG_SUP, RTC_S4, USE_PLATFORM_CLOCK, WBINVD } = FADT_FLAG;
  const body = fadtLayout.encode({
    preferredPmProfile: 1, // desktop
    sciInt: SCI_LINE,
    smiCmd: SMI_COMMAND_PORT,
    acpiEnable: commands.enable,
    acpiDisable: commands.disable,
    pm1aEvtBlk: pmPort,
    pm1aCntBlk: pmPort + PM_CONTROL_OFFSET,
    pmTmrBlk: pmPort + PM_TIMER_OFFSET,
    gpe0Blk: gpe0.base,
    pm1EvtLen: 4,
    pm1CntLen: 2,
    pmTmrLen: 4,
    gpe0BlkLen: gpe0.sizeBytes,
    pLvl2Lat: NO_C_STATE.C2,
    pLvl3Lat: NO_C_STATE.C3,
    century: 0x32, // CMOS index
    iapcBootArch: hardware.bootArchitecture,
    flags: WBINVD | PROC_C1 | NO_FIXED_SLEEP_BUTTON | RTC_S4 | RESET_REG_SUP | USE_PLATFORM_CLOCK,
    resetReg: portAddress(RESET_CONTROL.PORT, 1, 1),
    resetValue: RESET_CONTROL.VALUE,
    xPm1aEvtBlk: portAddress(pmPort, 4, 2),
    xPm1aCntBlk: portAddress(pmPort + PM_CONTROL_OFFSET, 2, 2),
    xPmTmrBlk: portAddress(pmPort + PM_TIMER_OFFSET, 4, 4),
    xGpe0Blk: portAddress(gpe0.base, gpe0.sizeBytes, 1),
  });
  const { firmwareCtrl, dsdt, xDsdt } = fadtLayout.fields;
  const pointers = [
    { offset: firmwareCtrl.offset, sizeBytes: 4, to: 'FACS' },
    { offset: dsdt.offset, sizeBytes: 4, to: 'DSDT' },
    { offset: xDsdt.offset, sizeBytes: 8, to: 'DSDT' },
  ] as const;
  return { ...table('FACP', 3, body.subarray(tableHeader.sizeBytes)), pointers };
}

const madtCpu = layout('MADT local APIC', { type: u8(0), length: u8(1), processorUid: u8(2), apicId: u8(3), flags: le32(4) });
const madtIoApic = layout('MADT I/O APIC', { type: u8(0), length: u8(1), id: u8(2), address: le32(4), gsiBase: le32(8) });
const madtOverride = layout('MADT override', { type: u8(0), length: u8(1), bus: u8(2), source: u8(3), gsi: le32(4), flags: le16(8) });
const madtNmi = layout('MADT local APIC NMI', { type: u8(0), length: u8(1), processorUid: u8(2), flags: le16(3), lint: u8(5) });

const LEVEL_ACTIVE_HIGH = 0b1101;
const ALL_PROCESSORS = 0xff;

function encodeMadt({ hardware, cpuCount }: AcpiConfig): Table {
  const PCAT_COMPAT = 1;
  const head = layout('MADT', { localApicAddress: le32(0), flags: le32(4) });
  const cpus = Array.from({ length: cpuCount }, (_, n) => madtCpu.encode({ type: 0, length: 8, processorUid: n, apicId: n, flags: 1 }));
  const ioApic = madtIoApic.encode({ type: 1, length: 12, id: 0, address: IO_APIC_ADDRESS, gsiBase: 0 });
  const timer = madtOverride.encode({ type: 2, length: 10, source: 0, gsi: 2 });
  const level = [5, SCI_LINE, 10, 11].map((line) =>
    madtOverride.encode({ type: 2, length: 10, source: line, gsi: line, flags: LEVEL_ACTIVE_HIGH }),
  );
  const nmi = madtNmi.encode({ type: 4, length: 6, processorUid: ALL_PROCESSORS, lint: 1 });
  const start = head.encode({ localApicAddress: LOCAL_APIC_ADDRESS, flags: hardware.pic ? PCAT_COMPAT : 0 });
  return table('APIC', 1, start, ...cpus, ioApic, timer, ...level, nmi);
}

function encodeHpet(): Table {
  /** The capability register's low half: Intel, 64-bit counter, legacy replacement, three timers, revision 1. */
  const EVENT_TIMER_BLOCK_ID = 0x8086a201;
  const MIN_TICK = 0;
  const address = gasLayout.encode({ space: 0, address: BigInt(HPET_ADDRESS) });
  const body = layout('HPET', { id: le32(0), address: byteRun(4, 12), number: u8(16), minTick: le16(17), protection: u8(19) });
  return table('HPET', 1, body.encode({ id: EVENT_TIMER_BLOCK_ID, address, minTick: MIN_TICK }));
}

const mcfgEntry = layout('MCFG entry', { reserved: le64(0), address: le64(8), segment: le16(16), firstBus: u8(18), lastBus: u8(19) }, 24);
const ECAM_BUS_BYTES = 0x10_0000;

function encodeMcfg({ start, sizeBytes }: AddressRange): Table {
  return table('MCFG', 1, mcfgEntry.encode({ address: BigInt(start), lastBus: sizeBytes / ECAM_BUS_BYTES - 1 }));
}

/** RSDT or XSDT: pointers of 4 or 8 bytes to the tables that are listed. */
function encodeList(signature: 'RSDT' | 'XSDT', listed: readonly string[]): Table {
  const sizeBytes = signature === 'RSDT' ? 4 : 8;
  const pointers = listed.map((to, index) => ({ offset: tableHeader.sizeBytes + index * sizeBytes, sizeBytes, to }) as const);
  return { ...table(signature, 1, new Uint8Array(listed.length * sizeBytes)), pointers };
}

/** FACS wants to be aligned so; all get it. */
const TABLE_ALIGNMENT = 64;

/** One after the other in one area, with pointers as offsets in it. */
function joinTables(tables: readonly Table[]): { readonly area: RelocatableBytes; readonly offsets: Readonly<Record<string, number>> } {
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const { signature, bytes } of tables) {
    offsets[signature] = end;
    end += alignUp(bytes.length, TABLE_ALIGNMENT);
  }
  const joined = new Uint8Array(end);
  const view = new DataView(joined.buffer);
  for (const { signature, bytes, pointers } of tables) {
    joined.set(bytes, offsets[signature]!);
    for (const { offset, to } of pointers) view.setUint32(offsets[signature]! + offset, offsets[to]!, true);
  }
  const pointers = tables.flatMap((part) =>
    part.pointers.map(({ offset, sizeBytes }) => ({ offset: offsets[part.signature]! + offset, sizeBytes })),
  );
  const checksums = tables
    .filter(({ summed }) => summed)
    .map(({ signature, bytes }) => {
      const start = offsets[signature]!;
      return { offset: start + CHECKSUM_OFFSET, start, sizeBytes: bytes.length };
    });
  return { area: { bytes: joined, pointers, checksums }, offsets };
}

export interface AcpiTables extends RelocatableTables {
  /** Where each table lies in the area, by signature. */
  readonly offsets: Readonly<Record<string, number>>;
}

export function buildAcpiTables(config: AcpiConfig): AcpiTables {
  const { hardware, hpet, ecam } = config;
  const listed = [
    encodeFadt(config), encodeMadt(config), ...(hpet ? [encodeHpet()] : []), ...(ecam === undefined ? [] : [encodeMcfg(ecam)]),
  ];
  const signatures = listed.map(({ signature }) => signature);
  const { area, offsets } = joinTables([
    encodeFacs(), table('DSDT', 2, ...hardware.dsdt(config)), ...listed, encodeList('RSDT', signatures), encodeList('XSDT', signatures),
  ]);
  return { area, root: encodeRsdp(offsets['RSDT']!, offsets['XSDT']!), offsets };
}
