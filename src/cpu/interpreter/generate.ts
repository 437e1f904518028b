// Generates the interpreter: one WebAssembly function `run`, a loop around one br_table over the IR operations of
// cpu/ir/op.ts, whose cases are the operations' meanings with operands read through the current record.
// Built at build time (tools/build-wasm.ts) into dist/wasm/interpreter.wasm. The meanings are shared with the translator.
import { COUNT_NOTE, COUNT_NOTES, COUNT_NOTES_OFFSET } from '../../memory/memory-map.ts';
import { BLOCK, RECORD } from '../ir/record.ts';
import { OPS } from '../ir/op.ts';
import '../ir/ops-vector.ts'; // the last link of the chain that declares every operation
import { cpuOffset, EXIT } from '../x86/state.ts';
import { CodeWriter, ModuleWriter, type FunctionType } from '../../wasm/code-writer.ts';
import { OP, type ValueType } from '../../wasm/opcodes.ts';
import { CPU, ENTRY, HOST, IP, LINEAR, LOCALS, OPERATION } from './interpreter-locals.ts';
import { InterpreterLowering, type InterpreterOptions } from './interpreter-lowering.ts';
import { noteSampleRip, orSampleAsked, probeJumpCache, type Labels } from './region-loop.ts';

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
  if (sampling) orSampleAsked(code);
  code.i32(0);
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

  const code = new CodeWriter(1 << 18, module);
  code.op(OP.global_get);
  code.u32(cpu);
  code.set(CPU);
  const labels: Labels = { dispatch: 0, fault: 0, enter: 0, next: 0, again: 0, jump: 0 };
  const lowering = new InterpreterLowering(code, functions, labels, options);
  labels.dispatch = code.loop();
  leaveWithoutBudget(code, options);
  findBlock(code, functions.get('lookup')!);
  labels.fault = code.block();
  labels.enter = code.loop();
  if (options.sampling) noteSampleRip(lowering, () => lowering.rip());
  if (options.counting) noteCounts(code, lowering);
  countExecution(code);
  labels.next = code.loop();
  code.get(IP);
  code.memory(OP.i32_load16_u, RECORD.OP);
  code.set(OPERATION);
  labels.again = code.loop();
  labels.jump = code.block();
  const cases = OPS.map(() => code.block()).reverse();
  code.get(OPERATION);
  code.brTable(cases, cases[0]!);
  for (const operation of OPS) {
    code.end();
    operation.lower(lowering);
    code.get(IP);
    code.i32(RECORD.BYTES);
    code.op(OP.i32_add);
    code.set(IP);
    code.br(labels.next);
  }
  code.end(); // jump
  emitJump(code, lowering, functions.get('followJump')!, labels, options);
  code.end(); // again
  code.op(OP.unreachable);
  code.end(); // next
  code.op(OP.unreachable);
  code.end(); // enter
  code.op(OP.unreachable);
  code.end(); // fault
  lowering.openState();
  lowering.rip();
  lowering.pc();
  code.op(OP.i64_extend_i32_u);
  code.op(OP.i64_add);
  lowering.closeState('rip', 3);
  code.get(IP);
  if (options.counting) {
    code.call(functions.get('countPartial')!);
    code.get(IP);
  }
  code.call(functions.get('refineFault')!);
  code.call(functions.get('deliverFault')!);
  lowering.state('exitReason', 2);
  code.i32(EXIT.SHUTDOWN);
  code.op(OP.i32_ne);
  code.brIf(labels.dispatch);
  code.end(); // dispatch
  module.addFunction('run', none(), LOCALS, code);
  return module.encode();
}

