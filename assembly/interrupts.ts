// Delivery of exceptions and interrupts (Intel SDM 3A chapter 6): real mode vectors, protected-mode gates, long-mode gates,
// double and triple faults. Not here: the way back (iret.ts), task gates' switch (task-switch.ts).
// QUIRK: CR4.VME and PVI are stored but have no effect: no interrupt redirection bitmap, no virtual interrupt flag.
import { traceInterrupt } from './host';
import {
  COUNT_FAULT, COUNT_INTERRUPT, DR7, EXECUTOR_BUDGET, EXIT_DETAIL, EXIT_REASON, EXIT_SHUTDOWN, FAULT_ERROR, FAULT_HAS_ERROR,
  FAULT_VECTOR, HALTED,
  IDTR_BASE, IDTR_LIMIT, INHIBIT, NEXT_RIP, PENDING_DEBUG, PENDING_STEP, RIP, RSP, TRACE_INTERRUPTS,
} from './generated/layout';
import { DR7_GD, disarmStep } from './debug';
import {
  checkStack, checkTarget, commitCode, commitStackSegment, dplOf, fail, fetchCode, finishCode, isConforming, setNullStack, stackAccess,
  stackBase, stackLimit, targetAccess, targetIsLong,
} from './descriptors';
import { allFlags, clearFlags } from './eflags';
import {
  VECTOR_BP, VECTOR_DB, VECTOR_DF, VECTOR_GP, VECTOR_NMI, VECTOR_NP, VECTOR_OF, VECTOR_PF, VECTOR_TS, clearFault, faulted, raiseError,
  raiseGp,
} from './faults';
import { readSystem } from './memory';
import { updateMode } from './mode';
import {
  FLAG_AC, FLAG_IF, FLAG_NT, FLAG_OF, FLAG_RF, FLAG_TF, FLAG_VM, SEGMENT_CS, SEGMENT_DS, SEGMENT_ES, SEGMENT_FS, SEGMENT_GS,
  SEGMENT_SS, SEGMENT_TR, count, cpl, get32, get64, iopl, longMode, protectedMode, segmentAccess, segmentBase, segmentLimit,
  segmentSelector, set32, set64, setSegment, virtual86,
} from './registers';
import { setRealSegment } from './segments';
import { commitStack, openLongStack, openNewStack, openStack, push, stackPointer } from './stack';
import { SWITCH_GATE, pushTaskError, switchTask } from './task-switch';

/** Why an event is delivered; also what traceInterrupt is told. */
export const KIND_EXCEPTION: u32 = 0;
export const KIND_SOFTWARE: u32 = 1; // INT n, INT3, INTO: the gate's DPL counts
export const KIND_EXTERNAL: u32 = 2;
export const KIND_NMI: u32 = 3;
export const KIND_INT1: u32 = 4;

const GATE_TASK: u32 = 5;
const GATE_16: u32 = 6;
const GATE_32: u32 = 14;
const GATE_TRAP: u32 = 1;
const NMI_BLOCKED: u32 = 2;

/** The event under delivery. */
let errorCode: u32 = 0;
let pushesError: bool = false;
let external: u32 = 0;
let returnRip: u64 = 0;
let flagsImage: u32 = 0;

/** Faults but not traps push RF set, so that the instruction's breakpoint does not strike again. */
function isFault(vector: u32, kind: u32): bool {
  return kind == KIND_EXCEPTION && vector != VECTOR_DB && vector != VECTOR_BP && vector != VECTOR_OF && vector != VECTOR_DF;
}

function deliver(vector: u32, kind: u32): void {
  external = kind == KIND_SOFTWARE ? 0 : 1;
  flagsImage = allFlags() | (isFault(vector, kind) ? FLAG_RF : 0);
  if (get32(TRACE_INTERRUPTS)) traceInterrupt(vector, errorCode, kind);
  if (!protectedMode()) deliverReal(vector);
  else if (longMode()) deliverLong(vector, kind);
  else deliverProtected(vector, kind);
  if (faulted()) return;
  disarmStep();
  keepHeldTraps(kind);
  updateMode();
}

/** Data breakpoints of a MOV SS before INT n or INT3 strike at the handler's first instruction; INT1 absorbs them. */
function keepHeldTraps(kind: u32): void {
  if (kind == KIND_INT1) set32(PENDING_DEBUG, 0);
  if (kind == KIND_SOFTWARE && get32(PENDING_DEBUG) != 0) set32(PENDING_STEP, 1);
}

function deliverReal(vector: u32): void {
  if (vector * 4 + 3 > get32(IDTR_LIMIT)) return raiseError(VECTOR_GP, vector * 8 + 2);
  const entry = <u32>readSystem(get64(IDTR_BASE) + vector * 4, 4);
  if (faulted()) return;
  openStack();
  push(2, flagsImage);
  push(2, segmentSelector(SEGMENT_CS));
  push(2, returnRip);
  if (faulted()) return;
  commitStack();
  clearFlags(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
  setRealSegment(SEGMENT_CS, entry >> 16);
  set64(RIP, entry & 0xffff);
}

/** Reads and checks the gate of `vector`; false with a fault raised. The low eight bytes are left in `gate`. */
let gate: u64 = 0;
function fetchGate(vector: u32, kind: u32, shift: u32, types: u32): bool {
  const error = vector * 8 + 2 + external, offset = vector << shift;
  if (offset + (1 << shift) - 1 > get32(IDTR_LIMIT)) return gateFault(VECTOR_GP, error);
  gate = readSystem(get64(IDTR_BASE) + offset, 8);
  if (faulted()) return false;
  const type = <u32>(gate >> 40) & 0x1f;
  if (((types >> type) & 1) == 0) return gateFault(VECTOR_GP, error);
  if (kind == KIND_SOFTWARE && (<u32>(gate >> 45) & 3) < cpl()) return gateFault(VECTOR_GP, error);
  if ((gate & 0x800000000000) == 0) return gateFault(VECTOR_NP, error);
  return true;
}
function gateFault(vector: u32, error: u32): bool {
  raiseError(vector, error);
  return false;
}

function gateType(): u32 { return <u32>(gate >> 40) & 0x1f; }
function gateSelector(): u32 { return <u32>(gate >> 16) & 0xffff; }
function gateOffset(): u64 { return (gate & 0xffff) | ((gate >> 32) & 0xffff0000); }

/** The privilege the handler runs at, or -1 with a fault raised. */
function handlerLevel(): i32 {
  const selector = gateSelector();
  if (!fetchCode(selector, VECTOR_GP, external)) return -1;
  const access = targetAccess(), level = cpl();
  if (dplOf(access) > level || (longMode() && !targetIsLong())) {
    fail(VECTOR_GP, selector, external);
    return -1;
  }
  const target = isConforming(access) ? level : dplOf(access);
  if (virtual86() && target != 0) {
    fail(VECTOR_GP, selector, external);
    return -1;
  }
  return finishCode(external) ? <i32>target : -1;
}

function finishFlags(): void {
  clearFlags(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (gateType() & GATE_TRAP ? 0 : FLAG_IF));
}

// ---- protected mode without long mode

function deliverProtected(vector: u32, kind: u32): void {
  if (!fetchGate(vector, kind, 3, 0xc0e0)) return; // types 5, 6, 7, 14, 15
  if (gateType() == GATE_TASK) {
    if (switchTask(gateSelector(), SWITCH_GATE, returnRip, external) && pushesError) pushTaskError(errorCode);
    return;
  }
  const level = handlerLevel();
  if (level < 0) return;
  const size: u32 = gateType() >= GATE_32 ? 4 : 2;
  const rip = size == 4 ? gateOffset() : gateOffset() & 0xffff;
  const inner = <u32>level != cpl();
  if (inner && !openInnerStack(level)) return;
  if (!inner) openStack();
  if (!checkTarget(rip, external)) return;
  if (inner) pushOuter(size);
  push(size, flagsImage);
  push(size, segmentSelector(SEGMENT_CS));
  push(size, returnRip);
  if (pushesError) push(size, errorCode);
  if (faulted()) return;
  enterProtected(level, inner, rip);
}

/** What a change of privilege pushes first; from virtual-8086 mode also the data segments. */
function pushOuter(size: u32): void {
  if (virtual86()) {
    push(size, segmentSelector(SEGMENT_GS));
    push(size, segmentSelector(SEGMENT_FS));
    push(size, segmentSelector(SEGMENT_DS));
    push(size, segmentSelector(SEGMENT_ES));
  }
  push(size, segmentSelector(SEGMENT_SS));
  push(size, get64(RSP));
}

function enterProtected(level: u32, inner: bool, rip: u64): void {
  if (inner) {
    commitStackSegment();
    if (virtual86()) for (let n = SEGMENT_DS; n <= SEGMENT_GS; n++) setSegment(n, 0, 0, 0, 0);
    if (virtual86()) setSegment(SEGMENT_ES, 0, 0, 0, 0);
  }
  commitStack();
  commitCode(level);
  finishFlags();
  set64(RIP, rip);
}

/** Takes the stack of an inner privilege from the TSS; false with a fault raised. */
export function openInnerStack(level: u32): bool {
  const wide = (segmentAccess(SEGMENT_TR) & 8) != 0;
  const offset: u32 = wide ? 4 + level * 8 : 2 + level * 4;
  const size: u32 = wide ? 4 : 2;
  if (offset + size + 1 > segmentLimit(SEGMENT_TR)) return fail(VECTOR_TS, segmentSelector(SEGMENT_TR), external);
  const tss = segmentBase(SEGMENT_TR);
  const sp = readSystem(tss + offset, size);
  if (faulted()) return false;
  const selector = <u32>readSystem(tss + offset + size, 2);
  if (faulted() || !checkStack(selector, level, VECTOR_TS, external)) return false;
  openNewStack(sp, stackBase(), stackLimit(), stackAccess(), level, (selector & 0xfffc) | external);
  return true;
}

/** For far calls, which are no events. */
export function openInnerStackForCall(level: u32): bool {
  external = 0;
  return openInnerStack(level);
}

// ---- long mode

function deliverLong(vector: u32, kind: u32): void {
  if (!fetchGate(vector, kind, 4, 0xc000)) return; // types 14, 15
  const upper = readSystem(get64(IDTR_BASE) + vector * 16 + 8, 4);
  if (faulted()) return;
  const level = handlerLevel();
  if (level < 0) return;
  const ist = <u32>(gate >> 32) & 7;
  const inner = <u32>level != cpl();
  let sp = get64(RSP);
  if (ist != 0 || inner) sp = longStackPointer(ist, level);
  if (faulted()) return;
  const rip = gateOffset() | (upper << 32);
  if (!checkTarget(rip, external)) return;
  openLongStack(sp & 0xfffffffffffffff0, level);
  push(8, segmentSelector(SEGMENT_SS));
  push(8, get64(RSP));
  push(8, flagsImage);
  push(8, segmentSelector(SEGMENT_CS));
  push(8, returnRip);
  if (pushesError) push(8, errorCode);
  if (faulted()) return;
  set64(RSP, stackPointer());
  if (inner) setNullStack(level);
  commitCode(level);
  finishFlags();
  set64(RIP, rip);
}

/** RSPn or ISTn of the 64-bit TSS. */
export function longStackPointer(ist: u32, level: u32): u64 {
  const offset: u32 = ist ? 0x1c + ist * 8 : 4 + level * 8;
  if (offset + 7 > segmentLimit(SEGMENT_TR)) {
    fail(VECTOR_TS, segmentSelector(SEGMENT_TR), external);
    return 0;
  }
  return readSystem(segmentBase(SEGMENT_TR) + offset, 8);
}

export function longStackPointerForCall(level: u32): u64 {
  external = 0;
  return longStackPointer(0, level);
}

// ---- what the executor calls

function isContributory(vector: u32): bool { return vector == 0 || (vector >= VECTOR_TS && vector <= VECTOR_GP); }

/** Table 6-5: whether a second fault while delivering the first makes a double fault. */
function doubles(first: u32, second: u32): bool {
  if (first == VECTOR_PF) return second == VECTOR_PF || isContributory(second);
  return isContributory(first) && isContributory(second);
}

/** Delivers the pending fault at `rip`. */
export function deliverFault(): void {
  count(COUNT_FAULT);
  set32(EXECUTOR_BUDGET, get32(EXECUTOR_BUDGET) - 1); // a handler that faults at once must not keep the slice from ending
  returnRip = get64(RIP);
  for (;;) {
    const vector = get32(FAULT_VECTOR);
    errorCode = get32(FAULT_ERROR);
    pushesError = get32(FAULT_HAS_ERROR) != 0;
    clearFault();
    if (vector == VECTOR_DB) set64(DR7, get64(DR7) & ~DR7_GD);
    deliver(vector, KIND_EXCEPTION);
    if (!faulted()) return;
    if (vector == VECTOR_DF) return shutdown();
    if (doubles(vector, get32(FAULT_VECTOR))) raiseError(VECTOR_DF, 0);
  }
}

/** Triple fault. */
function shutdown(): void {
  clearFault();
  set32(EXIT_REASON, EXIT_SHUTDOWN);
  set32(EXIT_DETAIL, 1);
}

function deliverEvent(vector: u32, kind: u32): void {
  count(COUNT_INTERRUPT);
  set32(HALTED, 0);
  set32(INHIBIT, get32(INHIBIT) & ~(<u32>1));
  returnRip = get64(RIP);
  errorCode = 0;
  pushesError = false;
  deliver(vector, kind);
  if (faulted()) deliverFault();
}

/** An external interrupt between instructions. The caller has checked IF and inhibit. */
export function deliverInterrupt(vector: u32): void { deliverEvent(vector, KIND_EXTERNAL); }

export function deliverNmi(): void {
  set32(INHIBIT, get32(INHIBIT) | NMI_BLOCKED);
  deliverEvent(VECTOR_NMI, KIND_NMI);
}

function deliverSoftware(vector: u32, kind: u32): void {
  returnRip = get64(NEXT_RIP);
  errorCode = 0;
  pushesError = false;
  deliver(vector, kind);
}

/** INT n; imm: n. */
export function softwareInterrupt(d: usize, a: usize, b: usize, imm: i32): void {
  if (virtual86() && iopl() != 3) return raiseGp();
  deliverSoftware(imm, KIND_SOFTWARE);
}
export function int3(d: usize, a: usize, b: usize, imm: i32): void { deliverSoftware(VECTOR_BP, KIND_SOFTWARE); }
export function int1(d: usize, a: usize, b: usize, imm: i32): void { deliverSoftware(VECTOR_DB, KIND_INT1); }
/** INTO: nothing unless OF is set; then it transfers control. */
export function into(d: usize, a: usize, b: usize, imm: i32): void {
  if (allFlags() & FLAG_OF) deliverSoftware(VECTOR_OF, KIND_SOFTWARE);
  else set64(RIP, get64(NEXT_RIP));
}
