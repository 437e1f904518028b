// 64-bit IMUL in a region: the product and whether it was truncated, which WebAssembly has no instruction for.
import type { CodeWriter } from '../../wasm/code-writer.ts';
import { OP, TYPE } from '../../wasm/opcodes.ts';
import { CC, ccOp } from '../ir/flags.ts';
import type { Lowering } from '../ir/lowering.ts';

/** d = a * b, with CF and OF. */
export function multiply64(m: Lowering): void {
  const { code } = m;
  const [x, y, product] = m.i64 as readonly [number, number, number, number];
  m.get('a', 3);
  code.set(x);
  m.get('b', 3);
  code.set(y);
  code.get(x);
  code.get(y);
  code.op(OP.i64_mul);
  code.set(product);
  pushHighDiffers(code, x, y, product);
  code.op(OP.i64_extend_i32_u);
  code.set(y);
  m.open('d');
  code.get(product);
  m.close('d', 3);
  m.setFlags(ccOp(CC.MUL, 3), 3, product, y);
}

/** Whether a factor is so small that the product of two such ones fits. */
function pushIsSmall(code: CodeWriter, local: number): void {
  code.get(local);
  code.op(OP.i64_extend32_s);
  code.get(local);
  code.op(OP.i64_eq);
}

/** Whether the signed product of two 64-bit factors does not fit 64 bits: found out by dividing it back, if the factors are not small. */
function pushHighDiffers(code: CodeWriter, x: number, y: number, product: number): void {
  pushIsSmall(code, x);
  pushIsSmall(code, y);
  code.op(OP.i32_and);
  code.if(TYPE.i32);
  code.i32(0);
  code.else();
  code.get(x);
  code.op(OP.i64_eqz);
  code.if(TYPE.i32);
  code.i32(0);
  code.else();
  code.get(x);
  code.i64(-1);
  code.op(OP.i64_eq);
  code.if(TYPE.i32); // a division by -1 traps on the one value whose product overflows
  code.get(y);
  code.i64big(-0x8000000000000000n);
  code.op(OP.i64_eq);
  code.else();
  code.get(product);
  code.get(x);
  code.op(OP.i64_div_s);
  code.get(y);
  code.op(OP.i64_ne);
  code.end();
  code.end();
  code.end();
}
