// String instructions, one call for a run of elements. imm: size (1, 2, 4, 8) | rep << 4 (0 none, 1 REP or REPE, 2 REPNE)
// | segment << 8 | address size (2, 4, 8) << 12. Registers tell after each element how far the instruction got, so a fault in
// the middle is precise; a call that stops before the count is used up leaves `repeat` set and is made again.
import {
  CC_A, CC_B, CC_OP, COUNT_STRING_ELEMENTS,
  EFLAGS, KIND_SUB, MODE_FLAT, MODE_KEY, MODE_STEP, RAX, RCX, RDI, RDX, REPEAT, RSI, TLB_READ, TLB_WRITE,
} from './generated/layout';
import { clearFault, faulted } from './faults';
import { hostForRead, hostForWrite, prepareWrite, readMemory, writeMemory } from './memory';
import { loadHost, storeHost } from './physical';
import { inPort, inPortRun, outPort, outPortRun, portsAllowed } from './port-access';
import { FLAG_DF, SEGMENT_DS, SEGMENT_ES, get32, get64, mergeSize, set32, set64, sizeMask } from './registers';
import { linearAddress } from './segment-check';
import { tlbEntry, tlbHits, tlbHost } from './tlb';

const PAGE_BYTES: u32 = 4096;
const BYTES_PER_CALL: u64 = 65536;
const ELEMENTS_PER_CALL: u64 = 4096;
const REP_NONE: u32 = 0;
const REP_EQUAL: u32 = 1;

/** The instruction under way. */
let size: u32 = 1;
let repeated: u32 = 0;
let segment: u32 = 0;
let addressSize: u32 = 8;
let mask: u64 = 0;
let step: u64 = 0;
/** Elements left, and how many more this call may do. */
let left: u64 = 0;
let wanted: u64 = 0;
let budget: u64 = 0;
let source: u64 = 0;
let target: u64 = 0;

function begin(imm: i32): void {
  size = imm & 15;
  repeated = (imm >> 4) & 15;
  segment = (imm >> 8) & 15;
  addressSize = (imm >> 12) & 15;
  mask = sizeMask(addressSize);
  const backwards = (get32(EFLAGS) & FLAG_DF) != 0;
  step = backwards ? 0 - <u64>size : size;
  left = repeated == REP_NONE ? 1 : get64(RCX) & mask;
  wanted = left;
  budget = get32(MODE_KEY) & MODE_STEP ? 1 : ELEMENTS_PER_CALL; // a trap after each element
  source = get64(RSI) & mask;
  target = get64(RDI) & mask;
}

function finish(): void {
  set64(COUNT_STRING_ELEMENTS, get64(COUNT_STRING_ELEMENTS) + (wanted - left));
  if (repeated == REP_NONE) return;
  if (!stayed(RCX, left)) set64(RCX, mergeSize(get64(RCX), left, addressSize));
  set32(REPEAT, left != 0 && !faulted() ? 1 : 0);
}
/** Without a single element done a register stays as it is; otherwise a 32-bit address size clears its upper half. */
function stayed(register: u32, value: u64): bool { return (get64(register) & mask) == value; }
function finishSource(): void { if (!stayed(RSI, source)) set64(RSI, mergeSize(get64(RSI), source, addressSize)); }
function finishTarget(): void { if (!stayed(RDI, target)) set64(RDI, mergeSize(get64(RDI), target, addressSize)); }

/** Whether the bulk paths apply: a forward REP that is not stepped through. */
function mayRun(): bool { return repeated != REP_NONE && step == size && budget != 1; }
function mayRunDown(): bool { return repeated != REP_NONE && step != size && budget != 1; }
// @ts-ignore: decorator
@inline function more(): bool { return left != 0 && budget != 0; }
function advanceSource(): void { source = (source + step) & mask; }
function advanceTarget(): void { target = (target + step) & mask; }
function took(elements: u64): void {
  left -= elements;
  budget = budget > elements ? budget - elements : 0;
}

function readSource(): u64 {
  const linear = linearAddress(segment, source, size, false);
  return faulted() ? 0 : readMemory(linear, size);
}
function readTarget(): u64 {
  const linear = linearAddress(SEGMENT_ES, target, size, false);
  return faulted() ? 0 : readMemory(linear, size);
}
function writeTarget(value: u64): void {
  const linear = linearAddress(SEGMENT_ES, target, size, true);
  if (!faulted()) writeMemory(linear, size, value);
}

/** Bytes, a multiple of the element, that a forward run from `offset` may take inside its page and its address size. */
function runBytes(offset: u64, linear: u64): u32 {
  let bytes: u64 = PAGE_BYTES - (<u32>linear & 0xfff);
  if (left < bytes / size) bytes = left * size;
  if (addressSize != 8 && offset + bytes - 1 > mask) bytes = mask - offset + 1;
  return <u32>bytes & ~(size - 1);
}

/** Linear address of a run for the bulk path. A segment fault is forgotten: the element path meets it where it belongs. */
function runAddress(segmentIndex: u32, offset: u64, bytes: u32, write: bool): u64 {
  const linear = linearAddress(segmentIndex, offset, bytes, write);
  if (!faulted()) return linear;
  clearFault();
  return ~(<u64>0);
}
const NO_RUN: u64 = 0xffffffffffffffff;

/** Copies a run if it can; false: take the element path (or faulted()). */
function moveRun(): bool {
  const from = runAddress(segment, source, size, false), to = runAddress(SEGMENT_ES, target, size, true);
  if (from == NO_RUN || to == NO_RUN) return false;
  const fromBytes = runBytes(source, from), toBytes = runBytes(target, to);
  const bytes = fromBytes < toBytes ? fromBytes : toBytes;
  if (bytes < size * 2) return false;
  if (runAddress(segment, source, bytes, false) == NO_RUN || runAddress(SEGMENT_ES, target, bytes, true) == NO_RUN) return false;
  const fromHost = hostForRead(from);
  if (fromHost == 0) return false;
  const toHost = hostForWrite(to);
  if (toHost == 0) return false;
  if (toHost > fromHost && toHost < fromHost + bytes) {
    for (let at: u32 = 0; at < bytes; at += size) storeHost(toHost + at, size, loadHost(fromHost + at, size));
  } else memory.copy(toHost, fromHost, bytes);
  source = (source + bytes) & mask;
  target = (target + bytes) & mask;
  left -= bytes / size;
  return true;
}

/** Elements that a backward run from `offset` may take inside its page and its address size. */
function runElementsDown(offset: u64, linear: u64): u64 {
  const inPage = <u32>linear & 0xfff;
  if (inPage + size > PAGE_BYTES) return 0;
  const elements: u64 = inPage / size + 1, above = offset / size + 1;
  return above < elements ? above : elements;
}

/** The same downwards: loaders move overlapping images this way. */
function moveRunDown(): bool {
  const from = runAddress(segment, source, size, false), to = runAddress(SEGMENT_ES, target, size, true);
  if (from == NO_RUN || to == NO_RUN) return false;
  let elements = left;
  const fromElements = runElementsDown(source, from), toElements = runElementsDown(target, to);
  if (fromElements < elements) elements = fromElements;
  if (toElements < elements) elements = toElements;
  if (elements < 2) return false;
  const bytes = <u32>elements * size, below = bytes - size;
  if (runAddress(segment, source - below, bytes, false) == NO_RUN) return false;
  if (runAddress(SEGMENT_ES, target - below, bytes, true) == NO_RUN) return false;
  const fromTop = hostForRead(from); // the first element, where a fault belongs
  if (fromTop == 0) return false;
  const toTop = hostForWrite(to);
  if (toTop == 0) return false;
  const fromHost = fromTop - below, toHost = toTop - below;
  if (toHost < fromHost && toHost + bytes > fromHost) {
    for (let at: i32 = below; at >= 0; at -= size) storeHost(toHost + at, size, loadHost(fromHost + at, size));
  } else memory.copy(toHost, fromHost, bytes);
  source = (source - bytes) & mask;
  target = (target - bytes) & mask;
  left -= elements;
  return true;
}

// One element without REP is what compilers make of copying loops that are to be small (boot loaders are full of them): with flat segments
// and both pages in the TLBs it needs none of the above.

/** Host address of an element of the instruction `imm` in this page of a flat segment; 0: the ordinary way. */
// @ts-ignore: decorator
@inline function elementHost(imm: i32, register: u32, tlb: u32): usize {
  const bytes: u32 = imm & 15, linear = get64(register) & sizeMask((imm >> 12) & 15);
  if ((<u32>linear & 0xfff) + bytes > PAGE_BYTES) return 0;
  const entry = tlbEntry(get32(tlb), linear);
  return tlbHits(entry, linear) ? tlbHost(entry, linear) : 0;
}

/** A single element of DS or ES where segments are flat. */
// @ts-ignore: decorator
@inline function isSimple(imm: i32): bool {
  const from: u32 = (imm >> 8) & 15;
  return (imm & 0xf0) == 0 && (from == SEGMENT_DS || from == SEGMENT_ES) && (get32(MODE_KEY) & MODE_FLAT) != 0;
}

// @ts-ignore: decorator
@inline function stepOver(imm: i32, register: u32): void {
  const bytes: u64 = imm & 15;
  set64(register, mergeSize(get64(register), get64(register) + (get32(EFLAGS) & FLAG_DF ? 0 - bytes : bytes), (imm >> 12) & 15));
}

export function movs(d: usize, a: usize, b: usize, imm: i32): void {
  if (isSimple(imm)) {
    const from = elementHost(imm, RSI, TLB_READ), to = from != 0 ? elementHost(imm, RDI, TLB_WRITE) : 0;
    if (to != 0) {
      storeHost(to, imm & 15, loadHost(from, imm & 15));
      stepOver(imm, RSI);
      stepOver(imm, RDI);
      return;
    }
  }
  begin(imm);
  const bulk = mayRun(), down = !bulk && mayRunDown();
  let bytesLeft: u64 = BYTES_PER_CALL;
  while (more()) {
    const before = left;
    if ((bulk && moveRun()) || (down && moveRunDown())) {
      const bytes = (before - left) * size;
      if (bytes >= bytesLeft) break;
      bytesLeft -= bytes;
      continue;
    }
    if (faulted()) break;
    const value = readSource();
    if (faulted()) break;
    writeTarget(value);
    if (faulted()) break;
    advanceSource();
    advanceTarget();
    took(1);
  }
  finishSource();
  finishTarget();
  finish();
}

function uniform(value: u64): bool {
  const byte = value & 0xff;
  return ((byte * 0x0101010101010101) & sizeMask(size)) == (value & sizeMask(size));
}

function storeRun(value: u64): bool {
  const to = runAddress(SEGMENT_ES, target, size, true);
  if (to == NO_RUN) return false;
  const bytes = runBytes(target, to);
  if (bytes < size * 2 || runAddress(SEGMENT_ES, target, bytes, true) == NO_RUN) return false;
  const host = hostForWrite(to);
  if (host == 0) return false;
  if (uniform(value)) memory.fill(host, <u8>value, bytes);
  else for (let at: u32 = 0; at < bytes; at += size) storeHost(host + at, size, value);
  target = (target + bytes) & mask;
  left -= bytes / size;
  return true;
}

export function stos(d: usize, a: usize, b: usize, imm: i32): void {
  const to = isSimple(imm) ? elementHost(imm, RDI, TLB_WRITE) : 0;
  if (to != 0) {
    storeHost(to, imm & 15, get64(RAX));
    return stepOver(imm, RDI);
  }
  begin(imm);
  const value = get64(RAX), bulk = mayRun();
  let bytesLeft: u64 = BYTES_PER_CALL;
  while (more()) {
    const before = left;
    if (bulk && storeRun(value)) {
      const bytes = (before - left) * size;
      if (bytes >= bytesLeft) break;
      bytesLeft -= bytes;
      continue;
    }
    if (faulted()) break;
    writeTarget(value);
    if (faulted()) break;
    advanceTarget();
    took(1);
  }
  finishTarget();
  finish();
}

export function lods(d: usize, a: usize, b: usize, imm: i32): void {
  const from = isSimple(imm) ? elementHost(imm, RSI, TLB_READ) : 0;
  if (from != 0) {
    set64(RAX, mergeSize(get64(RAX), loadHost(from, imm & 15), imm & 15));
    return stepOver(imm, RSI);
  }
  begin(imm);
  while (more()) {
    const value = readSource();
    if (faulted()) break;
    set64(RAX, mergeSize(get64(RAX), value, size));
    advanceSource();
    took(1);
  }
  finishSource();
  finish();
}

/** Arithmetic flags of first - second, in the lazy form. */
function setCompare(first: u64, second: u64): void {
  set64(CC_A, first);
  set64(CC_B, second);
  set32(CC_OP, (KIND_SUB << 2) | ctz(size));
}

/** Whether a repeated comparison ends after this element. */
function stops(first: u64, second: u64): bool {
  return repeated != REP_NONE && (first == second) != (repeated == REP_EQUAL);
}

/** Ends a comparison: when it stopped on its condition it is finished whatever the count says. */
function finishCompare(done: u64, first: u64, second: u64, stopped: bool): void {
  if (done) setCompare(first, second);
  finish();
  if (stopped) set32(REPEAT, 0);
}

export function cmps(d: usize, a: usize, b: usize, imm: i32): void {
  begin(imm);
  const total = left;
  let first: u64 = 0, second: u64 = 0, stopped = false;
  while (more() && !stopped) {
    const x = readSource();
    if (faulted()) break;
    const y = readTarget();
    if (faulted()) break;
    first = x;
    second = y;
    advanceSource();
    advanceTarget();
    took(1);
    stopped = stops(x, y);
  }
  finishSource();
  finishTarget();
  finishCompare(total - left, first, second, stopped);
}

export function scas(d: usize, a: usize, b: usize, imm: i32): void {
  begin(imm);
  const total = left, value = get64(RAX) & sizeMask(size);
  let element: u64 = 0, stopped = false;
  while (more() && !stopped) {
    const x = readTarget();
    if (faulted()) break;
    element = x;
    advanceTarget();
    took(1);
    stopped = stops(value, x);
  }
  finishTarget();
  finishCompare(total - left, value, element, stopped);
}

/** What a device has of a run, into memory at once. */
function inRun(port: u32): bool {
  const to = runAddress(SEGMENT_ES, target, size, true);
  if (to == NO_RUN) return false;
  const bytes = runBytes(target, to);
  if (bytes < size * 2 || runAddress(SEGMENT_ES, target, bytes, true) == NO_RUN) return false;
  const host = hostForWrite(to);
  if (host == 0) return false;
  const done = inPortRun(port, size, host, bytes);
  target = (target + done) & mask;
  left -= done / size;
  return done != 0;
}

export function ins(d: usize, a: usize, b: usize, imm: i32): void {
  begin(imm);
  const port = <u32>get64(RDX) & 0xffff;
  if (!portsAllowed(port, size)) return;
  const bulk = mayRun();
  while (more()) {
    if (bulk && inRun(port)) continue;
    if (faulted()) break;
    const linear = linearAddress(SEGMENT_ES, target, size, true);
    if (faulted()) break;
    prepareWrite(linear, size);
    if (faulted()) break;
    writeMemory(linear, size, inPort(port, size));
    advanceTarget();
    took(1);
  }
  finishTarget();
  finish();
}

function outRun(port: u32): bool {
  const from = runAddress(segment, source, size, false);
  if (from == NO_RUN) return false;
  const bytes = runBytes(source, from);
  if (bytes < size * 2 || runAddress(segment, source, bytes, false) == NO_RUN) return false;
  const host = hostForRead(from);
  if (host == 0) return false;
  const done = outPortRun(port, size, host, bytes);
  source = (source + done) & mask;
  left -= done / size;
  return done != 0;
}

export function outs(d: usize, a: usize, b: usize, imm: i32): void {
  begin(imm);
  const port = <u32>get64(RDX) & 0xffff;
  if (!portsAllowed(port, size)) return;
  const bulk = mayRun();
  while (more()) {
    if (bulk && outRun(port)) continue;
    if (faulted()) break;
    const value = readSource();
    if (faulted()) break;
    outPort(port, size, value);
    advanceSource();
    took(1);
  }
  finishSource();
  finish();
}
