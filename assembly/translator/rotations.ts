// Rotations whose count is a constant, which the record before loads: src/cpu/translator/rotations.ts says what becomes of them.
import { MOVI_FIRST, MOVI_LAST, OPERAND_B, OPERAND_D, RECORD_BYTES, RECORD_PC } from '../generated/layout';
import { immediateOf, slotOf } from './tables';

export const NO_COUNT: i32 = -1;

/** The count of a rotation of 32 or 64 bits, where it is a constant; otherwise NO_COUNT. */
export function constantCount(record: u32): i32 {
  const before = record - RECORD_BYTES;
  const loader = <u32>load<u16>(before);
  if (load<u16>(before + RECORD_PC) != load<u16>(record + RECORD_PC) || loader < MOVI_FIRST || loader > MOVI_LAST) return NO_COUNT;
  const size = immediateOf(record);
  if (slotOf(before, OPERAND_D) != slotOf(record, OPERAND_B) || size < 4) return NO_COUNT;
  return immediateOf(before) & (size == 8 ? 63 : 31);
}
