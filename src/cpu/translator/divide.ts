// DIV and IDIV of 32 and 64 bits in a region, where the quotient surely fits: every 32-bit division by something else than 0 and -1
// whose quotient has 32 bits, and 64-bit ones whose dividend has 64 bits. Other 64-bit ones call the helper (assembly/integer.ts): digits
// of long numbers are divided so, for instance where one is printed. Other 32-bit ones fault, or nearly so, and are the interpreter's.
// Flags are undefined afterwards and stay as they were. Specification: Intel SDM volume 2, DIV, IDIV.
import { OP } from '../../wasm/opcodes.ts';
import type { InlineLowering } from './inline-lowering.ts';

/** RDX:RAX or EDX:EAX divided by a; the immediate is the size in bytes. Returns false for the sizes that it does not know. */
export function divide(m: InlineLowering, signed: boolean): boolean {
  const size = m.immediateIs(8) ? 8 : 4;
  if (size === 4 && !m.immediateIs(4)) return false;
  const [divisor, dividend, quotient] = m.i64 as readonly [number, number, number, number];
  const division = { divisor, dividend, quotient };
  m.getExtended('a', size === 8 ? 3 : 2, signed);
  m.code.set(divisor);
  if (size === 8) divide64(m, division, signed);
  else divide32(m, division, signed);
  return true;
}

function divide64(m: InlineLowering, division: Division, signed: boolean): void {
  const { code } = m;
  m.state('rax', 3);
  code.set(division.dividend);
  pushRefused(m, division.divisor, signed);
  pushIsWide(m, signed);
  code.op(OP.i32_or);
  code.op(OP.i32_eqz);
  m.chooseResult(signed ? 'idiv' : 'div', () => {
    setQuotient(m, division, signed);
    writeResults(m, 8, division);
  });
}

function divide32(m: InlineLowering, division: Division, signed: boolean): void {
  const { code } = m;
  pushPair(m);
  code.set(division.dividend);
  pushRefused(m, division.divisor, signed);
  code.if();
  m.leaveForInterpreter();
  code.end();
  setQuotient(m, division, signed);
  leaveUnlessFits(m, division.quotient, signed);
  writeResults(m, 4, division);
}

function setQuotient({ code }: InlineLowering, { divisor, dividend, quotient }: Division, signed: boolean): void {
  code.get(dividend);
  code.get(divisor);
  code.op(signed ? OP.i64_div_s : OP.i64_div_u);
  code.set(quotient);
}

/** EDX:EAX. */
function pushPair(m: InlineLowering): void {
  const { code } = m;
  m.state('rdx', 3);
  code.i64(32);
  code.op(OP.i64_shl);
  m.state('rax', 2);
  code.op(OP.i64_extend_i32_u);
  code.op(OP.i64_or);
}

/** Pushes whether the divisor is 0, or, signed, -1, with which WebAssembly's division would trap for one dividend. */
function pushRefused({ code }: InlineLowering, divisor: number, signed: boolean): void {
  code.get(divisor);
  if (!signed) return code.op(OP.i64_eqz);
  code.i64(1);
  code.op(OP.i64_add);
  code.i64(2);
  code.op(OP.i64_lt_u);
}

/** Pushes whether RDX is more than the extension of RAX. */
function pushIsWide(m: InlineLowering, signed: boolean): void {
  const { code } = m;
  m.state('rdx', 3);
  if (signed) {
    m.state('rax', 3);
    code.i64(63);
    code.op(OP.i64_shr_s);
  } else code.i64(0);
  code.op(OP.i64_ne);
}

function leaveUnlessFits(m: InlineLowering, quotient: number, signed: boolean): void {
  const { code } = m;
  code.get(quotient);
  if (signed) code.op(OP.i64_extend32_s);
  else {
    code.op(OP.i32_wrap_i64);
    code.op(OP.i64_extend_i32_u);
  }
  code.get(quotient);
  code.op(OP.i64_ne);
  code.if();
  m.leaveForInterpreter();
  code.end();
}

interface Division {
  readonly divisor: number;
  readonly dividend: number;
  readonly quotient: number;
}

function writeResults(m: InlineLowering, size: 4 | 8, { divisor, dividend, quotient }: Division): void {
  const { code } = m;
  const width = size === 8 ? 3 : 2;
  m.openState();
  code.get(dividend);
  code.get(quotient);
  code.get(divisor);
  code.op(OP.i64_mul);
  code.op(OP.i64_sub);
  if (size === 4) code.op(OP.i32_wrap_i64);
  m.closeState('rdx', width);
  m.openState();
  code.get(quotient);
  if (size === 4) code.op(OP.i32_wrap_i64);
  m.closeState('rax', width);
}
