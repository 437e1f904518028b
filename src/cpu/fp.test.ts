// Floating point against the processor of this machine: random operands and modes, results and flags compared.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RECORD, SLOT, compareWithProcessor, loadBench, oracleMissing } from '../../test/oracle/fp-bench.ts';
import type { FpOp, Support } from '../../test/oracle/fp-bench.ts';
import { putDouble, putExtended, putSingle, randomControlWord, randomMxcsr, randomSource } from '../../test/oracle/fp-operands.ts';
import type { Random } from '../../test/oracle/fp-operands.ts';

/** Per group; the environment variables repeat a longer or another run. */
const CASES = Number(process.env['NANDU_FP_CASES'] ?? 30_000);
const SEED = Number(process.env['NANDU_FP_SEED'] ?? 1);
const skip = oracleMissing() ?? false;
const bench = skip === false ? await loadBench() : undefined;

const [X0, X1] = [SLOT.xmm(0), SLOT.xmm(1)];

function check(ops: readonly FpOp[], fill: (record: DataView, at: number, op: number, r: Random) => void, cases = CASES): void {
  const random = randomSource(SEED);
  const failures = compareWithProcessor(bench!, ops, cases, (record, at, op) => fill(record, at, op, random));
  assert.equal(failures.length, 0, failures.join('\n'));
}

type Put = (view: DataView, at: number, r: Random) => void;

/** Every field random, vectors of lanes of one format; the x87 is idle. */
function vectors(put: Put, bytes: number): (record: DataView, at: number, op: number, r: Random) => void {
  return (record, at, _op, r) => {
    record.setUint32(at + RECORD.MXCSR, randomMxcsr(r), true);
    record.setUint16(at + RECORD.FCW, 0x37f, true);
    record.setUint32(at + RECORD.RFLAGS, 0x202, true);
    record.setUint32(at + RECORD.RAX, r.u32(), true);
    record.setUint32(at + RECORD.RAX + 4, r.below(2) === 0 ? r.u32() : (r.below(4) - 2) >> 1, true);
    for (let offset = 0; offset < 48; offset += bytes) put(record, at + RECORD.XMM + offset, r);
    // Related operands: equal magnitudes, or neighbours.
    if (r.below(4) === 0) {
      for (let n = 0; n < 16; n += 4) record.setUint32(at + RECORD.XMM + 16 + n, record.getUint32(at + RECORD.XMM + n, true), true);
      if (r.below(2) === 0) record.setUint8(at + RECORD.XMM + 16, record.getUint8(at + RECORD.XMM) ^ (1 << r.below(8)));
      if (r.below(2) === 0) record.setUint8(at + RECORD.XMM + 15 + 16, record.getUint8(at + RECORD.XMM + 15) ^ 0x80);
    }
  };
}

const PREFIX: Readonly<Record<string, readonly number[]>> = { ps: [], pd: [0x66], ss: [0xf3], sd: [0xf2] };
const singles = vectors(putSingle, 4);
const doubles = vectors(putDouble, 8);

type Slots = readonly [number, number, number];

/** op xmm0, xmm1 in one operand type; `args` are the addresses the helper gets. */
function sse(name: string, type: string, opcode: readonly number[], args: Slots = [X0, X0, X1], imm?: number): FpOp {
  const full = `${name}${type}`;
  return {
    name: imm === undefined ? full : `${full} ${imm}`,
    code: [...PREFIX[type]!, 0x0f, ...opcode, 0xc1, ...(imm === undefined ? [] : [imm])],
    run: (s: Support) => s[full]!(...args, imm ?? 0),
  };
}

function arithmeticOf(types: readonly string[]): FpOp[] {
  const binary = { add: 0x58, mul: 0x59, sub: 0x5c, min: 0x5d, div: 0x5e, max: 0x5f };
  return types.flatMap((type) => [
    ...Object.entries(binary).map(([name, opcode]) => sse(name, type, [opcode])),
    sse('sqrt', type, [0x51], type[0] === 'p' ? [X0, X1, 0] : [X0, X0, X1]),
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((predicate) => sse('cmp', type, [0xc2], [X0, X0, X1], predicate)),
  ]);
}

/** An instruction given by its bytes. */
const raw = (name: string, code: readonly number[], args: readonly [number, number, number, number], extra: Partial<FpOp> = {}): FpOp => ({
  name,
  code,
  run: (s) => s[name.split(' ')[0]!]!(...args),
  ...extra,
});

const putInteger: Put = (view, at, r) => {
  view.setUint32(at, r.below(3) === 0 ? r.below(5) - 2 : r.u32(), true);
  view.setUint32(at + 4, r.below(3) === 0 ? r.below(3) - 1 : r.u32(), true);
};

const putDecimal: Put = (view, at, r) => {
  for (let n = 0; n < 9; n++) view.setUint8(at + n, (r.below(10) << 4) | r.below(10));
  view.setUint8(at + 9, r.below(2) << 7);
};

describe('SSE floating point equals the processor', { skip }, () => {
  test('arithmetic on singles', () => check(arithmeticOf(['ss', 'ps']), singles));
  test('arithmetic on doubles', () => check(arithmeticOf(['sd', 'pd']), doubles));

  test('comparison into EFLAGS', () => {
    const into = { flags: true };
    check([raw('ucomiss', [0x0f, 0x2e, 0xc1], [0, X0, X1, 0], into), raw('comiss', [0x0f, 0x2f, 0xc1], [0, X0, X1, 0], into)], singles);
    const doubled = (name: string, opcode: number): FpOp => raw(name, [0x66, 0x0f, opcode, 0xc1], [0, X0, X1, 0], into);
    check([doubled('ucomisd', 0x2e), doubled('comisd', 0x2f)], doubles);
  });

  test('horizontal, alternating and dot products', () => {
    // prettier-ignore
    check([
      raw('haddps', [0xf2, 0x0f, 0x7c, 0xc1], [X0, X0, X1, 0]), raw('hsubps', [0xf2, 0x0f, 0x7d, 0xc1], [X0, X0, X1, 0]),
      raw('addsubps', [0xf2, 0x0f, 0xd0, 0xc1], [X0, X0, X1, 0]),
      ...[0xff, 0x71, 0x3c, 0xa5].map((imm) => raw(`dpps ${imm}`, [0x66, 0x0f, 0x3a, 0x40, 0xc1, imm], [X0, X0, X1, imm], { anyNan: 4 })),
    ], singles);
    // prettier-ignore
    check([
      raw('haddpd', [0x66, 0x0f, 0x7c, 0xc1], [X0, X0, X1, 0]), raw('hsubpd', [0x66, 0x0f, 0x7d, 0xc1], [X0, X0, X1, 0]),
      raw('addsubpd', [0x66, 0x0f, 0xd0, 0xc1], [X0, X0, X1, 0]),
      ...[0xff, 0x31, 0x12, 0x23].map((imm) => raw(`dppd ${imm}`, [0x66, 0x0f, 0x3a, 0x41, 0xc1, imm], [X0, X0, X1, imm], { anyNan: 8 })),
    ], doubles);
  });

  test('conversions from singles', () => {
    const A = SLOT.rax;
    // prettier-ignore
    check([
      raw('cvtss2sd', [0xf3, 0x0f, 0x5a, 0xc1], [X0, X0, X1, 0]), raw('cvtps2pd', [0x0f, 0x5a, 0xc1], [X0, X1, 0, 0]),
      raw('cvtps2dq', [0x66, 0x0f, 0x5b, 0xc1], [X0, X1, 0, 0]), raw('cvttps2dq', [0xf3, 0x0f, 0x5b, 0xc1], [X0, X1, 0, 0]),
      raw('cvtss2si 32', [0xf3, 0x0f, 0x2d, 0xc1], [A, X1, 0, 4]), raw('cvtss2si 64', [0xf3, 0x48, 0x0f, 0x2d, 0xc1], [A, X1, 0, 8]),
      raw('cvttss2si 32', [0xf3, 0x0f, 0x2c, 0xc1], [A, X1, 0, 4]), raw('cvttss2si 64', [0xf3, 0x48, 0x0f, 0x2c, 0xc1], [A, X1, 0, 8]),
      ...[0, 1, 2, 3, 4, 9, 12].flatMap((imm) => [
        raw(`roundss ${imm}`, [0x66, 0x0f, 0x3a, 0x0a, 0xc1, imm], [X0, X0, X1, imm]),
        raw(`roundps ${imm}`, [0x66, 0x0f, 0x3a, 0x08, 0xc1, imm], [X0, X1, 0, imm]),
      ]),
    ], singles);
  });

  test('conversions with MMX registers', () => {
    const [M0, M1] = [SLOT.fpr(0), SLOT.fpr(1)];
    const mmx = (name: string, code: readonly number[], args: readonly [number, number, number, number], writes: boolean): FpOp => ({
      name,
      code,
      run(s) {
        s['mmxEnter']!(0, 0, 0, 0);
        s[name]!(...args);
        if (writes) s['mmxWritten']!(M0, 0, 0, 0);
      },
    });
    // Exceptions are masked: whether a faulting one has entered MMX mode already differs between processors.
    const masked = (put: Put, bytes: number): ReturnType<typeof vectors> => {
      const fill = vectors(put, bytes);
      return (record, at, op, r) => {
        fill(record, at, op, r);
        record.setUint32(at + RECORD.MXCSR, record.getUint32(at + RECORD.MXCSR, true) | 0x1f80, true);
        for (let n = 0; n < 8; n++) putInteger(record, at + RECORD.ST + 16 * n, r);
      };
    };
    // prettier-ignore
    check([
      mmx('cvtps2pi', [0x0f, 0x2d, 0xc1], [M0, X1, 0, 0], true), mmx('cvttps2pi', [0x0f, 0x2c, 0xc1], [M0, X1, 0, 0], true),
      mmx('cvtpi2ps', [0x0f, 0x2a, 0xc1], [X0, X0, M1, 0], false), mmx('cvtpi2pd', [0x66, 0x0f, 0x2a, 0xc1], [X0, M1, 0, 0], false),
    ], masked(putSingle, 4));
    // prettier-ignore
    check([
      mmx('cvtpd2pi', [0x66, 0x0f, 0x2d, 0xc1], [M0, X1, 0, 0], true), mmx('cvttpd2pi', [0x66, 0x0f, 0x2c, 0xc1], [M0, X1, 0, 0], true),
    ], masked(putDouble, 8));
  });

  test('approximations keep the architectural bound', () => {
    const view = new DataView(bench!.memory.buffer);
    const random = randomSource(SEED);
    for (let n = 0; n < 10_000; n++) {
      const value = Math.fround((random.u32() / 2 ** 31 + 2 ** -20) * 2 ** (random.below(200) - 100));
      view.setFloat32(X1, value, true);
      bench!.support['rcpss']!(X0, X0, X1, 0);
      assert.ok(Math.abs(view.getFloat32(X0, true) * value - 1) <= 1.5 * 2 ** -12);
      bench!.support['rsqrtss']!(X0, X0, X1, 0);
      assert.ok(Math.abs(view.getFloat32(X0, true) * Math.sqrt(value) - 1) <= 1.5 * 2 ** -12);
    }
  });

  test('conversions from doubles and integers', () => {
    const A = SLOT.rax;
    // prettier-ignore
    check([
      raw('cvtsd2ss', [0xf2, 0x0f, 0x5a, 0xc1], [X0, X0, X1, 0]), raw('cvtpd2ps', [0x66, 0x0f, 0x5a, 0xc1], [X0, X1, 0, 0]),
      raw('cvtpd2dq', [0xf2, 0x0f, 0xe6, 0xc1], [X0, X1, 0, 0]), raw('cvttpd2dq', [0x66, 0x0f, 0xe6, 0xc1], [X0, X1, 0, 0]),
      raw('cvtsd2si 32', [0xf2, 0x0f, 0x2d, 0xc1], [A, X1, 0, 4]), raw('cvtsd2si 64', [0xf2, 0x48, 0x0f, 0x2d, 0xc1], [A, X1, 0, 8]),
      raw('cvttsd2si 32', [0xf2, 0x0f, 0x2c, 0xc1], [A, X1, 0, 4]), raw('cvttsd2si 64', [0xf2, 0x48, 0x0f, 0x2c, 0xc1], [A, X1, 0, 8]),
      raw('cvtsi2ss 32', [0xf3, 0x0f, 0x2a, 0xc0], [X0, X0, A, 4]), raw('cvtsi2ss 64', [0xf3, 0x48, 0x0f, 0x2a, 0xc0], [X0, X0, A, 8]),
      raw('cvtsi2sd 32', [0xf2, 0x0f, 0x2a, 0xc0], [X0, X0, A, 4]), raw('cvtsi2sd 64', [0xf2, 0x48, 0x0f, 0x2a, 0xc0], [X0, X0, A, 8]),
      raw('cvtdq2ps', [0x0f, 0x5b, 0xc1], [X0, X1, 0, 0]), raw('cvtdq2pd', [0xf3, 0x0f, 0xe6, 0xc1], [X0, X1, 0, 0]),
      ...[0, 1, 2, 3, 4, 9, 12].flatMap((imm) => [
        raw(`roundsd ${imm}`, [0x66, 0x0f, 0x3a, 0x0b, 0xc1, imm], [X0, X0, X1, imm]),
        raw(`roundpd ${imm}`, [0x66, 0x0f, 0x3a, 0x09, 0xc1, imm], [X0, X1, 0, imm]),
      ]),
    ], doubles);
  });
});

/** The whole stack random, sometimes empty in places, exceptions pending or not; memory in the format of `put`. */
function stacks(put: Put): (record: DataView, at: number, op: number, r: Random) => void {
  return (record, at, _op, r) => {
    record.setUint32(at + RECORD.MXCSR, 0x1f80, true);
    record.setUint32(at + RECORD.RFLAGS, 0x202, true);
    const control = randomControlWord(r);
    record.setUint16(at + RECORD.FCW, control, true);
    // No exception is pending and unmasked: the instruction would not begin.
    record.setUint16(at + RECORD.FSW, (r.below(8) << 11) | (r.u32() & 0x4700) | (r.u32() & control & 0x3f), true);
    record.setUint16(at + RECORD.FTW, r.below(4) === 0 ? r.below(256) : [0xff, 0x7f, 0x3f][r.below(3)]!, true);
    if (r.below(2) === 0) rotateTags(record, at);
    for (let n = 0; n < 8; n++) putExtended(record, at + RECORD.ST + 16 * n, r);
    if (r.below(4) === 0) copyRelated(record, at, r);
    for (let n = 0; n < 64; n += 16) put(record, at + RECORD.MEMORY + n, r);
  };
}

/** Leaves two to four registers at the top in use. */
function rotateTags(record: DataView, at: number): void {
  const top = (record.getUint16(at + RECORD.FSW, true) >> 11) & 7;
  const used = 0x07 << top;
  record.setUint16(at + RECORD.FTW, (used | (used >> 8)) & 0xff, true);
}

/** ST(1) becomes ST(0), perhaps with another sign, exponent or last bits. */
function copyRelated(record: DataView, at: number, r: Random): void {
  for (let n = 0; n < 10; n++) record.setUint8(at + RECORD.ST + 16 + n, record.getUint8(at + RECORD.ST + n));
  if (r.below(2) === 0) record.setUint8(at + RECORD.ST + 16 + 9, record.getUint8(at + RECORD.ST + 9) ^ 0x80);
  if (r.below(2) === 0) record.setUint8(at + RECORD.ST + 16, record.getUint8(at + RECORD.ST) ^ r.below(16));
  if (r.below(4) === 0) record.setUint8(at + RECORD.ST + 16 + 8, record.getUint8(at + RECORD.ST + 8) ^ r.below(4));
}

const [M, B] = [SLOT.memory, SLOT.tmp0];
const mem = (opcode: number, reg: number): number[] => [opcode, (reg << 3) | 7];
const OPERATIONS = [0, 1, 4, 5, 6, 7];

function arithmeticStack(): FpOp[] {
  return OPERATIONS.flatMap((op) => {
    const reversed = op >= 4 ? op ^ 1 : op; // the encodings with ST(i) as the destination exchange the two directions
    return [0, 1, 2].flatMap((i) => [
      raw(`farithSt0Sti ${op} ${i}`, [0xd8, 0xc0 | (op << 3) | i], [0, 0, 0, op | (i << 3)]),
      raw(`farithStiSt0 ${op} ${i}`, [0xdc, 0xc0 | (reversed << 3) | i], [0, 0, 0, op | (i << 3)]),
      raw(`farithStiSt0 ${op} ${i} pop`, [0xde, 0xc0 | (reversed << 3) | i], [0, 0, 0, op | (i << 3) | (1 << 6)]),
    ]);
  });
}

describe('x87 equals the processor', { skip }, () => {
  test('arithmetic between registers', () => check(arithmeticStack(), stacks(putSingle)));

  test('arithmetic and comparison with memory', () => {
    const family = (suffix: string, opcode: number): FpOp[] => [
      ...OPERATIONS.map((op) => raw(`farith${suffix} ${op}`, mem(opcode, op), [0, M, 0, op])),
      raw(`fcom${suffix}`, mem(opcode, 2), [0, M, 0, 0]),
      raw(`fcom${suffix} pop`, mem(opcode, 3), [0, M, 0, 1]),
    ];
    check(family('F32', 0xd8), stacks(putSingle));
    check(family('F64', 0xdc), stacks(putDouble));
    check([...family('I16', 0xde), ...family('I32', 0xda)], stacks(putInteger));
  });

  test('comparison', () => {
    // prettier-ignore
    check([
      raw('fcomSti', [0xd8, 0xd1], [0, 0, 0, 1]), raw('fcomSti pop', [0xd8, 0xd9], [0, 0, 0, 1 | 8]),
      raw('fcomSti pops', [0xde, 0xd9], [0, 0, 0, 1 | 16]), raw('fucomSti', [0xdd, 0xe1], [0, 0, 0, 1]),
      raw('fucomSti pop', [0xdd, 0xe9], [0, 0, 0, 1 | 8]), raw('fucomSti pops', [0xda, 0xe9], [0, 0, 0, 1 | 16]),
      raw('fcomi', [0xdb, 0xf1], [0, 0, 0, 1], { flags: true }), raw('fcomi pop', [0xdf, 0xf1], [0, 0, 0, 1 | 8], { flags: true }),
      raw('fucomi', [0xdb, 0xe9], [0, 0, 0, 1], { flags: true }), raw('fucomi pop', [0xdf, 0xe9], [0, 0, 0, 1 | 8], { flags: true }),
      raw('ftst', [0xd9, 0xe4], [0, 0, 0, 0]), raw('fxam', [0xd9, 0xe5], [0, 0, 0, 0]),
    ], stacks(putSingle));
  });

  test('loads', () => {
    check([raw('fld32', mem(0xd9, 0), [0, M, 0, 0])], stacks(putSingle));
    check([raw('fld64', mem(0xdd, 0), [0, M, 0, 0])], stacks(putDouble));
    check([raw('fbld', mem(0xdf, 4), [0, M, M + 8, 0])], stacks(putDecimal));
    // prettier-ignore
    check([
      raw('fld80', mem(0xdb, 5), [0, M, M + 8, 0]), raw('fldSti', [0xd9, 0xc1], [0, 0, 0, 1]), raw('fldSti', [0xd9, 0xc7], [0, 0, 0, 7]),
      raw('fld1', [0xd9, 0xe8], [0, 0, 0, 0]), raw('fldl2t', [0xd9, 0xe9], [0, 0, 0, 0]), raw('fldl2e', [0xd9, 0xea], [0, 0, 0, 0]),
      raw('fldpi', [0xd9, 0xeb], [0, 0, 0, 0]), raw('fldlg2', [0xd9, 0xec], [0, 0, 0, 0]), raw('fldln2', [0xd9, 0xed], [0, 0, 0, 0]),
      raw('fldz', [0xd9, 0xee], [0, 0, 0, 0]),
    ], stacks(putExtended));
    // prettier-ignore
    check([
      raw('fild16', mem(0xdf, 0), [0, M, 0, 0]), raw('fild32', mem(0xdb, 0), [0, M, 0, 0]), raw('fild64', mem(0xdf, 5), [0, M, 0, 0]),
    ], stacks(putInteger));
  });

  test('stores', () => {
    // prettier-ignore
    check([
      raw('fst32', mem(0xd9, 2), [0, 0, B, 0]), raw('fst32 pop', mem(0xd9, 3), [0, 0, B, 1]),
      raw('fst64', mem(0xdd, 2), [0, 0, B, 0]), raw('fst64 pop', mem(0xdd, 3), [0, 0, B, 1]),
      raw('fst80 pop', mem(0xdb, 7), [0, 0, B, 1]), raw('fstSti', [0xdd, 0xd2], [0, 0, 0, 2]), raw('fstSti pop', [0xdd, 0xda], [0, 0, 0, 2 | 8]),
      raw('fist16', mem(0xdf, 2), [0, 0, B, 0]), raw('fist16 pop', mem(0xdf, 3), [0, 0, B, 1]),
      raw('fist32', mem(0xdb, 2), [0, 0, B, 0]), raw('fist32 pop', mem(0xdb, 3), [0, 0, B, 1]), raw('fist64 pop', mem(0xdf, 7), [0, 0, B, 1]),
      raw('fisttp16', mem(0xdf, 1), [0, 0, B, 0]), raw('fisttp32', mem(0xdb, 1), [0, 0, B, 0]), raw('fisttp64', mem(0xdd, 1), [0, 0, B, 0]),
      raw('fbstp', mem(0xdf, 6), [0, 0, B, 0]),
    ], stacks(putExtended));
  });

  test('one operand', () => {
    // prettier-ignore
    check([
      raw('fsqrt', [0xd9, 0xfa], [0, 0, 0, 0]), raw('frndint', [0xd9, 0xfc], [0, 0, 0, 0]), raw('fabs', [0xd9, 0xe1], [0, 0, 0, 0]),
      raw('fchs', [0xd9, 0xe0], [0, 0, 0, 0]), raw('fxtract', [0xd9, 0xf4], [0, 0, 0, 0]), raw('fxch', [0xd9, 0xc9], [0, 0, 0, 1]),
      raw('fscale', [0xd9, 0xfd], [0, 0, 0, 0]), raw('ffree', [0xdd, 0xc1], [0, 0, 0, 1]), raw('fincstp', [0xd9, 0xf7], [0, 0, 0, 0]),
      raw('fdecstp', [0xd9, 0xf6], [0, 0, 0, 0]), raw('emms', [0x0f, 0x77], [0, 0, 0, 0]), raw('fninit', [0xdb, 0xe3], [0, 0, 0, 0]),
      raw('fnclex', [0xdb, 0xe2], [0, 0, 0, 0]), raw('fldcw', mem(0xd9, 5), [0, M, 0, 0]), raw('fnstcw', mem(0xd9, 7), [M, 0, 0, 0]),
      raw('fnstsw', mem(0xdd, 7), [M, 0, 0, 0]),
    ], stacks(putInteger));
  });

  test('partial remainders', () => {
    check([raw('fprem', [0xd9, 0xf8], [0, 0, 0, 0]), raw('fprem1', [0xd9, 0xf5], [0, 0, 0, 0])], stacks(putSingle));
  });

  // C1 and the last bit depend on the processor's own approximation.
  test('transcendental functions within one unit of the last place', () => {
    const near = { statusMask: 0xfdff, ulps: 1 };
    const any = stacks(putSingle);
    const all: typeof any = (record, at, op, r) => {
      any(record, at, op, r);
      // The sine of the least normal number (perhaps with an exponent of 0) is an underflow to some processors: the next instead.
      const exponent = record.getUint16(at + RECORD.ST + 8, true) & 0x7fff;
      if (exponent <= 1 && record.getBigUint64(at + RECORD.ST, true) === 1n << 63n) record.setUint8(at + RECORD.ST, 1);
    };
    // prettier-ignore
    check([
      raw('fsin', [0xd9, 0xfe], [0, 0, 0, 0], near), raw('fcos', [0xd9, 0xff], [0, 0, 0, 0], near), raw('fsincos', [0xd9, 0xfb], [0, 0, 0, 0], near),
      raw('fptan', [0xd9, 0xf2], [0, 0, 0, 0], near), raw('fpatan', [0xd9, 0xf3], [0, 0, 0, 0], near), raw('fyl2x', [0xd9, 0xf1], [0, 0, 0, 0], near),
    ], all);
    const narrow = [raw('f2xm1', [0xd9, 0xf0], [0, 0, 0, 0], near), raw('fyl2xp1', [0xd9, 0xf9], [0, 0, 0, 0], near)];
    check(narrow, (record, at, op, r) => {
      all(record, at, op, r);
      // Only arguments in the range for which the result is defined.
      const word = record.getUint16(at + RECORD.ST + 8, true);
      if ((word & 0x7fff) > 0x3ffc && (word & 0x7fff) !== 0x7fff) record.setUint16(at + RECORD.ST + 8, (word & 0x8000) | 0x3ffc, true);
    });
  });

  test('environment', () => {
    // prettier-ignore
    check([
      raw('fnstenv', mem(0xd9, 6), [0, 0, B, 4 | 0x100], { memoryBytes: 12 }), raw('fnstenv 16', [0x66, ...mem(0xd9, 6)], [0, 0, B, 2 | 0x100], { memoryBytes: 6 }),
      raw('fldenv', mem(0xd9, 4), [0, 0, B, 4 | 0x100]), raw('fldenv 16', [0x66, ...mem(0xd9, 4)], [0, 0, B, 2 | 0x100]),
    ], stacks(putInteger));
  });

  test('a state saved, lost and restored is the same', () => {
    const lose = (s: Support): void => {
      s['fninit']!(0, 0, 0, 0);
      for (let n = 0; n < 8; n++) s['fldpi']!(0, 0, 0, 0);
      s['addps']!(X0, X1, X1, 0);
    };
    const kept = (save: string, restore: string): FpOp => ({
      name: save,
      code: [0x90],
      run: (s) => {
        s[save]!(0, 0, SLOT.tmp1, save === 'fnsave' ? 4 | 0x100 : 1);
        lose(s);
        s[restore]!(0, 0, SLOT.tmp1, save === 'fnsave' ? 4 | 0x100 : 1);
      },
    });
    const fill = stacks(putSingle);
    const ops = [kept('fxsave', 'fxrstor'), kept('fnsave', 'frstor'), kept('xsave', 'xrstor'), kept('xsaveopt', 'xrstor')];
    ops.push(kept('xsavec', 'xrstor'), kept('xsaves', 'xrstors'));
    check(ops, (record, at, op, r) => {
      fill(record, at, op, r);
      record.setUint32(at + RECORD.RAX, 7, true);
    });
  });
});
