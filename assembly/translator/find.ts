// Chooses the blocks of a region: from a block that is executed often, along its jumps, calls and fall-throughs, to others that have been
// executed, until enough instructions are together. Reads decoded blocks; writes them, with where they lead, to EMITTER_TABLES.
import { cpu } from '../host';
import { firstBlockAt } from '../blocks';
import {
  BLOCK_HEADER_BYTES, BLOCK_HEADER_COUNT, BLOCK_HEADER_INSTRUCTIONS, BLOCK_HEADER_KEY, BLOCK_HEADER_MEMBER, BLOCK_HEADER_PHYSICAL,
  BLOCK_HEADER_PHYSICAL2, BLOCK_HEADER_RECORDS, CONTINUE_OP, CS_BASE, EMITTER_BLOCKS_MAX, EMITTER_ENTRIES, EMITTER_LISTS,
  EMITTER_LISTS_BYTES, EMITTER_PAGES, JUMP_OP, MODE_CODE_SIZE, OPERAND_A, RECORD_BYTES, REGION_PAGES_MAX, SITES_MAX, TRAIT_CALL,
  TRAIT_INTERPRETED, TRAIT_RETURN,
} from '../generated/layout';
import { mappedPage } from '../regions';
import {
  Block, blockAt, CANDIDATES, CANDIDATES_END, immediateOf, operationAt, operationOf, pcOf, recordOf, SEEN, SITES, slotOf, traitsOf, WORK,
} from './tables';

const NO_BLOCK: u32 = 0xffffffff;

/** RIP of the base: the first instruction of the block that the region is made around; its offset in its page. */
let base: u64 = 0;
let baseOffset: i32 = 0;
let key: u32 = 0;
let minimum: u32 = 0;
let blocks: u32 = 0;
let instructions: u32 = 0;
let pages: u32 = 0;
let entries: u32 = 0;
/** Where the next list goes. */
let list: u32 = 0;

export function foundInstructions(): u32 { return instructions; }
export function foundPages(): u32 { return pages; }
export function foundEntries(): u32 { return entries; }
/** End of the lists behind EMITTER_LISTS. */
export function foundListsEnd(): u32 { return list; }

/**
 * The region around `seed`, which was executed at `rip`: how many blocks it has, 0 when its first instruction is the interpreter's or it
 * does not fit. Blocks executed less often than `minimumCount` stay outside.
 */
export function findRegion(
  seed: u32, rip: u64, minimumCount: u32, instructionsMax: u32, blocksMax: u32, copiedMax: u32,
): u32 {
  base = rip;
  key = load<u32>(headerOf(seed) + BLOCK_HEADER_KEY);
  minimum = minimumCount;
  const physical = load<u32>(headerOf(seed) + BLOCK_HEADER_PHYSICAL);
  baseOffset = physical & 0xfff;
  blocks = instructions = pages = entries = 0;
  list = EMITTER_LISTS;
  addPage(0, physical & ~0xfff);
  collect(seed, instructionsMax, min(blocksMax, EMITTER_BLOCKS_MAX), copiedMax);
  if (blocks == 0 || blockAt(0).operations == 0 || !writeTargets()) return 0;
  findReturns();
  findEntries();
  for (let n: u32 = 0; n < blocks; n++) store<u16>(headerOf(blockAt(n).address) + BLOCK_HEADER_MEMBER, 1);
  return blocks;
}

function headerOf(block: u32): u32 { return block - BLOCK_HEADER_BYTES; }
function executions(block: u32): u32 { return load<u32>(headerOf(block) + BLOCK_HEADER_COUNT); }
function isMember(block: u32): bool { return load<u16>(headerOf(block) + BLOCK_HEADER_MEMBER) != 0; }

// Candidates, those that are executed most often first ---------------------------------------------------------------------------------

let first: usize = CANDIDATES;
let last: usize = CANDIDATES;

function addCandidate(delta: i32): void {
  const block = blockAtDelta(delta);
  const count: u32 = block == 0 ? 0 : executions(block);
  if (count < minimum || last == CANDIDATES_END) return;
  let at = last;
  for (; at > first && executions(load<u32>(at - 8)) < count; at -= 8) store<u64>(at, load<u64>(at - 8));
  store<u32>(at, block);
  store<i32>(at + 4, delta);
  last += 8;
}

function collect(seed: u32, instructionsMax: u32, blocksMax: u32, copiedMax: u32): void {
  let copied: u32 = 0;
  first = CANDIDATES;
  last = CANDIDATES + 8;
  store<u32>(first, seed);
  store<i32>(first + 4, 0);
  for (; first < last && blocks < blocksMax; first += 8) {
    const address = load<u32>(first);
    const delta = load<i32>(first + 4);
    if (numberAt(delta) != NO_BLOCK || !takePages(address, delta)) continue;
    const size = <u32>load<u16>(headerOf(address) + BLOCK_HEADER_INSTRUCTIONS);
    const operations = countOperations(address);
    if (instructions + size > instructionsMax || (operations == 0 && blocks > 0)) continue;
    if (blocks > 0 && isMember(address)) {
      copied += size;
      if (copied > copiedMax) continue;
    }
    const block = addBlock(address, delta, operations, size);
    first += 8; // candidates of its own may come before all others
    addTargets(block);
    first -= 8;
  }
}

function addBlock(address: u32, delta: i32, operations: u32, size: u32): Block {
  const block = blockAt(blocks++);
  block.address = address;
  block.operations = operations;
  block.delta = delta;
  block.instructions = size;
  instructions += size;
  return block;
}

/** The number of the block at a distance from the base. */
function numberAt(delta: i32): u32 {
  for (let n: u32 = 0; n < blocks; n++) if (blockAt(n).delta == delta) return n;
  return NO_BLOCK;
}

function addTargets(block: Block): void {
  for (let n: u32 = 0; n < block.operations; n++) if (findJumpTarget(block, n)) addCandidate(target);
  if (findReturnSite(block)) addCandidate(target);
}

/** Records before the first instruction that only the interpreter executes. */
function countOperations(address: u32): u32 {
  const records = load<u32>(headerOf(address) + BLOCK_HEADER_RECORDS);
  let instruction: u32 = 0;
  let pc: u32 = NO_BLOCK;
  for (let n: u32 = 0; n < records; n++) {
    const at = pcOf(address + n * RECORD_BYTES);
    if (at != pc) {
      instruction = n;
      pc = at;
    }
    if ((traitsOf(operationAt(address, n)) & TRAIT_INTERPRETED) != 0) return instruction;
  }
  return records;
}

// Where blocks lead ----------------------------------------------------------------------------------------------------------------------

/** Distance from the base of what was found last. */
let target: i32 = 0;

/** Whether a record is a jump, and leads to a place that can be in a region: not around the end of the address space. */
function findJumpTarget(block: Block, number: u32): bool {
  const operation = operationOf(block, number);
  if (operation != JUMP_OP && operation != CONTINUE_OP) return false;
  const record = recordOf(block, number);
  const distance = <i64>block.delta + immediateOf(record);
  const mask = <u64>(-1) >> (slotOf(record, OPERAND_A) & 63);
  const isBelow = distance < 0 && base < <u64>(-distance);
  const address = base + <u64>distance;
  if (distance != <i32>distance || isBelow || address > mask || (distance > 0 && address < base)) return false;
  target = <i32>distance;
  return true;
}

/** Whether the block ends with a call, and where that comes back to. */
function findReturnSite(block: Block): bool {
  for (let n: i32 = block.operations - 1; n >= 0; n--) {
    if ((traitsOf(operationOf(block, n)) & TRAIT_CALL) == 0) continue;
    const site = <i64>block.delta + immediateOf(recordOf(block, n));
    target = <i32>site;
    return site == target;
  }
  return false;
}

function hasReturn(block: Block): bool {
  for (let n: u32 = 0; n < block.operations; n++) if ((traitsOf(operationOf(block, n)) & TRAIT_RETURN) != 0) return true;
  return false;
}

/** Address of the block at a distance from the base; 0 when none is decoded there. */
function blockAtDelta(delta: i32): u32 {
  const offset = baseOffset + delta;
  const page = physicalPage(offset & ~0xfff);
  if (page == NO_PAGE) return 0;
  return firstBlockAt(page | (offset & 0xfff), key);
}

// Pages --------------------------------------------------------------------------------------------------------------------------------

const NO_PAGE: u32 = 0xffffffff;

function addPage(delta: i32, physical: u32): void {
  store<i32>(EMITTER_PAGES + 8 * pages, delta);
  store<u32>(EMITTER_PAGES + 8 * pages + 4, physical);
  pages++;
}

/** Guest-physical address of one of the region's pages, by its distance from the base's; NO_PAGE when it has none there. */
function knownPage(delta: i32): u32 {
  for (let n: u32 = 0; n < pages; n++) if (load<i32>(EMITTER_PAGES + 8 * n) == delta) return load<u32>(EMITTER_PAGES + 8 * n + 4);
  return NO_PAGE;
}

/** Guest-physical page at a distance from the base's page, where code may be fetched from it. */
function physicalPage(delta: i32): u32 {
  const known = knownPage(delta);
  if (known != NO_PAGE) return known;
  const code64 = (key & MODE_CODE_SIZE) == 2;
  let linear = ((base + (code64 ? 0 : load<u64>(cpu + CS_BASE))) & ~0xfff) + <i64>delta;
  if (!code64) linear &= 0xffffffff;
  const physical = <u32>mappedPage(linear);
  return (physical & 1) != 0 ? NO_PAGE : physical;
}

/** Notes the pages of a block; false when they are not mapped as its code expects, or there would be too many. */
function takePages(address: u32, delta: i32): bool {
  const page = (baseOffset + delta) & ~0xfff;
  const physical = load<u32>(headerOf(address) + BLOCK_HEADER_PHYSICAL) & ~0xfff;
  const second = load<u32>(headerOf(address) + BLOCK_HEADER_PHYSICAL2);
  if (physicalPage(page) != physical || (second != NO_PAGE && physicalPage(page + 0x1000) != (second & ~0xfff))) return false;
  const addsFirst = knownPage(page) == NO_PAGE;
  const addsSecond = second != NO_PAGE && knownPage(page + 0x1000) == NO_PAGE;
  if (pages + (addsFirst ? 1 : 0) + (addsSecond ? 1 : 0) > REGION_PAGES_MAX) return false;
  if (addsFirst) addPage(page, physical);
  if (addsSecond) addPage(page + 0x1000, second & ~0xfff);
  return true;
}

// Lists --------------------------------------------------------------------------------------------------------------------------------

/** The jumps of each block to others of the region; false when they do not fit. */
function writeTargets(): bool {
  for (let n: u32 = 0; n < blocks; n++) {
    const block = blockAt(n);
    block.targets = list;
    for (let record: u32 = 0; record < block.operations; record++) {
      if (!findJumpTarget(block, record)) continue;
      const to = numberAt(target);
      if (to == NO_BLOCK) continue;
      if (list + 4 > LISTS_END) return false;
      store<u16>(list, <u16>record);
      store<u16>(list + 2, <u16>to);
      list += 4;
    }
    block.targetsEnd = list;
  }
  return list + blocks * SITES_MAX * 2 <= LISTS_END;
}
const LISTS_END: u32 = EMITTER_LISTS + EMITTER_LISTS_BYTES;

/** By block: the number of the one behind the call at its end (NO_SITE: none, or outside); how many sites its return has; those. */
function siteBehind(block: u32): u32 { return load<u16>(SITES + 16 * block); }
const NO_SITE: u32 = 0xffff;

/**
 * Where the returns of the region lead: to the sites behind those of its calls from which the return is reached, those of the region's
 * first blocks first. More than SITES_MAX are found by a search over all entries as fast; a block with so many may have more.
 */
function findReturns(): void {
  for (let n: u32 = 0; n < blocks; n++) {
    const site = findReturnSite(blockAt(n)) ? numberAt(target) : NO_BLOCK;
    store<u16>(SITES + 16 * n, <u16>(site == NO_BLOCK ? NO_SITE : site));
    store<u16>(SITES + 16 * n, 0, 2);
  }
  for (let n: u32 = 0; n < blocks; n++) if (siteBehind(n) != NO_SITE) noteSite(n, siteBehind(n));
  for (let n: u32 = 0; n < blocks; n++) {
    const count = <u32>load<u16>(SITES + 16 * n, 2);
    memory.copy(list, SITES + 16 * n + 4, 2 * count);
    blockAt(n).returns = list;
    list += 2 * count;
    blockAt(n).returnsEnd = list;
  }
}

/** The call at the end of a block has `site` behind it: the returns from the function that begins where the block leads. */
function noteSite(caller: u32, site: u32): void {
  let end = WORK;
  memory.fill(SEEN, 0, blocks);
  end = reachTargets(caller, end);
  for (let at = WORK; at < end; at += 2) {
    const n = <u32>load<u16>(at);
    if (hasReturn(blockAt(n))) addSite(n, site);
    const behind = siteBehind(n); // what a function calls is passed over
    end = behind == NO_SITE ? reachTargets(n, end) : reach(behind, end);
  }
}

function reachTargets(block: u32, end: usize): usize {
  const from = blockAt(block);
  for (let at = from.targets; at < from.targetsEnd; at += 4) end = reach(load<u16>(at + 2), end);
  return end;
}
function reach(block: u32, end: usize): usize {
  if (load<u8>(SEEN + block) != 0) return end;
  store<u8>(SEEN + block, 1);
  store<u16>(end, <u16>block);
  return end + 2;
}

function addSite(block: u32, site: u32): void {
  const row = SITES + 16 * block;
  const count = <u32>load<u16>(row, 2);
  for (let n: u32 = 0; n < count; n++) if (load<u16>(row + 4 + 2 * n) == site) return;
  if (count == SITES_MAX) return;
  store<u16>(row + 4 + 2 * count, <u16>site);
  store<u16>(row, <u16>(count + 1), 2);
}

// Entries --------------------------------------------------------------------------------------------------------------------------------

/** The first block, return sites, loop heads: in this order, each once. */
function findEntries(): void {
  addEntry(0);
  for (let n: u32 = 0; n < blocks; n++) if (siteBehind(n) != NO_SITE) addEntry(siteBehind(n));
  addLoopHeads();
}

function addEntry(block: u32): void {
  for (let n: u32 = 0; n < entries; n++) if (load<u16>(EMITTER_ENTRIES + 2 * n) == block) return;
  store<u16>(EMITTER_ENTRIES + 2 * entries++, <u16>block);
}

const ON_PATH: u8 = 1;
const DONE: u8 = 2;

/** Targets of edges that go back in depth-first order. */
function addLoopHeads(): void {
  memory.fill(SEEN, 0, blocks);
  for (let root: u32 = 0; root < blocks; root++) if (load<u8>(SEEN + root) == 0) searchLoops(root);
}

function searchLoops(root: u32): void {
  let top = enterBlock(WORK, root);
  while (top > WORK) {
    const block = load<u32>(top - 8);
    const left = load<u32>(top - 4); // where its targets end that have not been looked at
    if (left == blockAt(block).targets) {
      store<u8>(SEEN + block, DONE);
      top -= 8;
      continue;
    }
    store<u32>(top - 4, left - 4);
    const to = <u32>load<u16>(left - 2);
    const state = load<u8>(SEEN + to);
    if (state == ON_PATH) addEntry(to);
    else if (state == 0) top = enterBlock(top, to);
  }
}

function enterBlock(top: usize, block: u32): usize {
  store<u8>(SEEN + block, ON_PATH);
  store<u32>(top, block);
  store<u32>(top + 4, blockAt(block).targetsEnd);
  return top + 8;
}
