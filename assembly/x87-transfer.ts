// x87 loads, stores, exchanges and constants. Helpers NAME(d, a, b, imm).
// Loads take a: the slot of the operand's bits (80 bits: the significand, then sign and exponent in the next 64).
// Stores to memory take b: the slot with the linear address, imm: how many times to pop; the store, the flags and the
// pop belong together, because an unmasked exception suppresses the store and the pop, and a fault all three.
import { faulted } from './faults';
import { prepareWrite, writeMemory } from './memory';
import {
  IE, INFINITE, QUIET_BITS, ROUND_DOWN, ROUND_UP, ROUND_ZERO, TOP_BIT, a32, a64, aInteger, aKind, aSign, denormal, flags, propagateOne,
  resultFromA, roundedUp, rounding, unmasked,
} from './softfloat';
import { pack32, pack64, pack80, packedHigh, toInteger } from './softfloat-round';
import {
  C1, NAN_HIGH, aFromStack, beginX87, canPush, commitStatus, highOf, isEmpty, pop, popTimes, push, setDefaultNan, setEmpty, setRegister,
  setStatusWord, significandOf, st, stackUnderflow, statusWord, storesToMemory,
} from './x87-stack';
import { double, fromDouble, noteRounding, operandHigh, operandSignificand, toDouble } from './x87-usual';

const INDEFINITE_16: u64 = 0x8000;
const INDEFINITE_32: u64 = 0x80000000;
const INDEFINITE_64: u64 = 0x8000000000000000;
const NAN_32: u64 = 0xffc00000;
const NAN_64: u64 = 0xfff8000000000000;

function clearC1(): void { setStatusWord(statusWord() & ~C1); }

/** Pushes operand A, which came from a narrower format: exact, but a denormal or a signaling NaN is reported. */
function pushConverted(): void {
  if (!canPush()) return;
  if (aKind > INFINITE) propagateOne();
  else {
    flags |= denormal;
    resultFromA();
  }
  const significand = pack80(64);
  commitStatus();
  // An unmasked denormal is reported, but loaded.
  if ((flags & unmasked & IE) == 0) push(significand, packedHigh);
}

export function fld32(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  a32(load<u32>(a));
  pushConverted();
}

export function fld64(d: usize, a: usize, b: usize, imm: i32): void {
  if (isEmpty(7) && fromDouble(load<u64>(a))) {
    clearC1();
    return push(operandSignificand, operandHigh);
  }
  beginX87();
  a64(load<u64>(a));
  pushConverted();
}

function pushInteger(value: i64): void {
  beginX87();
  aInteger(value);
  pushConverted();
}

export function fild16(d: usize, a: usize, b: usize, imm: i32): void { pushInteger(load<i16>(a)); }
export function fild32(d: usize, a: usize, b: usize, imm: i32): void { pushInteger(load<i32>(a)); }
export function fild64(d: usize, a: usize, b: usize, imm: i32): void { pushInteger(load<i64>(a)); }

function pushRaw(significand: u64, high: u32): void {
  beginX87();
  if (!canPush()) return;
  clearC1();
  push(significand, high);
}

export function fld80(d: usize, a: usize, b: usize, imm: i32): void { pushRaw(load<u64>(a), load<u16>(b)); }

/** imm: i of ST(i). */
export function fldSti(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(imm)) {
    if (stackUnderflow()) push(QUIET_BITS, NAN_HIGH);
    return;
  }
  pushRaw(significandOf(st(imm)), highOf(st(imm)));
}

/** Packed decimal, the low 16 digits and the rest: 18 digits, the sign in bit 79. Invalid digits count as they add up. */
export function fbld(d: usize, a: usize, b: usize, imm: i32): void {
  const low = load<u64>(a), high: u32 = load<u16>(b);
  let value: i64 = 0;
  for (let n = 4; n >= 0; n -= 4) value = value * 10 + ((high >> n) & 15);
  for (let n = 60; n >= 0; n -= 4) value = value * 10 + i64((low >> n) & 15);
  beginX87();
  aInteger(value);
  aSign = high >> 15;
  pushConverted();
}

/** A 64-bit significand rounded to nearest, and the mode in which it is one more (or less: ROUND_DOWN and ROUND_ZERO). */
function pushConstant(nearest: u64, high: u32, nearestIsAbove: bool): void {
  beginX87();
  let significand = nearest;
  if (nearestIsAbove) significand -= u64(rounding == ROUND_DOWN || rounding == ROUND_ZERO);
  else significand += u64(rounding == ROUND_UP);
  pushRaw(significand, high);
}

export function fld1(d: usize, a: usize, b: usize, imm: i32): void { pushRaw(TOP_BIT, 0x3fff); }
export function fldz(d: usize, a: usize, b: usize, imm: i32): void { pushRaw(0, 0); }
export function fldl2t(d: usize, a: usize, b: usize, imm: i32): void { pushConstant(0xd49a784bcd1b8afe, 0x4000, false); }
export function fldl2e(d: usize, a: usize, b: usize, imm: i32): void { pushConstant(0xb8aa3b295c17f0bc, 0x3fff, true); }
export function fldpi(d: usize, a: usize, b: usize, imm: i32): void { pushConstant(0xc90fdaa22168c235, 0x4000, true); }
export function fldlg2(d: usize, a: usize, b: usize, imm: i32): void { pushConstant(0x9a209a84fbcff799, 0x3ffd, true); }
export function fldln2(d: usize, a: usize, b: usize, imm: i32): void { pushConstant(0xb17217f7d1cf79ac, 0x3ffe, true); }

/** Prepares ST(0) for a store; false when it is empty and the store of `indefinite` has been done or suppressed. */
function canStore(b: usize, bytes: u32, indefinite: u64, pops: u32): bool {
  beginX87();
  if (!isEmpty(0)) {
    aFromStack(0);
    return true;
  }
  if ((unmasked & IE) == 0) {
    writeMemory(load<u64>(b), bytes, indefinite);
  } else prepareWrite(load<u64>(b), bytes);
  if (faulted()) return false;
  if (stackUnderflow()) popTimes(pops);
  return false;
}

function finishStore(b: usize, bytes: u32, value: u64, pops: u32): void {
  const stores = storesToMemory();
  if (stores) writeMemory(load<u64>(b), bytes, value);
  else prepareWrite(load<u64>(b), bytes); // memory is checked although nothing will be stored
  if (faulted()) return;
  commitStatus();
  if (stores) popTimes(pops);
}

/** R = A for a store to a narrower format; no denormal is reported. */
function resultToStore(): void {
  if (aKind > INFINITE) propagateOne();
  else resultFromA();
}

export function fst32(d: usize, a: usize, b: usize, imm: i32): void {
  if (!canStore(b, 4, NAN_32, imm)) return;
  resultToStore();
  finishStore(b, 4, pack32(), imm);
}

export function fst64(d: usize, a: usize, b: usize, imm: i32): void {
  if (!isEmpty(0) && toDouble(highOf(st(0)), significandOf(st(0)))) {
    writeMemory(load<u64>(b), 8, double);
    if (faulted()) return;
    noteRounding();
    return popTimes(imm);
  }
  if (!canStore(b, 8, NAN_64, imm)) return;
  resultToStore();
  finishStore(b, 8, pack64(), imm);
}

/** Stores 10 bytes, or only checks that they could be; false after a fault. */
function write80(linear: u64, significand: u64, high: u32, stores: bool): bool {
  prepareWrite(linear, 8);
  if (faulted()) return false;
  if (!stores) {
    prepareWrite(linear + 8, 2);
    return !faulted();
  }
  writeMemory(linear + 8, 2, high);
  if (faulted()) return false;
  writeMemory(linear, 8, significand);
  return !faulted();
}

export function fst80(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  const linear = load<u64>(b);
  if (isEmpty(0)) {
    if (!write80(linear, QUIET_BITS, NAN_HIGH, (unmasked & IE) == 0)) return;
    if (stackUnderflow()) popTimes(imm);
    return;
  }
  if (!write80(linear, significandOf(st(0)), highOf(st(0)), true)) return;
  clearC1();
  popTimes(imm);
}

/** imm: i | pops << 3. */
export function fstSti(d: usize, a: usize, b: usize, imm: i32): void {
  const i = imm & 7, pops = imm >> 3;
  beginX87();
  if (isEmpty(0)) {
    if (!stackUnderflow()) return;
    setDefaultNan(i);
  } else {
    clearC1();
    setRegister(i, significandOf(st(0)), highOf(st(0)));
  }
  popTimes(pops);
}

export function fist16(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 2, INDEFINITE_16, imm)) finishStore(b, 2, toInteger(16, rounding), imm);
}

export function fist32(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 4, INDEFINITE_32, imm)) finishStore(b, 4, toInteger(32, rounding), imm);
}

export function fist64(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 8, INDEFINITE_64, imm)) finishStore(b, 8, toInteger(64, rounding), imm);
}

// Truncating stores always pop.
export function fisttp16(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 2, INDEFINITE_16, 1)) finishStore(b, 2, toInteger(16, ROUND_ZERO), 1);
}

export function fisttp32(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 4, INDEFINITE_32, 1)) finishStore(b, 4, toInteger(32, ROUND_ZERO), 1);
}

export function fisttp64(d: usize, a: usize, b: usize, imm: i32): void {
  if (canStore(b, 8, INDEFINITE_64, 1)) finishStore(b, 8, toInteger(64, ROUND_ZERO), 1);
}

const DECIMAL_LIMIT: u64 = 1_000_000_000_000_000_000;
const DECIMAL_INDEFINITE: u64 = 0xc000000000000000;

/** `count` decimal digits of a value, four bits each. */
function decimalDigits(value: u64, count: u32): u64 {
  let digits: u64 = 0;
  for (let n: u32 = 0; n < count; n++) {
    digits |= (value % 10) << (n * 4);
    value /= 10;
  }
  return digits;
}

/** Always pops. */
export function fbstp(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  const linear = load<u64>(b);
  if (isEmpty(0)) {
    if (!write80(linear, DECIMAL_INDEFINITE, 0xffff, (unmasked & IE) == 0)) return;
    if (stackUnderflow()) pop();
    return;
  }
  aFromStack(0);
  const value = toInteger(64, rounding);
  const magnitude: u64 = value < 0 ? -value : value;
  let low = decimalDigits(magnitude % 10_000_000_000_000_000, 16);
  let high = u32(decimalDigits(magnitude / 10_000_000_000_000_000, 2)) | (aSign << 15);
  if (magnitude >= DECIMAL_LIMIT) {
    flags = IE;
    roundedUp = 0;
    low = DECIMAL_INDEFINITE;
    high = 0xffff;
  }
  const stores = storesToMemory();
  if (!write80(linear, low, high, stores)) return;
  commitStatus();
  if (stores) pop();
}

/** The encoding D9 /3 of FSTP: an empty ST(0) is no fault, it is only popped. imm: i. */
export function fstpUnchecked(d: usize, a: usize, b: usize, imm: i32): void {
  if (isEmpty(0)) {
    clearC1();
    pop();
  } else fstSti(d, a, b, imm | 8);
}

/** imm: i. Empty registers count as the default NaN. */
export function fxch(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(0) || isEmpty(imm)) {
    if (!stackUnderflow()) return;
    if (isEmpty(0)) setDefaultNan(0);
    if (isEmpty(imm)) setDefaultNan(imm);
  } else clearC1();
  const significand = significandOf(st(0)), high = highOf(st(0));
  setRegister(0, significandOf(st(imm)), highOf(st(imm)));
  setRegister(imm, significand, high);
}

/** a: slot with 0 or 1, the condition; imm: i. */
export function fcmov(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(0) || isEmpty(imm)) {
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  if (load<u8>(a)) setRegister(0, significandOf(st(imm)), highOf(st(imm)));
}

/** Pops without any check, for forms that pop after something else. */
export function fpop(d: usize, a: usize, b: usize, imm: i32): void { popTimes(imm ? imm : 1); }

export function ffree(d: usize, a: usize, b: usize, imm: i32): void {
  clearC1();
  setEmpty(imm);
}
