// Programs that regions are emitted by (steps.ts), made of the operations' meanings: a lowering that notes, for each thing it is asked for,
// the step that does it, and of plain instructions the bytes. Where a meaning asks about the record, it is run with both answers, and the
// program asks first. Runs when nandu is built (tools/build-wasm.ts); what carries the programs out is assembly/translator/.
import { assert } from '../../base/assert.ts';
import { CodeWriter } from '../../wasm/code-writer.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Address, Lowering, Operand, Width } from '../ir/lowering.ts';
import { PLAIN_LOAD, PLAIN_STORE, probeTlb, pushHostAddress, pushRaisedStack } from '../ir/memory-access.ts';
import { OPS, type MemoryAccess, type Op } from '../ir/op.ts';
import { CALL, CALL_INDIRECT, RETURN } from '../ir/ops-memory.ts';
import { HELPER } from '../ir/ops-helper.ts';
import { ADD, DEC, INC, SUB } from '../ir/ops-integer.ts';
import '../ir/ops-vector.ts'; // every operation is declared
import { cpuOffset, GENERAL_REGISTERS } from '../x86/state.ts';
import { carryInMemory, emitCondition } from './conditions.ts';
import { effectsOf, isInterpreted, leavesFlags, writesFlags } from './helper-effects.ts';
import { emitInline } from './inline-helpers.ts';
import type { InlineLowering, SegmentField } from './inline-lowering.ts';
import { CC_A, LINEAR, PAGE_OFFSET, SCRATCH_I32, SCRATCH_I64, SCRATCH_V128, TARGET, TLB_ENTRY } from './region-locals.ts';
import {
  ACCESS_FLAG, ACCESS_KIND, CONDITION_IMMEDIATE, DECISION, FUNCTION, NEAR, NO_LOCAL, NO_PROGRAM, OPERAND, OPERATION, STEP, TRAIT,
  VALUE_TYPE,
} from './steps.ts';
import { SUPPORT_FUNCTIONS } from './support-functions.ts';

interface Decision {
  readonly kind: number;
  readonly argument: number;
}

/** A meaning has asked what there is no answer to yet. */
class Undecided extends Error {
  readonly decision: Decision;

  constructor(decision: Decision) {
    super('undecided');
    this.decision = decision;
  }
}

const low16 = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];
const low32 = (value: number): number[] => [...low16(value), ...low16(value >> 16)];

const functionNumber = (name: string): number => {
  const number = SUPPORT_FUNCTIONS.indexOf(name);
  assert(number >= 0, `${name} is a function that regions call`);
  return number;
};

const WIDTH_LOADS = [OP.i32_load8_u, OP.i32_load16_u, OP.i32_load, OP.i64_load] as const;
const WIDTH_STORES = [OP.i32_store8, OP.i32_store16, OP.i32_store, OP.i64_store] as const;

class ProgramLowering implements InlineLowering {
  readonly code = new CodeWriter(256);
  readonly i32 = SCRATCH_I32;
  readonly i64 = SCRATCH_I64;
  readonly v128 = SCRATCH_V128;
  readonly #answers: readonly boolean[];
  #asked: Decision[] = [];
  #steps: number[] = [];
  #depth = 0;

  constructor(answers: readonly boolean[]) {
    this.#answers = answers;
  }

  /** The steps so far, ended. */
  finish(): number[] {
    this.#takeBytes();
    return [...this.#steps, STEP.END];
  }

  /** What was written to `code` since becomes a step. */
  #takeBytes(): void {
    const { code } = this;
    for (let at = 0; at < code.length; at += 255) {
      const bytes = code.bytes.subarray(at, Math.min(code.length, at + 255));
      this.#steps.push(STEP.BYTES, bytes.length, ...bytes);
    }
    code.length = 0;
    if (code.depth !== this.#depth) this.#steps.push(STEP.NEST, (code.depth - this.#depth) & 0xff);
    this.#depth = code.depth;
  }

  #step(...bytes: readonly number[]): void {
    this.#takeBytes();
    this.#steps.push(...bytes.map((byte) => byte & 0xff));
  }

  /** The steps that `push` makes, as a list of its own. */
  #list(push: () => void): number[] {
    this.#takeBytes();
    const outer = this.#steps;
    this.#steps = [];
    push();
    const list = this.finish();
    this.#steps = outer;
    return list;
  }

  #decide(kind: number, argument = 0): boolean {
    const known = this.#asked.findIndex((one) => one.kind === kind && one.argument === argument);
    const number = known < 0 ? this.#asked.push({ kind, argument }) - 1 : known;
    const answer = this.#answers[number];
    if (answer === undefined) throw new Undecided({ kind, argument });
    return answer;
  }

  // Operands -------------------------------------------------------------------------------------------------------------

  get(operand: Operand, width: Width, signed = false): void {
    this.#step(STEP.GET, OPERAND[operand] | (width << 2) | (signed ? 16 : 0));
  }
  getExtended(operand: Operand, width: Width, signed: boolean): void {
    this.#step(STEP.GET_EXTENDED, OPERAND[operand] | (width << 2) | (signed ? 16 : 0));
  }
  open(): void {}
  close(operand: Operand, width: Width): void {
    this.#step(STEP.CLOSE, OPERAND[operand] | (width << 2));
  }
  getVector(operand: Operand): void {
    this.#step(STEP.GET_VECTOR, OPERAND[operand]);
  }
  closeVector(operand: Operand): void {
    this.#step(STEP.CLOSE_VECTOR, OPERAND[operand]);
  }
  address(operand: Operand): void {
    this.#step(STEP.ADDRESS, OPERAND[operand]);
  }

  // Fields of the record -------------------------------------------------------------------------------------------------

  immediate(width: Width): void {
    this.#step(STEP.IMMEDIATE, width);
  }
  immediate2(): void {
    this.#step(STEP.IMMEDIATE2);
  }
  immediate64(): void {
    this.#step(STEP.IMMEDIATE64);
  }
  fieldC(): void {
    this.#step(STEP.FIELD_C);
  }
  segmentBase(): void {
    this.#step(STEP.SEGMENT_BASE);
  }
  pc(): void {
    this.#step(STEP.PC);
  }
  shiftCount(width: Width): 'zero' | 'some' {
    return this.#decide(DECISION.SHIFT_ZERO, width === 3 ? 63 : 31) ? 'zero' : 'some';
  }
  pushShiftCount(width: Width, less: 0 | 1): void {
    this.#step(STEP.SHIFT_COUNT, width | (less << 2));
  }
  rotationCount(): 'zero' | 'some' | undefined {
    if (!this.#decide(DECISION.ROTATION_KNOWN)) return undefined;
    return this.#decide(DECISION.ROTATION_ZERO) ? 'zero' : 'some';
  }
  pushRotationCount(width: Width): void {
    this.#step(STEP.ROTATION_COUNT, width);
  }
  sameOperand(one: Operand, other: Operand): boolean {
    return this.#decide(DECISION.SAME, OPERAND[one] | (OPERAND[other] << 2));
  }
  immediateIs(value: number): boolean {
    return this.#decide(DECISION.IMMEDIATE_IS, value);
  }
  immediateHas(bits: number): boolean {
    return this.#decide(DECISION.IMMEDIATE_HAS, bits);
  }
  lastByteOfAccess(): void {
    this.#step(STEP.LAST_BYTE);
  }

  // State ----------------------------------------------------------------------------------------------------------------

  rip(): void {
    this.#step(STEP.RIP);
  }
  openState(): void {}

  closeState(field: string, width: Width): void {
    const register = GENERAL_REGISTERS.indexOf(field as (typeof GENERAL_REGISTERS)[number]);
    if (field === 'rip') this.code.set(TARGET);
    else if (field === 'ccOp') this.#step(STEP.SET_FLAG_KIND);
    else if (register >= 0) this.#step(STEP.SET_REGISTER, register, width);
    else this.#step(STEP.STORE_STATE, width === 3 ? VALUE_TYPE.i64 : VALUE_TYPE.i32, WIDTH_STORES[width], ...low16(cpuOffset(field)));
  }

  state(field: string, width: Width): void {
    const register = GENERAL_REGISTERS.indexOf(field as (typeof GENERAL_REGISTERS)[number]);
    if (field === 'rip') this.rip();
    else if (field === 'ccA' || field === 'ccB') this.#step(STEP.GET_FLAG_WORD, field === 'ccA' ? 0 : 1, width);
    else if (register >= 0) this.#step(STEP.GET_REGISTER, register, width);
    else this.loadState(field, WIDTH_LOADS[width]);
  }

  loadState(field: string, operation: number): void {
    this.#step(STEP.LOAD_STATE, operation, ...low16(cpuOffset(field)));
  }

  segmentField(field: SegmentField): void {
    const operation = field === 'Base' ? OP.i64_load : OP.i32_load;
    this.#step(STEP.SEGMENT_FIELD, cpuOffset(`es${field}`) - cpuOffset('esBase'), operation);
  }

  get flagsAreDead(): boolean {
    return this.#decide(DECISION.FLAGS_DEAD);
  }
  setFlags(op: number, width: Width, localA: number, localB: number | null): void {
    this.#step(STEP.SET_FLAGS, op, width, localA, localB ?? NO_LOCAL);
  }
  setCarry(): void {
    this.#step(STEP.SET_CARRY);
  }
  setPending(kind: number): void {
    this.#step(STEP.SET_PENDING, kind);
  }
  condition(code: number | 'immediate'): void {
    this.#step(STEP.CONDITION, code === 'immediate' ? CONDITION_IMMEDIATE : code);
  }

  // Memory ---------------------------------------------------------------------------------------------------------------

  #access(step: number, at: Address, bytes: number, writes: boolean, opcode: number): void {
    const near = at.near === undefined ? NEAR.NOTHING : at.near === 'operand' ? NEAR.OPERAND : NEAR.STACK;
    const displacement = typeof at.near === 'number' ? at.near : 0;
    const flags = (at.wraps ? ACCESS_FLAG.WRAPS : 0) | (writes ? ACCESS_FLAG.WRITES : 0);
    const address = this.#list(at.push);
    this.#step(step, near, displacement, bytes, flags, ...low32(opcode), ...low16(address.length), ...address);
  }

  load(at: Address, bytes: 1 | 2 | 4 | 8, signed: boolean, to: 'i32' | 'i64', write: boolean): void {
    this.#access(STEP.LOAD, at, bytes, write, PLAIN_LOAD[to][bytes][signed ? 1 : 0]);
  }
  loadVector(at: Address): void {
    this.#access(STEP.LOAD, at, 16, false, OP.v128_load);
  }
  store(at: Address, bytes: 1 | 2 | 4 | 8, from: 'i32' | 'i64', push: () => void): void {
    const value = this.#list(push);
    this.#access(STEP.STORE, at, bytes, true, PLAIN_STORE[from][bytes]);
    this.#step(...value);
  }
  storeVector(at: Address, push: () => void): void {
    const value = this.#list(push);
    this.#access(STEP.STORE, at, 16, true, OP.v128_store);
    this.#step(...value);
  }
  raiseStack(width: 2 | 3, bytes: number, pushMore?: () => void): void {
    const list = (more: (() => void) | undefined): number[] => this.#list(() => {
      pushRaisedStack(this, width, bytes, more);
      this.closeState('rsp', 3);
    });
    const plain = list(undefined);
    const added = pushMore === undefined ? [] : list(pushMore);
    this.#step(STEP.RAISE_STACK, bytes, ...low16(plain.length), ...low16(added.length), ...plain, ...added);
  }
  prepareWrite(bytes: number): void {
    this.#step(STEP.PREPARE_WRITE, bytes);
  }

  // Calls and control ----------------------------------------------------------------------------------------------------

  callHelper(name: string, mayFault: boolean): void {
    if (!emitInline(this, name)) this.callSupport(name, mayFault);
  }
  callSupport(name: string, mayFault: boolean): void {
    this.#step(STEP.CALL_SUPPORT, ...low16(functionNumber(name)), mayFault ? 1 : 0);
  }
  call(name: string): void {
    this.#step(STEP.CALL, ...low16(functionNumber(name)));
  }
  #choose(step: number, name: string, native: () => void): void {
    const list = this.#list(native);
    this.#step(step, ...low16(functionNumber(name)), ...list);
  }
  chooseEffect(name: string, native: () => void): void {
    this.#choose(STEP.CHOOSE_EFFECT, name, native);
  }
  chooseResult(name: string, native: () => void): void {
    this.#choose(STEP.CHOOSE_RESULT, name, native);
  }
  chooseFlags(name: string, push: () => void): void {
    this.#choose(STEP.CHOOSE_FLAGS, name, () => {
      push();
      this.code.set(CC_A);
    });
  }
  branch(then: () => void, otherwise?: () => void): void {
    const first = this.#list(then);
    const second = otherwise === undefined ? undefined : this.#list(otherwise);
    if (second === undefined) this.#step(STEP.BRANCH, ...first);
    else this.#step(STEP.BRANCH_ELSE, ...first, ...second);
  }
  leaveForInterpreter(): void {
    this.#step(STEP.LEAVE_FOR_INTERPRETER);
  }
  fault(): void {
    this.#step(STEP.FAULT);
  }
  jump(index: number): void {
    this.#step(STEP.JUMP, index);
  }
  dispatch(): void {
    this.#step(STEP.DISPATCH, 1);
  }
  dispatchUncounted(): void {
    this.#step(STEP.DISPATCH, 0);
  }
  leave(): void {
    assert(false, 'blocks that end the slice are left to the interpreter');
  }
  enterRegion(): void {
    assert(false, 'regions are made of plain records');
  }
}

/** The program of a meaning. */
function programOf(meaning: (m: ProgramLowering) => void, answers: readonly boolean[] = []): number[] {
  const lowering = new ProgramLowering(answers);
  try {
    meaning(lowering);
    return lowering.finish();
  } catch (error) {
    if (!(error instanceof Undecided)) throw error;
    const yes = programOf(meaning, [...answers, true]);
    const no = programOf(meaning, [...answers, false]);
    const { kind, argument } = error.decision;
    return [STEP.DECIDE, kind, ...low32(argument), ...low16(yes.length), ...yes, ...no];
  }
}

const KINDS: Readonly<Record<MemoryAccess['kind'], number>> = {
  operand: ACCESS_KIND.OPERAND, indexed: ACCESS_KIND.INDEXED, push: ACCESS_KIND.PUSH, pop: ACCESS_KIND.POP, return: ACCESS_KIND.RETURN,
};

function traitsOf({ number, traits }: Op): number {
  const { flags, access, isLast, isRepeatable, writes, endsGroups } = traits;
  const has = (condition: unknown, trait: number): number => (condition ? trait : 0);
  return has(flags === 'untouched', TRAIT.IGNORES_FLAGS) | has(flags === 'replaced', TRAIT.REPLACES_FLAGS) |
    has(flags !== undefined, TRAIT.PASSES_PENDING) | has(isLast, TRAIT.LAST) | has(isRepeatable, TRAIT.REPEATABLE) |
    has(endsGroups, TRAIT.ENDS_GROUPS) | has(access?.writes, TRAIT.ACCESS_WRITES) | has(writes === 'nothing', TRAIT.WRITES_NOTHING) |
    has(writes === 'sources', TRAIT.WRITES_SOURCES) | has(isInterpreted(number), TRAIT.INTERPRETED) |
    has([...CALL, ...CALL_INDIRECT].includes(number), TRAIT.CALL) | has(RETURN.includes(number), TRAIT.RETURN) |
    has([...INC, ...DEC].includes(number), TRAIT.STEP) | has(number === HELPER.rol || number === HELPER.ror, TRAIT.ROTATION) |
    has(number === ADD.i[3], TRAIT.ADDS) | has(number === SUB.i[3], TRAIT.SUBTRACTS);
}

/** What regions never hold, and what the emitter does by itself. */
const WITHOUT_PROGRAM = new Set(['region', 'stale', 'leave', 'continue']);

export interface Programs {
  /** OPERATION rows by operation. */
  readonly operations: readonly number[];
  /** All programs. */
  readonly steps: readonly number[];
  /** Where the program is of each condition (rows of 16) on each ccOp; NO_PROGRAM where there is none. */
  readonly conditions: readonly number[];
  /** Where other programs are. */
  readonly others: Readonly<Record<'PROBE' | 'HOST_ADDRESS' | 'CARRY', number>>;
  /** FUNCTION words by function. */
  readonly functions: readonly number[];
}

const CC_OPS = 64;
const CONDITIONS = 16;

/** Up to the constant that says how far from the page an access may begin, which depends on its size. */
function probe(m: ProgramLowering): void {
  probeTlb(m.code, { pushTable: () => {}, linear: LINEAR, entry: TLB_ENTRY, offset: PAGE_OFFSET, pushReach: () => {} });
}

function conditionProgram(ccOp: number, condition: number): number[] | undefined {
  let done = false;
  const program = programOf(({ code }) => (done = emitCondition(code, ccOp, condition)));
  return done ? program : undefined;
}

function functionWord(name: string): number {
  const { registers = [], budget, memory, mode } = effectsOf(name);
  return registers.reduce((bits, register) => bits | (1 << register), 0) | (budget ? FUNCTION.BUDGET : 0) | (memory ? FUNCTION.MEMORY : 0) |
    (mode ? FUNCTION.MODE : 0) | (leavesFlags(name) ? FUNCTION.KEEPS_FLAGS : 0) | (writesFlags(name) ? FUNCTION.WRITES_FLAGS : 0);
}

export function makePrograms(): Programs {
  const steps: number[] = [];
  const places = new Map<string, number>();
  const place = (program: readonly number[]): number => {
    const text = program.join();
    const known = places.get(text);
    if (known !== undefined) return known;
    const at = steps.length;
    places.set(text, at);
    steps.push(...program);
    return at;
  };
  const operations = OPS.flatMap((operation) => {
    const { access } = operation.traits;
    const isEmitted = !WITHOUT_PROGRAM.has(operation.name) && !isInterpreted(operation.number);
    const program = isEmitted ? place(programOf((m) => operation.lower(m as Lowering))) : 0;
    const row = [...low32(program), ...low32(traitsOf(operation)), access === undefined ? ACCESS_KIND.NONE : KINDS[access.kind],
      access?.bytes ?? 0, 0, 0];
    assert(row.length === OPERATION.BYTES, 'a row has its size');
    return row;
  });
  const conditions = Array.from({ length: CC_OPS * CONDITIONS }, (_, n) => {
    const program = conditionProgram(n >> 4, n & 15);
    return program === undefined ? NO_PROGRAM : place(program);
  });
  const carry = (m: ProgramLowering): void =>
    carryInMemory(m.code, (field, operation) => m.loadState(field, operation), () => m.call('condition'));
  const others = {
    PROBE: place(programOf(probe)),
    HOST_ADDRESS: place(programOf(({ code }) => pushHostAddress(code, PAGE_OFFSET, TLB_ENTRY))),
    CARRY: place(programOf(carry)),
  };
  assert(steps.length < NO_PROGRAM, 'a place in the programs fits 16 bits');
  return { operations, steps, conditions, others, functions: SUPPORT_FUNCTIONS.map(functionWord) };
}
