// LAR, LSL, VERR, VERW and ARPL: questions about a selector that answer in ZF instead of faulting.
import { accessOf, descriptorBits, dplOf, isCode, isConforming, limitOf, probeDescriptor } from './descriptors';
import { VECTOR_UD, faulted, raise } from './faults';
import { readFlags, writeFlags } from './flags';
import { readMemory, writeMemory } from './memory';
import { ACCESS_S, ACCESS_WRITABLE, FLAG_ZF, cpl, longMode, mergeSize, protectedMode, virtual86 } from './registers';

function setZero(zero: bool): void { writeFlags(zero ? readFlags() | FLAG_ZF : readFlags() & ~FLAG_ZF); }

/** System types that LAR accepts, one bit a type; LSL accepts those with a limit. Long mode knows fewer. */
const LAR_TYPES: u32 = 0x1a3e; // TSS16, LDT, busy TSS16, call gate 16, task gate, TSS32, busy TSS32, call gate 32
const LSL_TYPES: u32 = 0x0a0e;
const LAR_TYPES_LONG: u32 = 0x1a04;
const LSL_TYPES_LONG: u32 = 0x0a04;

function visible(selector: u32, types: u32): bool {
  const access = accessOf(descriptorBits());
  if ((access & ACCESS_S) == 0 && ((types >> (access & 15)) & 1) == 0) return false;
  if (isCode(access) && isConforming(access)) return true;
  return dplOf(access) >= cpl() && dplOf(access) >= (selector & 3);
}

function query(selector: u32, types: u32): bool {
  if (!protectedMode() || virtual86()) {
    raise(VECTOR_UD);
    return false;
  }
  if (probeDescriptor(selector) && visible(selector, types)) return true;
  if (!faulted()) setZero(false);
  return false;
}

/** d: destination register slot; a: slot with the selector; imm: operand size. */
export function lar(d: usize, a: usize, b: usize, imm: i32): void {
  if (!query(load<u16>(a), longMode() ? LAR_TYPES_LONG : LAR_TYPES)) return;
  setZero(true);
  store<u64>(d, mergeSize(load<u64>(d), (descriptorBits() >> 32) & 0x00ffff00, imm));
}

export function lsl(d: usize, a: usize, b: usize, imm: i32): void {
  if (!query(load<u16>(a), longMode() ? LSL_TYPES_LONG : LSL_TYPES)) return;
  setZero(true);
  store<u64>(d, mergeSize(load<u64>(d), limitOf(descriptorBits()), imm));
}

export function verr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!query(load<u16>(a), 0)) return;
  const access = accessOf(descriptorBits());
  setZero(!isCode(access) || (access & ACCESS_WRITABLE) != 0);
}

export function verw(d: usize, a: usize, b: usize, imm: i32): void {
  if (!query(load<u16>(a), 0)) return;
  const access = accessOf(descriptorBits());
  setZero(!isCode(access) && (access & ACCESS_WRITABLE) != 0);
}

/** a: slot of the destination selector, b: slot of the other; d gets the result. ZF tells whether RPL was raised. */
export function arpl(d: usize, a: usize, b: usize, imm: i32): void {
  if (!protectedMode() || virtual86()) return raise(VECTOR_UD);
  const target: u32 = load<u16>(a), rpl: u32 = load<u16>(b) & 3;
  const raised = (target & 3) < rpl;
  store<u16>(d, <u16>(raised ? (target & 0xfffc) | rpl : target));
  setZero(raised);
}

/** ARPL of memory, which is written only where RPL is raised. a: slot with the linear address, b: slot of the other selector. */
export function arplMemory(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(a), target = <u32>readMemory(linear, 2), rpl: u32 = load<u16>(b) & 3;
  if (faulted()) return;
  const raised = (target & 3) < rpl;
  if (raised) writeMemory(linear, 2, (target & 0xfffc) | rpl);
  if (!faulted()) setZero(raised);
}
