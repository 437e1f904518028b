// FPREM and FPREM1: exact partial remainders. Helpers NAME(d, a, b, imm) without operands (SDM 2 FPREM, FPREM1).
import {
  FINITE, INFINITE, ZERO, aExponent, aKind, aSign, aSignificand, bExponent, bKind, bSignificand, denormal, flags, invalid, propagate,
  rExponent, rKind, rSignificand, resultFromA, setResult,
} from './softfloat';
import { normalizeResult } from './softfloat-arithmetic';
import { pack80, packedHigh } from './softfloat-round';
import {
  C0, C1, C2, C3, aFromStack, bFromStack, beginX87, commitRegister, isEmpty, setDefaultNan, setRegister, setStatusWord, stackUnderflow,
  statusWord,
} from './x87-stack';

/** One instruction lowers the exponents' difference by less than this. */
const STEP_LIMIT: i32 = 64;

let quotient: u64 = 0;
let rest: u64 = 0;

/** Divides A's significand by B's through `steps` further bits: the low bits of the quotient, and the remainder. */
function divideSteps(steps: i32): void {
  rest = aSignificand;
  quotient = u64(rest >= bSignificand);
  if (quotient) rest -= bSignificand;
  for (; steps > 0; steps--) {
    const overflow = rest >> 63 != 0; // doubled, the remainder may need 65 bits
    rest <<= 1;
    quotient <<= 1;
    if (!overflow && rest < bSignificand) continue;
    rest -= bSignificand;
    quotient |= 1;
  }
}

function setRest(sign: u32, exponent: i32): void {
  if (rest == 0) return setResult(aSign, ZERO);
  setResult(sign, FINITE);
  rExponent = exponent;
  rSignificand = rest;
  normalizeResult();
}

/** The quotient of FPREM1 is the nearest integer, the even one of two. */
function roundQuotient(difference: i32): void {
  if (difference < -1) return resultFromA();
  if (difference == -1) {
    quotient = u64(aSignificand > bSignificand);
    if (!quotient) return resultFromA();
    rest = 2 * bSignificand - aSignificand;
    return setRest(aSign ^ 1, aExponent);
  }
  divideSteps(difference);
  const other = bSignificand - rest;
  if (rest < other || (rest == other && (quotient & 1) == 0)) return setRest(aSign, bExponent);
  rest = other;
  quotient++;
  setRest(aSign ^ 1, bExponent);
}

/** R = the remainder; true when it is final, false after a partial reduction. */
function remainder(nearest: bool): bool {
  quotient = 0;
  if (aKind > INFINITE || bKind > INFINITE) {
    propagate();
    return true;
  }
  if (aKind == INFINITE || bKind == ZERO) {
    invalid();
    return true;
  }
  flags |= denormal;
  if (aKind == ZERO || bKind == INFINITE) {
    resultFromA();
    return true;
  }
  const difference = aExponent - bExponent;
  if (difference >= STEP_LIMIT) {
    const steps = 32 + (difference & 31);
    divideSteps(steps);
    setRest(aSign, aExponent - steps);
    quotient = 0;
    return false;
  }
  if (nearest) roundQuotient(difference);
  else if (difference < 0) resultFromA();
  else {
    divideSteps(difference);
    setRest(aSign, bExponent);
  }
  return true;
}

/** The low three bits of the quotient go to C1, C3, C0; C2 tells that the reduction is incomplete. */
function partialRemainder(nearest: bool): void {
  beginX87();
  if (isEmpty(0) || isEmpty(1)) {
    setStatusWord(statusWord() & ~C2);
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  aFromStack(0);
  bFromStack(1);
  const complete = remainder(nearest);
  const significand = pack80(64);
  const stored = commitRegister();
  if (stored) setRegister(0, significand, packedHigh);
  const low = u32(quotient);
  if (!stored || rKind > INFINITE) setStatusWord(statusWord() & ~(C1 | C2));
  else {
    const bits = (complete ? 0 : C2) | (low & 1 ? C1 : 0) | (low & 2 ? C3 : 0) | (low & 4 ? C0 : 0);
    setStatusWord((statusWord() & ~(C0 | C1 | C2 | C3)) | bits);
  }
}

export function fprem(d: usize, a: usize, b: usize, imm: i32): void { partialRemainder(false); }
export function fprem1(d: usize, a: usize, b: usize, imm: i32): void { partialRemainder(true); }
