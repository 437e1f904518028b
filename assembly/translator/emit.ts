// A region as the code of one WebAssembly function: structured control flow along the dominator tree, a loop around one br_table for the
// entries, returns and edges that structure cannot express, registers in locals, exits that store what is only there. What the operations
// become is steps.ts, what goes into a region find.ts.
import { cpu } from '../host';
import {
  BUDGET_SKIPPED, CONTINUE_OP, EMITTER_BLOCKS_MAX, EMITTER_ENTRIES, EMITTER_MARKS, EMITTER_MARKS_MAX, EMITTER_OPTION_COUNTING,
  EMITTER_OPTION_EAGER, EMITTER_OPTION_MARKING, EMITTER_OPTION_SAMPLING, EMITTER_UNGROUPED, EXIT_CAUSE_BUDGET, EXIT_CAUSE_CODE,
  EXIT_CAUSE_FAULT, EXIT_CAUSE_INDIRECT, EXIT_CAUSE_INTERPRETED, EXIT_CAUSE_JUMP, EXIT_CAUSE_MODE, EXIT_CAUSE_TLB_MISS, EXIT_COUNT_SHIFT,
  EXIT_FAULT, EXIT_INDIRECT, EXIT_JUMP, EXIT_LIMITED, LOCAL_BASE, LOCAL_BUDGET, LOCAL_DISTANCE, LOCAL_ENTERED, LOCAL_ENTRY, LOCAL_TARGET,
  LOCAL_TLB_READ, LOCAL_TLB_WRITE, MODE_BITS, MODE_CODE_SIZE, MODE_KEY, RECORD_BYTES, RECORD_D, REGION_EXIT_BYTES, REGION_EXIT_DELTA,
  REGION_EXIT_LEFT, REGION_EXIT_OFTEN, REGION_EXIT_RECORD, REGION_EXIT_TARGET_DELTA, REGION_EXITS, REGION_RECORD_BYTES,
  REGION_RECORD_VALID, REGION_TABLE, RIP, SAMPLE_ASKED, SAMPLE_RIP, SITES_MAX, TLB_READ, TLB_WRITE, TRAIT_CALL, TRAIT_IGNORES_FLAGS,
  TRAIT_LAST, TRAIT_PASSES_PENDING, TRAIT_REPEATABLE, TRAIT_REPLACES_FLAGS, TRAIT_RETURN, TRAIT_ROTATION, TRAIT_STEP, WASM_I32_ADD,
  WASM_I32_AND, WASM_I32_EQZ, WASM_I32_GE_S, WASM_I32_LOAD, WASM_I32_LT_S, WASM_I32_NE, WASM_I32_SUB, WASM_I32_WRAP_I64, WASM_I64_ADD,
  WASM_I64_EQ, WASM_I64_LT_S, WASM_I64_STORE, WASM_I64_SUB, WASM_RETURN, WASM_UNREACHABLE,
} from '../generated/layout';
import { SUPPORT_REGION_LEFT } from '../generated/programs';
import { isKnown } from './accesses';
import { reloadWord } from './calls';
import { settle } from './flags';
import { dominates, findFlow, isBackward } from './flow';
import { findReach } from './groups';
import { callFunction, openImports } from './imports';
import { flush, loadRegisters, pushRip, storeDirty, storeState } from './locals';
import { constantCount, NO_COUNT } from './rotations';
import {
  backTo, beginLowering, beginRecord, delta as runningDelta, inBlock, operation as runningOperation, record as runningRecord,
  takeCodeMayHaveChanged,
} from './running';
import { beginStates, canSave, dropState, forgetAll, returnTo, saveState } from './state';
import { run } from './steps';
import {
  accessKind, Block, blockAt, NODE_FLAGS_DEAD, NODE_FLAGS_KNOWN, NODE_LOOP_HEAD, NODE_MERGE, nodeAt, operationOf, pcOf, programOf,
  recordOf, traitsOf, WORK,
} from './tables';
import {
  access, beginCode, br, brTable, brTableLabel, codeLength, end, get, hasRoom, i32Const, i64Const, loadAt, op, openBlock, openIf, openLoop,
  otherwise, set,
} from './writer';

const NO_BLOCK: i32 = -1;

let options: u32 = 0;
let key: u32 = 0;
let slot: u32 = 0;
let blocks: u32 = 0;
let entries: u32 = 0;
let ungrouped: u32 = 0;
/** Where the next exit goes, and where there is room no more. */
let exitAt: u32 = 0;
let exitsEnd: u32 = 0;
let exits: u32 = 0;
let marks: u32 = 0;
/** The block that an edge needs as an entry, which it is not: the region is made again with it. */
let irreducible: i32 = NO_BLOCK;
/** Something did not fit. */
let failed: bool = false;

let dispatch: i32 = 0;
/** The running block, its number, the number of its running record, and the address of the first one of the running instruction. */
let block: Block = changetype<Block>(0);
let number: u32 = 0;
let recordNumber: u32 = 0;
let instruction: u32 = 0;

// The function -----------------------------------------------------------------------------------------------------------------------

/**
 * Emits the region in EMITTER_TABLES, whose record will be that of `regionSlot`, to EMITTER_CODE; its exits to `firstExit` on, in all the
 * places there are up to `lastExit`. Returns the length of the code; 0 when the region cannot be emitted.
 */
export function emitRegion(
  ofBlocks: u32, ofEntries: u32, ofUngrouped: u32, regionKey: u32, regionSlot: u32, asked: u32, firstExit: u32, lastExit: u32,
): u32 {
  blocks = ofBlocks;
  entries = ofEntries;
  ungrouped = ofUngrouped;
  key = regionKey;
  slot = regionSlot;
  options = asked;
  exitsEnd = lastExit;
  do {
    irreducible = NO_BLOCK;
    failed = false;
    openImports(true);
    exitAt = firstExit;
    exits = 0;
    marks = 0;
    emitFunction();
    if (!failed && irreducible != NO_BLOCK) addEntry(irreducible);
  } while (!failed && irreducible != NO_BLOCK);
  return failed ? 0 : codeLength();
}

/** Of the region emitted last. */
export function exitCount(): u32 { return exits; }
export function entryCount(): u32 { return entries; }
export function markCount(): u32 { return marks; }

function addEntry(entry: i32): void {
  failed = entries == EMITTER_BLOCKS_MAX;
  if (!failed) store<u16>(EMITTER_ENTRIES + 2 * entries++, <u16>entry);
}

function emitFunction(): void {
  findFlow(blocks, entries);
  beginCode();
  beginStates();
  beginLowering();
  reloadWord(LOCAL_TLB_READ, TLB_READ);
  reloadWord(LOCAL_TLB_WRITE, TLB_WRITE);
  if (isAsked(EMITTER_OPTION_COUNTING)) {
    pushCountedBudget();
    set(LOCAL_ENTERED);
  }
  dispatch = openLoop();
  emitNode(0);
  end();
  op(WASM_UNREACHABLE);
}

/** What is emitted now is not wanted any more. */
function isGivenUp(): bool { return failed || irreducible != NO_BLOCK; }

function isAsked(option: u32): bool { return (options & option) != 0; }

/** The budget with what a request cut off from it: what is missing from this at the exit was executed. */
function pushCountedBudget(): void {
  get(LOCAL_BUDGET);
  loadAt(WASM_I32_LOAD, <u32>cpu + BUDGET_SKIPPED);
  op(WASM_I32_ADD);
}

// Nodes ------------------------------------------------------------------------------------------------------------------------------

function isLoopHead(node: u32): bool { return (nodeAt(node).flags & NODE_LOOP_HEAD) != 0; }
function isMerge(node: u32): bool { return (nodeAt(node).flags & NODE_MERGE) != 0; }
function nodeOf(blockNumber: u32): u32 { return blockNumber + 1; }

function emitNode(node: u32): void {
  if (isGivenUp()) return;
  if (!isLoopHead(node)) return emitWithin(node, nodeAt(node).firstChild);
  loadRegisters(nodeAt(node).keptAt);
  nodeAt(node).label = openLoop();
  emitWithin(node, nodeAt(node).firstChild);
  op(WASM_UNREACHABLE);
  end();
  nodeAt(node).label = 0;
}

/** The node's own code inside blocks whose ends are where its merge children begin, the last in order outermost: those from `child` on. */
function emitWithin(node: u32, child: u32): void {
  let outer = child;
  while (outer != 0 && !isMerge(outer)) outer = nodeAt(outer).nextSibling;
  if (outer == 0) return emitOwn(node);
  nodeAt(outer).label = openBlock();
  emitWithin(node, nodeAt(outer).nextSibling);
  end();
  nodeAt(outer).label = 0;
  forgetAll(nodeAt(outer).keptBefore);
  emitNode(outer);
}

function emitOwn(node: u32): void {
  if (node == 0) return emitDispatch();
  if (isLoopHead(node)) forgetAll(nodeAt(node).keptAt);
  if (!canSave()) failed = true;
  if (isGivenUp()) return;
  const oldBlock = block, oldNumber = number, oldRecordNumber = recordNumber, oldInstruction = instruction;
  const record = runningRecord, operation = runningOperation, delta = runningDelta;
  const before = saveState();
  emitBlock(node - 1);
  returnTo(before);
  dropState(before);
  block = oldBlock;
  number = oldNumber;
  recordNumber = oldRecordNumber;
  instruction = oldInstruction;
  backTo(record, operation, delta);
}

/** To the entry that the function is called with. */
function emitDispatch(): void {
  get(LOCAL_ENTRY);
  brTable(entries);
  for (let n: u32 = 0; n < entries; n++) brTableLabel(labelOfEntry(n));
  brTableLabel(labelOfEntry(0));
}
function entryBlock(entry: u32): u32 { return load<u16>(EMITTER_ENTRIES + 2 * entry); }
function labelOfEntry(entry: u32): i32 { return nodeAt(nodeOf(entryBlock(entry))).label; }

// Blocks -----------------------------------------------------------------------------------------------------------------------------

function emitBlock(blockNumber: u32): void {
  block = blockAt(blockNumber);
  number = blockNumber;
  inBlock(block.delta);
  let pc: u32 = 0xffffffff;
  for (let n: u32 = 0; n < block.operations; n++) {
    const record = recordOf(block, n);
    const operation = operationOf(block, n);
    const at = pcOf(record);
    if (at != pc) beginInstruction(n, at);
    pc = at;
    recordNumber = n;
    const traits = traitsOf(operation);
    const count = n > 0 && (traits & TRAIT_ROTATION) != 0 ? constantCount(record) : NO_COUNT;
    beginRecord(record, operation, count, (traits & TRAIT_STEP) != 0 && setsAllFlagsSoon(block, n + 1),
      (traits & TRAIT_REPLACES_FLAGS) != 0 && replacesFlags(block, n + 1));
    if ((traits & TRAIT_PASSES_PENDING) == 0 && count == NO_COUNT) settle();
    if (operation == CONTINUE_OP) return emitContinue(record);
    run(programOf(operation));
    if ((traits & TRAIT_LAST) != 0 || isGivenUp()) return;
  }
  goOnWith(recordOf(block, block.operations));
  leave(EXIT_CAUSE_INTERPRETED, false);
}

function beginInstruction(n: u32, pc: u32): void {
  if (!hasRoom()) failed = true;
  if (failed) beginCode(); // nothing of it is wanted any more
  if (isAsked(EMITTER_OPTION_MARKING)) mark(block.delta + pc);
  goOnWith(recordOf(block, n));
  if (mayLeave(n, pc)) storeState();
}

function mark(delta: i32): void {
  if (marks == EMITTER_MARKS_MAX) return;
  const at = EMITTER_MARKS + 8 * marks++;
  store<u32>(at, codeLength());
  store<i32>(at + 4, delta);
}

/** Whether the instruction that begins with record `from` makes accesses that may leave the region in its course. */
function mayLeave(from: u32, pc: u32): bool {
  for (let n = from; n < block.operations; n++) {
    const record = recordOf(block, n);
    if (pcOf(record) != pc) return false;
    const operation = operationOf(block, n);
    if (accessKind(operation) != 0 && !isKnown(operation, record)) return true;
  }
  return false;
}

/** All flags are set again in the block before something looks at them. */
function setsAllFlagsSoon(where: Block, from: u32): bool {
  for (let n = from; n < where.operations; n++) {
    const traits = traitsOf(operationOf(where, n));
    if ((traits & TRAIT_REPLACES_FLAGS) != 0) return true;
    if ((traits & TRAIT_IGNORES_FLAGS) == 0) return false;
  }
  return false;
}

/** From a record on, the block sets all flags before it looks at them or may be left. */
function replacesFlags(where: Block, from: u32): bool {
  for (let n = from; n < where.operations; n++) {
    const operation = operationOf(where, n);
    if (accessKind(operation) != 0) return false;
    const traits = traitsOf(operation);
    if ((traits & TRAIT_REPLACES_FLAGS) != 0) return true;
    if ((traits & TRAIT_IGNORES_FLAGS) == 0) return false;
  }
  return false;
}

/** The block of a node sets all flags before it looks at them or may be left: whoever leads to it need not have stored them. */
function flagsAreDeadAt(node: u32): bool {
  const target = nodeAt(node);
  if ((target.flags & NODE_FLAGS_KNOWN) == 0) {
    target.flags |= NODE_FLAGS_KNOWN | (replacesFlags(blockAt(node - 1), 0) ? NODE_FLAGS_DEAD : 0);
  }
  return (target.flags & NODE_FLAGS_DEAD) != 0;
}

/** From here on, leaving the region means to go on with this record. */
function goOnWith(record: u32): void {
  instruction = record;
  if (!takeCodeMayHaveChanged()) return;
  loadAt(WASM_I32_LOAD, REGION_TABLE + slot * REGION_RECORD_BYTES + REGION_RECORD_VALID);
  op(WASM_I32_EQZ);
  openIf();
  leave(EXIT_CAUSE_CODE, false);
  end();
}

/** After a helper that may have changed the mode: on in the region when it has not. */
function emitContinue(record: u32): void {
  goOnWith(record);
  const target = targetOf((record - block.address) / RECORD_BYTES);
  if (target < 0) return leave(EXIT_CAUSE_JUMP, false);
  loadAt(WASM_I32_LOAD, <u32>cpu + MODE_KEY);
  i32Const((1 << MODE_BITS) - 1);
  op(WASM_I32_AND);
  i32Const(key);
  op(WASM_I32_NE);
  openIf();
  leave(EXIT_CAUSE_MODE, false);
  end();
  emitEdge(nodeOf(target), load<u16>(record + RECORD_D));
}

/** Number of the block that a jump record leads to; NO_BLOCK when that is outside. */
function targetOf(record: u32): i32 {
  for (let at = block.targets; at < block.targetsEnd; at += 4) if (load<u16>(at) == record) return load<u16>(at + 2);
  return NO_BLOCK;
}

// What the lowering asks for ---------------------------------------------------------------------------------------------------------

/** `findReach` from the running record on, where a group may begin. */
export function findReachHere(register: u32): bool {
  for (let n: u32 = 0; n < ungrouped; n++) if (load<u32>(EMITTER_UNGROUPED + 4 * n) == instruction) return false;
  // A page may end within the group although the access itself would hit: then the instruction is done again from its beginning.
  for (let n = (instruction - block.address) / RECORD_BYTES; n < recordNumber; n++) {
    if ((traitsOf(operationOf(block, n)) & TRAIT_REPEATABLE) == 0) return false;
  }
  return findReach(register, block, recordNumber);
}

export function leaveForTlb(ofGroup: bool): void { leave(EXIT_CAUSE_TLB_MISS, ofGroup); }
export function leaveForInterpreter(): void { leave(EXIT_CAUSE_INTERPRETED, false); }
export function leaveWithFault(): void { exitTo(runningRecord | EXIT_FAULT, EXIT_CAUSE_FAULT, false); }

export function jumpTo(index: u32): void {
  const jump = recordNumber + index;
  const record = recordOf(block, jump);
  goOnWith(record);
  const target = targetOf(jump);
  // The exit remembers what other region the jump leads to.
  if (target < 0) return exitTo(record | EXIT_JUMP | ((key & MODE_CODE_SIZE) == 2 ? 0 : EXIT_LIMITED), EXIT_CAUSE_JUMP, false);
  emitEdge(nodeOf(target), load<u16>(record + RECORD_D));
}

/** Goes to the RIP in TARGET; `instructions` of the block count. */
export function dispatchTo(instructions: u32): void {
  takeFromBudget(instructions);
  flush(false);
  const returns = (block.returnsEnd - block.returns) / 2;
  // A return whose sites are all known leaves the region otherwise: a search over all entries is much code for nothing.
  const searches = (traitsOf(runningOperation) & TRAIT_RETURN) == 0 || returns >= SITES_MAX;
  if (searches || returns > 0) dispatchInside(searches);
  i32Const(0);
  get(LOCAL_TARGET);
  access(WASM_I64_STORE, <u32>cpu + RIP);
  if (isAsked(EMITTER_OPTION_SAMPLING)) noteSampleRip();
  if (isAsked(EMITTER_OPTION_COUNTING)) countExit(EXIT_CAUSE_INDIRECT, 0);
  returnBy(EXIT_INDIRECT, 0, false);
}

// Ways out ---------------------------------------------------------------------------------------------------------------------------

/** Leaves the region before the running instruction. */
function leave(cause: u32, ofGroup: bool): void { exitTo(instruction, cause, ofGroup); }

/** Leaves for a record of the running block. */
function exitTo(record: u32, cause: u32, ofGroup: bool): void {
  storeDirty();
  if (isAsked(EMITTER_OPTION_COUNTING)) countExit(cause, record & ~(EXIT_FAULT | EXIT_JUMP | EXIT_LIMITED));
  returnBy(record, block.delta, ofGroup);
}

/** Ends the function with the number of an exit. */
function returnBy(record: u32, delta: i32, ofGroup: bool): void {
  if (exitAt >= exitsEnd) failed = true;
  if (!failed) {
    store<u32>(exitAt + REGION_EXIT_RECORD, record | (countOf(record) << EXIT_COUNT_SHIFT));
    store<i32>(exitAt + REGION_EXIT_DELTA, delta);
    store<u32>(exitAt + REGION_EXIT_LEFT, !ofGroup ? 0 : isAsked(EMITTER_OPTION_EAGER) ? REGION_EXIT_OFTEN - 1 : 1);
    store<u32>(exitAt + REGION_EXIT_TARGET_DELTA, 0);
  }
  i32Const((exitAt - REGION_EXITS) / REGION_EXIT_BYTES);
  exitAt += REGION_EXIT_BYTES;
  exits++;
  get(LOCAL_BUDGET);
  op(WASM_RETURN);
}

/** The instructions that the jump of an exit counts, where an exit has room for them. */
function countOf(record: u32): u32 {
  if ((record & EXIT_JUMP) == 0) return 0;
  const count = <u32>load<u16>((record & ~7) + RECORD_D);
  return count < 1 << (32 - EXIT_COUNT_SHIFT) ? count : 0;
}

function countExit(cause: u32, record: u32): void {
  i32Const(cause);
  i32Const(record);
  get(LOCAL_ENTERED);
  pushCountedBudget();
  op(WASM_I32_SUB);
  if (cause == EXIT_CAUSE_JUMP) {
    // Whoever follows the jump takes its instructions from the budget, but they were executed here.
    i32Const(load<u16>(record + RECORD_D));
    op(WASM_I32_ADD);
  }
  pushRip();
  op(WASM_I32_WRAP_I64);
  i32Const(pcOf(record == 0 ? runningRecord : record));
  op(WASM_I32_ADD);
  callFunction(SUPPORT_REGION_LEFT);
}

// Edges ------------------------------------------------------------------------------------------------------------------------------

function takeFromBudget(instructions: i32): void {
  if (instructions == 0) return;
  get(LOCAL_BUDGET);
  i32Const(instructions);
  op(WASM_I32_SUB);
  set(LOCAL_BUDGET);
}

/** Goes to another block; the running instruction is the record that says so, for when the slice is used up. */
function emitEdge(to: u32, instructions: u32): void {
  const from = nodeOf(number);
  if (isBackward(from, to)) {
    flush(flagsAreDeadAt(to));
    countOrLeave(instructions);
    return goTo(to, dominates(to, from) ? nodeAt(to).label : 0);
  }
  if (isAsked(EMITTER_OPTION_SAMPLING) && (traitsOf(runningOperation) & TRAIT_CALL) != 0) leaveForSample();
  takeFromBudget(instructions);
  if (!isMerge(to) && !isLoopHead(to)) return emitNode(to);
  flush(flagsAreDeadAt(to));
  if (!isMerge(to)) return emitNode(to);
  goTo(to, nodeAt(to).label);
}

/** To a label, or through the dispatch where there is none. */
function goTo(node: u32, label: i32): void {
  if (label == 0) toEntry(node);
  else br(label);
}

/** Through the dispatch; for edges that structure cannot express. */
function toEntry(node: u32): void {
  for (let n: u32 = 0; n < entries; n++) {
    if (nodeOf(entryBlock(n)) != node) continue;
    i32Const(n);
    set(LOCAL_ENTRY);
    return br(dispatch);
  }
  if (isGivenUp()) return;
  irreducible = node - 1;
  openImports(false);
}

/** Takes instructions from the budget, or leaves the region when there are not so many left. */
function countOrLeave(instructions: u32): void {
  if (isAsked(EMITTER_OPTION_SAMPLING)) return countOrSample(instructions);
  get(LOCAL_BUDGET);
  i32Const(instructions);
  op(WASM_I32_LT_S);
  openIf();
  leave(EXIT_CAUSE_BUDGET, false);
  end();
  takeFromBudget(instructions);
}

/** The same, also when a sample is asked for: counted first, there is one comparison for both. */
function countOrSample(instructions: i32): void {
  takeFromBudget(instructions);
  get(LOCAL_BUDGET);
  pushBudgetLimit();
  op(WASM_I32_LT_S);
  openIf();
  takeFromBudget(-instructions);
  noteSampleRip();
  leave(EXIT_CAUSE_BUDGET, false);
  end();
}

/** On in the region when TARGET is a site that is likely, or, where it `searches`, any entry. */
function dispatchInside(searches: bool): void {
  get(LOCAL_BUDGET);
  pushBudgetLimit();
  op(WASM_I32_GE_S);
  openIf();
  get(LOCAL_TARGET);
  get(LOCAL_BASE);
  op(WASM_I64_SUB);
  set(LOCAL_DISTANCE);
  for (let at = block.returns; at < block.returnsEnd; at += 2) returnToSite(load<u16>(at));
  if (searches) {
    sortEntries();
    findEntry(0, entries);
  }
  end();
}

/** On at a return site when it is the one that is returned to: the processor of the host knows such a branch better than the dispatch. */
function returnToSite(site: u32): void {
  openIfAt(blockAt(site).delta);
  goTo(nodeOf(site), nodeAt(nodeOf(site)).label);
  end();
}

function openIfAt(delta: i32): void {
  get(LOCAL_DISTANCE);
  i64Const(delta);
  op(WASM_I64_EQ);
  openIf();
}

/** The numbers of the entries (u16) in WORK, in the order of their addresses. */
function sortEntries(): void {
  for (let n: u32 = 0; n < entries; n++) {
    const delta = entryDelta(n);
    let at = WORK + 2 * n;
    for (; at > WORK && entryDelta(load<u16>(at - 2)) > delta; at -= 2) store<u16>(at, load<u16>(at - 2));
    store<u16>(at, <u16>n);
  }
}
function entryDelta(entry: u32): i32 { return blockAt(entryBlock(entry)).delta; }

/** Returns and indirect jumps to an entry of the region stay in it: a binary search for the target's distance from the base. */
function findEntry(from: u32, to: u32): void {
  const middle = from + ((to - from) >> 1);
  if (to - from > 1) {
    get(LOCAL_DISTANCE);
    i64Const(entryDelta(load<u16>(WORK + 2 * middle)));
    op(WASM_I64_LT_S);
    openIf();
    findEntry(from, middle);
    otherwise();
    findEntry(middle, to);
    return end();
  }
  const entry = <u32>load<u16>(WORK + 2 * from);
  openIfAt(entryDelta(entry));
  i32Const(entry);
  set(LOCAL_ENTRY);
  br(dispatch);
  end();
}

// Samples ----------------------------------------------------------------------------------------------------------------------------

/** A call leaves the function whose code has run until now. */
function leaveForSample(): void {
  pushBudgetLimit();
  openIf();
  noteSampleRip();
  leave(EXIT_CAUSE_BUDGET, false);
  end();
}

/**
 * Pushes what the budget must not be below: 0, or SAMPLE_ASKED when a sample is asked for. No atomic load, because this one becomes a
 * part of the comparison, and seeing the other thread's store some instructions later does no harm.
 */
function pushBudgetLimit(): void {
  i32Const(0);
  if (isAsked(EMITTER_OPTION_SAMPLING)) access(WASM_I32_LOAD, <u32>cpu + SAMPLE_ASKED);
}

/** RIP of the running instruction. */
function noteSampleRip(): void {
  i32Const(0);
  get(LOCAL_BASE);
  i64Const(block.delta + pcOf(runningRecord));
  op(WASM_I64_ADD);
  access(WASM_I64_STORE, <u32>cpu + SAMPLE_RIP);
}
