// What the emitter reads and keeps in memory (EMITTER_… in src/memory/memory-map.ts): the blocks of the region, its lists, and its own
// tables. Nothing is checked here: find.ts writes what fits, and src/cpu/translator/region-blocks.ts puts that back.
import {
  BLOCK_HEADER_BYTES, BLOCK_HEADER_FIRST_OP, EMITTER_BLOCKS_MAX, EMITTER_OWN, EMITTER_TABLES, EMITTER_TABLES_END, OPERATION_ACCESS,
  OPERATION_BYTES, OPERATION_PROGRAM, OPERATION_SIZE, OPERATION_TRAITS, PC_STACK, RECORD_A, RECORD_B, RECORD_BYTES, RECORD_D, RECORD_IMM,
  RECORD_PC, REGION_OP,
} from '../generated/layout';
import { OPERATIONS, PROGRAMS } from '../generated/programs';
import { delta } from './running';

/** EMITTER_BLOCK. */
@unmanaged export class Block {
  address: u32;
  operations: u32;
  delta: i32;
  instructions: u32;
  targets: u32;
  targetsEnd: u32;
  returns: u32;
  returnsEnd: u32;
}

export function blockAt(number: u32): Block {
  return changetype<Block>(EMITTER_TABLES + number * offsetof<Block>());
}

/** A node of the control-flow graph: 0 is the dispatch, block n is n + 1. */
@unmanaged export class Node {
  /** Position in reverse postorder; -1 when it cannot be reached. */
  order: i32;
  dominator: i32;
  /** Children in the dominator tree, last in reverse postorder first; 0: none. */
  firstChild: u32;
  lastChild: u32;
  nextSibling: u32;
  /** Of the enclosing loop or merge point that is the node; 0: none. */
  label: i32;
  /** Registers in their locals at its beginning, and the same without the loop whose head it is: one bit each. */
  keptAt: u32;
  keptBefore: u32;
  /** NODE bits. */
  flags: u32;
  /** Addresses of u16 lists. */
  successors: u32;
  successorsEnd: u32;
  predecessors: u32;
  predecessorsEnd: u32;
}
export const NODE_LOOP_HEAD: u32 = 1;
/** Entered by more than one forward edge. */
export const NODE_MERGE: u32 = 2;
/** Whether the block sets all flags before it looks at them is known, and so. */
export const NODE_FLAGS_KNOWN: u32 = 4;
export const NODE_FLAGS_DEAD: u32 = 8;
/** In the loop that is being looked at. */
export const NODE_IN_LOOP: u32 = 16;

const NODES: usize = EMITTER_OWN;
const NODE_COUNT: usize = EMITTER_BLOCKS_MAX + 1;
/** u16 lists. */
export const SUCCESSORS: usize = NODES + NODE_COUNT * offsetof<Node>();
/** So many edges at most: the lists that they come from are not longer. */
const EDGES_MAX: usize = 68 * 1024;
export const PREDECESSORS: usize = SUCCESSORS + 2 * EDGES_MAX;
export const ORDER: usize = PREDECESSORS + 2 * EDGES_MAX;
/** A list of nodes to look at, with a word for each. */
export const WORK: usize = ORDER + 2 * NODE_COUNT + 6;
/** Of the search for blocks (find.ts): candidates {u32 block, i32 distance from the base}, by block whether it was seen, and sites. */
export const CANDIDATES: usize = (WORK + 8 * NODE_COUNT + 7) & ~7;
export const CANDIDATES_END: usize = CANDIDATES + 8 * 4096;
export const SEEN: usize = CANDIDATES_END;
export const SITES: usize = SEEN + EMITTER_BLOCKS_MAX;
/** States that are gone back to (state.ts). */
export const SAVED_STATES: usize = SITES + 16 * EMITTER_BLOCKS_MAX;
export const SAVED_STATES_END: usize = EMITTER_TABLES_END;

export function nodeAt(number: u32): Node { return changetype<Node>(NODES + number * offsetof<Node>()); }

// Records and operations -------------------------------------------------------------------------------------------------------

export function recordOf(block: Block, number: u32): u32 { return block.address + number * RECORD_BYTES; }

/** The operation of a block's record: what a region has put in the place of the first one does not count. */
export function operationOf(block: Block, number: u32): u32 { return operationAt(block.address, number); }
export function operationAt(address: u32, number: u32): u32 {
  const operation = <u32>load<u16>(address + number * RECORD_BYTES);
  if (operation != REGION_OP || number != 0) return operation;
  return load<u16>(address - BLOCK_HEADER_BYTES + BLOCK_HEADER_FIRST_OP);
}

/** Offset of its guest instruction from the beginning of the block. */
export function pcOf(record: u32): u32 { return <u32>load<u16>(record + RECORD_PC) & (PC_STACK - 1); }
export function immediateOf(record: u32): i32 { return load<i32>(record + RECORD_IMM); }

/** Slot of an operand, by its number in OPERAND. */
export function slotOf(record: u32, operand: u32): u32 {
  return load<u16>(record + (operand == 0 ? RECORD_D : operand == 1 ? RECORD_A : RECORD_B));
}

function rowOf(operation: u32): usize { return OPERATIONS + operation * OPERATION_BYTES; }
export function programOf(operation: u32): usize { return PROGRAMS + load<u32>(rowOf(operation) + OPERATION_PROGRAM); }
/** TRAIT bits. */
export function traitsOf(operation: u32): u32 { return load<u32>(rowOf(operation) + OPERATION_TRAITS); }
/** ACCESS_KIND of what it accesses in memory, and how many bytes. */
export function accessKind(operation: u32): u32 { return load<u8>(rowOf(operation) + OPERATION_ACCESS); }
export function accessBytes(operation: u32): i32 { return load<u8>(rowOf(operation) + OPERATION_SIZE); }
