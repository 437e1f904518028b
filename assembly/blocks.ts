// Decoded blocks: finding the one for the current RIP, linking jumps, and dropping those whose code is overwritten.
// A dropped block stays in the arena with every instruction turned into STALE, so that links, jump-cache entries and the
// executor itself may still point into it. The decoder (src/cpu/x86/decoder.ts) writes blocks; src/cpu/ir/record.ts is
// their shape.

import { cpu, memberDropped } from './host'
import { stepTrap } from './debug'
import { clearFault, raiseError } from './faults'
import { deliverFault } from './interrupts'
import { translateExecute } from './paging'
import { dropWriteEntries, flushTlb } from './tlb'
import {
  BLOCK_HASH, BLOCK_HASH_COUNT, BLOCK_HEADER_BYTES, BLOCK_HEADER_GUEST_BYTES, BLOCK_HEADER_HASH_NEXT, BLOCK_HEADER_KEY,
  BLOCK_HEADER_MEMBER, BLOCK_HEADER_PAGE_NEXT,
  BLOCK_HEADER_PHYSICAL, BLOCK_HEADER_PHYSICAL2, BLOCK_HEADER_RECORDS, BLOCK_HEADER_SECOND_NEXT, COUNT_CODE_DROP,
  COUNT_CODE_WRITE, COUNT_JUMP_CACHE_MISS, CR2, CS_BASE, CS_LIMIT, EXIT_DECODE, EXIT_DETAIL, EXIT_REASON, EXIT_SHUTDOWN, FAULT_VECTOR,
  JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_BYTES, JUMP_CACHE_OFFSET, JUMP_CACHE_TARGET,
  MODE_BITS, MODE_KEY, PAGE_BLOCKS, PAGE_CODE_BITMAP, PHYS_CODE,
  PHYS_MAP, RECORD_BYTES,
  A_BRANCH, PC_STACK, RECORD_A, RECORD_IMM, RECORD_IMM2, RECORD_OP, RECORD_PC, PENDING_STEP, RIP, STALE_OP, ZERO, TLB_ENTRIES,
  TLB_ENTRY_BYTES, TLB_EXECUTE,
} from './generated/layout'

const NO_PAGE: u32 = 0xffffffff;
const MODE_MASK: u32 = (1 << MODE_BITS) - 1;
/** Memory cell with the first block that continues in a second page: a list head like those of PAGE_BLOCKS. */
const secondPageBlocks: usize = memory.data(4, 4);

// @ts-ignore: decorator
@inline function header(block: u32, field: u32): usize { return block - BLOCK_HEADER_BYTES + field; }

// @ts-ignore: decorator
@inline function hashSlot(physical: u32, key: u32): usize {
  return BLOCK_HASH + (((physical ^ (physical >>> 15) ^ (key << 4)) & (BLOCK_HASH_COUNT - 1)) << 2);
}

function count(field: u32): void { store<u64>(cpu + field, load<u64>(cpu + field) + 1); }

/** Linear address of the current RIP, or raises #GP(0) when it is outside the code segment. */
function linearRip(): u64 {
  const rip = load<u64>(cpu + RIP);
  if ((load<u32>(cpu + MODE_KEY) & 3) == 2) return rip;
  if (rip > load<u32>(cpu + CS_LIMIT)) raiseError(13, 0);
  return (load<u64>(cpu + CS_BASE) + rip) & 0xffffffff;
}

/** The first block at a guest-physical address under MODE bits whose code has not been overwritten; 0 when there is none. */
export function firstBlockAt(physical: u32, key: u32): u32 {
  let block = load<u32>(hashSlot(physical, key));
  for (; block != 0; block = load<u32>(header(block, BLOCK_HEADER_HASH_NEXT))) {
    if (load<u32>(header(block, BLOCK_HEADER_PHYSICAL)) != physical || load<u32>(header(block, BLOCK_HEADER_KEY)) != key) continue;
    if (load<u16>(block) != STALE_OP) break;
  }
  return block;
}

function findBlock(physical: u32, key: u32, linear: u64): u32 {
  let block = load<u32>(hashSlot(physical, key));
  while (block != 0) {
    if (load<u32>(header(block, BLOCK_HEADER_PHYSICAL)) == physical && load<u32>(header(block, BLOCK_HEADER_KEY)) == key) {
      const second = load<u32>(header(block, BLOCK_HEADER_PHYSICAL2));
      if (second == NO_PAGE) return block;
      const found = translateExecute((linear & ~0xfff) + 4096);
      if (load<i32>(cpu + FAULT_VECTOR) >= 0) return 0;
      if (<u32>found == second) return block;
    }
    block = load<u32>(header(block, BLOCK_HEADER_HASH_NEXT));
  }
  return 0;
}

/**
 * A jump-cache entry of an older TLB generation is good again when the execute TLB maps its page as it did then. After a
 * change of CR3 most are: the kernel's pages are global. Returns the block, or 0 to look it up in full.
 */
function refresh(cached: usize, rip: u64, key: u32): u32 {
  const block = load<u32>(cached, 8);
  if (load<u64>(cached) != rip || ((load<u32>(cached, 12) ^ key) & MODE_MASK) != 0 || block == 0) return 0;
  const linear = (key & 3) == 2 ? rip : (load<u64>(cpu + CS_BASE) + rip) & 0xffffffff;
  const entry = load<u32>(cpu + TLB_EXECUTE) + ((<u32>(linear >> 12)) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
  if (load<u64>(entry) != (linear & ~(<u64>0xfff))) return 0;
  const physical = load<u32>(entry, 12) | (<u32>linear & 0xfff);
  if (load<u32>(header(block, BLOCK_HEADER_PHYSICAL)) != physical || load<u32>(header(block, BLOCK_HEADER_PHYSICAL2)) != NO_PAGE) return 0;
  if (load<u16>(block + RECORD_OP) == <u16>STALE_OP || load<u32>(header(block, BLOCK_HEADER_KEY)) != (key & MODE_MASK)) return 0;
  store<u32>(cached, key, 12);
  return block;
}

/**
 * The block at the current RIP. Faults of the instruction fetch are delivered on the way. Returns 0 with exitReason set
 * when there is none yet (EXIT_DECODE, exitDetail its guest-physical address) or the CPU has shut down.
 */
export function lookup(): u32 {
  for (let attempt = 0; attempt < 8; attempt++) {
    const rip = load<u64>(cpu + RIP);
    const key = load<u32>(cpu + MODE_KEY);
    const cached = cpu + JUMP_CACHE_OFFSET + ((<u32>rip ^ <u32>(rip >> 12)) & (JUMP_CACHE_ENTRIES - 1)) * JUMP_CACHE_ENTRY_BYTES;
    if (load<u64>(cached) == rip && load<u32>(cached, 12) == key) return load<u32>(cached, 8);
    const known = refresh(cached, rip, key);
    if (known != 0) return known;
    count(COUNT_JUMP_CACHE_MISS);
    const cr2 = load<u64>(cpu + CR2);
    const linear = linearRip();
    let physical: i64 = -1;
    if (load<i32>(cpu + FAULT_VECTOR) < 0) physical = translateExecute(linear);
    if (load<i32>(cpu + FAULT_VECTOR) < 0) {
      const block = findBlock(<u32>physical, key & MODE_MASK, linear);
      if (block != 0) {
        store<u64>(cached, rip);
        store<u32>(cached, block, 8);
        store<u32>(cached, key, 12);
        store<u32>(cached, 0, JUMP_CACHE_TARGET);
        return block;
      }
      if (load<i32>(cpu + FAULT_VECTOR) < 0) {
        store<u32>(cpu + EXIT_REASON, EXIT_DECODE);
        store<u32>(cpu + EXIT_DETAIL, <u32>physical);
        return 0;
      }
    }
    store<u32>(cpu + EXIT_REASON, 0);
    deliverFetchFault(cr2);
    if (load<u32>(cpu + EXIT_REASON) == EXIT_SHUTDOWN) return 0;
  }
  store<u32>(cpu + EXIT_REASON, 0);
  return 0;
}

/** A fetch has raised a fault, which is pending; `cr2` is what CR2 was before. The trap of the instruction before comes first. */
export function deliverFetchFault(cr2: u64): void {
  if (load<u32>(cpu + PENDING_STEP) != 0) {
    store<u32>(cpu + PENDING_STEP, 0);
    store<u64>(cpu + CR2, cr2);
    clearFault();
    stepTrap(cpu + ZERO, cpu + ZERO, cpu + ZERO, 0);
  }
  deliverFault();
}

/** The jump cache may still lead from this RIP to a block that was dropped: forget that. */
export function forgetRip(): void {
  const rip = load<u64>(cpu + RIP);
  store<u32>(cpu + JUMP_CACHE_OFFSET + ((<u32>rip ^ <u32>(rip >> 12)) & (JUMP_CACHE_ENTRIES - 1)) * JUMP_CACHE_ENTRY_BYTES, 0, 12);
}

/** After a jump record has moved RIP: the block to go on with, or 0 to leave. Links jumps inside a page for good. */
export function followJump(record: u32): u32 {
  const target = load<u64>(cpu + RIP);
  if (target > load<u32>(cpu + CS_LIMIT) && (load<u16>(record + RECORD_A) & A_BRANCH) != 0 && (load<u32>(cpu + MODE_KEY) & 3) != 2) {
    return branchBeyondLimit(record, target);
  }
  const block = lookup();
  if (block == 0 || load<u64>(cpu + RIP) != target) return block;
  const source = (target - <i64>load<i32>(record + RECORD_IMM)) & (~(<u64>0) >> <u64>(load<u16>(record + RECORD_A) & 63));
  const base = (load<u32>(cpu + MODE_KEY) & 3) == 2 ? 0 : load<u64>(cpu + CS_BASE);
  const samePage = ((source + base) ^ (target + base)) >> 12 == 0;
  if (samePage && load<u32>(header(block, BLOCK_HEADER_PHYSICAL2)) == NO_PAGE) store<u32>(record + RECORD_IMM2, block);
  return block;
}

/** The fault is that of the branch, not of what it leads to. */
function branchBeyondLimit(record: u32, target: u64): u32 {
  const start = (target - <i64>load<i32>(record + RECORD_IMM)) & (~(<u64>0) >> <u64>(load<u16>(record + RECORD_A) & 63));
  store<u64>(cpu + RIP, start + (load<u16>(record + RECORD_PC) & (PC_STACK - 1)));
  raiseError(13, 0);
  store<u32>(cpu + EXIT_REASON, 0);
  deliverFault();
  return load<u32>(cpu + EXIT_REASON) == EXIT_SHUTDOWN ? 0 : lookup();
}

function markCode(physical: u32, bytes: u32): void {
  const page = physical >>> 12;
  const first = (physical & 4095) >>> 6, last = ((physical & 4095) + bytes - 1) >>> 6;
  const bitmap = PAGE_CODE_BITMAP + (page << 3);
  let bits = load<u64>(bitmap);
  for (let chunk = first; chunk <= last && chunk < 64; chunk++) bits |= (<u64>1) << chunk;
  store<u64>(bitmap, bits);
  const entry = PHYS_MAP + (page << 2);
  const flags = load<u32>(entry);
  if ((flags & PHYS_CODE) == 0) {
    store<u32>(entry, flags | PHYS_CODE);
    dropWriteEntries(page << 12);
  }
}

/** Makes a block that the decoder has written findable, and its pages watched. */
export function insertBlock(block: u32): void {
  const physical = load<u32>(header(block, BLOCK_HEADER_PHYSICAL));
  const slot = hashSlot(physical, load<u32>(header(block, BLOCK_HEADER_KEY)));
  store<u32>(header(block, BLOCK_HEADER_HASH_NEXT), load<u32>(slot));
  store<u32>(slot, block);
  const page = PAGE_BLOCKS + (physical >>> 12 << 2);
  store<u32>(header(block, BLOCK_HEADER_PAGE_NEXT), load<u32>(page));
  store<u32>(page, block);
  const bytes = <u32>load<u16>(header(block, BLOCK_HEADER_GUEST_BYTES));
  const inFirst = min<u32>(bytes, 4096 - (physical & 4095));
  markCode(physical, max<u32>(inFirst, 1));
  const second = load<u32>(header(block, BLOCK_HEADER_PHYSICAL2));
  if (second != NO_PAGE) {
    store<u32>(header(block, BLOCK_HEADER_SECOND_NEXT), load<u32>(secondPageBlocks));
    store<u32>(secondPageBlocks, block);
    markCode(second, max<u32>(bytes - inFirst, 1));
  }
}

/** Every instruction of the block becomes STALE, so that whoever is in it leaves at the next instruction. */
function poison(block: u32): void {
  if (load<u16>(header(block, BLOCK_HEADER_MEMBER)) != 0) memberDropped(block);
  const records = load<u32>(header(block, BLOCK_HEADER_RECORDS));
  let previous: u32 = NO_PAGE;
  for (let i: u32 = 0; i < records; i++) {
    const record = block + i * RECORD_BYTES;
    const pc = <u32>load<u16>(record + RECORD_PC) & (PC_STACK - 1);
    if (pc != previous) store<u16>(record + RECORD_OP, <u16>STALE_OP);
    previous = pc;
  }
  count(COUNT_CODE_DROP);
}

function unhash(block: u32): void {
  let link = hashSlot(load<u32>(header(block, BLOCK_HEADER_PHYSICAL)), load<u32>(header(block, BLOCK_HEADER_KEY)));
  while (load<u32>(link) != 0) {
    if (load<u32>(link) == block) {
      store<u32>(link, load<u32>(header(block, BLOCK_HEADER_HASH_NEXT)));
      return;
    }
    link = header(load<u32>(link), BLOCK_HEADER_HASH_NEXT);
  }
}

/** Unlinks from a page's list (whose links lie in `nextField`) the blocks that overlap [start, end). */
function dropFrom(listHead: usize, nextField: u32, page: u32, start: u32, end: u32): void {
  let link = listHead;
  while (load<u32>(link) != 0) {
    const block = load<u32>(link);
    const physical = load<u32>(header(block, BLOCK_HEADER_PHYSICAL));
    const bytes = <u32>load<u16>(header(block, BLOCK_HEADER_GUEST_BYTES));
    const inFirst = 4096 - (physical & 4095);
    const second = nextField == BLOCK_HEADER_SECOND_NEXT;
    const from: u32 = second ? 0 : physical & 4095;
    const to: u32 = second ? bytes - inFirst : min<u32>(from + bytes, 4096);
    const here = second ? load<u32>(header(block, BLOCK_HEADER_PHYSICAL2)) >>> 12 == page : true;
    if (here && start < to && end > from) {
      poison(block);
      unhash(block);
      store<u32>(link, load<u32>(header(block, nextField)));
    } else link = header(block, nextField);
  }
}

/** `size` bytes at a guest-physical address in a page with code have been written (at most to the end of the page). */
export function codeWritten(physical: u32, size: u32): void {
  const page = physical >>> 12;
  const start = physical & 4095, end = min<u32>(start + size, 4096);
  count(COUNT_CODE_WRITE);
  const bits = load<u64>(PAGE_CODE_BITMAP + (page << 3));
  let touched = false;
  for (let chunk = start >>> 6; chunk <= (end - 1) >>> 6; chunk++) if (((bits >> chunk) & 1) != 0) touched = true;
  if (!touched) return;
  dropFrom(PAGE_BLOCKS + (page << 2), BLOCK_HEADER_PAGE_NEXT, page, start, end);
  dropFrom(secondPageBlocks, BLOCK_HEADER_SECOND_NEXT, page, start, end);
  if (load<u32>(PAGE_BLOCKS + (page << 2)) == 0 && !continuesInto(page)) {
    store<u64>(PAGE_CODE_BITMAP + (page << 3), 0);
    const entry = PHYS_MAP + (page << 2);
    store<u32>(entry, load<u32>(entry) & ~PHYS_CODE);
  }
}

function continuesInto(page: u32): bool {
  for (let block = load<u32>(secondPageBlocks); block != 0; block = load<u32>(header(block, BLOCK_HEADER_SECOND_NEXT)))
    if (load<u32>(header(block, BLOCK_HEADER_PHYSICAL2)) >>> 12 == page) return true;
  return false;
}

/** Forgets every block: the arena starts again. Costs a walk over the hash and the pages that had code. */
export function flushBlocks(): void {
  for (let i: u32 = 0; i < BLOCK_HASH_COUNT; i++) {
    let block = load<u32>(BLOCK_HASH + (i << 2));
    while (block != 0) {
      clearPage(load<u32>(header(block, BLOCK_HEADER_PHYSICAL)) >>> 12);
      const second = load<u32>(header(block, BLOCK_HEADER_PHYSICAL2));
      if (second != NO_PAGE) clearPage(second >>> 12);
      block = load<u32>(header(block, BLOCK_HEADER_HASH_NEXT));
    }
    store<u32>(BLOCK_HASH + (i << 2), 0);
  }
  store<u32>(secondPageBlocks, 0);
  // Not only a new generation: `refresh` would take up entries whose blocks the arena no longer has.
  memory.fill(cpu + JUMP_CACHE_OFFSET, 0, JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_BYTES);
  flushTlb();
}

function clearPage(page: u32): void {
  store<u32>(PAGE_BLOCKS + (page << 2), 0);
  store<u64>(PAGE_CODE_BITMAP + (page << 3), 0);
  const entry = PHYS_MAP + (page << 2);
  store<u32>(entry, load<u32>(entry) & ~PHYS_CODE);
}
