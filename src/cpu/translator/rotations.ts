// Rotations by a constant, which a region does in place: their count, out of the records, and what they become.
import { OP } from '../../wasm/opcodes.ts';
import { PENDING_FLAGS } from '../ir/flags.ts';
import { MOVI } from '../ir/ops-integer.ts';
import { RECORD } from '../ir/record.ts';
import type { InlineLowering } from './inline-lowering.ts';
import type { CodeMemory } from './region-blocks.ts';
import { PENDING } from './region-locals.ts';

/** The count of a rotation of 32 or 64 bits whose record is `record`, where the record before loads it; undefined otherwise. */
export function constantCount({ u16, i32 }: CodeMemory, record: number): number | undefined {
  const before = record - RECORD.BYTES;
  const sameInstruction = u16[(before + RECORD.PC) >> 1] === u16[(record + RECORD.PC) >> 1];
  const loadsCount = MOVI.includes(u16[before >> 1]!) && u16[(before + RECORD.D) >> 1] === u16[(record + RECORD.B) >> 1];
  const size = i32[(record + RECORD.IMM) >> 2]!;
  if (!sameInstruction || !loadsCount || size < 4) return undefined;
  return i32[(before + RECORD.IMM) >> 2]! & (size === 8 ? 63 : 31);
}

/** ROL and ROR of 32 and 64 bits by a constant; their flags are worked out when somebody asks. */
export function rotateByConstant(m: InlineLowering, isRight: boolean, count: number): void {
  const { code } = m;
  const width = m.knownImmediate() === 8 ? 3 : 2;
  m.get('a', width);
  if (width === 3) code.i64(count);
  else code.i32(count);
  code.op(width === 3 ? (isRight ? OP.i64_rotr : OP.i64_rotl) : isRight ? OP.i32_rotr : OP.i32_rotl);
  if (count === 0) return m.close('d', width);
  if (width === 2) code.op(OP.i64_extend_i32_u);
  code.tee(PENDING);
  if (width === 2) code.op(OP.i32_wrap_i64);
  m.close('d', width);
  m.at.pending = PENDING_FLAGS[isRight ? 'ROR' : 'ROL'] + (width === 3 ? 2 : 0);
}
