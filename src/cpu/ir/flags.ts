// Lazy arithmetic flags: instead of computing OF SF ZF AF PF CF, an operation leaves (ccOp, ccA, ccB) from which each
// can be derived. ccOp = kind << 2 | log2(operand bytes). Only the low operand bytes of ccA and ccB are meaningful.
// The reader is assembly/flags.ts; these numbers are given to it by tools/build-wasm.ts.

/**
 * What ccA and ccB hold, by kind:
 * - FLAGS: ccA = the six flags in their EFLAGS positions.
 * - ADD, ADC: ccA = result, ccB = second operand; ADC means that a carry of 1 was added.
 * - SUB, SBB: ccA = first operand, ccB = second; SBB means that a borrow of 1 was subtracted.
 * - LOGIC: ccA = result.
 * - INC, DEC: ccA = result, ccB = CF before.
 * - SHL, SHR: ccA = result, ccB = the value shifted by one less than the count, whose outermost bit was shifted out last;
 *   SHR stands for SAR too.
 * - MUL: ccA = low half, ccB = 1 when the high half is significant.
 */
export const CC = { FLAGS: 0, ADD: 1, ADC: 2, SUB: 3, SBB: 4, LOGIC: 5, INC: 6, DEC: 7, SHL: 8, SHR: 9, MUL: 10 } as const;

export const ccOp = (kind: number, width: number): number => (kind << 2) | width;

/** Condition codes in encoding order (SDM 1 appendix B); an odd one negates the one before. */
// prettier-ignore
export const CONDITION = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;

/**
 * Flags that a region has not put into the triple yet, and what its local PENDING holds then.
 * - ROL, ROR: the result of a rotation by a constant (32 bits; + 2: 64 bits), whose CF and OF are merged into the rest.
 * - CARRY: CF, which is merged into the rest.
 * - STEP + ccOp of INC or DEC: the result, which becomes ccA; ccB is what CF was.
 */
export const PENDING_FLAGS = { ROL: 1, ROR: 2, CARRY: 5, STEP: 64 } as const;
