// IRET in all its forms (Intel SDM 2): real mode, virtual-8086, back to virtual-8086, nested task, same and outer
// privilege, long mode. imm is the operand size.
import { EFLAGS, INHIBIT, NEXT_RIP, RIP, RSP } from './generated/layout';
import {
  checkStack, checkTarget, commitCode, commitStackSegment, dplOf, fail, fetchCode, finishCode, isConforming, isNull, setNullStack,
  stackAccess, targetAccess, targetIsLong,
} from './descriptors';
import { loadFlags, noticeRequests, writableFlags } from './eflags';
import { VECTOR_GP, faulted, raiseGp } from './faults';
import { updateMode } from './mode';
import {
  ACCESS_BIG, FLAG_AC, FLAG_DF, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM, SEGMENT_CS,
  SEGMENT_DS, SEGMENT_ES, SEGMENT_FS, SEGMENT_GS, SEGMENT_SS, code64, cpl, get32, get64, iopl, longMode, protectedMode, set32, set64,
  virtual86,
} from './registers';
import { dropInnerSegment, setRealSegment } from './segments';
import { commitStack, openStack, pop } from './stack';
import { returnFromTask } from './task-switch';

const NMI_BLOCKED: u32 = 2;
const REAL_FLAGS: u32 = FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID;

export function iret(d: usize, a: usize, b: usize, imm: i32): void {
  if (!protectedMode()) iretReal(imm, REAL_FLAGS);
  else if (virtual86()) {
    if (iopl() != 3) return raiseGp();
    iretReal(imm, REAL_FLAGS & ~FLAG_IOPL);
  } else if (get32(EFLAGS) & FLAG_NT) {
    if (longMode()) return raiseGp();
    returnFromTask(get64(NEXT_RIP));
  } else iretProtected(imm);
  if (faulted()) return;
  if (get32(INHIBIT) & NMI_BLOCKED) noticeRequests();
  set32(INHIBIT, get32(INHIBIT) & ~NMI_BLOCKED);
  updateMode();
}

function iretReal(size: u32, mask: u32): void {
  openStack();
  const rip = pop(size), selector = <u32>pop(size) & 0xffff, flags = <u32>pop(size);
  if (faulted()) return;
  if (rip > 0xffff) return raiseGp();
  commitStack();
  setRealSegment(SEGMENT_CS, selector);
  loadFlags(flags, size == 2 ? mask & 0xffff : mask);
  set64(RIP, rip);
}

function returnFlags(size: u32): u32 {
  const mask = writableFlags(size) | (size == 2 ? 0 : FLAG_RF);
  return cpl() == 0 && size != 2 ? mask | FLAG_VIF | FLAG_VIP : mask;
}

function iretProtected(size: u32): void {
  openStack();
  const rip = pop(size), selector = <u32>pop(size) & 0xffff, flags = <u32>pop(size);
  if (faulted()) return;
  if ((flags & FLAG_VM) && cpl() == 0 && !longMode() && size == 4) return iretToVirtual86(<u32>rip, selector, flags);
  const level = selector & 3;
  if (!fetchCode(selector, VECTOR_GP, 0)) return;
  const dpl = dplOf(targetAccess());
  if (level < cpl() || (isConforming(targetAccess()) ? dpl > level : dpl != level)) {
    fail(VECTOR_GP, selector, 0);
    return;
  }
  if (!finishCode(0) || !checkTarget(rip, 0)) return;
  const outer = level > cpl();
  if (!outer && !code64()) {
    commitStack();
    loadFlags(flags, returnFlags(size));
    commitCode(level);
    set64(RIP, rip);
    return;
  }
  const sp = pop(size), stack = <u32>pop(size) & 0xffff;
  if (faulted()) return;
  const nullStack = isNull(stack) && targetIsLong() && level != 3 && (stack & 3) == level;
  if (!nullStack && !checkStack(stack, level, VECTOR_GP, 0)) return;
  loadFlags(flags, returnFlags(size));
  commitReturn(level, nullStack, stack, sp, outer);
  set64(RIP, rip);
}

/** Loads CS, SS and RSP of an outer (or any 64-bit) return; data segments the new level may not use become null. */
export function commitReturn(level: u32, nullStack: bool, stack: u32, sp: u64, outer: bool): void {
  const long = targetIsLong();
  commitCode(level);
  if (nullStack) setNullStack(level);
  else commitStackSegment();
  if (long) set64(RSP, sp);
  else if (stackAccess() & ACCESS_BIG) set64(RSP, sp & 0xffffffff);
  else set64(RSP, (get64(RSP) & 0xffff0000) | (sp & 0xffff));
  if (!outer) return;
  dropInnerSegment(SEGMENT_ES, level);
  dropInnerSegment(SEGMENT_DS, level);
  dropInnerSegment(SEGMENT_FS, level);
  dropInnerSegment(SEGMENT_GS, level);
}

function iretToVirtual86(rip: u32, selector: u32, flags: u32): void {
  const sp = pop(4), stack = <u32>pop(4), es = <u32>pop(4), ds = <u32>pop(4), fs = <u32>pop(4), gs = <u32>pop(4);
  if (faulted()) return;
  if (rip > 0xffff) return raiseGp();
  loadFlags(flags, REAL_FLAGS | FLAG_VIF | FLAG_VIP | FLAG_VM);
  setRealSegment(SEGMENT_CS, selector);
  setRealSegment(SEGMENT_SS, stack & 0xffff);
  setRealSegment(SEGMENT_ES, es & 0xffff);
  setRealSegment(SEGMENT_DS, ds & 0xffff);
  setRealSegment(SEGMENT_FS, fs & 0xffff);
  setRealSegment(SEGMENT_GS, gs & 0xffff);
  set64(RSP, sp);
  set64(RIP, rip);
}
