// CPUID: leaves assembled from the feature words that creation put into the state (order below), and the dynamic bits.
// Feature words: 0 leaf 1 EDX, 1 leaf 1 ECX, 2..4 leaf 7.0 EBX ECX EDX, 5 0x80000001 EDX, 6 0x80000001 ECX, 7 leaf 0xD.1 EAX,
// 8 leaf 1 EAX, 9 highest basic leaf, 10 0x80000007 EDX, 11 leaf 6 EAX, 12 0x80000008 EBX, 13 0x80000021 EAX.
import {
  BRAND0, CPUID_FEATURE0, CPUID_FEATURE1, CPUID_FEATURE10, CPUID_FEATURE11, CPUID_FEATURE12, CPUID_FEATURE13, CPUID_FEATURE2,
  CPUID_FEATURE3, CPUID_FEATURE4, CPUID_FEATURE5, CPUID_FEATURE6, CPUID_FEATURE7, CPUID_FEATURE8, CPUID_FEATURE9, CR4, RAX, RBX, RCX, RDX,
  SCRATCH0, VCPU_INDEX, VENDOR0, VENDOR1, VENDOR2, XCR0,
} from './generated/layout';
import { apicMsrRead } from './host';
import { xcr0Allowed } from './control';
import { CR4_OSXSAVE, PHYSICAL_ADDRESS_BITS, get32, get64, set64 } from './registers';
import { tscKhz } from './time-stamp';

const VENDOR_AMD: u32 = 0x68747541;
const FEATURE_APIC: u32 = 1 << 9;
const FEATURE_OSXSAVE: u32 = 1 << 27;
const FEATURE_XSAVE: u32 = 1 << 26;
const FEATURE_HYPERVISOR: u32 = 1 << 31;
const MSR_APIC_BASE: u32 = 0x1b;
const APIC_ENABLED: u64 = 1 << 11;
const HYPERVISOR_TIMING: u32 = 0x40000010;
const EXTENDED_MAX: u32 = 0x80000008;
const EXTENDED_FEATURES: u32 = 0x80000021; // the highest leaf of a model that has any of them
/** Clock of the local APIC timer, the crystal of leaf 0x15. */
const APIC_KHZ: u32 = 1000000;
const LINEAR_ADDRESS_BITS: u32 = 48;
const AVX_OFFSET: u32 = 576;
const AVX_BYTES: u32 = 256;

function answer(eax: u32, ebx: u32, ecx: u32, edx: u32): void {
  set64(RAX, eax);
  set64(RBX, ebx);
  set64(RCX, ecx);
  set64(RDX, edx);
}

export function cpuid(d: usize, a: usize, b: usize, imm: i32): void {
  const leaf = <u32>get64(RAX), sub = <u32>get64(RCX);
  if (leaf >= 0x80000000) extended(leaf);
  else if (leaf >= 0x40000000) hypervisor(leaf);
  else if (leaf > get32(CPUID_FEATURE9)) answer(0, 0, 0, 0);
  else basic(leaf, sub);
}

function basic(leaf: u32, sub: u32): void {
  switch (leaf) {
    case 0: return answer(get32(CPUID_FEATURE9), get32(VENDOR0), get32(VENDOR2), get32(VENDOR1));
    case 1: return features();
    case 2: return answer(1, 0, 0, 0x002c307d); // L1 32 + 32 KiB, L2 2 MiB
    case 4: return cache(sub);
    case 6: return answer(get32(CPUID_FEATURE11), 0, 0, 0);
    case 7: return sub == 0 ? answer(0, get32(CPUID_FEATURE2), get32(CPUID_FEATURE3), get32(CPUID_FEATURE4)) : answer(0, 0, 0, 0);
    case 0xb: return topology(sub);
    case 0xd: return extendedState(sub);
    case 0x15: return answer(APIC_KHZ, tscKhz(), APIC_KHZ * 1000, 0);
    case 0x16: return answer(tscKhz() / 1000, tscKhz() / 1000, APIC_KHZ / 1000, 0);
    default: return answer(0, 0, 0, 0);
  }
}

function features(): void {
  let ecx = get32(CPUID_FEATURE1), edx = get32(CPUID_FEATURE0);
  if (get64(CR4) & CR4_OSXSAVE) ecx |= FEATURE_OSXSAVE;
  else ecx &= ~FEATURE_OSXSAVE;
  if (apicMsrRead(MSR_APIC_BASE) && (get64(SCRATCH0) & APIC_ENABLED) == 0) edx &= ~FEATURE_APIC;
  const clflush: u32 = 8 << 8, logicalProcessors: u32 = 1 << 16;
  answer(get32(CPUID_FEATURE8), (get32(VCPU_INDEX) << 24) | logicalProcessors | clflush, ecx, edx);
}

/** Deterministic cache parameters: EAX level, type; EBX ways - 1 << 22 | line - 1; ECX sets - 1. */
function cache(sub: u32): void {
  switch (sub) {
    case 0: return answer(0x121, (7 << 22) | 63, 63, 0);
    case 1: return answer(0x122, (7 << 22) | 63, 63, 0);
    case 2: return answer(0x143, (7 << 22) | 63, 4095, 0);
    default: return answer(0, 0, 0, 0);
  }
}

function topology(sub: u32): void {
  const thread: u32 = 1, core: u32 = 2;
  if (sub < 2) answer(0, 1, sub | ((sub == 0 ? thread : core) << 8), get32(VCPU_INDEX));
  else answer(0, 0, sub, get32(VCPU_INDEX));
}

function areaBytes(components: u64): u32 { return AVX_OFFSET + (components & 4 ? AVX_BYTES : 0); }

function extendedState(sub: u32): void {
  if ((get32(CPUID_FEATURE1) & FEATURE_XSAVE) == 0) return answer(0, 0, 0, 0);
  const allowed = xcr0Allowed();
  if (sub == 0) return answer(<u32>allowed, areaBytes(get64(XCR0)), areaBytes(allowed), 0);
  if (sub == 1) return answer(get32(CPUID_FEATURE7), areaBytes(get64(XCR0)), 0, 0);
  if (sub == 2 && (allowed & 4)) return answer(AVX_BYTES, AVX_OFFSET, 0, 0);
  answer(0, 0, 0, 0);
}

/** Only announced together with the hypervisor bit. The signature is "NanduNanduNa". */
function hypervisor(leaf: u32): void {
  if ((get32(CPUID_FEATURE1) & FEATURE_HYPERVISOR) == 0) return answer(0, 0, 0, 0);
  if (leaf == 0x40000000) answer(HYPERVISOR_TIMING, 0x646e614e, 0x6e614e75, 0x614e7564);
  else if (leaf == HYPERVISOR_TIMING) answer(tscKhz(), APIC_KHZ, 0, 0);
  else answer(0, 0, 0, 0);
}

function extended(leaf: u32): void {
  const amd = get32(VENDOR0) == VENDOR_AMD;
  switch (leaf) {
    case 0x80000000: {
      const max = get32(CPUID_FEATURE13) != 0 ? EXTENDED_FEATURES : EXTENDED_MAX;
      return amd ? answer(max, get32(VENDOR0), get32(VENDOR2), get32(VENDOR1)) : answer(max, 0, 0, 0);
    }
    case 0x80000001: return answer(amd ? get32(CPUID_FEATURE8) : 0, 0, get32(CPUID_FEATURE6), get32(CPUID_FEATURE5));
    case 0x80000002: case 0x80000003: case 0x80000004: {
      const words = BRAND0 + (leaf - 0x80000002) * 16;
      return answer(get32(words), get32(words + 4), get32(words + 8), get32(words + 12));
    }
    case 0x80000005: return amd ? answer(0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140) : answer(0, 0, 0, 0);
    case 0x80000006: return answer(0, 0x42004200, 0x02008140, 0);
    case 0x80000007: return answer(0, 0, 0, get32(CPUID_FEATURE10));
    case 0x80000008: return answer(PHYSICAL_ADDRESS_BITS | (LINEAR_ADDRESS_BITS << 8), get32(CPUID_FEATURE12), 0, 0);
    case EXTENDED_FEATURES: return answer(get32(CPUID_FEATURE13), 0, 0, 0);
    default: return answer(0, 0, 0, 0);
  }
}
