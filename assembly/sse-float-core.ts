// What every SSE floating-point helper shares: lanes in software, the exact native shortcut, MXCSR flags and #XM.
// A native WebAssembly operation stands for the instruction when rounding is to nearest, PE is masked and already set
// (or the result is shown to be exact), and operands and result are zero or normal: then no other flag can arise.
// Specification: Intel SDM volume 1 section 11.5, volume 2 table 3-1 ff.
import { cpu } from './host';
import { CR4, MXCSR } from './generated/layout';
import { raise } from './faults';
import { PE, PRECOMPUTATION, a32, a64, b32, b64, beginLane, flags, unmasked, useMxcsr } from './softfloat';
import { add, divide, multiply, squareRoot } from './softfloat-arithmetic';
import { pack32, pack64 } from './softfloat-round';

export const ADD: u32 = 0;
export const SUB: u32 = 1;
export const MUL: u32 = 2;
export const DIV: u32 = 3;
export const SQRT: u32 = 4;

const VECTOR_UD: u32 = 6;
const VECTOR_XM: u32 = 19;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const PRECISION_MASKED_NEAREST: u32 = 0x1000;

// @ts-ignore: decorator
@inline export function mxcsr(): u32 { return load<u32>(cpu + MXCSR); }
export function beginSse(): void { useMxcsr(mxcsr()); }

/** Adds the operation's flags to MXCSR; raises #XM and returns false when one of them is unmasked. */
export function commitFlags(): bool {
  if (flags == 0) return true;
  // An exception found before computing hides what other lanes would report after it.
  const reported = flags & unmasked & PRECOMPUTATION ? flags & PRECOMPUTATION : flags;
  store<u32>(cpu + MXCSR, mxcsr() | reported);
  if ((reported & unmasked) == 0) return true;
  raise(load<u64>(cpu + CR4) & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD);
  return false;
}

// @ts-ignore: decorator
@inline export function setLaneA<T>(bits: T): void { if (sizeof<T>() == 4) a32(<u32>bits); else a64(<u64>bits); }
// @ts-ignore: decorator
@inline export function setLaneB<T>(bits: T): void { if (sizeof<T>() == 4) b32(<u32>bits); else b64(<u64>bits); }
// @ts-ignore: decorator
@inline export function packLane<T>(): T { return sizeof<T>() == 4 ? <T>pack32() : <T>pack64(); }

/** One operation on one lane in software; flags accumulate. */
export function softLane<T>(op: u32, x: T, y: T): T {
  beginLane();
  setLaneA<T>(x);
  if (op == SQRT) squareRoot();
  else {
    setLaneB<T>(y);
    switch (op) {
      case ADD: add(0); break;
      case SUB: add(1); break;
      case MUL: multiply(); break;
      default: divide();
    }
  }
  return packLane<T>();
}

/** Whether the native operation may be tried at all. */
// @ts-ignore: decorator
@inline export function nativeRounding(control: u32): bool { return (control & 0x7000) == PRECISION_MASKED_NEAREST; }

// @ts-ignore: decorator
@inline function zeroOrNormal<T>(bits: T): bool {
  const magnitude = bits << 1;
  const least: T = sizeof<T>() == 4 ? <T>0x01000000 : <T>0x0020000000000000;
  return magnitude == 0 || magnitude >= least;
}

/** A normal result that is not the smallest one, which may have been rounded up from below (tiny). */
// @ts-ignore: decorator
@inline function safelyNormal<T>(bits: T): bool {
  const magnitude = bits << 1;
  if (sizeof<T>() == 4) return <u32>magnitude - 0x02000000 < 0xfd000000;
  return <u64>magnitude - 0x0040000000000000 < 0xffa0000000000000;
}

/** How many bits of the significand are used: products of few bits are exact. */
// @ts-ignore: decorator
@inline function usedBits<T>(bits: T): i32 {
  return sizeof<T>() == 4 ? 24 - i32(ctz<u32>(<u32>bits | 0x800000)) : 53 - i32(ctz<u64>(<u64>bits | 0x10000000000000));
}

// @ts-ignore: decorator
@inline function native<F>(op: u32, x: F, y: F): F {
  switch (op) {
    case ADD: return x + y;
    case SUB: return x - y;
    case MUL: return x * y;
    case DIV: return x / y;
    default: return sqrt<F>(x);
  }
}

/** Whether a normal or zero result is exact; a false answer only costs time. */
// @ts-ignore: decorator
@inline function exact<T, F>(op: u32, x: F, y: F, result: F): bool {
  const limit = sizeof<T>() == 4 ? 24 : 53;
  switch (op) {
    case ADD:
    case SUB: {
      const other = op == ADD ? y : -y, part = result - x;
      return (x - (result - part)) + (other - part) == 0;
    }
    case MUL: return usedBits<T>(reinterpret<T>(x)) + usedBits<T>(reinterpret<T>(y)) <= limit;
    case DIV: return usedBits<T>(reinterpret<T>(result)) + usedBits<T>(reinterpret<T>(y)) <= limit && result * y == x;
    default: return usedBits<T>(reinterpret<T>(result)) * 2 <= limit && result * result == x;
  }
}

/** Whether a result of zero is exact, given operands that are zero or normal. */
// @ts-ignore: decorator
@inline function zeroIsExact<F>(op: u32, x: F, y: F): bool {
  return op == ADD || op == SUB || x == 0 || (op == MUL && y == 0);
}

/** d = x op y in the lowest lane of d. */
// @ts-ignore: decorator
@inline export function scalar<T, F>(op: u32, d: usize, merge: usize, x: T, y: T): void {
  const control = mxcsr();
  if (nativeRounding(control) && zeroOrNormal<T>(x) && (op == SQRT || zeroOrNormal<T>(y))) {
    const fx = reinterpret<F>(x), fy = reinterpret<F>(y);
    const result = native<F>(op, fx, fy);
    const bits = reinterpret<T>(result);
    const fits = bits << 1 == 0 ? zeroIsExact<F>(op, fx, fy) : safelyNormal<T>(bits);
    if (fits && ((control & PE) != 0 || exact<T, F>(op, fx, fy, result))) return storeScalar<T>(d, merge, bits);
  }
  useMxcsr(control);
  const bits = softLane<T>(op, x, y);
  if (commitFlags()) storeScalar<T>(d, merge, bits);
}

/** The lowest lane of d becomes `bits`, the rest comes from `merge`. */
// @ts-ignore: decorator
@inline export function storeScalar<T>(d: usize, merge: usize, bits: T): void {
  if (d != merge) v128.store(d, v128.load(merge));
  store<T>(d, bits);
}

/** Applies an operation to every lane in software. */
export function softPacked<T>(op: u32, x: v128, y: v128): v128 {
  return softMixed<T>(op, op, x, y);
}

/** Even lanes by one operation, odd lanes by another. */
export function softMixed<T>(even: u32, odd: u32, x: v128, y: v128): v128 {
  let r = i64x2.splat(0);
  r = v128.replace_lane<T>(r, 0, softLane<T>(even, v128.extract_lane<T>(x, 0), v128.extract_lane<T>(y, 0)));
  r = v128.replace_lane<T>(r, 1, softLane<T>(odd, v128.extract_lane<T>(x, 1), v128.extract_lane<T>(y, 1)));
  if (sizeof<T>() == 4) {
    r = v128.replace_lane<T>(r, 2, softLane<T>(even, v128.extract_lane<T>(x, 2), v128.extract_lane<T>(y, 2)));
    r = v128.replace_lane<T>(r, 3, softLane<T>(odd, v128.extract_lane<T>(x, 3), v128.extract_lane<T>(y, 3)));
  }
  return r;
}

// @ts-ignore: decorator
@inline function magnitudes<T>(x: v128): v128 {
  return v128.and(x, sizeof<T>() == 4 ? i32x4.splat(0x7fffffff) : i64x2.splat(0x7fffffffffffffff));
}

/** Lanes above a bound, all bits set; magnitudes compare as signed integers. */
// @ts-ignore: decorator
@inline function above<T>(x: v128, small: i32, large: i64): v128 {
  return sizeof<T>() == 4 ? i32x4.gt_s(x, i32x4.splat(small)) : i64x2.gt_s(x, i64x2.splat(large));
}

// @ts-ignore: decorator
@inline function isZero<T>(x: v128): v128 { return sizeof<T>() == 4 ? i32x4.eq(x, i32x4.splat(0)) : i64x2.eq(x, i64x2.splat(0)); }

// @ts-ignore: decorator
@inline function everyLane<T>(x: v128): bool { return sizeof<T>() == 4 ? i32x4.all_true(x) : i64x2.all_true(x); }

/** Lanes that are not denormal. */
// @ts-ignore: decorator
@inline function notDenormal<T>(x: v128): v128 {
  const magnitude = magnitudes<T>(x);
  return v128.or(above<T>(magnitude, 0x7fffff, 0xfffffffffffff), isZero<T>(magnitude));
}

// @ts-ignore: decorator
@inline function isNan<T>(x: v128): v128 { return above<T>(magnitudes<T>(x), 0x7f800000, 0x7ff0000000000000); }

/** No lane of x or y is a denormal or a NaN: comparisons are native. */
export function ordinary<T>(x: v128, y: v128): bool {
  return everyLane<T>(v128.andnot(v128.and(notDenormal<T>(x), notDenormal<T>(y)), v128.or(isNan<T>(x), isNan<T>(y))));
}

/** Whether the native result r of op on x and y has no flag but PE. */
// @ts-ignore: decorator
@inline function nativeHolds<T>(op: u32, x: v128, y: v128, r: v128): bool {
  const magnitude = magnitudes<T>(r);
  const normal = v128.andnot(above<T>(magnitude, 0xffffff, 0x1fffffffffffff), above<T>(magnitude, 0x7f7fffff, 0x7fefffffffffffff));
  let zero = isZero<T>(magnitude);
  if (op == MUL) zero = v128.and(zero, v128.or(isZero<T>(magnitudes<T>(x)), isZero<T>(magnitudes<T>(y))));
  else if (op == DIV || op == SQRT) zero = v128.and(zero, isZero<T>(magnitudes<T>(x)));
  let good = v128.and(v128.or(normal, zero), notDenormal<T>(x));
  if (op != SQRT) good = v128.and(good, notDenormal<T>(y));
  return everyLane<T>(good);
}

// @ts-ignore: decorator
@inline function nativePacked<F>(op: u32, x: v128, y: v128): v128 {
  switch (op) {
    case ADD: return v128.add<F>(x, y);
    case SUB: return v128.sub<F>(x, y);
    case MUL: return v128.mul<F>(x, y);
    case DIV: return v128.div<F>(x, y);
    default: return v128.sqrt<F>(x);
  }
}

/** d = x op y in all lanes. */
// @ts-ignore: decorator
@inline export function packed<T, F>(op: u32, d: usize, x: v128, y: v128): void {
  const control = mxcsr();
  if (nativeRounding(control) && (control & PE)) {
    const r = nativePacked<F>(op, x, y);
    if (nativeHolds<T>(op, x, y, r)) return v128.store(d, r);
  }
  useMxcsr(control);
  const r = softPacked<T>(op, x, y);
  if (commitFlags()) v128.store(d, r);
}

/** d = x - y in even lanes, x + y in odd ones. */
// @ts-ignore: decorator
@inline export function alternating<T, F>(d: usize, x: v128, y: v128, evenSigns: v128): void {
  const control = mxcsr();
  if (nativeRounding(control) && (control & PE)) {
    const r = v128.add<F>(x, v128.xor(y, evenSigns));
    if (nativeHolds<T>(ADD, x, y, r)) return v128.store(d, r);
  }
  useMxcsr(control);
  const r = softMixed<T>(SUB, ADD, x, y);
  if (commitFlags()) v128.store(d, r);
}
