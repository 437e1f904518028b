// The state after power-on or RESET, and after INIT (Intel SDM 3A table 10-1). What was announced (CPUID words, tscKhz) stays.
import { cpu } from './host';
import {
  A20_MASK, CC_A, CC_B, CC_OP, CPUID_FEATURE8, CR0, DR6, DR7, EFLAGS, FCW, FPR0, FTW_EMPTY, GDTR_BASE, GDTR_LIMIT, HALTED, IDTR_BASE,
  IDTR_LIMIT, INHIBIT, KIND_FLAGS, MSR_APIC_BASE, MSR_MISC_ENABLE, MSR_MTRR_FIX10, MSR_PAT, MSR_STAR, MXCSR, NEXT_RIP, PDPTE3,
  PENDING_DEBUG, PENDING_STEP, RAX, RDX, REPEAT, RIP, STEP_ARMED, VCPU_INDEX, XCR0, YMM0,
} from './generated/layout';
import { clearFault } from './faults';
import { updateMode } from './mode';
import {
  CR0_CD, CR0_ET, CR0_NW, SEGMENT_CS, SEGMENT_ES, SEGMENT_GS, SEGMENT_LDTR, SEGMENT_TR, get32, get64, set32, set64, setSegment,
} from './registers';
import { resetTlb } from './tlb';

const APIC_BASE: u64 = 0xfee00800; // enabled
const APIC_BOOT_PROCESSOR: u64 = 0x100;
const PAT_RESET: u64 = 0x0007040600070406;
const CR0_RESET: u64 = 0x60000010;

/** Zeroes the fields from `first` up to and including the eight bytes of `last`, which state.ts declares in one run. */
function zero(first: u32, last: u32): void { memory.fill(cpu + first, 0, last + 8 - first); }

function resetSegments(): void {
  for (let n = SEGMENT_ES; n <= SEGMENT_GS; n++) setSegment(n, 0, 0, 0xffff, 0x93);
  setSegment(SEGMENT_CS, 0xf000, 0xffff0000, 0xffff, 0x93);
  setSegment(SEGMENT_LDTR, 0, 0, 0xffff, 0x82);
  setSegment(SEGMENT_TR, 0, 0, 0xffff, 0x8b);
  set64(GDTR_BASE, 0);
  set64(IDTR_BASE, 0);
  set32(GDTR_LIMIT, 0xffff);
  set32(IDTR_LIMIT, 0xffff);
}

function resetFloatingPoint(): void {
  memory.fill(cpu + YMM0, 0, MXCSR - YMM0);
  set32(MXCSR, 0x1f80);
  memory.fill(cpu + FPR0, 0, MSR_STAR - FPR0);
  store<u16>(cpu + FCW, 0x40);
  store<u8>(cpu + FTW_EMPTY, 0);
}

/** What RESET and INIT have in common. */
function resetExecution(): void {
  zero(RAX, NEXT_RIP);
  set64(RDX, get32(CPUID_FEATURE8));
  set64(RIP, 0xfff0);
  set64(CC_A, 0);
  set64(CC_B, 0);
  set32(CC_OP, KIND_FLAGS << 2);
  set32(EFLAGS, 2);
  resetSegments();
  zero(CR0, PDPTE3);
  set64(CR0, CR0_RESET);
  set64(DR6, 0xffff0ff0);
  set64(DR7, 0x400);
  set32(HALTED, 0);
  set32(INHIBIT, 0);
  set32(REPEAT, 0);
  set32(STEP_ARMED, 0);
  set32(PENDING_DEBUG, 0);
  set32(PENDING_STEP, 0);
  if (get32(A20_MASK) == 0) set32(A20_MASK, 0xffffffff);
  clearFault();
  resetTlb();
}

export function resetCpu(): void {
  resetExecution();
  set64(XCR0, 1);
  resetFloatingPoint();
  zero(MSR_STAR, MSR_MTRR_FIX10);
  set64(MSR_PAT, PAT_RESET);
  set64(MSR_MISC_ENABLE, 1);
  set64(MSR_APIC_BASE, APIC_BASE | (get32(VCPU_INDEX) == 0 ? APIC_BOOT_PROCESSOR : 0));
  updateMode();
}

/** INIT keeps CR0.CD and CR0.NW, the floating-point state, XCR0 and the MSRs other than EFER. */
export function initCpu(): void {
  const caching = get64(CR0) & (CR0_CD | CR0_NW), components = get64(XCR0);
  resetExecution();
  set64(CR0, CR0_ET | caching);
  set64(XCR0, components);
  updateMode();
}
