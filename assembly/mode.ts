// What is derived from the architectural mode: CPL, the MODE bits of modeKey and the TLBs in use. Called after every
// change of CR0, CR4, EFER, XCR0, a segment register or a system flag.
import {
  CPL, CR0, CR4, CS_ACCESS, CS_BASE, CS_LIMIT, EFLAGS, EMPTY_TLB_OFFSET, MMU_INDEX_SUPERVISOR, MMU_INDEX_SUPERVISOR_AC, MMU_INDEX_USER,
  MODE_AVX,
  MODE_FLAT, MODE_FPU, MODE_KEY, MODE_PROTECTED, MODE_SSE, MODE_STACK32, MODE_STEP, MODE_USER, MODE_VM86, SS_ACCESS,
  STEP_ARMED, TLB_EXECUTE, TLB_KIND_EXECUTE, TLB_KIND_READ, TLB_KIND_WRITE, TLB_READ, TLB_WRITE, XCR0,
} from './generated/layout';
import { updateDebug } from './debug';
import { cpu } from './host';
import {
  ACCESS_BIG, ACCESS_CODE, ACCESS_EXPAND_DOWN, ACCESS_LONG, ACCESS_PRESENT, ACCESS_WRITABLE, CR0_EM, CR0_PE, CR0_TS, CR4_OSFXSR,
  CR4_OSXSAVE, CR4_SMAP, FLAG_AC, FLAG_TF, FLAG_VM, SEGMENT_DS, SEGMENT_ES, SEGMENT_SS, get32, get64, longMode, segmentAccess,
  segmentBase, segmentLimit, set32,
} from './registers';
import { keyOfMode, newGeneration, tlbTable } from './tlb';

const CR0_AM: u64 = 1 << 18;
const CODE_16: u32 = 0;
const CODE_32: u32 = 1;
const CODE_64: u32 = 2;
const XCR0_SSE_AVX: u64 = 6;

let index: u32 = 0;
let aligned: bool = false;
/** Whether user accesses must be aligned: CR0.AM, EFLAGS.AC and CPL 3. */
export function alignmentChecked(): bool { return aligned; }
/** MMU index of explicit data accesses. */
export function mmuIndex(): u32 { return index; }

/** MMU index of an access at privilege level `level`. */
export function mmuIndexOf(level: u32): u32 {
  if (level == 3) return MMU_INDEX_USER;
  return (get32(EFLAGS) & FLAG_AC) && (get64(CR4) & CR4_SMAP) ? MMU_INDEX_SUPERVISOR_AC : MMU_INDEX_SUPERVISOR;
}

function isFlatData(segment: u32): bool {
  const access = segmentAccess(segment);
  return segmentBase(segment) == 0 && segmentLimit(segment) == 0xffffffff
    && (access & (ACCESS_PRESENT | ACCESS_CODE | ACCESS_WRITABLE | ACCESS_EXPAND_DOWN)) == (ACCESS_PRESENT | ACCESS_WRITABLE);
}

function isFlat(): bool {
  if (get64(CS_BASE) != 0 || get32(CS_LIMIT) != 0xffffffff) return false;
  return isFlatData(SEGMENT_DS) && isFlatData(SEGMENT_ES) && isFlatData(SEGMENT_SS);
}

function codeSize(): u32 {
  const access = get32(CS_ACCESS);
  if ((access & ACCESS_LONG) && longMode()) return CODE_64;
  return access & ACCESS_BIG ? CODE_32 : CODE_16;
}

function unitBits(cr0: u64, cr4: u64): u32 {
  let bits: u32 = 0;
  if ((cr0 & (CR0_EM | CR0_TS)) == 0) bits |= MODE_FPU | (cr4 & CR4_OSFXSR ? MODE_SSE : 0);
  if ((cr4 & CR4_OSXSAVE) && (cr0 & CR0_TS) == 0 && (get64(XCR0) & XCR0_SSE_AVX) == XCR0_SSE_AVX) bits |= MODE_AVX;
  return bits;
}

function selectTlbs(level: u32): void {
  index = mmuIndexOf(level);
  set32(TLB_READ, <u32>tlbTable(index, TLB_KIND_READ));
  set32(TLB_WRITE, <u32>tlbTable(index, TLB_KIND_WRITE));
  set32(TLB_EXECUTE, <u32>tlbTable(index, TLB_KIND_EXECUTE));
  aligned = level == 3 && (get32(EFLAGS) & FLAG_AC) != 0 && (get64(CR0) & CR0_AM) != 0;
  if (!aligned) return;
  set32(TLB_READ, <u32>cpu + EMPTY_TLB_OFFSET);
  set32(TLB_WRITE, <u32>cpu + EMPTY_TLB_OFFSET);
}

/** CPL is the DPL of SS (SDM 3A 5.5 and table 3-1): it survives the steps in which CS.RPL is not meaningful. */
function privilegeLevel(cr0: u64, flags: u32): u32 {
  if ((cr0 & CR0_PE) == 0) return 0;
  return flags & FLAG_VM ? 3 : (get32(SS_ACCESS) >> 5) & 3;
}

/** Base of CS that the jump cache's entries were made with: they are found by RIP. */
let cachedBase: u64 = 0;

export function updateMode(): void {
  const cr0 = get64(CR0), flags = get32(EFLAGS), size = codeSize();
  const level = privilegeLevel(cr0, flags);
  set32(CPL, level);
  let key = size | unitBits(cr0, get64(CR4));
  if (size == CODE_64) key |= MODE_FLAT;
  else key |= (isFlat() ? MODE_FLAT : 0) | (get32(SS_ACCESS) & ACCESS_BIG ? MODE_STACK32 : 0);
  if (level == 3) key |= MODE_USER;
  if (cr0 & CR0_PE) key |= flags & FLAG_VM ? MODE_VM86 : MODE_PROTECTED;
  if (updateDebug() || (flags & FLAG_TF) || get32(STEP_ARMED)) key |= MODE_STEP;
  set32(MODE_KEY, keyOfMode(key));
  if (size != CODE_64 && get64(CS_BASE) != cachedBase) {
    cachedBase = get64(CS_BASE);
    newGeneration();
  }
  selectTlbs(level);
}
