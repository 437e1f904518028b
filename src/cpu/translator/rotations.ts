// Rotations by a constant, which a region does in place: their count, out of the records. What they do is region-lowering.ts.
import { MOVI } from '../ir/ops-integer.ts';
import { RECORD } from '../ir/record.ts';
import type { CodeMemory } from './region-blocks.ts';

/** The count of a rotation of 32 or 64 bits whose record is `record`, where the record before loads it; undefined otherwise. */
export function constantCount({ u16, i32 }: CodeMemory, record: number): number | undefined {
  const before = record - RECORD.BYTES;
  const sameInstruction = u16[(before + RECORD.PC) >> 1] === u16[(record + RECORD.PC) >> 1];
  const loadsCount = MOVI.includes(u16[before >> 1]!) && u16[(before + RECORD.D) >> 1] === u16[(record + RECORD.B) >> 1];
  const size = i32[(record + RECORD.IMM) >> 2]!;
  if (!sameInstruction || !loadsCount || size < 4) return undefined;
  return i32[(before + RECORD.IMM) >> 2]! & (size === 8 ? 63 : 31);
}
