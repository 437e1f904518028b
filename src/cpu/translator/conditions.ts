// Conditions on lazy flags of a known kind, as a few instructions on the triple in locals (see ir/flags.ts for what the triple
// holds). Where it would take many, nothing is emitted and the caller asks the support module.
import type { CodeWriter } from '../../wasm/code-writer.ts';
import { OP, TYPE } from '../../wasm/opcodes.ts';
import { CC } from '../ir/flags.ts';
import type { Width } from '../ir/lowering.ts';
import { CC_A, CC_B } from './region-locals.ts';

/** Condition codes without the negation: SDM 1 appendix B. */
/** Below: CF. */
export const BELOW = 2;
const OVERFLOW = 0, EQUAL = 4, BELOW_EQUAL = 6, SIGN = 8, PARITY = 10, LESS = 12, LESS_EQUAL = 14;

/** Pushes a local extended from `width` to 64 bits. */
function push(code: CodeWriter, local: number, width: Width, signed: boolean): void {
  code.get(local);
  if (width === 3) return;
  if (signed) return code.op([OP.i64_extend8_s, OP.i64_extend16_s, OP.i64_extend32_s][width]!);
  if (width === 2) {
    code.op(OP.i32_wrap_i64);
    return code.op(OP.i64_extend_i32_u);
  }
  code.i64(width === 0 ? 0xff : 0xffff);
  code.op(OP.i64_and);
}

const SUBTRACTION: Readonly<Record<number, readonly [operation: number, signed: boolean]>> = {
  [BELOW]: [OP.i64_lt_u, false],
  [EQUAL]: [OP.i64_eq, false],
  [BELOW_EQUAL]: [OP.i64_le_u, false],
  [LESS]: [OP.i64_lt_s, true],
  [LESS_EQUAL]: [OP.i64_le_s, true],
};

function afterSubtraction(code: CodeWriter, condition: number, width: Width): boolean {
  const compare = SUBTRACTION[condition];
  if (compare !== undefined) {
    push(code, CC_A, width, compare[1]);
    push(code, CC_B, width, compare[1]);
    code.op(compare[0]);
    return true;
  }
  if (condition !== SIGN) return false;
  code.get(CC_A);
  code.get(CC_B);
  code.op(OP.i64_sub);
  signOf(code, width);
  return true;
}

/** Whether the value on the stack is negative in `width`. */
function signOf(code: CodeWriter, width: Width): void {
  if (width !== 3) code.op([OP.i64_extend8_s, OP.i64_extend16_s, OP.i64_extend32_s][width]!);
  code.i64(0);
  code.op(OP.i64_lt_s);
}

/** ZF and SF, where ccA is the result. */
function ofResult(code: CodeWriter, condition: number, width: Width): boolean {
  if (condition !== EQUAL && condition !== SIGN) return false;
  if (condition === SIGN) {
    code.get(CC_A);
    signOf(code, width);
    return true;
  }
  push(code, CC_A, width, false);
  code.op(OP.i64_eqz);
  return true;
}

function afterLogic(code: CodeWriter, condition: number, width: Width): boolean {
  // CF and OF are clear: below never holds, less is the sign.
  if (condition === 0 || condition === BELOW) {
    code.i32(0);
    return true;
  }
  if (condition === LESS_EQUAL) {
    push(code, CC_A, width, true);
    code.i64(0);
    code.op(OP.i64_le_s);
    return true;
  }
  return ofResult(code, condition === BELOW_EQUAL ? EQUAL : condition === LESS ? SIGN : condition, width);
}

function carry(code: CodeWriter, kind: number, width: Width): boolean {
  if (kind === CC.ADD || kind === CC.ADC) {
    push(code, CC_A, width, false);
    push(code, CC_B, width, false);
    code.op(kind === CC.ADD ? OP.i64_lt_u : OP.i64_le_u);
    return true;
  }
  if (kind === CC.SBB) {
    push(code, CC_A, width, false);
    push(code, CC_B, width, false);
    code.op(OP.i64_le_u);
    return true;
  }
  if (kind === CC.MUL) {
    push(code, CC_B, 0, false);
    code.i64(0);
    code.op(OP.i64_ne);
    return true;
  }
  if (kind !== CC.INC && kind !== CC.DEC && kind !== CC.SHR && kind !== CC.SHL) return false;
  code.get(CC_B);
  if (kind === CC.SHL) {
    code.i64(8 * (1 << width) - 1);
    code.op(OP.i64_shr_u);
  }
  code.op(OP.i32_wrap_i64);
  code.i32(1);
  code.op(OP.i32_and);
  return true;
}

/** Flags by condition, in their EFLAGS positions: any of them. */
const ANY_FLAG: Readonly<Record<number, number>> = {
  [OVERFLOW]: 0x800, [BELOW]: 1, [EQUAL]: 0x40, [BELOW_EQUAL]: 0x41, [SIGN]: 0x80, [PARITY]: 4, [LESS]: 0, [LESS_EQUAL]: 0x40,
};

/** The flags themselves are in ccA. */
function ofFlags(code: CodeWriter, condition: number): boolean {
  const flag = (): void => {
    code.get(CC_A);
    code.op(OP.i32_wrap_i64);
  };
  const isLess = condition === LESS || condition === LESS_EQUAL;
  const mask = ANY_FLAG[condition]!;
  if (mask !== 0) {
    flag();
    code.i32(mask);
    code.op(OP.i32_and);
    code.i32(0);
    code.op(OP.i32_ne);
  }
  if (!isLess) return true;
  flag(); // SF, bit 7, against OF, bit 11
  flag();
  code.i32(4);
  code.op(OP.i32_shr_u);
  code.op(OP.i32_xor);
  code.i32(7);
  code.op(OP.i32_shr_u);
  code.i32(1);
  code.op(OP.i32_and);
  if (mask !== 0) code.op(OP.i32_or);
  return true;
}

/** Pushes 0 or 1 for a condition on flags that `ccOp` describes. False, with nothing emitted, when that takes the support module. */
export function emitCondition(code: CodeWriter, ccOp: number, condition: number): boolean {
  const kind = ccOp >> 2;
  const width = (ccOp & 3) as Width;
  const plain = condition & ~1;
  let done: boolean;
  if (kind === CC.SUB) done = afterSubtraction(code, plain, width);
  else if (kind === CC.LOGIC) done = afterLogic(code, plain, width);
  else if (kind === CC.FLAGS) done = ofFlags(code, plain);
  else if (plain === BELOW) done = carry(code, kind, width);
  else if (kind === CC.SBB) done = false;
  else done = ofResult(code, plain, width);
  if (done && (condition & 1) !== 0) code.op(OP.i32_eqz);
  return done;
}

/**
 * Pushes CF of the triple in memory. After INC and DEC, which loops often end with, it is at hand; `ask` calls the support module. `load`
 * loads from a field of the state.
 */
export function carryInMemory(code: CodeWriter, load: (field: string, operation: number) => void, ask: () => void): void {
  load('ccOp', OP.i32_load);
  code.i32(3);
  code.op(OP.i32_shr_u);
  code.i32(CC.INC >> 1);
  code.op(OP.i32_eq);
  code.if(TYPE.i32);
  load('ccB', OP.i32_load8_u);
  code.i32(1);
  code.op(OP.i32_and);
  code.else();
  code.i32(BELOW);
  ask();
  code.end();
}
