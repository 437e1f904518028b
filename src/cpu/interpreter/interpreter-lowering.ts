// The meanings of IR operations as the interpreter executes them: operands in memory, addressed by the fields of the record at IP, flags
// by the triple in the state. Not what runs one operation after the other: generate.ts.
import { PC_STACK, RECORD } from '../ir/record.ts';
import type { Address, Lowering, Operand, Width } from '../ir/lowering.ts';
import { PLAIN_LOAD, PLAIN_STORE, probeTlb, pushHostAddress, pushRaisedStack } from '../ir/memory-access.ts';
import { cpuOffset } from '../x86/state.ts';
import type { CodeWriter } from '../../wasm/code-writer.ts';
import { assert } from '../../base/assert.ts';
import { OP } from '../../wasm/opcodes.ts';
import { CPU, ENTRY, HOST, I32_SCRATCH, I64_SCRATCH, IP, LINEAR, PAGE_OFFSET, V128_SCRATCH } from './interpreter-locals.ts';
import { RegionLoop, type Labels } from './region-loop.ts';

const FIELD: Record<Operand, number> = { d: RECORD.D, a: RECORD.A, b: RECORD.B };

export interface InterpreterOptions {
  /** It also ends when a sample is asked for, and notes where it is: for the profiler. */
  readonly sampling: boolean;
  /** It counts instructions and accesses, and notes the counts at the beginning of each block (COUNT_NOTE). It runs no regions. */
  readonly counting: boolean;
}

/** Implements the lowering with operands in memory, addressed by the fields of the record at IP. */
export class InterpreterLowering implements Lowering {
  readonly code: CodeWriter;
  readonly i32 = I32_SCRATCH;
  readonly i64 = I64_SCRATCH;
  readonly v128 = V128_SCRATCH;
  readonly #functions: ReadonlyMap<string, number>;
  readonly #labels: Labels;
  readonly flagsAreDead = false;
  readonly #sampling: boolean;
  readonly #counting: boolean;
  /** What has been lowered: accesses to memory, operands of 16 bits. */
  readonly uses = { memory: false, words: false };

  constructor(code: CodeWriter, functions: ReadonlyMap<string, number>, labels: Labels, { sampling, counting }: InterpreterOptions) {
    this.#sampling = sampling;
    this.#counting = counting;
    this.code = code;
    this.#functions = functions;
    this.#labels = labels;
  }

  #field16(offset: number): void {
    this.code.get(IP);
    this.code.memory(OP.i32_load16_u, offset);
  }

  address(operand: Operand): void {
    this.code.get(CPU);
    this.#field16(FIELD[operand]);
    this.code.op(OP.i32_add);
  }

  get(operand: Operand, width: Width, signed = false): void {
    this.uses.words ||= width === 1;
    this.address(operand);
    this.code.memory(width === 3 ? OP.i64_load : PLAIN_LOAD.i32[(1 << width) as 1 | 2 | 4][signed ? 1 : 0]);
  }

  getExtended(operand: Operand, width: Width, signed: boolean): void {
    this.address(operand);
    this.code.memory(PLAIN_LOAD.i64[(1 << width) as 1 | 2 | 4 | 8][signed ? 1 : 0]);
  }

  open(operand: Operand): void {
    this.address(operand);
  }

  close(_operand: Operand, width: Width): void {
    this.uses.words ||= width === 1;
    if (width === 2) this.code.op(OP.i64_extend_i32_u);
    this.code.memory([OP.i32_store8, OP.i32_store16, OP.i64_store, OP.i64_store][width]!);
  }

  getVector(operand: Operand): void {
    this.address(operand);
    this.code.memory(OP.v128_load);
  }

  closeVector(): void {
    this.code.memory(OP.v128_store);
  }

  immediate(width: Width): void {
    this.code.get(IP);
    this.code.memory(width === 3 ? OP.i64_load32_s : OP.i32_load, RECORD.IMM);
  }

  shiftCount(): undefined {
    return undefined;
  }
  pushShiftCount(): void {
    assert(false, 'no count is known while the interpreter is made');
  }

  immediate2(): void {
    this.code.get(IP);
    this.code.memory(OP.i32_load, RECORD.IMM2);
  }

  immediate64(): void {
    this.code.get(IP);
    this.code.memory(OP.i64_load, RECORD.IMM);
  }

  fieldC(): void {
    this.#field16(RECORD.C);
  }

  segmentBase(): void {
    this.code.get(CPU);
    this.#field16(RECORD.C);
    this.code.i32(~3);
    this.code.op(OP.i32_and);
    this.code.op(OP.i32_add);
    this.code.memory(OP.i64_load);
  }

  rip(): void {
    this.state('rip', 3);
  }

  pc(): void {
    this.#field16(RECORD.PC);
    this.code.i32(PC_STACK - 1);
    this.code.op(OP.i32_and);
  }

  openState(): void {
    this.code.get(CPU);
  }

  closeState(field: string, width: Width): void {
    this.code.memory([OP.i32_store8, OP.i32_store16, OP.i32_store, OP.i64_store][width]!, cpuOffset(field));
  }

  state(field: string, width: Width): void {
    this.code.get(CPU);
    this.code.memory([OP.i32_load8_u, OP.i32_load16_u, OP.i32_load, OP.i64_load][width]!, cpuOffset(field));
  }

  setFlags(ccOp: number, width: Width, localA: number, localB: number | null): void {
    const store = width === 3 ? OP.i64_store : OP.i32_store;
    this.code.get(CPU);
    this.code.i32(ccOp);
    this.code.memory(OP.i32_store, cpuOffset('ccOp'));
    this.code.get(CPU);
    this.code.get(localA);
    this.code.memory(store, cpuOffset('ccA'));
    if (localB === null) return;
    this.code.get(CPU);
    this.code.get(localB);
    this.code.memory(store, cpuOffset('ccB'));
  }

  /** Whether accesses that miss the TLB are somebody else's. */
  get #missesLeave(): boolean {
    return this.#labels.miss !== undefined;
  }

  /** Pops a linear address; pushes the host address of an access that hits the TLB, and goes to `miss` with one that does not. */
  #hit(table: 'tlbRead' | 'tlbWrite', bytes: number, count: 'countReads' | 'countWrites'): void {
    this.#probe(table, bytes);
    this.code.op(OP.i32_eqz);
    this.code.brIf(this.#labels.miss!);
    if (this.#counting) this.#countOne(count);
    this.#hostAddress();
  }

  /** Pops a linear address into LINEAR; pushes whether the access hits the TLB; leaves its entry in ENTRY. */
  #probe(table: string, bytes: number): void {
    this.uses.memory = true;
    const { code } = this;
    code.set(LINEAR);
    const pushReach = (): void => code.i64(4096 - bytes);
    probeTlb(code, { pushTable: () => this.state(table, 2), linear: LINEAR, entry: ENTRY, offset: PAGE_OFFSET, pushReach });
    code.op(OP.i64_le_u);
  }

  #hostAddress(): void {
    pushHostAddress(this.code, PAGE_OFFSET, ENTRY);
  }

  #faultIfRaised(): void {
    this.state('faultVector', 2);
    this.code.i32(0);
    this.code.op(OP.i32_ge_s);
    this.code.brIf(this.#labels.fault);
  }

  load(at: Address, bytes: 1 | 2 | 4 | 8, signed: boolean, to: 'i32' | 'i64', write: boolean): void {
    const { code } = this;
    const result = to === 'i32' ? HOST : I64_SCRATCH[3]!;
    at.push();
    if (this.#missesLeave) {
      this.#hit(write ? 'tlbWrite' : 'tlbRead', bytes, 'countReads');
      return code.memory(PLAIN_LOAD[to][bytes][signed ? 1 : 0]);
    }
    this.#probe(write ? 'tlbWrite' : 'tlbRead', bytes);
    code.if();
    this.#hostAddress();
    code.memory(PLAIN_LOAD[to][bytes][signed ? 1 : 0]);
    code.set(result);
    code.else();
    if (write) {
      code.get(LINEAR);
      code.i32(bytes);
      this.call('prepareWrite');
      this.#faultIfRaised();
    }
    code.get(LINEAR);
    code.i32(bytes);
    this.call('readMemory');
    code.set(I64_SCRATCH[3]!);
    this.#faultIfRaised();
    code.get(I64_SCRATCH[3]!);
    if (to === 'i32') {
      code.op(OP.i32_wrap_i64);
      if (signed && bytes === 1) code.op(OP.i32_extend8_s);
      if (signed && bytes === 2) code.op(OP.i32_extend16_s);
    } else if (signed && bytes < 8) code.op(bytes === 1 ? OP.i64_extend8_s : bytes === 2 ? OP.i64_extend16_s : OP.i64_extend32_s);
    code.set(result);
    code.end();
    if (this.#counting) this.#countOne('countReads');
    code.get(result);
  }

  /** One more of a field of the state. */
  #countOne(field: string): void {
    this.openState();
    this.state(field, 3);
    this.code.i64(1);
    this.code.op(OP.i64_add);
    this.closeState(field, 3);
  }

  store(at: Address, bytes: 1 | 2 | 4 | 8, from: 'i32' | 'i64', push: () => void): void {
    const { code } = this;
    at.push();
    if (this.#missesLeave) {
      this.#hit('tlbWrite', bytes, 'countWrites');
      push();
      return code.memory(PLAIN_STORE[from][bytes]);
    }
    this.#probe('tlbWrite', bytes);
    code.if();
    this.#hostAddress();
    push();
    code.memory(PLAIN_STORE[from][bytes]);
    code.else();
    code.get(LINEAR);
    code.i32(bytes);
    push();
    if (from === 'i32') code.op(OP.i64_extend_i32_u);
    this.call('writeMemory');
    this.#faultIfRaised();
    code.end();
    if (this.#counting) this.#countOne('countWrites');
  }

  loadVector(at: Address): void {
    const { code } = this;
    at.push();
    if (this.#missesLeave) {
      this.#hit('tlbRead', 16, 'countReads');
      return code.memory(OP.v128_load);
    }
    this.#probe('tlbRead', 16);
    code.if();
    this.#hostAddress();
    code.memory(OP.v128_load);
    code.set(V128_SCRATCH[0]!);
    code.else();
    code.get(LINEAR);
    this.#stateAddress('scratch0');
    this.call('readMemory128');
    this.#faultIfRaised();
    code.get(CPU);
    code.memory(OP.v128_load, cpuOffset('scratch0'));
    code.set(V128_SCRATCH[0]!);
    code.end();
    if (this.#counting) this.#countOne('countReads');
    code.get(V128_SCRATCH[0]!);
  }

  storeVector(at: Address, push: () => void): void {
    const { code } = this;
    at.push();
    if (this.#missesLeave) {
      this.#hit('tlbWrite', 16, 'countWrites');
      push();
      return code.memory(OP.v128_store);
    }
    this.#probe('tlbWrite', 16);
    code.if();
    this.#hostAddress();
    push();
    code.memory(OP.v128_store);
    code.else();
    code.get(CPU);
    push();
    code.memory(OP.v128_store, cpuOffset('scratch0'));
    code.get(LINEAR);
    this.#stateAddress('scratch0');
    this.call('writeMemory128');
    this.#faultIfRaised();
    code.end();
    if (this.#counting) this.#countOne('countWrites');
  }

  raiseStack(width: 2 | 3, bytes: number, pushMore?: () => void): void {
    this.openState();
    pushRaisedStack(this, width, bytes, pushMore);
    this.closeState('rsp', 3);
  }

  prepareWrite(bytes: number): void {
    this.code.i32(bytes);
    this.call('prepareWrite');
    this.#faultIfRaised();
  }

  #stateAddress(field: string): void {
    this.code.get(CPU);
    this.code.i32(cpuOffset(field));
    this.code.op(OP.i32_add);
  }

  callHelper(name: string, mayFault: boolean): void {
    if (this.#counting) this.#countOne('countHelper');
    this.address('d');
    this.address('a');
    this.address('b');
    this.immediate(2);
    this.call(name);
    if (mayFault) this.#faultIfRaised();
  }

  call(name: string): void {
    const index = this.#functions.get(name);
    if (index === undefined) throw new Error(`the interpreter does not import ${name}`);
    this.code.call(index);
  }

  branch(then: () => void, otherwise?: () => void): void {
    this.code.if();
    then();
    if (otherwise !== undefined) {
      this.code.else();
      otherwise();
    }
    this.code.end();
  }

  setCarry(): void {
    this.call('setCarry');
  }

  condition(code: number | 'immediate'): void {
    if (code === 'immediate') this.immediate(2);
    else this.code.i32(code);
    this.call('condition');
  }

  enterRegion(): void {
    new RegionLoop(this, this.#labels, this.#sampling).emit();
  }

  fault(): void {
    this.code.br(this.#labels.fault);
  }

  jump(index: number): void {
    if (index > 0) {
      this.code.get(IP);
      this.code.i32(index * RECORD.BYTES);
      this.code.op(OP.i32_add);
      this.code.set(IP);
    }
    this.code.br(this.#labels.jump);
  }

  dispatch(): void {
    this.countInstructions();
    this.code.br(this.#labels.dispatch);
  }

  dispatchUncounted(): void {
    if (this.#counting) {
      this.code.get(IP);
      this.call('countPartial');
    }
    this.code.br(this.#labels.dispatch);
  }

  leave(): void {
    this.countInstructions();
    this.code.br(this.#labels.leave);
  }

  /** executorBudget -= instructions of the block, which the record that ends it has in D. */
  countInstructions(): void {
    this.code.get(CPU);
    this.code.get(CPU);
    this.code.memory(OP.i32_load, cpuOffset('executorBudget'));
    this.#field16(RECORD.D);
    this.code.op(OP.i32_sub);
    this.code.memory(OP.i32_store, cpuOffset('executorBudget'));
    if (this.#counting) this.#countBlock();
  }

  #countBlock(): void {
    this.openState();
    this.state('countInstructions', 3);
    this.#field16(RECORD.D);
    this.code.op(OP.i64_extend_i32_u);
    this.code.op(OP.i64_add);
    this.closeState('countInstructions', 3);
  }
}
