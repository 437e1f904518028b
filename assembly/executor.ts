// What the executor itself needs beside blocks.ts: cutting a slice short, single steps, units that are switched off.

import { cpu } from './host'
import { takeBadAddress } from './memory'
import { raise, raiseError } from './faults'
import { checkBreakpoint, stepTrap } from './debug'
import {
  BUDGET_SKIPPED, COUNTED_BLOCK, COUNT_INSTRUCTIONS, CPL, CR0, CR4,
  EFLAGS, EXECUTOR_BUDGET, FAULT_VECTOR, PC_STACK, PENDING_DEBUG, PENDING_STEP, RECORD_BYTES, RECORD_PC, RIP, ZERO,
} from './generated/layout'

const CR0_EM: u64 = 4;
const EFLAGS_TF: u32 = 0x100;

/** Makes the executor stop at the next block end. The instructions it will not execute are noted for the count. */
export function kick(): void {
  const left = load<i32>(cpu + EXECUTOR_BUDGET);
  if (left < 0) return;
  store<i32>(cpu + BUDGET_SKIPPED, load<i32>(cpu + BUDGET_SKIPPED) + left + 1);
  store<i32>(cpu + EXECUTOR_BUDGET, -1);
}

/**
 * First operation of every block in step mode, which is one instruction long: the trap of the instruction before, then
 * instruction breakpoints, then whether this one will trap.
 */
export function stepEntry(d: usize, a: usize, b: usize, imm: i32): void {
  if (load<u32>(cpu + PENDING_STEP) != 0) {
    store<u32>(cpu + PENDING_STEP, 0);
    return stepTrap(cpu + ZERO, cpu + ZERO, cpu + ZERO, 0);
  }
  checkBreakpoint(cpu + ZERO, cpu + RIP, cpu + ZERO, 0);
  // Data breakpoints that MOV SS held back strike after this instruction.
  const traps = (load<u32>(cpu + EFLAGS) & EFLAGS_TF) != 0 || load<u32>(cpu + PENDING_DEBUG) != 0;
  store<u32>(cpu + PENDING_STEP, traps ? 1 : 0);
}

export function generalProtection(d: usize, a: usize, b: usize, imm: i32): void { raiseError(13, 0); }

/** The block that is counted ends before the instruction of `record`: those that it has completed. For the counting interpreter. */
export function countPartial(record: u32): void {
  const end = <u32>load<u16>(record + RECORD_PC) & (PC_STACK - 1);
  let completed: u64 = 0;
  let previous: u32 = 0xffffffff;
  for (let at = load<u32>(cpu + COUNTED_BLOCK); at < record; at += RECORD_BYTES) {
    const pc = <u32>load<u16>(at + RECORD_PC) & (PC_STACK - 1);
    if (pc != previous && pc != end) completed++;
    previous = pc;
  }
  store<u64>(cpu + COUNT_INSTRUCTIONS, load<u64>(cpu + COUNT_INSTRUCTIONS) + completed);
}

/** What privileged instructions check before they read their operand. */
export function checkRing0(d: usize, a: usize, b: usize, imm: i32): void {
  if (load<u32>(cpu + CPL) != 0) raiseError(13, 0);
}

/** A record has raised a fault: an address that cannot be, in an access to the stack segment, is #SS(0) and not #GP(0). */
export function refineFault(record: u32): void {
  const bad = takeBadAddress();
  if (bad && load<i32>(cpu + FAULT_VECTOR) == 13 && (load<u16>(record + RECORD_PC) & PC_STACK) != 0) raiseError(12, 0);
}

/** imm: 0 x87, 1 MMX, 2 SSE. MMX and SSE are #UD under CR0.EM or without CR4.OSFXSR; otherwise it is CR0.TS or EM: #NM. */
export function unitUnavailable(d: usize, a: usize, b: usize, imm: i32): void {
  const emulated = (load<u64>(cpu + CR0) & CR0_EM) != 0;
  const taskSwitched = (load<u64>(cpu + CR0) & 8) != 0;
  if (imm == 0) return raise(7);
  if (emulated) return raise(6);
  if (taskSwitched && (imm == 1 || osFxsr())) return raise(7);
  raise(6);
}
function osFxsr(): bool { return (load<u64>(cpu + CR4) & 0x200) != 0; }

