// What a region has to do around a helper: which it may call, which registers the helper reads and writes beside its operands,
// and which instructions are left to the interpreter because they change what the region was built on (mode, mapping, code).
import { OPS } from '../ir/op.ts';
import '../ir/ops-vector.ts'; // every operation is declared
import { HELPERS } from '../ir/ops-helper.ts';
import { LEAVE, STALE } from '../ir/ops-control.ts';

const words = (text: string): string[] => text.trim().split(/\s+/);

/** What a helper does beside reading and writing its operands, the lazy flags, and state that regions keep in memory anyway. */
export interface HelperEffects {
  /** General registers that it uses without naming them, by number. */
  readonly registers?: readonly number[];
  /** It may look at the instruction count, or end the slice. */
  readonly budget?: boolean;
  /** It may write guest memory, and with that the code of the region itself. */
  readonly memory?: boolean;
  /** Another software TLB may apply afterwards. */
  readonly mode?: boolean;
}

const [RAX, RCX, RDX, RBX, RSI, RDI] = [0, 1, 2, 3, 6, 7];
const accumulators: HelperEffects = { registers: [RAX, RCX, RDX] };
const memory: HelperEffects = { memory: true, budget: true };
const text = (registers: readonly number[]): HelperEffects => ({ ...memory, registers });
const all = (names: string, effects: HelperEffects): Record<string, HelperEffects> =>
  Object.fromEntries(words(names).map((name) => [name, effects]));

const EFFECTS: Readonly<Record<string, HelperEffects>> = {
  ...all(`mul imulWide div idiv cmpxchg aaa aas aam aad daa das shld shrd readFlagsAh writeFlagsAh salc mulx
    pcmpestri pcmpestrm pcmpistri pcmpistrm fnstsw`, accumulators),
  ...all('fst32 fst64 fst80 fist16 fist32 fist64 fisttp16 fisttp32 fisttp64 fbstp', memory),
  ...all('rdtsc rdtscp', { ...accumulators, budget: true }),
  ...all('cli readEflags swapgs rdfsbase wrfsbase rdgsbase wrgsbase rdpid', {}),
  ...all('stac clac', { mode: true }),
  sti: { budget: true },
  popf: { budget: true, mode: true },
  cmpxchg8b: text([RAX, RCX, RDX, RBX]),
  cmpxchg16b: text([RAX, RCX, RDX, RBX]),
  storeMasked: text([RDI]),
  movs: text([RCX, RSI, RDI]),
  cmps: text([RCX, RSI, RDI]),
  stos: text([RAX, RCX, RDI]),
  lods: text([RAX, RCX, RSI]),
  scas: text([RAX, RCX, RDI]),
};
const NONE: HelperEffects = {};

/** Floating point, vectors and conversions that neither read nor write EFLAGS. */
const FLAGLESS = new RegExp(
  '^((add|sub|mul|div|sqrt|min|max|cmp|hadd|hsub|addsub|rcp|rsqrt|round)[sp][sd]|cvt.*|dpp[sd]|aes.*|sha(1|256).*|pclmulqdq|' +
    'farith.*|fldSti|fxch|fchs|fabs|fld[1-9l].*|fldpi|fldz|fild.*|fst.*|fist.*|fpCheck|fpRecord|mmxEnter|mmxWritten|emms)$',
);
export const leavesFlags = (helper: string): boolean => FLAGLESS.test(helper);

/** They leave the six flags themselves in the triple, whatever the operands. */
const COMPARES = /^(u?comis[sd]|fu?comi|pcmp[ei]str[im])$/;
export const writesFlags = (helper: string): boolean => COMPARES.test(helper);

export const effectsOf = (helper: string): HelperEffects => EFFECTS[helper] ?? NONE;

/** Helpers that change what a region rests on (mode, mapping, RIP), or are too rare to matter: the interpreter's. */
const LEFT_TO_INTERPRETER = new Set(words(`loadSegment farJump farCall farReturn iret softwareInterrupt int3 into int1
  stepEntry lldt ltr lar lsl verr verw arpl arplMemory sldt str smsw sgdt sidt lgdt lidt movToCr movFromCr movToDr
  movFromDr clts lmsw rdmsr wrmsr rdpmc cpuid xgetbv xsetbv invlpg invpcid wbinvd hlt monitor mwait rdrand rdseed
  syscall sysret sysenter sysexit portIn portOut enter pusha popa
  bound checkRing0 unitUnavailable ins outs fnstenv fldenv fnsave frstor fxsave fxrstor xsave xrstor xsaveopt xsavec`));

const leftHelpers = OPS.filter(({ name }) => Object.hasOwn(HELPERS, name) && LEFT_TO_INTERPRETER.has(name));
const interpreted = new Set([...leftHelpers.map(({ number }) => number), LEAVE, STALE]);

export const isInterpreted = (operation: number): boolean => interpreted.has(operation);
