// The x87 register stack, status word and exception delivery that all x87 helpers share.
// Specification: Intel SDM volume 1 sections 8.1 and 8.5. Not here: any instruction.
import { cpu } from './host';
import { CR0, FCW, FERR, FPR0, FSW, FTW_EMPTY } from './generated/layout';
import { raise } from './faults';
import {
  EXCEPTIONS, IE, PE, PRECOMPUTATION, QUIET_BITS, a80, b80, beginOperation, flags, precision, roundedUp, unmasked, useControlWord,
} from './softfloat';
import { pack80, packedHigh } from './softfloat-round';

export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;
const STACK_FAULT: u32 = 0x40;
const ERROR_SUMMARY: u32 = 0x80;
const BUSY: u32 = 0x8000;
const TOP_MASK: u32 = 0x3800;
const TOP_SHIFT: u32 = 11;
const CR0_NE: u64 = 1 << 5;
const VECTOR_MF: u32 = 16;
export const NAN_HIGH: u32 = 0xffff;

// @ts-ignore: decorator
@inline export function controlWord(): u32 { return load<u16>(cpu + FCW); }
// @ts-ignore: decorator
@inline export function statusWord(): u32 { return load<u16>(cpu + FSW); }
// @ts-ignore: decorator
@inline export function setStatusWord(value: u32): void { store<u16>(cpu + FSW, value); }
// @ts-ignore: decorator
@inline export function top(): u32 { return (statusWord() >> TOP_SHIFT) & 7; }
export function setTop(value: u32): void { setStatusWord((statusWord() & ~TOP_MASK) | ((value & 7) << TOP_SHIFT)); }

// @ts-ignore: decorator
@inline function physical(i: u32): u32 { return (top() + i) & 7; }
/** Address of ST(i). */
// @ts-ignore: decorator
@inline export function st(i: u32): usize { return cpu + FPR0 + (physical(i) << 4); }
// @ts-ignore: decorator
@inline export function isEmpty(i: u32): bool { return ((load<u8>(cpu + FTW_EMPTY) >> physical(i)) & 1) != 0; }
export function setEmpty(i: u32): void { store<u8>(cpu + FTW_EMPTY, load<u8>(cpu + FTW_EMPTY) | (<u32>1 << physical(i))); }
export function setValid(i: u32): void { store<u8>(cpu + FTW_EMPTY, load<u8>(cpu + FTW_EMPTY) & ~(<u32>1 << physical(i))); }

// @ts-ignore: decorator
@inline export function significandOf(register: usize): u64 { return load<u64>(register); }
// @ts-ignore: decorator
@inline export function highOf(register: usize): u32 { return load<u16>(register, 8); }

export function setRegister(i: u32, significand: u64, high: u32): void {
  const register = st(i);
  store<u64>(register, significand);
  store<u64>(register, high, 8);
  setValid(i);
}

export function setDefaultNan(i: u32): void { setRegister(i, QUIET_BITS, NAN_HIGH); }

export function beginX87(): void { useControlWord(controlWord()); }
export function aFromStack(i: u32): void { a80(significandOf(st(i)), highOf(st(i))); }
export function bFromStack(i: u32): void { b80(significandOf(st(i)), highOf(st(i))); }

export function pop(): void {
  setEmpty(0);
  setTop(top() + 1);
}

export function popTimes(count: u32): void {
  for (; count > 0; count--) pop();
}

/** Makes room for a new ST(0), whose register the caller fills. */
export function lowerTop(): void { setTop(top() - 1); }

/** Adds the operation's flags to the status word; C1 says whether the result was rounded up. */
export function commitStatus(): void {
  if (flags & unmasked & PRECOMPUTATION) keepFlags(PRECOMPUTATION | STACK_FAULT);
  let status = (statusWord() & ~C1) | flags | (roundedUp << 9);
  if (flags & unmasked) status |= ERROR_SUMMARY | BUSY;
  setStatusWord(status);
}

/** Forgets flags that an exception handled before hides, and that anything was rounded. */
function keepFlags(kept: u32): void {
  flags &= kept;
  if ((flags & STACK_FAULT) == 0) roundedUp = 0;
}

/** Commits the flags of a register operation; false when the result must not be stored. */
export function commitRegister(): bool {
  commitStatus();
  return (flags & unmasked & PRECOMPUTATION) == 0;
}

/** Whether an operation that stores to memory does so: only an inexact result survives an unmasked exception. */
export function storesToMemory(): bool {
  if ((flags & unmasked & ~PE) == 0) return true;
  keepFlags(~PE);
  return false;
}

/** A stack fault, committed at once; C1 tells overflow from underflow. True when the default NaN is to be stored. */
export function stackFault(overflow: bool): bool {
  beginOperation();
  flags = IE | STACK_FAULT;
  roundedUp = u32(overflow);
  commitStatus();
  return (unmasked & IE) == 0;
}

/** Reports an empty source; the caller stores the default NaN when this returns true. */
export function stackUnderflow(): bool { return stackFault(false); }

/** True when a push may go on. On a masked overflow the default NaN has been pushed instead. */
export function canPush(): bool {
  if (isEmpty(7)) return true;
  if (stackFault(true)) {
    lowerTop();
    setDefaultNan(0);
  }
  return false;
}

export function push(significand: u64, high: u32): void {
  lowerTop();
  setRegister(0, significand, high);
}

/** Rounds the result to the precision in force and stores it in ST(i) unless an exception forbids it. */
export function storeResult(i: u32): bool {
  const significand = pack80(precision);
  if (!commitRegister()) return false;
  setRegister(i, significand, packedHigh);
  return true;
}

/** ES and B follow from the pending exceptions and the masks. */
export function updateSummary(): void {
  const status = statusWord() & ~(ERROR_SUMMARY | BUSY);
  const pending = status & ~controlWord() & EXCEPTIONS;
  setStatusWord(pending ? status | ERROR_SUMMARY | BUSY : status);
}

/** What a waiting instruction does first: #MF for a pending exception, or a request for IRQ 13 without CR0.NE. */
export function fpCheck(d: usize, a: usize, b: usize, imm: i32): void {
  if ((statusWord() & ERROR_SUMMARY) == 0) return;
  if (load<u64>(cpu + CR0) & CR0_NE) raise(VECTOR_MF);
  else store<u32>(cpu + FERR, 1);
}
