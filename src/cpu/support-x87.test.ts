// The usual cases of the x87 (assembly/x87-usual.ts) against the same operations with an exception unmasked that does not happen, which
// makes no case a usual one: result, status word and order must agree. What is right is the processor's to say (test/oracle).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { SUPPORT_WASM, SupportBench } from './support-bench.ts';

const ALL_MASKED = 0x37fn;
/** Division by zero: the operands below are never zero. */
const ONE_UNMASKED = 0x37bn;
const MEMORY = 0x3000;
const TOP = 1n << 63n;
const [BIAS, EXPONENT_MAX] = [16383, 0x7ffe];

interface Value {
  readonly significand: bigint;
  readonly high: number;
}
interface Outcome {
  readonly significand: bigint;
  readonly high: bigint;
  readonly status: bigint;
}

const statusOf = (bench: SupportBench): bigint => (bench.get('fcw') >> 16n) & 0xffffn;

function begin(bench: SupportBench, control: bigint, values: readonly Value[]): void {
  bench.help('fninit');
  bench.help('fldcw', { a: control });
  for (const { significand, high } of values) bench.help('fld80', { a: significand, b: BigInt(high) });
}

/** Status word after `name`, then what ST(0) is. */
function outcome(
  bench: SupportBench, control: bigint, values: readonly Value[], name: string, operands: { a?: bigint; imm: number },
): Outcome {
  begin(bench, control, values);
  assert.equal(bench.help(name, operands), undefined);
  const status = statusOf(bench);
  bench.help('fst80', { b: BigInt(MEMORY), imm: 1 });
  return { status, significand: bench.peek(MEMORY, 8), high: bench.peek(MEMORY + 8, 2) };
}

/** Significands whose sums, products and roundings carry, cancel, or lie in the middle. */
function significand(random: Prng): bigint {
  const bits = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  const few = 1n << BigInt(random.below(63));
  const double = (bits >> 11n) << 11n;
  const shapes = [bits, few, few - 1n, ~few, double, double | 0x400n, 0n, -1n, BigInt(random.below(4)), 1n << 32n];
  return BigInt.asUintN(64, random.pick(shapes)) | TOP;
}

function value(random: Prng, around: number): Value {
  const exponent = Math.min(EXPONENT_MAX, Math.max(1, around + random.below(140) - 70));
  return { significand: significand(random), high: exponent | (random.below(2) << 15) };
}

const text = ({ significand, high }: Value): string => `${high.toString(16)}:${significand.toString(16)}`;

test('arithmetic of usual operands', () => {
  const bench = new SupportBench(new WebAssembly.Module(readFileSync(SUPPORT_WASM)));
  const random = new Prng(5);
  for (let n = 0; n < 20_000; n++) {
    const around = random.pick([BIAS, BIAS, 40, EXPONENT_MAX - 40, BIAS >> 1, 24575]);
    const b = value(random, around);
    const a = random.oneIn(8) ? { ...b, high: b.high ^ (random.below(2) << 15) } : value(random, around);
    const imm = random.pick([0, 1, 4, 5, 6, 7]) | (1 << 3);
    const [usual, general] = [ALL_MASKED, ONE_UNMASKED].map((control) => outcome(bench, control, [b, a], 'farithSt0Sti', { imm }));
    assert.deepEqual(usual, general, `${text(a)} ${imm & 7} ${text(b)}`);
  }
});

test('doubles', () => {
  const bench = new SupportBench(new WebAssembly.Module(readFileSync(SUPPORT_WASM)));
  const random = new Prng(6);
  const store = (control: bigint, x: Value): readonly bigint[] => {
    begin(bench, control, [x]);
    assert.equal(bench.help('fst64', { b: BigInt(MEMORY), imm: 0 }), undefined);
    return [bench.peek(MEMORY, 8), statusOf(bench)];
  };
  for (let n = 0; n < 20_000; n++) {
    const x = value(random, random.pick([BIAS, BIAS - 1023, BIAS + 1023]));
    assert.deepEqual(store(ALL_MASKED, x), store(ONE_UNMASKED, x), text(x));
    const double = (significand(random) >> 1n) ^ (BigInt(random.below(2)) << 63n);
    const [usual, general] = [ALL_MASKED, ONE_UNMASKED].map((control) => outcome(bench, control, [x], 'farithF64', { a: double, imm: 0 }));
    assert.deepEqual(usual, general, `${text(x)} + ${double.toString(16)}`);
  }
});

test('a double is loaded exactly, and ordered as it is', () => {
  const bench = new SupportBench(new WebAssembly.Module(readFileSync(SUPPORT_WASM)));
  const bits = new DataView(new ArrayBuffer(8));
  const bitsOf = (x: number): bigint => (bits.setFloat64(0, x), bits.getBigUint64(0));
  const ordinary = [0, -0, 1, -1, 1.5, -1.5, 2, 1 + 2 ** -52, -1 - 2 ** -52, 1e-300, 123456789.123];
  const numbers = [...ordinary, 2 ** -1022, -(2 ** 1023), Number.MAX_VALUE];
  const CONDITIONS = 0x4500n;
  for (const a of numbers) {
    begin(bench, ALL_MASKED, []);
    bench.help('fld64', { a: bitsOf(a) });
    bench.help('fst64', { b: BigInt(MEMORY), imm: 0 });
    assert.equal(bench.peek(MEMORY, 8), bitsOf(a));
    for (const b of numbers) {
      const expected = a > b ? 0n : a < b ? 0x100n : 0x4000n;
      bench.help('fcomF64', { a: bitsOf(b), imm: 0 });
      assert.equal(statusOf(bench) & CONDITIONS, expected, `fcom ${a} ${b}`);
      bench.help('fld64', { a: bitsOf(b) });
      bench.help('fxch', { imm: 1 });
      bench.help('fucomSti', { imm: 1 });
      assert.equal(statusOf(bench) & CONDITIONS, expected, `fucom ${a} ${b}`);
      bench.help('fcomi', { imm: 1 });
      assert.equal(Number(bench.call('readFlags')) & 0x45, Number(expected >> 8n), `fcomi ${a} ${b}`);
      bench.help('fstSti', { imm: 1 | 8 });
    }
  }
});
