// The hardware task switch (Intel SDM 3A chapter 7), 16- and 32-bit TSS, by JMP, CALL, IRET, and task gates.
// Not there in long mode. Its checks come before it where the switch can still be refused; after the new TSS is loaded
// faults belong to the new task.
import { changeSpace } from './address-spaces';
import { cpu } from './host';
import { CR0, CR3, DR7, EFLAGS, MMU_INDEX_SUPERVISOR, RAX, RIP, SS_ACCESS } from './generated/layout';
import { DR6_BT, raiseDebug } from './debug';
import {
  accessOf, baseOf, checkStack, checkTarget, commitCode, commitStackSegment, descriptorAddress, descriptorBits, dplOf, fail, fetchCode,
  fetchDescriptor, finishCode, isConforming, isNull, limitOf, targetAccess,
} from './descriptors';
import { allFlags, loadFlags } from './eflags';
import { VECTOR_GP, VECTOR_NP, VECTOR_TS, faulted, raiseError } from './faults';
import { prepareWriteAs, readSystem, writeSystem } from './memory';
import { updateMode } from './mode';
import { loadPdptes } from './paging';
import {
  ACCESS_PRESENT, CR0_PG, CR0_TS, CR4_PAE, FLAG_NT, FLAG_VM, SEGMENT_CS, SEGMENT_DS, SEGMENT_ES, SEGMENT_FS, SEGMENT_GS, SEGMENT_SS,
  SEGMENT_TR, controlBit4, get32, get64, segmentAccess, segmentBase, segmentSelector, set32, set64, setSegment,
} from './registers';
import { loadDataSegment, loadLdt, setRealSegment } from './segments';
import { commitStack, openStack, push } from './stack';

export const SWITCH_JUMP: u32 = 0;
export const SWITCH_CALL: u32 = 1;
export const SWITCH_IRET: u32 = 2;
export const SWITCH_GATE: u32 = 3;

const BUSY: u32 = 2;
const WIDE: u32 = 8;
const TYPE_MASK: u32 = 0x1f;

/** Values of the incoming TSS between reading it and loading them. */
const incoming: usize = memory.data(8 * 4 + 6 * 4, 8);
let newCr3: u32 = 0;
let newRip: u32 = 0;
let newFlags: u32 = 0;
let newLdt: u32 = 0;
let trap: bool = false;

/** Whether a descriptor's access word is that of a TSS. */
export function isTss(access: u32): bool { return (access & TYPE_MASK & ~(BUSY | WIDE)) == 1; }

/** IRET with NT set. */
export function returnFromTask(nextRip: u64): void {
  const link = <u32>readSystem(segmentBase(SEGMENT_TR), 2);
  if (!faulted()) switchTask(link, SWITCH_IRET, nextRip, 0);
}

/**
 * Switches to the task of `selector`; `rip` is what the old task will continue at. Returns whether the new task runs:
 * false also when a fault is raised that belongs to it.
 */
export function switchTask(selector: u32, source: u32, rip: u64, external: u32): bool {
  const wrong = source == SWITCH_IRET ? VECTOR_TS : VECTOR_GP;
  if (selector & 4 || isNull(selector)) return fail(wrong, selector, external);
  if (!fetchDescriptor(selector, wrong, external)) return false;
  const access = accessOf(descriptorBits());
  if (!isTss(access) || ((access & BUSY) != 0) != (source == SWITCH_IRET)) return fail(wrong, selector, external);
  if ((access & ACCESS_PRESENT) == 0) return fail(VECTOR_NP, selector, external);
  const base = baseOf(descriptorBits()), limit = limitOf(descriptorBits()), at = descriptorAddress();
  const wide = (access & WIDE) != 0, minimumLimit: u32 = wide ? 0x67 : 0x2b;
  if (limit < minimumLimit) return fail(VECTOR_TS, selector, external);
  prepareWriteAs(segmentBase(SEGMENT_TR), segmentAccess(SEGMENT_TR) & WIDE ? 0x68 : 0x2c, MMU_INDEX_SUPERVISOR);
  if (faulted() || !readIncoming(base, wide)) return false;
  saveOutgoing(source, rip);
  if (source == SWITCH_CALL || source == SWITCH_GATE) writeSystem(base, 2, segmentSelector(SEGMENT_TR));
  if (source != SWITCH_IRET) writeSystem(at + 5, 1, access | BUSY);
  if (faulted()) return false;
  setSegment(SEGMENT_TR, selector, base, limit, access | BUSY);
  loadIncoming(source, wide);
  return !faulted();
}

function readIncoming(base: u64, wide: bool): bool {
  const size: u32 = wide ? 4 : 2;
  newCr3 = wide ? <u32>readSystem(base + 0x1c, 4) : 0;
  const start: u32 = wide ? 0x20 : 0x0e;
  if (!faulted()) newRip = <u32>readSystem(base + start, size);
  if (!faulted()) newFlags = <u32>readSystem(base + start + size, size);
  for (let n: u32 = 0; n < 8 && !faulted(); n++) {
    const value = <u32>readSystem(base + start + (n + 2) * size, size);
    store<u32>(incoming + n * 4, wide ? value : value | 0xffff0000);
  }
  const segments = start + 10 * size, count: u32 = wide ? 6 : 4;
  store<u64>(incoming + 48, 0);
  for (let n: u32 = 0; n < count && !faulted(); n++) store<u32>(incoming + 32 + n * 4, <u32>readSystem(base + segments + n * size, 2));
  if (!faulted()) newLdt = <u32>readSystem(base + segments + count * size, 2);
  trap = wide && !faulted() && (readSystem(base + 0x64, 2) & 1) != 0;
  return !faulted();
}

/** Stores the old task's state in its TSS, which was found writable, and clears its busy bit unless it is nested in. */
function saveOutgoing(source: u32, rip: u64): void {
  const base = segmentBase(SEGMENT_TR);
  const wide = (segmentAccess(SEGMENT_TR) & WIDE) != 0;
  const size: u32 = wide ? 4 : 2, start: u32 = wide ? 0x20 : 0x0e;
  const flags = source == SWITCH_IRET ? allFlags() & ~FLAG_NT : allFlags();
  writeSystem(base + start, size, rip);
  writeSystem(base + start + size, size, flags);
  for (let n: u32 = 0; n < 8; n++) writeSystem(base + start + (n + 2) * size, size, load<u64>(cpu + RAX + n * 8));
  const segments = start + 10 * size, count: u32 = wide ? 6 : 4;
  for (let n: u32 = 0; n < count; n++) writeSystem(base + segments + n * size, 2, segmentSelector(n));
  if (source != SWITCH_JUMP && source != SWITCH_IRET) return;
  if (!fetchDescriptor(segmentSelector(SEGMENT_TR), VECTOR_TS, 0)) return;
  writeSystem(descriptorAddress() + 5, 1, accessOf(descriptorBits()) & ~BUSY);
}

function loadIncoming(source: u32, wide: bool): void {
  if (wide && (get64(CR0) & CR0_PG)) {
    if (controlBit4(CR4_PAE) && !loadPdptes(newCr3)) return raiseError(VECTOR_TS, 0);
    changeSpace(newCr3);
  }
  set64(CR0, get64(CR0) | CR0_TS);
  set64(DR7, get64(DR7) & ~(<u64>0x55));
  for (let n: u32 = 0; n < 8; n++) store<u64>(cpu + RAX + n * 8, load<u32>(incoming + n * 4));
  if (source == SWITCH_CALL || source == SWITCH_GATE) newFlags |= FLAG_NT;
  loadFlags(newFlags, wide ? 0x3f7fd5 : 0x7fd5);
  if (!wide) set32(EFLAGS, get32(EFLAGS) & ~FLAG_VM);
  set64(RIP, newRip);
  for (let n: u32 = 0; n < 6; n++) setSegment(n, load<u16>(incoming + 32 + n * 4), 0, 0, 0);
  loadSegments();
  updateMode();
  if (!faulted() && trap) raiseDebug(DR6_BT);
}

function loadSegments(): void {
  if (get32(EFLAGS) & FLAG_VM) {
    for (let n: u32 = 0; n < 6; n++) setRealSegment(n, segmentSelector(n));
    loadLdt(newLdt, VECTOR_TS);
    return;
  }
  if (!loadLdt(newLdt, VECTOR_TS)) return;
  const code = segmentSelector(SEGMENT_CS), level = code & 3;
  set32(SS_ACCESS, level << 5);
  if (!fetchCode(code, VECTOR_TS, 0)) return;
  const dpl = dplOf(targetAccess());
  if (isConforming(targetAccess()) ? dpl > level : dpl != level) {
    fail(VECTOR_TS, code, 0);
    return;
  }
  if (!finishCode(0)) return;
  commitCode(level);
  if (!checkStack(segmentSelector(SEGMENT_SS), level, VECTOR_TS, 0)) return;
  commitStackSegment();
  updateMode();
  if (!loadDataSegment(SEGMENT_ES, segmentSelector(SEGMENT_ES), VECTOR_TS)) return;
  if (!loadDataSegment(SEGMENT_DS, segmentSelector(SEGMENT_DS), VECTOR_TS)) return;
  if (!loadDataSegment(SEGMENT_FS, segmentSelector(SEGMENT_FS), VECTOR_TS)) return;
  if (!loadDataSegment(SEGMENT_GS, segmentSelector(SEGMENT_GS), VECTOR_TS)) return;
  checkTarget(newRip, 0);
}

/** The error code of an exception that went through a task gate lies on the new task's stack. */
export function pushTaskError(error: u32): void {
  openStack();
  push(segmentAccess(SEGMENT_TR) & WIDE ? 4 : 2, error);
  if (!faulted()) commitStack();
}
