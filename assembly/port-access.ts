// IN and OUT with their permission check (Intel SDM 1 chapter 19): IOPL, then the bitmap of a 32-bit TSS.
// Not here: INS and OUTS (strings.ts), which use the same check.
import { portRead, portReadRun, portWrite, portWriteRun } from './host';
import { COUNT_PORT } from './generated/layout';
import { notePort } from './debug';
import { faulted, raiseGp } from './faults';
import { readSystem } from './memory';
import {
  ACCESS_PRESENT, SEGMENT_TR, count, cpl, iopl, mergeSize, protectedMode, segmentAccess, segmentBase, segmentLimit, sizeMask,
  virtual86,
} from './registers';

const TSS_BITMAP_BASE: u32 = 0x66;
const TSS_BYTES_MIN: u32 = 0x67;

/** Whether the current privilege may use `size` ports from `port`; raises #GP(0) otherwise. */
export function portsAllowed(port: u32, size: u32): bool {
  if (!protectedMode() || (!virtual86() && cpl() <= iopl())) return true;
  if (bitmapAllows(port, size)) return true;
  if (!faulted()) raiseGp();
  return false;
}

function bitmapAllows(port: u32, size: u32): bool {
  const access = segmentAccess(SEGMENT_TR);
  if ((access & ACCESS_PRESENT) == 0 || (access & 8) == 0 || segmentLimit(SEGMENT_TR) < TSS_BYTES_MIN) return false;
  const tss = segmentBase(SEGMENT_TR);
  const at = <u32>readSystem(tss + TSS_BITMAP_BASE, 2) + (port >> 3);
  if (faulted() || at + 1 > segmentLimit(SEGMENT_TR)) return false; // the byte after is read too
  const bits = <u32>readSystem(tss + at, 2) >> (port & 7);
  return !faulted() && (bits & ((1 << size) - 1)) == 0;
}

export function inPort(port: u32, size: u32): u64 {
  count(COUNT_PORT);
  notePort(port, size);
  return <u64>portRead(port, size) & sizeMask(size);
}

export function outPort(port: u32, size: u32, value: u64): void {
  count(COUNT_PORT);
  notePort(port, size);
  portWrite(port, size, <u32>(value & sizeMask(size)));
}

/** Runs of elements between a port and host memory: bytes moved, 0 where the device takes none. */
export function inPortRun(port: u32, size: u32, host: usize, bytes: u32): u32 {
  const done = portReadRun(port, size, host, bytes);
  if (done != 0) {
    count(COUNT_PORT);
    notePort(port, size);
  }
  return done;
}

export function outPortRun(port: u32, size: u32, host: usize, bytes: u32): u32 {
  const done = portWriteRun(port, size, host, bytes);
  if (done != 0) {
    count(COUNT_PORT);
    notePort(port, size);
  }
  return done;
}

/** d: RAX or a slot that takes the value as a register would; a: slot with the port; imm: size. */
export function portIn(d: usize, a: usize, b: usize, imm: i32): void {
  const port: u32 = load<u16>(a);
  if (portsAllowed(port, imm)) store<u64>(d, mergeSize(load<u64>(d), inPort(port, imm), imm));
}

/** a: slot with the port; b: slot with the value; imm: size. */
export function portOut(d: usize, a: usize, b: usize, imm: i32): void {
  const port: u32 = load<u16>(a);
  if (portsAllowed(port, imm)) outPort(port, imm, load<u64>(b));
}
