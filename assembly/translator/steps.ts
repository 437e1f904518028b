// The programs of operations carried out, step by step: src/cpu/translator/steps.ts has the language.
import { cpu } from '../host';
import {
  CONDITION_IMMEDIATE, CS_BASE, DECISION_FLAGS_DEAD, DECISION_IMMEDIATE_HAS, DECISION_IMMEDIATE_IS, DECISION_ROTATION_KNOWN, DECISION_SAME,
  DECISION_SHIFT_ZERO, ES_BASE, LOCAL_PENDING, LOCAL_VALUE_I32, LOCAL_VALUE_I64, LOCAL_VALUE_V128, OPERAND_D, PC_STACK,
  PENDING_FLAGS_CARRY, RECORD_C, RECORD_IMM, RECORD_IMM2, RECORD_PC, STEP_ADDRESS, STEP_BRANCH, STEP_BRANCH_ELSE, STEP_BYTES, STEP_CALL,
  STEP_CALL_SUPPORT, STEP_CHOOSE_EFFECT, STEP_CHOOSE_FLAGS, STEP_CHOOSE_RESULT, STEP_CLOSE, STEP_CLOSE_VECTOR, STEP_CONDITION, STEP_DECIDE,
  STEP_DISPATCH, STEP_END, STEP_FAULT, STEP_FIELD_C, STEP_GET, STEP_GET_EXTENDED, STEP_GET_FLAG_WORD, STEP_GET_REGISTER, STEP_GET_VECTOR,
  STEP_IMMEDIATE, STEP_IMMEDIATE2, STEP_IMMEDIATE64, STEP_JUMP, STEP_LAST_BYTE, STEP_LEAVE_FOR_INTERPRETER, STEP_LOAD, STEP_LOAD_STATE,
  STEP_NEST, STEP_PC, STEP_PREPARE_WRITE, STEP_RAISE_STACK, STEP_RIP, STEP_ROTATION_COUNT, STEP_SEGMENT_BASE, STEP_SEGMENT_FIELD,
  STEP_SET_CARRY, STEP_SET_FLAG_KIND, STEP_SET_FLAGS, STEP_SET_PENDING, STEP_SET_REGISTER, STEP_SHIFT_COUNT, STEP_STORE, STEP_STORE_STATE,
  VALUE_TYPE_I64, WASM_I64_EXTEND_I32_U, WASM_I64_LOAD, WASM_V128_LOAD, WASM_V128_STORE,
} from '../generated/layout';
import { loadMemory, raiseStack, storeMemory } from './accesses';
import { callSupport, choose, prepareWrite } from './calls';
import { dispatchTo, jumpTo, leaveForInterpreter, leaveWithFault } from './emit';
import { condition, flushFlags, getFlagWord, setFlagKind, setFlags } from './flags';
import { callFunction } from './imports';
import { closeSlot, getExtended, getRegister, getSlot, loadRegisters, pushRip, setRegister, spill, storeFromStack } from './locals';
import { NO_COUNT } from './rotations';
import { flagsAreDead, record, rotationCount } from './running';
import { dropState, GENERAL_COUNT, groupIn, groupOf, now, returnTo, saveState, UNKNOWN_FLAGS } from './state';
import { immediateOf, slotOf } from './tables';
import { bytes, end, i32Const, i64Const, loadAt, nest, op, openIf, otherwise, set } from './writer';

/** The condition on the stack decides whether what the list does happens, which leads away. */
function branch(step: usize): usize {
  const before = saveState();
  openIf();
  const next = run(step);
  end();
  returnTo(before);
  dropState(before);
  return next;
}

function branchElse(step: usize): usize {
  flushFlags();
  const before = saveState();
  openIf();
  const second = run(step);
  flushFlags();
  const after = saveState();
  const dirty = now.dirty, loaded = now.loaded;
  otherwise();
  returnTo(before);
  const next = run(second);
  flushFlags();
  loadRegisters(dirty); // what only the other part has written
  end();
  now.dirty |= dirty;
  now.loaded &= loaded;
  now.knownFlags = UNKNOWN_FLAGS;
  for (let register: u32 = 0; register < GENERAL_COUNT; register++) {
    if (groupOf(register).id != groupIn(after, register).id) groupOf(register).id = 0;
  }
  dropState(before);
  return next;
}

function decide(kind: u32, argument: u32): bool {
  const immediate = <u32>immediateOf(record);
  switch (kind) {
    case DECISION_FLAGS_DEAD: return flagsAreDead;
    case DECISION_SAME: return slotOf(record, argument & 3) == slotOf(record, argument >> 2);
    case DECISION_IMMEDIATE_IS: return immediate == argument;
    case DECISION_IMMEDIATE_HAS: return (immediate & argument) == argument;
    case DECISION_SHIFT_ZERO: return (immediate & argument) == 0;
    case DECISION_ROTATION_KNOWN: return rotationCount != NO_COUNT;
    default: return rotationCount == 0;
  }
}

function pushConstant(width: u32, value: i32): void {
  if (width == 3) i64Const(value);
  else i32Const(value);
}

function fieldC(): u32 { return load<u16>(record + RECORD_C); }

/** Bytes of a segment's fields in the state. */
const SEGMENT_BYTES: u32 = CS_BASE - ES_BASE;

function pushLastByte(): void {
  const immediate = immediateOf(record);
  i64Const(((immediate >> 4 & 0xff) | (immediate >> 8 & 0xff00)) - 1);
}

function operandSlot(word: u32): u32 { return slotOf(record, word & 3); }

/** Carries out the steps of a list; returns where the next one begins. */
export function run(list: usize): usize {
  let at = list;
  for (let step = <u32>load<u8>(at); step != STEP_END; step = load<u8>(at)) {
    const word = <u32>load<u8>(at + 1);
    switch (step) {
      case STEP_BYTES:
        bytes(at + 2, word);
        at += 2 + word;
        break;
      case STEP_NEST:
        nest(<i32>load<i8>(at + 1));
        at += 2;
        break;
      case STEP_GET:
        getSlot(operandSlot(word), (word >> 2) & 3, (word & 16) != 0);
        at += 2;
        break;
      case STEP_GET_EXTENDED:
        getExtended(operandSlot(word), (word >> 2) & 3, (word & 16) != 0);
        at += 2;
        break;
      case STEP_CLOSE:
        closeSlot(operandSlot(word), word >> 2);
        at += 2;
        break;
      case STEP_GET_VECTOR:
        loadAt(WASM_V128_LOAD, <u32>cpu + operandSlot(word));
        at += 2;
        break;
      case STEP_CLOSE_VECTOR:
        storeFromStack(LOCAL_VALUE_V128, WASM_V128_STORE, operandSlot(word));
        at += 2;
        break;
      case STEP_ADDRESS:
        spill(operandSlot(word));
        i32Const(<u32>cpu + operandSlot(word));
        at += 2;
        break;
      case STEP_IMMEDIATE:
        pushConstant(word, immediateOf(record));
        at += 2;
        break;
      case STEP_IMMEDIATE2:
        i32Const(load<i32>(record + RECORD_IMM2));
        at++;
        break;
      case STEP_IMMEDIATE64:
        i64Const(load<i64>(record + RECORD_IMM)); // and RECORD_IMM2
        at++;
        break;
      case STEP_FIELD_C:
        i32Const(fieldC());
        at++;
        break;
      case STEP_SEGMENT_BASE:
        loadAt(WASM_I64_LOAD, <u32>cpu + (fieldC() & ~3));
        at++;
        break;
      case STEP_PC:
        i32Const(<u32>load<u16>(record + RECORD_PC) & (PC_STACK - 1));
        at++;
        break;
      case STEP_SHIFT_COUNT:
        pushConstant(word & 3, (immediateOf(record) & ((word & 3) == 3 ? 63 : 31)) - (word >> 2));
        at += 2;
        break;
      case STEP_ROTATION_COUNT:
        pushConstant(word, rotationCount);
        at += 2;
        break;
      case STEP_LAST_BYTE:
        pushLastByte();
        at++;
        break;
      case STEP_RIP:
        pushRip();
        at++;
        break;
      case STEP_LOAD_STATE:
        loadAt(word, <u32>cpu + load<u16>(at + 2));
        at += 4;
        break;
      case STEP_STORE_STATE:
        storeFromStack(word == VALUE_TYPE_I64 ? LOCAL_VALUE_I64 : LOCAL_VALUE_I32, load<u8>(at + 2), load<u16>(at + 3));
        at += 5;
        break;
      case STEP_GET_REGISTER:
        getRegister(word, load<u8>(at + 2));
        at += 3;
        break;
      case STEP_SET_REGISTER:
        setRegister(word, load<u8>(at + 2));
        at += 3;
        break;
      case STEP_GET_FLAG_WORD:
        getFlagWord(word, load<u8>(at + 2));
        at += 3;
        break;
      case STEP_SET_FLAG_KIND:
        setFlagKind();
        at++;
        break;
      case STEP_SEGMENT_FIELD:
        loadAt(load<u8>(at + 2), <u32>cpu + ES_BASE + (immediateOf(record) & 15) * SEGMENT_BYTES + word);
        at += 3;
        break;
      case STEP_SET_FLAGS:
        setFlags(word, load<u8>(at + 2), load<u8>(at + 3), load<u8>(at + 4));
        at += 5;
        break;
      case STEP_SET_CARRY:
        op(WASM_I64_EXTEND_I32_U);
        set(LOCAL_PENDING);
        now.pending = PENDING_FLAGS_CARRY;
        at++;
        break;
      case STEP_SET_PENDING:
        now.pending = word;
        at += 2;
        break;
      case STEP_CONDITION:
        condition(word == CONDITION_IMMEDIATE ? <u32>immediateOf(record) & 15 : word);
        at += 2;
        break;
      case STEP_LOAD:
        at = loadMemory(at + 1);
        break;
      case STEP_STORE:
        at = storeMemory(at + 1);
        break;
      case STEP_RAISE_STACK:
        at = raiseStack(at + 1);
        break;
      case STEP_PREPARE_WRITE:
        prepareWrite(word);
        at += 2;
        break;
      case STEP_CALL:
        callFunction(load<u16>(at + 1));
        at += 3;
        break;
      case STEP_CALL_SUPPORT:
        callSupport(load<u16>(at + 1), load<u8>(at + 3) != 0);
        at += 4;
        break;
      case STEP_CHOOSE_EFFECT:
      case STEP_CHOOSE_RESULT:
      case STEP_CHOOSE_FLAGS:
        at = choose(at + 1, step);
        break;
      case STEP_LEAVE_FOR_INTERPRETER:
        leaveForInterpreter();
        at++;
        break;
      case STEP_FAULT:
        leaveWithFault();
        at++;
        break;
      case STEP_BRANCH:
        at = branch(at + 1);
        break;
      case STEP_BRANCH_ELSE:
        at = branchElse(at + 1);
        break;
      case STEP_JUMP:
        jumpTo(word);
        at += 2;
        break;
      case STEP_DISPATCH:
        dispatchTo(word == 0 ? 0 : slotOf(record, OPERAND_D));
        at += 2;
        break;
      case STEP_DECIDE: // stands at the beginning of a program: each of its lists is the rest of it
        at = decide(word, load<u32>(at + 2)) ? at + 8 : at + 8 + load<u16>(at + 6);
        break;
      default: unreachable();
    }
  }
  return at + 1;
}
