// Generates the interpreter: a WebAssembly function `run`, a loop around one br_table over the IR operations of cpu/ir/op.ts, whose
// cases are the operations' meanings with operands read through the current record; and functions for operations that are rare.
// Built at build time (tools/build-wasm.ts) into dist/wasm/interpreter.wasm. The meanings are shared with the translator.
import { COUNT_NOTE, COUNT_NOTES, COUNT_NOTES_OFFSET } from '../../memory/memory-map.ts';
import { BLOCK, RECORD } from '../ir/record.ts';
import { OPS, type Op } from '../ir/op.ts';
import { HELPER } from '../ir/ops-helper.ts';
import { VECTOR_OPERATIONS } from '../ir/ops-vector.ts';
import { cpuOffset, EXIT } from '../x86/state.ts';
import { CodeWriter, ModuleWriter, type FunctionType, type Label } from '../../wasm/code-writer.ts';
import { OP, type ValueType } from '../../wasm/opcodes.ts';
import { CPU, ENTRY, HOST, IP, LINEAR, LOCALS, OPERATION, RARE_OPERATION } from './interpreter-locals.ts';
import { InterpreterLowering, type InterpreterOptions } from './interpreter-lowering.ts';
import { noteSampleRip, probeJumpCache, pushBudgetLimit, type Labels } from './region-loop.ts';

const i32 = (...params: ValueType[]): FunctionType => ({ params, results: ['i32'] });
const none = (...params: ValueType[]): FunctionType => ({ params, results: [] });
/** Functions of the support module with a signature of their own; the helpers follow. */
const IMPORTS: Readonly<Record<string, FunctionType>> = {
  lookup: i32(),
  followJump: i32('i32'),
  forgetRip: none(),
  refineFault: none('i32'),
  deliverFault: none(),
  countPartial: none('i32'),
  condition: i32('i32'),
  setCarry: none('i32'),
  regionMapped: i32('i32', 'i64'),
  countLeft: none('i32', 'i32'),
  readMemory: { params: ['i64', 'i32'], results: ['i64'] },
  writeMemory: none('i64', 'i32', 'i64'),
  prepareWrite: none('i64', 'i32'),
  readMemory128: none('i64', 'i32'),
  writeMemory128: none('i64', 'i32'),
};

/** Leaves `run` when the budget is used up, or for a sample. */
function leaveWithoutBudget(code: CodeWriter, { sampling }: InterpreterOptions): void {
  code.get(CPU);
  code.memory(OP.i32_load, cpuOffset('executorBudget'));
  pushBudgetLimit(code, sampling);
  code.op(OP.i32_lt_s);
  code.if();
  code.get(CPU);
  code.i32(EXIT.BUDGET);
  code.memory(OP.i32_store, cpuOffset('exitReason'));
  code.op(OP.return);
  code.end();
}

/** Sets IP to the block at RIP: the jump cache first, then `lookup`; leaves `run` when there is none. */
function findBlock(code: CodeWriter, lookup: number): void {
  code.get(CPU);
  code.memory(OP.i64_load, cpuOffset('rip'));
  code.set(LINEAR);
  const found = code.block();
  probeJumpCache(code);
  code.brIf(found);
  code.call(lookup);
  code.tee(IP);
  code.brIf(found);
  code.op(OP.return);
  code.end();
}

/** The jump record at IP: moves RIP, counts, and goes to the linked block or has it looked up. */
function emitJump(
  code: CodeWriter, lowering: InterpreterLowering, followJump: number, { enter, dispatch }: Labels, options: InterpreterOptions,
): void {
  lowering.rip();
  code.set(LINEAR);
  lowering.openState();
  code.get(LINEAR);
  lowering.immediate(3);
  code.op(OP.i64_add);
  code.i64(-1);
  code.get(IP);
  code.memory(OP.i64_load16_u, RECORD.A);
  code.op(OP.i64_shr_u);
  code.op(OP.i64_and);
  lowering.closeState('rip', 3);
  lowering.countInstructions();
  leaveWithoutBudget(code, options);
  lowering.immediate2();
  code.tee(ENTRY);
  code.if();
  code.get(ENTRY);
  code.set(IP);
  code.br(enter);
  code.end();
  // Jumps to other pages are never linked; without a limit to check they need no more than the jump cache.
  lowering.rip();
  code.get(LINEAR);
  code.op(OP.i64_xor);
  code.i64(-4096);
  code.op(OP.i64_and);
  code.op(OP.i64_eqz);
  code.op(OP.i32_eqz);
  lowering.state('csLimit', 2);
  code.i32(-1);
  code.op(OP.i32_eq);
  code.op(OP.i32_and);
  code.brIf(dispatch);
  code.get(IP);
  code.call(followJump);
  code.tee(IP);
  code.brIf(enter);
  code.op(OP.return);
}

/** Counts an execution of the block at IP; leaves `run` when it is time to make a region of it. */
function countExecution(code: CodeWriter): void {
  code.get(IP);
  code.i32(BLOCK.BYTES - BLOCK.COUNT);
  code.op(OP.i32_sub);
  code.tee(ENTRY);
  code.get(ENTRY);
  code.memory(OP.i32_load);
  code.i32(1);
  code.op(OP.i32_add);
  code.tee(HOST);
  code.memory(OP.i32_store);
  code.get(HOST);
  code.get(CPU);
  code.memory(OP.i32_load, cpuOffset('promoteAt'));
  code.op(OP.i32_eq);
  code.if();
  code.get(CPU);
  code.i32(EXIT.PROMOTE);
  code.memory(OP.i32_store, cpuOffset('exitReason'));
  code.get(CPU);
  code.get(IP);
  code.memory(OP.i32_store, cpuOffset('exitDetail'));
  code.op(OP.return);
  code.end();
}

/** The block at IP begins: a note of what has been counted so far, or out of `run` when there is no room for it. */
function noteCounts(code: CodeWriter, lowering: InterpreterLowering): void {
  lowering.openState();
  code.get(IP);
  lowering.closeState('countedBlock', 2);
  lowering.state('notesAt', 2);
  code.tee(ENTRY);
  code.get(CPU);
  code.i32(COUNT_NOTES_OFFSET + COUNT_NOTES * COUNT_NOTE.BYTES);
  code.op(OP.i32_add);
  code.op(OP.i32_eq);
  code.if();
  lowering.openState();
  code.i32(EXIT.NOTES);
  lowering.closeState('exitReason', 2);
  code.op(OP.return);
  code.end();
  code.get(ENTRY);
  lowering.rip();
  code.memory(OP.i64_store, COUNT_NOTE.RIP);
  code.get(ENTRY);
  lowering.state('cr3', 2);
  code.i32(-4096);
  code.op(OP.i32_and);
  lowering.state('cpl', 2);
  code.op(OP.i32_or);
  code.memory(OP.i32_store, COUNT_NOTE.SPACE);
  for (const [field, at] of NOTED) {
    code.get(ENTRY);
    lowering.state(field, 2);
    code.memory(OP.i32_store, at);
  }
  lowering.openState();
  code.get(ENTRY);
  code.i32(COUNT_NOTE.BYTES);
  code.op(OP.i32_add);
  lowering.closeState('notesAt', 2);
}

const NOTED = [
  ['countInstructions', COUNT_NOTE.INSTRUCTIONS], ['countReads', COUNT_NOTE.READS], ['countWrites', COUNT_NOTE.WRITES],
  ['countPageWalk', COUNT_NOTE.WALKS], ['countHelper', COUNT_NOTE.HELPERS],
] as const;

export function generateInterpreter(
  memoryPages: { readonly initial: number; readonly maximum: number },
  helpers: readonly string[],
  options: InterpreterOptions,
): Uint8Array<ArrayBuffer> {
  const module = new ModuleWriter(memoryPages, 'interpreter');
  const cpu = module.importGlobal('cpu');
  module.importTable('regions');
  const functions = new Map<string, number>();
  for (const [name, type] of Object.entries(IMPORTS)) functions.set(name, module.importFunction('support', name, type));
  for (const name of helpers) functions.set(name, module.importFunction('support', name, none('i32', 'i32', 'i32', 'i32')));

  const parts: Parts = { module, cpu, functions, options };
  const { rare, memory, run } = divide(parts);
  const callees = { rare: addRareFunction(parts, 'rare', rare), memory: addRareFunction(parts, 'memory', memory) };
  module.addFunction('run', none(), LOCALS, runFunction(parts, run, callees));
  return module.encode();
}

interface Parts {
  readonly module: ModuleWriter;
  /** Global with the address of the vCPU's area. */
  readonly cpu: number;
  readonly functions: ReadonlyMap<string, number>;
  readonly options: InterpreterOptions;
}

/** Numbers of the functions that `run` calls. */
interface Callees {
  readonly rare: number;
  readonly memory: number;
}

const NO_LABELS: Labels = { dispatch: 0, fault: 0, enter: 0, again: 0, jump: 0, leave: 0 };

/** Which operations have functions of their own, beside `run`. */
interface Division {
  readonly rare: readonly Op[];
  /** Those that access memory: `run` does what hits the TLB, and calls for the rest. */
  readonly memory: readonly Op[];
  readonly run: readonly Op[];
}

/**
 * V8 up to version 12 compiles a function of many values (from some 8,000 on) with a register allocator that keeps all of them in memory,
 * which costs an interpreter half its speed; so `run` has what most programs consist of. Nor does it have vector operations,
 * whose constants would be computed before the loop around all operations, whenever a block begins.
 */
function divide(parts: Parts): Division {
  const uses = OPS.map((operation) => {
    const lowering = new InterpreterLowering(new CodeWriter(1024, parts.module), parts.functions, { ...NO_LABELS }, parts.options);
    operation.lower(lowering);
    return lowering.uses;
  });
  const helpers = new Set<number>(Object.values(HELPER));
  const isRare = ({ number }: Op): boolean => helpers.has(number) || number >= VECTOR_OPERATIONS || uses[number]!.words;
  const run = OPS.filter((operation) => !isRare(operation));
  return { rare: OPS.filter(isRare), memory: run.filter(({ number }) => uses[number]!.memory), run };
}

/** Bits of what a rare function returns, beside the record at which it ended; none: on with the record after that. */
const RARE = { FAULT: 1, JUMP: 2, DISPATCH: 3, LEAVE: 4, MASK: 7 } as const;
const RARE_TYPE: FunctionType = { params: ['i32', 'i32', 'i32'], results: ['i32'] };

function addRareFunction(parts: Parts, name: string, operations: readonly Op[]): number {
  const code = new CodeWriter(1 << 16, parts.module);
  code.get(RARE_OPERATION);
  code.set(OPERATION);
  const labels = { ...NO_LABELS };
  const lowering = new InterpreterLowering(code, parts.functions, labels, parts.options);
  const ways = [['leave', RARE.LEAVE], ['dispatch', RARE.DISPATCH], ['jump', RARE.JUMP], ['fault', RARE.FAULT]] as const;
  for (const [way] of ways) labels[way] = code.block();
  emitCases(code, operations, code.block(), (operation) => {
    operation.lower(lowering);
    code.get(IP);
    code.op(OP.return);
  });
  code.op(OP.unreachable);
  for (const [, bits] of [...ways].reverse()) {
    code.end();
    code.get(IP);
    code.i32(bits);
    code.op(OP.i32_or);
    code.op(OP.return);
  }
  code.op(OP.unreachable);
  return parts.module.addFunction(name, RARE_TYPE, LOCALS.slice(RARE_TYPE.params.length), code);
}

/** A switch by OPERATION; others go to `otherwise`, the innermost block, which ends here. */
function emitCases(code: CodeWriter, operations: readonly Op[], otherwise: Label, emit: (operation: Op) => void): void {
  const labels = new Map<number, Label>();
  for (const { number } of [...operations].reverse()) labels.set(number, code.block());
  code.get(OPERATION);
  code.brTable(OPS.map(({ number }) => labels.get(number) ?? otherwise), otherwise);
  for (const operation of operations) {
    code.end();
    emit(operation);
  }
  code.end();
}

/** The loop around all operations. */
function runFunction({ module, cpu, functions, options }: Parts, operations: readonly Op[], callees: Callees): CodeWriter {
  const code = new CodeWriter(1 << 18, module);
  code.op(OP.global_get);
  code.u32(cpu);
  code.set(CPU);
  const labels = { ...NO_LABELS };
  const lowering = new InterpreterLowering(code, functions, labels, options);
  labels.leave = code.block();
  labels.dispatch = code.loop();
  leaveWithoutBudget(code, options);
  findBlock(code, functions.get('lookup')!);
  labels.fault = code.block();
  labels.enter = code.loop();
  if (options.sampling) noteSampleRip(lowering, () => lowering.rip());
  if (options.counting) noteCounts(code, lowering);
  countExecution(code);
  fetchOperation(code);
  labels.again = code.loop();
  labels.jump = code.block();
  emitOperations(lowering, operations, labels, callees);
  code.end(); // jump
  emitJump(code, lowering, functions.get('followJump')!, labels, options);
  code.end(); // again
  code.op(OP.unreachable);
  code.end(); // enter
  code.op(OP.unreachable);
  code.end(); // fault
  emitFault(code, lowering, functions, options);
  lowering.state('exitReason', 2);
  code.i32(EXIT.SHUTDOWN);
  code.op(OP.i32_ne);
  code.brIf(labels.dispatch);
  code.end(); // dispatch
  code.end(); // leave
  return code;
}

function fetchOperation(code: CodeWriter): void {
  code.get(IP);
  code.memory(OP.i32_load16_u, RECORD.OP);
  code.set(OPERATION);
}

/** Executes OPERATION, then the operation of the next record, and so on. */
function emitOperations(lowering: InterpreterLowering, operations: readonly Op[], labels: Labels, callees: Callees): void {
  const { code } = lowering;
  const goOn = (): void => {
    code.get(IP);
    code.i32(RECORD.BYTES);
    code.op(OP.i32_add);
    code.set(IP);
    fetchOperation(code);
    code.br(labels.again);
  };
  labels.miss = code.block();
  emitCases(code, operations, code.block(), (operation) => {
    operation.lower(lowering);
    goOn();
  });
  callRare(code, callees.rare, labels);
  goOn();
  code.end(); // miss
  callRare(code, callees.memory, labels);
  goOn();
}

function callRare(code: CodeWriter, callee: number, labels: Labels): void {
  code.get(CPU);
  code.get(IP);
  code.get(OPERATION);
  code.call(callee);
  code.tee(HOST);
  code.i32(RARE.MASK);
  code.op(OP.i32_and);
  code.tee(ENTRY);
  code.if();
  code.get(HOST);
  code.i32(~RARE.MASK);
  code.op(OP.i32_and);
  code.set(IP);
  code.get(ENTRY);
  code.brTable([labels.leave, labels.fault, labels.jump, labels.dispatch], labels.leave);
  code.end();
}

/** The record at IP has raised a fault. */
function emitFault(
  code: CodeWriter, lowering: InterpreterLowering, functions: ReadonlyMap<string, number>, { counting }: InterpreterOptions,
): void {
  lowering.openState();
  lowering.rip();
  lowering.pc();
  code.op(OP.i64_extend_i32_u);
  code.op(OP.i64_add);
  lowering.closeState('rip', 3);
  code.get(IP);
  if (counting) {
    code.call(functions.get('countPartial')!);
    code.get(IP);
  }
  code.call(functions.get('refineFault')!);
  code.call(functions.get('deliverFault')!);
}
