// SSE to SSE4.1 floating-point arithmetic and comparison as helpers NAME(d, a, b, imm).
// Scalar (ss, sd): the low lane of d is op(a, b), or op(b) for sqrt, rcp and rsqrt; the other lanes come from a.
// Packed (ps, pd): d = op(a, b); sqrt, rcp and rsqrt take their operand in a. d may be a or b.
// Not here: conversions and rounding (sse-float-convert.ts), dot products (sse-float-dot.ts).
import { writeFlags } from './flags';
import { beginLane, denormalsAreZero, useMxcsr } from './softfloat';
import { EQUAL, GREATER, LESS, compare } from './softfloat-arithmetic';
import {
  ADD, DIV, MUL, SQRT, SUB, alternating, commitFlags, mxcsr, ordinary, packed, scalar, setLaneA, setLaneB, storeScalar,
} from './sse-float-core';

const MIN: u32 = 0;
const MAX: u32 = 1;
const CF: u32 = 1;
const PF: u32 = 4;
const ZF: u32 = 64;

export function addss(d: usize, a: usize, b: usize, imm: i32): void { scalar<u32, f32>(ADD, d, a, load<u32>(a), load<u32>(b)); }
export function addsd(d: usize, a: usize, b: usize, imm: i32): void { scalar<u64, f64>(ADD, d, a, load<u64>(a), load<u64>(b)); }
export function addps(d: usize, a: usize, b: usize, imm: i32): void { packed<u32, f32>(ADD, d, v128.load(a), v128.load(b)); }
export function addpd(d: usize, a: usize, b: usize, imm: i32): void { packed<u64, f64>(ADD, d, v128.load(a), v128.load(b)); }
export function subss(d: usize, a: usize, b: usize, imm: i32): void { scalar<u32, f32>(SUB, d, a, load<u32>(a), load<u32>(b)); }
export function subsd(d: usize, a: usize, b: usize, imm: i32): void { scalar<u64, f64>(SUB, d, a, load<u64>(a), load<u64>(b)); }
export function subps(d: usize, a: usize, b: usize, imm: i32): void { packed<u32, f32>(SUB, d, v128.load(a), v128.load(b)); }
export function subpd(d: usize, a: usize, b: usize, imm: i32): void { packed<u64, f64>(SUB, d, v128.load(a), v128.load(b)); }
export function mulss(d: usize, a: usize, b: usize, imm: i32): void { scalar<u32, f32>(MUL, d, a, load<u32>(a), load<u32>(b)); }
export function mulsd(d: usize, a: usize, b: usize, imm: i32): void { scalar<u64, f64>(MUL, d, a, load<u64>(a), load<u64>(b)); }
export function mulps(d: usize, a: usize, b: usize, imm: i32): void { packed<u32, f32>(MUL, d, v128.load(a), v128.load(b)); }
export function mulpd(d: usize, a: usize, b: usize, imm: i32): void { packed<u64, f64>(MUL, d, v128.load(a), v128.load(b)); }
export function divss(d: usize, a: usize, b: usize, imm: i32): void { scalar<u32, f32>(DIV, d, a, load<u32>(a), load<u32>(b)); }
export function divsd(d: usize, a: usize, b: usize, imm: i32): void { scalar<u64, f64>(DIV, d, a, load<u64>(a), load<u64>(b)); }
export function divps(d: usize, a: usize, b: usize, imm: i32): void { packed<u32, f32>(DIV, d, v128.load(a), v128.load(b)); }
export function divpd(d: usize, a: usize, b: usize, imm: i32): void { packed<u64, f64>(DIV, d, v128.load(a), v128.load(b)); }
export function sqrtss(d: usize, a: usize, b: usize, imm: i32): void { scalar<u32, f32>(SQRT, d, a, load<u32>(b), 0); }
export function sqrtsd(d: usize, a: usize, b: usize, imm: i32): void { scalar<u64, f64>(SQRT, d, a, load<u64>(b), 0); }
export function sqrtps(d: usize, a: usize, b: usize, imm: i32): void { packed<u32, f32>(SQRT, d, v128.load(a), i64x2.splat(0)); }
export function sqrtpd(d: usize, a: usize, b: usize, imm: i32): void { packed<u64, f64>(SQRT, d, v128.load(a), i64x2.splat(0)); }

export function addsubps(d: usize, a: usize, b: usize, imm: i32): void {
  alternating<u32, f32>(d, v128.load(a), v128.load(b), i64x2.splat(0x80000000));
}

export function addsubpd(d: usize, a: usize, b: usize, imm: i32): void {
  alternating<u64, f64>(d, v128.load(a), v128.load(b), i64x2(i64.MIN_VALUE, 0));
}

// @ts-ignore: decorator
@inline function horizontal32(op: u32, d: usize, a: usize, b: usize): void {
  const x = v128.load(a), y = v128.load(b);
  packed<u32, f32>(op, d, v128.shuffle<u32>(x, y, 0, 2, 4, 6), v128.shuffle<u32>(x, y, 1, 3, 5, 7));
}

// @ts-ignore: decorator
@inline function horizontal64(op: u32, d: usize, a: usize, b: usize): void {
  const x = v128.load(a), y = v128.load(b);
  packed<u64, f64>(op, d, v128.shuffle<u64>(x, y, 0, 2), v128.shuffle<u64>(x, y, 1, 3));
}

export function haddps(d: usize, a: usize, b: usize, imm: i32): void { horizontal32(ADD, d, a, b); }
export function haddpd(d: usize, a: usize, b: usize, imm: i32): void { horizontal64(ADD, d, a, b); }
export function hsubps(d: usize, a: usize, b: usize, imm: i32): void { horizontal32(SUB, d, a, b); }
export function hsubpd(d: usize, a: usize, b: usize, imm: i32): void { horizontal64(SUB, d, a, b); }

/** The second operand wins when either is a NaN or both are zero; every NaN is invalid. */
function extremeLane<T>(op: u32, x: T, y: T): T {
  beginLane();
  setLaneA<T>(x);
  setLaneB<T>(y);
  const order = compare(true);
  const result = order == (op == MIN ? LESS : GREATER) ? x : y;
  if (!denormalsAreZero) return result;
  const fieldMask: T = sizeof<T>() == 4 ? <T>0x7f800000 : <T>0x7ff0000000000000;
  const sign: T = sizeof<T>() == 4 ? <T>0x80000000 : <T>0x8000000000000000;
  return result & fieldMask ? result : result & sign;
}

/** Neither zero, denormal nor NaN: comparisons are native, and raise no flag. */
// @ts-ignore: decorator
@inline function comparable<T>(bits: T): bool {
  const magnitude = bits << 1;
  const least: T = sizeof<T>() == 4 ? <T>0x01000000 : <T>0x0020000000000000;
  const infinity: T = sizeof<T>() == 4 ? <T>0xff000000 : <T>0xffe0000000000000;
  return magnitude >= least && magnitude <= infinity;
}

// @ts-ignore: decorator
@inline function scalarExtreme<T, F>(op: u32, d: usize, a: usize, b: usize): void {
  const x = load<T>(a), y = load<T>(b);
  if (comparable<T>(x) && comparable<T>(y)) {
    const less = op == MIN ? reinterpret<F>(x) < reinterpret<F>(y) : reinterpret<F>(y) < reinterpret<F>(x);
    return storeScalar<T>(d, a, less ? x : y);
  }
  useMxcsr(mxcsr());
  const bits = extremeLane<T>(op, x, y);
  if (commitFlags()) storeScalar<T>(d, a, bits);
}

// @ts-ignore: decorator
@inline function packedExtreme<T, F>(op: u32, d: usize, x: v128, y: v128): void {
  if (ordinary<T>(x, y)) return v128.store(d, op == MIN ? v128.pmin<F>(y, x) : v128.pmax<F>(y, x));
  useMxcsr(mxcsr());
  let r = i64x2.splat(0);
  r = v128.replace_lane<T>(r, 0, extremeLane<T>(op, v128.extract_lane<T>(x, 0), v128.extract_lane<T>(y, 0)));
  r = v128.replace_lane<T>(r, 1, extremeLane<T>(op, v128.extract_lane<T>(x, 1), v128.extract_lane<T>(y, 1)));
  if (sizeof<T>() == 4) {
    r = v128.replace_lane<T>(r, 2, extremeLane<T>(op, v128.extract_lane<T>(x, 2), v128.extract_lane<T>(y, 2)));
    r = v128.replace_lane<T>(r, 3, extremeLane<T>(op, v128.extract_lane<T>(x, 3), v128.extract_lane<T>(y, 3)));
  }
  if (commitFlags()) v128.store(d, r);
}

export function minss(d: usize, a: usize, b: usize, imm: i32): void { scalarExtreme<u32, f32>(MIN, d, a, b); }
export function minsd(d: usize, a: usize, b: usize, imm: i32): void { scalarExtreme<u64, f64>(MIN, d, a, b); }
export function minps(d: usize, a: usize, b: usize, imm: i32): void { packedExtreme<u32, f32>(MIN, d, v128.load(a), v128.load(b)); }
export function minpd(d: usize, a: usize, b: usize, imm: i32): void { packedExtreme<u64, f64>(MIN, d, v128.load(a), v128.load(b)); }
export function maxss(d: usize, a: usize, b: usize, imm: i32): void { scalarExtreme<u32, f32>(MAX, d, a, b); }
export function maxsd(d: usize, a: usize, b: usize, imm: i32): void { scalarExtreme<u64, f64>(MAX, d, a, b); }
export function maxps(d: usize, a: usize, b: usize, imm: i32): void { packedExtreme<u32, f32>(MAX, d, v128.load(a), v128.load(b)); }
export function maxpd(d: usize, a: usize, b: usize, imm: i32): void { packedExtreme<u64, f64>(MAX, d, v128.load(a), v128.load(b)); }

/** For predicates 0..15 the outcomes (bit 0 equal, 1 less, 2 greater, 3 unordered) for which each is true; 16..31 repeat. */
const PREDICATES: u64 = 0xf4560ba97cde8321;

/** All ones when predicate `imm` (SDM 2 table 3-1) holds. */
function compareLane<T>(imm: u32, x: T, y: T): T {
  beginLane();
  setLaneA<T>(x);
  setLaneB<T>(y);
  const signaling = ((imm & 3) == 1 || (imm & 3) == 2) != ((imm & 16) != 0);
  const outcome = compare(signaling);
  return (PREDICATES >> ((imm & 15) * 4 + outcome)) & 1 ? <T>-1 : 0;
}

// @ts-ignore: decorator
@inline function scalarCompare<T>(d: usize, a: usize, b: usize, imm: i32): void {
  useMxcsr(mxcsr());
  const bits = compareLane<T>(u32(imm), load<T>(a), load<T>(b));
  if (commitFlags()) storeScalar<T>(d, a, bits);
}

// @ts-ignore: decorator
@inline function packedCompare<T>(d: usize, a: usize, b: usize, imm: i32): void {
  const x = v128.load(a), y = v128.load(b);
  useMxcsr(mxcsr());
  let r = i64x2.splat(0);
  r = v128.replace_lane<T>(r, 0, compareLane<T>(u32(imm), v128.extract_lane<T>(x, 0), v128.extract_lane<T>(y, 0)));
  r = v128.replace_lane<T>(r, 1, compareLane<T>(u32(imm), v128.extract_lane<T>(x, 1), v128.extract_lane<T>(y, 1)));
  if (sizeof<T>() == 4) {
    r = v128.replace_lane<T>(r, 2, compareLane<T>(u32(imm), v128.extract_lane<T>(x, 2), v128.extract_lane<T>(y, 2)));
    r = v128.replace_lane<T>(r, 3, compareLane<T>(u32(imm), v128.extract_lane<T>(x, 3), v128.extract_lane<T>(y, 3)));
  }
  if (commitFlags()) v128.store(d, r);
}

// imm: the predicate, 0..7 for SSE and 0..31 for AVX.
export function cmpss(d: usize, a: usize, b: usize, imm: i32): void { scalarCompare<u32>(d, a, b, imm); }
export function cmpsd(d: usize, a: usize, b: usize, imm: i32): void { scalarCompare<u64>(d, a, b, imm); }
export function cmpps(d: usize, a: usize, b: usize, imm: i32): void { packedCompare<u32>(d, a, b, imm); }
export function cmppd(d: usize, a: usize, b: usize, imm: i32): void { packedCompare<u64>(d, a, b, imm); }

// @ts-ignore: decorator
@inline function compareFlags<T, F>(a: usize, b: usize, signaling: bool): void {
  const x = load<T>(a), y = load<T>(b);
  if (comparable<T>(x) && comparable<T>(y)) {
    const fx = reinterpret<F>(x), fy = reinterpret<F>(y);
    return writeFlags(fx == fy ? ZF : fx < fy ? CF : 0);
  }
  useMxcsr(mxcsr());
  setLaneA<T>(x);
  setLaneB<T>(y);
  const order = compare(signaling);
  if (commitFlags()) writeFlags(order == EQUAL ? ZF : order == LESS ? CF : order == GREATER ? 0 : ZF | PF | CF);
}

// Compare a with b into EFLAGS.
export function comiss(d: usize, a: usize, b: usize, imm: i32): void { compareFlags<u32, f32>(a, b, true); }
export function comisd(d: usize, a: usize, b: usize, imm: i32): void { compareFlags<u64, f64>(a, b, true); }
export function ucomiss(d: usize, a: usize, b: usize, imm: i32): void { compareFlags<u32, f32>(a, b, false); }
export function ucomisd(d: usize, a: usize, b: usize, imm: i32): void { compareFlags<u64, f64>(a, b, false); }
