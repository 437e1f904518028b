// The software TLBs: filling, looking up and dropping entries, and the generation that guards the jump cache.
// Not here: page walks (paging.ts). Entry layout and sizes: src/memory/memory-map.ts.
// A flush touches only what was filled since the last one: each table keeps a log of the slots it filled, apart for global
// and other pages, so that a change of CR3 costs a few hundred stores and keeps the kernel's global pages.
import { cpu } from './host';
import {
  COUNT_TLB_COLD, COUNT_TLB_CONFLICT, COUNT_TLB_FILL, COUNT_TLB_FLUSH, COUNT_TLB_FLUSHED,
  EMPTY_TLB_OFFSET, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_BYTES, JUMP_CACHE_OFFSET, MMU_INDEX_COUNT,
  MODE_BITS, MODE_KEY,
  TLB_BYTES, TLB_ENTRIES, TLB_ENTRY_BYTES, TLB_KIND_COUNT, TLB_KIND_EXECUTE,
  TLB_KIND_WRITE, TLB_OFFSET, MMU_INDEX_USER, MODE_USER, REGION_RECORD_BYTES, REGION_RECORD_KEY, REGION_SLOTS, REGION_TABLE,
} from './generated/layout';
import { count } from './registers';

export const PAGE_MASK: u64 = 0xfffffffffffff000;
const GENERATION_MASK: u32 = (1 << (32 - MODE_BITS)) - 1;
const TABLE_COUNT: u32 = MMU_INDEX_COUNT * TLB_KIND_COUNT;
const LOG_OFFSET: u32 = TLB_OFFSET + TABLE_COUNT * TLB_BYTES;
const LOG_SLOTS: u32 = 2048;
const LOG_BYTES: u32 = LOG_SLOTS * 2;
/** Slots logged per table: [table][0: other, 1: global] as u32; above LOG_SLOTS the log is of no use. */
const logCounts: usize = memory.data(72, 8);
/** Hash sets of 2 MiB (4 MiB without PAE) and 1 GiB regions that have entries from large pages: one bit a region. */
const LARGE_BITS: u32 = 4096;
const largeRegions: usize = memory.data(512, 4);
const hugeRegions: usize = memory.data(512, 4);

// @ts-ignore: decorator
@inline export function tlbTable(index: u32, kind: u32): usize { return cpu + TLB_OFFSET + (index * TLB_KIND_COUNT + kind) * TLB_BYTES; }
// @ts-ignore: decorator
@inline export function tlbEntry(table: usize, linear: u64): usize {
  return table + ((<u32>(linear >> 12)) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
}
// @ts-ignore: decorator
@inline export function tlbHits(entry: usize, linear: u64): bool { return load<u64>(entry) == (linear & PAGE_MASK); }
// @ts-ignore: decorator
@inline export function tlbHost(entry: usize, linear: u64): usize { return load<u32>(entry, 8) | (<u32>linear & 0xfff); }
// @ts-ignore: decorator
@inline export function tlbPhysical(entry: usize, linear: u64): u32 { return load<u32>(entry, 12) | (<u32>linear & 0xfff); }

function regionBit(linear: u64, shift: u32): u32 {
  const region = <u32>(linear >> shift);
  return (region ^ (region >> 12)) & (LARGE_BITS - 1);
}
function markRegion(set: usize, bit: u32): void {
  const word = set + ((bit >> 5) << 2);
  store<u32>(word, load<u32>(word) | (<u32>1 << (bit & 31)));
}
function hasRegion(set: usize, bit: u32): bool { return ((load<u32>(set + ((bit >> 5) << 2)) >> (bit & 31)) & 1) != 0; }

/** What an empty place holds: a page that belongs in the one beside it. */
// @ts-ignore: decorator
@inline function emptyTag(slot: u32): u64 { return <u64>(slot ^ 1) << 12; }
function isEmpty(table: usize, entry: usize): bool { return load<u64>(entry) == emptyTag(<u32>(entry - table) / TLB_ENTRY_BYTES); }
function empty(table: usize, slot: u32): void { store<u64>(table + slot * TLB_ENTRY_BYTES, emptyTag(slot)); }

/** Why the entry was not there: another page has its place, it was there until a flush, or neither. */
function countCause(table: usize, entry: usize, physicalPage: u32): void {
  if (!isEmpty(table, entry)) count(COUNT_TLB_CONFLICT);
  else if (load<u32>(entry, 12) == physicalPage) count(COUNT_TLB_FLUSHED);
  else count(COUNT_TLB_COLD);
}

/** Adds a translation. `pageShift` is 12 or that of the large page it is a piece of. */
export function tlbFill(index: u32, kind: u32, linear: u64, hostPage: u32, physicalPage: u32, global: bool, pageShift: u32): void {
  count(COUNT_TLB_FILL);
  const table = index * TLB_KIND_COUNT + kind;
  const entry = tlbEntry(tlbTable(index, kind), linear);
  countCause(tlbTable(index, kind), entry, physicalPage);
  store<u64>(entry, linear & PAGE_MASK);
  store<u32>(entry, hostPage, 8);
  store<u32>(entry, physicalPage, 12);
  if (kind == TLB_KIND_EXECUTE) {
    markRegion(fetchedPages, pageBit(linear));
    if (index != MMU_INDEX_USER && !global) supervisorPrivate = true;
  }
  if (pageShift == 30) markRegion(hugeRegions, regionBit(linear, 30));
  else if (pageShift != 12) markRegion(largeRegions, regionBit(linear, 22));
  const log = table * 2 + <u32>global;
  const used = load<u32>(logCounts + log * 4);
  if (used < LOG_SLOTS) store<u16>(cpu + LOG_OFFSET + log * LOG_BYTES + used * 2, <u16>((linear >> 12) & (TLB_ENTRIES - 1)));
  if (used <= LOG_SLOTS) store<u32>(logCounts + log * 4, used + 1);
}

function emptyTable(table: u32): void {
  memory.copy(cpu + TLB_OFFSET + table * TLB_BYTES, cpu + EMPTY_TLB_OFFSET, TLB_BYTES);
  store<u64>(logCounts + table * 8, 0);
}

function flushLog(table: u32, global: u32): void {
  const log = table * 2 + global;
  const used = load<u32>(logCounts + log * 4);
  if (used > LOG_SLOTS) return emptyTable(table);
  const base = cpu + TLB_OFFSET + table * TLB_BYTES;
  const slots = cpu + LOG_OFFSET + log * LOG_BYTES;
  for (let n: u32 = 0; n < used; n++) empty(base, load<u16>(slots + n * 2));
  store<u32>(logCounts + log * 4, 0);
}

/** Flushes so far, and those of everything. */
let flushes: u64 = 0;
let fullFlushes: u64 = 0;
export function flushCount(): u64 { return flushes; }
export function fullFlushCount(): u64 { return fullFlushes; }

/**
 * Writes the pages with entries that are not global to `to`, with their kind in the low bits and their MMU index in the two above;
 * returns how many. At most `max` are written, none of a table with more than its log has room for.
 */
export function collectNotGlobal(to: usize, max: u32): u32 {
  let written: u32 = 0;
  for (let table: u32 = 0; table < TABLE_COUNT; table++) {
    const used = load<u32>(logCounts + table * 8);
    if (used > LOG_SLOTS) continue;
    const base = cpu + TLB_OFFSET + table * TLB_BYTES, slots = cpu + LOG_OFFSET + table * 2 * LOG_BYTES;
    const low: u64 = (table % TLB_KIND_COUNT) | ((table / TLB_KIND_COUNT) << 2);
    for (let n: u32 = 0; n < used && written < max; n++) {
      const entry = base + load<u16>(slots + n * 2) * TLB_ENTRY_BYTES;
      if (isEmpty(base, entry)) continue;
      store<u64>(to + written * 8, load<u64>(entry) | low);
      written++;
    }
  }
  return written;
}

/**
 * The generations of what was found out about fetches: in user mode, and in the other ones, whose pages are global as a rule and
 * outlive a change of CR3. modeKey has that of its mode.
 */
let userGeneration: u32 = 0;
let supervisorGeneration: u32 = 0;
/** The TLB has had a page for fetches in supervisor mode that is not global, since those were flushed last. */
let supervisorPrivate: bool = false;
/** Hash set of pages that were fetched from since the last full flush. */
const FETCHED_BITS: u32 = 32768;
const fetchedPages: usize = memory.data(4096, 4);

function pageBit(linear: u64): u32 {
  const page = <u32>(linear >> 12);
  return (page ^ (page >> 15)) & (FETCHED_BITS - 1);
}

/** modeKey for MODE bits. */
export function keyOfMode(mode: u32): u32 {
  return ((mode & MODE_USER) != 0 ? userGeneration : supervisorGeneration) << MODE_BITS | mode;
}

/** No cached (RIP, modeKey) pair matches any more: in user mode, and in the others if `supervisor`. */
function newGenerations(supervisor: bool): void {
  userGeneration = (userGeneration + 1) & GENERATION_MASK;
  if (supervisor) supervisorGeneration = (supervisorGeneration + 1) & GENERATION_MASK;
  if (userGeneration == 0 || supervisorGeneration == 0) forgetKeys();
  store<u32>(cpu + MODE_KEY, keyOfMode(load<u32>(cpu + MODE_KEY) & ~(GENERATION_MASK << MODE_BITS)));
}

/** RIP means another linear address now. */
export function newGeneration(): void { newGenerations(true); }

/** A generation comes round again: nothing may remember the one of that number before. */
function forgetKeys(): void {
  memory.fill(cpu + JUMP_CACHE_OFFSET, 0, JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_BYTES);
  for (let slot: u32 = 0; slot < REGION_SLOTS; slot++) {
    store<u32>(REGION_TABLE + slot * REGION_RECORD_BYTES + REGION_RECORD_KEY, 0xffffffff);
  }
}

/** Drops every translation. */
export function flushTlb(): void {
  count(COUNT_TLB_FLUSH);
  for (let table: u32 = 0; table < TABLE_COUNT; table++) { flushLog(table, 0); flushLog(table, 1); }
  memory.fill(largeRegions, 0, LARGE_BITS / 8);
  memory.fill(hugeRegions, 0, LARGE_BITS / 8);
  memory.fill(fetchedPages, 0, FETCHED_BITS / 8);
  flushes++;
  fullFlushes++;
  supervisorPrivate = false;
  newGenerations(true);
}

/** Drops the translations that are not global: a load of CR3. */
export function flushNotGlobal(): void {
  count(COUNT_TLB_FLUSH);
  for (let table: u32 = 0; table < TABLE_COUNT; table++) flushLog(table, 0);
  flushes++;
  newGenerations(supervisorPrivate);
  supervisorPrivate = false;
}

/** Power-on: the tables are filled whatever the logs say. */
export function resetTlb(): void {
  for (let slot: u32 = 0; slot < TLB_ENTRIES; slot++) empty(cpu + EMPTY_TLB_OFFSET, slot);
  for (let table: u32 = 0; table < TABLE_COUNT; table++) emptyTable(table);
  memory.fill(cpu + JUMP_CACHE_OFFSET, 0, JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_BYTES);
  flushTlb();
}

/** INVLPG: the page that holds `linear`, of whatever size it is. */
export function flushPage(linear: u64): void {
  if (hasRegion(largeRegions, regionBit(linear, 22)) || hasRegion(hugeRegions, regionBit(linear, 30))) return flushTlb();
  count(COUNT_TLB_FLUSH);
  for (let table: u32 = 0; table < TABLE_COUNT; table++) {
    const at = cpu + TLB_OFFSET + table * TLB_BYTES;
    if (tlbHits(tlbEntry(at, linear), linear)) empty(at, <u32>(linear >> 12) & (TLB_ENTRIES - 1));
  }
  flushes++;
  if (hasRegion(fetchedPages, pageBit(linear))) newGenerations(true);
}

/** A physical page got translated code: writes to it must be seen from now on. */
export function dropWriteEntries(physicalPage: u32): void {
  for (let index: u32 = 0; index < MMU_INDEX_COUNT; index++) {
    const table = tlbTable(index, TLB_KIND_WRITE);
    for (let entry = table; entry < table + TLB_BYTES; entry += TLB_ENTRY_BYTES) {
      if (load<u32>(entry, 12) == physicalPage) empty(table, <u32>(entry - table) / TLB_ENTRY_BYTES);
    }
  }
}
