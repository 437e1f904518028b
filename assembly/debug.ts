// Debug registers (Intel SDM 3B chapter 18): which pages are watched, which breakpoints an access or an instruction hits,
// and the single-step trap. Hits of data breakpoints wait in pendingDebug until the instruction is over.
// Not here: MOV to and from DRn (control.ts).
import { cpu } from './host';
import { CS_BASE, DR0, DR6, DR7, EFLAGS, PENDING_DEBUG, PENDING_STEP, STEP_ARMED } from './generated/layout';
import { VECTOR_DB, raise } from './faults';
import { CR4_DE, FLAG_RF, FLAG_TF, code64, controlBit4, get32, get64, set32, set64 } from './registers';

export const DR6_BS: u32 = 1 << 14;
export const DR6_BT: u32 = 1 << 15;
export const DR6_BD: u32 = 1 << 13;
export const DR7_GD: u64 = 1 << 13;
const TYPE_EXECUTE: u32 = 0;
const TYPE_WRITE: u32 = 1;
const TYPE_PORT: u32 = 2;
const TYPE_ANY: u32 = 3;

/** Whether any data breakpoint is enabled: set by updateDebug, tested on every slow access. */
let watching: bool = false;
export function dataWatched(): bool { return watching; }

function enabled(dr7: u32, n: u32): bool { return ((dr7 >> (n * 2)) & 3) != 0; }
function typeOf(dr7: u32, n: u32): u32 { return (dr7 >> (16 + n * 4)) & 3; }
function bytesOf(dr7: u32, n: u32): u32 {
  const length = (dr7 >> (18 + n * 4)) & 3;
  return length == 2 ? 8 : length + 1;
}
function address(n: u32): u64 { return load<u64>(cpu + DR0 + n * 8); }

/** Recomputes what is derived from DR7; true when blocks must be single instructions. */
export function updateDebug(): bool {
  const dr7 = <u32>get64(DR7);
  watching = false;
  if ((dr7 & 0xff) == 0) return false;
  for (let n: u32 = 0; n < 4; n++) {
    const type = typeOf(dr7, n);
    if (enabled(dr7, n) && (type == TYPE_WRITE || type == TYPE_ANY)) watching = true;
  }
  return true;
}

function matches(type: u32, start: u64, size: u32, kindA: u32, kindB: u32): u32 {
  const dr7 = <u32>get64(DR7);
  let hits: u32 = 0;
  for (let n: u32 = 0; n < 4; n++) {
    if (!enabled(dr7, n)) continue;
    const kind = typeOf(dr7, n);
    if (kind != kindA && kind != kindB) continue;
    const bytes = type == TYPE_EXECUTE ? 1 : bytesOf(dr7, n);
    const first = address(n) & ~(<u64>bytes - 1);
    if (start < first + bytes && first < start + size) hits |= 1 << n;
  }
  return hits;
}

/** True when a page may not be cached in a data TLB because a breakpoint lies in it. */
export function pageWatched(linear: u64): bool {
  if (!watching) return false;
  const page = linear & 0xfffffffffffff000;
  return matches(TYPE_ANY, page, 4096, TYPE_WRITE, TYPE_ANY) != 0;
}

/** A data access that went well: remembers the breakpoints it hit. */
export function noteAccess(linear: u64, size: u32, write: bool): void {
  notePending(matches(TYPE_ANY, linear, size, write ? TYPE_WRITE : TYPE_ANY, TYPE_ANY));
}

function notePending(hits: u32): void {
  if (hits == 0) return;
  set32(PENDING_DEBUG, get32(PENDING_DEBUG) | hits);
  set32(PENDING_STEP, 1);
}

export function notePort(port: u32, size: u32): void {
  if ((get64(DR7) & 0xff) == 0 || !controlBit4(CR4_DE)) return;
  notePending(matches(TYPE_PORT, port, size, TYPE_PORT, TYPE_PORT));
}

/** Raises #DB with `causes` added to DR6. */
export function raiseDebug(causes: u32): void {
  set64(DR6, (get64(DR6) & ~(<u64>15)) | causes);
  raise(VECTOR_DB);
}

/**
 * Before each instruction of a MODE.STEP block, a: slot with its RIP. Arms the single step, raises #DB for an instruction
 * breakpoint unless RF is set. RF lasts for one instruction, so it goes here; faults push it set again.
 */
export function checkBreakpoint(d: usize, a: usize, b: usize, imm: i32): void {
  const flags = get32(EFLAGS);
  set32(STEP_ARMED, flags & FLAG_TF);
  if (flags & FLAG_RF) return set32(EFLAGS, flags & ~FLAG_RF);
  if ((get64(DR7) & 0xff) == 0) return;
  const linear = code64() ? load<u64>(a) : (load<u64>(a) + get64(CS_BASE)) & 0xffffffff;
  const hits = matches(TYPE_EXECUTE, linear, 1, TYPE_EXECUTE, TYPE_EXECUTE);
  if (hits) raiseDebug(hits);
}

/** After each instruction of a MODE.STEP block, `rip` already that of the next one: the traps it caused. */
export function stepTrap(d: usize, a: usize, b: usize, imm: i32): void {
  const causes = get32(PENDING_DEBUG) | (get32(STEP_ARMED) ? DR6_BS : 0);
  if (causes == 0) return;
  set32(PENDING_DEBUG, 0);
  set32(STEP_ARMED, 0);
  raiseDebug(causes);
}

/** A single-step trap at the end of the running instruction, whatever TF was before it. */
export function armStep(): void {
  set32(STEP_ARMED, 1);
  set32(PENDING_STEP, 1);
}

/** Forgets the single step of the running instruction: it was delivered an event, or it was MOV SS. */
export function disarmStep(): void {
  set32(STEP_ARMED, 0);
  set32(PENDING_STEP, 0);
}
