// Dot products of SSE4.1, and the approximations RCP and RSQRT.
// QUIRK: RCP and RSQRT give the correctly rounded quotient, not the 12-bit table value of any one processor; that is
// within the architectural bound (relative error 1.5 * 2^-12), but differs from real processors in the last bits.
import { beginSse, commitFlags, softPacked, ADD, MUL, softLane, storeScalar } from './sse-float-core';

/** Lanes selected by four mask bits, as all-ones lanes. */
function laneMask32(bits: i32): v128 {
  return i32x4.ne(v128.and(i32x4.splat(bits), i32x4(1, 2, 4, 8)), i32x4.splat(0));
}

function laneMask64(bits: i32): v128 {
  return i64x2.ne(v128.and(i64x2.splat(bits), i64x2(1, 2)), i64x2.splat(0));
}

/** imm: bits 4..7 choose the products, bits 0..3 the lanes that receive the sum. */
export function dpps(d: usize, a: usize, b: usize, imm: i32): void {
  const chosen = laneMask32(imm >> 4);
  beginSse();
  const products = softPacked<u32>(MUL, v128.and(v128.load(a), chosen), v128.and(v128.load(b), chosen));
  if (!commitFlags()) return;
  const low = softLane<u32>(ADD, i32x4.extract_lane(products, 0), i32x4.extract_lane(products, 1));
  const high = softLane<u32>(ADD, i32x4.extract_lane(products, 2), i32x4.extract_lane(products, 3));
  if (!commitFlags()) return;
  const sum = softLane<u32>(ADD, low, high);
  if (commitFlags()) v128.store(d, v128.and(i32x4.splat(sum), laneMask32(imm)));
}

export function dppd(d: usize, a: usize, b: usize, imm: i32): void {
  const chosen = laneMask64(imm >> 4);
  beginSse();
  const products = softPacked<u64>(MUL, v128.and(v128.load(a), chosen), v128.and(v128.load(b), chosen));
  if (!commitFlags()) return;
  const sum = softLane<u64>(ADD, i64x2.extract_lane(products, 0), i64x2.extract_lane(products, 1));
  if (commitFlags()) v128.store(d, v128.and(i64x2.splat(sum), laneMask64(imm)));
}

/** Tiny operands count as zero, a tiny result becomes zero. */
function flushed(bits: u32): u32 { return bits & 0x7f800000 ? bits : bits & 0x80000000; }

// @ts-ignore: decorator
@inline function isNan(bits: u32): bool { return (bits & 0x7fffffff) > 0x7f800000; }

function reciprocal(bits: u32): u32 {
  if (isNan(bits)) return bits | 0x400000;
  return flushed(reinterpret<u32>(<f32>1 / reinterpret<f32>(flushed(bits))));
}

function reciprocalRoot(bits: u32): u32 {
  if (isNan(bits)) return bits | 0x400000;
  const value = flushed(bits);
  if (value == 0x80000000) return 0xff800000;
  if (value >> 31) return 0xffc00000;
  return reinterpret<u32>(<f32>(1.0 / sqrt<f64>(<f64>reinterpret<f32>(value))));
}

export function rcpss(d: usize, a: usize, b: usize, imm: i32): void { storeScalar<u32>(d, a, reciprocal(load<u32>(b))); }
export function rsqrtss(d: usize, a: usize, b: usize, imm: i32): void { storeScalar<u32>(d, a, reciprocalRoot(load<u32>(b))); }

export function rcpps(d: usize, a: usize, b: usize, imm: i32): void {
  for (let n: usize = 0; n < 16; n += 4) store<u32>(d + n, reciprocal(load<u32>(a + n)));
}

export function rsqrtps(d: usize, a: usize, b: usize, imm: i32): void {
  for (let n: usize = 0; n < 16; n += 4) store<u32>(d + n, reciprocalRoot(load<u32>(a + n)));
}
