// Rounds the result R of softfloat.ts to a format and encodes it; rounds A to integers.
// Tininess is detected after rounding (SDM 1 4.9.1.5). An unmasked overflow or underflow of an x87 register result
// delivers the value with its exponent moved by 24576 (SDM 1 8.5.4, 8.5.5); of any other result only the flags count.
import {
  FINITE, IE, INFINITE, OE, PE, ROUND_DOWN, ROUND_NEAREST, ROUND_UP, TOP_BIT, UE, ZERO, aExponent, aKind, aSign, aSignificand, denormal,
  flags, flushToZero, propagateOne, rExponent, rKind, rLow, rSign, rSignificand, resultFromA, roundedUp, rounding, setResult, unmasked,
  x87Rules,
} from './softfloat';

const EXPONENT_ADJUST: i32 = 24576;
const INDEFINITE_64: i64 = i64.MIN_VALUE;

/** Sign and exponent of the last encoding of 80 bits. */
export let packedHigh: u32 = 0;

/** Whether discarding `tail` (bit 63 is worth half a unit) increases the magnitude where rounding is to nearest. */
// @ts-ignore: decorator
@inline export function roundsUpToNearest(odd: bool, tail: u64): bool { return tail > TOP_BIT || (tail == TOP_BIT && odd); }

/** The same in the mode in force. */
// @ts-ignore: decorator
@inline function roundsUp(sign: u32, odd: bool, tail: u64): bool {
  if (rounding == ROUND_NEAREST) return roundsUpToNearest(odd, tail);
  return tail != 0 && rounding == (sign ? ROUND_DOWN : ROUND_UP);
}

/** Rounds the significand to its top `bits`; returns whether that was inexact. A carry raises the exponent. */
function roundSignificand(bits: i32): bool {
  const unit: u64 = 1 << (64 - bits);
  const tail = bits == 64 ? rLow : (rSignificand << bits) | u64(rLow != 0);
  rSignificand &= ~(unit - 1);
  rLow = 0;
  roundedUp = u32(roundsUp(rSign, (rSignificand & unit) != 0, tail));
  if (roundedUp) {
    rSignificand += unit;
    if (rSignificand < unit) {
      rSignificand = TOP_BIT;
      rExponent++;
    }
  }
  return tail != 0;
}

function denormalize(distance: u32): void {
  if (distance >= 128) {
    rLow = 1;
    rSignificand = 0;
  } else if (distance >= 64) {
    rLow = (rSignificand >> (distance & 63)) | u64(rLow != 0 || (distance != 64 && rSignificand << (128 - distance) != 0));
    rSignificand = 0;
  } else if (distance) {
    rLow = (rLow >> distance) | (rSignificand << (64 - distance)) | u64(rLow << (64 - distance) != 0);
    rSignificand >>= distance;
  }
}

/** Whether R is below the smallest normal value even when rounded with an unbounded exponent. */
function tiny(bits: i32, minimum: i32): bool {
  if (rExponent < minimum - 1) return true;
  const significand = rSignificand, low = rLow;
  roundSignificand(bits);
  const result = rExponent < minimum;
  if (!result) rExponent--;
  rSignificand = significand;
  rLow = low;
  return result;
}

/** FSCALE can leave even the adjusted range. */
function beyondAdjustment(kind: u32): void {
  flags |= PE;
  rKind = kind;
  roundedUp = u32(kind == INFINITE);
}

function underflow(bits: i32, minimum: i32): void {
  const isTiny = tiny(bits, minimum);
  if (isTiny && (unmasked & UE)) {
    flags |= UE;
    if (roundSignificand(bits)) flags |= PE;
    rExponent += EXPONENT_ADJUST;
    if (x87Rules && rExponent < minimum) beyondAdjustment(ZERO);
    return;
  }
  if (isTiny && flushToZero) {
    flags |= UE | PE;
    rKind = ZERO;
    return;
  }
  denormalize(u32(minimum - rExponent));
  rExponent = minimum;
  if (!roundSignificand(bits)) return;
  flags |= PE;
  if (isTiny) flags |= UE;
}

function overflow(bits: i32, maximum: i32): void {
  flags |= OE;
  if (unmasked & OE) {
    rExponent -= EXPONENT_ADJUST;
    if (x87Rules && rExponent > maximum) beyondAdjustment(INFINITE);
    return;
  }
  flags |= PE;
  const toInfinity = rounding == ROUND_NEAREST || rounding == (rSign ? ROUND_DOWN : ROUND_UP);
  roundedUp = u32(toInfinity);
  if (toInfinity) rKind = INFINITE;
  else {
    rExponent = maximum;
    rSignificand = ~((<u64>1 << (64 - bits)) - 1);
  }
}

/** Rounds a finite R to `bits` of significand and an exponent range; denormal results lose bit 63. */
function round(bits: i32, minimum: i32, maximum: i32): void {
  if (rKind != FINITE) return;
  if (rExponent < minimum) return underflow(bits, minimum);
  if (roundSignificand(bits)) flags |= PE;
  if (rExponent > maximum) overflow(bits, maximum);
}

function field(bias: i32): u32 {
  return rSignificand >> 63 ? u32(rExponent + bias) : 0;
}

/** Rounds R to binary32 and returns its bits. */
export function pack32(): u32 {
  round(24, -126, 127);
  const sign = rSign << 31;
  if (rKind == FINITE) return sign | (field(127) << 23) | (u32(rSignificand >> 40) & 0x7fffff);
  if (rKind == ZERO) return sign;
  return sign | 0x7f800000 | (rKind == INFINITE ? 0 : u32(rSignificand >> 40) & 0x7fffff);
}

/** Rounds R to binary64 and returns its bits. */
export function pack64(): u64 {
  round(53, -1022, 1023);
  const sign = u64(rSign) << 63;
  if (rKind == FINITE) return sign | (u64(field(1023)) << 52) | ((rSignificand >> 11) & 0xfffffffffffff);
  if (rKind == ZERO) return sign;
  return sign | 0x7ff0000000000000 | (rKind == INFINITE ? 0 : (rSignificand >> 11) & 0xfffffffffffff);
}

/** Rounds R to `bits` in the 80-bit format; returns the significand and leaves sign and exponent in packedHigh. */
export function pack80(bits: i32): u64 {
  round(bits, -16382, 16383);
  packedHigh = rSign << 15;
  if (rKind == ZERO) return 0;
  if (rKind == FINITE) {
    packedHigh |= field(16383);
    return rSignificand;
  }
  packedHigh |= 0x7fff;
  return rKind == INFINITE ? TOP_BIT : rSignificand;
}

/** R = A rounded to an integral value by `mode`. */
export function roundToIntegral(mode: u32, reportInexact: bool): void {
  if (aKind > INFINITE) return propagateOne();
  flags |= denormal;
  resultFromA();
  if (aKind != FINITE || aExponent >= 63) return;
  const magnitude = integerMagnitude(mode);
  if (magnitudeInexact && reportInexact) flags |= PE;
  if (magnitude == 0) return setResult(aSign, ZERO);
  const shift = clz(magnitude);
  rSignificand = magnitude << shift;
  rExponent = 63 - i32(shift);
}

let magnitudeInexact: bool = false;

/** |A| as an integer, for a finite A below 2^64. */
function integerMagnitude(mode: u32): u64 {
  if (aExponent == 63) {
    magnitudeInexact = false;
    return aSignificand;
  }
  let whole: u64 = 0, tail: u64;
  if (aExponent >= 0) {
    whole = aSignificand >> (63 - aExponent);
    tail = aSignificand << (aExponent + 1);
  } else tail = aExponent == -1 ? aSignificand : 1;
  const saved = rounding;
  rounding = mode;
  roundedUp = u32(roundsUp(aSign, (whole & 1) != 0, tail));
  rounding = saved;
  magnitudeInexact = tail != 0;
  return whole + roundedUp;
}

/** A as a signed integer of `bits` (16, 32, 64); the integer indefinite with IE when it does not fit. */
export function toInteger(bits: i32, mode: u32): i64 {
  const indefinite: i64 = INDEFINITE_64 >> (64 - bits);
  if (aKind == ZERO) return 0;
  if (aKind == FINITE && aExponent <= 63) {
    const magnitude = integerMagnitude(mode);
    const limit: u64 = (<u64>1 << (bits - 1)) - u64(aSign == 0);
    if (magnitude <= limit) {
      if (magnitudeInexact) flags |= PE;
      return aSign ? -magnitude : magnitude;
    }
  }
  flags |= IE;
  roundedUp = 0;
  return indefinite;
}
