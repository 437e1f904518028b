// Operations too large for a few WebAssembly instructions: functions of the support module (assembly/), called as
// name(d, a, b, imm) with the addresses of the operands. The table names them all; each becomes one IR operation.
import { op } from './op.ts';
import './ops-control.ts'; // operations are numbered in a fixed order

const FAULTS = true;
const NO_FAULT = false;

/** Whether the helper may raise a fault. What d, a, b and imm are is said at each function in assembly/. */
// prettier-ignore
const table = {
  // assembly/integer.ts
  rol: NO_FAULT, ror: NO_FAULT, rcl: NO_FAULT, rcr: NO_FAULT, shld: NO_FAULT, shrd: NO_FAULT, mul: NO_FAULT, imulWide: NO_FAULT,
  div: FAULTS, idiv: FAULTS, tzcnt: NO_FAULT,
  lzcnt: NO_FAULT, popcnt: NO_FAULT, cmpxchg: NO_FAULT, xadd: NO_FAULT, aaa: NO_FAULT, aas: NO_FAULT, aam: FAULTS, aad: NO_FAULT,
  daa: NO_FAULT, das: NO_FAULT, readFlagsAh: NO_FAULT, writeFlagsAh: NO_FAULT, cmc: NO_FAULT, clc: NO_FAULT, stc: NO_FAULT,
  cld: NO_FAULT, std: NO_FAULT, salc: NO_FAULT, bitOffset: NO_FAULT, andn: NO_FAULT, bextr: NO_FAULT, blsi: NO_FAULT, blsmsk: NO_FAULT,
  blsr: NO_FAULT, bzhi: NO_FAULT, pdep: NO_FAULT, pext: NO_FAULT, mulx: NO_FAULT, rorx: NO_FAULT, sarx: NO_FAULT, shlx: NO_FAULT,
  shrx: NO_FAULT, adcx: NO_FAULT, adox: NO_FAULT, crc32: NO_FAULT,
} as const satisfies Record<string, boolean>;

// prettier-ignore
const system = {
  loadSegment: FAULTS, farJump: FAULTS, farCall: FAULTS, farReturn: FAULTS, iret: FAULTS, softwareInterrupt: FAULTS, int3: FAULTS,
  into: FAULTS, int1: FAULTS, stepEntry: FAULTS, lldt: FAULTS, ltr: FAULTS, lar: FAULTS, lsl: FAULTS, verr: FAULTS,
  verw: FAULTS, arpl: FAULTS, arplMemory: FAULTS, sldt: FAULTS, str: FAULTS, smsw: FAULTS, sgdt: FAULTS, sidt: FAULTS, lgdt: FAULTS, lidt: FAULTS,
  checkSegment: FAULTS, movToCr: FAULTS, movFromCr: FAULTS, movToDr: FAULTS, movFromDr: FAULTS, clts: FAULTS, lmsw: FAULTS,
  rdmsr: FAULTS, wrmsr: FAULTS, rdtsc: FAULTS, rdtscp: FAULTS, rdpmc: FAULTS, cpuid: FAULTS, xgetbv: FAULTS, xsetbv: FAULTS,
  invlpg: FAULTS, invpcid: FAULTS, wbinvd: FAULTS, hlt: FAULTS, cli: FAULTS, sti: FAULTS, readEflags: FAULTS, popf: FAULTS,
  swapgs: FAULTS, rdfsbase: FAULTS, wrfsbase: FAULTS, rdgsbase: FAULTS, wrgsbase: FAULTS, clac: FAULTS, stac: FAULTS,
  monitor: FAULTS, mwait: FAULTS, rdpid: FAULTS, rdrand: FAULTS, rdseed: FAULTS, syscall: FAULTS, sysret: FAULTS, sysenter: FAULTS,
  sysexit: FAULTS, portIn: FAULTS, portOut: FAULTS, enter: FAULTS, pusha: FAULTS, popa: FAULTS, bound: FAULTS, cmpxchg8b: FAULTS,
  cmpxchg16b: FAULTS, generalProtection: FAULTS, checkRing0: FAULTS, unitUnavailable: FAULTS, movs: FAULTS, cmps: FAULTS, stos: FAULTS,
  lods: FAULTS, scas: FAULTS, ins: FAULTS, outs: FAULTS,
} as const satisfies Record<string, boolean>;

// assembly/x87-*.ts, sse-float.ts, xsave.ts: control and state
// prettier-ignore
const fpuState = {
  fninit: NO_FAULT, fnclex: NO_FAULT, fldcw: NO_FAULT, fnstsw: NO_FAULT, fpCheck: FAULTS, fnstenv: FAULTS, fldenv: FAULTS, fnsave: FAULTS,
  frstor: FAULTS, fxsave: FAULTS, fxrstor: FAULTS, xsave: FAULTS, xrstor: FAULTS, xsaveopt: FAULTS, xsavec: FAULTS, ldmxcsr: FAULTS,
} as const satisfies Record<string, boolean>;

// assembly/vector.ts, vector-string.ts, crypto.ts; the MMX side of assembly/x87-control.ts
// prettier-ignore
const vector = {
  mpsadbw: NO_FAULT, phminposuw: NO_FAULT, storeMasked: FAULTS, pcmpestri: NO_FAULT, pcmpestrm: NO_FAULT, pcmpistri: NO_FAULT,
  pcmpistrm: NO_FAULT, aesenc: NO_FAULT, aesenclast: NO_FAULT, aesdec: NO_FAULT, aesdeclast: NO_FAULT, aesimc: NO_FAULT,
  aeskeygenassist: NO_FAULT, pclmulqdq: NO_FAULT, sha1rnds4: NO_FAULT, sha1nexte: NO_FAULT, sha1msg1: NO_FAULT, sha1msg2: NO_FAULT,
  sha256rnds2: NO_FAULT, sha256msg1: NO_FAULT, sha256msg2: NO_FAULT, mmxEnter: NO_FAULT, emms: NO_FAULT,
} as const satisfies Record<string, boolean>;

// assembly/x87-*.ts: arithmetic; only stores touch memory, and exceptions wait for the next instruction
// prettier-ignore
const x87 = {
  fpRecord: NO_FAULT, fincstp: NO_FAULT, fdecstp: NO_FAULT, ffree: NO_FAULT, mmxWritten: NO_FAULT, farithF32: NO_FAULT,
  farithF64: NO_FAULT, farithI16: NO_FAULT, farithI32: NO_FAULT, farithSt0Sti: NO_FAULT, farithStiSt0: NO_FAULT, fcomF32: NO_FAULT,
  fcomF64: NO_FAULT, fcomI16: NO_FAULT, fcomI32: NO_FAULT, fcomSti: NO_FAULT, fucomSti: NO_FAULT, fcomi: NO_FAULT, fucomi: NO_FAULT,
  fldSti: NO_FAULT, fxch: NO_FAULT, fstSti: NO_FAULT, fstpUnchecked: NO_FAULT, fcmov: NO_FAULT, fchs: NO_FAULT, fabs: NO_FAULT, ftst: NO_FAULT, fxam: NO_FAULT,
  fld1: NO_FAULT, fldl2t: NO_FAULT, fldl2e: NO_FAULT, fldpi: NO_FAULT, fldlg2: NO_FAULT, fldln2: NO_FAULT, fldz: NO_FAULT,
  f2xm1: NO_FAULT, fyl2x: NO_FAULT, fptan: NO_FAULT, fpatan: NO_FAULT, fxtract: NO_FAULT, fprem1: NO_FAULT, fprem: NO_FAULT,
  fyl2xp1: NO_FAULT, fsqrt: NO_FAULT, fsincos: NO_FAULT, frndint: NO_FAULT, fscale: NO_FAULT, fsin: NO_FAULT, fcos: NO_FAULT,
  fld32: NO_FAULT, fld64: NO_FAULT, fld80: NO_FAULT, fild16: NO_FAULT, fild32: NO_FAULT, fild64: NO_FAULT, fbld: NO_FAULT, fst32: FAULTS,
  fst64: FAULTS, fst80: FAULTS, fist16: FAULTS, fist32: FAULTS, fist64: FAULTS, fisttp16: FAULTS, fisttp32: FAULTS, fisttp64: FAULTS,
  fbstp: FAULTS,
} as const satisfies Record<string, boolean>;

// assembly/sse-float*.ts: #XM
// prettier-ignore
const sseFloat = {
  cvtss2sd: FAULTS, cvtsd2ss: FAULTS, cvtps2pd: FAULTS, cvtpd2ps: FAULTS, cvtsi2ss: FAULTS, cvtsi2sd: FAULTS, cvtss2si: FAULTS,
  cvttss2si: FAULTS, cvtsd2si: FAULTS, cvttsd2si: FAULTS, cvtdq2ps: FAULTS, cvtdq2pd: FAULTS, cvtps2dq: FAULTS, cvttps2dq: FAULTS,
  cvtpd2dq: FAULTS, cvttpd2dq: FAULTS, cvtps2pi: FAULTS, cvttps2pi: FAULTS, cvtpd2pi: FAULTS, cvttpd2pi: FAULTS, cvtpi2ps: FAULTS,
  cvtpi2pd: FAULTS, roundss: FAULTS, roundsd: FAULTS, roundps: FAULTS, roundpd: FAULTS, dpps: FAULTS, dppd: FAULTS, rcpss: FAULTS,
  rsqrtss: FAULTS, rcpps: FAULTS, rsqrtps: FAULTS, addss: FAULTS, addsd: FAULTS, addps: FAULTS, addpd: FAULTS, subss: FAULTS,
  subsd: FAULTS, subps: FAULTS, subpd: FAULTS, mulss: FAULTS, mulsd: FAULTS, mulps: FAULTS, mulpd: FAULTS, divss: FAULTS, divsd: FAULTS,
  divps: FAULTS, divpd: FAULTS, sqrtss: FAULTS, sqrtsd: FAULTS, sqrtps: FAULTS, sqrtpd: FAULTS, addsubps: FAULTS, addsubpd: FAULTS,
  haddps: FAULTS, haddpd: FAULTS, hsubps: FAULTS, hsubpd: FAULTS, minss: FAULTS, minsd: FAULTS, minps: FAULTS, minpd: FAULTS,
  maxss: FAULTS, maxsd: FAULTS, maxps: FAULTS, maxpd: FAULTS, cmpss: FAULTS, cmpsd: FAULTS, cmpps: FAULTS, cmppd: FAULTS, comiss: FAULTS,
  comisd: FAULTS, ucomiss: FAULTS, ucomisd: FAULTS,
} as const satisfies Record<string, boolean>;

export const HELPERS: Readonly<Record<string, boolean>> = { ...table, ...system, ...fpuState, ...vector, ...x87, ...sseFloat };

type HelperName = keyof typeof table | keyof typeof system | keyof typeof fpuState | keyof typeof vector
  | keyof typeof x87 | keyof typeof sseFloat;

/** IR operation numbers of the helpers. */
export const HELPER = Object.fromEntries(
  Object.entries(HELPERS).map(([name, mayFault]) => [name, op(name, (m) => m.callHelper(name, mayFault), { endsGroups: true })]),
) as Readonly<Record<HelperName, number>>;
