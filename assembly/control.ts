// Control and debug registers: MOV to and from CRn and DRn, CLTS, LMSW, XGETBV, XSETBV, TLB invalidation.
// imm is the register number; the source is in slot a, the destination slot is d. Outside 64-bit mode operands are 32 bits.
import { changeSpace } from './address-spaces';
import { cpu, taskPriorityRead, taskPriorityWrite } from './host';
import {
  CPUID_FEATURE0, CPUID_FEATURE1, CPUID_FEATURE2, CPUID_FEATURE3, CPUID_FEATURE7, CR0, CR2, CR3, CR4, CS_ACCESS, DR0, DR6, DR7, EFER,
  RAX, RCX, RDX, XCR0,
} from './generated/layout';
import { DR6_BD, DR7_GD, raiseDebug } from './debug';
import { VECTOR_UD, faulted, raise, raiseGp } from './faults';
import { readMemory } from './memory';
import { updateMode } from './mode';
import { loadPdptes } from './paging';
import {
  ACCESS_LONG, CR0_AM, CR0_CD, CR0_EM, CR0_ET, CR0_MP, CR0_NE, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_DE, CR4_FSGSBASE,
  CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, CR4_PAE, CR4_PCE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CR4_TSD, CR4_UMIP,
  CR4_VME, EFER_LMA, EFER_LME, PHYSICAL_ADDRESS_BITS, canonical, code64, controlBit4, cpl, get32, get64, longMode, set64,
} from './registers';
import { flushNotGlobal, flushPage, flushTlb } from './tlb';

const CR0_KNOWN: u64 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_MCE: u64 = 1 << 6;
const CR4_PVI: u64 = 2;
const CR4_ALWAYS: u64 = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
const CR4_TRANSLATION: u64 = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
const CR3_NO_FLUSH: u64 = 1 << 63;

/** CPL 0, or #GP(0). */
export function requireRing0(): bool {
  if (cpl() == 0) return true;
  raiseGp();
  return false;
}

function operand(slot: usize): u64 { return code64() ? load<u64>(slot) : <u64>load<u32>(slot); }
function usesPdptes(cr0: u64, cr4: u64): bool { return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && !longMode(); }

/** CR4 bits that the announced features allow. */
function cr4Allowed(): u64 {
  let allowed = CR4_ALWAYS;
  if (get32(CPUID_FEATURE0) & 2) allowed |= CR4_VME | CR4_PVI;
  if (get32(CPUID_FEATURE1) & (1 << 17)) allowed |= CR4_PCIDE;
  if (get32(CPUID_FEATURE1) & (1 << 26)) allowed |= CR4_OSXSAVE;
  if (get32(CPUID_FEATURE2) & 1) allowed |= CR4_FSGSBASE;
  if (get32(CPUID_FEATURE2) & (1 << 7)) allowed |= CR4_SMEP;
  if (get32(CPUID_FEATURE2) & (1 << 20)) allowed |= CR4_SMAP;
  if (get32(CPUID_FEATURE3) & (1 << 2)) allowed |= CR4_UMIP;
  return allowed;
}

function writeCr0(requested: u64): void {
  if (requested >> 32) return raiseGp();
  const value = (requested & CR0_KNOWN) | CR0_ET;
  const old = get64(CR0), efer = get64(EFER);
  if ((value & CR0_PG) && (value & CR0_PE) == 0) return raiseGp();
  if ((value & CR0_NW) && (value & CR0_CD) == 0) return raiseGp();
  const enters = (value & CR0_PG) != 0 && (old & CR0_PG) == 0, leaves = (value & CR0_PG) == 0 && (old & CR0_PG) != 0;
  if (enters && (efer & EFER_LME)) {
    if (!controlBit4(CR4_PAE) || (get32(CS_ACCESS) & ACCESS_LONG)) return raiseGp();
    set64(EFER, efer | EFER_LMA);
  } else if (leaves) {
    if (code64() || controlBit4(CR4_PCIDE)) return raiseGp();
    set64(EFER, efer & ~EFER_LMA);
  }
  if (((old ^ value) & (CR0_PG | CR0_CD | CR0_NW)) && usesPdptes(value, get64(CR4)) && !loadPdptes(get64(CR3))) return raiseGp();
  set64(CR0, value);
  if ((old ^ value) & (CR0_PG | CR0_WP | CR0_PE)) flushTlb();
  updateMode();
}

function writeCr3(requested: u64): void {
  let value = requested;
  if (controlBit4(CR4_PCIDE)) value &= ~CR3_NO_FLUSH;
  if (longMode() && value >> PHYSICAL_ADDRESS_BITS) return raiseGp();
  if (usesPdptes(get64(CR0), get64(CR4)) && !loadPdptes(value)) return raiseGp();
  changeSpace(value);
}

function writeCr4(value: u64): void {
  const old = get64(CR4), changed = old ^ value;
  if (value & ~cr4Allowed()) return raiseGp();
  if (longMode() && (value & CR4_PAE) == 0) return raiseGp();
  if ((changed & value & CR4_PCIDE) && (!longMode() || (get64(CR3) & 0xfff))) return raiseGp();
  if ((changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)) && usesPdptes(get64(CR0), value) && !loadPdptes(get64(CR3))) return raiseGp();
  set64(CR4, value);
  if (changed & CR4_TRANSLATION) flushTlb();
  updateMode();
}

export function movToCr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  const value = operand(a);
  switch (imm) {
    case 0: return writeCr0(value);
    case 2: return set64(CR2, value);
    case 3: return writeCr3(value);
    case 4: return writeCr4(value);
    case 8: return value > 15 ? raiseGp() : taskPriorityWrite(<u32>value);
    default: raise(VECTOR_UD);
  }
}

export function movFromCr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  switch (imm) {
    case 0: return store<u64>(d, get64(CR0));
    case 2: return store<u64>(d, get64(CR2));
    case 3: return store<u64>(d, get64(CR3));
    case 4: return store<u64>(d, get64(CR4));
    case 8: return store<u64>(d, taskPriorityRead());
    default: raise(VECTOR_UD);
  }
}

/** The register an access to DRn means, or -1 with a fault raised. */
function debugRegister(n: i32): i32 {
  if (n > 7 || ((n == 4 || n == 5) && controlBit4(CR4_DE))) {
    raise(VECTOR_UD);
    return -1;
  }
  if (!requireRing0()) return -1;
  if (get64(DR7) & DR7_GD) {
    raiseDebug(DR6_BD);
    return -1;
  }
  return n == 4 || n == 5 ? n + 2 : n;
}

export function movToDr(d: usize, a: usize, b: usize, imm: i32): void {
  const n = debugRegister(imm), value = operand(a);
  if (n < 0) return;
  if (n >= 6 && value >> 32) return raiseGp();
  if (n == 6) return set64(DR6, (value & 0xe00f) | 0xffff0ff0);
  if (n == 7) set64(DR7, (value & 0xffff2bff) | 0x400);
  else store<u64>(cpu + DR0 + n * 8, value);
  updateMode();
  flushTlb(); // a watched page must not be cached
}

export function movFromDr(d: usize, a: usize, b: usize, imm: i32): void {
  const n = debugRegister(imm);
  if (n == 6) store<u64>(d, get64(DR6));
  else if (n == 7) store<u64>(d, get64(DR7));
  else if (n >= 0) store<u64>(d, load<u64>(cpu + DR0 + n * 8));
}

export function clts(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  set64(CR0, get64(CR0) & ~CR0_TS);
  updateMode();
}

/** a: slot with the 16-bit source. Sets PE but never clears it. */
export function lmsw(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  const old = get64(CR0);
  writeCr0((old & ~(CR0_MP | CR0_EM | CR0_TS)) | (load<u16>(a) & 15) | (old & CR0_PE));
}

/** XCR0 bits the announced features allow. */
export function xcr0Allowed(): u64 { return get32(CPUID_FEATURE1) & (1 << 28) ? 7 : 3; }

export function xgetbv(d: usize, a: usize, b: usize, imm: i32): void {
  if (!controlBit4(CR4_OSXSAVE)) return raise(VECTOR_UD);
  const index = <u32>get64(RCX);
  if (index > 1 || (index == 1 && (get32(CPUID_FEATURE7) & 4) == 0)) return raiseGp();
  set64(RAX, get64(XCR0) & 0xffffffff);
  set64(RDX, get64(XCR0) >> 32);
}

export function xsetbv(d: usize, a: usize, b: usize, imm: i32): void {
  if (!controlBit4(CR4_OSXSAVE)) return raise(VECTOR_UD);
  const value = (get64(RDX) << 32) | (get64(RAX) & 0xffffffff);
  const valid = <u32>get64(RCX) == 0 && (value & 1) != 0 && (value & ~xcr0Allowed()) == 0 && (value & 6) != 4;
  if (cpl() != 0 || !valid) return raiseGp();
  set64(XCR0, value);
  updateMode();
}

/** a: slot with the linear address. */
export function invlpg(d: usize, a: usize, b: usize, imm: i32): void {
  if (requireRing0()) flushPage(load<u64>(a));
}

/** a: slot with the type, b: slot with the linear address of the descriptor. No entries of other PCIDs are ever kept. */
export function invpcid(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  const type = operand(a), descriptor = load<u64>(b);
  const pcid = readMemory(descriptor, 8);
  if (faulted()) return;
  const linear = readMemory(descriptor + 8, 8);
  if (faulted()) return;
  if (type > 3 || (type < 2 && pcid > 0xfff) || (type == 0 && longMode() && !canonical(linear))) return raiseGp();
  if (type < 2 && !controlBit4(CR4_PCIDE) && pcid != 0) return raiseGp();
  if (type == 0) flushPage(linear);
  else if (type == 2) flushTlb();
  else flushNotGlobal();
}

/** WBINVD and INVD: there are no caches. */
export function wbinvd(d: usize, a: usize, b: usize, imm: i32): void { requireRing0(); }
export function invd(d: usize, a: usize, b: usize, imm: i32): void { requireRing0(); }
