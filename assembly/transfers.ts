// Far JMP, CALL and RET (Intel SDM 2 and 3A 5.8): direct, through call gates, to tasks. Operand sizes 2, 4 and 8.
// Not here: interrupts (interrupts.ts), SYSCALL and SYSENTER (system-calls.ts), the task switch (task-switch.ts).
import { NEXT_RIP, RIP, RSP } from './generated/layout';
import {
  accessOf, checkStack, checkTarget, commitCode, commitStackSegment, descriptorBits, dplOf, fail, fetchCode, fetchDescriptor,
  fetchUpper, finishCode, isConforming, isNull, setNullStack, takeCode, targetAccess, targetIsLong,
} from './descriptors';
import { VECTOR_GP, VECTOR_NP, faulted, raiseError, raiseGp } from './faults';
import { longStackPointerForCall, openInnerStackForCall } from './interrupts';
import { commitReturn } from './iret';
import { updateMode } from './mode';
import {
  ACCESS_PRESENT, ACCESS_S, SEGMENT_CS, SEGMENT_SS, cpl, get64, longMode, protectedMode, segmentLimit, segmentSelector, set64,
  sizeMask, virtual86,
} from './registers';
import { setRealSegment } from './segments';
import { commitStack, openLongStack, openStack, pop, push, skip } from './stack';
import { SWITCH_CALL, SWITCH_JUMP, isTss, switchTask } from './task-switch';

const GATE_CALL_16: u32 = 4;
const GATE_TASK: u32 = 5;
const GATE_CALL_32: u32 = 12;

function realTarget(selector: u32, offset: u64): bool {
  if (offset > <u64>segmentLimit(SEGMENT_CS)) {
    raiseGp();
    return false;
  }
  setRealSegment(SEGMENT_CS, selector);
  set64(RIP, offset);
  updateMode();
  return true;
}

/** a: slot with the selector, b: slot with the offset, imm: operand size. */
export function farJump(d: usize, a: usize, b: usize, imm: i32): void {
  const selector: u32 = load<u16>(a), offset = load<u64>(b) & sizeMask(imm);
  if (!protectedMode() || virtual86()) {
    realTarget(selector, offset);
    return;
  }
  if (!fetchTarget(selector)) return;
  const access = accessOf(descriptorBits());
  if ((access & ACCESS_S) == 0) return systemTarget(selector, access, SWITCH_JUMP);
  if (!takeCode(selector, VECTOR_GP, 0) || !directAllowed(selector) || !finishCode(0) || !checkTarget(offset, 0)) return;
  commitCode(cpl());
  set64(RIP, offset);
  updateMode();
}

function fetchTarget(selector: u32): bool {
  if (isNull(selector)) return fail(VECTOR_GP, 0, 0);
  return fetchDescriptor(selector, VECTOR_GP, 0);
}

/** The privilege rule of a JMP or CALL that names a code segment. */
function directAllowed(selector: u32): bool {
  const access = targetAccess(), level = cpl();
  const allowed = isConforming(access) ? dplOf(access) <= level : dplOf(access) == level && (selector & 3) <= level;
  return allowed || fail(VECTOR_GP, selector, 0);
}

export function farCall(d: usize, a: usize, b: usize, imm: i32): void {
  const selector: u32 = load<u16>(a), offset = load<u64>(b) & sizeMask(imm);
  const plain = !protectedMode() || virtual86();
  if (!plain) {
    if (!fetchTarget(selector)) return;
    const access = accessOf(descriptorBits());
    if ((access & ACCESS_S) == 0) return systemTarget(selector, access, SWITCH_CALL);
    if (!takeCode(selector, VECTOR_GP, 0) || !directAllowed(selector) || !finishCode(0) || !checkTarget(offset, 0)) return;
  } else if (offset > <u64>segmentLimit(SEGMENT_CS)) return raiseGp();
  openStack();
  push(imm, segmentSelector(SEGMENT_CS));
  push(imm, get64(NEXT_RIP));
  if (faulted()) return;
  commitStack();
  if (plain) {
    realTarget(selector, offset);
    return;
  }
  commitCode(cpl());
  set64(RIP, offset);
  updateMode();
}

/** A selector of a gate or a TSS. */
function systemTarget(selector: u32, access: u32, source: u32): void {
  const type = access & 15, level = cpl();
  const gate = type == GATE_CALL_32 || (!longMode() && (type == GATE_CALL_16 || type == GATE_TASK));
  const allowed = (gate || (!longMode() && isTss(access))) && dplOf(access) >= level && dplOf(access) >= (selector & 3);
  if (!allowed) return raiseError(VECTOR_GP, selector & 0xfffc);
  if ((access & ACCESS_PRESENT) == 0) return raiseError(VECTOR_NP, selector & 0xfffc);
  if (gate && type != GATE_TASK) return callGate(selector, type, source);
  const task = gate ? <u32>(descriptorBits() >> 16) & 0xffff : selector;
  switchTask(task, source, get64(NEXT_RIP), 0);
}

function callGate(selector: u32, type: u32, source: u32): void {
  const gate = descriptorBits();
  const upper: u64 = longMode() ? fetchUpper(selector, VECTOR_GP, 0) : 0;
  if (faulted()) return;
  if ((upper >> 40) & 0x1f) return raiseError(VECTOR_GP, selector & 0xfffc);
  const target = <u32>(gate >> 16) & 0xffff;
  const offset = (gate & 0xffff) | (type == GATE_CALL_32 ? (gate >> 32) & 0xffff0000 : 0) | (upper << 32);
  if (!fetchCode(target, VECTOR_GP, 0)) return;
  const access = targetAccess(), level = cpl(), dpl = dplOf(access);
  if ((longMode() && !targetIsLong()) || dpl > level || (source == SWITCH_JUMP && !isConforming(access) && dpl != level)) {
    return raiseError(VECTOR_GP, target & 0xfffc);
  }
  if (!finishCode(0)) return;
  const size: u32 = longMode() ? 8 : type == GATE_CALL_32 ? 4 : 2;
  if (source == SWITCH_JUMP) {
    if (!checkTarget(offset, 0)) return;
    commitCode(level);
  } else if (!isConforming(access) && dpl < level) {
    if (!callInner(size, dpl, offset, <u32>(gate >> 32) & 31)) return;
  } else if (!callSame(size, level, offset)) return;
  set64(RIP, offset);
  updateMode();
}

function callSame(size: u32, level: u32, offset: u64): bool {
  if (!checkTarget(offset, 0)) return false;
  openStack();
  push(size, segmentSelector(SEGMENT_CS));
  push(size, get64(NEXT_RIP));
  if (faulted()) return false;
  commitStack();
  commitCode(level);
  return true;
}

/** Parameters of a call gate on their way from the outer to the inner stack. */
const parameters: usize = memory.data(31 * 4, 4);

function callInner(size: u32, level: u32, offset: u64, count: u32): bool {
  if (!longMode()) {
    openStack();
    for (let n: u32 = 0; n < count; n++) store<u32>(parameters + n * 4, <u32>pop(size));
    if (faulted() || !openInnerStackForCall(level)) return false;
  } else {
    const sp = longStackPointerForCall(level);
    if (faulted()) return false;
    openLongStack(sp, level);
  }
  if (!checkTarget(offset, 0)) return false;
  push(size, segmentSelector(SEGMENT_SS));
  push(size, get64(RSP));
  if (!longMode()) for (let n = count; n > 0; n--) push(size, load<u32>(parameters + (n - 1) * 4));
  push(size, segmentSelector(SEGMENT_CS));
  push(size, get64(NEXT_RIP));
  if (faulted()) return false;
  if (longMode()) setNullStack(level);
  else commitStackSegment();
  commitStack();
  commitCode(level);
  return true;
}

/** imm: operand size | bytes to pop << 8. */
export function farReturn(d: usize, a: usize, b: usize, imm: i32): void {
  const size: u32 = imm & 0xff, bytes: u32 = <u32>imm >> 8;
  openStack();
  const rip = pop(size), selector = <u32>pop(size) & 0xffff;
  if (faulted()) return;
  if (!protectedMode() || virtual86()) {
    skip(bytes);
    if (realTarget(selector, rip)) commitStack();
    return;
  }
  const level = selector & 3;
  if (!fetchCode(selector, VECTOR_GP, 0)) return;
  const dpl = dplOf(targetAccess());
  if (level < cpl() || (isConforming(targetAccess()) ? dpl > level : dpl != level)) return raiseError(VECTOR_GP, selector & 0xfffc);
  if (!finishCode(0) || !checkTarget(rip, 0)) return;
  skip(bytes);
  if (level == cpl()) {
    commitStack();
    commitCode(level);
  } else if (!returnOuter(size, bytes, level)) return;
  set64(RIP, rip);
  updateMode();
}

function returnOuter(size: u32, bytes: u32, level: u32): bool {
  const sp = pop(size), stack = <u32>pop(size) & 0xffff;
  if (faulted()) return false;
  const nullStack = isNull(stack) && targetIsLong() && level != 3;
  if (!nullStack && !checkStack(stack, level, VECTOR_GP, 0)) return false;
  commitReturn(level, nullStack, stack, sp + bytes, true);
  return true;
}
