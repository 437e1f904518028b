// Regions as WebAssembly, one function each: structured control flow along the dominator tree, a loop around one br_table for the
// entries, returns and edges that structure cannot express, registers in locals from the prologue to the one place where the
// region is left. The meaning of each operation is the catalogue's (ir/op.ts), through RegionLowering.
import { assert } from '../../base/assert.ts';
import { REGION_RECORD, REGION_TABLE } from '../../memory/memory-map.ts';
import { CodeWriter, ModuleWriter, type FunctionType, type Label } from '../../wasm/code-writer.ts';
import { OP, type ValueType } from '../../wasm/opcodes.ts';
import { CONTINUE, REGION } from '../ir/ops-control.ts';
import { OPS } from '../ir/op.ts';
import { BLOCK, PC_STACK, RECORD, REGION_TYPE } from '../ir/record.ts';
import { cpuOffset, MODE_BITS } from '../x86/state.ts';
import { ControlFlow } from './control-flow.ts';
import { RegionLowering, type RegionFlow } from './region-lowering.ts';
import { exitNumber, type ExitCause } from './exit-counts.ts';
import type { CodeMemory, RegionBlock, RegionCode } from './region-blocks.ts';
import {
  BASE, BUDGET, CAUSE, CC_A, CC_B, CC_OP, DELTA, DISTANCE, ENTERED, ENTRY, GENERAL,
  LOCAL_TYPES, RESUME, ROTATION, TARGET, TLB_READ, TLB_WRITE,
} from './region-locals.ts';

const helperType: FunctionType = { params: ['i32', 'i32', 'i32', 'i32'], results: [] };
const OWN_TYPES: Readonly<Record<string, FunctionType>> = {
  condition: { params: ['i32'], results: ['i32'] },
  prepareWrite: { params: ['i64', 'i32'], results: [] },
  rotated: { params: ['i32', 'i64'], results: [] },
  regionLeft: { params: ['i32', 'i32', 'i32'], results: [] },
};

export interface MemoryPages {
  readonly initial: number;
  readonly maximum: number;
}

export interface EmitOptions {
  readonly pages: MemoryPages;
  /** Emitted code counts how it is left. */
  readonly counting: boolean;
  /** It is said where the code of each guest instruction begins. */
  readonly marking: boolean;
}

/** At `at` in a function's code begins the guest instruction `delta` bytes from the region's base. */
export interface InstructionMark {
  at: number;
  readonly delta: number;
}

type ImportFunction = (name: string) => number;

/** Node 0 is the dispatch; block n is node n + 1. */
const nodeOf = (block: number): number => block + 1;

class RegionEmitter implements RegionFlow {
  readonly #region: RegionCode;
  readonly #slot: number;
  readonly #memory: CodeMemory;
  readonly #code: CodeWriter;
  readonly #lowering: RegionLowering;
  readonly #flow: ControlFlow;
  /** Labels of the enclosing loops and merge points, by node. */
  readonly #labels = new Map<number, Label>();
  #leave: Label = 0;
  resume: Label = 0;
  #dispatch: Label = 0;
  #block: RegionBlock | undefined;
  #record = 0;
  #entryNumbers: readonly number[];
  readonly #counting: boolean;
  readonly marks: InstructionMark[] = [];
  readonly #marking: boolean;

  constructor(region: RegionCode, slot: number, memory: CodeMemory, code: CodeWriter, importFunction: ImportFunction,
    { counting, marking }: EmitOptions) {
    this.#counting = counting;
    this.#marking = marking;
    this.#region = region;
    this.#slot = slot;
    this.#memory = memory;
    this.#code = code;
    this.#lowering = new RegionLowering(code, memory, importFunction);
    this.#lowering.flow = this;
    const successors = [region.entries.map(nodeOf), ...region.blocks.map((block) => [...new Set(block.targets.values())].map(nodeOf))];
    this.#flow = new ControlFlow({ successors });
    this.#entryNumbers = region.entries;
  }

  get used(): ReadonlySet<number> {
    return this.#lowering.used;
  }
  get written(): ReadonlySet<number> {
    return this.#lowering.written;
  }

  body(): void {
    const code = this.#code;
    this.#leave = code.block();
    this.resume = code.block();
    this.#dispatch = code.loop();
    this.#node(0);
    code.end();
    code.op(OP.unreachable);
    code.end(); // resume: RIP is that of the running block
    if (this.#lowering.rotates) {
      code.get(ROTATION);
      code.if();
      this.#lowering.pushRotationFlags();
      code.end();
    }
    this.#lowering.rip();
    code.set(TARGET);
    code.end(); // leave
  }

  #node(node: number): void {
    const merges = this.#flow.children[node]!.filter((child) => this.#flow.isMerge[child]);
    const code = this.#code;
    if (!this.#flow.isLoopHead[node]) return this.#within(node, merges);
    this.#labels.set(node, code.loop());
    this.#within(node, merges);
    code.op(OP.unreachable);
    code.end();
    this.#labels.delete(node);
  }

  /** The node's own code inside blocks whose ends are where its merge children begin, the last in order outermost. */
  #within(node: number, merges: readonly number[]): void {
    const [outer, ...inner] = merges;
    if (outer === undefined) return this.#own(node);
    this.#labels.set(outer, this.#code.block());
    this.#within(node, inner);
    this.#code.end();
    this.#labels.delete(outer);
    this.#lowering.knownFlags = undefined;
    this.#node(outer);
  }

  #own(node: number): void {
    if (node === 0) {
      const labels = this.#entryNumbers.map((block) => this.#labels.get(nodeOf(block))!);
      this.#code.get(ENTRY);
      return this.#code.brTable(labels, labels[0]!);
    }
    if (this.#flow.isLoopHead[node]) this.#lowering.knownFlags = undefined;
    const saved = { block: this.#block, record: this.#record, at: this.#lowering.record, flags: this.#lowering.knownFlags };
    this.#emitBlock(this.#region.blocks[node - 1]!);
    this.#block = saved.block;
    this.#record = saved.record;
    this.#lowering.record = saved.at;
    this.#lowering.knownFlags = saved.flags;
  }

  #emitBlock(block: RegionBlock): void {
    const code = this.#code;
    const lowering = this.#lowering;
    this.#block = block;
    code.i32(block.delta);
    code.set(DELTA);
    let pc = -1;
    for (let n = 0; n < block.end; n++) {
      const record = block.address + n * RECORD.BYTES;
      const operation = OPS[this.#operation(record, n)]!;
      const at = this.#memory.u16[(record + RECORD.PC) >> 1]! & (PC_STACK - 1);
      if (at !== pc && this.#marking) this.marks.push({ at: code.length, delta: block.delta + at });
      if (at !== pc) this.#beginInstruction(record);
      pc = at;
      this.#record = n;
      lowering.record = record;
      lowering.rotationCount = n > 0 && isRotation(operation.name) ? lowering.constantCount(record) : undefined;
      if (!passesRotation(operation.name) && lowering.rotationCount === undefined) lowering.settleRotation();
      if (operation.number === CONTINUE) return this.#continue(block, record);
      operation.lower(lowering);
      if (ENDS_BLOCK.has(operation.name)) return;
    }
    assert(block.end < block.records, 'a block ends with what leads out of it');
    this.because('interpreted');
    this.#beginInstruction(block.address + block.end * RECORD.BYTES);
    code.br(this.resume);
  }

  #operation(record: number, n: number): number {
    const number = this.#memory.u16[record >> 1]!;
    return n === 0 && number === REGION ? this.#memory.u16[(record - BLOCK.BYTES + BLOCK.FIRST_OP) >> 1]! : number;
  }

  /** From here on, leaving the region means to go on with this record. */
  #beginInstruction(record: number): void {
    const code = this.#code;
    code.i32(record);
    code.set(RESUME);
    if (!this.#lowering.codeMayHaveChanged) return;
    this.#lowering.codeMayHaveChanged = false;
    this.because('code');
    code.i32(0);
    code.memory(OP.i32_load, REGION_TABLE + this.#slot * REGION_RECORD.BYTES + REGION_RECORD.VALID);
    code.op(OP.i32_eqz);
    code.brIf(this.resume);
  }

  /** After a helper that may have changed the mode: on in the region when it has not. */
  #continue(block: RegionBlock, record: number): void {
    const code = this.#code;
    this.#beginInstruction(record);
    const target = block.targets.get((record - block.address) / RECORD.BYTES);
    this.because(target === undefined ? 'jump' : 'mode');
    if (target === undefined) return code.br(this.resume);
    this.#lowering.state('modeKey', 2);
    code.i32((1 << MODE_BITS) - 1);
    code.op(OP.i32_and);
    code.i32(this.#region.key);
    code.op(OP.i32_ne);
    code.brIf(this.resume);
    this.#edge(nodeOf(this.#region.blocks.indexOf(block)), nodeOf(target), this.#memory.u16[(record + RECORD.D) >> 1]!);
  }

  because(cause: ExitCause): void {
    if (!this.#counting) return;
    this.#code.i32(exitNumber(cause));
    this.#code.set(CAUSE);
  }

  // RegionFlow -----------------------------------------------------------------------------------------------------------

  jump(index: number): void {
    const block = this.#block!;
    const number = this.#record + index;
    const record = block.address + number * RECORD.BYTES;
    this.#beginInstruction(record);
    const target = block.targets.get(number);
    if (target === undefined) return this.#leaveBy(block, record);
    this.#edge(nodeOf(this.#region.blocks.indexOf(block)), nodeOf(target), this.#memory.u16[(record + RECORD.D) >> 1]!);
  }

  /** Out of the region: inside a page the interpreter's jump is linked for good, otherwise RIP is looked up anyway. */
  #leaveBy(block: RegionBlock, record: number): void {
    const code = this.#code;
    const distance = this.#memory.i32[(record + RECORD.IMM) >> 2]!;
    const offset = this.#region.baseOffset + block.delta;
    const wraps = this.#memory.u16[(record + RECORD.A) >> 1]! !== 0;
    const isNear = wraps || (offset & ~0xfff) === ((offset + distance) & ~0xfff);
    this.because(isNear ? 'jump' : 'jumpOtherPage');
    if (isNear) return code.br(this.resume);
    this.#count(this.#memory.u16[(record + RECORD.D) >> 1]!);
    this.#lowering.rip();
    code.i64(distance);
    code.op(OP.i64_add);
    code.set(TARGET);
    code.i32(0);
    code.set(RESUME);
    return code.br(this.#leave);
  }

  #count(instructions: number): void {
    const code = this.#code;
    if (instructions === 0) return;
    code.get(BUDGET);
    code.i32(instructions);
    code.op(OP.i32_sub);
    code.set(BUDGET);
  }

  /** Goes to another block; RESUME is at the record that says so, for when the slice is used up. */
  #edge(from: number, to: number, instructions: number): void {
    const code = this.#code;
    const flow = this.#flow;
    if (flow.isBackward(from, to)) {
      this.because('budget');
      code.get(BUDGET);
      code.i32(instructions);
      code.op(OP.i32_lt_s);
      code.brIf(this.resume);
      this.#count(instructions);
      const label = flow.dominates(to, from) ? this.#labels.get(to) : undefined;
      return label === undefined ? this.#toEntry(to) : code.br(label);
    }
    this.#count(instructions);
    if (flow.isMerge[to]) {
      const label = this.#labels.get(to);
      return label === undefined ? this.#toEntry(to) : code.br(label);
    }
    this.#node(to);
  }

  /** Through the dispatch; for edges that structure cannot express. */
  #toEntry(node: number): void {
    const number = this.#entryNumbers.indexOf(node - 1);
    if (number < 0) throw new IrreducibleEdge(node - 1);
    this.#code.i32(number);
    this.#code.set(ENTRY);
    this.#code.br(this.#dispatch);
  }

  dispatch(instructions: number): void {
    const code = this.#code;
    this.#count(instructions);
    this.because('budget');
    code.get(BUDGET);
    code.i32(0);
    code.op(OP.i32_ge_s);
    code.if();
    this.because('indirect');
    code.get(TARGET);
    code.get(BASE);
    code.op(OP.i64_sub);
    code.set(DISTANCE);
    this.#findEntry([...this.#entries].sort((a, b) => a.delta - b.delta));
    code.end();
    code.i32(0);
    code.set(RESUME);
    code.br(this.#leave);
  }

  /** Returns and indirect jumps to an entry of the region stay in it: a binary search for the target's distance from the base. */
  #findEntry(entries: readonly { readonly delta: number; readonly number: number }[]): void {
    const code = this.#code;
    const middle = entries.length >> 1;
    if (entries.length > 1) {
      code.get(DISTANCE);
      code.i64(entries[middle]!.delta);
      code.op(OP.i64_lt_s);
      code.if();
      this.#findEntry(entries.slice(0, middle));
      code.else();
      this.#findEntry(entries.slice(middle));
      code.end();
      return;
    }
    const [{ delta, number }] = entries as [{ readonly delta: number; readonly number: number }];
    code.get(DISTANCE);
    code.i64(delta);
    code.op(OP.i64_eq);
    code.if();
    code.i32(number);
    code.set(ENTRY);
    code.br(this.#dispatch);
    code.end();
  }

  get #entries(): { readonly delta: number; readonly number: number }[] {
    return this.#entryNumbers.map((block, number) => ({ delta: this.#region.blocks[block]!.delta, number }));
  }
}

/** Operations that neither read flags nor set some of them: those before them, or all that they set, may be pending. */
const PASSES_ROTATION =
  /^(mov|movi|movi64|movzx|movsx|rip_plus|ea|ea_segment|sign|sum|not|bswap|xchg|load|load_modify|load_zx|load_sx|store|storei)(\.|$)/;
const SETS_ALL_FLAGS = /^((add|sub|and|or|xor|cmp|test)i?|neg|imul|(cmpi?|testi?)_jump)\./;
const passing = new Set(OPS.map(({ name }) => name).filter((name) => PASSES_ROTATION.test(name) || SETS_ALL_FLAGS.test(name)));
const isRotation = (name: string): boolean => name === 'rol' || name === 'ror';
const passesRotation = (name: string): boolean => passing.has(name);

const LAST_OF_BLOCK = /^(jump|dispatch|(cmpi?|testi?|sub|result|condition|zero)_jump|call|call_indirect|ret|jump_indirect|raise)(\.|$)/;
const ENDS_BLOCK = new Set(OPS.map(({ name }) => name).filter((name) => LAST_OF_BLOCK.test(name)));

/** An edge needs an entry that the region has not: it is made again with one. */
export class IrreducibleEdge extends Error {
  readonly block: number;

  constructor(block: number) {
    super('irreducible edge');
    this.block = block;
  }
}

export interface EmittedRegions {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions of the support module that it imports. */
  readonly imports: readonly string[];
  /** Block numbers of each region's entries. */
  readonly entries: readonly (readonly number[])[];
  /** Of each region, with `marking`. */
  readonly marks: readonly (readonly InstructionMark[])[];
}

/** Makes one module of several regions: the functions `region0`, `region1`, …. */
export function emitRegions(regions: readonly RegionCode[], firstSlot: number, memory: CodeMemory, options: EmitOptions): EmittedRegions {
  const imports: string[] = [];
  const importFunction = (name: string): number => {
    const known = imports.indexOf(name);
    return known >= 0 ? known : imports.push(name) - 1;
  };
  const functions = regions.map((region, number) => emitReducible(region, firstSlot + number, memory, importFunction, options));
  const module = new ModuleWriter(options.pages, 'regions');
  for (const name of imports) module.importFunction('support', name, OWN_TYPES[name] ?? helperType);
  functions.forEach(({ code }, number) => module.addFunction(`region${number}`, REGION_TYPE, LOCAL_TYPES, code));
  return { bytes: module.encode(), imports, entries: functions.map(({ entries }) => entries), marks: functions.map(({ marks }) => marks) };
}

interface EmittedFunction {
  readonly code: CodeWriter;
  readonly entries: readonly number[];
  readonly marks: readonly InstructionMark[];
}

function emitReducible(
  region: RegionCode, slot: number, memory: CodeMemory, importFunction: ImportFunction, options: EmitOptions,
): EmittedFunction {
  for (let current = region; ; ) {
    try {
      return { ...emitFunction(current, slot, memory, importFunction, options), entries: current.entries };
    } catch (error) {
      if (!(error instanceof IrreducibleEdge)) throw error;
      current = { ...current, entries: [...current.entries, error.block] };
    }
  }
}

function emitFunction(
  region: RegionCode, slot: number, memory: CodeMemory, importFunction: ImportFunction, options: EmitOptions,
): Omit<EmittedFunction, 'entries'> {
  const body = new CodeWriter(256 + 64 * region.instructions);
  const emitter = new RegionEmitter(region, slot, memory, body, importFunction, options);
  emitter.body();
  const whole = new CodeWriter(body.length + 2048);
  prologue(whole, memory.area, emitter.used);
  if (options.counting) noteEntry(whole, memory.area);
  for (const mark of emitter.marks) mark.at += whole.length;
  whole.append(body);
  if (options.counting) countExit(whole, memory.area, importFunction);
  epilogue(whole, memory.area, emitter.written);
  return { code: whole, marks: emitter.marks };
}

/** The budget with what a request cut off from it: what is missing from this at the exit was executed. */
function pushBudget(code: CodeWriter, area: number): void {
  code.get(BUDGET);
  code.i32(0);
  code.memory(OP.i32_load, area + cpuOffset('budgetSkipped'));
  code.op(OP.i32_add);
}

function noteEntry(code: CodeWriter, area: number): void {
  pushBudget(code, area);
  code.set(ENTERED);
}

function countExit(code: CodeWriter, area: number, importFunction: ImportFunction): void {
  code.get(CAUSE);
  code.get(RESUME);
  code.get(ENTERED);
  pushBudget(code, area);
  code.op(OP.i32_sub);
  code.call(importFunction('regionLeft'));
}

type StateLocal = readonly [local: number, field: string, type: ValueType];
const ALWAYS: readonly StateLocal[] = [
  [CC_A, 'ccA', 'i64'], [CC_B, 'ccB', 'i64'], [CC_OP, 'ccOp', 'i32'], [BUDGET, 'executorBudget', 'i32'],
];
const READ_ONLY: readonly StateLocal[] = [[TLB_READ, 'tlbRead', 'i32'], [TLB_WRITE, 'tlbWrite', 'i32']];

function prologue(code: CodeWriter, area: number, used: ReadonlySet<number>): void {
  for (const register of used) loadInto(code, GENERAL[register]!, area + register * 8, 'i64');
  for (const [local, field, type] of [...ALWAYS, ...READ_ONLY]) loadInto(code, local, area + cpuOffset(field), type);
}

function loadInto(code: CodeWriter, local: number, address: number, type: ValueType): void {
  code.i32(0);
  code.memory(type === 'i64' ? OP.i64_load : OP.i32_load, address);
  code.set(local);
}

function epilogue(code: CodeWriter, area: number, written: ReadonlySet<number>): void {
  for (const register of written) storeFrom(code, GENERAL[register]!, area + register * 8, 'i64');
  for (const [local, field, type] of ALWAYS) storeFrom(code, local, area + cpuOffset(field), type);
  storeFrom(code, TARGET, area + cpuOffset('rip'), 'i64');
  code.get(RESUME);
}

function storeFrom(code: CodeWriter, local: number, address: number, type: ValueType): void {
  code.i32(0);
  code.get(local);
  code.memory(type === 'i64' ? OP.i64_store : OP.i32_store, address);
}
