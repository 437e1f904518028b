// The time-stamp counter: guest nanoseconds scaled to tscKhz, plus the offset that WRMSR sets.
import { apicMsrWrite, guestNanoseconds } from './host';
import { MSR_TSC_ADJUST, MSR_TSC_AUX, MSR_TSC_OFFSET, RAX, RCX, RDX, TSC_KHZ } from './generated/layout';
import { raiseGp } from './faults';
import { CR4_TSD, controlBit4, cpl, get32, get64, set64 } from './registers';

const MSR_TSC: u32 = 0x10;

export function tscKhz(): u32 { return get32(TSC_KHZ) ? get32(TSC_KHZ) : 1000000; }
export function readTsc(): u64 { return <u64>(guestNanoseconds() * (<f64>tscKhz() / 1000000)) + get64(MSR_TSC_OFFSET); }

/** Moves the counter by `delta`; IA32_TSC_ADJUST follows it. */
export function moveTsc(delta: u64): void {
  set64(MSR_TSC_OFFSET, get64(MSR_TSC_OFFSET) + delta);
  set64(MSR_TSC_ADJUST, get64(MSR_TSC_ADJUST) + delta);
  apicMsrWrite(MSR_TSC);
}

function readInto(): bool {
  if (cpl() != 0 && controlBit4(CR4_TSD)) {
    raiseGp();
    return false;
  }
  const tsc = readTsc();
  set64(RAX, tsc & 0xffffffff);
  set64(RDX, tsc >> 32);
  return true;
}

export function rdtsc(d: usize, a: usize, b: usize, imm: i32): void { readInto(); }
export function rdtscp(d: usize, a: usize, b: usize, imm: i32): void {
  if (readInto()) set64(RCX, get64(MSR_TSC_AUX) & 0xffffffff);
}
/** QUIRK: there are no performance counters; none are announced. */
export function rdpmc(d: usize, a: usize, b: usize, imm: i32): void { raiseGp(); }
/** d: destination slot. */
export function rdpid(d: usize, a: usize, b: usize, imm: i32): void { store<u64>(d, get64(MSR_TSC_AUX) & 0xffffffff); }
