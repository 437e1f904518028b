// SSE conversions between floating-point formats and integers, rounding to integral values, and MXCSR loads.
// Helpers NAME(d, a, b, imm). Where a scalar result is merged into a vector, a is the vector whose other lanes stay
// and b the source; in all other cases a is the source. 64-bit MMX operands are the low halves of x87 registers.
import { cpu } from './host';
import { MXCSR } from './generated/layout';
import { raiseError } from './faults';
import {
  aInteger, aKind, beginLane, denormal, flags, INFINITE, propagateOne, resultFromA, rounding, ROUND_ZERO, useMxcsr,
} from './softfloat';
import { roundToIntegral, toInteger } from './softfloat-round';
import { commitFlags, mxcsr, packLane, setLaneA, storeScalar } from './sse-float-core';

const VECTOR_GP: u32 = 13;
const MXCSR_WRITABLE: u32 = 0xffff;

/** One lane of type S to a floating-point lane of type T. */
function convertLane<S, T>(bits: S): T {
  beginLane();
  setLaneA<S>(bits);
  if (aKind > INFINITE) propagateOne();
  else {
    flags |= denormal;
    resultFromA();
  }
  return packLane<T>();
}

// @ts-ignore: decorator
@inline function isNormal64(bits: u64): bool { return (bits << 1) - 0x0020000000000000 < 0xffc0000000000000; }
// @ts-ignore: decorator
@inline function isNormal32(bits: u32): bool { return (bits << 1) - 0x01000000 < 0xfe000000; }

export function cvtss2sd(d: usize, a: usize, b: usize, imm: i32): void {
  const bits = load<u32>(b);
  if (isNormal32(bits)) return storeScalar<u64>(d, a, reinterpret<u64>(<f64>reinterpret<f32>(bits)));
  useMxcsr(mxcsr());
  const result = convertLane<u32, u64>(bits);
  if (commitFlags()) storeScalar<u64>(d, a, result);
}

export function cvtsd2ss(d: usize, a: usize, b: usize, imm: i32): void {
  const bits = load<u64>(b);
  useMxcsr(mxcsr());
  const result = convertLane<u64, u32>(bits);
  if (commitFlags()) storeScalar<u32>(d, a, result);
}

export function cvtps2pd(d: usize, a: usize, b: usize, imm: i32): void {
  const first = load<u32>(a), second = load<u32>(a, 4);
  useMxcsr(mxcsr());
  const low = convertLane<u32, u64>(first), high = convertLane<u32, u64>(second);
  if (commitFlags()) storePair(d, low, high);
}

export function cvtpd2ps(d: usize, a: usize, b: usize, imm: i32): void {
  const first = load<u64>(a), second = load<u64>(a, 8);
  useMxcsr(mxcsr());
  const low = convertLane<u64, u32>(first), high = convertLane<u64, u32>(second);
  if (commitFlags()) storePair(d, u64(low) | (u64(high) << 32), 0);
}

// @ts-ignore: decorator
@inline function storePair(d: usize, low: u64, high: u64): void {
  store<u64>(d, low);
  store<u64>(d, high, 8);
}

function integerLane<T>(value: i64): T {
  beginLane();
  aInteger(value);
  resultFromA();
  return packLane<T>();
}

// @ts-ignore: decorator
@inline function sourceInteger(slot: usize, bytes: i32): i64 { return bytes == 8 ? load<i64>(slot) : <i64>load<i32>(slot); }

// b: slot of the integer; imm: its size, 4 or 8.
export function cvtsi2ss(d: usize, a: usize, b: usize, imm: i32): void {
  const value = sourceInteger(b, imm);
  useMxcsr(mxcsr());
  const bits = integerLane<u32>(value);
  if (commitFlags()) storeScalar<u32>(d, a, bits);
}

export function cvtsi2sd(d: usize, a: usize, b: usize, imm: i32): void {
  const value = sourceInteger(b, imm);
  if (value == <i64>(<i32>value)) return storeScalar<u64>(d, a, reinterpret<u64>(<f64>value));
  useMxcsr(mxcsr());
  const bits = integerLane<u64>(value);
  if (commitFlags()) storeScalar<u64>(d, a, bits);
}

function toIntegerLane<T>(bits: T, width: i32, truncate: bool): i64 {
  beginLane();
  setLaneA<T>(bits);
  return toInteger(width, truncate ? ROUND_ZERO : rounding);
}

// @ts-ignore: decorator
@inline function toRegister<T>(d: usize, a: usize, bytes: i32, truncate: bool): void {
  useMxcsr(mxcsr());
  const value = toIntegerLane<T>(load<T>(a), bytes * 8, truncate);
  if (commitFlags()) store<u64>(d, bytes == 8 ? <u64>value : <u64>(<u32>value));
}

// d: slot of a general register; imm: its size, 4 (the upper half becomes zero) or 8.
export function cvtss2si(d: usize, a: usize, b: usize, imm: i32): void { toRegister<u32>(d, a, imm, false); }
export function cvttss2si(d: usize, a: usize, b: usize, imm: i32): void { toRegister<u32>(d, a, imm, true); }
export function cvtsd2si(d: usize, a: usize, b: usize, imm: i32): void { toRegister<u64>(d, a, imm, false); }

export function cvttsd2si(d: usize, a: usize, b: usize, imm: i32): void {
  const value = load<f64>(a);
  if (abs(value) < 2147483648.0 && trunc(value) == value) return store<u64>(d, imm == 8 ? <u64>(<i64>value) : <u64>(<u32>(<i32>value)));
  toRegister<u64>(d, a, imm, true);
}

export function cvtdq2ps(d: usize, a: usize, b: usize, imm: i32): void {
  const x = v128.load(a);
  useMxcsr(mxcsr());
  let r = i32x4.splat(0);
  r = i32x4.replace_lane(r, 0, integerLane<u32>(i32x4.extract_lane(x, 0)));
  r = i32x4.replace_lane(r, 1, integerLane<u32>(i32x4.extract_lane(x, 1)));
  r = i32x4.replace_lane(r, 2, integerLane<u32>(i32x4.extract_lane(x, 2)));
  r = i32x4.replace_lane(r, 3, integerLane<u32>(i32x4.extract_lane(x, 3)));
  if (commitFlags()) v128.store(d, r);
}

export function cvtdq2pd(d: usize, a: usize, b: usize, imm: i32): void {
  v128.store(d, f64x2.convert_low_i32x4_s(v128.load64_zero(a)));
}

// @ts-ignore: decorator
@inline function packedToIntegers(d: usize, a: usize, truncate: bool): void {
  const x = v128.load(a);
  useMxcsr(mxcsr());
  let r = i32x4.splat(0);
  r = i32x4.replace_lane(r, 0, <i32>toIntegerLane<u32>(i32x4.extract_lane(x, 0), 32, truncate));
  r = i32x4.replace_lane(r, 1, <i32>toIntegerLane<u32>(i32x4.extract_lane(x, 1), 32, truncate));
  r = i32x4.replace_lane(r, 2, <i32>toIntegerLane<u32>(i32x4.extract_lane(x, 2), 32, truncate));
  r = i32x4.replace_lane(r, 3, <i32>toIntegerLane<u32>(i32x4.extract_lane(x, 3), 32, truncate));
  if (commitFlags()) v128.store(d, r);
}

export function cvtps2dq(d: usize, a: usize, b: usize, imm: i32): void { packedToIntegers(d, a, false); }
export function cvttps2dq(d: usize, a: usize, b: usize, imm: i32): void { packedToIntegers(d, a, true); }

/** Two lanes to two 32-bit integers in 64 bits; the flags are still to be committed. */
function pairToIntegers<T>(a: usize, truncate: bool): u64 {
  const first = load<T>(a), second = load<T>(a, sizeof<T>());
  useMxcsr(mxcsr());
  const low = toIntegerLane<T>(first, 32, truncate), high = toIntegerLane<T>(second, 32, truncate);
  return u64(u32(low)) | (<u64>high << 32);
}

// @ts-ignore: decorator
@inline function doublesToIntegers(d: usize, a: usize, truncate: bool): void {
  const pair = pairToIntegers<u64>(a, truncate);
  if (commitFlags()) storePair(d, pair, 0);
}

export function cvtpd2dq(d: usize, a: usize, b: usize, imm: i32): void { doublesToIntegers(d, a, false); }
export function cvttpd2dq(d: usize, a: usize, b: usize, imm: i32): void { doublesToIntegers(d, a, true); }

// @ts-ignore: decorator
@inline function toMmx<T>(d: usize, a: usize, truncate: bool): void {
  const pair = pairToIntegers<T>(a, truncate);
  if (commitFlags()) store<u64>(d, pair);
}

// d: slot of 64 bits.
export function cvtps2pi(d: usize, a: usize, b: usize, imm: i32): void { toMmx<u32>(d, a, false); }
export function cvttps2pi(d: usize, a: usize, b: usize, imm: i32): void { toMmx<u32>(d, a, true); }
export function cvtpd2pi(d: usize, a: usize, b: usize, imm: i32): void { toMmx<u64>(d, a, false); }
export function cvttpd2pi(d: usize, a: usize, b: usize, imm: i32): void { toMmx<u64>(d, a, true); }

/** Two integers in b to the two low lanes. */
export function cvtpi2ps(d: usize, a: usize, b: usize, imm: i32): void {
  const first = load<i32>(b), second = load<i32>(b, 4);
  useMxcsr(mxcsr());
  const low = integerLane<u32>(first), high = integerLane<u32>(second);
  if (commitFlags()) storeScalar<u64>(d, a, u64(low) | (u64(high) << 32));
}

export function cvtpi2pd(d: usize, a: usize, b: usize, imm: i32): void { cvtdq2pd(d, a, b, imm); }

/** imm as in ROUNDSD: bits 0..1 the mode unless bit 2 chooses MXCSR's, bit 3 suppresses PE. Denormals are not reported. */
function roundLane<T>(bits: T, imm: i32): T {
  setLaneA<T>(bits);
  beginLane();
  roundToIntegral(imm & 4 ? rounding : u32(imm) & 3, (imm & 8) == 0);
  return packLane<T>();
}

// @ts-ignore: decorator
@inline function roundScalar<T>(d: usize, a: usize, b: usize, imm: i32): void {
  const bits = load<T>(b);
  useMxcsr(mxcsr());
  const result = roundLane<T>(bits, imm);
  if (commitFlags()) storeScalar<T>(d, a, result);
}

export function roundss(d: usize, a: usize, b: usize, imm: i32): void { roundScalar<u32>(d, a, b, imm); }
export function roundsd(d: usize, a: usize, b: usize, imm: i32): void { roundScalar<u64>(d, a, b, imm); }

export function roundps(d: usize, a: usize, b: usize, imm: i32): void {
  const x = v128.load(a);
  useMxcsr(mxcsr());
  let r = i32x4.splat(0);
  r = i32x4.replace_lane(r, 0, roundLane<u32>(i32x4.extract_lane(x, 0), imm));
  r = i32x4.replace_lane(r, 1, roundLane<u32>(i32x4.extract_lane(x, 1), imm));
  r = i32x4.replace_lane(r, 2, roundLane<u32>(i32x4.extract_lane(x, 2), imm));
  r = i32x4.replace_lane(r, 3, roundLane<u32>(i32x4.extract_lane(x, 3), imm));
  if (commitFlags()) v128.store(d, r);
}

export function roundpd(d: usize, a: usize, b: usize, imm: i32): void {
  const first = load<u64>(a), second = load<u64>(a, 8);
  useMxcsr(mxcsr());
  const low = roundLane<u64>(first, imm), high = roundLane<u64>(second, imm);
  if (commitFlags()) storePair(d, low, high);
}

/** a: slot of the new value. */
export function ldmxcsr(d: usize, a: usize, b: usize, imm: i32): void {
  const value = load<u32>(a);
  if (value & ~MXCSR_WRITABLE) return raiseError(VECTOR_GP, 0);
  store<u32>(cpu + MXCSR, value);
}
