// The control-flow graph of a region and what structured emission needs of it: reverse postorder, immediate dominators, which nodes
// several edges join, which are loop heads, and which registers stay in locals in small loops. Cooper, Harvey and Kennedy, "A Simple, Fast
// Dominance Algorithm" (2001); Ramsey, "Beyond Relooper" (ICFP 2022). Node 0 is the root, from which every entry is reached.
import { EMITTER_ENTRIES, OPERAND_A, OPERAND_B, OPERAND_D } from '../generated/layout';
import { GENERAL_COUNT } from './state';
import {
  Block, blockAt, Node, NODE_IN_LOOP, NODE_LOOP_HEAD, NODE_MERGE, nodeAt, ORDER, PREDECESSORS, recordOf, slotOf, SUCCESSORS, WORK,
} from './tables';

/** Loops of more instructions keep nothing for all their blocks: there are too many registers for them to stay in the host's. */
const LOOP_INSTRUCTIONS_MAX: u32 = 64;

let nodes: u32 = 0;
/** How many nodes can be reached. */
let reached: u32 = 0;
let edgesEnd: u32 = 0;

function addSuccessor(node: Node, target: u32): void {
  for (let at = node.successors; at < edgesEnd; at += 2) if (load<u16>(at) == target) return;
  store<u16>(edgesEnd, <u16>target);
  edgesEnd += 2;
}

function connect(blocks: u32, entries: u32): void {
  nodes = blocks + 1;
  edgesEnd = <u32>SUCCESSORS;
  memory.fill(changetype<usize>(nodeAt(0)), 0, nodes * offsetof<Node>());
  for (let n: u32 = 0; n < nodes; n++) {
    const node = nodeAt(n);
    node.order = -1;
    node.dominator = -1;
    node.successors = edgesEnd;
    if (n == 0) for (let entry: u32 = 0; entry < entries; entry++) addSuccessor(node, <u32>load<u16>(EMITTER_ENTRIES + 2 * entry) + 1);
    else {
      const block = blockAt(n - 1);
      for (let at = block.targets; at < block.targetsEnd; at += 4) addSuccessor(node, <u32>load<u16>(at + 2) + 1);
      for (let at = block.returns; at < block.returnsEnd; at += 2) addSuccessor(node, <u32>load<u16>(at) + 1);
    }
    node.successorsEnd = edgesEnd;
  }
}

/** Depth-first without recursion: regions may be long chains. Gives the nodes their places, from the last to the first. */
function number(): void {
  let place = nodes;
  let top = WORK;
  store<u32>(top, 0);
  store<u32>(top, nodeAt(0).successors, 4);
  nodeAt(0).order = 0; // seen
  for (;;) {
    const n = load<u32>(top);
    const next = load<u32>(top, 4);
    const node = nodeAt(n);
    if (next < node.successorsEnd) {
      store<u32>(top, next + 2, 4);
      const target = <u32>load<u16>(next);
      if (nodeAt(target).order >= 0) continue;
      nodeAt(target).order = 0;
      top += 8;
      store<u32>(top, target);
      store<u32>(top, nodeAt(target).successors, 4);
      continue;
    }
    store<u16>(ORDER + 2 * --place, <u16>n);
    if (top == WORK) break;
    top -= 8;
  }
  reached = nodes - place;
  memory.copy(ORDER, ORDER + 2 * place, 2 * reached);
  for (let position: u32 = 0; position < reached; position++) nodeAt(load<u16>(ORDER + 2 * position)).order = position;
}

/** Only of nodes that can be reached. */
function findPredecessors(): void {
  for (let position: u32 = 0; position < reached; position++) {
    const node = nodeAt(load<u16>(ORDER + 2 * position));
    for (let at = node.successors; at < node.successorsEnd; at += 2) nodeAt(load<u16>(at)).predecessorsEnd += 2;
  }
  let from = <u32>PREDECESSORS;
  for (let n: u32 = 0; n < nodes; n++) {
    const node = nodeAt(n);
    const bytes = node.predecessorsEnd;
    node.predecessors = from;
    node.predecessorsEnd = from;
    from += bytes;
  }
  for (let position: u32 = 0; position < reached; position++) {
    const n = load<u16>(ORDER + 2 * position);
    const node = nodeAt(n);
    for (let at = node.successors; at < node.successorsEnd; at += 2) {
      const target = nodeAt(load<u16>(at));
      store<u16>(target.predecessorsEnd, n);
      target.predecessorsEnd += 2;
    }
  }
}

function meet(a: i32, b: i32): i32 {
  while (a != b) {
    while (nodeAt(a).order > nodeAt(b).order) a = nodeAt(a).dominator;
    while (nodeAt(b).order > nodeAt(a).order) b = nodeAt(b).dominator;
  }
  return a;
}

function findDominators(): void {
  nodeAt(0).dominator = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let position: u32 = 1; position < reached; position++) {
      const node = nodeAt(load<u16>(ORDER + 2 * position));
      let common: i32 = -1;
      for (let at = node.predecessors; at < node.predecessorsEnd; at += 2) {
        const from: i32 = load<u16>(at);
        if (nodeAt(from).dominator >= 0) common = common < 0 ? from : meet(from, common);
      }
      if (node.dominator == common) continue;
      node.dominator = common;
      changed = true;
    }
  }
  for (let position = reached - 1; position > 0; position--) {
    const n = <u32>load<u16>(ORDER + 2 * position);
    const dominator = nodeAt(nodeAt(n).dominator);
    if (dominator.lastChild != 0) nodeAt(dominator.lastChild).nextSibling = n;
    else dominator.firstChild = n;
    dominator.lastChild = n;
  }
}

export function dominates(a: u32, b: u32): bool {
  const order = nodeAt(a).order;
  while (nodeAt(b).order > order) b = nodeAt(b).dominator;
  return a == b;
}

export function isBackward(from: u32, to: u32): bool { return nodeAt(to).order <= nodeAt(from).order; }

function classify(): void {
  for (let position: u32 = 0; position < reached; position++) {
    const n = <u32>load<u16>(ORDER + 2 * position);
    const node = nodeAt(n);
    for (let at = node.successors; at < node.successorsEnd; at += 2) {
      const target = <u32>load<u16>(at);
      if (isBackward(n, target) && dominates(target, n)) nodeAt(target).flags |= NODE_LOOP_HEAD;
    }
  }
  for (let n: u32 = 1; n < nodes; n++) if (isMerge(n)) nodeAt(n).flags |= NODE_MERGE;
}

function isMerge(n: u32): bool {
  const node = nodeAt(n);
  let forward: u32 = 0;
  for (let at = node.predecessors; at < node.predecessorsEnd; at += 2) {
    const from = <u32>load<u16>(at);
    if (from == 0) return true; // the root's switch needs a label for each of its targets
    if (!isBackward(from, n)) forward++;
  }
  return forward > 1;
}

// Small loops keep registers in locals ------------------------------------------------------------------------------------------
// Elsewhere a block loads what it reads, because memory holds the whole state at its beginning: what is carried from every block to every
// other costs the compiler of WebAssembly a value for each register at each join, and each entry of the region a load of each register.

/** Registers that the operands of a block's records may name. A constant may look like one, which costs a load. */
function usedBy(block: Block): u32 {
  let registers: u32 = 0;
  for (let n: u32 = 0; n < block.operations; n++) {
    const record = recordOf(block, n);
    registers |= registerBit(slotOf(record, OPERAND_D)) | registerBit(slotOf(record, OPERAND_A)) | registerBit(slotOf(record, OPERAND_B));
  }
  return registers;
}
function registerBit(slot: u32): u32 { return slot < GENERAL_COUNT * 8 ? 1 << (slot >> 3) : 0; }

let bodyEnd: usize = WORK;

function addToLoop(n: u32): void {
  if ((nodeAt(n).flags & NODE_IN_LOOP) != 0) return;
  nodeAt(n).flags |= NODE_IN_LOOP;
  store<u16>(bodyEnd, <u16>n);
  bodyEnd += 2;
}

/** The nodes of a natural loop. Edges that go back to what does not dominate them are the dispatch's. */
function collectLoop(head: u32): void {
  bodyEnd = WORK;
  addToLoop(head);
  const node = nodeAt(head);
  for (let at = node.predecessors; at < node.predecessorsEnd; at += 2) {
    const from = <u32>load<u16>(at);
    if (isBackward(from, head) && dominates(head, from)) addToLoop(from);
  }
  for (let at = WORK + 2; at < bodyEnd; at += 2) {
    const inside = nodeAt(load<u16>(at));
    for (let edge = inside.predecessors; edge < inside.predecessorsEnd; edge += 2) addToLoop(load<u16>(edge));
  }
}

function keepInLoop(head: u32): void {
  collectLoop(head);
  let instructions: u32 = 0;
  let used: u32 = 0;
  for (let at = WORK; at < bodyEnd; at += 2) {
    const n = <u32>load<u16>(at);
    nodeAt(n).flags &= ~NODE_IN_LOOP;
    instructions += blockAt(n - 1).instructions;
    if (instructions <= LOOP_INSTRUCTIONS_MAX) used |= usedBy(blockAt(n - 1));
  }
  if (instructions > LOOP_INSTRUCTIONS_MAX) return;
  for (let at = WORK; at < bodyEnd; at += 2) {
    const n = <u32>load<u16>(at);
    nodeAt(n).keptAt |= used;
    if (n != head) nodeAt(n).keptBefore |= used;
  }
}

export function findFlow(blocks: u32, entries: u32): void {
  connect(blocks, entries);
  number();
  findPredecessors();
  findDominators();
  classify();
  for (let n: u32 = 1; n < nodes; n++) if ((nodeAt(n).flags & NODE_LOOP_HEAD) != 0) keepInLoop(n);
}
