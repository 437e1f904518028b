// Names for the architectural bits (Intel SDM 3A chapters 2 and 3) and short accessors to the vCPU state.
// Not here: anything that has an effect beyond the field it reads or writes.
import { cpu } from './host';
import { ACCESS_BIG, CPL, CR0, CR4, CS_ACCESS, CS_BASE, EFER, EFLAGS, ES_BASE, MODE_CODE_SIZE, MODE_KEY } from './generated/layout';

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 1 << 1;
export const CR0_EM: u64 = 1 << 2;
export const CR0_TS: u64 = 1 << 3;
export const CR0_ET: u64 = 1 << 4;
export const CR0_NE: u64 = 1 << 5;
export const CR0_WP: u64 = 1 << 16;
export const CR0_AM: u64 = 1 << 18;
export const CR0_NW: u64 = 1 << 29;
export const CR0_CD: u64 = 1 << 30;
export const CR0_PG: u64 = 0x80000000;

export const CR4_VME: u64 = 1;
export const CR4_TSD: u64 = 1 << 2;
export const CR4_DE: u64 = 1 << 3;
export const CR4_PSE: u64 = 1 << 4;
export const CR4_PAE: u64 = 1 << 5;
export const CR4_PGE: u64 = 1 << 7;
export const CR4_PCE: u64 = 1 << 8;
export const CR4_OSFXSR: u64 = 1 << 9;
export const CR4_OSXMMEXCPT: u64 = 1 << 10;
export const CR4_UMIP: u64 = 1 << 11;
export const CR4_FSGSBASE: u64 = 1 << 16;
export const CR4_PCIDE: u64 = 1 << 17;
export const CR4_OSXSAVE: u64 = 1 << 18;
export const CR4_SMEP: u64 = 1 << 20;
export const CR4_SMAP: u64 = 1 << 21;

export const EFER_SCE: u64 = 1;
export const EFER_LME: u64 = 1 << 8;
export const EFER_LMA: u64 = 1 << 10;
export const EFER_NXE: u64 = 1 << 11;
export const EFER_FFXSR: u64 = 1 << 14;
export const EFER_AIBRSE: u64 = 1 << 21;

/** OF SF ZF AF PF CF: the bits that live in the lazy triple. */
export const FLAGS_ARITHMETIC: u32 = 0x8d5;
export const FLAG_CF: u32 = 1;
export const FLAG_ZF: u32 = 1 << 6;
export const FLAG_TF: u32 = 1 << 8;
export const FLAG_IF: u32 = 1 << 9;
export const FLAG_DF: u32 = 1 << 10;
export const FLAG_OF: u32 = 1 << 11;
export const FLAG_IOPL: u32 = 3 << 12;
export const FLAG_NT: u32 = 1 << 14;
export const FLAG_RF: u32 = 1 << 16;
export const FLAG_VM: u32 = 1 << 17;
export const FLAG_AC: u32 = 1 << 18;
export const FLAG_VIF: u32 = 1 << 19;
export const FLAG_VIP: u32 = 1 << 20;
export const FLAG_ID: u32 = 1 << 21;

/** Segment registers in encoding order (state.ts SEGMENT_REGISTERS). */
export const SEGMENT_ES: u32 = 0;
export const SEGMENT_CS: u32 = 1;
export const SEGMENT_SS: u32 = 2;
export const SEGMENT_DS: u32 = 3;
export const SEGMENT_FS: u32 = 4;
export const SEGMENT_GS: u32 = 5;
export const SEGMENT_LDTR: u32 = 6;
export const SEGMENT_TR: u32 = 7;
const SEGMENT_BYTES: u32 = CS_BASE - ES_BASE;
const SEGMENT_LIMIT: u32 = 8;
const SEGMENT_SELECTOR: u32 = 12;
const SEGMENT_ACCESS: u32 = 16;

export {
  ACCESS_ACCESSED, ACCESS_BIG, ACCESS_CODE, ACCESS_EXPAND_DOWN, ACCESS_GRANULAR, ACCESS_LONG, ACCESS_PRESENT, ACCESS_S, ACCESS_WRITABLE,
} from './generated/layout';

/** What CPUID leaf 0x80000008 announces; bits above it are reserved in paging structures. */
export const PHYSICAL_ADDRESS_BITS: u32 = 40;

// @ts-ignore: decorator
@inline export function get64(field: u32): u64 { return load<u64>(cpu + field); }
// @ts-ignore: decorator
@inline export function set64(field: u32, value: u64): void { store<u64>(cpu + field, value); }
// @ts-ignore: decorator
@inline export function get32(field: u32): u32 { return load<u32>(cpu + field); }
// @ts-ignore: decorator
@inline export function set32(field: u32, value: u32): void { store<u32>(cpu + field, value); }
export function count(field: u32): void { store<u64>(cpu + field, load<u64>(cpu + field) + 1); }

// @ts-ignore: decorator
@inline function segmentAt(index: u32): usize { return cpu + ES_BASE + index * SEGMENT_BYTES; }
export function segmentBase(index: u32): u64 { return load<u64>(segmentAt(index)); }
export function segmentLimit(index: u32): u32 { return load<u32>(segmentAt(index), SEGMENT_LIMIT); }
export function segmentSelector(index: u32): u32 { return load<u32>(segmentAt(index), SEGMENT_SELECTOR); }
export function segmentAccess(index: u32): u32 { return load<u32>(segmentAt(index), SEGMENT_ACCESS); }
export function setSegment(index: u32, selector: u32, base: u64, limit: u32, access: u32): void {
  const at = segmentAt(index);
  store<u64>(at, base);
  store<u32>(at, limit, SEGMENT_LIMIT);
  store<u32>(at, selector, SEGMENT_SELECTOR);
  store<u32>(at, access, SEGMENT_ACCESS);
}
export function setSegmentBase(index: u32, base: u64): void { store<u64>(segmentAt(index), base); }
export function setSegmentAccess(index: u32, access: u32): void { store<u32>(segmentAt(index), access, SEGMENT_ACCESS); }

// @ts-ignore: decorator
@inline export function cpl(): u32 { return load<u32>(cpu + CPL); }
export function iopl(): u32 { return (load<u32>(cpu + EFLAGS) & FLAG_IOPL) >> 12; }
export function protectedMode(): bool { return (load<u64>(cpu + CR0) & CR0_PE) != 0; }
export function virtual86(): bool { return (load<u32>(cpu + EFLAGS) & FLAG_VM) != 0; }
/** IA-32e mode: 64-bit or compatibility. */
export function longMode(): bool { return (load<u64>(cpu + EFER) & EFER_LMA) != 0; }
export function code64(): bool { return (load<u32>(cpu + MODE_KEY) & MODE_CODE_SIZE) == 2; }
export function code32(): bool { return (load<u32>(cpu + CS_ACCESS) & ACCESS_BIG) != 0; }
export function controlBit4(bit: u64): bool { return (load<u64>(cpu + CR4) & bit) != 0; }
export function canonical(linear: u64): bool { return <u64>((<i64>(linear << 16)) >> 16) == linear; }

/** All ones in an operand of `size` bytes. */
export function sizeMask(size: u32): u64 { return size == 8 ? 0xffffffffffffffff : (<u64>1 << (size << 3)) - 1; }
/** Merges a result of 1, 2, 4 or 8 bytes into a 64-bit register image as the general registers do. */
export function mergeSize(old: u64, value: u64, size: u32): u64 {
  if (size >= 4) return value & sizeMask(size);
  const mask = sizeMask(size);
  return (old & ~mask) | (value & mask);
}
