// x87 arithmetic, comparison and the exact unary instructions. Helpers NAME(d, a, b, imm).
// The operation in imm is the encoding's: 0 add, 1 mul, 4 sub (destination - source), 5 subr, 6 div, 7 divr.
import { writeFlags } from './flags';
import {
  FINITE, INFINITE, QUIET_BITS, TOP_BIT, UNSUPPORTED, ZE, ZERO, aExponent, aInteger, aKind, aSign, b32, b64, bExponent, bInteger, bKind,
  bSign, bSignificand, denormal, flags, invalid, propagate, propagateOne, rExponent, resultFromA, roundedUp, rounding, setResult,
  swapOperands,
} from './softfloat';
import { EQUAL, GREATER, LESS, UNORDERED, add, compare, divide, multiply, squareRoot } from './softfloat-arithmetic';
import { pack80, packedHigh, roundToIntegral } from './softfloat-round';
import {
  C0, C1, C2, C3, NAN_HIGH, aFromStack, bFromStack, beginX87, commitRegister, highOf, isEmpty, popTimes, push, setDefaultNan,
  setRegister, setStatusWord, significandOf, st, stackFault, stackUnderflow, statusWord, storeResult,
} from './x87-stack';
import { fromDouble, operandHigh, operandSignificand, operateUsual, usualOrder } from './x87-usual';

/** A is the destination's value, B the source's. */
function operate(op: u32): void {
  if (op & 1 && op >= 4) swapOperands();
  switch (op) {
    case 0: return add(0);
    case 1: return multiply();
    case 4:
    case 5: return add(1);
    default: return divide();
  }
}

/** ST(target) = ST(target) op ST(source). */
function arithmetic(op: u32, target: u32, source: u32, pops: u32): void {
  if (!isEmpty(target) && !isEmpty(source)) {
    const a = st(target), b = st(source);
    if (operateUsual(op, target, highOf(a), significandOf(a), highOf(b), significandOf(b))) return popTimes(pops);
  }
  beginX87();
  if (isEmpty(target) || isEmpty(source)) {
    if (!stackUnderflow()) return;
    setDefaultNan(target);
  } else {
    aFromStack(target);
    bFromStack(source);
    operate(op);
    if (!storeResult(target)) return;
  }
  popTimes(pops);
}

/** imm: op | i << 3. */
export function farithSt0Sti(d: usize, a: usize, b: usize, imm: i32): void { arithmetic(imm & 7, 0, (imm >> 3) & 7, 0); }
/** imm: op | i << 3 | pops << 6; the destination is ST(i). */
export function farithStiSt0(d: usize, a: usize, b: usize, imm: i32): void { arithmetic(imm & 7, (imm >> 3) & 7, 0, u32(imm) >> 6); }

/** ST(0) = ST(0) op B. */
function arithmeticWithB(op: u32): void {
  if (isEmpty(0)) {
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  aFromStack(0);
  operate(op);
  storeResult(0);
}

// a: slot of the memory operand's bits; imm: op.
export function farithF32(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  b32(load<u32>(a));
  arithmeticWithB(imm);
}

export function farithF64(d: usize, a: usize, b: usize, imm: i32): void {
  if (!isEmpty(0) && fromDouble(load<u64>(a))) {
    if (operateUsual(imm, 0, highOf(st(0)), significandOf(st(0)), operandHigh, operandSignificand)) return;
  }
  beginX87();
  b64(load<u64>(a));
  arithmeticWithB(imm);
}

export function farithI16(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  bInteger(load<i16>(a));
  arithmeticWithB(imm);
}

export function farithI32(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  bInteger(load<i32>(a));
  arithmeticWithB(imm);
}

function setConditions(bits: u32): void { setStatusWord((statusWord() & ~(C0 | C2 | C3)) | bits); }

function conditionsOf(order: u32): u32 {
  return order == EQUAL ? C3 : order == LESS ? C0 : order == GREATER ? 0 : C0 | C2 | C3;
}

/** Compares ST(0), A, with B; `ready` is false when an operand is an empty register. */
function compareOperands(ready: bool, signaling: bool, pops: u32): void {
  let conditions: u32 = C0 | C2 | C3, completes: bool;
  if (!ready) completes = stackUnderflow();
  else {
    conditions = conditionsOf(compare(signaling));
    completes = commitRegister();
  }
  setConditions(conditions);
  if (completes) popTimes(pops);
}

/** In the usual cases; false when it is none, and nothing has been done. */
function compareUsual(bHigh: u32, b: u64, pops: u32): bool {
  const order = usualOrder(highOf(st(0)), significandOf(st(0)), bHigh, b);
  if (order == UNORDERED) return false;
  setStatusWord((statusWord() & ~(C0 | C1 | C2 | C3)) | conditionsOf(order));
  popTimes(pops);
  return true;
}

function compareWithStack(i: u32, signaling: bool, pops: u32): void {
  if (!isEmpty(0) && !isEmpty(i) && compareUsual(highOf(st(i)), significandOf(st(i)), pops)) return;
  beginX87();
  const ready = !isEmpty(0) && !isEmpty(i);
  aFromStack(0);
  bFromStack(i);
  compareOperands(ready, signaling, pops);
}

/** imm: i | pops << 3 (FCOM, FCOMP, FCOMPP). */
export function fcomSti(d: usize, a: usize, b: usize, imm: i32): void { compareWithStack(imm & 7, true, u32(imm) >> 3); }
/** imm: i | pops << 3 (FUCOM, FUCOMP, FUCOMPP). */
export function fucomSti(d: usize, a: usize, b: usize, imm: i32): void { compareWithStack(imm & 7, false, u32(imm) >> 3); }

// a: slot of the memory operand's bits; imm: pops.
export function fcomF32(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  aFromStack(0);
  b32(load<u32>(a));
  compareOperands(!isEmpty(0), true, imm);
}

export function fcomF64(d: usize, a: usize, b: usize, imm: i32): void {
  if (!isEmpty(0) && fromDouble(load<u64>(a)) && compareUsual(operandHigh, operandSignificand, imm)) return;
  beginX87();
  aFromStack(0);
  b64(load<u64>(a));
  compareOperands(!isEmpty(0), true, imm);
}

export function fcomI16(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  aFromStack(0);
  bInteger(load<i16>(a));
  compareOperands(!isEmpty(0), true, imm);
}

export function fcomI32(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  aFromStack(0);
  bInteger(load<i32>(a));
  compareOperands(!isEmpty(0), true, imm);
}

/** Compares into EFLAGS: ZF, PF, CF as UCOMISD. */
function compareIntoFlags(i: u32, signaling: bool, pops: u32): void {
  if (!isEmpty(0) && !isEmpty(i)) {
    const order = usualOrder(highOf(st(0)), significandOf(st(0)), highOf(st(i)), significandOf(st(i)));
    if (order != UNORDERED) {
      writeConditions(conditionsOf(order));
      return popTimes(pops);
    }
  }
  beginX87();
  let conditions: u32 = C0 | C2 | C3, completes: bool;
  if (isEmpty(0) || isEmpty(i)) completes = stackUnderflow();
  else {
    aFromStack(0);
    bFromStack(i);
    conditions = conditionsOf(compare(signaling));
    const status = statusWord();
    completes = commitRegister();
    setStatusWord(statusWord() | (status & C1)); // unlike FCOM
  }
  writeConditions(conditions);
  if (completes) popTimes(pops);
}

function writeConditions(conditions: u32): void { writeFlags((conditions >> 8) & 0x45); }

// imm: i | pops << 3.
export function fcomi(d: usize, a: usize, b: usize, imm: i32): void { compareIntoFlags(imm & 7, true, u32(imm) >> 3); }
export function fucomi(d: usize, a: usize, b: usize, imm: i32): void { compareIntoFlags(imm & 7, false, u32(imm) >> 3); }

export function ftst(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  aFromStack(0);
  bInteger(0);
  compareOperands(!isEmpty(0), true, 0);
}

/** Class of ST(0) in C3 C2 C0, sign in C1. */
export function fxam(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  aFromStack(0);
  let class_: u32 = C2;
  if (isEmpty(0)) class_ = C3 | C0;
  else if (aKind == UNSUPPORTED) class_ = 0;
  else if (aKind == ZERO) class_ = C3;
  else if (aKind == INFINITE) class_ = C2 | C0;
  else if (aKind > INFINITE) class_ = C0;
  else if (denormal) class_ = C3 | C2;
  setStatusWord((statusWord() & ~(C0 | C1 | C2 | C3)) | class_ | (highOf(st(0)) >> 15 << 9));
}

/** Replaces the sign and exponent word of ST(0), if there is one. */
function changeSign(clear: u32, flip: u32): void {
  beginX87();
  if (isEmpty(0)) {
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  setStatusWord(statusWord() & ~C1);
  store<u16>(st(0), (highOf(st(0)) & ~clear) ^ flip, 8);
}

export function fabs(d: usize, a: usize, b: usize, imm: i32): void { changeSign(0x8000, 0); }
export function fchs(d: usize, a: usize, b: usize, imm: i32): void { changeSign(0, 0x8000); }

/** Loads ST(0) into A; false when it is empty, and then the fault has been handled. */
function unary(): bool {
  beginX87();
  if (isEmpty(0)) {
    if (stackUnderflow()) setDefaultNan(0);
    return false;
  }
  aFromStack(0);
  return true;
}

export function fsqrt(d: usize, a: usize, b: usize, imm: i32): void {
  if (!unary()) return;
  squareRoot();
  storeResult(0);
}

export function frndint(d: usize, a: usize, b: usize, imm: i32): void {
  if (!unary()) return;
  roundToIntegral(rounding, true);
  const up = roundedUp;
  const significand = pack80(64);
  roundedUp = up;
  if (commitRegister()) setRegister(0, significand, packedHigh);
}

/** ST(0) = ST(0) * 2^trunc(ST(1)). */
export function fscale(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(0) || isEmpty(1)) {
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  aFromStack(0);
  bFromStack(1);
  scale();
  const significand = pack80(64);
  if (commitRegister()) setRegister(0, significand, packedHigh);
}

/** Beyond this every scaled value has left the exponent range, even an adjusted one. */
const SCALE_LIMIT: i32 = 0x10000;

function scale(): void {
  if (aKind > INFINITE || bKind > INFINITE) return propagate();
  if (bKind == INFINITE) {
    if ((aKind == INFINITE && bSign) || (aKind == ZERO && !bSign)) return invalid();
    flags |= denormal;
    return setResult(aSign, bSign ? ZERO : INFINITE);
  }
  flags |= denormal;
  resultFromA();
  if (bKind == ZERO || aKind != FINITE || bExponent < 0) return;
  const amount = bExponent > 15 ? SCALE_LIMIT : i32(bSignificand >> (63 - bExponent));
  rExponent += bSign ? -amount : amount;
}

/** ST(0) becomes the exponent of the operand, then its significand is pushed. */
export function fxtract(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(0)) {
    if (!stackUnderflow()) return;
    setDefaultNan(0);
    push(QUIET_BITS, NAN_HIGH);
    return;
  }
  if (!isEmpty(7)) {
    if (!stackFault(true)) return;
    setDefaultNan(0);
    push(QUIET_BITS, NAN_HIGH);
    return;
  }
  aFromStack(0);
  extract();
}

function extract(): void {
  if (aKind > INFINITE) propagateOne();
  else {
    flags |= denormal;
    if (aKind == ZERO) flags |= ZE;
    resultFromA();
    rExponent = 0;
  }
  const significand = pack80(64), high = packedHigh;
  if (!commitRegister()) return;
  if (aKind == ZERO) setRegister(0, TOP_BIT, 0xffff);
  else if (aKind == INFINITE) setRegister(0, TOP_BIT, 0x7fff);
  else if (aKind > INFINITE) setRegister(0, significand, high);
  else {
    aInteger(aExponent);
    resultFromA();
    const exponent = pack80(64);
    setRegister(0, exponent, packedHigh);
  }
  push(significand, high);
}
