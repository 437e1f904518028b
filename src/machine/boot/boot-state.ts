// The processor state a boot protocol asks for, as plain data: the vm applies it to the vCPU in place of the reset
// state. Also the flat GDT and the identity page tables that the protocols share. Not the architectural reset itself
// (the vCPU knows it); registers that are not named here are zero.
import { layout, le64 } from '../../struct/layout.ts';
import type { GENERAL_REGISTERS, SEGMENT_REGISTERS } from '../../cpu/x86/state.ts';

export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];
export type SegmentRegister = (typeof SEGMENT_REGISTERS)[number];

export interface BootSegment {
  readonly selector: number;
  readonly base: number;
  /** In bytes. */
  readonly limit: number;
  /** As in cpu/x86/state.ts: type, S, DPL, P in bits 0..7; AVL, L, D, G in bits 12..15. */
  readonly access: number;
}

export interface BootState {
  readonly rip: number;
  readonly registers: Partial<Record<GeneralRegister, number>>;
  readonly eflags: number;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly segments: Readonly<Record<SegmentRegister, BootSegment>>;
  readonly gdtr: { readonly base: number; readonly limit: number };
  readonly idtr: { readonly base: number; readonly limit: number };
}

export const CR0 = { PE: 1, ET: 0x10, NE: 0x20, WP: 1 << 16, NW: 1 << 29, CD: 1 << 30, PG: 2 ** 31 } as const;
const CR4_PAE = 0x20;
const EFER = { LME: 0x100, LMA: 0x400 } as const;
const EFLAGS_RESERVED = 2;
const FLAT_LIMIT = 0xffffffff;

/** Access rights of flat segments: present, ring 0, accessed. */
const ACCESS = { CODE64: 0xa09b, CODE32: 0xc09b, DATA32: 0xc093, CODE16: 0x009b, DATA16: 0x0093, TSS_BUSY: 0x008b, LDT: 0x0082 } as const;

/** Selectors of the Linux boot protocol (__BOOT_CS, __BOOT_DS, __BOOT_TSS); the other protocols leave them open. */
export const SELECTOR = { CODE: 0x10, DATA: 0x18, TSS: 0x20 } as const;
const GDT_ENTRIES = 6; // a TSS descriptor takes two entries in long mode
const GDT_LIMIT = GDT_ENTRIES * 8 - 1;

const PAGE_TABLE_BYTES = 6 * 4096;

/** Takes bytes and says where they went: a LoaderArea. */
interface Area {
  add(bytes: Uint8Array): number;
  addPages(sizeBytes: number, build: (address: number) => Uint8Array): number;
}

const descriptor = (limit20: number, access: number): bigint =>
  BigInt(limit20 & 0xffff) | (BigInt(access & 0xf0ff) << 40n) | (BigInt(limit20 >>> 16) << 48n);

function gdtBytes(codeAccess: number): Uint8Array {
  const gdt = new Uint8Array(GDT_ENTRIES * 8);
  const entry = layout('descriptor', { value: le64(0) });
  entry.write(gdt, { value: descriptor(0xfffff, codeAccess) }, SELECTOR.CODE);
  entry.write(gdt, { value: descriptor(0xfffff, ACCESS.DATA32) }, SELECTOR.DATA);
  entry.write(gdt, { value: descriptor(0x67, ACCESS.TSS_BUSY) }, SELECTOR.TSS);
  return gdt;
}

/** PML4, PDPT and four page directories of 2 MiB pages, as they lie at `address`: the first 4 GiB one to one. */
function identityPageTables(address: number): Uint8Array {
  const PRESENT_WRITABLE = 3n;
  const LARGE = 0x80n;
  const tables = new BigUint64Array(PAGE_TABLE_BYTES / 8);
  tables[0] = BigInt(address + 0x1000) | PRESENT_WRITABLE;
  for (let n = 0; n < 4; n++) tables[512 + n] = BigInt(address + 0x2000 + n * 0x1000) | PRESENT_WRITABLE;
  for (let n = 0; n < 2048; n++) tables[1024 + n] = (BigInt(n) << 21n) | PRESENT_WRITABLE | LARGE;
  return new Uint8Array(tables.buffer);
}

function segments(code: BootSegment, data: BootSegment, tr: BootSegment): BootState['segments'] {
  const ldtr = { selector: 0, base: 0, limit: 0xffff, access: ACCESS.LDT };
  return { es: data, cs: code, ss: data, ds: data, fs: data, gs: data, ldtr, tr };
}

type Entry = { readonly rip: number; readonly registers: BootState['registers'] };

function flatState(area: Area, entry: Entry, codeAccess: number): BootState {
  const code = { selector: SELECTOR.CODE, base: 0, limit: FLAT_LIMIT, access: codeAccess };
  const data = { selector: SELECTOR.DATA, base: 0, limit: FLAT_LIMIT, access: ACCESS.DATA32 };
  const tss = { selector: SELECTOR.TSS, base: 0, limit: 0x67, access: ACCESS.TSS_BUSY };
  return {
    ...entry,
    eflags: EFLAGS_RESERVED,
    cr0: CR0.PE | CR0.ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: segments(code, data, tss),
    gdtr: { base: area.add(gdtBytes(codeAccess)), limit: GDT_LIMIT },
    idtr: { base: 0, limit: 0 },
  };
}

/** 32-bit protected mode with flat segments and no paging. Puts the GDT into `area`. */
export function protectedModeState(area: Area, entry: Entry): BootState {
  return flatState(area, entry, ACCESS.CODE32);
}

/** 64-bit mode with the first 4 GiB mapped one to one. Puts the GDT and the page tables into `area`. */
export function longModeState(area: Area, entry: Entry): BootState {
  const state = flatState(area, entry, ACCESS.CODE64);
  return {
    ...state,
    cr0: state.cr0 + CR0.PG,
    cr3: area.addPages(PAGE_TABLE_BYTES, identityPageTables),
    cr4: CR4_PAE,
    efer: EFER.LME | EFER.LMA,
  };
}

/** Real mode at the reset vector 0xfffffff0 (SDM 3A 10.1.4). EDX, the processor's signature, is the vCPU's to set. */
export function resetVectorState(): BootState {
  const data = { selector: 0, base: 0, limit: 0xffff, access: ACCESS.DATA16 };
  const code = { selector: 0xf000, base: 0xffff0000, limit: 0xffff, access: ACCESS.DATA16 };
  return {
    rip: 0xfff0,
    registers: {},
    eflags: EFLAGS_RESERVED,
    cr0: CR0.CD + CR0.NW + CR0.ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: segments(code, data, { selector: 0, base: 0, limit: 0xffff, access: ACCESS.TSS_BUSY }),
    gdtr: { base: 0, limit: 0xffff },
    idtr: { base: 0, limit: 0xffff },
  };
}
