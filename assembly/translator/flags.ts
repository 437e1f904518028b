// The lazy flags in a region: in locals while their kind is known, pending where only their sum is (PENDING_FLAGS in src/cpu/ir/flags.ts),
// in memory otherwise.
import { cpu } from '../host';
import {
  CC_A, CC_B, CC_OP, KIND_LOGIC, LOCAL_CC_A, LOCAL_CC_B, LOCAL_PENDING, LOCAL_VALUE_I32, NO_LOCAL, NO_PROGRAM, PENDING_FLAGS_CARRY,
  PENDING_FLAGS_STEP, WASM_I32_EQZ, WASM_I32_STORE, WASM_I32_WRAP_I64, WASM_I64_EXTEND_I32_U, WASM_I64_LOAD,
} from '../generated/layout';
import { CONDITIONS, PROGRAM_CARRY, PROGRAMS, SUPPORT_CONDITION, SUPPORT_SETTLE_FLAGS } from '../generated/programs';
import { callFunction } from './imports';
import { narrow, narrowLoad, storeFromStack, storeLocal } from './locals';
import { carryIsDead, flagsAreDead } from './running';
import { now, UNKNOWN_FLAGS } from './state';
import { run } from './steps';
import { access, get, i32Const, loadAt, op, set } from './writer';

/** Condition B, without the negation: CF. */
const BELOW: u32 = 2;

export function storeFlags(): void {
  if (now.flagsDirty == 0) return;
  i32Const(0);
  i32Const(now.knownFlags);
  access(WASM_I32_STORE, <u32>cpu + CC_OP);
  storeLocal(LOCAL_CC_A, CC_A);
  if (<u32>now.knownFlags >> 2 != KIND_LOGIC) storeLocal(LOCAL_CC_B, CC_B);
}

/** Brings the triple up to date with flags that are pending. */
export function settle(): void {
  if (now.pending != 0) flushFlags();
}

/** The triple is in memory afterwards. Where flags were pending nothing is known of it. */
export function flushFlags(): void {
  storeFlags();
  now.flagsDirty = 0;
  if (now.pending == 0) return;
  callSettle();
  now.pending = 0;
  now.knownFlags = UNKNOWN_FLAGS;
}

/** Merges the pending flags into the triple in memory. */
export function callSettle(): void {
  i32Const(now.pending);
  get(LOCAL_PENDING);
  callFunction(SUPPORT_SETTLE_FLAGS);
}


export function getFlagWord(number: u32, width: u32): void {
  if (now.knownFlags == UNKNOWN_FLAGS) {
    return loadAt(width == 3 ? WASM_I64_LOAD : narrowLoad(width, false), <u32>cpu + (number == 0 ? CC_A : CC_B));
  }
  get(number == 0 ? LOCAL_CC_A : LOCAL_CC_B);
  narrow(width, false);
}

/** The kind of the flags that were just set is computed: the whole triple goes to memory. */
export function setFlagKind(): void {
  storeFromStack(LOCAL_VALUE_I32, WASM_I32_STORE, CC_OP);
  storeLocal(LOCAL_CC_A, CC_A);
  storeLocal(LOCAL_CC_B, CC_B);
  now.knownFlags = UNKNOWN_FLAGS;
  now.flagsDirty = 0;
}


function getWide(local: u32, width: u32): void {
  get(local);
  if (width != 3) op(WASM_I64_EXTEND_I32_U);
}

export function setFlags(ccOp: u32, width: u32, localA: u32, localB: u32): void {
  if (flagsAreDead) return;
  getWide(localA, width);
  if (leavesCarry()) {
    set(LOCAL_PENDING);
    now.pending = PENDING_FLAGS_STEP + ccOp;
    return;
  }
  now.pending = 0;
  set(LOCAL_CC_A);
  now.knownFlags = ccOp;
  now.flagsDirty = 1;
  if (localB == NO_LOCAL) return;
  getWide(localB, width);
  set(LOCAL_CC_B);
}

/** What CF was would have to be worked out from the triple in memory, which is rather left there. */
function leavesCarry(): bool { return carryIsDead && now.knownFlags == UNKNOWN_FLAGS && now.pending == 0; }

export function condition(number: u32): void {
  if (number == BELOW && leavesCarry()) return i32Const(0);
  if ((number & ~1) == BELOW && now.pending == PENDING_FLAGS_CARRY) return pendingCarry(number);
  if (now.pending == 0 && now.knownFlags != UNKNOWN_FLAGS) {
    const program = <u32>load<u16>(CONDITIONS + 2 * (now.knownFlags * 16 + number));
    if (program != NO_PROGRAM) {
      run(PROGRAMS + program);
      return;
    }
  }
  flushFlags();
  if (number == BELOW) {
    run(PROGRAMS + PROGRAM_CARRY);
    return;
  }
  i32Const(number);
  callFunction(SUPPORT_CONDITION);
}

function pendingCarry(number: u32): void {
  get(LOCAL_PENDING);
  op(WASM_I32_WRAP_I64);
  if (number != BELOW) op(WASM_I32_EQZ);
}
