// Instructions of several memory accesses that are too rare or too long for the IR: ENTER, PUSHA, POPA, BOUND,
// CMPXCHG8B/16B, RDRAND and RDSEED.
import { cpu, randomU32 } from './host';
import { RAX, RBP, RBX, RCX, RDX } from './generated/layout';
import { VECTOR_BR, faulted, raise, raiseGp } from './faults';
import { readFlags, writeFlags } from './flags';
import { prepareWrite, readMemory, writeMemory } from './memory';
import { FLAG_CF, FLAG_ZF, get64, mergeSize, set64 } from './registers';
import { commitStack, moveDown, openStack, peek, pop, push, wholeStackPointer } from './stack';

/** imm: bytes to allocate | level << 16 | operand size << 24. */
export function enter(d: usize, a: usize, b: usize, imm: i32): void {
  const bytes: u32 = imm & 0xffff, level: u32 = (imm >> 16) & 31, size: u32 = <u32>imm >> 24;
  let base = get64(RBP);
  openStack();
  push(size, base);
  const frame = wholeStackPointer(); // a 32-bit operand takes all of ESP from a 16-bit stack, too
  for (let n: u32 = 1; n < level && !faulted(); n++) {
    base -= size;
    push(size, peek(base, size));
  }
  if (level > 0) push(size, frame);
  moveDown(bytes, size);
  if (faulted()) return;
  commitStack();
  set64(RBP, mergeSize(get64(RBP), frame, size));
}

const PUSHA_COUNT: u32 = 8;
const STACK_POINTER: u32 = 4;

/** imm: operand size, 2 or 4. */
export function pusha(d: usize, a: usize, b: usize, imm: i32): void {
  openStack();
  for (let n: u32 = 0; n < PUSHA_COUNT; n++) push(imm, load<u64>(cpu + RAX + n * 8));
  if (!faulted()) commitStack();
}

const popped: usize = memory.data(64, 8);
export function popa(d: usize, a: usize, b: usize, imm: i32): void {
  openStack();
  for (let n: i32 = PUSHA_COUNT - 1; n >= 0; n--) store<u64>(popped + n * 8, pop(imm));
  if (faulted()) return;
  commitStack();
  for (let n: u32 = 0; n < PUSHA_COUNT; n++) {
    const register = cpu + RAX + n * 8;
    if (n != STACK_POINTER) store<u64>(register, mergeSize(load<u64>(register), load<u64>(popped + n * 8), imm));
  }
}

/** a: slot with the index, b: slot with the linear address of the two bounds, imm: operand size. */
export function bound(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b);
  const shift: u64 = imm == 2 ? 48 : 32;
  const lower = <i64>(readMemory(linear, imm) << shift) >> shift;
  if (faulted()) return;
  const upper = <i64>(readMemory((linear + imm) & 0xffffffff, imm) << shift) >> shift;
  if (faulted()) return;
  const index = <i64>(load<u64>(a) << shift) >> shift;
  if (index < lower || index > upper) raise(VECTOR_BR);
}

function setZero(zero: bool): void { writeFlags(zero ? readFlags() | FLAG_ZF : readFlags() & ~FLAG_ZF); }

/** b: slot with the linear address. */
export function cmpxchg8b(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b);
  prepareWrite(linear, 8);
  if (faulted()) return;
  const old = readMemory(linear, 8);
  if (faulted()) return;
  const equal = old == ((get64(RDX) << 32) | (get64(RAX) & 0xffffffff));
  writeMemory(linear, 8, equal ? (get64(RCX) << 32) | (get64(RBX) & 0xffffffff) : old);
  if (!equal) {
    set64(RAX, old & 0xffffffff);
    set64(RDX, old >> 32);
  }
  setZero(equal);
}

export function cmpxchg16b(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b);
  if (linear & 15) return raiseGp();
  prepareWrite(linear, 16);
  if (faulted()) return;
  const low = readMemory(linear, 8), high = readMemory(linear + 8, 8);
  if (faulted()) return;
  const equal = low == get64(RAX) && high == get64(RDX);
  writeMemory(linear, 8, equal ? get64(RBX) : low);
  writeMemory(linear + 8, 8, equal ? get64(RCX) : high);
  if (!equal) {
    set64(RAX, low);
    set64(RDX, high);
  }
  setZero(equal);
}

/** RDRAND and RDSEED always succeed: CF set, the other arithmetic flags clear. d: destination slot, imm: operand size. */
function random(d: usize, size: u32): void {
  const value = (<u64>randomU32() << 32) | randomU32();
  store<u64>(d, mergeSize(load<u64>(d), value, size));
  writeFlags(FLAG_CF);
}
export function rdrand(d: usize, a: usize, b: usize, imm: i32): void { random(d, imm); }
export function rdseed(d: usize, a: usize, b: usize, imm: i32): void { random(d, imm); }
