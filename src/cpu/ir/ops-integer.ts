// Integer operations: moves, arithmetic with lazy flags, shifts, conditions. No memory access, no fault.
import { OP } from '../../wasm/opcodes.ts';
import { CC, ccOp } from './flags.ts';
import type { Lowering, Operand, Width } from './lowering.ts';
import { family, op, type Traits } from './op.ts';

const wide = (w: Width): boolean => w === 3;
/** The i32 or i64 form of an instruction. */
type Pair = readonly [narrow: number, wide: number];
const pick = (pair: Pair, w: Width): number => (wide(w) ? pair[1] : pair[0]);

const ADD_: Pair = [OP.i32_add, OP.i64_add];
const SUB_: Pair = [OP.i32_sub, OP.i64_sub];
const AND_: Pair = [OP.i32_and, OP.i64_and];
const OR_: Pair = [OP.i32_or, OP.i64_or];
const XOR_: Pair = [OP.i32_xor, OP.i64_xor];
const SHL_: Pair = [OP.i32_shl, OP.i64_shl];
const SHR_: Pair = [OP.i32_shr_u, OP.i64_shr_u];
const SAR_: Pair = [OP.i32_shr_s, OP.i64_shr_s];
const CLZ_: Pair = [OP.i32_clz, OP.i64_clz];
const CTZ_: Pair = [OP.i32_ctz, OP.i64_ctz];
const EQZ_: Pair = [OP.i32_eqz, OP.i64_eqz];

const MOVES: Traits = { flags: 'untouched' };
/** They work out addresses and operands in temporaries. */
const PREPARES: Traits = { flags: 'untouched', isRepeatable: true };
const SETS_FLAGS: Traits = { flags: 'replaced' };
const COMPARES: Traits = { flags: 'replaced', writes: 'nothing' };
const ASKS_FOR_FLAGS: Traits = { flags: 'asked' };

/** Two scratch locals of the type that holds a value of this width. */
const scratch = (m: Lowering, w: Width): readonly number[] => (wide(w) ? m.i64 : m.i32);
const constant = (m: Lowering, w: Width, value: number): void => (wide(w) ? m.code.i64(value) : m.code.i32(value));

export const MOV = family('mov', (m, w) => {
  m.open('d');
  m.get('a', w);
  m.close('d', w);
}, MOVES);
export const MOVI = family('movi', (m, w) => {
  m.open('d');
  m.immediate(w);
  m.close('d', w);
}, PREPARES);
export const MOVI64 = op('movi64', (m) => {
  m.open('d');
  m.immediate64();
  m.close('d', 3);
}, PREPARES);

/** Widening moves, [from][to]. */
const extend = (from: Width, to: Width, signed: boolean): number =>
  op(`mov${signed ? 's' : 'z'}x.${8 << from}.${8 << to}`, (m) => {
    m.open('d');
    if (wide(to)) m.getExtended('a', from, signed);
    else m.get('a', from, signed);
    m.close('d', to);
  }, MOVES);
export const MOVZX: Record<string, number> = {};
export const MOVSX: Record<string, number> = {};
for (const [from, to] of [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]] as const) {
  MOVZX[`${from}${to}`] = extend(from, to, false);
  MOVSX[`${from}${to}`] = extend(from, to, true);
}

/** d = RIP of the block + imm. */
export const RIP_PLUS = op('rip_plus', (m) => {
  m.open('d');
  m.rip();
  m.immediate(3);
  m.code.op(OP.i64_add);
  m.close('d', 3);
}, PREPARES);

/** a + (b << c) + imm, in 64 bits. */
export function pushAddress(m: Lowering): void {
  m.get('a', 3);
  m.get('b', 3);
  m.fieldC();
  m.code.op(OP.i64_extend_i32_u);
  m.code.op(OP.i64_shl);
  m.code.op(OP.i64_add);
  m.immediate(3);
  m.code.op(OP.i64_add);
}
/** Effective address of 16, 32 or 64 bits into d, zero-extended. */
export const EA = family('ea', (m, w) => {
  m.open('d');
  pushAddress(m);
  if (w === 1) {
    m.code.i64(0xffff);
    m.code.op(OP.i64_and);
  }
  if (w === 2) {
    m.code.op(OP.i32_wrap_i64);
    m.code.op(OP.i64_extend_i32_u);
  }
  m.close('d', 3);
}, PREPARES, [1, 2, 3]);
/** Linear address in 64-bit mode with an FS or GS base: a + (b << (c & 3)) + imm + base of the segment named by c. */
export const EA_SEGMENT = op('ea_segment', (m) => {
  m.open('d');
  m.get('a', 3);
  m.get('b', 3);
  m.fieldC();
  m.code.i32(3);
  m.code.op(OP.i32_and);
  m.code.op(OP.i64_extend_i32_u);
  m.code.op(OP.i64_shl);
  m.code.op(OP.i64_add);
  m.immediate(3);
  m.code.op(OP.i64_add);
  m.segmentBase();
  m.code.op(OP.i64_add);
  m.close('d', 3);
}, PREPARES);

type Source = (m: Lowering, w: Width) => void;
const fromB: Source = (m, w) => m.get('b', w);
const fromImmediate: Source = (m, w) => m.immediate(w);

/** Pushes a value, zero-extended from its width so that flags can be read off it. */
function truncate(m: Lowering, w: Width): void {
  if (w >= 2) return;
  m.code.i32(w === 0 ? 0xff : 0xffff);
  m.code.op(OP.i32_and);
}

function binary(kind: number, pair: Pair, source: Source, store: boolean): (m: Lowering, w: Width) => void {
  return (m, w) => {
    const [x, y] = scratch(m, w);
    source(m, w);
    m.code.set(y!);
    m.get('a', w);
    if (kind === CC.SUB) {
      m.code.set(x!);
      if (store) {
        m.open('d');
        m.code.get(x!);
        m.code.get(y!);
        m.code.op(pick(SUB_, w));
        m.close('d', w);
      }
      m.setFlags(ccOp(CC.SUB, w), w, x!, y!);
      return;
    }
    m.code.get(y!);
    m.code.op(pick(pair, w));
    m.code.set(x!);
    if (store) {
      m.open('d');
      m.code.get(x!);
      m.close('d', w);
    }
    m.setFlags(ccOp(kind, w), w, x!, kind === CC.LOGIC ? null : y!);
  };
}

/** Arithmetic of two operands that sets all flags; `r` takes b, `i` the immediate. */
export interface Binary {
  readonly r: readonly number[];
  readonly i: readonly number[];
}
const binaryFamily = (name: string, kind: number, pair: Pair, store = true): Binary => ({
  r: family(name, binary(kind, pair, fromB, store), store ? SETS_FLAGS : COMPARES),
  i: family(`${name}i`, binary(kind, pair, fromImmediate, store), store ? SETS_FLAGS : COMPARES),
});
export const ADD = binaryFamily('add', CC.ADD, ADD_);
export const SUB = binaryFamily('sub', CC.SUB, SUB_);
export const AND = binaryFamily('and', CC.LOGIC, AND_);
export const OR = binaryFamily('or', CC.LOGIC, OR_);
export const XOR = binaryFamily('xor', CC.LOGIC, XOR_);
export const CMP = binaryFamily('cmp', CC.SUB, SUB_, false);
export const TEST = binaryFamily('test', CC.LOGIC, AND_, false);

/** ADC and SBB: the carry decides between two kinds of the lazy triple. */
function withCarry(kind: number, pair: Pair, source: Source): (m: Lowering, w: Width) => void {
  return (m, w) => {
    const [x, y] = scratch(m, w);
    const carry = m.i32[2]!;
    m.condition(2); // B: CF
    m.code.set(carry);
    source(m, w);
    m.code.set(y!);
    m.get('a', w);
    m.code.set(x!);
    m.open('d');
    m.code.get(x!);
    m.code.get(y!);
    m.code.op(pick(pair, w));
    m.code.get(carry);
    if (wide(w)) m.code.op(OP.i64_extend_i32_u);
    m.code.op(pick(pair, w));
    if (kind === CC.ADD) m.code.tee(x!);
    m.close('d', w);
    m.setFlags(0, w, x!, y!);
    m.openState();
    m.code.i32(ccOp(kind, w));
    m.code.get(carry);
    m.code.i32(2); // ADC is ADD + 1, SBB is SUB + 1, in units of ccOp
    m.code.op(OP.i32_shl);
    m.code.op(OP.i32_add);
    m.closeState('ccOp', 2);
  };
}
const carryFamily = (name: string, kind: number, pair: Pair): Binary => ({
  r: family(name, withCarry(kind, pair, fromB), ASKS_FOR_FLAGS),
  i: family(`${name}i`, withCarry(kind, pair, fromImmediate), ASKS_FOR_FLAGS),
});
export const ADC = carryFamily('adc', CC.ADD, ADD_);
export const SBB = carryFamily('sbb', CC.SUB, SUB_);

/** INC and DEC keep CF, so it is worked out now and carried in ccB. */
const step = (name: string, kind: number, pair: Pair): readonly number[] =>
  family(name, (m, w) => {
    const [x, y] = scratch(m, w);
    m.condition(2);
    if (wide(w)) m.code.op(OP.i64_extend_i32_u);
    m.code.set(y!);
    m.open('d');
    m.get('a', w);
    constant(m, w, 1);
    m.code.op(pick(pair, w));
    m.code.tee(x!);
    m.close('d', w);
    m.setFlags(ccOp(kind, w), w, x!, y!);
  }, ASKS_FOR_FLAGS);
export const INC = step('inc', CC.INC, ADD_);
export const DEC = step('dec', CC.DEC, SUB_);

export const NEG = family('neg', (m, w) => {
  const [x, y] = scratch(m, w);
  m.get('a', w);
  m.code.set(y!);
  constant(m, w, 0);
  m.code.set(x!);
  m.open('d');
  constant(m, w, 0);
  m.code.get(y!);
  m.code.op(pick(SUB_, w));
  m.close('d', w);
  m.setFlags(ccOp(CC.SUB, w), w, x!, y!);
}, SETS_FLAGS);
export const NOT = family('not', (m, w) => {
  m.open('d');
  m.get('a', w);
  constant(m, w, -1);
  m.code.op(pick(XOR_, w));
  m.close('d', w);
}, MOVES);

/** Shifts. The count is masked to 5 or 6 bits; a masked count of 0 changes nothing, flags included. */
function shift(kind: number, pair: Pair, count: Source, signed: boolean): (m: Lowering, w: Width) => void {
  return (m, w) => {
    const [, , n] = scratch(m, w);
    const known = count === fromShiftImmediate ? m.shiftCount(w) : undefined;
    if (known === 'zero') return keepUnshifted(m, w);
    if (known === 'some') return shiftByConstant(m, w, kind, pair, signed);
    count(m, 2);
    m.code.i32(wide(w) ? 63 : 31);
    m.code.op(OP.i32_and);
    if (wide(w)) m.code.op(OP.i64_extend_i32_u);
    m.code.tee(n!);
    if (wide(w)) m.code.op(OP.i32_wrap_i64);
    m.branch(() => shiftWithFlags(m, w, kind, pair, signed), () => keepUnshifted(m, w));
  };
}
/** The same with a count that is known while code is made, and not 0. */
function shiftByConstant(m: Lowering, w: Width, kind: number, pair: Pair, signed: boolean): void {
  const [x, y, unshifted] = scratch(m, w);
  m.get('a', w, signed);
  m.code.set(unshifted!);
  m.open('d');
  m.code.get(unshifted!);
  m.pushShiftCount(w, 0);
  m.code.op(pick(pair, w));
  m.code.tee(x!);
  m.close('d', w);
  if (m.flagsAreDead) return;
  m.code.get(unshifted!);
  m.pushShiftCount(w, 1);
  m.code.op(pick(pair, w));
  m.code.set(y!);
  m.setFlags(ccOp(kind, w), w, x!, y!);
}
/** Shifts by one less than the count, which is in the third scratch local, and then by one: the bit in between is the carry. */
function shiftWithFlags(m: Lowering, w: Width, kind: number, pair: Pair, signed: boolean): void {
  const [x, y, n] = scratch(m, w);
  m.get('a', w, signed);
  m.code.get(n!);
  constant(m, w, 1);
  m.code.op(pick(SUB_, w));
  m.code.op(pick(pair, w));
  m.code.set(y!);
  m.open('d');
  m.code.get(y!);
  constant(m, w, 1);
  m.code.op(pick(pair, w));
  m.code.tee(x!);
  m.close('d', w);
  m.setFlags(ccOp(kind, w), w, x!, y!);
}
/** A 32-bit destination is zero-extended even when nothing is shifted. */
function keepUnshifted(m: Lowering, w: Width): void {
  if (w !== 2) return;
  m.open('d');
  m.get('a', w);
  m.close('d', w);
}

const fromShiftImmediate: Source = (m) => m.immediate(2);
const shiftFamily = (name: string, kind: number, pair: Pair, signed = false): Binary => ({
  r: family(name, shift(kind, pair, (m) => m.get('b', 0), signed)),
  i: family(`${name}i`, shift(kind, pair, fromShiftImmediate, signed)),
});
export const SHL = shiftFamily('shl', CC.SHL, SHL_);
export const SHR = shiftFamily('shr', CC.SHR, SHR_);
export const SAR = shiftFamily('sar', CC.SHR, SAR_, true);

/** Bit tests: CF = the bit of a whose number, taken modulo the operand's size, `index` pushes; the other flags stay. d = a, changed. */
function bitTest(change: ((m: Lowering, w: Width) => void) | undefined, index: Source): (m: Lowering, w: Width) => void {
  return (m, w) => {
    const [x, y] = scratch(m, w);
    index(m, w);
    constant(m, w, (8 << w) - 1);
    m.code.op(pick(AND_, w));
    m.code.set(y!);
    m.get('a', w);
    m.code.set(x!);
    if (change !== undefined) {
      m.open('d');
      m.code.get(x!);
      constant(m, w, 1);
      m.code.get(y!);
      m.code.op(pick(SHL_, w));
      change(m, w);
      m.close('d', w);
    }
    m.code.get(x!);
    m.code.get(y!);
    m.code.op(pick(SHR_, w));
    if (wide(w)) m.code.op(OP.i32_wrap_i64);
    m.code.i32(1);
    m.code.op(OP.i32_and);
    m.setCarry();
  };
}
/** From the value and the bit, which are on the stack, to the value with the bit changed. */
const setBit = (m: Lowering, w: Width): void => m.code.op(pick(OR_, w));
const flipBit = (m: Lowering, w: Width): void => m.code.op(pick(XOR_, w));
const clearBit = (m: Lowering, w: Width): void => {
  constant(m, w, -1);
  flipBit(m, w);
  m.code.op(pick(AND_, w));
};
const bitFamily = (name: string, change?: (m: Lowering, w: Width) => void): Binary => ({
  r: family(name, bitTest(change, fromB), {}, [1, 2, 3]),
  i: family(`${name}i`, bitTest(change, fromImmediate), {}, [1, 2, 3]),
});
export const BT = bitFamily('bt');
export const BTS = bitFamily('bts', setBit);
export const BTR = bitFamily('btr', clearBit);
export const BTC = bitFamily('btc', flipBit);

/**
 * BSF and BSR, d = number of a bit of a; of zero, d stays. ZF tells that a is zero, the rest is undefined: as after a logic operation.
 */
const bitScan = (name: string, pushNumber: (m: Lowering, w: Width) => void): readonly number[] =>
  family(name, (m, w) => {
    const [x] = scratch(m, w);
    m.get('a', w);
    m.code.set(x!);
    const all = w === 1 ? 1 : 3; // of zero, the upper half stays too
    m.open('d');
    m.get('d', all);
    m.code.get(x!);
    pushNumber(m, w);
    if (w === 2) m.code.op(OP.i64_extend_i32_u);
    m.code.get(x!);
    m.code.op(pick(EQZ_, w));
    m.code.op(OP.select);
    m.close('d', all);
    m.setFlags(ccOp(CC.LOGIC, w), w, x!, null);
  }, SETS_FLAGS, [1, 2, 3]);
export const BSF = bitScan('bsf', (m, w) => m.code.op(pick(CTZ_, w)));
export const BSR = bitScan('bsr', (m, w) => {
  m.code.op(pick(CLZ_, w));
  constant(m, w, wide(w) ? 63 : 31);
  m.code.op(pick(XOR_, w));
});

/** The product alone, without flags. */
function multiplyLow(m: Lowering, w: Width): void {
  m.open('d');
  m.get('a', w);
  m.get('b', w);
  m.code.op(wide(w) ? OP.i64_mul : OP.i32_mul);
  m.close('d', w);
}

/** IMUL of two operands, d = a * b: CF and OF tell whether the product was truncated. */
export const IMUL = family('imul', (m, w) => {
  if (m.flagsAreDead) return multiplyLow(m, w);
  if (wide(w)) {
    m.callHelper('imul64', false);
    return;
  }
  const [x, y] = m.i32;
  const product = m.i64[0]!;
  m.getExtended('a', w, true);
  m.getExtended('b', w, true);
  m.code.op(OP.i64_mul);
  m.code.tee(product);
  m.code.op(OP.i32_wrap_i64);
  m.code.set(x!);
  m.open('d');
  m.code.get(x!);
  m.close('d', w);
  m.code.get(product);
  m.code.get(product);
  m.code.op(w === 1 ? OP.i64_extend16_s : OP.i64_extend32_s);
  m.code.op(OP.i64_ne);
  m.code.set(y!);
  m.setFlags(ccOp(CC.MUL, w), w, x!, y!);
}, SETS_FLAGS, [1, 2, 3]);

export const BSWAP = family('bswap', (m, w) => {
  const x = m.i64[0]!;
  m.get('a', w);
  if (!wide(w)) m.code.op(OP.i64_extend_i32_u);
  m.code.set(x);
  m.open('d');
  // Swap bytes within pairs, then pairs within quads, then rotate the halves.
  swapPairs(m, x, 8, 0x00ff00ff00ff00ffn);
  swapPairs(m, x, 16, 0x0000ffff0000ffffn);
  m.code.get(x);
  m.code.i64(32);
  m.code.op(OP.i64_rotl);
  if (!wide(w)) {
    m.code.i64(32);
    m.code.op(OP.i64_shr_u);
    m.code.op(OP.i32_wrap_i64);
  }
  m.close('d', w);
}, MOVES, [2, 3]);

function swapPairs(m: Lowering, local: number, bits: number, mask: bigint): void {
  m.code.get(local);
  m.code.i64(bits);
  m.code.op(OP.i64_shr_u);
  m.code.i64big(mask);
  m.code.op(OP.i64_and);
  m.code.get(local);
  m.code.i64big(mask);
  m.code.op(OP.i64_and);
  m.code.i64(bits);
  m.code.op(OP.i64_shl);
  m.code.op(OP.i64_or);
  m.code.set(local);
}

export const XCHG = family('xchg', (m, w) => {
  const [x] = scratch(m, w);
  m.get('a', w);
  m.code.set(x!);
  m.open('a');
  m.get('b', w);
  m.close('a', w);
  m.open('b');
  m.code.get(x!);
  m.close('b', w);
}, { ...MOVES, writes: 'sources' });

/** d (8 bits) = condition imm. */
export const SETCC = op('setcc', (m) => {
  m.open('d');
  m.condition('immediate');
  m.close('d', 0);
}, ASKS_FOR_FLAGS);
/** d = condition imm ? a : d; 32 bits always clear the upper half. */
export const CMOV = family('cmov', (m, w) => {
  m.open('d');
  m.get('a', w);
  m.get('d', w);
  m.condition('immediate');
  m.code.op(OP.select);
  m.close('d', w);
}, ASKS_FOR_FLAGS, [1, 2, 3]);

/** d = the sign of a (64 bits) in every bit. */
export const SIGN = op('sign', (m) => {
  m.open('d');
  m.get('a', 3);
  m.code.i64(63);
  m.code.op(OP.i64_shr_s);
  m.close('d', 3);
}, PREPARES);
/** d = a + b without flags. */
export const SUM = family('sum', (m, w) => {
  m.open('d');
  m.get('a', w);
  m.get('b', w);
  m.code.op(pick(ADD_, w));
  m.close('d', w);
}, PREPARES);
/** d = a equals the accumulator ? b : a. */
export const SELECT_EQUAL = family('select_equal', (m, w) => {
  m.open('d');
  m.get('b', w);
  m.get('a', w);
  m.get('a', w);
  m.state('rax', w);
  m.code.op(pick([OP.i32_eq, OP.i64_eq], w));
  m.code.op(OP.select);
  m.close('d', w);
});

/** Comparison of the two pushed values under condition codes that a subtraction decides. `null`: not one of them. */
function comparison(code: number, w: Width): { readonly op: number; readonly signed: boolean; readonly negate: boolean } | null {
  const table: Record<number, readonly [narrow: number, wide: number, signed: boolean]> = {
    2: [OP.i32_lt_u, OP.i64_lt_u, false],
    3: [OP.i32_ge_u, OP.i64_ge_u, false],
    4: [OP.i32_eq, OP.i64_eq, false],
    5: [OP.i32_ne, OP.i64_ne, false],
    6: [OP.i32_le_u, OP.i64_le_u, false],
    7: [OP.i32_gt_u, OP.i64_gt_u, false],
    12: [OP.i32_lt_s, OP.i64_lt_s, true],
    13: [OP.i32_ge_s, OP.i64_ge_s, true],
    14: [OP.i32_le_s, OP.i64_le_s, true],
    15: [OP.i32_gt_s, OP.i64_gt_s, true],
  };
  const row = table[code];
  return row === undefined ? null : { op: wide(w) ? row[1] : row[0], signed: row[2], negate: false };
}
/** Condition codes that CMP_JUMP and FLAG_JUMP exist for. */
export const SUB_CONDITIONS: readonly number[] = [2, 3, 4, 5, 6, 7, 12, 13, 14, 15];
/** Condition codes that TEST_JUMP and RESULT_JUMP exist for: E, NE, S, NS. */
export const RESULT_CONDITIONS: readonly number[] = [4, 5, 8, 9];

/** Of an operation that chooses between the two jumps after it. */
const chooses = (traits: Traits): Traits => ({ ...traits, isLast: true, writes: 'nothing' });

function chooseJump(m: Lowering): void {
  m.branch(() => m.jump(1));
  m.jump(2);
}

function signExtendLocal(m: Lowering, local: number, w: Width): void {
  m.code.get(local);
  if (w === 0) m.code.op(OP.i32_extend8_s);
  if (w === 1) m.code.op(OP.i32_extend16_s);
}
function zeroExtendLocal(m: Lowering, local: number, w: Width): void {
  m.code.get(local);
  truncate(m, w);
}

function pushComparison(m: Lowering, w: Width, code: number, x: number, y: number): void {
  const how = comparison(code, w)!;
  for (const local of [x, y]) (how.signed ? signExtendLocal : zeroExtendLocal)(m, local, w);
  m.code.op(how.op);
}

/** CMP and Jcc in one: [width][condition]. Flags are set as CMP does. The next two records are the jumps. */
const compareAndJump = (name: string, source: Source): readonly (readonly number[])[] =>
  ([0, 1, 2, 3] as const).map((w) =>
    numbered(SUB_CONDITIONS, (code) =>
      op(`${name}.${8 << w}.${code}`, (m) => {
        const [x, y] = scratch(m, w);
        source(m, w);
        m.code.set(y!);
        m.get('a', w);
        m.code.set(x!);
        m.setFlags(ccOp(CC.SUB, w), w, x!, y!);
        pushComparison(m, w, code, x!, y!);
        chooseJump(m);
      }, chooses(SETS_FLAGS)),
    ),
  );
function numbered(codes: readonly number[], make: (code: number) => number): number[] {
  const numbers = new Array<number>(16).fill(-1);
  for (const code of codes) numbers[code] = make(code);
  return numbers;
}
export const CMP_JUMP = { r: compareAndJump('cmp_jump', fromB), i: compareAndJump('cmpi_jump', fromImmediate) };

function pushResultCondition(m: Lowering, w: Width, code: number, x: number): void {
  if (code >= 8) {
    signExtendLocal(m, x, w);
    constant(m, w, 0);
    m.code.op(pick([OP.i32_lt_s, OP.i64_lt_s], w));
  } else {
    zeroExtendLocal(m, x, w);
    m.code.op(pick([OP.i32_eqz, OP.i64_eqz], w));
  }
  if ((code & 1) === 1) m.code.op(OP.i32_eqz);
}
/** TEST and Jcc in one: [width][condition]. */
const testAndJump = (name: string, source: Source): readonly (readonly number[])[] =>
  ([0, 1, 2, 3] as const).map((w) =>
    numbered(RESULT_CONDITIONS, (code) =>
      op(`${name}.${8 << w}.${code}`, (m) => {
        const [x] = scratch(m, w);
        source(m, w);
        m.get('a', w);
        m.code.op(pick(AND_, w));
        m.code.set(x!);
        m.setFlags(ccOp(CC.LOGIC, w), w, x!, null);
        pushResultCondition(m, w, code, x!);
        chooseJump(m);
      }, chooses(SETS_FLAGS)),
    ),
  );
export const TEST_JUMP = { r: testAndJump('test_jump', fromB), i: testAndJump('testi_jump', fromImmediate) };

/** Jcc where the builder knows that the triple holds a subtraction of this width. */
export const FLAG_JUMP: readonly (readonly number[])[] = ([0, 1, 2, 3] as const).map((w) =>
  numbered(SUB_CONDITIONS, (code) =>
    op(`sub_jump.${8 << w}.${code}`, (m) => {
      const [x, y] = scratch(m, w);
      m.state('ccA', w);
      m.code.set(x!);
      m.state('ccB', w);
      m.code.set(y!);
      pushComparison(m, w, code, x!, y!);
      chooseJump(m);
    }, chooses({})),
  ),
);
/** Jcc where the builder knows that ccA holds a result of this width. */
export const RESULT_JUMP: readonly (readonly number[])[] = ([0, 1, 2, 3] as const).map((w) =>
  numbered(RESULT_CONDITIONS, (code) =>
    op(`result_jump.${8 << w}.${code}`, (m) => {
      const [x] = scratch(m, w);
      m.state('ccA', w);
      m.code.set(x!);
      pushResultCondition(m, w, code, x!);
      chooseJump(m);
    }, chooses({})),
  ),
);
/** Jcc on condition imm, whatever set the flags. */
export const CONDITION_JUMP = op('condition_jump', (m) => {
  m.condition('immediate');
  chooseJump(m);
}, chooses(ASKS_FOR_FLAGS));
/** Jumps when the low bits of a are (not) zero: JRCXZ and the LOOP family. */
export const ZERO_JUMP = family('zero_jump', (m, w) => {
  m.get('a', w);
  m.code.op(pick([OP.i32_eqz, OP.i64_eqz], w));
  chooseJump(m);
}, chooses({}));

export type { Operand };
