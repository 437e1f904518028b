// Regions as WebAssembly, one function each: structured control flow along the dominator tree, a loop around one br_table for the
// entries, returns and edges that structure cannot express, registers in locals, exits that store what is only there. The meaning of each
// operation is the catalogue's (ir/op.ts), through RegionLowering.
import { assert } from '../../base/assert.ts';
import { EXIT_FAULT, EXIT_INDIRECT, EXIT_JUMP, EXIT_LIMITED, REGION_RECORD, REGION_TABLE } from '../../memory/memory-map.ts';
import { CodeWriter, ModuleWriter, type FunctionType, type Label } from '../../wasm/code-writer.ts';
import { OP, type ValueType } from '../../wasm/opcodes.ts';
import { CONTINUE } from '../ir/ops-control.ts';
import { OPS } from '../ir/op.ts';
import { HELPER } from '../ir/ops-helper.ts';
import { DEC, INC } from '../ir/ops-integer.ts';
import { PC_STACK, RECORD, REGION_TYPE } from '../ir/record.ts';
import { cpuOffset, MODE, MODE_BITS } from '../x86/state.ts';
import { reachOf, type Reach } from './access-groups.ts';
import { ControlFlow } from './control-flow.ts';
import { keptRegisters, type KeptRegisters } from './loop-registers.ts';
import { RegionLowering } from './region-lowering.ts';
import type { RegionFlow } from './region-state.ts';
import { constantCount } from './rotations.ts';
import { SITES_MAX } from './return-sites.ts';
import { exitNumber, type ExitCause } from './exit-counts.ts';
import { CALLS, RETURNS, type CodeMemory, type RegionBlock, type RegionCode } from './region-blocks.ts';
import { BASE, BUDGET, DISTANCE, ENTERED, ENTRY, LOCAL_TYPES, TARGET, TLB_READ, TLB_WRITE } from './region-locals.ts';

const helperType: FunctionType = { params: ['i32', 'i32', 'i32', 'i32'], results: [] };
const OWN_TYPES: Readonly<Record<string, FunctionType>> = {
  condition: { params: ['i32'], results: ['i32'] },
  prepareWrite: { params: ['i64', 'i32'], results: [] },
  settleFlags: { params: ['i32', 'i64'], results: [] },
  regionLeft: { params: ['i32', 'i32', 'i32', 'i32'], results: [] },
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
  /** A region also ends when a sample is asked for, where it may leave a function or go round a loop; it says where that was. */
  readonly sampling: boolean;
}

/** At `at` in a function's code begins the guest instruction `delta` bytes from the region's base. */
export interface InstructionMark {
  at: number;
  readonly delta: number;
}

type ImportFunction = (name: string) => number;

/** Node 0 is the dispatch; block n is node n + 1. */
const nodeOf = (block: number): number => block + 1;

/** A place where a region is left: REGION_EXIT without what is found out later. */
export interface RegionExit {
  /** With EXIT bits, or EXIT_INDIRECT alone. */
  readonly record: number;
  readonly delta: number;
  /** A group of accesses is not in the TLB as a whole: REGION_EXIT.LEFT counts. */
  readonly ofGroup: boolean;
}

/** A return whose sites are all known leaves the region otherwise: a search over all entries is much code for nothing. */
const knowsSites = (operation: number, { returnsTo }: RegionBlock): boolean => RETURNS.has(operation) && returnsTo.length < SITES_MAX;

class RegionEmitter implements RegionFlow {
  readonly #region: RegionCode;
  readonly #slot: number;
  readonly #memory: CodeMemory;
  readonly #code: CodeWriter;
  readonly #lowering: RegionLowering;
  readonly #flow: ControlFlow;
  readonly #importFunction: ImportFunction;
  /** Labels of the enclosing loops and merge points, by node. */
  readonly #labels = new Map<number, Label>();
  #dispatch: Label = 0;
  #block: RegionBlock | undefined;
  #number = 0;
  #record = 0;
  /** First record of the running instruction. */
  #instruction = 0;
  readonly #kept: KeptRegisters;
  readonly #deadFlags = new Map<number, boolean>();
  readonly #entryNumbers: readonly number[];
  readonly #counting: boolean;
  readonly marks: InstructionMark[] = [];
  readonly #marking: boolean;
  readonly #sampling: boolean;
  readonly exits: RegionExit[] = [];

  constructor(region: RegionCode, slot: number, memory: CodeMemory, code: CodeWriter, importFunction: ImportFunction,
    { counting, marking, sampling }: EmitOptions) {
    this.#sampling = sampling;
    this.#counting = counting;
    this.#marking = marking;
    this.#region = region;
    this.#slot = slot;
    this.#memory = memory;
    this.#code = code;
    this.#importFunction = importFunction;
    this.#lowering = new RegionLowering(code, memory, importFunction);
    this.#lowering.flow = this;
    const leadsTo = ({ targets, returnsTo }: RegionBlock): number[] => [...new Set([...targets.values(), ...returnsTo])].map(nodeOf);
    const successors = [region.entries.map(nodeOf), ...region.blocks.map(leadsTo)];
    this.#flow = new ControlFlow({ successors });
    this.#entryNumbers = region.entries;
    this.#kept = keptRegisters(this.#flow, region.blocks, memory);
  }

  body(): void {
    const code = this.#code;
    this.#dispatch = code.loop();
    this.#node(0);
    code.end();
    code.op(OP.unreachable);
  }

  #node(node: number): void {
    const merges = this.#flow.children[node]!.filter((child) => this.#flow.isMerge[child]);
    const code = this.#code;
    if (!this.#flow.isLoopHead[node]) return this.#within(node, merges);
    this.#lowering.loadRegisters(this.#kept.at[node]!);
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
    this.#lowering.join(this.#kept.before[outer]!);
    this.#node(outer);
  }

  #own(node: number): void {
    if (node === 0) {
      const labels = this.#entryNumbers.map((block) => this.#labels.get(nodeOf(block))!);
      this.#code.get(ENTRY);
      return this.#code.brTable(labels, labels[0]!);
    }
    if (this.#flow.isLoopHead[node]) this.#lowering.join(this.#kept.at[node]!);
    const lowering = this.#lowering;
    const { at, record, delta, operation } = lowering;
    const saved = { block: this.#block, number: this.#number, record: this.#record, instruction: this.#instruction };
    lowering.at = { ...at };
    this.#emitBlock(node - 1);
    this.#block = saved.block;
    this.#number = saved.number;
    this.#record = saved.record;
    this.#instruction = saved.instruction;
    lowering.at = at;
    lowering.record = record;
    lowering.delta = delta;
    lowering.operation = operation;
  }

  #emitBlock(number: number): void {
    const lowering = this.#lowering;
    const block = this.#region.blocks[number]!;
    this.#block = block;
    this.#number = number;
    lowering.delta = block.delta;
    let pc = -1;
    for (let n = 0; n < block.operations.length; n++) {
      const record = block.address + n * RECORD.BYTES;
      const operation = OPS[block.operations[n]!]!;
      const at = this.#memory.u16[(record + RECORD.PC) >> 1]! & (PC_STACK - 1);
      if (at !== pc && this.#marking) this.marks.push({ at: this.#code.length, delta: block.delta + at });
      if (at !== pc) this.#beginInstruction(record);
      if (at !== pc && this.#mayLeave(block, n, at)) lowering.storeState();
      pc = at;
      this.#record = n;
      lowering.record = record;
      lowering.operation = operation.number;
      lowering.rotationCount = n > 0 && isRotation.has(operation.number) ? constantCount(this.#memory, record) : undefined;
      lowering.carryIsDead = isStep.has(operation.number) && this.#setsAllFlagsSoon(block, n + 1);
      lowering.flagsAreDead = setsAllFlags[operation.number]! && this.#replacesFlags(block, n + 1);
      if (!passesPending[operation.number] && lowering.rotationCount === undefined) lowering.settle();
      if (operation.number === CONTINUE) return this.#continue(block, record);
      operation.lower(lowering);
      if (operation.traits.isLast) return;
    }
    assert(block.operations.length < block.records, 'a block ends with what leads out of it');
    this.#beginInstruction(block.address + block.operations.length * RECORD.BYTES);
    this.leave('interpreted');
  }

  /** Whether the instruction that begins with record `from` makes accesses that may leave the region in its course. */
  #mayLeave(block: RegionBlock, from: number, pc: number): boolean {
    for (let n = from; n < block.operations.length; n++) {
      const record = block.address + n * RECORD.BYTES;
      if ((this.#memory.u16[(record + RECORD.PC) >> 1]! & (PC_STACK - 1)) !== pc) return false;
      const { access } = OPS[block.operations[n]!]!.traits;
      if (access !== undefined && !this.#lowering.isKnown(access, record)) return true;
    }
    return false;
  }

  /** All flags are set again in this block before something looks at them. */
  #setsAllFlagsSoon(block: RegionBlock, from: number): boolean {
    for (let n = from; n < block.operations.length; n++) {
      const operation = block.operations[n]!;
      if (setsAllFlags[operation]) return true;
      if (!ignoresFlags[operation]) return false;
    }
    return false;
  }

  /** The block sets all flags before it looks at them or may be left: whoever leads to it need not have stored them. */
  #flagsAreDead(node: number): boolean {
    const known = this.#deadFlags.get(node);
    if (known !== undefined) return known;
    const isDead = this.#replacesFlags(this.#region.blocks[node - 1]!, 0);
    this.#deadFlags.set(node, isDead);
    return isDead;
  }

  /** From a record on, the block sets all flags before it looks at them or may be left. */
  #replacesFlags(block: RegionBlock, from: number): boolean {
    for (let n = from; n < block.operations.length; n++) {
      const operation = block.operations[n]!;
      if (OPS[operation]!.traits.access !== undefined) return false;
      if (setsAllFlags[operation]) return true;
      if (!ignoresFlags[operation]) return false;
    }
    return false;
  }

  /** From here on, leaving the region means to go on with this record. */
  #beginInstruction(record: number): void {
    const code = this.#code;
    this.#instruction = record;
    if (!this.#lowering.codeMayHaveChanged) return;
    this.#lowering.codeMayHaveChanged = false;
    code.i32(0);
    code.memory(OP.i32_load, REGION_TABLE + this.#slot * REGION_RECORD.BYTES + REGION_RECORD.VALID);
    code.op(OP.i32_eqz);
    code.if();
    this.leave('code');
    code.end();
  }

  /** After a helper that may have changed the mode: on in the region when it has not. */
  #continue(block: RegionBlock, record: number): void {
    const code = this.#code;
    this.#beginInstruction(record);
    const target = block.targets.get((record - block.address) / RECORD.BYTES);
    if (target === undefined) return this.leave('jump');
    this.#lowering.state('modeKey', 2);
    code.i32((1 << MODE_BITS) - 1);
    code.op(OP.i32_and);
    code.i32(this.#region.key);
    code.op(OP.i32_ne);
    code.if();
    this.leave('mode');
    code.end();
    this.#edge(nodeOf(target), this.#memory.u16[(record + RECORD.D) >> 1]!);
  }

  // RegionFlow -----------------------------------------------------------------------------------------------------------

  reach(registerSlot: number): Reach | undefined {
    const block = this.#block!;
    if (this.#region.ungrouped.has(this.#instruction)) return undefined;
    // A page may end within the group although the access itself would hit: then the instruction is done again from its beginning.
    for (let n = (this.#instruction - block.address) / RECORD.BYTES; n < this.#record; n++) {
      if (!OPS[block.operations[n]!]!.traits.isRepeatable) return undefined;
    }
    return reachOf(this.#memory, registerSlot, block, this.#record);
  }

  leave(cause: ExitCause, ofGroup = false): void {
    this.#exitTo(this.#instruction, cause, ofGroup);
  }

  leaveWithFault(): void {
    this.#exitTo(this.#lowering.record | EXIT_FAULT, 'fault');
  }

  get #jumpBits(): number {
    return (this.#region.key & MODE.CODE_SIZE) === 2 ? EXIT_JUMP : EXIT_JUMP | EXIT_LIMITED;
  }

  /** Leaves for a record of the running block. */
  #exitTo(record: number, cause: ExitCause, ofGroup = false): void {
    this.#lowering.storeDirty();
    if (this.#counting) this.#countExit(cause, record & ~(EXIT_FAULT | EXIT_JUMP | EXIT_LIMITED));
    this.#returnBy({ record, delta: this.#block!.delta, ofGroup });
  }

  /** Ends the function with the number of an exit, which count from 1. */
  #returnBy(exit: RegionExit): void {
    this.#code.i32(this.exits.push(exit));
    this.#code.get(BUDGET);
    this.#code.op(OP.return);
  }

  jump(index: number): void {
    const block = this.#block!;
    const number = this.#record + index;
    const record = block.address + number * RECORD.BYTES;
    this.#beginInstruction(record);
    const target = block.targets.get(number);
    // The exit remembers what other region the jump leads to.
    if (target === undefined) return this.#exitTo(record | this.#jumpBits, 'jump');
    this.#edge(nodeOf(target), this.#memory.u16[(record + RECORD.D) >> 1]!);
  }

  #count(instructions: number): void {
    const code = this.#code;
    if (instructions === 0) return;
    code.get(BUDGET);
    code.i32(instructions);
    code.op(OP.i32_sub);
    code.set(BUDGET);
  }

  /** Goes to another block; the running instruction is the record that says so, for when the slice is used up. */
  #edge(to: number, instructions: number): void {
    const code = this.#code;
    const flow = this.#flow;
    const from = nodeOf(this.#number);
    if (flow.isBackward(from, to)) {
      this.#lowering.flush(this.#flagsAreDead(to));
      this.#countOrLeave(instructions);
      const label = flow.dominates(to, from) ? this.#labels.get(to) : undefined;
      return label === undefined ? this.#toEntry(to) : code.br(label);
    }
    if (this.#sampling && CALLS.has(this.#lowering.operation)) this.#leaveForSample();
    this.#count(instructions);
    if (!flow.isMerge[to] && !flow.isLoopHead[to]) return this.#node(to);
    this.#lowering.flush(this.#flagsAreDead(to));
    if (!flow.isMerge[to]) return this.#node(to);
    const label = this.#labels.get(to);
    return label === undefined ? this.#toEntry(to) : code.br(label);
  }

  /** Takes instructions from the budget, or leaves the region when there are not so many left. */
  #countOrLeave(instructions: number): void {
    if (this.#sampling) return this.#countOrSample(instructions);
    const code = this.#code;
    code.get(BUDGET);
    code.i32(instructions);
    code.op(OP.i32_lt_s);
    code.if();
    this.leave('budget');
    code.end();
    this.#count(instructions);
  }

  /** The same, also when a sample is asked for: counted first, there is one comparison for both. */
  #countOrSample(instructions: number): void {
    const code = this.#code;
    this.#count(instructions);
    code.get(BUDGET);
    this.#pushBudgetLimit();
    code.op(OP.i32_lt_s);
    code.if();
    this.#count(-instructions);
    this.#noteSampleRip();
    this.leave('budget');
    code.end();
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
    this.#lowering.flush();
    const searches = !knowsSites(this.#lowering.operation, this.#block!);
    if (searches || this.#block!.returnsTo.length > 0) this.#dispatchInside(searches);
    code.i32(0);
    code.get(TARGET);
    code.memory(OP.i64_store, this.#memory.area + cpuOffset('rip'));
    if (this.#sampling) this.#noteSampleRip();
    if (this.#counting) this.#countExit('indirect', 0);
    this.#returnBy({ record: EXIT_INDIRECT, delta: 0, ofGroup: false });
  }

  /** On in the region when TARGET is a site that is likely, or, where it `searches`, any entry. */
  #dispatchInside(searches: boolean): void {
    const code = this.#code;
    code.get(BUDGET);
    this.#pushBudgetLimit();
    code.op(OP.i32_ge_s);
    code.if();
    code.get(TARGET);
    code.get(BASE);
    code.op(OP.i64_sub);
    code.set(DISTANCE);
    for (const site of this.#block!.returnsTo) this.#returnTo(site);
    if (searches) this.#findEntry([...this.#entries].sort((a, b) => a.delta - b.delta));
    code.end();
  }

  /** On at a return site when it is the one that is returned to: the processor of the host knows such a branch better than the dispatch. */
  #returnTo(site: number): void {
    const code = this.#code;
    code.get(DISTANCE);
    code.i64(this.#region.blocks[site]!.delta);
    code.op(OP.i64_eq);
    code.if();
    const label = this.#labels.get(nodeOf(site));
    if (label === undefined) this.#toEntry(nodeOf(site));
    else code.br(label);
    code.end();
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

  /** A call leaves the function whose code has run until now. */
  #leaveForSample(): void {
    this.#pushBudgetLimit();
    this.#code.if();
    this.#noteSampleRip();
    this.leave('budget');
    this.#code.end();
  }

  /**
   * Pushes what the budget must not be below: 0, or SAMPLE_ASKED when a sample is asked for. No atomic load, because this one becomes a
   * part of the comparison, and seeing the other thread's store some instructions later does no harm.
   */
  #pushBudgetLimit(): void {
    this.#code.i32(0);
    if (this.#sampling) this.#code.memory(OP.i32_load, this.#memory.area + cpuOffset('sampleAsked'));
  }

  /** RIP of the running instruction. */
  #noteSampleRip(): void {
    const code = this.#code;
    const pc = this.#memory.u16[(this.#lowering.record + RECORD.PC) >> 1]! & (PC_STACK - 1);
    code.i32(0);
    code.get(BASE);
    code.i64(this.#block!.delta + pc);
    code.op(OP.i64_add);
    code.memory(OP.i64_store, this.#memory.area + cpuOffset('sampleRip'));
  }

  #countExit(cause: ExitCause, record: number): void {
    const code = this.#code;
    code.i32(exitNumber(cause));
    code.i32(record);
    code.get(ENTERED);
    pushBudget(code, this.#memory.area);
    code.op(OP.i32_sub);
    if (cause === 'jump') this.#addCountOfJump(record);
    this.#lowering.rip();
    code.op(OP.i32_wrap_i64);
    const where = record === 0 ? this.#lowering.record : record;
    code.i32(this.#memory.u16[(where + RECORD.PC) >> 1]! & (PC_STACK - 1));
    code.op(OP.i32_add);
    code.call(this.#importFunction('regionLeft'));
  }

  /** Whoever follows the jump takes its instructions from the budget, but they were executed here. */
  #addCountOfJump(record: number): void {
    this.#code.i32(this.#memory.u16[(record + RECORD.D) >> 1]!);
    this.#code.op(OP.i32_add);
  }

  get #entries(): { readonly delta: number; readonly number: number }[] {
    return this.#entryNumbers.map((block, number) => ({ delta: this.#region.blocks[block]!.delta, number }));
  }
}

const ignoresFlags = OPS.map(({ traits }) => traits.flags === 'untouched');
const setsAllFlags = OPS.map(({ traits }) => traits.flags === 'replaced');
/** Flags may be pending when these begin. */
const passesPending = OPS.map(({ traits }) => traits.flags !== undefined);
const isStep = new Set([...INC, ...DEC]);
const isRotation = new Set([HELPER.rol, HELPER.ror]);

/** An edge needs an entry that the region has not: it is made again with one. */
export class IrreducibleEdge extends Error {
  readonly block: number;

  constructor(block: number) {
    super('irreducible edge');
    this.block = block;
  }
}

export interface EmittedRegion {
  /** Block numbers of its entries. */
  readonly entries: readonly number[];
  /** What the numbers from 1 on that it returns mean. */
  readonly exits: readonly RegionExit[];
  /** With `marking`. */
  readonly marks: readonly InstructionMark[];
}

export interface EmittedRegions {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Functions of the support module that it imports. */
  readonly imports: readonly string[];
  readonly regions: readonly EmittedRegion[];
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
  return { bytes: module.encode(), imports, regions: functions };
}

interface EmittedFunction extends EmittedRegion {
  readonly code: CodeWriter;
}

function emitReducible(
  region: RegionCode, slot: number, memory: CodeMemory, importFunction: ImportFunction, options: EmitOptions,
): EmittedFunction {
  for (let current = region; ; ) {
    try {
      return emitFunction(current, slot, memory, importFunction, options);
    } catch (error) {
      if (!(error instanceof IrreducibleEdge)) throw error;
      current = { ...current, entries: [...current.entries, error.block] };
    }
  }
}

function emitFunction(
  region: RegionCode, slot: number, memory: CodeMemory, importFunction: ImportFunction, options: EmitOptions,
): EmittedFunction {
  const body = new CodeWriter(256 + 64 * region.instructions);
  const emitter = new RegionEmitter(region, slot, memory, body, importFunction, options);
  emitter.body();
  const code = new CodeWriter(body.length + 1024);
  prologue(code, memory.area);
  if (options.counting) noteEntry(code, memory.area);
  for (const mark of emitter.marks) mark.at += code.length;
  code.append(body);
  return { code, entries: region.entries, exits: emitter.exits, marks: emitter.marks };
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

function prologue(code: CodeWriter, area: number): void {
  loadInto(code, TLB_READ, area + cpuOffset('tlbRead'), 'i32');
  loadInto(code, TLB_WRITE, area + cpuOffset('tlbWrite'), 'i32');
}

function loadInto(code: CodeWriter, local: number, address: number, type: ValueType): void {
  code.i32(0);
  code.memory(type === 'i64' ? OP.i64_load : OP.i32_load, address);
  code.set(local);
}
