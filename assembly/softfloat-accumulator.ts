// A floating-point accumulator W with a 128-bit significand, for the transcendental functions: about 120 good bits,
// so that a result rounded to 64 is the correctly rounded one in practically all cases. Not IEEE: no zero, infinity, NaN.
// Fixed-point values here are unsigned fractions of 128 bits: Q0 counts 2^-128, Q1 counts 2^-127 (below 2).
import { FINITE, TOP_BIT, rExponent, rLow, rSignificand, setResult } from './softfloat';
import { multiplyWide, wideLow } from './softfloat-wide';

/** W = (wHigh, wLow) / 2^127 * 2^wExponent with bit 63 of wHigh set, negative when wSign is 1. */
export let wSign: u32 = 0;
export let wExponent: i32 = 0;
export let wHigh: u64 = 0;
export let wLow: u64 = 0;

/** Low word of the last fixed-point result. */
export let fixedLow: u64 = 0;

export function setW(sign: u32, exponent: i32, high: u64, low: u64): void {
  wSign = sign;
  wExponent = exponent;
  wHigh = high;
  wLow = low;
}

/** Sets W from an integer of 128 bits, not zero, in units of 2^-127 * 2^exponent. */
export function setNormalized(sign: u32, exponent: i32, high: u64, low: u64): void {
  if (high == 0) {
    high = low;
    low = 0;
    exponent -= 64;
  }
  const shift = clz(high);
  if (shift) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  setW(sign, exponent - i32(shift), high, low);
}

/** High 128 bits of a product of 128-bit integers, a few units low at most. */
export function multiplyFixed(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): u64 {
  const first = multiplyWide(aHigh, bLow), second = multiplyWide(aLow, bHigh);
  let high = multiplyWide(aHigh, bHigh);
  let low = wideLow + first;
  high += u64(low < first);
  low += second;
  high += u64(low < second);
  fixedLow = low;
  return high;
}

/** (high, low) / divisor for a small divisor. */
export function divideFixed(high: u64, low: u64, divisor: u64): u64 {
  const quotient = high / divisor;
  const middle = ((high % divisor) << 32) | (low >> 32);
  const last = ((middle % divisor) << 32) | (low & 0xffffffff);
  fixedLow = ((middle / divisor) << 32) | (last / divisor);
  return quotient;
}

/** (high, low) >> distance. */
export function shiftFixed(high: u64, low: u64, distance: u32): u64 {
  if (distance == 0) {
    fixedLow = low;
    return high;
  }
  if (distance < 64) {
    fixedLow = (low >> distance) | (high << (64 - distance));
    return high >> distance;
  }
  fixedLow = distance < 128 ? high >> (distance & 63) : 0;
  return 0;
}

/** |W| as Q0; W is below 1. */
export function wFraction(): u64 { return shiftFixed(wHigh, wLow, u32(-1 - wExponent)); }

/** W = W * V. */
export function wMultiply(sign: u32, exponent: i32, high: u64, low: u64): void {
  const product = multiplyFixed(wHigh, wLow, high, low);
  setNormalized(wSign ^ sign, wExponent + exponent + 1, product, fixedLow);
}

/** W = W / V. */
export function wDivide(sign: u32, exponent: i32, high: u64, low: u64): void {
  let restHigh = wHigh, restLow = wLow;
  const atLeast = restHigh > high || (restHigh == high && restLow >= low);
  let quotientHigh: u64 = 0, quotientLow: u64 = 0;
  let overflow = false;
  if (!atLeast) {
    overflow = true;
    restHigh = (restHigh << 1) | (restLow >> 63);
    restLow <<= 1;
  }
  for (let n = 0; n < 128; n++) {
    const fits = overflow || restHigh > high || (restHigh == high && restLow >= low);
    quotientHigh = (quotientHigh << 1) | (quotientLow >> 63);
    quotientLow = (quotientLow << 1) | u64(fits);
    if (fits) {
      restHigh -= high + u64(restLow < low);
      restLow -= low;
    }
    overflow = restHigh >> 63 != 0;
    restHigh = (restHigh << 1) | (restLow >> 63);
    restLow <<= 1;
  }
  setW(wSign ^ sign, wExponent - exponent - i32(!atLeast), quotientHigh, quotientLow);
}

/** W = W + V; the sum must not be zero. */
export function wAdd(sign: u32, exponent: i32, high: u64, low: u64): void {
  if (exponent > wExponent || (exponent == wExponent && (high > wHigh || (high == wHigh && low > wLow)))) {
    const vSign = wSign, vExponent = wExponent, vHigh = wHigh, vLow = wLow;
    setW(sign, exponent, high, low);
    sign = vSign;
    exponent = vExponent;
    high = vHigh;
    low = vLow;
  }
  high = shiftFixed(high, low, u32(wExponent - exponent));
  low = fixedLow;
  if (sign != wSign) {
    setNormalized(wSign, wExponent, wHigh - high - u64(wLow < low), wLow - low);
    return;
  }
  const sumLow = wLow + low, carry = u64(sumLow < low);
  const partial = wHigh + high, sumHigh = partial + carry;
  if (partial < high || sumHigh < carry) setW(wSign, wExponent + 1, (sumHigh >> 1) | TOP_BIT, (sumLow >> 1) | (sumHigh << 63));
  else setW(wSign, wExponent, sumHigh, sumLow);
}

/** R = W, marked as inexact. */
export function resultFromW(): void {
  setResult(wSign, FINITE);
  rExponent = wExponent;
  rSignificand = wHigh;
  rLow = wLow | 1;
}
