// ROL and ROR of 32 and 64 bits by a constant, which a region does in place; their flags are worked out when somebody asks.
import { OP } from '../../wasm/opcodes.ts';
import { PENDING_FLAGS } from '../ir/flags.ts';
import type { InlineLowering } from './inline-lowering.ts';
import { PENDING } from './region-locals.ts';

/** d = a rotated. False, with nothing emitted, when the count is not a constant. */
export function rotate(m: InlineLowering, isRight: boolean): boolean {
  const count = m.rotationCount();
  if (count === undefined) return false;
  const { code } = m;
  const width = m.immediateIs(8) ? 3 : 2;
  m.get('a', width);
  m.pushRotationCount(width);
  code.op(width === 3 ? (isRight ? OP.i64_rotr : OP.i64_rotl) : isRight ? OP.i32_rotr : OP.i32_rotl);
  if (count === 'zero') {
    m.close('d', width);
    return true;
  }
  if (width === 2) code.op(OP.i64_extend_i32_u);
  code.tee(PENDING);
  if (width === 2) code.op(OP.i32_wrap_i64);
  m.close('d', width);
  m.setPending(PENDING_FLAGS[isRight ? 'ROR' : 'ROL'] + (width === 3 ? 2 : 0));
  return true;
}
