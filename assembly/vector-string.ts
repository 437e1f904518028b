// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B section 4.1): helpers
// NAME(d, a, b, imm) with the strings in a and b. imm: the instruction's byte, and WIDE_LENGTH for lengths in RAX and RDX.
// The index goes to RCX, the mask to d.
import { cpu } from './host';
import { CF, OF, SF, ZF, writeFlags } from './flags';
import { RAX, RCX, RDX } from './generated/layout';

const WIDE_LENGTH: i32 = 0x100;

const WORDS: i32 = 1;
const SIGNED: i32 = 2;
const MOST_SIGNIFICANT: i32 = 0x40; // of the index
const EXPAND: i32 = 0x40; // the mask, to bytes or words

const EQUAL_ANY: i32 = 0;
const RANGES: i32 = 1;
const EQUAL_EACH: i32 = 2;

// @ts-ignore: decorator
@inline function elements(imm: i32): i32 { return (imm & WORDS) != 0 ? 8 : 16; }
// @ts-ignore: decorator
@inline function ones(count: i32): u32 { return (1 << count) - 1; }

function implicitLength(text: usize, imm: i32): i32 {
  const zero = i64x2.splat(0);
  const text128 = v128.load(text);
  const zeroes = (imm & WORDS) != 0 ? i16x8.bitmask(i16x8.eq(text128, zero)) : i8x16.bitmask(i8x16.eq(text128, zero));
  return min(ctz<i32>(zeroes), elements(imm));
}

function explicitLength(register: usize, imm: i32): i32 {
  const value = (imm & WIDE_LENGTH) != 0 ? load<i64>(cpu + register) : <i64>load<i32>(cpu + register);
  const length = <u64>(value < 0 ? -value : value); // the most negative number stays large
  return length > <u64>elements(imm) ? elements(imm) : <i32>length;
}

/** One bit for each element of `text` that equals element n of `set`. */
function equalTo(text: v128, set: usize, n: i32, imm: i32): u32 {
  if ((imm & WORDS) != 0) return i16x8.bitmask(i16x8.eq(text, i16x8.splat(load<i16>(set + 2 * n))));
  return i8x16.bitmask(i8x16.eq(text, i8x16.splat(load<i8>(set + n))));
}

/** One bit for each element of `text` between elements n and n + 1 of `set`. */
function within(text: v128, set: usize, n: i32, imm: i32): u32 {
  if ((imm & WORDS) != 0) {
    const low = i16x8.splat(load<i16>(set + 2 * n)), high = i16x8.splat(load<i16>(set + 2 * n, 2));
    if ((imm & SIGNED) != 0) return i16x8.bitmask(v128.and(i16x8.ge_s(text, low), i16x8.le_s(text, high)));
    return i16x8.bitmask(v128.and(i16x8.ge_u(text, low), i16x8.le_u(text, high)));
  }
  const low = i8x16.splat(load<i8>(set + n)), high = i8x16.splat(load<i8>(set + n, 1));
  if ((imm & SIGNED) != 0) return i8x16.bitmask(v128.and(i8x16.ge_s(text, low), i8x16.le_s(text, high)));
  return i8x16.bitmask(v128.and(i8x16.ge_u(text, low), i8x16.le_u(text, high)));
}

/** The aggregated comparison (IntRes1): one bit for each element of b. */
function aggregate(a: usize, b: usize, lengthA: i32, lengthB: i32, imm: i32): u32 {
  const count = elements(imm);
  const valid = ones(lengthB);
  const text = v128.load(b);
  const kind = (imm >> 2) & 3;
  let result: u32 = 0;
  if (kind == EQUAL_ANY) {
    for (let n = 0; n < lengthA; n++) result |= equalTo(text, a, n, imm);
    return result & valid;
  }
  if (kind == RANGES) {
    for (let n = 0; n + 1 < lengthA; n += 2) result |= within(text, a, n, imm);
    return result & valid;
  }
  if (kind == EQUAL_EACH) {
    const other = v128.load(a);
    const same: u32 = (imm & WORDS) != 0 ? i16x8.bitmask(i16x8.eq(text, other)) : i8x16.bitmask(i8x16.eq(text, other));
    const validA = ones(lengthA);
    return (same & valid & validA) | (ones(count) & ~(valid | validA));
  }
  // Equal ordered: a lies at each place of b; what lies behind the end of the register counts as equal.
  result = ones(count);
  for (let n = 0; n < lengthA; n++) result &= ((equalTo(text, a, n, imm) & valid) >> n) | ~ones(count - n);
  return result;
}

/** The result with its polarity (IntRes2); sets the flags. */
function compareStrings(a: usize, b: usize, lengthA: i32, lengthB: i32, imm: i32): u32 {
  const count = elements(imm);
  let result = aggregate(a, b, lengthA, lengthB, imm);
  if ((imm & 0x10) != 0) result ^= (imm & 0x20) != 0 ? ones(lengthB) : ones(count);
  writeFlags((result != 0 ? CF : 0) | (lengthB < count ? ZF : 0) | (lengthA < count ? SF : 0) | ((result & 1) != 0 ? OF : 0));
  return result;
}

function storeIndex(result: u32, imm: i32): void {
  const index = result == 0 ? elements(imm) : (imm & MOST_SIGNIFICANT) != 0 ? 31 - clz<u32>(result) : ctz<u32>(result);
  store<u64>(cpu + RCX, index);
}

function storeMask(d: usize, result: u32, imm: i32): void {
  if ((imm & EXPAND) == 0) {
    store<u64>(d, result);
    store<u64>(d, 0, 8);
    return;
  }
  const count = elements(imm), size = 16 / count;
  for (let n = 0; n < count; n++) {
    const value: u16 = ((result >> n) & 1) != 0 ? 0xffff : 0;
    if (size == 2) store<u16>(d + 2 * n, value);
    else store<u8>(d + n, <u8>value);
  }
}

export function pcmpestri(d: usize, a: usize, b: usize, imm: i32): void {
  storeIndex(compareStrings(a, b, explicitLength(RAX, imm), explicitLength(RDX, imm), imm), imm);
}
export function pcmpestrm(d: usize, a: usize, b: usize, imm: i32): void {
  storeMask(d, compareStrings(a, b, explicitLength(RAX, imm), explicitLength(RDX, imm), imm), imm);
}
export function pcmpistri(d: usize, a: usize, b: usize, imm: i32): void {
  storeIndex(compareStrings(a, b, implicitLength(a, imm), implicitLength(b, imm), imm), imm);
}
export function pcmpistrm(d: usize, a: usize, b: usize, imm: i32): void {
  storeMask(d, compareStrings(a, b, implicitLength(a, imm), implicitLength(b, imm), imm), imm);
}
