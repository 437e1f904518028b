// Generates random test cases from the declared instruction rows: short programs of instructions that an unprivileged
// program may execute, whose memory operands mostly hit the data page, with the register state that makes them interesting.
// What has no single right answer (undefined flags, host-dependent instructions) is avoided or marked here, as data.
import type { Instruction, Row } from '../../src/cpu/x86/row.ts';
import { encodeRow } from './encode-row.ts';
import type { EncodeChoices, EncodeContext, EncodedInstruction } from './encode-row.ts';
import { CODE_BYTES_MAX, ORACLE_MODES, PAGE_BYTES, REGION } from './oracle-case.ts';
import type { OracleCase, OracleMode } from './oracle-case.ts';
import { Prng } from './prng.ts';
import { makeLaneStock, randomFxsave, randomInteger, takeLanes } from './random-values.ts';
import type { LaneStock } from './random-values.ts';

export interface GeneratedCase extends OracleCase {
  /** Arithmetic flags that the manual leaves undefined at the end, and those that may be when an exception ends the program. */
  readonly undefinedFlags: number;
  readonly undefinedFlagsInside: number;
  /** What was generated, for messages and tolerances: mnemonic and row of each instruction, and what else is known of it. */
  readonly program: readonly string[];
  readonly places: readonly Place[];
}

export interface Place {
  /** Where in the code the instruction starts, with its prefixes. */
  readonly start: number;
  /** It has an MMX register. */
  readonly isMmx: boolean;
}

/** Instructions whose result depends on more than the case says, by reason. */
const EXCLUDED: Readonly<Record<string, string>> = {
  ...reason('a system call: the runner refuses it', 'syscall sysenter int'),
  ...reason('the host and the model differ in what they announce', 'cpuid xgetbv xsetbv'),
  ...reason('not deterministic', 'rdtsc rdtscp rdpmc rdrand rdseed rdpid'),
  ...reason("depends on the host's descriptor tables", 'lar lsl verr verw jmpf callf retf iret les lds lss lfs lgs sysret sysexit'),
  ...reason('the kernel may emulate it (UMIP) or the hypervisor may intercept it', 'sgdt sidt sldt str smsw vmcall monitor mwait int1'),
  ...reason('changes state that the runner does not restore', 'wrfsbase wrgsbase'),
  ...reason("stores addresses or the host's own set of components",
    'fxsave xsave xsaveopt xsavec xsaves xrstor xrstors fnsave fsave fnstenv fstenv'),
};

/** What always faults or traps here: rarely chosen, for it ends the program. */
const ENDERS = new Set(`hlt cli sti in out ins outs movcr movdr lgdt lidt wrmsr rdmsr clts invd wbinvd invlpg lmsw lldt ltr
  swapgs invpcid clac stac  ud int3`.split(/\s+/));
const ENDER_PERCENT = 12;

/** Results that processors agree on only nearly (compare-vectors.ts says how nearly): nothing may follow that depends on them. */
const LAST = /^(rcp|rsqrt|f2xm1|fyl2x|fptan|fpatan|fsin|fcos|dpp[sd])/;

function reason(why: string, names: string): Record<string, string> {
  return Object.fromEntries(names.split(' ').map((name) => [name, why]));
}

/** Segment loads and pushes: opcodes that the mnemonic alone does not tell from the harmless forms. */
function isSegmentRow({ map, opcode, operands }: Row): boolean {
  if (map === 0 && opcode < 0x20 && (opcode & 6) === 6) return true; // PUSH and POP of ES CS SS DS: upper bytes differ by vendor
  if (map === 1 && (opcode & 0xf6) === 0xa0) return true; // of FS and GS
  return operands[0]?.kind === 'S';
}

/** PREFETCHW of a register is #UD on AMD and a NOP on Intel processors. */
const withoutVendorForms = (row: Row): Row => (row.map === 1 && row.opcode === 0x0d ? { ...row, mod: 'memory' } : row);

interface PoolEntry {
  readonly instruction: Instruction;
  readonly rows: readonly Row[];
}
type Pool = Readonly<Record<OracleMode, readonly PoolEntry[]>>;

/** The usable rows for each mode. `only` narrows it to some mnemonics. */
function buildPool(instructions: readonly Instruction[], hasFeature: (feature: string) => boolean, only?: ReadonlySet<string>): Pool {
  const poolOf = (mode: OracleMode): readonly PoolEntry[] =>
    instructions.flatMap((instruction) => {
      const { name, feature, rows } = instruction;
      if (EXCLUDED[name] !== undefined || (only !== undefined && !only.has(name)) || (feature !== '' && !hasFeature(feature))) return [];
      const is64 = ORACLE_MODES[mode].bits === 64;
      const usable = rows.filter((row) => !(is64 ? row.no64 : row.only64) && !isSegmentRow(row)).map(withoutVendorForms);
      return usable.length === 0 ? [] : [{ instruction, rows: usable }];
    });
  const modes = Object.keys(ORACLE_MODES) as OracleMode[];
  return Object.fromEntries(modes.map((mode) => [mode, poolOf(mode)])) as unknown as Pool;
}

const WINDOW = { START: 0x700, BYTES: 0x200 } as const; // the part of the data page with random content
const STACK_REGISTER = 4;
const PROGRAM_MAX = 4;
const INSTRUCTION_BYTES_MAX = 15;

function chooseLinear(rng: Prng): number {
  const where = rng.below(100);
  if (where < 80) return REGION.DATA + WINDOW.START + 16 * rng.below(WINDOW.BYTES / 16) + (rng.chance(30) ? rng.below(16) : 0);
  if (where < 88) return REGION.DATA + PAGE_BYTES - rng.below(34);
  if (where < 92) return REGION.READ_ONLY + rng.below(PAGE_BYTES);
  if (where < 95) return REGION.DATA - rng.below(34);
  if (where < 97) return REGION.CODE + rng.below(PAGE_BYTES);
  return REGION.BASE + rng.below(0x10000);
}

function choosePointers(rng: Prng, bits: 16 | 32 | 64): Set<number> {
  const pointers = new Set(bits === 16 ? [STACK_REGISTER, 3, 5, 6, 7] : [STACK_REGISTER, 6, 7]);
  for (let n = 0; n < 2; n++) pointers.add(rng.below(bits === 64 ? 16 : 8));
  return pointers;
}

interface Draft {
  readonly bytes: number[];
  readonly boundaries: number[];
  readonly branches: { at: number; bytes: number }[];
  readonly program: string[];
  readonly places: Place[];
  undefinedFlags: number;
  undefinedFlagsInside: number;
  usesVectors: boolean;
}

const emptyDraft = (): Draft => ({
  bytes: [], boundaries: [], branches: [], program: [], places: [], undefinedFlags: 0, undefinedFlagsInside: 0, usesVectors: false,
});

const CODE_BY_REPEAT = [0xf2, 0xf3];
const STRING_NAMES = new Set(['movs', 'cmps', 'stos', 'lods', 'scas']);
const SHIFTS = new Set(['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr']);

/** Instructions before the chosen one that bring its registers into range, and choices for its encoding. */
function prepare(rng: Prng, name: string, row: Row, bits: 16 | 32 | 64): { prelude: number[]; choices: EncodeChoices } {
  const lock = row.lock && row.mod !== 'register' && rng.chance(12);
  const moveCount = (count: number): number[] => [...(bits === 16 ? [0x66] : []), 0xb9, count, 0, 0, 0]; // MOV ECX, count
  if (STRING_NAMES.has(name)) {
    const repeat = rng.chance(60) ? [rng.pick(CODE_BY_REPEAT)] : [];
    return { prelude: repeat.length > 0 ? moveCount(rng.below(rng.chance(80) ? 9 : 70)) : [], choices: { extraPrefixes: repeat } };
  }
  // AMD processors take F2 and F3 before LOOPE and LOOPNE for the condition.
  if (/^loop|^jrcxz/.test(name)) return { prelude: rng.chance(80) ? moveCount(rng.below(3)) : [], choices: { allowRepeat: false } };
  if (name === 'div' || name === 'idiv') return { prelude: rng.pick([[], [0x31, 0xd2], [0x99], [0x0f, 0xb6, 0xc0]]), choices: {} };
  if (name === 'shld' || name === 'shrd') {
    const count = BigInt(rng.below(16)); // a count above the operand size leaves everything undefined
    return { prelude: [0xb1, Number(count)], choices: { immediates: [count] } };
  }
  if (SHIFTS.has(name) && rng.chance(60)) {
    const count = rng.below(rng.chance(70) ? 33 : 256);
    return { prelude: row.operands[1]?.code === 'CL' ? [0xb1, count] : [], choices: { immediates: [BigInt(count)], lock } };
  }
  if (name === 'enter') {
    const level = rng.chance(70) ? 0 : rng.below(32);
    return { prelude: [], choices: { immediates: [BigInt(rng.below(64)), BigInt(level)] } };
  }
  if (name === 'ret') return { prelude: [], choices: { immediates: [BigInt(rng.below(32))] } };
  // F3 before 90 with REX.B is PAUSE on Intel's processors; of AMD's it is not known.
  if (name === 'nop') return { prelude: [], choices: { allowRepeat: bits !== 64 } };
  if (name === 'bswap') return { prelude: [], choices: { allow66: bits === 16 } }; // undefined for 16-bit operands
  return { prelude: [], choices: { lock } };
}

const MMX_KINDS = 'PQN';
const VECTOR_KINDS = `VWU${MMX_KINDS}`;
function usesVectors({ map, opcode, operands, vex }: Row): boolean {
  const isX87 = map === 0 && ((opcode & 0xf8) === 0xd8 || opcode === 0x9b);
  return isX87 || (map === 1 && (opcode === 0x77 || opcode === 0xae)) || (vex && operands.some(({ kind }) => kind === 'H')) ||
    operands.some(({ kind }) => VECTOR_KINDS.includes(kind));
}

/** CMP of two registers: gives every arithmetic flag a defined value. */
const defineFlags = (rng: Prng): number[] => [0x39, 0xc0 | rng.below(64)];

function append(draft: Draft, bytes: readonly number[], branch: EncodedInstruction['branch']): void {
  draft.boundaries.push(draft.bytes.length);
  if (branch !== undefined) draft.branches.push({ at: draft.bytes.length + branch.at, bytes: branch.bytes });
  draft.bytes.push(...bytes);
}

function appendInstruction(draft: Draft, rng: Prng, { instruction, rows }: PoolEntry, context: EncodeContext, start: number): boolean {
  const row = rng.pick(rows);
  const { prelude, choices } = prepare(rng, instruction.name, row, context.bits);
  const before = draft.undefinedFlags === 0 ? [] : defineFlags(rng);
  const lead = before.length + prelude.length;
  const { bytes, branch } = encodeRow(row, rng, { ...context, ip: start + draft.bytes.length + lead }, choices);
  if (draft.bytes.length + lead + bytes.length > CODE_BYTES_MAX || bytes.length > INSTRUCTION_BYTES_MAX) return false;
  draft.places.push({ start: draft.bytes.length + lead, isMmx: row.operands.some(({ kind }) => MMX_KINDS.includes(kind)) });
  // One boundary: a branch that skipped what prepares the instruction would make its result undefined.
  append(draft, [...before, ...prelude, ...bytes], branch === undefined ? undefined : { ...branch, at: branch.at + lead });
  draft.undefinedFlagsInside |= instruction.undefinedFlags;
  draft.undefinedFlags = instruction.undefinedFlags & ~(row.operands[1]?.code === '1' ? 0x800 : 0);
  draft.usesVectors ||= usesVectors(row);
  draft.program.push(`${instruction.name} (${row.text})`);
  return true;
}

/** Whether the random displacement that a branch has leads out of the code page. */
function leaves({ bytes }: Draft, at: number, size: number): boolean {
  const high = bytes[at + size - 1]!, low = bytes[at + 1]!;
  return (high > 1 && high < 0xff) || (size === 2 && low >= 0x10 && low < 0xf0);
}

/** Branches go forward to a later instruction or to the end, so that nothing loops and no byte is executed out of step. */
function aimBranches(draft: Draft, rng: Prng): void {
  for (const { at, bytes } of draft.branches) {
    if (bytes > 1 && rng.chance(5) && leaves(draft, at, bytes)) continue; // a fault at the target
    const next = at + bytes;
    const target = rng.pick([...draft.boundaries.filter((boundary) => boundary >= next), draft.bytes.length]);
    for (let n = 0; n < bytes; n++) draft.bytes[at + n] = ((target - next) >> (8 * n)) & 0xff;
  }
}

function initialRegisters(rng: Prng, bits: 16 | 32 | 64, pointers: ReadonlySet<number>, segmentBase: number): BigUint64Array {
  const registers = new BigUint64Array(16);
  for (let n = 0; n < (bits === 64 ? 16 : 8); n++) {
    const skew = rng.chance(20) && n !== STACK_REGISTER ? rng.below(8) : 0;
    const offset = WINDOW.START + 0x40 + 8 * rng.below((WINDOW.BYTES - 0x80) / 8) + skew;
    registers[n] = pointers.has(n) ? BigInt(REGION.DATA - segmentBase + offset) : randomInteger(rng);
    if (bits !== 64) registers[n] = BigInt.asUintN(32, registers[n]!);
  }
  if (rng.chance(3)) registers[STACK_REGISTER] = BigInt(chooseLinear(rng) - segmentBase);
  return registers;
}

function initialFlags(rng: Prng): number {
  return (rng.u32() & 0x8d5) | (rng.chance(15) ? 0x400 : 0) | (rng.chance(1) ? 0x100 : 0) | (rng.chance(1) ? 0x40000 : 0);
}

/** Random lanes; at the stack pointer often an address to return to, or flags to pop. */
function initialData(rng: Prng, stock: LaneStock, bits: 16 | 32 | 64, stackOffset: number, endIp: number): Uint8Array {
  const data = takeLanes(rng, stock, WINDOW.BYTES);
  const view = new DataView(data.buffer);
  const at = stackOffset - WINDOW.START;
  if (at < 0 || at + 8 > data.length || rng.chance(40)) return data;
  const value = rng.chance(70) ? BigInt(endIp) : BigInt(rng.u32() & 0x244cd5 & ~(rng.chance(90) ? 0x40000 : 0));
  if (bits === 64) view.setBigUint64(at, value, true);
  else if (bits === 32) view.setUint32(at, Number(value), true);
  else view.setUint16(at, Number(value & 0xffffn), true);
  return data;
}

export interface CaseGenerator {
  /** The case of a number: the same for the same seed and rows. */
  generate(index: number, mode: OracleMode): GeneratedCase;
}

export interface GeneratorOptions {
  readonly instructions: readonly Instruction[];
  /** CPUID features that the processor and the model both have. */
  readonly hasFeature: (feature: string) => boolean;
  readonly seed: number;
  /** Mnemonics to choose from; all when absent. */
  readonly only?: ReadonlySet<string>;
  readonly hasYmm?: boolean;
}

export function caseGenerator({ instructions, hasFeature, seed, only, hasYmm = false }: GeneratorOptions): CaseGenerator {
  const pool = buildPool(instructions, hasFeature, only);
  const stock = makeLaneStock(new Prng(seed));
  return {
    generate: (index, mode) => generateCase(new Prng(Math.imul(seed, 0x9e3779b1) + index), pool, stock, mode, hasYmm),
  };
}

/** What programs are mostly made of, and what regions treat in ways of its own: every other instruction of a chunk. */
const COMMON = new Set(`mov movzx movsx lea add sub adc sbb and or xor cmp test inc dec neg not shl shr sar rol ror rcl rcr imul mul div
  push pop xchg setcc cmov jcc bt bts btr bsf bswap movs stos lods cmps scas cmpxchg xadd pushf popf lahf sahf cmc clc stc cld shld shrd
  cdq movdqu movups pxor paddd movd movq addsd mulsd cvtsi2sd fld fstp fild fistp fadd`.split(/\s+/));
const COMMON_PERCENT = 55;

/** A few instructions for a longer program of somebody else's: no system instructions, branches aimed inside. */
export interface Chunk {
  readonly bytes: readonly number[];
  readonly program: readonly string[];
}
export type ChunkGenerator = (rng: Prng, mode: OracleMode, context: EncodeContext) => Chunk;

export function chunkGenerator({ instructions, hasFeature }: Pick<GeneratorOptions, 'instructions' | 'hasFeature'>): ChunkGenerator {
  const leavesForGood = ({ instruction: { name }, rows }: PoolEntry): boolean =>
    ENDERS.has(name) || /^(ret|int3|into)$/.test(name) ||
    (/^(call|jmp)$/.test(name) && rows.some(({ operands }) => operands[0]?.kind !== 'J'));
  const whole = buildPool(instructions, hasFeature);
  const stays = (entries: readonly PoolEntry[]): readonly PoolEntry[] => entries.filter((entry) => !leavesForGood(entry));
  const pool: Pool = { ...whole, long: stays(whole.long), flat32: stays(whole.flat32) };
  const isCommon = ({ instruction }: PoolEntry): boolean => COMMON.has(instruction.name);
  const common: Pool = { ...pool, long: pool.long.filter(isCommon), flat32: pool.flat32.filter(isCommon) };
  return (rng, mode, context) => {
    const draft = emptyDraft();
    const wanted = 1 + rng.below(PROGRAM_MAX);
    for (let n = 0; n < wanted; n++) {
      appendInstruction(draft, rng, rng.pick((rng.chance(COMMON_PERCENT) ? common : pool)[mode]), context, context.ip);
    }
    aimBranches(draft, rng);
    return { bytes: draft.bytes, program: draft.program };
  };
}

function generateCase(rng: Prng, pool: Pool, stock: LaneStock, mode: OracleMode, hasYmm: boolean): GeneratedCase {
  const { bits, code: codeSegment, data: dataSegment } = ORACLE_MODES[mode];
  const pointers = choosePointers(rng, bits);
  const registers = initialRegisters(rng, bits, pointers, dataSegment.base);
  const endsPage = rng.chance(3);
  const codeOffset = endsPage ? PAGE_BYTES - CODE_BYTES_MAX : rng.below(PAGE_BYTES - 2 * CODE_BYTES_MAX);
  const start = REGION.CODE + codeOffset - codeSegment.base;
  const context: EncodeContext = { bits, registers, pointers, ip: start, chooseAddress: (r) => chooseLinear(r) - dataSegment.base };

  const draft = emptyDraft();
  const wanted = 1 + rng.below(PROGRAM_MAX);
  for (let n = 0; n < wanted; n++) {
    const entry = rng.pick(pool[mode]);
    if (ENDERS.has(entry.instruction.name) && !rng.chance(ENDER_PERCENT)) continue;
    if (appendInstruction(draft, rng, entry, context, start) && LAST.test(entry.instruction.name)) break;
  }
  if (draft.bytes.length === 0) append(draft, [0x90], undefined);
  aimBranches(draft, rng);
  while (endsPage && draft.bytes.length < CODE_BYTES_MAX) draft.bytes.push(0x90);

  const stackOffset = Number(BigInt.asIntN(32, registers[STACK_REGISTER]!)) + dataSegment.base - REGION.DATA;
  return {
    mode,
    code: Uint8Array.from(draft.bytes),
    codeOffset,
    registers,
    flags: initialFlags(rng),
    data: initialData(rng, stock, bits, stackOffset, start + draft.bytes.length),
    dataOffset: WINDOW.START,
    ...(draft.usesVectors ? { fxsave: randomFxsave(rng, stock) } : {}),
    ...(draft.usesVectors && hasYmm ? { ymmHigh: takeLanes(rng, stock, 256) } : {}),
    undefinedFlags: draft.undefinedFlags,
    undefinedFlagsInside: draft.undefinedFlagsInside,
    program: draft.program,
    places: draft.places,
  };
}
