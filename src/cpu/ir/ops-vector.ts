// Vector integer, shuffle and logic operations, lowered to WebAssembly SIMD: MMX and SSE to SSE4.2 (SDM volume 2).
// Form x works on 128 bits; form m on 64 (MMX): operands are read twice over (both halves equal) and the low half of the
// result is stored, with ones in the exponent of the x87 register. Moves need few operations of their own: a lane of a
// vector slot is a slot by itself, so that MOV of 8, 16 or 64 bits, loads and stores do the rest.
// Not here: floating point, and what is too large for a few instructions (ops-helper.ts).
import { OP } from '../../wasm/opcodes.ts';
import { CC, ccOp } from './flags.ts';
import type { Lowering, Operand } from './lowering.ts';
import { op, OPS } from './op.ts';
import './ops-helper.ts'; // operations are numbered in a fixed order

/** The operations from this number on are those declared here. */
export const VECTOR_OPERATIONS = OPS.length;

export type Form = 'x' | 'm';
/** Operation numbers by form; -1 where there is none. */
export type VectorOp = Readonly<Record<Form, number>>;
type Body = (m: Lowering, form: Form) => void;

/** Pushes an operand as a vector. */
function push(m: Lowering, form: Form, operand: Operand): void {
  if (form === 'x') return m.getVector(operand);
  m.get(operand, 3);
  return m.code.op(OP.i64x2_splat);
}

function lane(m: Lowering, opcode: number, index: number): void {
  m.code.op(opcode);
  m.code.byte(index);
}

function define(name: string, form: Form, body: Body): number {
  return op(`${name}.${form}`, (m) => {
    m.open('d');
    body(m, form);
    if (form === 'x') return m.closeVector('d');
    lane(m, OP.i64x2_extract_lane, 0);
    m.close('d', 3);
    m.address('d');
    m.code.i32(0xffff);
    return m.code.memory(OP.i32_store16, 8);
  });
}
const both = (name: string, body: Body): VectorOp => ({ x: define(name, 'x', body), m: define(name, 'm', body) });
const wideOnly = (name: string, body: Body): VectorOp => ({ x: define(name, 'x', body), m: -1 });

function constant(m: Lowering, bytes: readonly number[]): void {
  m.code.op(OP.v128_const);
  for (let n = 0; n < 16; n++) m.code.byte(bytes[n % bytes.length]! & 0xff);
}
function shuffle(m: Lowering, bytes: readonly number[]): void {
  m.code.op(OP.i8x16_shuffle);
  for (let n = 0; n < 16; n++) m.code.byte(bytes[n] ?? 0);
}
const zero = (m: Lowering): void => constant(m, [0]);
const IOTA = Array.from({ length: 16 }, (_, n) => n);
const bytesOf = (form: Form): number => (form === 'x' ? 16 : 8);

function pushBoth(m: Lowering, form: Form): void {
  push(m, form, 'a');
  push(m, form, 'b');
}

// --- d = a op b

const direct = (opcode: number): Body => (m, form) => {
  pushBoth(m, form);
  m.code.op(opcode);
};
type Names<T> = Readonly<Record<keyof T & string, VectorOp>>;
const family = <T extends Record<string, Body>>(make: typeof both, bodies: T): Names<T> =>
  Object.fromEntries(Object.entries(bodies).map(([name, body]) => [name, make(name, body)])) as Names<T>;

/** Bytes of a shuffle that picks elements of `size` bytes: element numbers of a, then of b. */
const elements = (size: number, picks: readonly number[]): number[] =>
  picks.flatMap((pick) => Array.from({ length: size }, (_, n) => (pick * size + n) & 31));

/** The low or high halves of a and b, element by element in turn. */
const interleave = (size: number, high: boolean): Body => (m, form) => {
  const count = bytesOf(form) / size;
  const first = high ? count / 2 : 0;
  pushBoth(m, form);
  shuffle(m, elements(size, Array.from({ length: count }, (_, n) => first + (n >> 1) + (n & 1) * (16 / size))));
};

/** Pushes the even or odd elements of a, then those of b. */
function alternate(m: Lowering, form: Form, size: number, odd: 0 | 1): void {
  const half = bytesOf(form) / size / 2;
  pushBoth(m, form);
  shuffle(m, elements(size, Array.from({ length: 2 * half }, (_, n) => (n < half ? 2 * n + odd : 16 / size + 2 * (n - half) + odd))));
}
const horizontal = (size: number, opcode: number): Body => (m, form) => {
  alternate(m, form, size, 0);
  alternate(m, form, size, 1);
  m.code.op(opcode);
};

const pack = (opcode: number): Body => (m, form) => {
  pushBoth(m, form);
  if (form === 'm') {
    shuffle(m, elements(8, [0, 2])); // both sources in one vector
    m.code.tee(m.v128[0]!);
    m.code.get(m.v128[0]!);
  }
  m.code.op(opcode);
};

/** High halves of the 16-bit products. */
const multiplyHigh = (low: number, high: number): Body => (m, form) => {
  pushBoth(m, form);
  m.code.op(low);
  pushBoth(m, form);
  m.code.op(high);
  shuffle(m, elements(2, [1, 3, 5, 7, 9, 11, 13, 15]));
};
/** Products of the even 32-bit elements. */
const multiplyEven = (opcode: number): Body => (m, form) => {
  for (const operand of ['a', 'b'] as const) {
    push(m, form, operand);
    m.code.tee(m.v128[0]!);
    m.code.get(m.v128[0]!);
    shuffle(m, elements(4, [0, 2, 0, 2]));
  }
  m.code.op(opcode);
};

/** Sums of the absolute differences of eight bytes, in 64-bit elements. */
const sumOfDifferences: Body = (m, form) => {
  const sums = m.v128[0]!;
  for (const [x, y] of [['a', 'b'], ['b', 'a']] as const) {
    push(m, form, x);
    push(m, form, y);
    m.code.op(OP.i8x16_sub_sat_u);
  }
  m.code.op(OP.v128_or);
  m.code.op(OP.i16x8_extadd_pairwise_i8x16_u);
  m.code.op(OP.i32x4_extadd_pairwise_i16x8_u);
  m.code.tee(sums);
  m.code.get(sums);
  m.code.i32(32);
  m.code.op(OP.i64x2_shr_u);
  m.code.op(OP.i64x2_add);
  constant(m, [255, 255, 255, 255, 0, 0, 0, 0]);
  m.code.op(OP.v128_and);
};

/** Bytes of a without a sign times bytes of b with one, neighbours added with saturation. */
const multiplyBytes: Body = (m, form) => {
  const [x, y] = m.v128;
  push(m, form, 'a');
  m.code.tee(x!);
  constant(m, [255, 0]);
  m.code.op(OP.v128_and);
  push(m, form, 'b');
  m.code.tee(y!);
  m.code.i32(8);
  m.code.op(OP.i16x8_shl);
  m.code.i32(8);
  m.code.op(OP.i16x8_shr_s);
  m.code.op(OP.i16x8_mul);
  m.code.get(x!);
  m.code.i32(8);
  m.code.op(OP.i16x8_shr_u);
  m.code.get(y!);
  m.code.i32(8);
  m.code.op(OP.i16x8_shr_s);
  m.code.op(OP.i16x8_mul);
  m.code.op(OP.i16x8_add_sat_s);
};

/** As q15mulr, but the one product that overflows wraps to 8000h instead of saturating. */
const multiplyRounded: Body = (m, form) => {
  const minimum = [0, 0x80];
  pushBoth(m, form);
  m.code.op(OP.i16x8_q15mulr_sat_s);
  for (const operand of ['a', 'b'] as const) {
    push(m, form, operand);
    constant(m, minimum);
    m.code.op(OP.i16x8_eq);
  }
  m.code.op(OP.v128_and);
  m.code.op(OP.v128_xor);
};

/** a with the sign of b applied: negated, zero or kept. */
const applySign = (greater: number, subtract: number, equal: number): Body => (m, form) => {
  const [sign, negative] = m.v128;
  push(m, form, 'a');
  zero(m);
  push(m, form, 'b');
  m.code.tee(sign!);
  m.code.op(greater);
  m.code.tee(negative!);
  m.code.op(OP.v128_xor);
  m.code.get(negative!);
  m.code.op(subtract);
  m.code.get(sign!);
  zero(m);
  m.code.op(equal);
  m.code.op(OP.v128_andnot);
};

/** Bytes of a picked by those of b; bit 7 makes zero. */
const shuffleBytes: Body = (m, form) => {
  pushBoth(m, form);
  constant(m, [0x80 | (bytesOf(form) - 1)]);
  m.code.op(OP.v128_and);
  m.code.op(OP.i8x16_swizzle);
};

/** Pushes the immediate (plus `bias`) added to 0, 1, 2 ...; swizzling with it shifts by bytes, zeroes from outside. */
function byteOffsets(m: Lowering, bias: number, opcode: number): void {
  constant(m, IOTA.map((n) => n + bias));
  m.immediate(2);
  m.code.op(OP.i8x16_splat);
  m.code.op(opcode);
  m.code.op(OP.i8x16_swizzle);
}
/** The bytes of a (high) and b (low) shifted right by imm bytes. imm is at most twice the width. */
const alignRight: Body = (m, form) => {
  if (form === 'm') {
    pushBoth(m, form);
    shuffle(m, elements(8, [2, 0]));
    return byteOffsets(m, 0, OP.i8x16_add);
  }
  push(m, form, 'b');
  byteOffsets(m, 0, OP.i8x16_add);
  push(m, form, 'a');
  byteOffsets(m, -16, OP.i8x16_add);
  return m.code.op(OP.v128_or);
};

export const VECTOR = {
  ...family(both, {
    paddb: direct(OP.i8x16_add), paddw: direct(OP.i16x8_add), paddd: direct(OP.i32x4_add), paddq: direct(OP.i64x2_add),
    psubb: direct(OP.i8x16_sub), psubw: direct(OP.i16x8_sub), psubd: direct(OP.i32x4_sub), psubq: direct(OP.i64x2_sub),
    paddsb: direct(OP.i8x16_add_sat_s), paddsw: direct(OP.i16x8_add_sat_s),
    paddusb: direct(OP.i8x16_add_sat_u), paddusw: direct(OP.i16x8_add_sat_u),
    psubsb: direct(OP.i8x16_sub_sat_s), psubsw: direct(OP.i16x8_sub_sat_s),
    psubusb: direct(OP.i8x16_sub_sat_u), psubusw: direct(OP.i16x8_sub_sat_u),
    pmullw: direct(OP.i16x8_mul), pmaddwd: direct(OP.i32x4_dot_i16x8_s),
    pmulhw: multiplyHigh(OP.i32x4_extmul_low_i16x8_s, OP.i32x4_extmul_high_i16x8_s),
    pmulhuw: multiplyHigh(OP.i32x4_extmul_low_i16x8_u, OP.i32x4_extmul_high_i16x8_u),
    pmuludq: multiplyEven(OP.i64x2_extmul_low_i32x4_u), psadbw: sumOfDifferences,
    pavgb: direct(OP.i8x16_avgr_u), pavgw: direct(OP.i16x8_avgr_u),
    pminub: direct(OP.i8x16_min_u), pmaxub: direct(OP.i8x16_max_u), pminsw: direct(OP.i16x8_min_s), pmaxsw: direct(OP.i16x8_max_s),
    pand: direct(OP.v128_and), por: direct(OP.v128_or), pxor: direct(OP.v128_xor),
    pandn: (m, form) => {
      push(m, form, 'b');
      push(m, form, 'a');
      m.code.op(OP.v128_andnot);
    },
    pcmpeqb: direct(OP.i8x16_eq), pcmpeqw: direct(OP.i16x8_eq), pcmpeqd: direct(OP.i32x4_eq),
    pcmpgtb: direct(OP.i8x16_gt_s), pcmpgtw: direct(OP.i16x8_gt_s), pcmpgtd: direct(OP.i32x4_gt_s),
    punpcklbw: interleave(1, false), punpcklwd: interleave(2, false), punpckldq: interleave(4, false),
    punpckhbw: interleave(1, true), punpckhwd: interleave(2, true), punpckhdq: interleave(4, true),
    packsswb: pack(OP.i8x16_narrow_i16x8_s), packuswb: pack(OP.i8x16_narrow_i16x8_u), packssdw: pack(OP.i16x8_narrow_i32x4_s),
    pshufb: shuffleBytes, palignr: alignRight, pmaddubsw: multiplyBytes, pmulhrsw: multiplyRounded,
    phaddw: horizontal(2, OP.i16x8_add), phaddd: horizontal(4, OP.i32x4_add), phaddsw: horizontal(2, OP.i16x8_add_sat_s),
    phsubw: horizontal(2, OP.i16x8_sub), phsubd: horizontal(4, OP.i32x4_sub), phsubsw: horizontal(2, OP.i16x8_sub_sat_s),
    psignb: applySign(OP.i8x16_gt_s, OP.i8x16_sub, OP.i8x16_eq), psignw: applySign(OP.i16x8_gt_s, OP.i16x8_sub, OP.i16x8_eq),
    psignd: applySign(OP.i32x4_gt_s, OP.i32x4_sub, OP.i32x4_eq),
  }),
  ...family(wideOnly, {
    punpcklqdq: interleave(8, false), punpckhqdq: interleave(8, true), packusdw: pack(OP.i16x8_narrow_i32x4_u),
    pmulld: direct(OP.i32x4_mul), pmuldq: multiplyEven(OP.i64x2_extmul_low_i32x4_s),
    pcmpeqq: direct(OP.i64x2_eq), pcmpgtq: direct(OP.i64x2_gt_s),
    pminsb: direct(OP.i8x16_min_s), pmaxsb: direct(OP.i8x16_max_s), pminuw: direct(OP.i16x8_min_u), pmaxuw: direct(OP.i16x8_max_u),
    pminsd: direct(OP.i32x4_min_s), pmaxsd: direct(OP.i32x4_max_s), pminud: direct(OP.i32x4_min_u), pmaxud: direct(OP.i32x4_max_u),
  }),
} as const;

// --- d = op a

const unary = (opcode: number): Body => (m, form) => {
  push(m, form, 'a');
  m.code.op(opcode);
};
export const ABSOLUTE = family(both, { pabsb: unary(OP.i8x16_abs), pabsw: unary(OP.i16x8_abs), pabsd: unary(OP.i32x4_abs) });

/** Widening of the low elements of a; at most 64 bits of it are read. */
const widen = (...opcodes: readonly number[]): Body => (m) => {
  push(m, 'm', 'a');
  for (const opcode of opcodes) m.code.op(opcode);
};
const [SX8, ZX8] = [OP.i16x8_extend_low_i8x16_s, OP.i16x8_extend_low_i8x16_u];
const [SX16, ZX16] = [OP.i32x4_extend_low_i16x8_s, OP.i32x4_extend_low_i16x8_u];
const [SX32, ZX32] = [OP.i64x2_extend_low_i32x4_s, OP.i64x2_extend_low_i32x4_u];
export const WIDEN = family(wideOnly, {
  pmovsxbw: widen(SX8), pmovsxbd: widen(SX8, SX16), pmovsxbq: widen(SX8, SX16, SX32), pmovsxwd: widen(SX16),
  pmovsxwq: widen(SX16, SX32), pmovsxdq: widen(SX32),
  pmovzxbw: widen(ZX8), pmovzxbd: widen(ZX8, ZX16), pmovzxbq: widen(ZX8, ZX16, ZX32), pmovzxwd: widen(ZX16),
  pmovzxwq: widen(ZX16, ZX32), pmovzxdq: widen(ZX32),
});

/** d = a. */
export const MOVE = both('move', (m, form) => push(m, form, 'a'));
const zeroExtend32: Body = (m) => {
  zero(m);
  m.get('a', 2);
  lane(m, OP.i32x4_replace_lane, 0);
};
const zeroExtend64: Body = (m) => {
  zero(m);
  m.get('a', 3);
  lane(m, OP.i64x2_replace_lane, 0);
};
/** d = the low 32 or 64 bits of a, zero-extended; indexed with the width. */
export const ZERO_EXTEND: Readonly<Record<2 | 3, VectorOp>> = {
  2: both('zero_extend32', zeroExtend32), 3: wideOnly('zero_extend64', zeroExtend64),
};
/** 32 bits at d = 32 bits at a; nothing else changes. */
export const MERGE32 = op('merge32', (m) => {
  m.address('d');
  m.get('a', 2);
  m.code.memory(OP.i32_store);
});
/** Both halves of d = 64 bits of a. */
export const DUPLICATE64 = define('duplicate64', 'x', (m) => push(m, 'm', 'a'));

/** General d = the top bits of the elements of a. */
const signMask = (name: string, opcode: number): number =>
  op(name, (m) => {
    m.open('d');
    m.getVector('a');
    m.code.op(opcode);
    m.close('d', 2);
  });
export const SIGN_MASK = {
  pmovmskb: signMask('pmovmskb.x', OP.i8x16_bitmask), movmskps: signMask('movmskps', OP.i32x4_bitmask),
  movmskpd: signMask('movmskpd', OP.i64x2_bitmask),
};
export const PMOVMSKB_MMX = op('pmovmskb.m', (m) => {
  m.open('d');
  push(m, 'm', 'a');
  m.code.op(OP.i8x16_bitmask);
  m.code.i32(0xff);
  m.code.op(OP.i32_and);
  m.close('d', 2);
});

// --- shifts

export interface ShiftOps {
  /** Count in the low 64 bits of b; any value. */
  readonly r: VectorOp;
  /** Count in the immediate; below the width. */
  readonly i: VectorOp;
  readonly bits: number;
  readonly arithmetic: boolean;
}
function shift(name: string, opcode: number, bits: number, arithmetic = false): ShiftOps {
  const byRegister: Body = (m, form) => {
    const count = m.i64[0]!;
    push(m, form, 'a');
    m.get('b', 3);
    m.code.tee(count);
    if (arithmetic) {
      m.code.i64(bits - 1);
      m.code.get(count);
      m.code.i64(bits);
      m.code.op(OP.i64_lt_u);
      m.code.op(OP.select);
    }
    m.code.op(OP.i32_wrap_i64);
    m.code.op(opcode);
    if (arithmetic) return;
    zero(m);
    m.code.get(count);
    m.code.i64(bits);
    m.code.op(OP.i64_lt_u);
    m.code.op(OP.select);
  };
  const byImmediate: Body = (m, form) => {
    push(m, form, 'a');
    m.immediate(2);
    m.code.op(opcode);
  };
  return { r: both(name, byRegister), i: both(`${name}i`, byImmediate), bits, arithmetic };
}
export const SHIFT = {
  psllw: shift('psllw', OP.i16x8_shl, 16), pslld: shift('pslld', OP.i32x4_shl, 32), psllq: shift('psllq', OP.i64x2_shl, 64),
  psrlw: shift('psrlw', OP.i16x8_shr_u, 16), psrld: shift('psrld', OP.i32x4_shr_u, 32), psrlq: shift('psrlq', OP.i64x2_shr_u, 64),
  psraw: shift('psraw', OP.i16x8_shr_s, 16, true), psrad: shift('psrad', OP.i32x4_shr_s, 32, true),
} as const;
/** Shifts by imm bytes, at most 16. */
export const PSLLDQ = define('pslldq', 'x', (m) => {
  m.getVector('a');
  byteOffsets(m, 0, OP.i8x16_sub);
});
export const PSRLDQ = define('psrldq', 'x', (m) => {
  m.getVector('a');
  byteOffsets(m, 0, OP.i8x16_add);
});

// --- shuffles by immediate

const ELEMENT = {
  1: { load: OP.i32_load16_u, splat: OP.i16x8_splat, replace: OP.i16x8_replace_lane },
  2: { load: OP.i32_load, splat: OP.i32x4_splat, replace: OP.i32x4_replace_lane },
  3: { load: OP.i64_load, splat: OP.i64x2_splat, replace: OP.i64x2_replace_lane },
} as const;

/** Pushes the element of an operand that `bits` bits of the immediate from `from` on select, `offset` bytes into it. */
function pushSelected(m: Lowering, operand: Operand, width: 1 | 2 | 3, from: number, offset = 0): void {
  m.address(operand);
  m.immediate(2);
  m.code.i32(from);
  m.code.op(OP.i32_shr_u);
  m.code.i32(width === 3 ? 1 : 3);
  m.code.op(OP.i32_and);
  m.code.i32(width);
  m.code.op(OP.i32_shl);
  m.code.op(OP.i32_add);
  m.code.memory(ELEMENT[width].load, offset);
}
/** d = the elements selected from the operands listed, two bits of the immediate each (one for 64-bit elements). */
const selectElements = (width: 1 | 2 | 3, operands: readonly Operand[]): Body => (m) => {
  for (const [n, operand] of operands.entries()) {
    pushSelected(m, operand, width, width === 3 ? n : 2 * n);
    if (n === 0) m.code.op(ELEMENT[width].splat);
    else lane(m, ELEMENT[width].replace, n);
  }
};
/** d = a with one half replaced by 16-bit elements selected from it. */
const selectHalf = (first: 0 | 4): Body => (m) => {
  m.getVector('a');
  for (let n = 0; n < 4; n++) {
    pushSelected(m, 'a', 1, 2 * n, 2 * first);
    lane(m, OP.i16x8_replace_lane, first + n);
  }
};
export const PSHUFD = define('pshufd', 'x', selectElements(2, ['a', 'a', 'a', 'a']));
export const PSHUFLW = define('pshuflw', 'x', selectHalf(0));
export const PSHUFHW = define('pshufhw', 'x', selectHalf(4));
export const PSHUFW = define('pshufw', 'm', selectElements(1, ['a', 'a', 'a', 'a']));
export const SHUFPS = define('shufps', 'x', selectElements(2, ['a', 'a', 'b', 'b']));
export const SHUFPD = define('shufpd', 'x', selectElements(3, ['a', 'b']));

// --- blends

/** d = 16-bit elements of b where the immediate has ones, of a elsewhere. */
export const PBLENDW = define('pblendw', 'x', (m) => {
  const bits = m.v128[0]!;
  m.getVector('b');
  m.getVector('a');
  m.immediate(2);
  m.code.op(OP.i16x8_splat);
  constant(m, Array.from({ length: 16 }, (_, n) => (n % 2 === 0 ? 1 << (n >> 1) : 0)));
  m.code.tee(bits);
  m.code.op(OP.v128_and);
  m.code.get(bits);
  m.code.op(OP.i16x8_eq);
  m.code.op(OP.v128_bitselect);
});
/** d = elements of a where those of b have their top bit set, of d elsewhere. */
const blendVariable = (name: string, greater: number): number =>
  define(name, 'x', (m) => {
    m.getVector('a');
    m.getVector('d');
    zero(m);
    m.getVector('b');
    m.code.op(greater);
    m.code.op(OP.v128_bitselect);
  });
export const BLEND_VARIABLE = {
  pblendvb: blendVariable('pblendvb', OP.i8x16_gt_s), blendvps: blendVariable('blendvps', OP.i32x4_gt_s),
  blendvpd: blendVariable('blendvpd', OP.i64x2_gt_s),
};

/** ZF: a & b is zero; CF: ~a & b is zero; the other flags are cleared. */
export const PTEST = op('ptest', (m) => {
  const flags = m.i32[0]!;
  m.getVector('a');
  m.getVector('b');
  m.code.op(OP.v128_and);
  m.code.op(OP.v128_any_true);
  m.code.op(OP.i32_eqz);
  m.code.i32(6);
  m.code.op(OP.i32_shl);
  m.getVector('b');
  m.getVector('a');
  m.code.op(OP.v128_andnot);
  m.code.op(OP.v128_any_true);
  m.code.op(OP.i32_eqz);
  m.code.op(OP.i32_or);
  m.code.set(flags);
  m.setFlags(ccOp(CC.FLAGS, 2), 2, flags, null);
});
