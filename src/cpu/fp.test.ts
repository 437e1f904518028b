// Floating point against the processor of this machine: random operands and modes, results and flags compared.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RECORD, SLOT, compareWithProcessor, loadBench, oracleMissing } from '../../test/oracle/fp-bench.ts';
import type { FpOp, Support } from '../../test/oracle/fp-bench.ts';
import { putDouble, putSingle, randomMxcsr, randomSource } from '../../test/oracle/fp-operands.ts';
import type { Random } from '../../test/oracle/fp-operands.ts';

const CASES = Number(process.env['NANDU_FP_CASES'] ?? 100_000);
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

/** op xmm0, xmm1 in one operand type; `args` are the addresses the helper gets. */
function sse(name: string, type: string, opcode: readonly number[], args: readonly [number, number, number] = [X0, X0, X1], imm?: number): FpOp {
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

describe('SSE floating point equals the processor', { skip }, () => {
  test('arithmetic on singles', () => check(arithmeticOf(['ss', 'ps']), singles));
  test('arithmetic on doubles', () => check(arithmeticOf(['sd', 'pd']), doubles));

  test('comparison into EFLAGS', () => {
    check([raw('ucomiss', [0x0f, 0x2e, 0xc1], [0, X0, X1, 0], { flags: true }), raw('comiss', [0x0f, 0x2f, 0xc1], [0, X0, X1, 0], { flags: true })], singles);
    check(
      [raw('ucomisd', [0x66, 0x0f, 0x2e, 0xc1], [0, X0, X1, 0], { flags: true }), raw('comisd', [0x66, 0x0f, 0x2f, 0xc1], [0, X0, X1, 0], { flags: true })],
      doubles,
    );
  });

  test('horizontal, alternating and dot products', () => {
    // prettier-ignore
    check([
      raw('haddps', [0xf2, 0x0f, 0x7c, 0xc1], [X0, X0, X1, 0]), raw('hsubps', [0xf2, 0x0f, 0x7d, 0xc1], [X0, X0, X1, 0]),
      raw('addsubps', [0xf2, 0x0f, 0xd0, 0xc1], [X0, X0, X1, 0]),
      ...[0xff, 0x71, 0x3c, 0xa5].map((imm) => raw(`dpps ${imm}`, [0x66, 0x0f, 0x3a, 0x40, 0xc1, imm], [X0, X0, X1, imm])),
    ], singles);
    // prettier-ignore
    check([
      raw('haddpd', [0x66, 0x0f, 0x7c, 0xc1], [X0, X0, X1, 0]), raw('hsubpd', [0x66, 0x0f, 0x7d, 0xc1], [X0, X0, X1, 0]),
      raw('addsubpd', [0x66, 0x0f, 0xd0, 0xc1], [X0, X0, X1, 0]),
      ...[0xff, 0x31, 0x12, 0x23].map((imm) => raw(`dppd ${imm}`, [0x66, 0x0f, 0x3a, 0x41, 0xc1, imm], [X0, X0, X1, imm])),
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
