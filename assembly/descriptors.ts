// Reading segment descriptors from GDT and LDT, and the checks that several instructions share (Intel SDM 3A 3.4, 5).
// Not here: what an instruction then does with them (segments.ts, transfers.ts, interrupts.ts).
import { GDTR_BASE, GDTR_LIMIT } from './generated/layout';
import { VECTOR_GP, VECTOR_NP, VECTOR_SS, faulted, raiseError } from './faults';
import { readSystem, writeSystem } from './memory';
import {
  ACCESS_ACCESSED, ACCESS_BIG, ACCESS_CODE, ACCESS_EXPAND_DOWN, ACCESS_GRANULAR, ACCESS_LONG, ACCESS_PRESENT, ACCESS_S,
  ACCESS_WRITABLE, SEGMENT_CS, SEGMENT_LDTR, SEGMENT_SS, canonical, get32, get64, longMode, segmentAccess, segmentBase, segmentLimit,
  setSegment,
} from './registers';

/** The last descriptor read, and where it lies. */
let descriptor: u64 = 0;
let address: u64 = 0;
export function descriptorBits(): u64 { return descriptor; }
export function descriptorAddress(): u64 { return address; }

export function baseOf(bits: u64): u64 { return ((bits >> 16) & 0xffffff) | ((bits >> 32) & 0xff000000); }
export function limitOf(bits: u64): u32 {
  const limit = <u32>(bits & 0xffff) | <u32>((bits >> 32) & 0xf0000);
  return accessOf(bits) & ACCESS_GRANULAR ? (limit << 12) | 0xfff : limit;
}
export function accessOf(bits: u64): u32 { return <u32>(bits >> 40) & 0xf0ff; }
export function dplOf(access: u32): u32 { return (access >> 5) & 3; }
export function isNull(selector: u32): bool { return (selector & 0xfffc) == 0; }
export function isCode(access: u32): bool { return (access & (ACCESS_S | ACCESS_CODE)) == (ACCESS_S | ACCESS_CODE); }
export function isConforming(access: u32): bool { return (access & ACCESS_EXPAND_DOWN) != 0; }
export function isWritableData(access: u32): bool {
  return (access & (ACCESS_S | ACCESS_CODE | ACCESS_WRITABLE)) == (ACCESS_S | ACCESS_WRITABLE);
}

/** Raises `vector` with a selector as error code; false, for `return fail(...)`. */
export function fail(vector: u32, selector: u32, external: u32): bool {
  raiseError(vector, (selector & 0xfffc) | external);
  return false;
}

/** Finds the descriptor's place. False, with no fault, when the selector points outside its table. */
function locate(selector: u32, bytes: u32): bool {
  const local = (selector & 4) != 0;
  if (local && (segmentAccess(SEGMENT_LDTR) & ACCESS_PRESENT) == 0) return false;
  const limit = local ? segmentLimit(SEGMENT_LDTR) : get32(GDTR_LIMIT);
  if ((selector & 0xfff8) + bytes - 1 > limit) return false;
  address = (local ? segmentBase(SEGMENT_LDTR) : get64(GDTR_BASE)) + (selector & 0xfff8);
  if (!longMode()) address &= 0xffffffff;
  return true;
}

/** Reads a descriptor; a selector outside its table raises `vector`. */
export function fetchDescriptor(selector: u32, vector: u32, external: u32): bool {
  if (!locate(selector, 8)) return fail(vector, selector, external);
  descriptor = readSystem(address, 8);
  return !faulted();
}

/** Reads a descriptor for LAR and its like: false without a fault when there is none. */
export function probeDescriptor(selector: u32): bool {
  if (isNull(selector) || !locate(selector, 8)) return false;
  descriptor = readSystem(address, 8);
  return !faulted();
}

/** Upper eight bytes of a 16-byte system descriptor. */
export function fetchUpper(selector: u32, vector: u32, external: u32): u64 {
  if (!locate(selector, 16)) {
    fail(vector, selector, external);
    return 0;
  }
  return readSystem(address + 8, 8);
}

/** Sets the accessed bit of the last descriptor read. */
export function markAccessed(): bool {
  if (descriptor & (<u64>ACCESS_ACCESSED << 40)) return true;
  descriptor |= <u64>ACCESS_ACCESSED << 40;
  writeSystem(address + 5, 1, descriptor >> 40);
  return !faulted();
}

/** The code segment a transfer goes to, checked but not yet loaded. */
let codeSelector: u32 = 0;
let codeBits: u64 = 0;
let codeAccess: u32 = 0;
export function targetAccess(): u32 { return codeAccess; }
export function targetIsLong(): bool { return (codeAccess & ACCESS_LONG) != 0 && longMode(); }

/** Reads a code segment descriptor; what is none raises `vector`. Privilege and presence are checked after it. */
export function fetchCode(selector: u32, vector: u32, external: u32): bool {
  if (isNull(selector)) return fail(vector, 0, external);
  if (!fetchDescriptor(selector, vector, external)) return false;
  return takeCode(selector, vector, external);
}

/** As fetchCode with the descriptor already read. */
export function takeCode(selector: u32, vector: u32, external: u32): bool {
  codeSelector = selector;
  codeAccess = accessOf(descriptor);
  if (!isCode(codeAccess)) return fail(vector, selector, external);
  if (longMode() && (codeAccess & (ACCESS_LONG | ACCESS_BIG)) == (ACCESS_LONG | ACCESS_BIG)) return fail(vector, selector, external);
  return true;
}

/** The last checks of a code segment: present, and the target inside it. Leaves it ready for commitCode. */
export function finishCode(external: u32): bool {
  if ((codeAccess & ACCESS_PRESENT) == 0) return fail(VECTOR_NP, codeSelector, external);
  if (!markAccessed()) return false;
  codeBits = descriptor;
  codeAccess = accessOf(codeBits);
  return true;
}

/** #GP(0) when `rip` is no address in the target segment. */
export function checkTarget(rip: u64, external: u32): bool {
  if (targetIsLong() ? canonical(rip) : rip <= <u64>limitOf(codeBits)) return true;
  raiseError(VECTOR_GP, external);
  return false;
}

/** Loads CS with the checked segment at privilege `level`. */
export function commitCode(level: u32): void {
  const selector = (codeSelector & 0xfffc) | level;
  if (targetIsLong()) setSegment(SEGMENT_CS, selector, 0, 0xffffffff, codeAccess);
  else setSegment(SEGMENT_CS, selector, baseOf(codeBits), limitOf(codeBits), codeAccess);
}

/** The stack segment a transfer switches to, checked but not yet loaded. */
let stackSelector: u32 = 0;
let stackBits: u64 = 0;
export function stackBase(): u64 { return baseOf(stackBits); }
export function stackLimit(): u32 { return limitOf(stackBits); }
export function stackAccess(): u32 { return accessOf(stackBits); }

/** Checks a stack segment for privilege `level`; `vector` is #GP, or #TS when the selector comes from a TSS. */
export function checkStack(selector: u32, level: u32, vector: u32, external: u32): bool {
  if (isNull(selector)) return fail(vector, 0, external);
  if (!fetchDescriptor(selector, vector, external)) return false;
  const access = accessOf(descriptor);
  if ((selector & 3) != level || dplOf(access) != level || !isWritableData(access)) return fail(vector, selector, external);
  if ((access & ACCESS_PRESENT) == 0) return fail(VECTOR_SS, selector, external);
  if (!markAccessed()) return false;
  stackSelector = selector;
  stackBits = descriptor;
  return true;
}

export function commitStackSegment(): void {
  setSegment(SEGMENT_SS, stackSelector, baseOf(stackBits), limitOf(stackBits), accessOf(stackBits));
}

/** SS as 64-bit mode leaves it on a change of privilege: null, its DPL telling the level. */
export function setNullStack(level: u32): void { setSegment(SEGMENT_SS, level, 0, 0xffffffff, level << 5); }
