// What is known, while code is made, of how locals and memory stand at a place in it; kept and gone back to where ways part.
import { DISTANCE_MAX } from './groups';
import { SAVED_STATES, SAVED_STATES_END } from './tables';

export const UNKNOWN_FLAGS: i32 = -1;
export const GENERAL_COUNT: u32 = 16;

@unmanaged class RegionState {
  /** General registers that are in their locals, one bit each. */
  loaded: u32;
  /** General registers whose local is newer than their memory, one bit each. */
  dirty: u32;
  /** The lazy flags' kind and width (ccOp), where they are known; then CC_A and CC_B hold them. */
  knownFlags: i32;
  /** 1: the triple in memory is older than the locals. */
  flagsDirty: u32;
  /** What flags are not in the triple yet, as `settleFlags` in assembly/pending-flags.ts takes it; 0: none. */
  pending: u32;
}

/** Bytes relative to a register, from `low` to before `high`, whose first one's host address is in a local of the register's. */
@unmanaged class Group {
  low: i32;
  high: i32;
  writes: u32;
  /** No other group has it, so that the same group is known again; 0: there is none. */
  id: u32;
}

const STATE_BYTES: usize = offsetof<RegionState>() + GENERAL_COUNT * offsetof<Group>();
/** The first place is that of what is so now. */
export const now: RegionState = changetype<RegionState>(SAVED_STATES);
let saved: usize = SAVED_STATES + STATE_BYTES;
let lastGroup: u32 = 0;

export function groupIn(state: usize, register: u32): Group {
  return changetype<Group>(state + offsetof<RegionState>() + register * offsetof<Group>());
}
export function groupOf(register: u32): Group { return groupIn(SAVED_STATES, register); }

export function beginStates(): void {
  saved = SAVED_STATES + STATE_BYTES;
  forgetAll(0);
}

/** Whether there is room for the states of another block. */
export function canSave(): bool { return saved + 4 * STATE_BYTES <= SAVED_STATES_END; }

/** Keeps what is so now; states are given back in the opposite order. */
export function saveState(): usize {
  const at = saved;
  memory.copy(at, SAVED_STATES, STATE_BYTES);
  saved += STATE_BYTES;
  return at;
}
export function returnTo(at: usize): void { memory.copy(SAVED_STATES, at, STATE_BYTES); }
export function dropState(at: usize): void { saved = at; }

/** Several ways may have led here: all is in memory, and the registers `loaded` are in locals too; of the flags nothing is known. */
export function forgetAll(loaded: u32): void {
  now.loaded = loaded;
  now.dirty = 0;
  now.knownFlags = UNKNOWN_FLAGS;
  now.flagsDirty = 0;
  now.pending = 0;
  forgetGroups();
}

export function forgetGroups(): void {
  for (let register: u32 = 0; register < GENERAL_COUNT; register++) groupOf(register).id = 0;
}

export function beginGroup(register: u32, low: i32, high: i32, writes: bool): void {
  const group = groupOf(register);
  group.low = low;
  group.high = high;
  group.writes = writes ? 1 : 0;
  group.id = ++lastGroup;
}

/** A register has risen by a number of bytes. */
export function moveGroup(register: u32, bytes: i32): void {
  const group = groupOf(register);
  const low = <i64>group.low - bytes;
  if (low < -DISTANCE_MAX || low > DISTANCE_MAX) group.id = 0;
  if (group.id != 0) beginGroup(register, <i32>low, group.high - bytes, group.writes != 0);
}

/** Whether an access lies in the group of a register, whose page it may write if it does. */
export function isWithin(register: u32, displacement: i32, bytes: i32, writes: bool): bool {
  const group = groupOf(register);
  return group.id != 0 && displacement >= group.low && <i64>displacement + bytes <= group.high && (group.writes != 0 || !writes);
}
