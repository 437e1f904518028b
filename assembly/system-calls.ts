// SYSCALL, SYSRET, SYSENTER and SYSEXIT (Intel SDM 2): transfers whose segments are constants, not descriptors.
import {
  EFER, EFLAGS, MSR_CSTAR, MSR_LSTAR, MSR_SFMASK, MSR_STAR, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, NEXT_RIP, R11, RCX,
  RDX, RIP, RSP, VENDOR0,
} from './generated/layout';
import { armStep, disarmStep } from './debug';
import { allFlags, clearFlags, loadFlags } from './eflags';
import { VECTOR_UD, raise, raiseGp } from './faults';
import { updateMode } from './mode';
import {
  ACCESS_BIG, ACCESS_GRANULAR, ACCESS_LONG, EFER_SCE, FLAG_IF, FLAG_RF, FLAG_TF, FLAG_VM, SEGMENT_CS, SEGMENT_SS, canonical, code64,
  cpl, get32, get64, longMode, protectedMode, set64, setSegment, virtual86,
} from './registers';

const CODE_ACCESS: u32 = 0x9b | ACCESS_GRANULAR;
const DATA_ACCESS: u32 = 0x93 | ACCESS_GRANULAR | ACCESS_BIG;
const VENDOR_AMD: u32 = 0x68747541; // "Auth": SYSCALL also from compatibility mode

function setFlat(code: u32, stack: u32, level: u32, long: bool): void {
  const privilege = level << 5;
  setSegment(SEGMENT_CS, (code & 0xfffc) | level, 0, 0xffffffff, CODE_ACCESS | privilege | (long ? ACCESS_LONG : ACCESS_BIG));
  setSegment(SEGMENT_SS, (stack & 0xfffc) | level, 0, 0xffffffff, DATA_ACCESS | privilege);
}

/** TF cleared by the instruction itself means no single-step trap after it. */
function finishEntry(rip: u64): void {
  if ((get32(EFLAGS) & FLAG_TF) == 0) disarmStep();
  set64(RIP, rip);
  updateMode();
}

export function syscall(d: usize, a: usize, b: usize, imm: i32): void {
  if ((get64(EFER) & EFER_SCE) == 0 || !longMode() || (!code64() && get32(VENDOR0) != VENDOR_AMD)) return raise(VECTOR_UD);
  const target = code64() ? get64(MSR_LSTAR) : get64(MSR_CSTAR);
  const flags = allFlags() & ~FLAG_RF;
  set64(RCX, get64(NEXT_RIP));
  set64(R11, flags);
  loadFlags(flags & ~<u32>get64(MSR_SFMASK), 0x3f7fd5);
  const code = <u32>(get64(MSR_STAR) >> 32) & 0xffff;
  setFlat(code, code + 8, 0, true);
  finishEntry(target);
}

/** imm: operand size; 8 returns to 64-bit code. */
export function sysret(d: usize, a: usize, b: usize, imm: i32): void {
  if ((get64(EFER) & EFER_SCE) == 0 || !code64()) return raise(VECTOR_UD);
  if (cpl() != 0) return raiseGp();
  const long = imm == 8;
  const rip = long ? get64(RCX) : get64(RCX) & 0xffffffff;
  if (!canonical(rip)) return raiseGp();
  const code = <u32>(get64(MSR_STAR) >> 48);
  loadFlags(<u32>get64(R11), 0x3c7fd7 & ~FLAG_RF);
  setFlat(long ? code + 16 : code, code + 8, 3, long);
  // TF from R11 traps before the next instruction, as if the SYSCALL had been stepped over.
  if (get32(EFLAGS) & FLAG_TF) armStep();
  set64(RIP, rip);
  updateMode();
}

export function sysenter(d: usize, a: usize, b: usize, imm: i32): void {
  const code = <u32>get64(MSR_SYSENTER_CS);
  if (!protectedMode() || (code & 0xfffc) == 0) return raiseGp();
  clearFlags(FLAG_VM | FLAG_IF | FLAG_RF);
  setFlat(code, code + 8, 0, longMode());
  const mask: u64 = longMode() ? 0xffffffffffffffff : 0xffffffff;
  set64(RSP, get64(MSR_SYSENTER_ESP) & mask);
  finishEntry(get64(MSR_SYSENTER_EIP) & mask);
}

/** imm: operand size; 8 returns to 64-bit code. */
export function sysexit(d: usize, a: usize, b: usize, imm: i32): void {
  const code = <u32>get64(MSR_SYSENTER_CS);
  if (!protectedMode() || virtual86() || (code & 0xfffc) == 0 || cpl() != 0) return raiseGp();
  const long = imm == 8;
  const mask: u64 = long ? 0xffffffffffffffff : 0xffffffff;
  const rip = get64(RDX) & mask, sp = get64(RCX) & mask;
  if (!canonical(rip) || !canonical(sp)) return raiseGp();
  setFlat(long ? code + 32 : code + 16, long ? code + 40 : code + 24, 3, long);
  set64(RSP, sp);
  set64(RIP, rip);
  updateMode();
}
