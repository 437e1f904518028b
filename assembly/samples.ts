// What is kept of the guest for a sample of the profiler (SAMPLE_RECORD): registers, the running task's name, and its callers by frame
// pointers or, of a 64-bit kernel with tables of its own, a copy of the stack. Names and walks of such stacks are src/profile/sampler.ts.
// It is small and touches little, because a thousand times a second it runs in the middle of the guest, and what it drives out of the
// processor's caches costs more than what it does. It changes nothing that the guest could see, and all that it reads is the guest's word.
import { cpu } from './host';
import {
  CR0, CR3, CS_BASE, MMU_INDEX_SUPERVISOR_AC, PHYS_READABLE, RBP, RIP, RSP, SAMPLE_COPIES, SAMPLE_COPY_BYTES_MAX, SAMPLE_FRAMES_MAX,
  SAMPLE_INTERRUPT_STACK, SAMPLE_MODE_LONG, SAMPLE_MODE_USER, SAMPLE_NAME_BYTES, SAMPLE_NAME_OFFSET, SAMPLE_NOTED, SAMPLE_RECORDS_BYTES,
  SAMPLE_RECORDS_OFFSET, SAMPLE_RECORD_ANSWERED, SAMPLE_RECORD_BELOW, SAMPLE_RECORD_BELOW_WORDS, SAMPLE_RECORD_BP, SAMPLE_RECORD_CALLER,
  SAMPLE_RECORD_CR3, SAMPLE_RECORD_FRAMES, SAMPLE_RECORD_HEADER, SAMPLE_RECORD_IP, SAMPLE_RECORD_LEAF, SAMPLE_RECORD_MODE,
  SAMPLE_RECORD_NAME, SAMPLE_RECORD_NOTED, SAMPLE_RECORD_SIZE, SAMPLE_RECORD_SP, SAMPLE_RECORD_STACK, SAMPLE_RIP, SAMPLE_STACK_BYTES,
  SAMPLE_TASK, SAMPLE_USED, TLB_KIND_READ,
} from './generated/layout';
import { a20, translateAhead, walkedPhysical } from './paging';
import { pageEntry } from './physical';
import { CR0_PG, code64, cpl, get32, get64, longMode, set32 } from './registers';
import { PAGE_MASK } from './tlb';

const NO_PAGE: u64 = 1;
/** A record with two copies of stacks; one with frames is smaller. */
const RECORD_BYTES_MAX: u32 = SAMPLE_RECORD_HEADER + 2 * SAMPLE_COPY_BYTES_MAX;
/** Frame pointers that lead further up belong to something else. */
const FRAME_BYTES_MAX: u64 = 1 << 20;

/** The page looked at last, and where its memory is; 0 where there is none. */
let page: u64 = NO_PAGE;
let pageHost: usize = 0;

function findPage(linear: u64): usize {
  let physical = a20(linear & 0xffffffff);
  if (get64(CR0) & CR0_PG) {
    if (!translateAhead(linear, TLB_KIND_READ, MMU_INDEX_SUPERVISOR_AC)) return 0;
    physical = walkedPhysical();
  }
  const entry = pageEntry(physical);
  return (entry & PHYS_READABLE) == 0 ? 0 : entry & 0xfffff000;
}

/** Where a byte of the guest's memory is; 0 where there is none. */
function hostOf(linear: u64): usize {
  if ((linear & PAGE_MASK) != page) {
    page = linear & PAGE_MASK;
    pageHost = findPage(page);
  }
  return pageHost == 0 ? 0 : pageHost + <usize>(linear & 0xfff);
}

/** Whether the last word was there. */
let found: bool = false;

/** An aligned word of 4 or 8 bytes. */
function wordAt(linear: u64, bytes: u32): u64 {
  const host = (linear & (bytes - 1)) != 0 ? 0 : hostOf(linear);
  found = host != 0;
  if (!found) return 0;
  return bytes == 8 ? load<u64>(host) : load<u32>(host);
}

function byteAt(linear: u64): u32 {
  const host = hostOf(linear);
  return host == 0 ? 0 : load<u8>(host);
}

function isIndirectCall(linear: u64): bool { return byteAt(linear) == 0xff && (byteAt(linear + 1) & 0x38) == 0x10; }

/** Whether a call instruction ends at an address: E8, or FF /2 with the lengths that it can have. */
function isBehindCall(linear: u64): bool {
  if (byteAt(linear - 5) == 0xe8) return true;
  return isIndirectCall(linear - 2) || isIndirectCall(linear - 3) || isIndirectCall(linear - 6) || isIndirectCall(linear - 7)
    || isIndirectCall(linear - 4);
}

/** Writes the callers that frame pointers lead to, as long as they lead upwards to addresses behind calls; returns how many. */
function followPointers(sp: u64, bp: u64, bytes: u32, to: usize): u32 {
  let count: u32 = 0;
  let lowest = sp;
  for (let frame = bp; count < SAMPLE_FRAMES_MAX && frame >= lowest && frame - lowest <= FRAME_BYTES_MAX; ) {
    const caller = wordAt(frame + bytes, bytes);
    if (!found) break;
    const next = wordAt(frame, bytes); // before the code is looked at, which lies in another page
    if (!isBehindCall(caller)) break;
    store<u64>(to + (count++ << 3), caller);
    lowest = frame + 2 * bytes;
    frame = next;
  }
  return count;
}

/** Copies what lies from `from` to `end`, up to where there is no memory, or it is enough; returns how many words. */
function copyStack(from: u64, end: u64, to: usize): u32 {
  if (from & 7) return 0;
  const last = min(end, from + SAMPLE_COPY_BYTES_MAX);
  let at = from;
  while (at < last) {
    const host = hostOf(at);
    if (host == 0) break;
    const bytes = min(last - at, 0x1000 - (at & 0xfff));
    memory.copy(to + <usize>(at - from), host, <usize>bytes);
    at += bytes;
  }
  return <u32>((at - from) >> 3);
}

function stackEnd(sp: u64): u64 { return (sp | (SAMPLE_STACK_BYTES - 1)) + 1; }

/** The kernel's stack from `sp` on, and where an interrupt has come on a stack of its own, the one below: its address is at the top. */
function copyStacks(record: usize, sp: u64): void {
  const to = record + SAMPLE_RECORD_HEADER;
  const place = get64(SAMPLE_INTERRUPT_STACK);
  const top = place == 0 ? 0 : wordAt(place, 8);
  const isInterrupt = top != 0 && sp <= top && top - sp < SAMPLE_STACK_BYTES;
  const words = copyStack(sp, isInterrupt ? top + 8 : stackEnd(sp), to);
  store<u32>(record, words, SAMPLE_RECORD_STACK);
  const below = isInterrupt ? wordAt(top, 8) : 0;
  store<u64>(record, below, SAMPLE_RECORD_BELOW);
  store<u32>(record, below == 0 ? 0 : copyStack(below, stackEnd(below), to + (words << 3)), SAMPLE_RECORD_BELOW_WORDS);
}

/** The running task's name, or zeros. */
function copyName(to: usize): void {
  memory.fill(to, 0, SAMPLE_NAME_BYTES);
  const place = get64(SAMPLE_TASK);
  if (place == 0) return;
  const task = wordAt(place, longMode() ? 8 : 4);
  if (task == 0) return;
  const name = task + get32(SAMPLE_NAME_OFFSET);
  for (let n: u32 = 0; n < SAMPLE_NAME_BYTES; n += 4) store<u32>(to + n, <u32>wordAt(name + n, 4));
}

/** Adds a record; true when there may be no room for another one. The guest stands between two blocks. */
export function takeSample(answeredNs: f64): bool {
  const used = get32(SAMPLE_USED);
  if (used + RECORD_BYTES_MAX > SAMPLE_RECORDS_BYTES) return true;
  const record = cpu + SAMPLE_RECORDS_OFFSET + used;
  page = NO_PAGE; // what was known may have changed
  const isLong = code64();
  const mask: u64 = isLong ? u64.MAX_VALUE : 0xffffffff;
  const base: u64 = isLong ? 0 : get64(CS_BASE);
  const leaf = (get64(SAMPLE_RIP) & mask) + base, ip = (get64(RIP) & mask) + base;
  const sp = get64(RSP) & mask, bp = get64(RBP) & mask;
  store<f64>(record, answeredNs, SAMPLE_RECORD_ANSWERED);
  store<u32>(record, get32(SAMPLE_NOTED), SAMPLE_RECORD_NOTED);
  store<u64>(record, leaf, SAMPLE_RECORD_LEAF);
  store<u64>(record, ip, SAMPLE_RECORD_IP);
  store<u64>(record, sp, SAMPLE_RECORD_SP);
  store<u64>(record, bp, SAMPLE_RECORD_BP);
  store<u32>(record, get32(CR3), SAMPLE_RECORD_CR3);
  store<u32>(record, (isLong ? SAMPLE_MODE_LONG : 0) | (cpl() == 3 ? SAMPLE_MODE_USER : 0), SAMPLE_RECORD_MODE);
  copyName(record + SAMPLE_RECORD_NAME);
  addCallers(record, isLong, sp, bp, isLong && get32(SAMPLE_COPIES) != 0 && <i64>leaf < 0 && <i64>ip < 0);
  const bytes = load<u32>(record, SAMPLE_RECORD_SIZE);
  set32(SAMPLE_USED, used + bytes);
  return used + bytes + RECORD_BYTES_MAX > SAMPLE_RECORDS_BYTES;
}

function addCallers(record: usize, isLong: bool, sp: u64, bp: u64, copies: bool): void {
  store<u64>(record, 0, SAMPLE_RECORD_CALLER);
  store<u32>(record, 0, SAMPLE_RECORD_FRAMES);
  store<u32>(record, 0, SAMPLE_RECORD_STACK);
  store<u32>(record, 0, SAMPLE_RECORD_BELOW_WORDS);
  if (copies) copyStacks(record, sp);
  else {
    const bytes: u32 = isLong ? 8 : 4;
    const caller = wordAt(sp, bytes);
    if (found && isBehindCall(caller)) store<u64>(record, caller, SAMPLE_RECORD_CALLER);
    store<u32>(record, followPointers(sp, bp, bytes, record + SAMPLE_RECORD_HEADER), SAMPLE_RECORD_FRAMES);
  }
  const words = load<u32>(record, SAMPLE_RECORD_FRAMES) + load<u32>(record, SAMPLE_RECORD_STACK)
    + load<u32>(record, SAMPLE_RECORD_BELOW_WORDS);
  store<u32>(record, SAMPLE_RECORD_HEADER + (words << 3), SAMPLE_RECORD_SIZE);
}
