// Values in a region's locals: operands, registers and the stack pointer, loaded where they are first read and stored where memory has to
// hold the state: wherever blocks join, but for flags that the next block replaces at once, and whenever the region is left.
import { cpu } from '../host';
import {
  LOCAL_BASE, LOCAL_GENERAL, LOCAL_TEMPORARIES, LOCAL_VALUE_I32, LOCAL_VALUE_I64, TEMPORARY_COUNT, TMP0, WASM_I32_AND, WASM_I32_EXTEND16_S,
  WASM_I32_EXTEND8_S, WASM_I32_LOAD, WASM_I32_LOAD16_S, WASM_I32_LOAD16_U, WASM_I32_LOAD8_S, WASM_I32_LOAD8_U, WASM_I32_STORE16,
  WASM_I32_STORE8, WASM_I32_WRAP_I64, WASM_I64_ADD, WASM_I64_AND, WASM_I64_EXTEND16_S, WASM_I64_EXTEND32_S, WASM_I64_EXTEND8_S,
  WASM_I64_EXTEND_I32_U, WASM_I64_LOAD, WASM_I64_LOAD16_S, WASM_I64_LOAD16_U, WASM_I64_LOAD32_S, WASM_I64_LOAD32_U, WASM_I64_LOAD8_S,
  WASM_I64_LOAD8_U, WASM_I64_OR, WASM_I64_SHL, WASM_I64_SHR_U, WASM_I64_STORE, ZERO,
} from '../generated/layout';
import { callSettle, settle, storeFlags } from './flags';
import { addsToStack, constantAdded } from './groups';
import { delta, operation, record } from './running';
import { GENERAL_COUNT, groupOf, moveGroup, now } from './state';
import { access, get, i32Const, i64Const, loadAt, op, set } from './writer';

export const STACK_REGISTER: u32 = 4;
export const GENERAL_END: u32 = GENERAL_COUNT * 8;

// What is in locals only ---------------------------------------------------------------------------------------------------

/** Stores what is in locals only. The locals stay good. Flags that are dead are only stored on ways out. */
export function flush(deadFlags: bool): void {
  if (deadFlags) storeRegisters();
  else {
    settle();
    storeDirty();
    now.flagsDirty = 0;
  }
  now.dirty = 0;
}

/** Stores what is in locals only, but for pending flags: once before an instruction that may leave the region in several places. */
export function storeState(): void {
  storeRegisters();
  storeFlags();
  now.dirty = 0;
  now.flagsDirty = 0;
}

/** Stores what is in locals only, on a way out: the other way goes on as it was. */
export function storeDirty(): void {
  storeRegisters();
  storeFlags();
  if (now.pending != 0) callSettle();
}

export function storeLocal(local: u32, home: u32): void {
  i32Const(0);
  get(local);
  access(WASM_I64_STORE, <u32>cpu + home);
}

function storeRegisters(): void {
  for (let left = now.dirty & 0xffff; left != 0; left &= left - 1) {
    const register = ctz(left);
    storeLocal(LOCAL_GENERAL + register, register * 8);
  }
}


// Operands -----------------------------------------------------------------------------------------------------------------

const IN_MEMORY: u32 = 0xffffffff;
const IS_ZERO: u32 = 0xfffffffe;

/** The local that a slot lies in, IS_ZERO for the constant, or IN_MEMORY. */
function localOf(slot: u32): u32 {
  if (slot < GENERAL_END) return LOCAL_GENERAL + (slot >> 3);
  const home = slot & ~7;
  if (home == ZERO) return IS_ZERO;
  const temporary = (home - TMP0) >> 3;
  return temporary < TEMPORARY_COUNT ? LOCAL_TEMPORARIES + temporary : IN_MEMORY;
}

/** Loads general registers, one bit each, that are not in their locals. */
export function loadRegisters(registers: u32): void {
  for (let left = registers & 0xffff; left != 0; left &= left - 1) need(ctz(left) * 8);
}

/** Loads a general register, by a slot in it, into its local unless it is there. */
export function need(slot: u32): void {
  if (slot >= GENERAL_END) return;
  const bit: u32 = 1 << (slot >> 3);
  if ((now.loaded & bit) != 0) return;
  now.loaded |= bit;
  loadAt(WASM_I64_LOAD, <u32>cpu + (slot & ~7));
  set(LOCAL_GENERAL + (slot >> 3));
}

/** Pushes a local so that the slot's part of it is lowest. */
function pushShifted(slot: u32, local: u32): void {
  need(slot);
  get(local);
  if ((slot & 7) == 0) return;
  i64Const((slot & 7) * 8);
  op(WASM_I64_SHR_U);
}

export function narrowLoad(width: u32, signed: bool): u32 {
  if (width == 0) return signed ? WASM_I32_LOAD8_S : WASM_I32_LOAD8_U;
  if (width == 1) return signed ? WASM_I32_LOAD16_S : WASM_I32_LOAD16_U;
  return WASM_I32_LOAD;
}

export function getSlot(slot: u32, width: u32, signed: bool): void {
  const local = localOf(slot);
  if (local == IS_ZERO) return width == 3 ? i64Const(0) : i32Const(0);
  if (local == IN_MEMORY) return loadAt(width == 3 ? WASM_I64_LOAD : narrowLoad(width, signed), <u32>cpu + slot);
  pushShifted(slot, local);
  narrow(width, signed);
}

/** From the i64 on the stack to a value of a width. */
export function narrow(width: u32, signed: bool): void {
  if (width == 3) return;
  op(WASM_I32_WRAP_I64);
  if (width == 2) return;
  if (signed) return op(width == 0 ? WASM_I32_EXTEND8_S : WASM_I32_EXTEND16_S);
  i32Const(width == 0 ? 0xff : 0xffff);
  op(WASM_I32_AND);
}

function wideLoad(width: u32, signed: bool): u32 {
  if (width == 0) return signed ? WASM_I64_LOAD8_S : WASM_I64_LOAD8_U;
  if (width == 1) return signed ? WASM_I64_LOAD16_S : WASM_I64_LOAD16_U;
  if (width == 2) return signed ? WASM_I64_LOAD32_S : WASM_I64_LOAD32_U;
  return WASM_I64_LOAD;
}

export function getExtended(slot: u32, width: u32, signed: bool): void {
  const local = localOf(slot);
  if (local == IS_ZERO) return i64Const(0);
  if (local == IN_MEMORY) return loadAt(wideLoad(width, signed), <u32>cpu + slot);
  pushShifted(slot, local);
  if (width == 3) return;
  if (signed) return op(width == 0 ? WASM_I64_EXTEND8_S : width == 1 ? WASM_I64_EXTEND16_S : WASM_I64_EXTEND32_S);
  if (width == 2) {
    op(WASM_I32_WRAP_I64);
    return op(WASM_I64_EXTEND_I32_U);
  }
  i64Const(width == 0 ? 0xff : 0xffff);
  op(WASM_I64_AND);
}

export function closeSlot(slot: u32, width: u32): void {
  const local = localOf(slot);
  if (local != IN_MEMORY && width < 2) need(slot);
  noteWritten(slot);
  if (local == IN_MEMORY) return closeInMemory(slot, width);
  if (width == 3) return set(local);
  op(WASM_I64_EXTEND_I32_U);
  if (width == 2) return set(local);
  mergeInto(local, (slot & 7) * 8, width == 0 ? 0xff : 0xffff);
}

function closeInMemory(slot: u32, width: u32): void {
  if (width == 2) op(WASM_I64_EXTEND_I32_U);
  if (width >= 2) storeFromStack(LOCAL_VALUE_I64, WASM_I64_STORE, slot);
  else storeFromStack(LOCAL_VALUE_I32, width == 0 ? WASM_I32_STORE8 : WASM_I32_STORE16, slot);
}

/** Stores the value on the stack at a constant offset of the vCPU area. */
export function storeFromStack(value: u32, code: u32, offset: u32): void {
  set(value);
  i32Const(0);
  get(value);
  access(code, <u32>cpu + offset);
}

/** The low bits of the i64 on the stack replace a part of a local. */
function mergeInto(local: u32, shift: u32, mask: u64): void {
  i64Const(mask);
  op(WASM_I64_AND);
  if (shift > 0) {
    i64Const(shift);
    op(WASM_I64_SHL);
  }
  get(local);
  i64Const(~(mask << shift));
  op(WASM_I64_AND);
  op(WASM_I64_OR);
  set(local);
}

function noteWritten(slot: u32): void {
  if (slot >= GENERAL_END) return;
  const register = slot >> 3;
  noteRegister(register);
  if (register == STACK_REGISTER && addsToStack(operation, record)) moveGroup(register, constantAdded(operation, record));
  else groupOf(register).id = 0;
}

function noteRegister(register: u32): void {
  now.dirty |= 1 << register;
  now.loaded |= 1 << register;
}

/** Writes the local that a slot lies in to its home, if that is older. */
export function spill(slot: u32): void {
  const local = localOf(slot);
  if (local == IN_MEMORY || local == IS_ZERO) return;
  if (slot < GENERAL_END) {
    const bit: u32 = 1 << (slot >> 3);
    if ((now.dirty & bit) == 0) return;
    now.dirty &= ~bit;
  }
  storeLocal(local, slot & ~7);
}

export function reload(slot: u32): void {
  const local = localOf(slot);
  if (local == IN_MEMORY || local == IS_ZERO) return;
  loadAt(WASM_I64_LOAD, <u32>cpu + (slot & ~7));
  set(local);
  if (slot >= GENERAL_END) return;
  now.loaded |= 1 << (slot >> 3);
  groupOf(slot >> 3).id = 0;
}

// State fields ---------------------------------------------------------------------------------------------------------------

/** RIP of the running block's first instruction. */
export function pushRip(): void {
  get(LOCAL_BASE);
  if (delta == 0) return;
  i64Const(delta);
  op(WASM_I64_ADD);
}

export function getRegister(register: u32, width: u32): void {
  need(register * 8);
  get(LOCAL_GENERAL + register);
  narrow(width, false);
}

export function setRegister(register: u32, width: u32): void {
  noteRegister(register);
  groupOf(register).id = 0;
  if (width != 3) op(WASM_I64_EXTEND_I32_U);
  set(LOCAL_GENERAL + register);
}
