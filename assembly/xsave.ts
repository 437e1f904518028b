// FXSAVE, FXRSTOR and the XSAVE family: images of the x87, SSE and AVX state in memory.
// Helpers NAME(d, a, b, imm): b: slot with the linear address; imm: 1 for the REX.W form (64-bit FIP and FDP).
// Specification: Intel SDM volume 1 chapter 13, volume 2 FXSAVE. Component 2 (AVX) lies at 576 in both formats.
// Not here: which components XCR0 may enable (XSETBV), CPUID leaf 0xd.
import { cpu } from './host';
import { CPL, CR0, CR4, FCS, FCW, FDP, FDS, FIP, FOP, FPR0, FTW_EMPTY, MSR_XSS, MXCSR, RAX, RDX, XCR0, YMM0 } from './generated/layout';
import { faulted, raise, raiseError } from './faults';
import { misaligned, prepareRead, prepareWrite, readMemory, writeMemory } from './memory';
import { CR0_EM, CR0_TS, CR4_OSXSAVE, code64 } from './registers';
import { initializeX87, setControlWord } from './x87-control';
import { highOf, setStatusWord, significandOf, st, statusWord } from './x87-stack';

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
const COMPACTED: u64 = 0x8000000000000000;

const LEGACY_BYTES: u32 = 512;
const MXCSR_AT: u32 = 24;
const ST_AT: u32 = 32;
const XMM_AT: u32 = 160;
const XSTATE_BV_AT: u32 = 512;
const XCOMP_BV_AT: u32 = 520;
const AVX_AT: u32 = 576;
const IMAGE_BYTES: u32 = 832;

const MXCSR_MASK: u64 = 0xffff;
const MXCSR_INITIAL: u32 = 0x1f80;
const CONTROL_INITIAL: u32 = 0x37f;
const YMM_BYTES: u32 = 32;
const VECTOR_UD: u32 = 6;
const VECTOR_NM: u32 = 7;
const VECTOR_GP: u32 = 13;

function generalProtection(): void { raiseError(VECTOR_GP, 0); }
function vectorCount(): u32 { return code64() ? 16 : 8; }
// @ts-ignore: decorator
@inline function ymm(n: u32): usize { return cpu + YMM0 + n * YMM_BYTES; }

function writeX87(linear: u64, wide: bool): void {
  const tags = ~u32(load<u8>(cpu + FTW_EMPTY)) & 0xff;
  writeMemory(linear, 8, u64(load<u16>(cpu + FCW)) | (u64(statusWord()) << 16) | (u64(tags) << 32) | (u64(load<u16>(cpu + FOP)) << 48));
  if (wide) {
    writeMemory(linear + 8, 8, load<u64>(cpu + FIP));
    writeMemory(linear + 16, 8, load<u64>(cpu + FDP));
  } else {
    writeMemory(linear + 8, 8, u64(load<u32>(cpu + FIP)) | (u64(load<u16>(cpu + FCS)) << 32));
    writeMemory(linear + 16, 8, u64(load<u32>(cpu + FDP)) | (u64(load<u16>(cpu + FDS)) << 32));
  }
  for (let n: u32 = 0; n < 8; n++) {
    writeMemory(linear + ST_AT + n * 16, 8, significandOf(st(n)));
    writeMemory(linear + ST_AT + n * 16 + 8, 8, highOf(st(n)));
  }
}

function readX87(linear: u64, wide: bool): void {
  const words = readMemory(linear, 8);
  setStatusWord(u32(words >> 16) & 0xffff);
  store<u8>(cpu + FTW_EMPTY, ~u32(words >> 32));
  store<u16>(cpu + FOP, u32(words >> 48) & 0x7ff);
  const instruction = readMemory(linear + 8, 8), operand = readMemory(linear + 16, 8);
  store<u64>(cpu + FIP, wide ? instruction : instruction & 0xffffffff);
  store<u64>(cpu + FDP, wide ? operand : operand & 0xffffffff);
  store<u16>(cpu + FCS, wide ? 0 : u32(instruction >> 32));
  store<u16>(cpu + FDS, wide ? 0 : u32(operand >> 32));
  setControlWord(u32(words) & 0xffff);
  for (let n: u32 = 0; n < 8; n++) {
    store<u64>(st(n), readMemory(linear + ST_AT + n * 16, 8));
    store<u64>(st(n), readMemory(linear + ST_AT + n * 16 + 8, 2), 8);
  }
}

/** Copies 16 bytes of every vector register, `half` bytes into it, to consecutive places. */
function writeVectors(linear: u64, half: usize): void {
  const count = vectorCount();
  for (let n: u32 = 0; n < count; n++) {
    writeMemory(linear + n * 16, 8, load<u64>(ymm(n) + half));
    writeMemory(linear + n * 16 + 8, 8, load<u64>(ymm(n) + half, 8));
  }
}

function readVectors(linear: u64, half: usize): void {
  const count = vectorCount();
  for (let n: u32 = 0; n < count; n++) {
    store<u64>(ymm(n) + half, readMemory(linear + n * 16, 8));
    store<u64>(ymm(n) + half, readMemory(linear + n * 16 + 8, 8), 8);
  }
}

function clearVectors(half: usize): void {
  const count = vectorCount();
  for (let n: u32 = 0; n < count; n++) v128.store(ymm(n) + half, i64x2.splat(0));
}

function writeMxcsr(linear: u64): void { writeMemory(linear + MXCSR_AT, 8, u64(load<u32>(cpu + MXCSR)) | (MXCSR_MASK << 32)); }

/** Whether the MXCSR of an image can be loaded; #GP otherwise. */
function checkMxcsr(value: u32): bool {
  if ((value & ~u32(MXCSR_MASK)) == 0) return true;
  generalProtection();
  return false;
}

function aligned(linear: u64, bytes: u64): bool {
  if ((linear & (bytes - 1)) == 0) return true;
  if (!misaligned(linear, 4)) generalProtection();
  return false;
}

function legacyAllowed(): bool {
  if ((load<u64>(cpu + CR0) & (CR0_EM | CR0_TS)) == 0) return true;
  raise(VECTOR_NM);
  return false;
}

export function fxsave(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b);
  if (!legacyAllowed() || !aligned(linear, 16)) return;
  prepareWrite(linear, LEGACY_BYTES);
  if (faulted()) return;
  writeX87(linear, imm != 0);
  writeMxcsr(linear);
  writeVectors(linear + XMM_AT, 0);
}

export function fxrstor(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(b);
  if (!legacyAllowed() || !aligned(linear, 16)) return;
  prepareRead(linear, LEGACY_BYTES);
  if (faulted()) return;
  const control = u32(readMemory(linear + MXCSR_AT, 4));
  if (!checkMxcsr(control)) return;
  readX87(linear, imm != 0);
  store<u32>(cpu + MXCSR, control);
  readVectors(linear + XMM_AT, 0);
}

/** Checks what the whole family checks; returns the linear address, or 1 after a fault. */
function extendedAddress(b: usize): u64 {
  const linear = load<u64>(b);
  if ((load<u64>(cpu + CR4) & CR4_OSXSAVE) == 0) raise(VECTOR_UD);
  else if (load<u64>(cpu + CR0) & CR0_TS) raise(VECTOR_NM);
  else if (aligned(linear, 64)) return linear;
  return 1;
}

function imageBytes(components: u64): u32 { return components & AVX ? IMAGE_BYTES : AVX_AT; }

function requested(enabled: u64): u64 {
  return ((u64(load<u32>(cpu + RDX)) << 32) | load<u32>(cpu + RAX)) & enabled;
}

function vectorsInUse(half: usize): bool {
  const count = vectorCount();
  let bits = i64x2.splat(0);
  for (let n: u32 = 0; n < count; n++) bits = v128.or(bits, v128.load(ymm(n) + half));
  return v128.any_true(bits);
}

function x87InUse(): bool {
  if (load<u16>(cpu + FCW) != CONTROL_INITIAL || statusWord() != 0 || load<u8>(cpu + FTW_EMPTY) != 0xff) return true;
  if (load<u64>(cpu + FIP) || load<u64>(cpu + FDP) || load<u16>(cpu + FOP) || load<u16>(cpu + FCS) || load<u16>(cpu + FDS)) return true;
  let bits = i64x2.splat(0);
  for (let n: u32 = 0; n < 8; n++) bits = v128.or(bits, v128.load(st(n)));
  return v128.any_true(bits);
}

/** XINUSE: the components that are not in their initial configuration. */
function inUse(mxcsrCounts: bool): u64 {
  let components: u64 = x87InUse() ? X87 : 0;
  if (vectorsInUse(0) || (mxcsrCounts && load<u32>(cpu + MXCSR) != MXCSR_INITIAL)) components |= SSE;
  if (vectorsInUse(16)) components |= AVX;
  return components;
}

function writeComponents(linear: u64, components: u64, wide: bool): void {
  if (components & X87) writeX87(linear, wide);
  if (components & SSE) writeVectors(linear + XMM_AT, 0);
  if (components & AVX) writeVectors(linear + AVX_AT, 16);
}

function saveStandard(b: usize, wide: bool, optimized: bool): void {
  const linear = extendedAddress(b);
  if (faulted()) return;
  const mask = requested(load<u64>(cpu + XCR0));
  prepareWrite(linear, imageBytes(mask));
  if (faulted()) return;
  const used = inUse(false);
  writeComponents(linear, optimized ? mask & used : mask, wide);
  if (mask & (SSE | AVX)) writeMxcsr(linear);
  writeMemory(linear + XSTATE_BV_AT, 8, (readMemory(linear + XSTATE_BV_AT, 8) & ~mask) | (mask & used));
}

function saveCompacted(b: usize, wide: bool, enabled: u64): void {
  const linear = extendedAddress(b);
  if (faulted()) return;
  const mask = requested(enabled);
  prepareWrite(linear, imageBytes(mask));
  if (faulted()) return;
  const written = mask & inUse(true);
  writeComponents(linear, written, wide);
  if (written & SSE) writeMxcsr(linear);
  writeMemory(linear + XSTATE_BV_AT, 8, written);
  writeMemory(linear + XCOMP_BV_AT, 8, mask | COMPACTED);
}

function supervisor(): bool {
  if (load<u32>(cpu + CPL) == 0) return true;
  generalProtection();
  return false;
}

export function xsave(d: usize, a: usize, b: usize, imm: i32): void { saveStandard(b, imm != 0, false); }
export function xsaveopt(d: usize, a: usize, b: usize, imm: i32): void { saveStandard(b, imm != 0, true); }
export function xsavec(d: usize, a: usize, b: usize, imm: i32): void { saveCompacted(b, imm != 0, load<u64>(cpu + XCR0)); }
export function xsaves(d: usize, a: usize, b: usize, imm: i32): void {
  if (supervisor()) saveCompacted(b, imm != 0, load<u64>(cpu + XCR0) | load<u64>(cpu + MSR_XSS));
}

/** Whether the header of an image is one that XRSTOR accepts with these components enabled. */
function headerValid(linear: u64, state: u64, layout: u64, enabled: u64): bool {
  if (layout & COMPACTED) {
    if ((layout & ~COMPACTED & ~enabled) != 0 || (state & ~layout) != 0) return false;
    for (let at = XCOMP_BV_AT + 8; at < AVX_AT; at += 8) if (readMemory(linear + at, 8) != 0) return false;
    return true;
  }
  return layout == 0 && (state & ~enabled) == 0 && readMemory(linear + XCOMP_BV_AT + 8, 8) == 0;
}

/** MXCSR belongs to SSE; in the standard format it is loaded whenever SSE or AVX is asked for. */
function restoreMxcsr(linear: u64, mask: u64, state: u64, compacted: bool): bool {
  if ((compacted ? mask & SSE : mask & (SSE | AVX)) == 0) return true;
  if (compacted && (state & SSE) == 0) {
    store<u32>(cpu + MXCSR, MXCSR_INITIAL);
    return true;
  }
  const control = u32(readMemory(linear + MXCSR_AT, 4));
  if (!checkMxcsr(control)) return false;
  store<u32>(cpu + MXCSR, control);
  return true;
}

function restoreX87(linear: u64, present: bool, wide: bool): void {
  if (present) return readX87(linear, wide);
  initializeX87();
  memory.fill(cpu + FPR0, 0, 128);
}

function restoreVectors(linear: u64, present: bool, half: usize): void {
  if (present) readVectors(linear, half);
  else clearVectors(half);
}

function restore(b: usize, wide: bool, enabled: u64, onlyCompacted: bool): void {
  const linear = extendedAddress(b);
  if (faulted()) return;
  const mask = requested(enabled);
  prepareRead(linear, imageBytes(mask));
  if (faulted()) return;
  const state = readMemory(linear + XSTATE_BV_AT, 8), layout = readMemory(linear + XCOMP_BV_AT, 8);
  const compacted = (layout & COMPACTED) != 0;
  if ((onlyCompacted && !compacted) || !headerValid(linear, state, layout, enabled)) return generalProtection();
  if (!restoreMxcsr(linear, mask, state, compacted)) return;
  if (mask & X87) restoreX87(linear, (state & X87) != 0, wide);
  if (mask & SSE) restoreVectors(linear + XMM_AT, (state & SSE) != 0, 0);
  if (mask & AVX) restoreVectors(linear + AVX_AT, (state & AVX) != 0, 16);
}

export function xrstor(d: usize, a: usize, b: usize, imm: i32): void { restore(b, imm != 0, load<u64>(cpu + XCR0), false); }
export function xrstors(d: usize, a: usize, b: usize, imm: i32): void {
  if (supervisor()) restore(b, imm != 0, load<u64>(cpu + XCR0) | load<u64>(cpu + MSR_XSS), true);
}
