// A cursor over a guest stack for instructions that push or pop several items: RSP changes only on commitStack(), so a
// fault in the middle leaves it as it was. After a fault the remaining pushes and pops do nothing; test faulted() at the end.
import { MMU_INDEX_USER, RSP, SS_ACCESS, SS_BASE, SS_LIMIT } from './generated/layout';
import { VECTOR_SS, faulted, raiseError } from './faults';
import { misaligned, prepareWriteAs, readAs, writeAs } from './memory';
import { mmuIndex, mmuIndexOf } from './mode';
import { ACCESS_BIG, canonical, code64, get32, get64, set64, sizeMask } from './registers';
import { insideLimit } from './segment-check';

const ALL: u64 = 0xffffffffffffffff;

let pointer: u64 = 0;
let mask: u64 = ALL;
let base: u64 = 0;
let limit: u32 = 0;
let access: u32 = 0;
let index: u32 = 0;
/** Error code of the #SS that a push or pop outside the segment raises. */
let error: u32 = 0;

/** The current stack. */
export function openStack(): void {
  index = mmuIndex();
  error = 0;
  if (code64()) {
    mask = ALL;
    pointer = get64(RSP);
    return;
  }
  base = get64(SS_BASE);
  limit = get32(SS_LIMIT);
  access = get32(SS_ACCESS);
  mask = access & ACCESS_BIG ? 0xffffffff : 0xffff;
  pointer = get64(RSP) & mask;
}

/** A stack that is about to become current, of privilege `level`. */
export function openNewStack(sp: u64, newBase: u64, newLimit: u32, newAccess: u32, level: u32, errorCode: u32): void {
  index = mmuIndexOf(level);
  error = errorCode;
  base = newBase;
  limit = newLimit;
  access = newAccess;
  mask = access & ACCESS_BIG ? 0xffffffff : 0xffff;
  pointer = sp & mask;
}

/** As openNewStack for 64-bit mode. */
export function openLongStack(sp: u64, level: u32): void {
  index = mmuIndexOf(level);
  error = 0;
  mask = ALL;
  pointer = sp;
}

function address(size: u32): u64 {
  let linear = pointer;
  if (mask == ALL) {
    if (!canonical(pointer)) raiseError(VECTOR_SS, 0);
  } else {
    if (!insideLimit(access, limit, pointer, size)) raiseError(VECTOR_SS, error);
    linear = (base + pointer) & 0xffffffff;
  }
  if (index == MMU_INDEX_USER && !faulted()) misaligned(linear, size);
  return linear;
}

export function push(size: u32, value: u64): void {
  if (faulted()) return;
  pointer = (pointer - size) & mask;
  const linear = address(size);
  if (!faulted()) writeAs(linear, size, value, index);
}

export function pop(size: u32): u64 {
  if (faulted()) return 0;
  const linear = address(size);
  if (faulted()) return 0;
  const value = readAs(linear, size, index);
  pointer = (pointer + size) & mask;
  return value & sizeMask(size);
}

/** An item at a stack offset other than the pointer. */
export function peek(offset: u64, size: u32): u64 {
  const saved = pointer;
  pointer = offset & mask;
  const value = pop(size);
  pointer = saved;
  return value;
}

export function stackPointer(): u64 { return pointer; }
/** Allocates `bytes`; an item at the new top must be writable. */
export function moveDown(bytes: u32, size: u32): void {
  if (faulted() || bytes == 0) return;
  pointer = (pointer - bytes) & mask;
  const linear = address(size);
  if (!faulted()) prepareWriteAs(linear, size, index);
}
/** Skips `bytes` upwards, as RET n does. */
export function skip(bytes: u32): void { pointer = (pointer + bytes) & mask; }

/** RSP with the pointer in it; a 16-bit stack leaves the rest of ESP. */
export function wholeStackPointer(): u64 {
  return mask == 0xffff ? (get64(RSP) & ~(<u64>0xffff)) | pointer : pointer;
}

export function commitStack(): void { set64(RSP, wholeStackPointer()); }
