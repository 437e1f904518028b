// Loading segment registers, LDTR and TR, and storing the descriptor-table registers (Intel SDM 2, MOV Sreg, LLDT, LTR, SGDT).
// Not here: CS (transfers.ts), limit checks (segment-check.ts).
import { CR0, CR4, GDTR_BASE, GDTR_LIMIT, IDTR_BASE, IDTR_LIMIT, INHIBIT } from './generated/layout';
import { disarmStep } from './debug';
import {
  accessOf, baseOf, descriptorAddress, descriptorBits, dplOf, fail, fetchDescriptor, fetchUpper, isCode, isConforming, isNull,
  isWritableData, limitOf, markAccessed,
} from './descriptors';
import { VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_UD, faulted, raise, raiseError, raiseGp } from './faults';
import { prepareWrite, readMemory, writeMemory, writeSystem } from './memory';
import { updateMode } from './mode';
import {
  ACCESS_PRESENT, ACCESS_S, ACCESS_WRITABLE, CR4_UMIP, SEGMENT_CS, SEGMENT_DS, SEGMENT_LDTR, SEGMENT_SS, SEGMENT_TR, canonical, code64,
  cpl, get32, get64, longMode, protectedMode, segmentAccess, segmentBase, segmentLimit, segmentSelector, set32, set64, setSegment,
  virtual86,
} from './registers';

const TYPE_LDT: u32 = 2;
const TYPE_TSS16: u32 = 1;
const TYPE_TSS32: u32 = 9;
const BUSY: u32 = 2;
const INHIBIT_NEXT: u32 = 1;

/** Real mode keeps the limit (and SS.B) that protected mode left: "unreal" mode. Every segment is writable, CS too. */
export function setRealSegment(segment: u32, selector: u32): void {
  if (virtual86()) return setSegment(segment, selector, selector << 4, 0xffff, 0xf3);
  const access: u32 = segment == SEGMENT_CS ? 0x93 : (segmentAccess(segment) & 0xf000) | 0x93;
  const limit = segmentAccess(segment) & ACCESS_PRESENT ? segmentLimit(segment) : 0xffff;
  setSegment(segment, selector, selector << 4, limit, access);
}

function commitDescriptor(segment: u32, selector: u32): void {
  const bits = descriptorBits();
  setSegment(segment, selector, baseOf(bits), limitOf(bits), accessOf(bits));
}

/** SS in protected mode at the current privilege; `vector` is #GP or, in a task switch, #TS. */
export function loadStackSegment(selector: u32, vector: u32): bool {
  const level = cpl();
  if (isNull(selector)) {
    if (!code64() || level == 3 || (selector & 3) != level) return fail(vector, 0, 0);
    setSegment(SEGMENT_SS, selector, 0, 0xffffffff, level << 5);
    return true;
  }
  if (!fetchDescriptor(selector, vector, 0)) return false;
  const access = accessOf(descriptorBits());
  if ((selector & 3) != level || dplOf(access) != level || !isWritableData(access)) return fail(vector, selector, 0);
  if ((access & ACCESS_PRESENT) == 0) return fail(VECTOR_SS, selector, 0);
  if (!markAccessed()) return false;
  commitDescriptor(SEGMENT_SS, selector);
  return true;
}

/** DS, ES, FS or GS in protected mode. */
export function loadDataSegment(segment: u32, selector: u32, vector: u32): bool {
  if (isNull(selector)) {
    setSegment(segment, selector, 0, 0, 0);
    return true;
  }
  if (!fetchDescriptor(selector, vector, 0)) return false;
  const access = accessOf(descriptorBits()), rpl = selector & 3;
  const code = isCode(access);
  if ((access & ACCESS_S) == 0 || (code && (access & ACCESS_WRITABLE) == 0)) return fail(vector, selector, 0);
  if (!(code && isConforming(access)) && (dplOf(access) < cpl() || dplOf(access) < rpl)) return fail(vector, selector, 0);
  if ((access & ACCESS_PRESENT) == 0) return fail(VECTOR_NP, selector, 0);
  if (!markAccessed()) return false;
  commitDescriptor(segment, selector);
  return true;
}

/** MOV and POP to a segment register. imm: its index; a: slot with the selector. */
export function loadSegment(d: usize, a: usize, b: usize, imm: i32): void {
  const segment: u32 = imm, selector: u32 = load<u16>(a);
  if (!protectedMode() || virtual86()) setRealSegment(segment, selector);
  else if (segment == SEGMENT_SS ? !loadStackSegment(selector, VECTOR_GP) : !loadDataSegment(segment, selector, VECTOR_GP)) return;
  if (segment == SEGMENT_SS) {
    set32(INHIBIT, get32(INHIBIT) | INHIBIT_NEXT);
    disarmStep();
  }
  if (segment <= SEGMENT_DS) updateMode();
}

/** On return to privilege `level`, a data segment that it may not use becomes null; its base stays, as 64-bit code can see. */
export function dropInnerSegment(segment: u32, level: u32): void {
  const access = segmentAccess(segment);
  if ((access & ACCESS_PRESENT) == 0 || (isCode(access) && isConforming(access)) || dplOf(access) >= level) return;
  setSegment(segment, 0, segmentBase(segment), 0, 0);
}

function requireProtected(): bool {
  if (protectedMode() && !virtual86()) return true;
  raise(VECTOR_UD);
  return false;
}

function requireSystem(): bool {
  if (!requireProtected()) return false;
  if (cpl() == 0) return true;
  raiseGp();
  return false;
}

function commitSystem(segment: u32, selector: u32, upper: u64): bool {
  const bits = descriptorBits();
  const base = baseOf(bits) | (upper << 32);
  if (!canonical(base)) return fail(VECTOR_GP, selector, 0);
  setSegment(segment, selector, base, limitOf(bits), accessOf(bits));
  return true;
}

/** a: slot with the selector. */
export function lldt(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireSystem()) return;
  loadLdt(load<u16>(a), VECTOR_GP);
}

export function loadLdt(selector: u32, vector: u32): bool {
  if (isNull(selector)) {
    setSegment(SEGMENT_LDTR, selector, 0, 0, 0);
    return true;
  }
  if (selector & 4 || !fetchDescriptor(selector, vector, 0)) return faulted() ? false : fail(vector, selector, 0);
  const access = accessOf(descriptorBits());
  if ((access & 0x1f) != TYPE_LDT) return fail(vector, selector, 0);
  if ((access & ACCESS_PRESENT) == 0) return fail(vector == VECTOR_GP ? VECTOR_NP : vector, selector, 0);
  const upper: u64 = longMode() ? fetchUpper(selector, vector, 0) : 0;
  return !faulted() && commitSystem(SEGMENT_LDTR, selector, upper & 0xffffffff);
}

/** a: slot with the selector. */
export function ltr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireSystem()) return;
  const selector: u32 = load<u16>(a);
  if (isNull(selector)) return raiseGp();
  if (selector & 4) return raiseError(VECTOR_GP, selector & 0xfffc);
  if (!fetchDescriptor(selector, VECTOR_GP, 0)) return;
  const access = accessOf(descriptorBits()), type = access & 0x1f;
  if (type != TYPE_TSS32 && (longMode() || type != TYPE_TSS16)) return raiseError(VECTOR_GP, selector & 0xfffc);
  if ((access & ACCESS_PRESENT) == 0) return raiseError(VECTOR_NP, selector & 0xfffc);
  const upper: u64 = longMode() ? fetchUpper(selector, VECTOR_GP, 0) : 0;
  if (faulted()) return;
  if (!canonical(baseOf(descriptorBits()) | (upper << 32))) return raiseError(VECTOR_GP, selector & 0xfffc);
  writeSystem(descriptorAddress() + 5, 1, access | BUSY);
  if (faulted()) return;
  const bits = descriptorBits();
  setSegment(SEGMENT_TR, selector, baseOf(bits) | (upper << 32), limitOf(bits), access | BUSY);
}

/** #GP(0) of SGDT, SIDT, SLDT, STR and SMSW outside CPL 0 under UMIP. */
function storesAllowed(): bool {
  if (cpl() == 0 || (get64(CR4) & CR4_UMIP) == 0) return true;
  raiseGp();
  return false;
}

/** d: slot for the selector, zero extended. */
export function sldt(d: usize, a: usize, b: usize, imm: i32): void {
  if (requireProtected() && storesAllowed()) store<u64>(d, segmentSelector(SEGMENT_LDTR));
}
export function str(d: usize, a: usize, b: usize, imm: i32): void {
  if (requireProtected() && storesAllowed()) store<u64>(d, segmentSelector(SEGMENT_TR));
}
/** d: slot for CR0, which the instruction stores by operand size. */
export function smsw(d: usize, a: usize, b: usize, imm: i32): void {
  if (storesAllowed()) store<u64>(d, get64(CR0));
}

function storeTable(linear: u64, base: u64, limit: u32): void {
  if (!storesAllowed()) return;
  const size: u32 = code64() ? 8 : 4;
  prepareWrite(linear, size + 2);
  if (faulted()) return;
  writeMemory(linear, 2, limit);
  writeMemory(code64() ? linear + 2 : (linear + 2) & 0xffffffff, size, base);
}

/** b: slot with the linear address; imm: operand size (2 loads a 24-bit base). */
export function sgdt(d: usize, a: usize, b: usize, imm: i32): void { storeTable(load<u64>(b), get64(GDTR_BASE), get32(GDTR_LIMIT)); }
export function sidt(d: usize, a: usize, b: usize, imm: i32): void { storeTable(load<u64>(b), get64(IDTR_BASE), get32(IDTR_LIMIT)); }

function loadTable(linear: u64, imm: i32, baseField: u32, limitField: u32): void {
  if (cpl() != 0) return raiseGp();
  const limit = <u32>readMemory(linear, 2);
  if (faulted()) return;
  let base = readMemory(code64() ? linear + 2 : (linear + 2) & 0xffffffff, code64() ? 8 : 4);
  if (faulted()) return;
  if (imm == 2 && !code64()) base &= 0xffffff;
  if (!canonical(base)) return raiseGp();
  set64(baseField, base);
  set32(limitField, limit);
}
export function lgdt(d: usize, a: usize, b: usize, imm: i32): void { loadTable(load<u64>(b), imm, GDTR_BASE, GDTR_LIMIT); }
export function lidt(d: usize, a: usize, b: usize, imm: i32): void { loadTable(load<u64>(b), imm, IDTR_BASE, IDTR_LIMIT); }
