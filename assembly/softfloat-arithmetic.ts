// Addition, multiplication, division, square root and comparison of the operands A and B of softfloat.ts.
// The result R is exact to 128 bits with a sticky last bit; softfloat-round.ts rounds it to a format.
import {
  FINITE, IE, INFINITE, ROUND_DOWN, SIGNALING, TOP_BIT, ZE, ZERO, aExponent, aKind, aSign, aSignificand, bExponent, bKind, bSign,
  bSignificand, denormal, flags, invalid, propagate, propagateOne, rExponent, rLow, rSignificand, resultFromA, rounding, setResult,
} from './softfloat';
import { divideWide, multiplyWide, rootWide, wideLow, wideRemainder, wideRemainderHigh } from './softfloat-wide';

/** A comparison's outcome. */
export const EQUAL: u32 = 0;
export const LESS: u32 = 1;
export const GREATER: u32 = 2;
export const UNORDERED: u32 = 3;

function resultFromB(sign: u32): void {
  setResult(sign, bKind);
  rExponent = bExponent;
  rSignificand = bSignificand;
}

/** R = A + B, or A - B when `negate` is 1. */
export function add(negate: u32): void {
  if (aKind > INFINITE || bKind > INFINITE) return propagate();
  const sign = bSign ^ negate;
  if (aKind == INFINITE || bKind == INFINITE) return addInfinite(sign);
  flags |= denormal;
  if (bKind == ZERO) {
    if (aKind == ZERO) setResult(aSign == sign ? sign : u32(rounding == ROUND_DOWN), ZERO);
    else resultFromA();
  } else if (aKind == ZERO) resultFromB(sign);
  else if (aExponent > bExponent || (aExponent == bExponent && aSignificand >= bSignificand)) {
    addFinite(aSign, aExponent, aSignificand, sign, bExponent, bSignificand);
  } else addFinite(sign, bExponent, bSignificand, aSign, aExponent, aSignificand);
}

function addInfinite(sign: u32): void {
  if (aKind == bKind && aSign != sign) return invalid();
  flags |= denormal;
  setResult(aKind == INFINITE ? aSign : sign, INFINITE);
}

/** The first operand has the larger magnitude, or they are equal. */
function addFinite(sign: u32, exponent: i32, significand: u64, otherSign: u32, otherExponent: i32, other: u64): void {
  const distance = u32(exponent - otherExponent);
  let high: u64, low: u64;
  if (distance == 0) {
    high = other;
    low = 0;
  } else if (distance < 64) {
    high = other >> distance;
    low = other << (64 - distance);
  } else {
    high = 0;
    low = distance < 128 ? (other >> (distance & 63)) | u64(distance != 64 && other << (128 - distance) != 0) : 1;
  }
  setResult(sign, FINITE);
  rExponent = exponent;
  if (sign == otherSign) {
    rSignificand = significand + high;
    rLow = low;
    if (rSignificand < significand) {
      rLow = (low >> 1) | (low & 1) | (rSignificand << 63);
      rSignificand = (rSignificand >> 1) | TOP_BIT;
      rExponent++;
    }
    return;
  }
  rSignificand = significand - high - u64(low != 0);
  rLow = -low;
  if ((rSignificand | rLow) == 0) setResult(u32(rounding == ROUND_DOWN), ZERO);
  else normalizeResult();
}

/** Shifts the 128-bit result left until bit 63 of the high word is set. */
export function normalizeResult(): void {
  if (rSignificand == 0) {
    rSignificand = rLow;
    rLow = 0;
    rExponent -= 64;
  }
  const shift = clz(rSignificand);
  if (shift == 0) return;
  rSignificand = (rSignificand << shift) | (rLow >> (64 - shift));
  rLow <<= shift;
  rExponent -= i32(shift);
}

/** R = A * B. */
export function multiply(): void {
  if (aKind > INFINITE || bKind > INFINITE) return propagate();
  if ((aKind == INFINITE && bKind == ZERO) || (aKind == ZERO && bKind == INFINITE)) return invalid();
  flags |= denormal;
  const sign = aSign ^ bSign;
  if (aKind == INFINITE || bKind == INFINITE) return setResult(sign, INFINITE);
  if (aKind == ZERO || bKind == ZERO) return setResult(sign, ZERO);
  setResult(sign, FINITE);
  rSignificand = multiplyWide(aSignificand, bSignificand);
  rLow = wideLow;
  rExponent = aExponent + bExponent + 1;
  normalizeResult();
}

/** R = A / B. */
export function divide(): void {
  if (aKind > INFINITE || bKind > INFINITE) return propagate();
  if (aKind == bKind && aKind != FINITE) return invalid();
  const sign = aSign ^ bSign;
  if (bKind == ZERO) {
    if (aKind == FINITE) flags |= ZE;
    return setResult(sign, INFINITE);
  }
  flags |= denormal;
  if (aKind == INFINITE) return setResult(sign, INFINITE);
  if (aKind == ZERO || bKind == INFINITE) return setResult(sign, ZERO);
  setResult(sign, FINITE);
  rExponent = aExponent - bExponent - i32(aSignificand < bSignificand);
  rSignificand = quotientOf(aSignificand, bSignificand);
  rLow = tailOf(wideRemainder, bSignificand);
}

/** The quotient of two significands with its top bit set: of a smaller dividend, twice as much. */
export function quotientOf(dividend: u64, divisor: u64): u64 {
  return dividend < divisor ? divideWide(dividend, 0, divisor) : divideWide(dividend >> 1, dividend << 63, divisor);
}

/** The 64 bits that follow a quotient, as far as rounding can tell them apart. */
export function tailOf(remainder: u64, divisor: u64): u64 {
  if (remainder == 0) return 0;
  const rest = divisor - remainder;
  return remainder == rest ? TOP_BIT : remainder > rest ? TOP_BIT | 1 : 1;
}

/** R = the square root of A. */
export function squareRoot(): void {
  if (aKind > INFINITE) return propagateOne();
  if (aSign && aKind != ZERO) return invalid();
  flags |= denormal;
  if (aKind != FINITE) return resultFromA();
  setResult(0, FINITE);
  rExponent = aExponent >> 1;
  rSignificand = aExponent & 1 ? rootWide(aSignificand, 0) : rootWide(aSignificand >> 1, aSignificand << 63);
  // The root lies above the middle of two neighbours when the remainder exceeds the root; it is never the middle.
  if (wideRemainderHigh != 0 || wideRemainder > rSignificand) rLow = TOP_BIT | 1;
  else rLow = u64(wideRemainder != 0);
}

/** Compares A with B. A quiet NaN is invalid only for a signaling comparison. */
export function compare(signaling: bool): u32 {
  if (aKind > INFINITE || bKind > INFINITE) {
    if (signaling || aKind >= SIGNALING || bKind >= SIGNALING) flags |= IE;
    return UNORDERED;
  }
  flags |= denormal;
  if (aKind == ZERO && bKind == ZERO) return EQUAL;
  if (aKind == ZERO) return bSign ? GREATER : LESS;
  if (bKind == ZERO || aSign != bSign) return aSign ? LESS : GREATER;
  const order = compareMagnitudes();
  return aSign && order != EQUAL ? LESS + GREATER - order : order;
}

function compareMagnitudes(): u32 {
  if (aKind != bKind) return aKind == INFINITE ? GREATER : LESS;
  if (aKind == INFINITE) return EQUAL;
  if (aExponent != bExponent) return aExponent > bExponent ? GREATER : LESS;
  return aSignificand == bSignificand ? EQUAL : aSignificand > bSignificand ? GREATER : LESS;
}
