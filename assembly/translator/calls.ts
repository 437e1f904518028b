// Calls of helpers from a region: what they need in memory is stored before and loaded afterwards (FUNCTION in
// src/cpu/translator/steps.ts).
import { cpu } from '../host';
import {
  CC_A, EXECUTOR_BUDGET, FAULT_VECTOR, FUNCTION_BUDGET, FUNCTION_KEEPS_FLAGS, FUNCTION_MEMORY, FUNCTION_MODE, FUNCTION_REGISTERS,
  FUNCTION_WRITES_FLAGS, KIND_FLAGS, LOCAL_BUDGET, LOCAL_CC_A, LOCAL_TLB_READ, LOCAL_TLB_WRITE, OPERAND_A, OPERAND_B, OPERAND_D,
  STEP_CHOOSE_FLAGS, STEP_CHOOSE_RESULT, TLB_READ, TLB_WRITE, WASM_I32_GE_S, WASM_I32_LOAD, WASM_I32_STORE, WASM_I64_LOAD,
} from '../generated/layout';
import { FUNCTIONS, SUPPORT_PREPARE_WRITE } from '../generated/programs';
import { leaveWithFault } from './emit';
import { flushFlags } from './flags';
import { callFunction } from './imports';
import { reload, spill } from './locals';
import { noteCodeMayChange, record } from './running';
import { dropState, forgetGroups, now, returnTo, saveState, UNKNOWN_FLAGS } from './state';
import { run } from './steps';
import { immediateOf, slotOf } from './tables';
import { access, end, get, i32Const, loadAt, op, openIf, otherwise, set } from './writer';

/** What a helper needs in memory, by their 64-bit homes: its operands, and registers that it uses without naming them. */
let homeCount: u32 = 0;
const HOMES: usize = memory.data(2 * (3 + 16));

function addHome(slot: u32): void {
  const home = slot & ~7;
  for (let n: u32 = 0; n < homeCount; n++) if (load<u16>(HOMES + 2 * n) == home) return;
  store<u16>(HOMES + 2 * homeCount++, <u16>home);
}

function findHomes(registers: u32): void {
  homeCount = 0;
  addHome(slotOf(record, OPERAND_D));
  addHome(slotOf(record, OPERAND_A));
  addHome(slotOf(record, OPERAND_B));
  for (let left = registers; left != 0; left &= left - 1) addHome(ctz(left) * 8);
}

function pushOperandAddress(operand: u32): void { i32Const(<u32>cpu + slotOf(record, operand)); }

export function callSupport(number: u32, mayFault: bool): void {
  const effects = load<u32>(FUNCTIONS + 4 * number);
  const keepsFlags = (effects & FUNCTION_KEEPS_FLAGS) != 0;
  findHomes(effects & FUNCTION_REGISTERS);
  for (let n: u32 = 0; n < homeCount; n++) spill(load<u16>(HOMES + 2 * n));
  if (!keepsFlags) flushFlags();
  if ((effects & FUNCTION_BUDGET) != 0) storeWord(LOCAL_BUDGET, EXECUTOR_BUDGET);
  pushOperandAddress(OPERAND_D);
  pushOperandAddress(OPERAND_A);
  pushOperandAddress(OPERAND_B);
  i32Const(immediateOf(record));
  callFunction(number);
  for (let n: u32 = 0; n < homeCount; n++) reload(load<u16>(HOMES + 2 * n));
  if ((effects & FUNCTION_MODE) != 0) forgetGroups();
  if (!keepsFlags) now.knownFlags = UNKNOWN_FLAGS;
  if ((effects & FUNCTION_BUDGET) != 0) reloadWord(LOCAL_BUDGET, EXECUTOR_BUDGET);
  if ((effects & FUNCTION_MODE) != 0) {
    reloadWord(LOCAL_TLB_READ, TLB_READ);
    reloadWord(LOCAL_TLB_WRITE, TLB_WRITE);
  }
  if ((effects & FUNCTION_MEMORY) != 0) noteCodeMayChange();
  if (mayFault) faultIfRaised();
  if ((effects & FUNCTION_WRITES_FLAGS) != 0) loadFlags();
}

/** The triple in memory has the flags themselves. */
function loadFlags(): void {
  loadAt(WASM_I64_LOAD, <u32>cpu + CC_A);
  set(LOCAL_CC_A);
  now.knownFlags = KIND_FLAGS << 2;
}

function storeWord(local: u32, field: u32): void {
  i32Const(0);
  get(local);
  access(WASM_I32_STORE, <u32>cpu + field);
}
export function reloadWord(local: u32, field: u32): void {
  loadAt(WASM_I32_LOAD, <u32>cpu + field);
  set(local);
}

function faultIfRaised(): void {
  loadAt(WASM_I32_LOAD, <u32>cpu + FAULT_VECTOR);
  i32Const(0);
  op(WASM_I32_GE_S);
  openIf();
  leaveWithFault();
  end();
}

export function prepareWrite(size: u32): void {
  i32Const(size);
  callFunction(SUPPORT_PREPARE_WRITE);
  faultIfRaised();
}

/** The condition on the stack decides between the list and the helper: what is known at the end, and before. */
export function choose(step: usize, kind: u32): usize {
  const before = saveState();
  openIf();
  const next = run(step + 2);
  const after = saveState();
  returnTo(before);
  otherwise();
  callSupport(load<u16>(step), true);
  end();
  const loaded = now.loaded;
  if (kind == STEP_CHOOSE_RESULT) {
    returnTo(after);
    now.loaded &= loaded;
  } else returnTo(before);
  if (kind == STEP_CHOOSE_FLAGS) {
    now.knownFlags = KIND_FLAGS << 2;
    now.flagsDirty = 1;
    now.pending = 0;
  }
  dropState(before);
  return next;
}
