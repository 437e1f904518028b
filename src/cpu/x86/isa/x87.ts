// x87 arithmetic, transfers and comparisons. SDM volume 1 chapter 8, volume 2. The arithmetic is exact and in
// assembly/x87-*.ts; every instruction here first reports a pending exception (fpCheck), then works on ST.
// Stores do their own memory access: b = linear address, imm = how often to pop.
import type { BlockBuilder } from '../builder.ts';
import { ZERO } from '../record-writer.ts';
import * as integer from '../../ir/ops-integer.ts';
import { instruction, row } from '../row.ts';

const x87 = { unit: 'x87' } as const;
type HelperName = Parameters<BlockBuilder['helper']>[0];

const i = (b: BlockBuilder): number => b.insn.modrm & 7;
/** FIP and FOP of the instruction; FDP when it has a memory operand. */
function record(b: BlockBuilder, address?: number): void {
  const rip = b.temporary();
  b.emit(integer.RIP_PLUS, rip, ZERO, b.pc, ZERO, 0);
  const opcode = ((b.insn.opcode & 7) << 8) | b.insn.modrm;
  b.helper('fpRecord', ZERO, rip, address ?? ZERO, opcode | (address === undefined ? 0 : 0x10000));
}
function begin(b: BlockBuilder): void {
  b.helper('fpCheck');
  record(b);
}
/** Begins an instruction with a memory operand of `bytes`; returns where the operand's bits were loaded. */
function beginLoad(b: BlockBuilder, bytes: 2 | 4 | 8): number {
  b.helper('fpCheck');
  const value = b.load(bytes === 2 ? 1 : bytes === 4 ? 2 : 3);
  record(b, b.effectiveAddress());
  return value;
}

/** The eight operations by ModRM.reg: FADD FMUL FCOM FCOMP FSUB FSUBR FDIV FDIVR. */
const ARITHMETIC = [0, 1, 4, 5, 6, 7];
const NAMES = ['fadd', 'fmul', 'fcom', 'fcomp', 'fsub', 'fsubr', 'fdiv', 'fdivr'];
// prettier-ignore
const MEMORY_FORMS = [['D8', 'Md', 4, 'farithF32', 'fcomF32'], ['DC', 'Mq', 8, 'farithF64', 'fcomF64'], ['DE', 'Mw', 2, 'farithI16', 'fcomI16'], ['DA', 'Md', 4, 'farithI32', 'fcomI32']] as const;
for (const [opcode, code, bytes, arithmetic, compare] of MEMORY_FORMS) {
  const name = (op: number): string => (bytes === 2 || opcode === 'DA' ? NAMES[op]!.replace('f', 'fi') : NAMES[op]!);
  for (const op of ARITHMETIC)
    instruction(name(op), [row(`${opcode} /${op}`, [code], x87)], (b) => b.helper(arithmetic, ZERO, beginLoad(b, bytes), ZERO, op));
  for (const [op, pops] of [[2, 0], [3, 1]] as const)
    instruction(name(op), [row(`${opcode} /${op}`, [code], x87)], (b) => b.helper(compare, ZERO, beginLoad(b, bytes), ZERO, pops));
}
/** A ModRM row with a register operand ST(i): eight ModRM bytes. */
const stRows = (opcode: string, digit: number): ReturnType<typeof row>[] =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((n) => row(`${opcode} |${(0xc0 + digit * 8 + n).toString(16).toUpperCase()}`, [], x87));
const st = (name: string, opcode: string, digit: number, helper: HelperName, immediate: (index: number) => number): void =>
  instruction(name, stRows(opcode, digit), (b) => {
    begin(b);
    b.helper(helper, ZERO, ZERO, ZERO, immediate(i(b)));
  });
for (const op of ARITHMETIC) {
  st(NAMES[op]!, 'D8', op, 'farithSt0Sti', (n) => op | (n << 3));
  // With ST(i) as the destination the manual's FSUB and FSUBR (FDIV, FDIVR) change places in the encoding.
  const reversed = op >= 4 ? op ^ 1 : op;
  st(NAMES[reversed]!, 'DC', op, 'farithStiSt0', (n) => reversed | (n << 3));
  st(`${NAMES[reversed]!}p`, 'DE', op, 'farithStiSt0', (n) => reversed | (n << 3) | (1 << 6));
}
for (const [opcode, digit, pops] of [['D8', 2, 0], ['D8', 3, 1], ['DC', 2, 0], ['DC', 3, 1], ['DE', 2, 1]] as const)
  st(pops === 1 ? 'fcomp' : 'fcom', opcode, digit, 'fcomSti', (n) => n | (pops << 3));
st('fucom', 'DD', 4, 'fucomSti', (n) => n);
st('fucomp', 'DD', 5, 'fucomSti', (n) => n | 8);
st('fcomi', 'DB', 6, 'fcomi', (n) => n);
st('fcomip', 'DF', 6, 'fcomi', (n) => n | 8);
st('fucomi', 'DB', 5, 'fucomi', (n) => n);
st('fucomip', 'DF', 5, 'fucomi', (n) => n | 8);
st('fld', 'D9', 0, 'fldSti', (n) => n);
st('fxch', 'D9', 1, 'fxch', (n) => n);
st('fxch', 'DD', 1, 'fxch', (n) => n);
st('fxch', 'DF', 1, 'fxch', (n) => n);
st('fst', 'DD', 2, 'fstSti', (n) => n);
st('fstp', 'DD', 3, 'fstSti', (n) => n | 8);
st('fstp', 'D9', 3, 'fstpUnchecked', (n) => n);
st('fstp', 'DF', 2, 'fstSti', (n) => n | 8);
st('fstp', 'DF', 3, 'fstSti', (n) => n | 8);
st('ffree', 'DD', 0, 'ffree', (n) => n);
for (const [digit, condition, negated] of [[0, 2, 3], [1, 4, 5], [2, 6, 7], [3, 10, 11]] as const)
  for (const [opcode, code] of [['DA', condition], ['DB', negated]] as const)
    instruction('fcmov', stRows(opcode, digit), (b) => {
      begin(b);
      const holds = b.temporary();
      b.emit(integer.SETCC, holds, ZERO, code, ZERO, 0);
      b.helper('fcmov', ZERO, holds, ZERO, i(b));
    });

/** Instructions without operands: a whole ModRM byte. */
const single = (name: HelperName, opcode: string, modrm: string, immediate = 0): void =>
  instruction(name, [row(`${opcode} |${modrm}`, [], x87)], (b) => {
    begin(b);
    b.helper(name, ZERO, ZERO, ZERO, immediate);
  });
// prettier-ignore
const D9: Readonly<Record<string, HelperName>> = {
  E0: 'fchs', E1: 'fabs', E4: 'ftst', E5: 'fxam', E8: 'fld1', E9: 'fldl2t', EA: 'fldl2e', EB: 'fldpi', EC: 'fldlg2', ED: 'fldln2', EE: 'fldz',
  F0: 'f2xm1', F1: 'fyl2x', F2: 'fptan', F3: 'fpatan', F4: 'fxtract', F5: 'fprem1', F6: 'fdecstp', F7: 'fincstp', F8: 'fprem', F9: 'fyl2xp1',
  FA: 'fsqrt', FB: 'fsincos', FC: 'frndint', FD: 'fscale', FE: 'fsin', FF: 'fcos',
};
for (const [modrm, name] of Object.entries(D9)) single(name, 'D9', modrm);
instruction('fnop', [row('D9 |D0', [], x87)], begin);
instruction('fcompp', [row('DE |D9', [], x87)], (b) => {
  begin(b);
  b.helper('fcomSti', ZERO, ZERO, ZERO, 1 | (2 << 3));
});
instruction('fucompp', [row('DA |E9', [], x87)], (b) => {
  begin(b);
  b.helper('fucomSti', ZERO, ZERO, ZERO, 1 | (2 << 3));
});

// prettier-ignore
for (const [name, text, code, bytes, helper] of [['fld', 'D9 /0', 'Md', 4, 'fld32'], ['fld', 'DD /0', 'Mq', 8, 'fld64'], ['fild', 'DF /0', 'Mw', 2, 'fild16'],
  ['fild', 'DB /0', 'Md', 4, 'fild32'], ['fild', 'DF /5', 'Mq', 8, 'fild64']] as const)
  instruction(name, [row(text, [code], x87)], (b) => b.helper(helper, ZERO, beginLoad(b, bytes)));
for (const [name, text, helper] of [['fld', 'DB /5', 'fld80'], ['fbld', 'DF /4', 'fbld']] as const)
  instruction(name, [row(text, ['M'], x87)], (b) => {
    b.helper('fpCheck');
    const low = b.temporary(), high = b.temporary();
    b.load(3, low, 0, 10);
    b.load(1, high, 8);
    record(b, b.effectiveAddress());
    b.helper(helper, ZERO, low, high);
  });
// prettier-ignore
for (const [name, text, code, bytes, helper, pops] of [['fst', 'D9 /2', 'Md', 4, 'fst32', 0], ['fstp', 'D9 /3', 'Md', 4, 'fst32', 1], ['fst', 'DD /2', 'Mq', 8, 'fst64', 0],
  ['fstp', 'DD /3', 'Mq', 8, 'fst64', 1], ['fstp', 'DB /7', 'M', 10, 'fst80', 1], ['fist', 'DF /2', 'Mw', 2, 'fist16', 0], ['fistp', 'DF /3', 'Mw', 2, 'fist16', 1],
  ['fist', 'DB /2', 'Md', 4, 'fist32', 0], ['fistp', 'DB /3', 'Md', 4, 'fist32', 1], ['fistp', 'DF /7', 'Mq', 8, 'fist64', 1], ['fisttp', 'DF /1', 'Mw', 2, 'fisttp16', 1],
  ['fisttp', 'DB /1', 'Md', 4, 'fisttp32', 1], ['fisttp', 'DD /1', 'Mq', 8, 'fisttp64', 1], ['fbstp', 'DF /6', 'M', 10, 'fbstp', 1]] as const)
  instruction(name, [row(text, [code], x87)], (b) => {
    b.helper('fpCheck');
    const linear = b.linearAddress(bytes, true);
    b.helper(helper, ZERO, ZERO, linear, pops);
    record(b, b.effectiveAddress());
  });

