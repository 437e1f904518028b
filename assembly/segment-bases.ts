// SWAPGS and the FSGSBASE instructions (Intel SDM 2). imm is the operand size, 4 or 8.
import { MSR_KERNEL_GS_BASE } from './generated/layout';
import { requireRing0 } from './control';
import { VECTOR_UD, raise, raiseGp } from './faults';
import {
  CR4_FSGSBASE, SEGMENT_FS, SEGMENT_GS, canonical, code64, controlBit4, get64, segmentBase, set64, setSegmentBase, sizeMask,
} from './registers';

export function swapgs(d: usize, a: usize, b: usize, imm: i32): void {
  if (!code64()) return raise(VECTOR_UD);
  if (!requireRing0()) return;
  const base = segmentBase(SEGMENT_GS);
  setSegmentBase(SEGMENT_GS, get64(MSR_KERNEL_GS_BASE));
  set64(MSR_KERNEL_GS_BASE, base);
}

function enabled(): bool {
  if (code64() && controlBit4(CR4_FSGSBASE)) return true;
  raise(VECTOR_UD);
  return false;
}

function readBase(d: usize, segment: u32, size: u32): void {
  if (enabled()) store<u64>(d, segmentBase(segment) & sizeMask(size));
}

function writeBase(a: usize, segment: u32, size: u32): void {
  if (!enabled()) return;
  const base = load<u64>(a) & sizeMask(size);
  if (canonical(base)) setSegmentBase(segment, base);
  else raiseGp();
}

export function rdfsbase(d: usize, a: usize, b: usize, imm: i32): void { readBase(d, SEGMENT_FS, imm); }
export function rdgsbase(d: usize, a: usize, b: usize, imm: i32): void { readBase(d, SEGMENT_GS, imm); }
export function wrfsbase(d: usize, a: usize, b: usize, imm: i32): void { writeBase(a, SEGMENT_FS, imm); }
export function wrgsbase(d: usize, a: usize, b: usize, imm: i32): void { writeBase(a, SEGMENT_GS, imm); }
