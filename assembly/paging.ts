// The page walk (Intel SDM 3A chapter 4): every paging mode up to four levels, rights, accessed and dirty bits, #PF; and
// the translation of instruction addresses. Not here: caching of the result (tlb.ts), data accesses (memory.ts).
// Translations are kept for one PCID at a time; a load of CR3 with bit 63 set flushes all the same, as a processor may (what
// comes back of them: address-spaces.ts).
import { cpu } from './host';
import {
  A20_MASK, ACTIVITY_PAGE_WALK, COUNT_PAGE_WALK, CPUID_FEATURE5, CR0, CR3, CR4, EFER, HOST_ACTIVITY, MMU_INDEX_SUPERVISOR, MMU_INDEX_USER,
  PDPTE0, PHYS_READABLE, TLB_KIND_EXECUTE, TLB_KIND_WRITE,
} from './generated/layout';
import { PF_FETCH, PF_PRESENT, PF_RESERVED, PF_USER, PF_WRITE, raiseGp, raisePageFault } from './faults';
import { mmuIndex } from './mode';
import { pageEntry, readPhysical, writePhysical } from './physical';
import {
  CR0_PG, CR0_WP, CR4_PAE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, PHYSICAL_ADDRESS_BITS, canonical, count, get32,
  get64,
} from './registers';
import { tlbEntry, tlbFill, tlbHits, tlbPhysical, tlbTable } from './tlb';

const ENTRY_PRESENT: u64 = 1;
const ENTRY_WRITABLE: u64 = 2;
const ENTRY_USER: u64 = 4;
const ENTRY_ACCESSED: u64 = 1 << 5;
const ENTRY_DIRTY: u64 = 1 << 6;
const ENTRY_LARGE: u64 = 1 << 7;
const ENTRY_GLOBAL: u64 = 1 << 8;
const ENTRY_NX: u64 = 1 << 63;
const ADDRESS_MASK: u64 = ((<u64>1 << PHYSICAL_ADDRESS_BITS) - 1) & 0xfffffffffffff000;
/** Bits between the physical address width and bit 51. */
const RESERVED_ADDRESS: u64 = 0x000ffffffffff000 & ~ADDRESS_MASK;
/** PAE without long mode also reserves 52..62. */
const RESERVED_PAE: u64 = 0x7ff0000000000000;
const FEATURE_PAGE_1G: u32 = 1 << 26;
export const PDPTE_RESERVED: u64 = 0xfff00000000001e6 | RESERVED_ADDRESS;

/** Results of the last successful walk. */
let physical: u64 = 0;
let global: bool = false;
let shift: u32 = 12;
export function walkedPhysical(): u64 { return physical; }
export function walkedGlobal(): bool { return global; }
export function walkedShift(): u32 { return shift; }

/** The walk is made before anybody asks: it raises nothing, and ends where it would have to write an accessed or dirty bit. */
let ahead: bool = false;

function fail(linear: u64, kind: u32, index: u32, cause: u32): bool {
  if (ahead) return false;
  let error = cause;
  if (kind == TLB_KIND_WRITE) error |= PF_WRITE;
  if (index == MMU_INDEX_USER) error |= PF_USER;
  if (kind == TLB_KIND_EXECUTE) {
    const nx = (get64(EFER) & EFER_NXE) && (get64(CR4) & CR4_PAE);
    if (nx || (get64(CR4) & CR4_SMEP)) error |= PF_FETCH;
  }
  raisePageFault(linear, error);
  return false;
}

/** Whether the combined rights of the levels allow the access. `rights` has ENTRY_WRITABLE and ENTRY_USER and-ed, ENTRY_NX or-ed. */
function permits(rights: u64, kind: u32, index: u32): bool {
  if (kind == TLB_KIND_EXECUTE && (rights & ENTRY_NX)) return false;
  const writable = (rights & ENTRY_WRITABLE) != 0;
  if (index == MMU_INDEX_USER) return (rights & ENTRY_USER) != 0 && (kind != TLB_KIND_WRITE || writable);
  if (kind == TLB_KIND_WRITE && !writable && (get64(CR0) & CR0_WP)) return false;
  if ((rights & ENTRY_USER) == 0) return true;
  if (kind == TLB_KIND_EXECUTE) return (get64(CR4) & CR4_SMEP) == 0;
  return index != MMU_INDEX_SUPERVISOR || (get64(CR4) & CR4_SMAP) == 0;
}

/** Sets bits of an entry, which nobody may see of a walk that is made ahead: false, and the walk ends. */
function updateEntry(entryAddress: u64, bytes: u32, updated: u64): bool {
  if (ahead) return false;
  writePhysical(entryAddress, bytes, updated);
  return true;
}

function finish(linear: u64, kind: u32, entryAddress: u64, entry: u64, bytes: u32, frame: u64): bool {
  let updated = entry | ENTRY_ACCESSED;
  if (kind == TLB_KIND_WRITE) updated |= ENTRY_DIRTY;
  if (updated != entry && !updateEntry(entryAddress, bytes, updated)) return false;
  global = (entry & ENTRY_GLOBAL) != 0 && (get64(CR4) & CR4_PGE) != 0;
  physical = frame | (linear & ((<u64>1 << shift) - 1));
  return true;
}

function walk32(linear: u64, kind: u32, index: u32): bool {
  const directory = (get64(CR3) & 0xfffff000) + ((linear >> 20) & 0xffc);
  const pde = readPhysical(a20(directory), 4);
  if ((pde & ENTRY_PRESENT) == 0) return fail(linear, kind, index, 0);
  if ((pde & ENTRY_LARGE) && (get64(CR4) & CR4_PSE)) {
    if (pde & (1 << 21)) return fail(linear, kind, index, PF_PRESENT | PF_RESERVED);
    if (!permits(pde & (ENTRY_WRITABLE | ENTRY_USER), kind, index)) return fail(linear, kind, index, PF_PRESENT);
    shift = 22;
    return finish(linear, kind, a20(directory), pde, 4, (pde & 0xffc00000) | (((pde >> 13) & 0xff) << 32)); // PSE-36
  }
  const address = (pde & 0xfffff000) + ((linear >> 10) & 0xffc);
  const pte = readPhysical(a20(address), 4);
  if ((pde & ENTRY_ACCESSED) == 0 && !updateEntry(a20(directory), 4, pde | ENTRY_ACCESSED)) return false;
  if ((pte & ENTRY_PRESENT) == 0) return fail(linear, kind, index, 0);
  if (!permits(pde & pte & (ENTRY_WRITABLE | ENTRY_USER), kind, index)) return fail(linear, kind, index, PF_PRESENT);
  shift = 12;
  return finish(linear, kind, a20(address), pte, 4, pte & 0xfffff000);
}

function reservedBits(long: bool): u64 {
  return RESERVED_ADDRESS | (long ? 0 : RESERVED_PAE) | (get64(EFER) & EFER_NXE ? 0 : ENTRY_NX);
}

/** The levels with 64-bit entries, from `top` (the shift of the first level) down. */
function walk64(linear: u64, kind: u32, index: u32, base: u64, top: u32, long: bool): bool {
  const reserved = reservedBits(long);
  let table = base;
  let rights: u64 = ENTRY_WRITABLE | ENTRY_USER;
  let level = top;
  while (true) {
    const address = a20(table + ((linear >> level) & 511) * 8);
    const entry = readPhysical(address, 8);
    if ((entry & ENTRY_PRESENT) == 0) return fail(linear, kind, index, 0);
    const large = level > 12 && (entry & ENTRY_LARGE) != 0;
    if ((entry & reserved) || (large && badLargeEntry(entry, level))) return fail(linear, kind, index, PF_PRESENT | PF_RESERVED);
    rights = (rights & entry & (ENTRY_WRITABLE | ENTRY_USER)) | ((rights | entry) & ENTRY_NX);
    if (large || level == 12) {
      if (!permits(rights, kind, index)) return fail(linear, kind, index, PF_PRESENT);
      shift = level;
      return finish(linear, kind, address, entry, 8, entry & ADDRESS_MASK & ~((<u64>1 << level) - 1));
    }
    if ((entry & ENTRY_ACCESSED) == 0 && !updateEntry(address, 8, entry | ENTRY_ACCESSED)) return false;
    table = entry & ADDRESS_MASK;
    level -= 9;
  }
}

/** Bits 13 up to the page size are reserved in a large page's entry; 512 GiB pages do not exist, 1 GiB ones may not. */
function badLargeEntry(entry: u64, level: u32): bool {
  if (level == 39 || (level == 30 && (get32(CPUID_FEATURE5) & FEATURE_PAGE_1G) == 0)) return true;
  return (entry & (((<u64>1 << level) - 1) & ~(<u64>0x1fff))) != 0;
}

/** A physical address with bit 20 gated. */
export function a20(address: u64): u64 { return address & (0xffffffff00000000 | <u64>get32(A20_MASK)); }

/** Translates one address; the results are in the walked accessors. False with a fault raised. */
export function translate(linear: u64, kind: u32, index: u32): bool {
  if ((get64(CR0) & CR0_PG) == 0) {
    physical = a20(linear & 0xffffffff);
    global = false;
    shift = 12;
    return true;
  }
  count(COUNT_PAGE_WALK);
  const doing = load<u32>(cpu + HOST_ACTIVITY);
  store<u32>(cpu + HOST_ACTIVITY, ACTIVITY_PAGE_WALK);
  const ok = walk(linear, kind, index);
  store<u32>(cpu + HOST_ACTIVITY, doing);
  return ok;
}

/** As translate(), but changes nothing, and false means only that the translation is not to be had so. Nothing is counted. */
export function translateAhead(linear: u64, kind: u32, index: u32): bool {
  if ((get64(CR0) & CR0_PG) == 0 || ((get64(EFER) & EFER_LMA) == 0 && linear >> 32 != 0)) return false;
  ahead = true;
  const ok = walk(linear, kind, index);
  ahead = false;
  return ok;
}

function walk(linear: u64, kind: u32, index: u32): bool {
  let ok: bool;
  if (get64(EFER) & EFER_LMA) {
    if (!canonical(linear)) {
      if (!ahead) raiseGp();
      return false;
    }
    ok = walk64(linear, kind, index, get64(CR3) & ADDRESS_MASK, 39, true);
  } else if (get64(CR4) & CR4_PAE) {
    const pdpte = load<u64>(cpu + PDPTE0 + ((<u32>linear >> 30) & 3) * 8);
    if ((pdpte & ENTRY_PRESENT) == 0) return fail(linear, kind, index, 0);
    ok = walk64(linear & 0xffffffff, kind, index, pdpte & ADDRESS_MASK, 21, false);
  } else ok = walk32(linear & 0xffffffff, kind, index);
  if (ok) physical = a20(physical);
  return ok;
}

/** Loads the four PDPTE registers for PAE paging from `cr3` (SDM 3A 4.4.1). False when a reserved bit is set: the caller raises #GP(0). */
export function loadPdptes(cr3: u64): bool {
  const table = cr3 & 0xffffffe0;
  for (let n: u32 = 0; n < 4; n++) {
    const entry = readPhysical(a20(table + n * 8), 8);
    if ((entry & ENTRY_PRESENT) && (entry & PDPTE_RESERVED)) return false;
  }
  for (let n: u32 = 0; n < 4; n++) store<u64>(cpu + PDPTE0 + n * 8, readPhysical(a20(table + n * 8), 8));
  return true;
}

/** Guest-physical address of an instruction byte, or -1 with a fault raised. */
export function translateExecute(linear: u64): i64 {
  const index = mmuIndex();
  const entry = tlbEntry(tlbTable(index, TLB_KIND_EXECUTE), linear);
  if (tlbHits(entry, linear)) return <i64>tlbPhysical(entry, linear);
  if (!translate(linear, TLB_KIND_EXECUTE, index)) return -1;
  const page = pageEntry(physical);
  if (page & PHYS_READABLE) {
    tlbFill(index, TLB_KIND_EXECUTE, linear, page & 0xfffff000, <u32>physical & 0xfffff000, global, shift);
  }
  return <i64>physical;
}
