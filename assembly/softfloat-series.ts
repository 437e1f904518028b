// The power series behind the transcendental functions, on the accumulator W of softfloat-accumulator.ts.
// Each function replaces W by its value there. Not here: special operands and argument ranges (x87-transcendental.ts).
import { TOP_BIT } from './softfloat';
import {
  divideFixed, fixedLow, multiplyFixed, setNormalized, setW, shiftFixed, wAdd, wDivide, wExponent, wFraction, wHigh, wLow, wMultiply,
  wSign,
} from './softfloat-accumulator';

const LN2_HIGH: u64 = 0xb17217f7d1cf79ab;
const LN2_LOW: u64 = 0xc9e3b39803f2f6af;
/** 2 / ln 2, exponent 1. */
const TWO_OVER_LN2_HIGH: u64 = 0xb8aa3b295c17f0bb;
const TWO_OVER_LN2_LOW: u64 = 0xbe87fed0691d3e89;

const EXPONENTIAL_TERMS: u64 = 36;
const CIRCULAR_TERMS: u64 = 18;
const ATANH_TERMS: u64 = 28;
const ATAN_TERMS: u64 = 14;

/** The running value of a series, Q1, low word. */
let accumulatorLow: u64 = 0;

/** 1 + value or 1 - value in Q1. */
// @ts-ignore: decorator
@inline function onePlus(subtract: bool, high: u64, low: u64): u64 {
  if (!subtract) {
    accumulatorLow = low;
    return TOP_BIT + high;
  }
  accumulatorLow = -low;
  return TOP_BIT - high - u64(low != 0);
}

/** Sum of (+-t)^k / (k + 1)! for a fraction t. */
function exponentialSeries(subtract: bool, tHigh: u64, tLow: u64): u64 {
  let high: u64 = TOP_BIT;
  accumulatorLow = 0;
  for (let n = EXPONENTIAL_TERMS; n >= 2; n--) {
    high = multiplyFixed(high, accumulatorLow, tHigh, tLow);
    high = divideFixed(high, fixedLow, n);
    high = onePlus(subtract, high, fixedLow);
  }
  return high;
}

/** Alternating sum of u^k / (first * (first + 1) * ...), two factors a term: cosine from 1, sine over its argument from 2. */
function circularSeries(first: u64, uHigh: u64, uLow: u64): u64 {
  let high: u64 = TOP_BIT;
  accumulatorLow = 0;
  for (let n = CIRCULAR_TERMS; n > 0; n--) {
    const factor = 2 * n + first - 2;
    high = multiplyFixed(high, accumulatorLow, uHigh, uLow);
    high = divideFixed(high, fixedLow, factor * (factor + 1));
    high = onePlus(true, high, fixedLow);
  }
  return high;
}

/** Sum of (+-u)^k / (2k + 1). */
function oddSeries(subtract: bool, terms: u64, uHigh: u64, uLow: u64): u64 {
  let high: u64 = 0;
  accumulatorLow = 0;
  for (let n = terms; n > 0; n--) {
    high = multiplyFixed(high, accumulatorLow, uHigh, uLow);
    const low = fixedLow;
    const term = divideFixed(TOP_BIT, 0, 2 * n - 1);
    if (subtract) {
      accumulatorLow = fixedLow - low;
      high = term - high - u64(fixedLow < low);
    } else {
      accumulatorLow = fixedLow + low;
      high = term + high + u64(accumulatorLow < low);
    }
  }
  return high;
}

/** W = W * (a series value in Q1). */
function multiplyBySeries(high: u64): void {
  const sign = wSign, exponent = wExponent, wordHigh = wHigh, wordLow = wLow;
  setNormalized(0, 0, high, accumulatorLow);
  wMultiply(sign, exponent, wordHigh, wordLow);
}

/** The square of W as Q0; W is below 1. */
function squareFraction(): u64 {
  const high = multiplyFixed(wHigh, wLow, wHigh, wLow);
  return shiftFixed(high, fixedLow, u32(-2 * (wExponent + 1)));
}

/** 2^W - 1 for |W| <= 1. */
export function wExponential(): void {
  wMultiply(0, -1, LN2_HIGH, LN2_LOW);
  const t = wFraction();
  multiplyBySeries(exponentialSeries(wSign != 0, t, fixedLow));
}

/** Sine of W in [0, pi/4]. */
export function wSine(): void {
  const square = squareFraction();
  multiplyBySeries(circularSeries(2, square, fixedLow));
}

/** Cosine of W in [0, pi/4]. */
export function wCosine(): void {
  const square = squareFraction();
  const high = circularSeries(1, square, fixedLow);
  setNormalized(0, 0, high, accumulatorLow);
}

/** log2((1 + W) / (1 - W)), |W| below 0.18. */
export function wLogarithm(): void {
  const square = squareFraction();
  multiplyBySeries(oddSeries(false, ATANH_TERMS, square, fixedLow));
  wMultiply(0, 1, TWO_OVER_LN2_HIGH, TWO_OVER_LN2_LOW);
}

/** atan(k / 16) for k = 1..16 in Q0, high and low words. */
const ARC_TANGENTS: usize = memory.data<u64>([
  0x0ffaaddb967ef4e3, 0x6cb2792dc0e2e0d5,
  0x1fd5ba9aac2f6dc6, 0x5912f313e7d111df,
  0x2f72f6979cb6044d, 0x1ec2d3e207271d22,
  0x3eb6ebf25901bac5, 0x5b71e7bd7de885f9,
  0x4d89dcdc1faf2f34, 0xe2d5da4c693d7994,
  0x5bd86507937bc239, 0xc55190916e7f2242,
  0x6993bb0f308ff2db, 0x213e4af4800f389b,
  0x76b19c1586ed3da2, 0xb7f222f65e1d4682,
  0x832bf4a6d9867e2a, 0x4b6a09cb61a515c1,
  0x8f005d5ef7f59f9b, 0x5c835e1665c43748,
  0x9a2f80e671bdda20, 0x4226f8e2204ff3bd,
  0xa4bc7d1934f70924, 0x19a87f2a457dac9f,
  0xaeac4c38b4d8c080, 0x14725e2f3e52070a,
  0xb8053e2bc2319e73, 0xcb2da55210a4443d,
  0xc0ce85b8ac526640, 0x89dd62c46e92fa25,
  0xc90fdaa22168c234, 0xc4c6628b80dc1cd1,
]);

/** Arc tangent of W in (0, 1]. */
export function wArcTangent(): void {
  const fraction = wExponent == 0 ? u64.MAX_VALUE : wFraction();
  const k = (fraction >> 60) + ((fraction >> 59) & 1);
  if (k > 0) {
    // atan(q) = atan(k/16) + atan((16q - k) / (16 + kq))
    const exponent = wExponent, high = wHigh, low = wLow;
    setNormalized(0, 63, k, 0);
    wMultiply(0, exponent, high, low);
    wAdd(0, 4, TOP_BIT, 0);
    const sumExponent = wExponent, sumHigh = wHigh, sumLow = wLow;
    const shift = clz(k);
    if (exponent + 4 == 63 - i32(shift) && high == k << shift && low == 0) return setArc(k);
    setW(0, exponent + 4, high, low);
    wAdd(1, 63 - i32(shift), k << shift, 0);
    wDivide(0, sumExponent, sumHigh, sumLow);
  }
  const square = squareFraction();
  multiplyBySeries(oddSeries(true, ATAN_TERMS, square, fixedLow));
  if (k == 0) return;
  const sign = wSign, exponent = wExponent, high = wHigh, low = wLow;
  setArc(k);
  wAdd(sign, exponent, high, low);
}

function setArc(k: u64): void {
  const entry = ARC_TANGENTS + (<usize>k - 1) * 16;
  setNormalized(0, -1, load<u64>(entry), load<u64>(entry, 8));
}
