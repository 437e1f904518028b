// FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1. Helpers NAME(d, a, b, imm) without operands.
// Results are correctly rounded to 64 bits in practically all cases, whatever the precision control.
// Arguments of the circular functions are reduced by the 66-bit pi of the SDM (volume 1 section 8.3.8).
// Operands for which the manuals call the result undefined give the mathematical value, or the operand where there is none,
// as AMD processors do.
import {
  FINITE, INFINITE, PE, QUIET_BITS, TOP_BIT, UE, ZE, ZERO, aExponent, aKind, aSign, aSignificand, bExponent, bKind, bSign, bSignificand,
  denormal, flags, invalid, propagate, propagateOne, rExponent, rLow, rSign, rSignificand, resultFromA, setResult,
} from './softfloat';
import { resultFromW, setNormalized, setW, wAdd, wDivide, wExponent, wHigh, wLow, wMultiply, wSign } from './softfloat-accumulator';
import { wArcTangent, wCosine, wExponential, wLogarithm, wSine } from './softfloat-series';
import { pack80, packedHigh } from './softfloat-round';
import {
  C2, NAN_HIGH, aFromStack, bFromStack, beginX87, commitRegister, isEmpty, pop, push, setDefaultNan, setRegister, setStatusWord,
  stackFault, stackUnderflow, statusWord,
} from './x87-stack';

/** pi/2 in units of 2^-67. */
const HALF_PI_HIGH: u64 = 0xc;
const HALF_PI_LOW: u64 = 0x90fdaa22168c234c;
const HALF_PI_EXPONENT: i32 = 60; // 127 - 67
const PI_HIGH: u64 = 0xc90fdaa22168c234;
const PI_LOW: u64 = 0xc4c6628b80dc1cd1;
const SQRT2: u64 = 0xb504f333f9de6484;
const MINIMUM_EXPONENT: i32 = -16382;
/** Below 2^-68 the next term of every series is beyond the rounding position. */
const TINY_EXPONENT: i32 = -70;

function clearC2(): void { setStatusWord(statusWord() & ~C2); }

/** Rounds R to 64 bits and stores it in ST(i). */
function storeFull(i: u32): bool {
  const significand = pack80(64);
  if (!commitRegister()) return false;
  setRegister(i, significand, packedHigh);
  return true;
}

let quadrant: u32 = 0;

/** Reduces |A| to W in [0, pi/4] and a quadrant count; true when W is pi/2 minus the reduced angle. */
function reduceAngle(): bool {
  quadrant = 0;
  if (aExponent < -1) {
    setW(0, aExponent, aSignificand, 0);
    return false;
  }
  let high: u64 = 0, low = aSignificand;
  for (let n = aExponent + 4; n > 0; n--) {
    high = (high << 1) | (low >> 63);
    low <<= 1;
    quadrant <<= 1;
    if (high < HALF_PI_HIGH || (high == HALF_PI_HIGH && low < HALF_PI_LOW)) continue;
    high -= HALF_PI_HIGH + u64(low < HALF_PI_LOW);
    low -= HALF_PI_LOW;
    quadrant |= 1;
  }
  const restHigh = HALF_PI_HIGH - high - u64(HALF_PI_LOW < low), restLow = HALF_PI_LOW - low;
  const complement = restHigh < high || (restHigh == high && restLow < low);
  if (complement) setNormalized(0, HALF_PI_EXPONENT, restHigh, restLow);
  else setNormalized(0, HALF_PI_EXPONENT, high, low);
  return complement;
}

/** W = sine or cosine of the angle that reduceAngle left, with its sign. */
function circular(cosine: bool, complement: bool): void {
  const negative = cosine ? ((quadrant + 1) >> 1) & 1 : (quadrant >> 1) & 1;
  if (cosine != complement != ((quadrant & 1) != 0)) wCosine();
  else wSine();
  wSign = negative;
}

/** R = sine or cosine of A. */
function circularResult(cosine: bool): void {
  if (aKind == INFINITE) return invalid();
  if (aKind > INFINITE) return propagateOne();
  flags |= denormal;
  if (aKind == ZERO) {
    if (cosine) setOne();
    else resultFromA();
    return;
  }
  const complement = reduceAngle();
  circular(cosine, complement);
  if (!cosine) wSign ^= aSign;
  towardsZero(!cosine || wExponent < 0);
}

function setOne(): void {
  setResult(0, FINITE);
  rExponent = 0;
  rSignificand = TOP_BIT;
}

/** R = W. A tiny argument's sine, or a cosine next to 1, came out of the series as the limit itself: go one unit below. */
function towardsZero(below: bool): void {
  if (wLow == 0 && (wHigh << 1) == 0 && wExponent == 0) {
    wHigh = u64.MAX_VALUE;
    wLow = u64.MAX_VALUE;
    wExponent = -1;
  } else if (below && wExponent < TINY_EXPONENT / 2 && wLow == 0) {
    wHigh -= 1;
    wLow = u64.MAX_VALUE;
    if (wHigh >> 63 == 0) {
      wHigh = u64.MAX_VALUE;
      wExponent--;
    }
  }
  resultFromW();
}

/** True when ST(0) can be worked on by a circular function; an argument of 2^63 or more only sets C2. */
function angleReady(): bool {
  beginX87();
  if (isEmpty(0)) {
    clearC2();
    if (stackUnderflow()) setDefaultNan(0);
    return false;
  }
  aFromStack(0);
  if (aKind == FINITE && aExponent >= 63) {
    commitRegister();
    setStatusWord(statusWord() | C2);
    return false;
  }
  clearC2();
  return true;
}

export function fsin(d: usize, a: usize, b: usize, imm: i32): void {
  if (!angleReady()) return;
  circularResult(false);
  storeFull(0);
}

export function fcos(d: usize, a: usize, b: usize, imm: i32): void {
  if (!angleReady()) return;
  circularResult(true);
  storeFull(0);
}

/** Checks the room for a second result; after a masked overflow both results are the default NaN. */
function roomForSecond(): bool {
  if (isEmpty(7)) return true;
  if (stackFault(true)) {
    setDefaultNan(0);
    push(QUIET_BITS, NAN_HIGH);
  }
  return false;
}

function secondReady(): bool {
  beginX87();
  clearC2();
  if (isEmpty(0)) {
    if (stackUnderflow()) {
      setDefaultNan(0);
      push(QUIET_BITS, NAN_HIGH);
    }
    return false;
  }
  return roomForSecond() && angleReady();
}

/** Replaces ST(0) by R and pushes a cosine. */
export function fsincos(d: usize, a: usize, b: usize, imm: i32): void {
  if (!secondReady()) return;
  circularResult(true);
  const cosine = pack80(64), cosineHigh = packedHigh;
  circularResult(false);
  if (storeFull(0)) push(cosine, cosineHigh);
}

/** R = tangent of A. */
function tangentResult(): void {
  if (aKind != FINITE) return circularResult(false);
  flags |= denormal;
  const complement = reduceAngle();
  const exponent = wExponent, high = wHigh, low = wLow;
  circular(true, complement);
  const cosineSign = wSign, cosineExponent = wExponent, cosineHigh = wHigh, cosineLow = wLow;
  setW(0, exponent, high, low);
  circular(false, complement);
  wDivide(cosineSign, cosineExponent, cosineHigh, cosineLow);
  wSign ^= aSign;
  resultFromW();
}

export function fptan(d: usize, a: usize, b: usize, imm: i32): void {
  if (!secondReady()) return;
  tangentResult();
  const isNan = aKind >= INFINITE;
  if (!storeFull(0)) return;
  if (isNan) pushCopyOfNan();
  else push(TOP_BIT, 0x3fff);
}

/** FPTAN of a NaN or an infinity gives the same NaN twice. */
function pushCopyOfNan(): void {
  const high = packedHigh;
  push(rSignificand, high);
}

// Functions of ST(1) = B and ST(0) = A that pop and leave their result in the new ST(0).

/** True when both operands are there; an empty one has been handled. */
function pairReady(): bool {
  beginX87();
  if (isEmpty(0) || isEmpty(1)) {
    if (stackUnderflow()) {
      setDefaultNan(1);
      pop();
    }
    return false;
  }
  aFromStack(0);
  bFromStack(1);
  return true;
}

function storeAndPop(): void {
  if (storeFull(1)) pop();
}

/** R = sign * pi * numerator / 4. */
function quarterPi(sign: u32, numerator: u64): void {
  setNormalized(sign, 61, numerator, 0); // numerator / 4
  wMultiply(0, 1, PI_HIGH, PI_LOW);
  resultFromW();
}

export function fpatan(d: usize, a: usize, b: usize, imm: i32): void {
  if (!pairReady()) return;
  if (aKind > INFINITE || bKind > INFINITE) propagate();
  else {
    flags |= denormal;
    arcResult();
  }
  storeAndPop();
}

function arcResult(): void {
  if (bKind == INFINITE) return quarterPi(bSign, aKind == INFINITE ? (aSign ? 3 : 1) : 2);
  if (bKind == ZERO || aKind == INFINITE) {
    if (aSign) return quarterPi(bSign, 4);
    return setResult(bSign, ZERO);
  }
  if (aKind == ZERO) return quarterPi(bSign, 2);
  const steep = bExponent > aExponent || (bExponent == aExponent && bSignificand > aSignificand);
  if (steep) {
    setW(0, aExponent, aSignificand, 0);
    wDivide(0, bExponent, bSignificand, 0);
  } else {
    setW(0, bExponent, bSignificand, 0);
    wDivide(0, aExponent, aSignificand, 0);
  }
  if (wExponent > TINY_EXPONENT) wArcTangent();
  else if (!steep && !aSign) return tinyQuotient();
  arcQuadrant(steep);
}

/** atan(q) for a tiny q is q, minus an amount beyond its 64 bits. */
function tinyQuotient(): void {
  wSign = bSign;
  towardsZero(true);
}

/** From the arc tangent of the smaller ratio to the angle of the point (A, B). */
function arcQuadrant(steep: bool): void {
  if (steep) {
    wSign = aSign ? 0 : 1; // pi/2 - w to the right of the axis, pi/2 + w to the left
    wAdd(0, 0, PI_HIGH, PI_LOW);
  } else if (aSign) {
    wSign = 1;
    wAdd(0, 1, PI_HIGH, PI_LOW);
  }
  wSign = bSign;
  resultFromW();
}

export function f2xm1(d: usize, a: usize, b: usize, imm: i32): void {
  beginX87();
  if (isEmpty(0)) {
    if (stackUnderflow()) setDefaultNan(0);
    return;
  }
  aFromStack(0);
  exponentialResult();
  storeFull(0);
}

function exponentialResult(): void {
  if (aKind > INFINITE) return propagateOne();
  flags |= denormal;
  if (aKind == INFINITE && aSign) {
    setOne();
    rSign = 1;
    return;
  }
  resultFromA();
  if (aKind != FINITE) return;
  if (aExponent >= 0) {
    // Only -1 and 1 are in the range.
    flags |= PE;
    if (aExponent == 0 && aSignificand == TOP_BIT && aSign) rExponent = -1;
    return;
  }
  setW(aSign, aExponent, aSignificand, 0);
  wExponential();
  resultFromW();
}

export function fyl2x(d: usize, a: usize, b: usize, imm: i32): void {
  if (!pairReady()) return;
  if (aKind > INFINITE || bKind > INFINITE) propagate();
  else logarithmResult();
  storeAndPop();
}

/** R = B * log2(A). */
function logarithmResult(): void {
  if (aKind != ZERO && aSign) return invalid();
  const one = aKind == FINITE && aExponent == 0 && aSignificand == TOP_BIT;
  const below = aKind == ZERO || (aKind == FINITE && aExponent < 0);
  if ((aKind == ZERO && bKind == ZERO) || (aKind == INFINITE && bKind == ZERO) || (one && bKind == INFINITE)) return invalid();
  if (aKind == ZERO && bKind == FINITE) flags |= ZE;
  else flags |= denormal;
  const sign = bSign ^ u32(below);
  if (aKind != FINITE || bKind == INFINITE) return setResult(sign, INFINITE);
  if (one || bKind == ZERO) return setResult(sign, ZERO);
  binaryLogarithm();
  timesB(aSignificand == TOP_BIT);
}

/** R = W * B. The logarithm of a power of two is exact, but processors report it as inexact. */
function timesB(exact: bool): void {
  wMultiply(bSign, bExponent, bSignificand, 0);
  const low = wLow;
  resultFromW();
  if (!exact) return;
  rLow = low;
  flags |= rExponent < MINIMUM_EXPONENT ? PE | UE : PE;
}

/** W = log2(A), A positive and not 1. */
function binaryLogarithm(): void {
  const large = aSignificand > SQRT2;
  const exponent = aExponent + i32(large);
  if (aSignificand == TOP_BIT) return setInteger(exponent);
  // z = (m - 1) / (m + 1); both are halved where m + 1 needs 65 bits.
  if (large) setNormalized(1, 63, 0, -aSignificand);
  else setNormalized(0, 64, 0, aSignificand - TOP_BIT);
  const denominator = (aSignificand >> 1) + (large ? TOP_BIT : TOP_BIT >> 1);
  wDivide(0, large ? 0 : 1, denominator, aSignificand << 63);
  wLogarithm();
  if (exponent != 0) addInteger(exponent);
}

function setInteger(value: i32): void { setNormalized(u32(value < 0), 63, u64(abs(value)), 0); }

function addInteger(value: i32): void {
  const magnitude: u64 = u64(abs(value));
  const shift = clz(magnitude);
  wAdd(u32(value < 0), 63 - i32(shift), magnitude << shift, 0);
}

export function fyl2xp1(d: usize, a: usize, b: usize, imm: i32): void {
  if (!pairReady()) return;
  if (aKind > INFINITE || bKind > INFINITE) propagate();
  else logarithmPlusResult();
  storeAndPop();
}

/** R = B * log2(A + 1). */
function logarithmPlusResult(): void {
  const sign = aSign ^ bSign;
  if ((aKind == ZERO && bKind == INFINITE) || (aKind == INFINITE && (bKind == ZERO || aSign))) return invalid();
  flags |= denormal;
  if (aKind == INFINITE || bKind == INFINITE) return setResult(sign, INFINITE);
  if (aKind == ZERO || bKind == ZERO) return setResult(sign, ZERO);
  // 1 + A, then z = A / (2 + A)
  setW(aSign, aExponent, aSignificand, 0);
  if (aExponent < -1) {
    wAdd(0, 1, TOP_BIT, 0);
    const exponent = wExponent, high = wHigh, low = wLow;
    setW(aSign, aExponent, aSignificand, 0);
    wDivide(0, exponent, high, low);
    wLogarithm();
  } else if (aSign && aExponent >= 0) {
    resultFromA();
    flags |= PE;
    return;
  }
  else logarithmOfSum();
  timesB(false);
}

/** W = log2(1 + A) for an A outside the range of the direct series. */
function logarithmOfSum(): void {
  wAdd(0, 0, TOP_BIT, 0);
  const large = wHigh > SQRT2;
  const exponent = wExponent + i32(large);
  const high = wHigh, low = wLow;
  if (!large && high == TOP_BIT && low == 0) return setInteger(exponent);
  setW(0, large ? -1 : 0, high, low);
  wAdd(0, 0, TOP_BIT, 0);
  const sumExponent = wExponent, sumHigh = wHigh, sumLow = wLow;
  setW(0, large ? -1 : 0, high, low);
  wAdd(1, 0, TOP_BIT, 0);
  wDivide(0, sumExponent, sumHigh, sumLow);
  wLogarithm();
  if (exponent != 0) addInteger(exponent);
}
