// Accesses to guest memory in a region: a look into the TLB, alone or for a group of accesses, and what follows a hit; a miss leaves the
// region before its instruction.
import {
  ACCESS_BYTES_BYTES, ACCESS_BYTES_DISPLACEMENT, ACCESS_BYTES_FLAGS, ACCESS_BYTES_LENGTH, ACCESS_BYTES_NEAR, ACCESS_BYTES_OPCODE,
  ACCESS_BYTES_SIZE, ACCESS_FLAG_WRAPS, ACCESS_FLAG_WRITES, LOCAL_GENERAL, LOCAL_GROUP_HOST, LOCAL_LINEAR, LOCAL_TLB_READ, LOCAL_TLB_WRITE,
  NEAR_NOTHING, NEAR_OPERAND, OPERAND_A, RSP, TRAIT_ACCESS_WRITES, WASM_I32_WRAP_I64, WASM_I64_ADD, WASM_I64_EXTEND_I32_U, WASM_I64_GT_U,
} from '../generated/layout';
import { PROGRAM_HOST_ADDRESS, PROGRAM_PROBE, PROGRAMS } from '../generated/programs';
import { findReachHere, leaveForTlb } from './emit';
import { displacement, high, low, NO_PLACE, placeOf, writes } from './groups';
import { GENERAL_END, need, STACK_REGISTER } from './locals';
import { record } from './running';
import { beginGroup, groupOf, isWithin, moveGroup } from './state';
import { run } from './steps';
import { accessBytes, immediateOf, slotOf, traitsOf } from './tables';
import { access, end, get, i64Const, op, openIf, set } from './writer';

/** Pops a linear address; leaves the region unless its page is in the TLB; pushes the host address. */
function translate(isWrite: bool, size: i32, isGroup: bool): void {
  set(LOCAL_LINEAR);
  get(isWrite ? LOCAL_TLB_WRITE : LOCAL_TLB_READ);
  run(PROGRAMS + PROGRAM_PROBE);
  i64Const(4096 - size);
  op(WASM_I64_GT_U);
  openIf();
  leaveForTlb(isGroup);
  end();
  run(PROGRAMS + PROGRAM_HOST_ADDRESS);
}

/** Pushes the host address of the access that a step describes, less what is returned. */
function pushHost(step: usize, isWrite: bool): i32 {
  const near = load<u8>(step + ACCESS_BYTES_NEAR);
  const size: i32 = load<u8>(step + ACCESS_BYTES_SIZE);
  if (near != NEAR_NOTHING) {
    const slot = near == NEAR_OPERAND ? slotOf(record, OPERAND_A) : RSP;
    const at: i32 = near == NEAR_OPERAND ? immediateOf(record) : <i32>load<i8>(step + ACCESS_BYTES_DISPLACEMENT);
    const wraps = (load<u8>(step + ACCESS_BYTES_FLAGS) & ACCESS_FLAG_WRAPS) != 0;
    if (slot < GENERAL_END && (slot & 7) == 0 && isInGroup(slot >> 3, at, size, isWrite, wraps)) {
      get(LOCAL_GROUP_HOST + (slot >> 3));
      return at - groupOf(slot >> 3).low;
    }
  }
  run(step + ACCESS_BYTES_BYTES);
  translate(isWrite, size, false);
  return 0;
}

/** Whether an access is in a group, which begins here when others follow. */
function isInGroup(register: u32, at: i32, size: i32, isWrite: bool, wraps: bool): bool {
  if (isWithin(register, at, size, isWrite)) return true;
  if (!findReachHere(register * 8) || at < low || <i64>at + size > high) return false;
  const from = low, to = high, writing = writes;
  need(register * 8);
  get(LOCAL_GENERAL + register);
  i64Const(from);
  op(WASM_I64_ADD);
  if (wraps) {
    op(WASM_I32_WRAP_I64);
    op(WASM_I64_EXTEND_I32_U);
  }
  translate(writing, to - from, true);
  set(LOCAL_GROUP_HOST + register);
  beginGroup(register, from, to, writing);
  return true;
}

/** Whether the access of a record lies where the host's address is known, and with that cannot leave the region. */
export function isKnown(number: u32, at: u32): bool {
  const slot = placeOf(number, at);
  if (slot == NO_PLACE || (slot & 7) != 0 || slot >= GENERAL_END) return false;
  return isWithin(slot >> 3, displacement, accessBytes(number), (traitsOf(number) & TRAIT_ACCESS_WRITES) != 0);
}

export function loadMemory(step: usize): usize {
  const isWrite = (load<u8>(step + ACCESS_BYTES_FLAGS) & ACCESS_FLAG_WRITES) != 0;
  access(load<u32>(step + ACCESS_BYTES_OPCODE), pushHost(step, isWrite));
  return step + ACCESS_BYTES_BYTES + load<u16>(step + ACCESS_BYTES_LENGTH);
}

export function storeMemory(step: usize): usize {
  const offset = pushHost(step, true);
  const next = run(step + ACCESS_BYTES_BYTES + load<u16>(step + ACCESS_BYTES_LENGTH));
  access(load<u32>(step + ACCESS_BYTES_OPCODE), offset);
  return next;
}

/** RSP rises by a number, and where there is a list for more by the immediate: the group around it stays. */
export function raiseStack(step: usize): usize {
  const plain = step + 5;
  const added = plain + load<u16>(step + 1);
  const addedBytes = load<u16>(step + 3);
  const immediate = addedBytes == 0 ? 0 : immediateOf(record);
  const group = groupOf(STACK_REGISTER).id;
  run(immediate == 0 ? plain : added);
  groupOf(STACK_REGISTER).id = group;
  moveGroup(STACK_REGISTER, <i32>load<i8>(step) + immediate);
  return added + addedBytes;
}
