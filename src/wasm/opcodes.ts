// WebAssembly opcodes under the names of the specification's text format (dots as underscores).
// Core specification 2.0 section 5.4, threads proposal for the atomic ones. A number above 0xff is prefix << 8 | code.
// Codes of the vector prefix that need more than a byte keep their LEB128 value in the low bits.

const SIMD = 0xfd000;
const ATOMIC = 0xfe000;
const NUMERIC = 0xfc000;

// prettier-ignore
export const OP = {
  unreachable: 0x00, nop: 0x01, block: 0x02, loop: 0x03, if: 0x04, else: 0x05, end: 0x0b, br: 0x0c, br_if: 0x0d, br_table: 0x0e,
  return: 0x0f, call: 0x10, call_indirect: 0x11, drop: 0x1a, select: 0x1b,
  local_get: 0x20, local_set: 0x21, local_tee: 0x22, global_get: 0x23, global_set: 0x24,
  i32_load: 0x28, i64_load: 0x29, f32_load: 0x2a, f64_load: 0x2b,
  i32_load8_s: 0x2c, i32_load8_u: 0x2d, i32_load16_s: 0x2e, i32_load16_u: 0x2f,
  i64_load8_s: 0x30, i64_load8_u: 0x31, i64_load16_s: 0x32, i64_load16_u: 0x33, i64_load32_s: 0x34, i64_load32_u: 0x35,
  i32_store: 0x36, i64_store: 0x37, f32_store: 0x38, f64_store: 0x39, i32_store8: 0x3a, i32_store16: 0x3b,
  i64_store8: 0x3c, i64_store16: 0x3d, i64_store32: 0x3e,
  i32_const: 0x41, i64_const: 0x42,
  i32_eqz: 0x45, i32_eq: 0x46, i32_ne: 0x47, i32_lt_s: 0x48, i32_lt_u: 0x49, i32_gt_s: 0x4a, i32_gt_u: 0x4b,
  i32_le_s: 0x4c, i32_le_u: 0x4d, i32_ge_s: 0x4e, i32_ge_u: 0x4f,
  i64_eqz: 0x50, i64_eq: 0x51, i64_ne: 0x52, i64_lt_s: 0x53, i64_lt_u: 0x54, i64_gt_s: 0x55, i64_gt_u: 0x56,
  i64_le_s: 0x57, i64_le_u: 0x58, i64_ge_s: 0x59, i64_ge_u: 0x5a,
  f32_eq: 0x5b, f32_ne: 0x5c, f32_lt: 0x5d, f32_gt: 0x5e, f64_eq: 0x61, f64_ne: 0x62, f64_lt: 0x63, f64_gt: 0x64,
  i32_clz: 0x67, i32_ctz: 0x68, i32_popcnt: 0x69, i32_add: 0x6a, i32_sub: 0x6b, i32_mul: 0x6c, i32_div_s: 0x6d, i32_div_u: 0x6e,
  i32_rem_s: 0x6f, i32_rem_u: 0x70, i32_and: 0x71, i32_or: 0x72, i32_xor: 0x73, i32_shl: 0x74, i32_shr_s: 0x75, i32_shr_u: 0x76,
  i32_rotl: 0x77, i32_rotr: 0x78,
  i64_clz: 0x79, i64_ctz: 0x7a, i64_popcnt: 0x7b, i64_add: 0x7c, i64_sub: 0x7d, i64_mul: 0x7e, i64_div_s: 0x7f, i64_div_u: 0x80,
  i64_rem_s: 0x81, i64_rem_u: 0x82, i64_and: 0x83, i64_or: 0x84, i64_xor: 0x85, i64_shl: 0x86, i64_shr_s: 0x87, i64_shr_u: 0x88,
  i64_rotl: 0x89, i64_rotr: 0x8a,
  f32_sqrt: 0x91, f32_add: 0x92, f32_sub: 0x93, f32_mul: 0x94, f32_div: 0x95,
  f64_abs: 0x99, f64_sqrt: 0x9f, f64_add: 0xa0, f64_sub: 0xa1, f64_mul: 0xa2, f64_div: 0xa3,
  i32_trunc_f64_s: 0xaa, f64_convert_i32_s: 0xb7, f64_convert_i64_s: 0xb9,
  i32_reinterpret_f32: 0xbc, i64_reinterpret_f64: 0xbd, f32_reinterpret_i32: 0xbe, f64_reinterpret_i64: 0xbf,
  i32_wrap_i64: 0xa7, i64_extend_i32_s: 0xac, i64_extend_i32_u: 0xad,
  i32_extend8_s: 0xc0, i32_extend16_s: 0xc1, i64_extend8_s: 0xc2, i64_extend16_s: 0xc3, i64_extend32_s: 0xc4,
  memory_copy: NUMERIC + 10, memory_fill: NUMERIC + 11,

  v128_load: SIMD + 0, v128_store: SIMD + 11, v128_const: SIMD + 12, i8x16_shuffle: SIMD + 13, i8x16_swizzle: SIMD + 14,
  i8x16_splat: SIMD + 15, i16x8_splat: SIMD + 16, i32x4_splat: SIMD + 17, i64x2_splat: SIMD + 18,
  i16x8_extract_lane_u: SIMD + 25, i16x8_replace_lane: SIMD + 26, i32x4_extract_lane: SIMD + 27, i32x4_replace_lane: SIMD + 28,
  i64x2_extract_lane: SIMD + 29, i64x2_replace_lane: SIMD + 30,
  i8x16_eq: SIMD + 35, i8x16_gt_s: SIMD + 39, i16x8_eq: SIMD + 45, i16x8_gt_s: SIMD + 49, i32x4_eq: SIMD + 55, i32x4_gt_s: SIMD + 59,
  v128_load64_zero: SIMD + 93,
  v128_not: SIMD + 77, v128_and: SIMD + 78, v128_andnot: SIMD + 79, v128_or: SIMD + 80, v128_xor: SIMD + 81, v128_bitselect: SIMD + 82,
  v128_any_true: SIMD + 83,
  i8x16_abs: SIMD + 96, i8x16_bitmask: SIMD + 100, i8x16_narrow_i16x8_s: SIMD + 101, i8x16_narrow_i16x8_u: SIMD + 102,
  i8x16_shl: SIMD + 107, i8x16_add: SIMD + 110, i8x16_add_sat_s: SIMD + 111, i8x16_add_sat_u: SIMD + 112, i8x16_sub: SIMD + 113,
  i8x16_sub_sat_s: SIMD + 114, i8x16_sub_sat_u: SIMD + 115, i8x16_min_s: SIMD + 118, i8x16_min_u: SIMD + 119,
  i8x16_max_s: SIMD + 120, i8x16_max_u: SIMD + 121, i8x16_avgr_u: SIMD + 123,
  i16x8_extadd_pairwise_i8x16_u: SIMD + 125, i32x4_extadd_pairwise_i16x8_s: SIMD + 126,
  i32x4_extadd_pairwise_i16x8_u: SIMD + 127, i16x8_abs: SIMD + 128,
  i16x8_q15mulr_sat_s: SIMD + 130, i16x8_narrow_i32x4_s: SIMD + 133, i16x8_narrow_i32x4_u: SIMD + 134,
  i16x8_extend_low_i8x16_s: SIMD + 135, i16x8_extend_low_i8x16_u: SIMD + 137,
  i16x8_shl: SIMD + 139, i16x8_shr_s: SIMD + 140, i16x8_shr_u: SIMD + 141, i16x8_add: SIMD + 142, i16x8_add_sat_s: SIMD + 143,
  i16x8_add_sat_u: SIMD + 144, i16x8_sub: SIMD + 145, i16x8_sub_sat_s: SIMD + 146, i16x8_sub_sat_u: SIMD + 147, i16x8_mul: SIMD + 149,
  i16x8_min_s: SIMD + 150, i16x8_min_u: SIMD + 151, i16x8_max_s: SIMD + 152, i16x8_max_u: SIMD + 153, i16x8_avgr_u: SIMD + 155,
  i32x4_abs: SIMD + 160, i32x4_bitmask: SIMD + 164, i32x4_extend_low_i16x8_s: SIMD + 167, i32x4_extend_high_i16x8_s: SIMD + 168,
  i32x4_extend_low_i16x8_u: SIMD + 169, i32x4_extend_high_i16x8_u: SIMD + 170, i32x4_shl: SIMD + 171, i32x4_shr_s: SIMD + 172,
  i32x4_shr_u: SIMD + 173, i32x4_add: SIMD + 174, i32x4_sub: SIMD + 177, i32x4_mul: SIMD + 181, i32x4_min_s: SIMD + 182,
  i32x4_min_u: SIMD + 183, i32x4_max_s: SIMD + 184, i32x4_max_u: SIMD + 185, i32x4_dot_i16x8_s: SIMD + 186,
  i32x4_extmul_low_i16x8_s: SIMD + 188, i32x4_extmul_high_i16x8_s: SIMD + 189, i32x4_extmul_low_i16x8_u: SIMD + 190,
  i32x4_extmul_high_i16x8_u: SIMD + 191,
  i64x2_bitmask: SIMD + 196, i64x2_extend_low_i32x4_s: SIMD + 199, i64x2_extend_low_i32x4_u: SIMD + 201, i64x2_shl: SIMD + 203,
  i64x2_shr_u: SIMD + 205, i64x2_add: SIMD + 206, i64x2_sub: SIMD + 209, i64x2_mul: SIMD + 213, i64x2_eq: SIMD + 214,
  i64x2_gt_s: SIMD + 217, i64x2_extmul_low_i32x4_s: SIMD + 220, i64x2_extmul_low_i32x4_u: SIMD + 222,

  i32_atomic_load: ATOMIC + 16, i64_atomic_load: ATOMIC + 17,
} as const;

export const TYPE = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b, empty: 0x40 } as const;
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
