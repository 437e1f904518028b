// AES-NI, PCLMULQDQ and the SHA extensions: helpers NAME(d, a, b, imm) with the first source in a and the second in b.
// FIPS 197 (AES) and FIPS 180-4 (SHA) as the SDM volume 2 cuts them into instructions. Words are numbered from the low end.
import { cpu } from './host';
import { YMM0 } from './generated/layout';

/** The S-box of FIPS 197 figure 7, and its inverse (figure 14). */
// prettier-ignore
const SUBSTITUTION = memory.data<u8>([
  0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b, 0xfe, 0xd7, 0xab, 0x76,
  0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0, 0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0,
  0xb7, 0xfd, 0x93, 0x26, 0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
  0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2, 0xeb, 0x27, 0xb2, 0x75,
  0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0, 0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84,
  0x53, 0xd1, 0x00, 0xed, 0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
  0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f, 0x50, 0x3c, 0x9f, 0xa8,
  0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5, 0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2,
  0xcd, 0x0c, 0x13, 0xec, 0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
  0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14, 0xde, 0x5e, 0x0b, 0xdb,
  0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c, 0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79,
  0xe7, 0xc8, 0x37, 0x6d, 0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
  0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f, 0x4b, 0xbd, 0x8b, 0x8a,
  0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e, 0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e,
  0xe1, 0xf8, 0x98, 0x11, 0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
  0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f, 0xb0, 0x54, 0xbb, 0x16,
]);
// prettier-ignore
const INVERSE_SUBSTITUTION = memory.data<u8>([
  0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e, 0x81, 0xf3, 0xd7, 0xfb,
  0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87, 0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde, 0xe9, 0xcb,
  0x54, 0x7b, 0x94, 0x32, 0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42, 0xfa, 0xc3, 0x4e,
  0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49, 0x6d, 0x8b, 0xd1, 0x25,
  0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xd4, 0xa4, 0x5c, 0xcc, 0x5d, 0x65, 0xb6, 0x92,
  0x6c, 0x70, 0x48, 0x50, 0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15, 0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84,
  0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7, 0xe4, 0x58, 0x05, 0xb8, 0xb3, 0x45, 0x06,
  0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02, 0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b,
  0x3a, 0x91, 0x11, 0x41, 0x4f, 0x67, 0xdc, 0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73,
  0x96, 0xac, 0x74, 0x22, 0xe7, 0xad, 0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8, 0x1c, 0x75, 0xdf, 0x6e,
  0x47, 0xf1, 0x1a, 0x71, 0x1d, 0x29, 0xc5, 0x89, 0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b,
  0xfc, 0x56, 0x3e, 0x4b, 0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4,
  0x1f, 0xdd, 0xa8, 0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xec, 0x5f,
  0x60, 0x51, 0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d, 0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef,
  0xa0, 0xe0, 0x3b, 0x4d, 0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
  0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0c, 0x7d,
]);
/** For each byte of the state, the byte that the (inverse) row shift puts there. */
const ROWS_SHIFTED = memory.data<u8>([0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11]);
const ROWS_SHIFTED_BACK = memory.data<u8>([0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3]);

// @ts-ignore: decorator
@inline function substituted(state: usize, table: usize, order: usize): u64 {
  let result: u64 = 0;
  for (let n: usize = 0; n < 8; n++) result |= <u64>load<u8>(table + load<u8>(state + load<u8>(order + n))) << (8 * n);
  return result;
}
function substitute(state: usize, table: usize, order: usize): v128 {
  return i64x2.replace_lane(i64x2.splat(substituted(state, table, order)), 1, substituted(state, table, order + 8));
}

/** Each byte times x in the field of AES. */
// @ts-ignore: decorator
@inline function timesX(v: v128): v128 {
  const carry = v128.and(i8x16.lt_s(v, i8x16.splat(0)), i8x16.splat(0x1b));
  return v128.xor(i8x16.add(v, v), carry);
}

function mixColumns(v: v128): v128 {
  const next = v128.shuffle<u8>(v, v, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12);
  const pairs = v128.xor(v, next);
  const opposite = v128.shuffle<u8>(pairs, pairs, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  return v128.xor(v128.xor(timesX(pairs), next), opposite);
}

/** The inverse matrix is the matrix of mixColumns times (5, 0, 4, 0). */
function mixColumnsBack(v: v128): v128 {
  const opposite = v128.shuffle<u8>(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
  return mixColumns(v128.xor(v, timesX(timesX(v128.xor(v, opposite)))));
}

export function aesenc(d: usize, a: usize, b: usize, imm: i32): void {
  v128.store(d, v128.xor(mixColumns(substitute(a, SUBSTITUTION, ROWS_SHIFTED)), v128.load(b)));
}
export function aesenclast(d: usize, a: usize, b: usize, imm: i32): void {
  v128.store(d, v128.xor(substitute(a, SUBSTITUTION, ROWS_SHIFTED), v128.load(b)));
}
export function aesdec(d: usize, a: usize, b: usize, imm: i32): void {
  v128.store(d, v128.xor(mixColumnsBack(substitute(a, INVERSE_SUBSTITUTION, ROWS_SHIFTED_BACK)), v128.load(b)));
}
export function aesdeclast(d: usize, a: usize, b: usize, imm: i32): void {
  v128.store(d, v128.xor(substitute(a, INVERSE_SUBSTITUTION, ROWS_SHIFTED_BACK), v128.load(b)));
}
export function aesimc(d: usize, a: usize, b: usize, imm: i32): void { v128.store(d, mixColumnsBack(v128.load(a))); }

function substituteWord(word: u32): u32 {
  let result: u32 = 0;
  for (let bits: u32 = 0; bits < 32; bits += 8) result |= <u32>load<u8>(SUBSTITUTION + ((word >> bits) & 0xff)) << bits;
  return result;
}
export function aeskeygenassist(d: usize, a: usize, b: usize, imm: i32): void {
  const low = substituteWord(load<u32>(a, 4)), high = substituteWord(load<u32>(a, 12));
  store<u32>(d, low);
  store<u32>(d, rotr<u32>(low, 8) ^ imm, 4);
  store<u32>(d, high, 8);
  store<u32>(d, rotr<u32>(high, 8) ^ imm, 12);
}

/** The product without carries of one half of a (imm bit 0) and one of b (imm bit 4). */
export function pclmulqdq(d: usize, a: usize, b: usize, imm: i32): void {
  const x = load<u64>(a + ((imm & 1) << 3)), y = load<u64>(b + ((imm & 16) >> 1));
  let low: u64 = 0, high: u64 = 0;
  for (let n: u64 = 0; n < 64; n++) {
    const chosen = x & -((y >> n) & 1);
    low ^= chosen << n;
    high ^= (chosen >> 1) >> (63 - n);
  }
  store<u64>(d, low);
  store<u64>(d, high, 8);
}

// --- SHA

// @ts-ignore: decorator
@inline function word(vector: usize, n: usize): u32 { return load<u32>(vector + (n << 2)); }
function storeWords(d: usize, w0: u32, w1: u32, w2: u32, w3: u32): void {
  store<u32>(d, w0);
  store<u32>(d, w1, 4);
  store<u32>(d, w2, 8);
  store<u32>(d, w3, 12);
}

// @ts-ignore: decorator
@inline function choose(x: u32, y: u32, z: u32): u32 { return (x & y) ^ (~x & z); }
// @ts-ignore: decorator
@inline function majority(x: u32, y: u32, z: u32): u32 { return (x & y) ^ (x & z) ^ (y & z); }

function sha1Function(kind: i32, x: u32, y: u32, z: u32): u32 {
  if (kind == 0) return choose(x, y, z) + 0x5a827999;
  if (kind == 1) return (x ^ y ^ z) + 0x6ed9eba1;
  if (kind == 2) return majority(x, y, z) + 0x8f1bbcdc;
  return (x ^ y ^ z) + 0xca62c1d6;
}

/** Four rounds on A (word 3) to D (word 0) in a; E is already added to the first word of the message in b. */
export function sha1rnds4(d: usize, a: usize, b: usize, imm: i32): void {
  let x = word(a, 3), y = word(a, 2), z = word(a, 1), w = word(a, 0), e: u32 = 0;
  for (let n: usize = 0; n < 4; n++) {
    const next = sha1Function(imm & 3, y, z, w) + rotl<u32>(x, 5) + word(b, 3 - n) + e;
    e = w;
    w = z;
    z = rotl<u32>(y, 30);
    y = x;
    x = next;
  }
  storeWords(d, w, z, y, x);
}
export function sha1nexte(d: usize, a: usize, b: usize, imm: i32): void {
  storeWords(d, word(b, 0), word(b, 1), word(b, 2), word(b, 3) + rotl<u32>(word(a, 3), 30));
}
export function sha1msg1(d: usize, a: usize, b: usize, imm: i32): void {
  storeWords(d, word(b, 2) ^ word(a, 0), word(b, 3) ^ word(a, 1), word(a, 0) ^ word(a, 2), word(a, 1) ^ word(a, 3));
}
export function sha1msg2(d: usize, a: usize, b: usize, imm: i32): void {
  const w16 = rotl<u32>(word(a, 3) ^ word(b, 2), 1);
  const w17 = rotl<u32>(word(a, 2) ^ word(b, 1), 1), w18 = rotl<u32>(word(a, 1) ^ word(b, 0), 1);
  storeWords(d, rotl<u32>(word(a, 0) ^ w16, 1), w18, w17, w16);
}

/** Two rounds: A, B, E, F in words 3 to 0 of b; C, D, G, H in those of a; message plus constants in the low half of XMM0. */
export function sha256rnds2(d: usize, a: usize, b: usize, imm: i32): void {
  let x = word(b, 3), y = word(b, 2), z = word(a, 3), w = word(a, 2);
  let e = word(b, 1), f = word(b, 0), g = word(a, 1), h = word(a, 0);
  for (let n: usize = 0; n < 2; n++) {
    const first = choose(e, f, g) + (rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25)) + word(cpu + YMM0, n) + h;
    const second = majority(x, y, z) + (rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22));
    h = g;
    g = f;
    f = e;
    e = first + w;
    w = z;
    z = y;
    y = x;
    x = first + second;
  }
  storeWords(d, f, e, y, x);
}
// @ts-ignore: decorator
@inline function schedule0(w: u32): u32 { return rotr<u32>(w, 7) ^ rotr<u32>(w, 18) ^ (w >> 3); }
// @ts-ignore: decorator
@inline function schedule1(w: u32): u32 { return rotr<u32>(w, 17) ^ rotr<u32>(w, 19) ^ (w >> 10); }

export function sha256msg1(d: usize, a: usize, b: usize, imm: i32): void {
  const w1 = word(a, 1), w2 = word(a, 2), w3 = word(a, 3), w4 = word(b, 0);
  storeWords(d, word(a, 0) + schedule0(w1), w1 + schedule0(w2), w2 + schedule0(w3), w3 + schedule0(w4));
}
export function sha256msg2(d: usize, a: usize, b: usize, imm: i32): void {
  const w16 = word(a, 0) + schedule1(word(b, 2)), w17 = word(a, 1) + schedule1(word(b, 3));
  storeWords(d, w16, w17, word(a, 2) + schedule1(w16), word(a, 3) + schedule1(w17));
}
