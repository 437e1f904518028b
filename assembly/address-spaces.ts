// What address spaces had in the TLB when another one was loaded into CR3, so that it can be walked for again, all at once, when the
// guest comes back to them: an access that misses the TLB leaves translated code and costs several times as much. A processor may cache
// any translation that the paging structures allow, at any time (Intel SDM 3A 4.10.2.1, 4.10.3.1), so a guest cannot tell. What is
// walked ahead changes nothing in memory: an entry whose accessed or dirty bit would have to be set is left to the access itself.
// Not here: the TLB (tlb.ts) and the walk (paging.ts).
import { cpu } from './host';
import { ACTIVITY_PAGE_WALK, COUNT_TLB_AHEAD, CR3, HOST_ACTIVITY, PHYS_CODE, TLB_KIND_WRITE } from './generated/layout';
import { pageWatched } from './debug';
import { accessFlag } from './memory';
import { translateAhead, walkedGlobal, walkedPhysical, walkedShift } from './paging';
import { pageEntry } from './physical';
import { count, get64, set64 } from './registers';
import { collectNotGlobal, flushNotGlobal, fullFlushCount, tlbEntry, tlbFill, tlbHits, tlbTable } from './tlb';

const SPACES: u32 = 16;
const PAGES_MAX: u32 = 256;
/** {root u64, full flushes before plus 1 u64 (an empty place has 0), pages u32, returns since it began anew u32}, then the pages. */
const HEADER_BYTES: u32 = 24;
const SPACE_BYTES: u32 = HEADER_BYTES + PAGES_MAX * 8;
const spaces: usize = memory.data(16 * (24 + 256 * 8), 8);
/** Pages that are walked for and not used any more would stay for ever, so a space begins anew after so many returns. */
const RETURNS_MAX: u32 = 16;
const PAGE_MASK: u64 = ~(<u64>0xfff);
/** The place that is given away next. */
let oldest: u32 = 0;

function spaceAt(place: u32): usize { return spaces + place * SPACE_BYTES; }

/** 0 when it is not remembered. */
function find(root: u64): usize {
  for (let place: u32 = 0; place < SPACES; place++) {
    const space = spaceAt(place);
    if (load<u64>(space) == root && load<u64>(space, 8) == fullFlushCount() + 1) return space;
  }
  return 0;
}

function remember(root: u64): void {
  let space = find(root);
  if (space == 0) {
    space = spaceAt(oldest);
    oldest = (oldest + 1) & (SPACES - 1);
    store<u64>(space, root);
    store<u64>(space, fullFlushCount() + 1, 8);
    store<u32>(space, 0, 20);
  }
  store<u32>(space, collectNotGlobal(space + HEADER_BYTES, PAGES_MAX), 16);
}

function recall(root: u64): void {
  const space = find(root);
  if (space == 0) return;
  const returns = load<u32>(space, 20) + 1;
  store<u32>(space, returns == RETURNS_MAX ? 0 : returns, 20);
  if (returns == RETURNS_MAX) return;
  const doing = load<u32>(cpu + HOST_ACTIVITY);
  store<u32>(cpu + HOST_ACTIVITY, ACTIVITY_PAGE_WALK);
  const pages = load<u32>(space, 16);
  for (let n: u32 = 0; n < pages; n++) fillAhead(load<u64>(space + HEADER_BYTES + n * 8));
  store<u32>(cpu + HOST_ACTIVITY, doing);
}

/** The page, with its kind and MMU index in the low bits as collectNotGlobal gives them. */
function fillAhead(page: u64): void {
  const linear = page & PAGE_MASK, kind = <u32>page & 3, index = (<u32>page >> 2) & 3;
  if (tlbHits(tlbEntry(tlbTable(index, kind), linear), linear) || !translateAhead(linear, kind, index)) return;
  const physical = walkedPhysical(), entry = pageEntry(physical);
  if ((entry & accessFlag(kind)) == 0 || pageWatched(linear)) return;
  if (kind == TLB_KIND_WRITE && (entry & PHYS_CODE)) return;
  count(COUNT_TLB_AHEAD);
  tlbFill(index, kind, linear, entry & 0xfffff000, <u32>physical & 0xfffff000, walkedGlobal(), walkedShift());
}

/** Loads CR3: what is not global is dropped, and what the new space had is walked for. */
export function changeSpace(value: u64): void {
  remember(get64(CR3) & PAGE_MASK);
  set64(CR3, value);
  flushNotGlobal();
  recall(value & PAGE_MASK);
}
