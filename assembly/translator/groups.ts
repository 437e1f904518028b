// Accesses of a block that lie close together, relative to one register: they need one look into the TLB. Says, for an access, how far
// those after it reach as long as the register keeps its value but for constants (PUSH, POP, ADD RSP). Emits nothing.
import {
  ACCESS_KIND_INDEXED, ACCESS_KIND_NONE, ACCESS_KIND_OPERAND, ACCESS_KIND_POP, ACCESS_KIND_PUSH, ACCESS_KIND_RETURN, OPERAND_A, OPERAND_B,
  OPERAND_D, RSP, TRAIT_ACCESS_WRITES, TRAIT_ADDS, TRAIT_ENDS_GROUPS, TRAIT_SUBTRACTS, TRAIT_WRITES_NOTHING, TRAIT_WRITES_SOURCES,
} from '../generated/layout';
import { GENERAL_COUNT } from './state';
import { accessBytes, accessKind, Block, immediateOf, operationOf, recordOf, slotOf, traitsOf } from './tables';

/** The accesses of a group lie within so many bytes: the more, the more often a page ends in the middle. */
const REACH_MAX: i32 = 256;
/** What lies further from its register is in no group, so that the ends of groups are numbers of 32 bits. */
export const DISTANCE_MAX: i64 = 0x7fff0000;
/** No slot. */
export const NO_PLACE: u32 = 0xffffffff;

/** What the access found last adds to its register. */
export let displacement: i32 = 0;

/** The slot of the one register that a record's access lies around (`displacement`), or NO_PLACE. */
export function placeOf(operation: u32, record: u32): u32 {
  const kind = accessKind(operation);
  if (kind == ACCESS_KIND_INDEXED || kind == ACCESS_KIND_NONE) return NO_PLACE;
  if (kind == ACCESS_KIND_OPERAND) {
    displacement = immediateOf(record);
    return slotOf(record, OPERAND_A);
  }
  displacement = kind == ACCESS_KIND_PUSH ? -accessBytes(operation) : 0;
  return RSP;
}

/** Whether a record adds a constant to RSP (`constantAdded`). */
export function addsToStack(operation: u32, record: u32): bool {
  const traits = traitsOf(operation);
  if ((traits & (TRAIT_ADDS | TRAIT_SUBTRACTS)) == 0) return false;
  return slotOf(record, OPERAND_D) == RSP && slotOf(record, OPERAND_A) == RSP;
}
export function constantAdded(operation: u32, record: u32): i32 {
  const immediate = immediateOf(record);
  return (traitsOf(operation) & TRAIT_ADDS) != 0 ? immediate : -immediate;
}

// The walk: what has been found so far, and what was added to the register.
export let low: i32 = 0;
export let high: i32 = 0;
export let writes: bool = false;
let accesses: u32 = 0;
let moved: i64 = 0;

function take(at: i32, bytes: i32, isWrite: bool): bool {
  const place = moved + at;
  if (place < -DISTANCE_MAX || place > DISTANCE_MAX) return false;
  const newLow = min(low, <i32>place);
  const newHigh = max(high, <i32>place + bytes);
  if (<i64>newHigh - newLow > REACH_MAX) return false;
  low = newLow;
  high = newHigh;
  writes = writes || isWrite;
  accesses++;
  return true;
}

/** False where the block ends with the access. */
function moves(kind: u32, bytes: i32): bool {
  if (kind == ACCESS_KIND_PUSH) moved -= bytes;
  if (kind == ACCESS_KIND_POP || kind == ACCESS_KIND_RETURN) moved += bytes;
  return kind != ACCESS_KIND_RETURN;
}

/** Whether the register is the same after the record, but for a constant. */
function keepsRegister(operation: u32, record: u32, register: u32): bool {
  const traits = traitsOf(operation);
  if ((traits & TRAIT_WRITES_SOURCES) != 0) {
    if ((slotOf(record, OPERAND_A) & ~7) == register || (slotOf(record, OPERAND_B) & ~7) == register) return false;
  }
  if ((traits & TRAIT_WRITES_NOTHING) != 0 || (slotOf(record, OPERAND_D) & ~7) != register) return true;
  if (register != RSP || !addsToStack(operation, record)) return false;
  moved += constantAdded(operation, record);
  return true;
}

/** False when the walk ends before this record. */
function step(operation: u32, record: u32, register: u32): bool {
  const traits = traitsOf(operation);
  if ((traits & TRAIT_ENDS_GROUPS) != 0) return false;
  if (placeOf(operation, record) == register) {
    const bytes = accessBytes(operation);
    if (!take(displacement, bytes, (traits & TRAIT_ACCESS_WRITES) != 0) || !moves(accessKind(operation), bytes)) return false;
  }
  return keepsRegister(operation, record, register);
}

/**
 * How far the accesses of a block reach from record number `from` on, itself included, relative to the general register whose slot is
 * `register`: `low`, `high` and `writes`, when there are more than one.
 */
export function findReach(register: u32, block: Block, from: u32): bool {
  if (register >= GENERAL_COUNT * 8 || (register & 7) != 0) return false;
  low = i32.MAX_VALUE;
  high = i32.MIN_VALUE;
  writes = false;
  accesses = 0;
  moved = 0;
  for (let n = from; n < block.operations; n++) if (!step(operationOf(block, n), recordOf(block, n), register)) break;
  return accesses > 1;
}
