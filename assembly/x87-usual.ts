// The usual cases of the x87: normal operands and results, every exception masked, 64 bits of significand, to nearest. In these an
// instruction is a few operations on two significands and two words of sign and exponent, without the unpacking, kinds and modes of
// softfloat.ts, which has all cases and agrees with these. SDM 1 4.2.2 (the format), 4.8.4 (rounding).
// Not here: registers that are empty, and what an instruction does with the result.
import { EXCEPTIONS, PE, TOP_BIT } from './softfloat';
import { EQUAL, GREATER, LESS, UNORDERED, quotientOf, tailOf } from './softfloat-arithmetic';
import { roundsUpToNearest } from './softfloat-round';
import { multiplyWide, wideLow, wideRemainder } from './softfloat-wide';
import { C1, controlWord, setRegister, setStatusWord, statusWord } from './x87-stack';

const SIGN: u32 = 0x8000;
const EXPONENT: u32 = 0x7fff;
const BIAS: i32 = 16383;
const DOUBLE_EXPONENT: u32 = 0x7ff;
const DOUBLE_BIAS: u32 = 1023;
const DOUBLE_FRACTION: u64 = 0xfffffffffffff;
// Fields of the control word, beside the masks.
const CONTROL_PRECISION: u32 = 0x300;
const CONTROL_ROUNDING: u32 = 0xc00;

/** A result: its significand, sign and exponent, the tail that was rounded off (0: exact), and whether it was rounded up. */
let significand: u64 = 0;
let high: u32 = 0;
let tail: u64 = 0;
let up: u64 = 0;

/** An operand from memory. */
export let operandSignificand: u64 = 0;
export let operandHigh: u32 = 0;

// @ts-ignore: decorator
@inline function isNormal(high: u32, significand: u64): bool {
  return (high & EXPONENT) - 1 < EXPONENT - 1 && significand >> 63 != 0;
}

// @ts-ignore: decorator
@inline function isZero(high: u32, significand: u64): bool { return significand == 0 && (high & EXPONENT) == 0; }

/** A normal double or a zero as an operand; false when it is neither. */
export function fromDouble(bits: u64): bool {
  const sign = u32(bits >> 48) & SIGN;
  const exponent = u32(bits >> 52) & DOUBLE_EXPONENT;
  operandSignificand = exponent == 0 ? 0 : TOP_BIT | (bits << 11);
  operandHigh = exponent == 0 ? sign : sign | (exponent + (BIAS - DOUBLE_BIAS));
  return exponent == 0 ? bits << 1 == 0 : exponent != DOUBLE_EXPONENT;
}

/** ST(target) = A op B (the numbers of x87-arithmetic.ts), with C1 and the status word's flags; false when that is not a usual case. */
export function operateUsual(op: u32, target: u32, aHigh: u32, a: u64, bHigh: u32, b: u64): bool {
  if ((controlWord() & (EXCEPTIONS | CONTROL_PRECISION | CONTROL_ROUNDING)) != (EXCEPTIONS | CONTROL_PRECISION)) return false;
  if (!isNormal(aHigh, a) || !isNormal(bHigh, b) || !operate(op, aHigh, a, bHigh, b)) return false;
  setRegister(target, significand, high);
  noteRounding();
  return true;
}

/** C1 and the flag of the result that was made last. */
export function noteRounding(): void { setStatusWord((statusWord() & ~C1) | (tail != 0 ? PE : 0) | (u32(up) << 9)); }

function operate(op: u32, aHigh: u32, a: u64, bHigh: u32, b: u64): bool {
  switch (op) {
    case 0: return add(aHigh, a, bHigh, b);
    case 1: return multiply(aHigh, a, bHigh, b);
    case 4: return add(aHigh, a, bHigh ^ SIGN, b);
    case 5: return add(bHigh, b, aHigh ^ SIGN, a);
    case 6: return divide(aHigh, a, bHigh, b);
    default: return divide(bHigh, b, aHigh, a);
  }
}

/** Rounds; false when the result is not normal. */
function finish(sign: u32, exponent: i32, top: u64, low: u64): bool {
  if (exponent < 1) return false;
  up = u64(roundsUpToNearest((top & 1) != 0, low));
  significand = top + up;
  if (significand < up) {
    significand = TOP_BIT;
    exponent++;
  }
  tail = low;
  high = sign | u32(exponent);
  return u32(exponent) < EXPONENT;
}

function add(aHigh: u32, a: u64, bHigh: u32, b: u64): bool {
  const aExponent = aHigh & EXPONENT, bExponent = bHigh & EXPONENT;
  return aExponent > bExponent || (aExponent == bExponent && a >= b)
    ? addSmaller(aHigh & SIGN, aExponent, a, bHigh & SIGN, aExponent - bExponent, b)
    : addSmaller(bHigh & SIGN, bExponent, b, aHigh & SIGN, bExponent - aExponent, a);
}

/** The second operand is not greater, and its exponent less by `distance`: below 64, it leaves the last bit of `low` free. */
function addSmaller(sign: u32, exponent: i32, larger: u64, otherSign: u32, distance: u32, smaller: u64): bool {
  if (distance > 63) return false;
  const shifted = smaller >> distance;
  let low = distance == 0 ? 0 : smaller << (64 - distance);
  if (sign == otherSign) {
    const sum = larger + shifted;
    if (sum >= larger) return finish(sign, exponent, sum, low);
    return finish(sign, exponent + 1, (sum >> 1) | TOP_BIT, (low >> 1) | (sum << 63));
  }
  let rest = larger - shifted - u64(low != 0);
  if (rest == 0) return false;
  low = -low;
  const shift = clz(rest);
  if (shift != 0) {
    rest = (rest << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  return finish(sign, exponent - i32(shift), rest, low);
}

function multiply(aHigh: u32, a: u64, bHigh: u32, b: u64): bool {
  const sign = (aHigh ^ bHigh) & SIGN;
  const exponent = i32(aHigh & EXPONENT) + i32(bHigh & EXPONENT) - BIAS;
  const product = multiplyWide(a, b);
  if (product >> 63) return finish(sign, exponent + 1, product, wideLow);
  return finish(sign, exponent, (product << 1) | (wideLow >> 63), wideLow << 1);
}

function divide(aHigh: u32, a: u64, bHigh: u32, b: u64): bool {
  const sign = (aHigh ^ bHigh) & SIGN;
  const exponent = i32(aHigh & EXPONENT) - i32(bHigh & EXPONENT) + BIAS;
  const quotient = quotientOf(a, b);
  return finish(sign, exponent - i32(a < b), quotient, tailOf(wideRemainder, b));
}

/** How two normal numbers or zeroes compare; UNORDERED when one of them is neither. */
export function usualOrder(aHigh: u32, a: u64, bHigh: u32, b: u64): u32 {
  const aIsZero = isZero(aHigh, a), bIsZero = isZero(bHigh, b);
  if (!(aIsZero || isNormal(aHigh, a)) || !(bIsZero || isNormal(bHigh, b))) return UNORDERED;
  if (aIsZero && bIsZero) return EQUAL;
  if (aIsZero) return bHigh & SIGN ? GREATER : LESS;
  if (bIsZero || ((aHigh ^ bHigh) & SIGN) != 0) return aHigh & SIGN ? LESS : GREATER;
  if (aHigh == bHigh && a == b) return EQUAL;
  const isGreater = aHigh == bHigh ? a > b : aHigh > bHigh;
  return isGreater == ((aHigh & SIGN) == 0) ? GREATER : LESS;
}

/** A double's bits. */
export let double: u64 = 0;

/** Rounds to `double`; false when it is not a usual case. The status word is for whoever has stored it (noteRounding). */
export function toDouble(high: u32, significand: u64): bool {
  const sign = u64(high & SIGN) << 48;
  up = tail = 0;
  double = sign;
  if (isZero(high, significand)) return true;
  if ((controlWord() & (EXCEPTIONS | CONTROL_ROUNDING)) != EXCEPTIONS || !isNormal(high, significand)) return false;
  const exponent = (high & EXPONENT) - (BIAS - DOUBLE_BIAS);
  if (exponent - 1 >= DOUBLE_EXPONENT - 1) return false;
  tail = significand << 53;
  up = u64(roundsUpToNearest((significand & 0x800) != 0, tail));
  // A carry out of the fraction raises the exponent, which lies above it.
  const magnitude = (u64(exponent) << 52) + ((significand >> 11) & DOUBLE_FRACTION) + up;
  double = sign | magnitude;
  return magnitude >> 52 < DOUBLE_EXPONENT;
}
