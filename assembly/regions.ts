// Whether a region that the translator made (src/cpu/translator/) may be entered: its code must lie, page by page, where it lay
// when the region was made. The answer is kept in the region's record until the TLB generation changes.
import { cpu, regionLeftOften } from './host';
import { clearFault } from './faults';
import { translateExecute } from './paging';
import {
  COUNT_REGION_REFUSED, CR2, CS_BASE, FAULT_VECTOR, MODE_KEY, REGION_EXIT_LEFT, REGION_EXIT_OFTEN, REGION_RECORD_BASE, REGION_RECORD_KEY,
  REGION_RECORD_PAGE, REGION_RECORD_PAGES, REGION_RECORD_VALID,
} from './generated/layout';
import { count } from './registers';

/** `base` is the RIP that the region's distances are counted from; `record` lies in REGION_TABLE. */
export function regionMapped(record: u32, base: u64): u32 {
  if (load<u32>(record + REGION_RECORD_VALID) == 0 || !everyPageMapped(record, base)) {
    count(COUNT_REGION_REFUSED);
    return 0;
  }
  store<u64>(record + REGION_RECORD_BASE, base);
  store<u32>(record + REGION_RECORD_KEY, load<u32>(cpu + MODE_KEY));
  return 1;
}

function everyPageMapped(record: u32, base: u64): bool {
  const pages = load<u32>(record + REGION_RECORD_PAGES);
  if (pages == 1) return true; // the block that is being entered was looked up there
  const code64 = (load<u32>(cpu + MODE_KEY) & 3) == 2;
  const start = code64 ? base : load<u64>(cpu + CS_BASE) + base;
  for (let n: u32 = 0; n < pages; n++) {
    const page = record + REGION_RECORD_PAGE + n * 8;
    let linear = (start & ~(<u64>0xfff)) + <i64>load<i32>(page);
    if (!code64) linear &= 0xffffffff;
    if (<u32>mappedPage(linear) != load<u32>(page + 4)) return false;
  }
  return true;
}

/** The region at `record` was left by an exit that counts (REGION_EXIT.LEFT), `exit`. */
export function countLeft(record: u32, exit: u32): void {
  const left = load<u32>(exit + REGION_EXIT_LEFT) + 1;
  store<u32>(exit + REGION_EXIT_LEFT, left);
  if (left == REGION_EXIT_OFTEN) regionLeftOften(record);
}

/** Guest-physical page of a linear one for fetches; an odd number when there is none. Raises nothing. */
export function mappedPage(linear: u64): u64 {
  const cr2 = load<u64>(cpu + CR2);
  const physical = translateExecute(linear);
  if (load<i32>(cpu + FAULT_VECTOR) < 0) return <u64>physical & 0xfffffffffffff000;
  clearFault();
  store<u64>(cpu + CR2, cr2);
  return 1;
}
