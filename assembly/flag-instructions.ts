// CLI, STI, PUSHF, POPF, CLAC, STAC and HLT: instructions on the flags above the arithmetic ones.
import { EFLAGS, EXIT_HALT, EXIT_REASON, HALTED, INHIBIT, PENDING_STEP } from './generated/layout';
import { requireRing0 } from './control';
import { allFlags, loadFlags, noticeRequests, writableFlags } from './eflags';
import { VECTOR_UD, raise, raiseGp } from './faults';
import { updateMode } from './mode';
import { FLAG_AC, FLAG_IF, FLAG_RF, FLAG_TF, FLAG_VM, cpl, get32, iopl, set32, virtual86 } from './registers';

const INHIBIT_NEXT: u32 = 1;

function mayToggle(): bool {
  if (cpl() <= iopl()) return true;
  raiseGp();
  return false;
}

export function cli(d: usize, a: usize, b: usize, imm: i32): void {
  if (mayToggle()) set32(EFLAGS, get32(EFLAGS) & ~FLAG_IF);
}

export function sti(d: usize, a: usize, b: usize, imm: i32): void {
  if (!mayToggle()) return;
  if ((get32(EFLAGS) & FLAG_IF) == 0) set32(INHIBIT, get32(INHIBIT) | INHIBIT_NEXT);
  set32(EFLAGS, get32(EFLAGS) | FLAG_IF);
  noticeRequests();
}

/** The value PUSHF pushes, into slot d. */
export function readEflags(d: usize, a: usize, b: usize, imm: i32): void {
  if (virtual86() && iopl() != 3) return raiseGp();
  store<u64>(d, allFlags() & ~(FLAG_VM | FLAG_RF));
}

/** POPF; a: slot with the value, imm: operand size. */
export function popf(d: usize, a: usize, b: usize, imm: i32): void {
  if (virtual86() && iopl() != 3) return raiseGp();
  const old = get32(EFLAGS);
  loadFlags(load<u32>(a), writableFlags(imm));
  if (imm != 2) set32(EFLAGS, get32(EFLAGS) & ~FLAG_RF);
  if ((old ^ get32(EFLAGS)) & (FLAG_TF | FLAG_AC)) updateMode();
}

function setAlignmentCheck(value: u32): void {
  if (cpl() != 0) return raise(VECTOR_UD);
  set32(EFLAGS, (get32(EFLAGS) & ~FLAG_AC) | value);
  updateMode();
}
export function clac(d: usize, a: usize, b: usize, imm: i32): void { setAlignmentCheck(0); }
export function stac(d: usize, a: usize, b: usize, imm: i32): void { setAlignmentCheck(FLAG_AC); }

/** A single-step trap of the HLT itself would end the halt at once. */
function halt(): void {
  if (get32(PENDING_STEP)) return;
  set32(HALTED, 1);
  set32(EXIT_REASON, EXIT_HALT);
}
export function hlt(d: usize, a: usize, b: usize, imm: i32): void {
  if (requireRing0()) halt();
}

/** QUIRK: MONITOR arms nothing, so MWAIT waits for an interrupt as HLT does; with interrupts off it returns at once. */
export function monitor(d: usize, a: usize, b: usize, imm: i32): void {
  if (cpl() != 0) raise(VECTOR_UD);
}
export function mwait(d: usize, a: usize, b: usize, imm: i32): void {
  if (cpl() != 0) return raise(VECTOR_UD);
  if (get32(EFLAGS) & FLAG_IF) halt();
}
