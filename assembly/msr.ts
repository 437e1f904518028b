// RDMSR and WRMSR (Intel SDM 4). Three kinds: registers with an effect (the switches), plain storage, and constants that
// operating systems read or write without consequence (the table `constants`). Everything else raises #GP(0).
// QUIRK: the MTRRs and the PAT store what is written but memory has no types; DEBUGCTL records no branches.
import { apicMsrRead, apicMsrWrite, cpu } from './host';
import {
  CPUID_FEATURE1, CPUID_FEATURE12, CPUID_FEATURE13, CPUID_FEATURE4, CPUID_FEATURE5, CR0, EFER, MSR_BIOS_SIGN_ID, MSR_CSTAR, MSR_DEBUGCTL,
  MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_MISC_ENABLE,
  MSR_MTRR_DEF_TYPE, MSR_MTRR_FIX0, MSR_MTRR_PHYS_BASE0, MSR_PAT, MSR_SFMASK, MSR_SMI_COUNT, MSR_SPEC_CTRL, MSR_STAR, MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC_ADJUST, MSR_TSC_AUX, MSR_XSS, RAX, RCX, RDX, SCRATCH0,
} from './generated/layout';
import { requireRing0 } from './control';
import { faulted, raiseGp } from './faults';
import { updateMode } from './mode';
import {
  CR0_PG, EFER_AIBRSE, EFER_FFXSR, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, SEGMENT_FS, SEGMENT_GS, canonical, get32, get64, segmentBase,
  set64, setSegmentBase,
} from './registers';
import { moveTsc, readTsc } from './time-stamp';
import { flushTlb } from './tlb';

const NO_FIELD: u32 = 0xffffffff;
const FEATURE_NX: u32 = 1 << 20;
const FEATURE_FFXSR: u32 = 1 << 25;
const FEATURE_LONG: u32 = 1 << 29;
const FEATURE_SPEC_CTRL: u32 = 1 << 26; // leaf 7 EDX
const FEATURE_X2APIC: u32 = 1 << 21; // leaf 1 ECX
const FEATURE_TSC_DEADLINE: u32 = 1 << 24;
const FEATURE_IBPB: u32 = 1 << 12; // leaf 0x80000008 EBX
const FEATURE_AUTO_IBRS: u32 = 1 << 8; // leaf 0x80000021 EAX
const APIC_BASE_X2APIC: u64 = 1 << 10;
const FEATURE_ARCH_CAPABILITIES: u32 = 1 << 29;
const MTRR_CAPABILITIES: u64 = 0x508; // eight variable ranges, fixed ranges, write combining

/** Pairs {index, value}: reads give the value, writes are ignored. */
const constants: usize = memory.data<u32>([
  0x17, 0, // IA32_PLATFORM_ID
  0x2a, 0, // EBL_CR_POWERON
  0x3a, 1, // IA32_FEATURE_CONTROL: locked
  0xcd, 3, // FSB_FREQ
  0xce, 0, // PLATFORM_INFO
  0x8c, 0, 0x8d, 0, 0x8e, 0, 0x8f, 0, // SGX public key hash
  0x79, 0, // IA32_BIOS_UPDT_TRIG
  0x140, 0, // MISC_FEATURES_ENABLES
  0x179, 0, 0x17a, 0, // MCG_CAP: no banks; MCG_STATUS
  0x198, 0, 0x199, 0, 0x19a, 0, 0x19b, 0, 0x19c, 0, 0x1a2, 0, 0x1ad, 0, 0x1b0, 0, // performance and thermal
  0x1db, 0, 0x1dc, 0, 0x1dd, 0, 0x1de, 0, // last branch records
  0x33, 0, // TEST_CTRL
  0xc0010010, 0, 0xc0010015, 0, 0xc001001f, 0, 0xc0010055, 0, 0xc0010114, 0, 0xc0010117, 0, // AMD SYSCFG, HWCR, NB_CFG, ..
  0xc0011020, 0, 0xc0011022, 0, 0xc0011023, 0, 0xc0011029, 2, 0xc001102a, 0, // AMD LS_CFG, DC_CFG, BU_CFG, DE_CFG (LFENCE serialises)
  0xc0010112, 0, 0xc0010113, 0, // AMD SMM
  0xc0010000, 0, 0xc0010001, 0, 0xc0010002, 0, 0xc0010003, 0, // AMD performance event selection, counters: none counts
  0xc0010004, 0, 0xc0010005, 0, 0xc0010006, 0, 0xc0010007, 0,
]);
const CONSTANT_COUNT: u32 = 47;

/** The value of a constant, or -1. */
function constantOf(index: u32): i64 {
  for (let n: u32 = 0; n < CONSTANT_COUNT; n++) {
    if (load<u32>(constants + n * 8) == index) return load<u32>(constants + n * 8 + 4);
  }
  return -1;
}

/** MSRs that merely store: the state field, or NO_FIELD. */
function fieldOf(index: u32): u32 {
  if (index >= 0x200 && index < 0x210) return MSR_MTRR_PHYS_BASE0 + (index - 0x200) * 8;
  if (index >= 0x268 && index < 0x270) return MSR_MTRR_FIX0 + (index - 0x268 + 3) * 8;
  switch (index) {
    case 0x34: return MSR_SMI_COUNT;
    case 0x8b: return MSR_BIOS_SIGN_ID;
    case 0x174: return MSR_SYSENTER_CS;
    case 0x175: return MSR_SYSENTER_ESP;
    case 0x176: return MSR_SYSENTER_EIP;
    case 0x1a0: return MSR_MISC_ENABLE;
    case 0x1d9: return MSR_DEBUGCTL;
    case 0x250: return MSR_MTRR_FIX0;
    case 0x258: return MSR_MTRR_FIX0 + 8;
    case 0x259: return MSR_MTRR_FIX0 + 16;
    case 0x277: return MSR_PAT;
    case 0x2ff: return MSR_MTRR_DEF_TYPE;
    case 0xc0000081: return MSR_STAR;
    case 0xc0000082: return MSR_LSTAR;
    case 0xc0000083: return MSR_CSTAR;
    case 0xc0000084: return MSR_SFMASK;
    case 0xc0000102: return MSR_KERNEL_GS_BASE;
    case 0xc0000103: return MSR_TSC_AUX;
    case 0x48: return get32(CPUID_FEATURE4) & FEATURE_SPEC_CTRL ? MSR_SPEC_CTRL : NO_FIELD;
    case 0xda0: return MSR_XSS;
    default: return NO_FIELD;
  }
}

function isApic(index: u32): bool { return index == 0x1b || index == 0x6e0 || (index >= 0x800 && index < 0x900); }

/** Whether CPUID announces what an APIC register, or a write to it, needs. */
function apicFeature(index: u32, value: u64): bool {
  if (index == 0x6e0) return (get32(CPUID_FEATURE1) & FEATURE_TSC_DEADLINE) != 0;
  return index != 0x1b || (value & APIC_BASE_X2APIC) == 0 || (get32(CPUID_FEATURE1) & FEATURE_X2APIC) != 0;
}

function readMsr(index: u32): u64 {
  if (isApic(index)) {
    if (!apicFeature(index, 0) || !apicMsrRead(index)) raiseGp();
    return get64(SCRATCH0);
  }
  switch (index) {
    case 0x10: return readTsc();
    case 0x3b: return get64(MSR_TSC_ADJUST);
    case 0xfe: return MTRR_CAPABILITIES;
    case 0xc0000080: return get64(EFER);
    case 0xc0000100: return segmentBase(SEGMENT_FS);
    case 0xc0000101: return segmentBase(SEGMENT_GS);
    case 0x10a:
      if ((get32(CPUID_FEATURE4) & FEATURE_ARCH_CAPABILITIES) == 0) raiseGp();
      return 0;
  }
  const field = fieldOf(index);
  if (field != NO_FIELD) return load<u64>(cpu + field);
  const constant = constantOf(index);
  if (constant >= 0) return constant;
  raiseGp();
  return 0;
}

function writeEfer(value: u64): void {
  const old = get64(EFER), features = get32(CPUID_FEATURE5);
  let allowed = EFER_SCE | EFER_LMA;
  if (features & FEATURE_LONG) allowed |= EFER_LME;
  if (features & FEATURE_NX) allowed |= EFER_NXE;
  if (features & FEATURE_FFXSR) allowed |= EFER_FFXSR;
  if (get32(CPUID_FEATURE13) & FEATURE_AUTO_IBRS) allowed |= EFER_AIBRSE; // nothing to do: no branch prediction
  if (value & ~allowed) return raiseGp();
  if (((old ^ value) & EFER_LME) && (get64(CR0) & CR0_PG)) return raiseGp();
  set64(EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
  if ((old ^ value) & EFER_NXE) flushTlb();
  updateMode();
}

/** Whether a value may be stored in a plain MSR: addresses must be canonical, memory types known. */
function storable(index: u32, value: u64): bool {
  switch (index) {
    case 0x175: case 0x176: case 0xc0000082: case 0xc0000083: case 0xc0000102: return canonical(value);
    case 0xc0000103: case 0xc0000084: return value >> 32 == 0;
    case 0xda0: return value == 0;
    case 0x277: return validPat(value);
    case 0x250: case 0x258: case 0x259: return validMtrrTypes(value);
    case 0x2ff: return (value & ~(<u64>0xcff)) == 0 && validMtrrTypes(value & 0xff);
    default: return index < 0x268 || index > 0x26f || validMtrrTypes(value);
  }
}

function validPat(value: u64): bool {
  for (let n = 0; n < 64; n += 8) {
    const type = <u32>(value >> n) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}

function validMtrrTypes(value: u64): bool {
  for (let n = 0; n < 64; n += 8) {
    const type = <u32>(value >> n) & 0xff;
    if (type > 6 || type == 2 || type == 3) return false;
  }
  return true;
}

function writeMsr(index: u32, value: u64): void {
  if (isApic(index)) {
    set64(SCRATCH0, value);
    if (!apicFeature(index, value) || !apicMsrWrite(index)) raiseGp();
    return;
  }
  switch (index) {
    case 0x10: return moveTsc(value - readTsc());
    case 0x3b: return moveTsc(value - get64(MSR_TSC_ADJUST));
    case 0x8b: return; // written before the microcode revision is read
    case 0x49: // IA32_PRED_CMD
      if ((get32(CPUID_FEATURE4) & FEATURE_SPEC_CTRL) == 0 && (get32(CPUID_FEATURE12) & FEATURE_IBPB) == 0) raiseGp();
      return;
    case 0xc0000080: return writeEfer(value);
    case 0xc0000100: return canonical(value) ? setSegmentBase(SEGMENT_FS, value) : raiseGp();
    case 0xc0000101: return canonical(value) ? setSegmentBase(SEGMENT_GS, value) : raiseGp();
  }
  const field = fieldOf(index);
  if (field != NO_FIELD) return storable(index, value) ? store<u64>(cpu + field, value) : raiseGp();
  if (constantOf(index) < 0) raiseGp();
}

export function rdmsr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  const value = readMsr(<u32>get64(RCX));
  if (faulted()) return;
  set64(RAX, value & 0xffffffff);
  set64(RDX, value >> 32);
}

export function wrmsr(d: usize, a: usize, b: usize, imm: i32): void {
  if (!requireRing0()) return;
  writeMsr(<u32>get64(RCX), (get64(RDX) << 32) | (get64(RAX) & 0xffffffff));
}
