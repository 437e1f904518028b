// Scalar SSE floating point in a region: one WebAssembly operation where that has the result and raises no exception flag that is not
// set already, under the rule of assembly/sse-float-core.ts (rounding to nearest, PE masked and set, operands zero or normal, a normal
// result); everything else calls the helper. Specification: Intel SDM volume 1 section 11.5.
import { OP } from '../../wasm/opcodes.ts';
import type { InlineLowering } from './inline-lowering.ts';

/** Of MXCSR: PM and the rounding control; PE. */
const PRECISION_MASKED = 0x1000;
const ROUNDING = 0x6000;
const PE = 0x20;

/** Opcodes and limits of one format. Magnitudes are the bits without the sign, moved up by one. */
interface Format {
  readonly width: 2 | 3;
  /** Below it, zero apart, a magnitude is that of a denormal; of a result also that of what may have been rounded up from one. */
  readonly least: bigint;
  /** From the least magnitude of a surely normal result to that of infinity. */
  readonly span: bigint;
  readonly from: number;
  readonly to: number;
  readonly equal: number;
  readonly less: number;
}
const SINGLE: Format = {
  width: 2, least: 0x01000000n, span: 0xfd000000n, from: OP.f32_reinterpret_i32, to: OP.i32_reinterpret_f32, equal: OP.f32_eq,
  less: OP.f32_lt,
};
const DOUBLE: Format = {
  width: 3, least: 0x0020000000000000n, span: 0xffa0000000000000n, from: OP.f64_reinterpret_i64, to: OP.i64_reinterpret_f64,
  equal: OP.f64_eq, less: OP.f64_lt,
};

/** By the name without its last letter: the operations for single and double. */
const ARITHMETIC: Readonly<Record<string, readonly [number, number]>> = {
  adds: [OP.f32_add, OP.f64_add], subs: [OP.f32_sub, OP.f64_sub], muls: [OP.f32_mul, OP.f64_mul], divs: [OP.f32_div, OP.f64_div],
  sqrts: [OP.f32_sqrt, OP.f64_sqrt],
};

/** Emits `name`, if it is one of these. */
export function scalarFloat(m: InlineLowering, name: string): boolean {
  const format = name.endsWith('d') ? DOUBLE : SINGLE;
  const arithmetic = ARITHMETIC[name.slice(0, -1)];
  if (arithmetic !== undefined) {
    if (!m.sameOperand('d', 'a')) return false;
    arithmeticOf(m, name, format, arithmetic[format === DOUBLE ? 1 : 0]);
    return true;
  }
  if (/^u?comis[sd]$/.test(name)) compareOf(m, name, format);
  else if (name === 'cvtsi2sd' && m.sameOperand('d', 'a')) fromInteger(m);
  else if (name === 'cvttsd2si' && m.immediateIs(4)) toInteger(m);
  else return false;
  return true;
}

/** Pushes a constant of the format's integer type. */
function constant({ code }: InlineLowering, { width }: Format, value: bigint): void {
  if (width === 3) code.i64big(value);
  else code.i32(Number(BigInt.asIntN(32, value)));
}
const operation = ({ width }: Format, single: number, double: number): number => (width === 3 ? double : single);

function locals(m: InlineLowering, { width }: Format): readonly [x: number, y: number, result: number] {
  const [x, y, result] = width === 3 ? m.i64 : m.i32;
  return [x!, y!, result!];
}

function pushFloat(m: InlineLowering, format: Format, local: number): void {
  m.code.get(local);
  m.code.op(format.from);
}

function pushMagnitude({ code }: InlineLowering, format: Format, local: number): void {
  code.get(local);
  if (format.width === 3) code.i64(1);
  else code.i32(1);
  code.op(operation(format, OP.i32_shl, OP.i64_shl));
}

/** Pushes whether a value is zero or at least as large as the least normal one. */
function pushZeroOrNormal(m: InlineLowering, format: Format, local: number): void {
  pushMagnitude(m, format, local);
  constant(m, format, 1n);
  m.code.op(operation(format, OP.i32_sub, OP.i64_sub));
  constant(m, format, format.least - 1n);
  m.code.op(operation(format, OP.i32_ge_u, OP.i64_ge_u));
}

/** Pushes whether a result is normal, and not the least normal value. */
function pushSurelyNormal(m: InlineLowering, format: Format, local: number): void {
  pushMagnitude(m, format, local);
  constant(m, format, 2n * format.least);
  m.code.op(operation(format, OP.i32_sub, OP.i64_sub));
  constant(m, format, format.span);
  m.code.op(operation(format, OP.i32_lt_u, OP.i64_lt_u));
}

/** Pushes whether an inexact result would change nothing: PE is masked and set. `rounding`: and rounding is to nearest. */
function pushInexactIsQuiet(m: InlineLowering, rounding: boolean): void {
  const { code } = m;
  m.state('mxcsr', 2);
  code.i32(PRECISION_MASKED | PE | (rounding ? ROUNDING : 0));
  code.op(OP.i32_and);
  code.i32(PRECISION_MASKED | PE);
  code.op(OP.i32_eq);
}

/** The number on the stack becomes the lowest lane of d. */
function storeLane(m: InlineLowering, format: Format, local: number): void {
  m.address('d');
  m.code.get(local);
  m.code.memory(operation(format, OP.i32_store, OP.i64_store));
}

/** d = a op b, or op(b) of a square root. */
function arithmeticOf(m: InlineLowering, name: string, format: Format, op: number): void {
  const { code } = m;
  const [x, y, result] = locals(m, format);
  const isRoot = name.startsWith('sqrt');
  if (!isRoot) {
    m.get('a', format.width);
    code.set(x);
  }
  m.get('b', format.width);
  code.set(y);
  if (!isRoot) pushFloat(m, format, x);
  pushFloat(m, format, y);
  code.op(op);
  code.op(format.to);
  code.set(result);
  pushSurelyNormal(m, format, result);
  pushInexactIsQuiet(m, true);
  code.op(OP.i32_and);
  for (const operand of isRoot ? [y] : [x, y]) {
    pushZeroOrNormal(m, format, operand);
    code.op(OP.i32_and);
  }
  m.chooseEffect(name, () => storeLane(m, format, result));
}

/** Flags of a compared with b: the six in their places, CF for less and ZF for equal. No number is unordered here. */
function compareOf(m: InlineLowering, name: string, format: Format): void {
  const { code } = m;
  const [x, y] = locals(m, format);
  m.get('a', format.width);
  code.set(x);
  m.get('b', format.width);
  code.set(y);
  [x, y].forEach((local, n) => {
    pushZeroOrNormal(m, format, local);
    if (n > 0) code.op(OP.i32_and);
    pushFloat(m, format, local);
    pushFloat(m, format, local);
    code.op(format.equal);
    code.op(OP.i32_and);
  });
  m.chooseFlags(name, () => {
    pushFloat(m, format, x);
    pushFloat(m, format, y);
    code.op(format.less);
    pushFloat(m, format, x);
    pushFloat(m, format, y);
    code.op(format.equal);
    code.i32(6);
    code.op(OP.i32_shl);
    code.op(OP.i32_or);
    code.op(OP.i64_extend_i32_u);
  });
}

/** An address and an integer are on the stack: the number goes there as a double. */
function convert({ code }: InlineLowering, operation: number): void {
  code.op(operation);
  code.op(OP.i64_reinterpret_f64);
  code.memory(OP.i64_store);
}

/** d = b, a signed integer of the immediate's size: exact up to 53 bits. */
function fromInteger(m: InlineLowering): void {
  const { code } = m;
  const value = m.i64[0]!;
  if (m.immediateIs(4)) {
    m.address('d');
    m.get('b', 2);
    return convert(m, OP.f64_convert_i32_s);
  }
  m.get('b', 3);
  code.tee(value);
  code.i64big(1n << 53n);
  code.op(OP.i64_add);
  code.i64big(1n << 54n);
  code.op(OP.i64_le_u);
  m.chooseEffect('cvtsi2sd', () => {
    m.address('d');
    code.get(value);
    convert(m, OP.f64_convert_i64_s);
  });
}

/** The register d = a, truncated to 32 bits. */
function toInteger(m: InlineLowering): void {
  const { code } = m;
  const value = m.i64[0]!;
  m.get('a', 3);
  code.set(value);
  pushFloat(m, DOUBLE, value);
  code.op(OP.f64_abs);
  code.i32(0x7fffffff);
  code.op(OP.f64_convert_i32_s);
  code.op(OP.f64_lt);
  pushInexactIsQuiet(m, false);
  code.op(OP.i32_and);
  m.chooseResult('cvttsd2si', () => {
    m.open('d');
    pushFloat(m, DOUBLE, value);
    code.op(OP.i32_trunc_f64_s);
    m.close('d', 2);
  });
}
