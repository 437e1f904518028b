// Accesses to guest memory by linear address: the slow path of the inlined TLB check, and all accesses of helpers.
// An access that raises a fault returns 0 or does nothing; the caller tests faulted(). Both pages of an access that
// straddles are checked before anything is written. Not here: segmentation (segment-check.ts).
// With alignment checks in force (mode.ts) every user access comes here. As on AMD processors #AC comes before #PF.
import {
  FAULT_VECTOR, MMU_INDEX_SUPERVISOR, MODE_FLAT, MODE_KEY, PHYS_CODE, PHYS_READABLE, PHYS_WRITABLE, TLB_KIND_READ, TLB_KIND_WRITE,
} from './generated/layout';
import { codeWritten } from './blocks';
import { dataWatched, noteAccess, pageWatched } from './debug';
import { VECTOR_AC, VECTOR_GP, faulted, raiseError, raiseGp } from './faults';
import { cpu } from './host';
import { alignmentChecked, mmuIndex } from './mode';
import { translate, walkedGlobal, walkedPhysical, walkedShift } from './paging';
import { loadHost, pageEntry, readBus, storeHost, writeBus } from './physical';
import { canonical, code64, longMode } from './registers';
import { flushCount, tlbEntry, tlbFill, tlbHits, tlbHost, tlbTable } from './tlb';

const PAGE_BYTES: u32 = 4096;

/** The last fault was an address that is not canonical or beyond 4 GiB: #SS(0) where it is one of the stack (executor.ts). */
let badAddress: bool = false;
export function takeBadAddress(): bool {
  const bad = badAddress;
  badAddress = false;
  return bad;
}

/** Raises #GP(0), or #SS(0) where the running record accesses the stack segment. */
function raiseBadAddress(): void {
  raiseGp();
  badAddress = true;
}

/** Raises #AC for a misaligned access of 2, 4, 8 or 16 bytes. */
export function misaligned(linear: u64, size: u32): bool {
  if (!alignmentChecked() || (linear & (size - 1)) == 0 || size > 16 || (size & (size - 1)) != 0) return false;
  // An address that cannot be comes first.
  if (code64() ? !(canonical(linear) && canonical(linear + size - 1)) : linear + size - 1 > 0xffffffff) return false;
  raiseError(VECTOR_AC, 0);
  return true;
}

/** Where the last resolve() ended when it is not plain host memory, and whether that memory holds translated code. */
let resolvedPhysical: u64 = 0;
let resolvedCode: bool = false;

/** Host address of a byte, or 0: a fault was raised, or the byte is on the bus at resolvedPhysical. */
function resolve(linear: u64, kind: u32, index: u32): usize {
  resolvedCode = false;
  const entry = tlbEntry(tlbTable(index, kind), linear);
  if (tlbHits(entry, linear)) return tlbHost(entry, linear);
  return resolveMiss(linear, kind, index);
}

function resolveMiss(linear: u64, kind: u32, index: u32): usize {
  if (resolveRemembered(linear, kind, index)) return resolvedCode ? <usize>resolvedHost + (<u32>linear & 0xfff) : 0;
  if (!translate(linear, kind, index)) {
    badAddress = load<u32>(cpu + FAULT_VECTOR) == VECTOR_GP;
    return 0;
  }
  resolvedPhysical = walkedPhysical();
  const page = pageEntry(resolvedPhysical);
  if ((page & accessFlag(kind)) == 0) {
    if (resolvedPhysical >> 32 == 0 && !pageWatched(linear)) remember(linear, kind, index, 0);
    return 0;
  }
  const host = page & 0xfffff000;
  resolvedCode = kind == TLB_KIND_WRITE && (page & PHYS_CODE) != 0;
  if (!pageWatched(linear)) {
    if (resolvedCode) remember(linear, kind, index, host);
    else tlbFill(index, kind, linear, host, <u32>resolvedPhysical & 0xfffff000, walkedGlobal(), walkedShift());
  }
  return host + (<u32>linear & 0xfff);
}

/**
 * Pages with translated code are not in the write TLB, but data and stacks may share them; registers of devices are in no TLB. This small
 * cache saves the walks of both. An entry is {linear page | kind | MMU index u64, flushes so far u64, host page u32, 0 for the bus,
 * physical page u32}.
 */
const REMEMBERED_PAGES: u32 = 64;
const REMEMBERED_BYTES: u32 = 24;
const rememberedEntries: usize = memory.data(2 * 64 * 24, 8);
let resolvedHost: u32 = 0;

/** Reads and writes have entries of their own, because drivers do both to the same page. */
function rememberedEntry(linear: u64, kind: u32): usize {
  const page = <u32>(linear >> 12) & (REMEMBERED_PAGES - 1);
  return rememberedEntries + (page * 2 + (kind & TLB_KIND_WRITE)) * REMEMBERED_BYTES;
}

function rememberedTag(linear: u64, kind: u32, index: u32): u64 { return (linear & 0xfffffffffffff000) | (kind << 2) | index; }

/** What a page of the map has for accesses of a kind to go straight to the host's memory. */
export function accessFlag(kind: u32): u32 { return kind == TLB_KIND_WRITE ? PHYS_WRITABLE : PHYS_READABLE; }

function remember(linear: u64, kind: u32, index: u32, host: u32): void {
  const entry = rememberedEntry(linear, kind);
  store<u64>(entry, rememberedTag(linear, kind, index));
  store<u64>(entry, flushCount(), 8);
  store<u32>(entry, host, 16);
  store<u32>(entry, <u32>resolvedPhysical & 0xfffff000, 20);
}

/** True when the page is known to be on the bus, or with resolvedCode to hold code, of which resolvedHost is the page. */
function resolveRemembered(linear: u64, kind: u32, index: u32): bool {
  const entry = rememberedEntry(linear, kind);
  if (load<u64>(entry) != rememberedTag(linear, kind, index) || load<u64>(entry, 8) != flushCount()) return false;
  const host = load<u32>(entry, 16), physical = load<u32>(entry, 20), page = pageEntry(physical);
  const code = PHYS_CODE | PHYS_WRITABLE;
  if (host != 0 ? (page & code) != code : (page & accessFlag(kind)) != 0) return false;
  resolvedHost = host;
  resolvedPhysical = physical | (<u32>linear & 0xfff);
  resolvedCode = host != 0;
  return true;
}

/** Linear address of the byte after the page of `linear`; addresses wrap at 4 GiB outside 64-bit code. */
function nextPage(linear: u64): u64 {
  const next = (linear | 0xfff) + 1;
  return code64() || (longMode() && next >> 32 != 1) ? next : next & 0xffffffff;
}

// @ts-ignore: decorator
@inline function straddles(linear: u64, size: u32): bool { return (<u32>linear & 0xfff) + size > PAGE_BYTES; }

/**
 * An access across the end of a flat segment, which is at 4 GiB, or of the canonical addresses raises #GP(0). Segments that are
 * not flat have been checked before.
 */
function beyondEnd(linear: u64): bool {
  if (code64()) {
    if (canonical(nextPage(linear))) return false;
  } else if (linear >> 32 != 0 || (load<u32>(cpu + MODE_KEY) & MODE_FLAT) == 0) return false;
  raiseBadAddress();
  return true;
}

/** True when both pages allow the access. A large one is made in pieces, whose first may fault before the end is seen. */
function bothResolve(linear: u64, size: u32, kind: u32, index: u32): bool {
  if (size <= 16 && <u32>linear >> 12 == 0xfffff && beyondEnd(linear)) return false;
  resolve(linear, kind, index);
  if (faulted()) return false;
  resolve(nextPage(linear), kind, index);
  return !faulted();
}

function readByte(linear: u64, index: u32): u64 {
  const host = resolve(linear, TLB_KIND_READ, index);
  return host ? <u64>load<u8>(host) : readBus(resolvedPhysical, 1);
}

function writeByte(linear: u64, index: u32, value: u64): void {
  const host = resolve(linear, TLB_KIND_WRITE, index);
  if (host == 0) return writeBus(resolvedPhysical, 1, value);
  store<u8>(host, <u8>value);
  if (resolvedCode) codeWritten(<u32>resolvedPhysical, 1);
}

function readStraddling(linear: u64, size: u32, index: u32): u64 {
  if (!bothResolve(linear, size, TLB_KIND_READ, index)) return 0;
  const first = PAGE_BYTES - (<u32>linear & 0xfff), next = nextPage(linear);
  let value: u64 = 0;
  for (let n: u32 = 0; n < size; n++) value |= readByte(n < first ? linear + n : next + n - first, index) << (n * 8);
  return value;
}

function writeStraddling(linear: u64, size: u32, value: u64, index: u32): void {
  if (!bothResolve(linear, size, TLB_KIND_WRITE, index)) return;
  const first = PAGE_BYTES - (<u32>linear & 0xfff), next = nextPage(linear);
  for (let n: u32 = 0; n < size; n++) writeByte(n < first ? linear + n : next + n - first, index, value >> (n * 8));
}

/** A read of 1, 2, 4 or 8 bytes under the rules of an MMU index. A watched page is never in the TLB. */
export function readAs(linear: u64, size: u32, index: u32): u64 {
  const entry = tlbEntry(tlbTable(index, TLB_KIND_READ), linear);
  if (tlbHits(entry, linear) && !straddles(linear, size)) return loadHost(tlbHost(entry, linear), size);
  return readSlow(linear, size, index);
}

function readSlow(linear: u64, size: u32, index: u32): u64 {
  let value: u64;
  if (straddles(linear, size)) value = readStraddling(linear, size, index);
  else {
    const host = resolve(linear, TLB_KIND_READ, index);
    if (host) value = loadHost(host, size);
    else if (faulted()) return 0;
    else value = readBus(resolvedPhysical, size);
  }
  if (dataWatched() && !faulted()) noteAccess(linear, size, false);
  return value;
}

export function writeAs(linear: u64, size: u32, value: u64, index: u32): void {
  const entry = tlbEntry(tlbTable(index, TLB_KIND_WRITE), linear);
  if (tlbHits(entry, linear) && !straddles(linear, size)) storeHost(tlbHost(entry, linear), size, value);
  else writeSlow(linear, size, value, index);
}

function writeSlow(linear: u64, size: u32, value: u64, index: u32): void {
  if (straddles(linear, size)) writeStraddling(linear, size, value, index);
  else {
    const host = resolve(linear, TLB_KIND_WRITE, index);
    if (host) {
      storeHost(host, size, value);
      if (resolvedCode) codeWritten(<u32>resolvedPhysical, size);
    } else if (faulted()) return;
    else writeBus(resolvedPhysical, size, value);
  }
  if (dataWatched() && !faulted()) noteAccess(linear, size, true);
}

/** Raises what a write of `size` bytes (up to a page) would raise. */
export function prepareWriteAs(linear: u64, size: u32, index: u32): void {
  if (straddles(linear, size)) bothResolve(linear, size, TLB_KIND_WRITE, index);
  else resolve(linear, TLB_KIND_WRITE, index);
}

/** Raises what a read of `size` bytes (up to a page) would raise. */
export function prepareRead(linear: u64, size: u32): void {
  if (straddles(linear, size)) bothResolve(linear, size, TLB_KIND_READ, mmuIndex());
  else resolve(linear, TLB_KIND_READ, mmuIndex());
}

export function readMemory(linear: u64, size: u32): u64 { return misaligned(linear, size) ? 0 : readAs(linear, size, mmuIndex()); }
export function writeMemory(linear: u64, size: u32, value: u64): void {
  if (!misaligned(linear, size)) writeAs(linear, size, value, mmuIndex());
}
export function prepareWrite(linear: u64, size: u32): void {
  if (!misaligned(linear, size)) prepareWriteAs(linear, size, mmuIndex());
}

/** Implicit supervisor accesses to descriptor tables and the TSS: SMAP applies whatever EFLAGS.AC says. */
export function readSystem(linear: u64, size: u32): u64 { return readAs(linear, size, MMU_INDEX_SUPERVISOR); }
export function writeSystem(linear: u64, size: u32, value: u64): void { writeAs(linear, size, value, MMU_INDEX_SUPERVISOR); }

/** Linear address `offset` bytes on, with the wrap of the current mode. */
function advance(linear: u64, offset: u32): u64 { return code64() ? linear + offset : (linear + offset) & 0xffffffff; }

export function readMemory128(linear: u64, target: usize): void {
  if (misaligned(linear, 16)) return;
  if (straddles(linear, 16)) prepareRead(linear, 16);
  if (faulted()) return;
  const low = readMemory(linear, 8);
  if (faulted()) return;
  const high = readMemory(advance(linear, 8), 8);
  store<u64>(target, low);
  store<u64>(target, high, 8);
}

export function writeMemory128(linear: u64, source: usize): void {
  prepareWrite(linear, 16);
  if (faulted()) return;
  writeMemory(linear, 8, load<u64>(source));
  writeMemory(advance(linear, 8), 8, load<u64>(source, 8));
}

/** Host address of a linear byte for a bulk operation up to the end of its page; 0: use the ordinary accesses (or faulted()). */
export function hostForRead(linear: u64): usize {
  return dataWatched() || alignmentChecked() ? 0 : resolve(linear, TLB_KIND_READ, mmuIndex());
}
export function hostForWrite(linear: u64): usize {
  if (dataWatched() || alignmentChecked()) return 0;
  const host = resolve(linear, TLB_KIND_WRITE, mmuIndex());
  return resolvedCode ? 0 : host;
}
