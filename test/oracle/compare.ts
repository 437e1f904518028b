// Says how two results of the same test case differ: what the real processor did against what the emulator did.
// The tolerances (undefined flags, the registers that a mode does not have, what the manuals leave to each processor) are here and
// nowhere else. The emulator takes one of the ways; Intel's and AMD's processors both must pass.
import { ORACLE_MODES, REGION } from './oracle-case.ts';
import type { MemoryChange, OracleResult } from './oracle-case.ts';
import type { GeneratedCase, Place } from './random-code.ts';

const COMPARED_FLAGS = 0x244dd5; // ID AC NT OF DF TF SF ZF AF PF CF; RF depends on how the event was reported
const REGISTER_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

const hex = (value: number | bigint): string => value.toString(16);
const bytesText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const changesText = (changes: readonly MemoryChange[]): string =>
  changes.map(({ offset, bytes }) => `+${hex(offset)}:${bytesText(bytes)}`).join(' ');

/** FXSAVE fields compared: name, offset, bytes. FOP, FIP and FDP are left out (processors differ in when they save them). */
const FX_FIELDS: readonly (readonly [string, number, number])[] = [
  ['fcw', 0, 2], ['fsw', 2, 2], ['ftw', 4, 1], ['mxcsr', 24, 4],
  ...Array.from({ length: 8 }, (_, n) => [`st${n}`, 32 + 16 * n, 10] as const),
  ...Array.from({ length: 16 }, (_, n) => [`xmm${n}`, 160 + 16 * n, 16] as const),
];

/** Approximations: the manual bounds their relative error by 1.5 * 2^-12. */
const RECIPROCAL = /^r(cp|sqrt)[ps]s /;
const RECIPROCAL_ERROR = 2 ** -10.5;
/** Results about the least normal number may become 0. */
const TINY = 2 ** -125;
/** The last bit of these, and with it C1, is each processor's own. */
const TRANSCENDENTAL = /^(f2xm1|fyl2x|fyl2xp1|fptan|fpatan|fsin|fcos|fsincos) /;
const ULPS_MAX = 2n;
const C1 = 0x200;
/**
 * The sine of the least normal number is that number or the one below it: an underflow to AMD's processors, none to Intel's.
 * When UE is not masked, a result that underflows has its exponent increased and leaves a summary of exceptions.
 */
const BORDERLINE = /^(fsin|fsincos) /;
const STATUS = { UE: 0x10, ES_B: 0x8080 } as const;
const UNDERFLOW_SCALE = 0x6000n << 63n;
/** Which of several NaNs a sum of products keeps depends on the order of the additions; on Intel's processors lane by lane. */
const SUM_OF_PRODUCTS = /^dpp[sd] /;

function nearlySame(name: string, last: string, a: Uint8Array, b: Uint8Array): boolean {
  const left = new DataView(a.slice().buffer), right = new DataView(b.slice().buffer);
  if (name === 'fsw') {
    const different = left.getUint16(0, true) ^ right.getUint16(0, true);
    const borderline = BORDERLINE.test(last) && (different & STATUS.UE) !== 0 ? STATUS.UE | STATUS.ES_B : 0;
    return (different & ~(TRANSCENDENTAL.test(last) ? C1 | borderline : 0)) === 0;
  }
  if (name.startsWith('st') && TRANSCENDENTAL.test(last)) {
    const distance = extendedNumber(left) - extendedNumber(right);
    const isNear = (far: bigint): boolean => far >= -ULPS_MAX && far <= ULPS_MAX;
    return isNear(distance) || (BORDERLINE.test(last) && isNear(distance + UNDERFLOW_SCALE));
  }
  if (name.startsWith('xmm') && SUM_OF_PRODUCTS.test(last)) return sameButForNans(a, b, last.startsWith('dppd') ? 8 : 4);
  if (!name.startsWith('xmm') || !RECIPROCAL.test(last)) return false;
  return [0, 4, 8, 12].every((at) => {
    const [x, y] = [left.getFloat32(at, true), right.getFloat32(at, true)];
    return left.getUint32(at) === right.getUint32(at) || Math.abs(x - y) <= Math.abs(x) * RECIPROCAL_ERROR + TINY;
  });
}

/** Whether 16 bytes are the same but for lanes that are a NaN in both. */
export function sameButForNans(a: Uint8Array, b: Uint8Array, laneBytes: 4 | 8): boolean {
  const views = [a, b].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, 16));
  const laneOf = (view: DataView, at: number): number => (laneBytes === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true));
  for (let at = 0; at < 16; at += laneBytes) {
    const isSame = a.subarray(at, at + laneBytes).every((byte, n) => byte === b[at + n]);
    if (!isSame && !views.every((view) => Number.isNaN(laneOf(view, at)))) return false;
  }
  return true;
}

/** Sign and magnitude without the redundant integer bit: neighbouring numbers differ by 1. */
function extendedNumber(view: DataView): bigint {
  const high = BigInt(view.getUint16(8, true));
  return (high << 63n) | BigInt.asUintN(63, view.getBigUint64(0, true));
}

function imageDifferences(last: string, expected: Uint8Array, actual: Uint8Array, fields: typeof FX_FIELDS): string[] {
  return fields.flatMap(([name, at, size]) => {
    const [left, right] = [expected.subarray(at, at + size), actual.subarray(at, at + size)];
    const [leftText, rightText] = [bytesText(left), bytesText(right)];
    if (leftText === rightText || nearlySame(name, last, left, right)) return [];
    return [`${name}: ${leftText} expected, ${rightText} found (little endian)`];
  });
}

const YMM_FIELDS = Array.from({ length: 16 }, (_, n) => [`ymm${n} high`, 16 * n, 16] as const);

function vectorDifferences(test: GeneratedCase, expected: OracleResult, actual: OracleResult, registerCount: number): string[] {
  const last = test.program.at(-1) ?? '';
  const lines: string[] = [];
  if (expected.fxsave !== undefined && actual.fxsave !== undefined) {
    const fields = FX_FIELDS.slice(0, FX_FIELDS.length - 16 + registerCount);
    const found = imageDifferences(last, expected.fxsave, actual.fxsave, fields);
    const mayBeMmx = found.length > 0 && isMemoryFault(actual) && placeOf(test, actual)?.isMmx === true;
    const isMmx = (tags: number): boolean => imageDifferences(last, expected.fxsave!, inMmxMode(actual.fxsave!, tags), fields).length === 0;
    if (!mayBeMmx || !(isMmx(ALL_IN_USE) || isMmx(actual.fxsave[4]!))) lines.push(...found);
  }
  if (expected.ymmHigh !== undefined && actual.ymmHigh !== undefined) {
    lines.push(...imageDifferences(last, expected.ymmHigh, actual.ymmHigh, YMM_FIELDS.slice(0, registerCount)));
  }
  return lines;
}

const TOP = { SHIFT: 11, MASK: 7 << 11 } as const;
const ALL_IN_USE = 0xff;

/**
 * The image after the transition to MMX state, in which TOP is 0 and all registers are in use. Intel's processors have made
 * it already when the memory access of an MMX instruction faults (for a store but for the tags), AMD's have not; the
 * instruction makes it again when it is repeated.
 */
function inMmxMode(fxsave: Uint8Array, tags: number): Uint8Array {
  const image = fxsave.slice();
  const view = new DataView(image.buffer);
  const status = view.getUint16(2, true);
  const top = (status & TOP.MASK) >> TOP.SHIFT;
  view.setUint16(2, status & ~TOP.MASK, true);
  image[4] = tags;
  for (let n = 0; n < 8; n++) {
    const from = 32 + 16 * n;
    image.set(fxsave.subarray(from, from + 10), 32 + 16 * ((top + n) & 7));
  }
  return image;
}

/** For an address that no program can have, the kernel reports a protection fault whatever its page tables say. */
const USER_END = 0x7fff_ffff_f000n;
const PRESENT = 1;
/**
 * Which of their reasons to fault these report (misaligned, beyond the segment, not present) depends on the order in which they
 * read, and a misaligned image of FXRSTOR in the stack segment is now and then #SS(0) on a processor that mostly says #GP(0).
 */
const MEMORY_FAULTS = [12, 13, 14, 17];
const isMemoryFault = ({ outcome, vector }: OracleResult): boolean => outcome === 'trap' && MEMORY_FAULTS.includes(vector);
const PIECEWISE = /^(fxrstor|frstor|fldenv|bound|cmps|fbld|fbstp|fstp \(DB|fld \(DB) /;
/** These access much memory in an order of their own: where a fault in the middle lies is not architectural. */
const WIDE = /^(fxrstor|frstor|fldenv|pusha|popa|enter|cmps) /;

/** As a host tells it that does not always tell stack faults from protection faults. */
const withoutStackFaults = (result: OracleResult): OracleResult =>
  (result.vector === 12 && result.errorCode === 0 ? { ...result, vector: 13 } : result);

function ending(result: OracleResult, isWide: boolean, isPiecewise: boolean): string {
  if (result.outcome === 'completed' || result.outcome === 'timeout' || result.outcome === 'crash') return result.outcome;
  const errorCode = result.vector === 14 && result.cr2 >= USER_END ? result.errorCode | PRESENT : result.errorCode;
  const address = result.vector === 14 && !isWide ? ` cr2 ${hex(result.cr2)}` : '';
  if (isPiecewise && MEMORY_FAULTS.includes(result.vector)) return `memory fault rip ${hex(result.rip)}`;
  return `#${result.vector} error ${hex(errorCode)} rip ${hex(result.rip)}${address}`;
}

/** The number of the instruction of the program at which a result stands; -1 for none. */
const indexAt = ({ mode, codeOffset, places }: GeneratedCase, { rip }: OracleResult): number =>
  places.findIndex(({ start }) => BigInt(REGION.CODE + codeOffset + start - ORACLE_MODES[mode].code.base) === rip);
const placeOf = (test: GeneratedCase, result: OracleResult): Place | undefined => test.places[indexAt(test, result)];
const instructionOf = (test: GeneratedCase, result: OracleResult): string => test.program[indexAt(test, result)] ?? '';

/** A fault of the emulator's that another processor need not raise at the same instruction; what it does then is not compared. */
interface OptionalFault {
  readonly instruction: RegExp;
  readonly vectors: readonly number[];
  readonly when?: (expected: OracleResult, program: readonly string[]) => boolean;
}
const EXCEPTION_SUMMARY = 0x80;
const CLEARS_X87 = /^(fnclex|fninit|fxrstor|frstor|fldenv) /;
const BOUND_EXCEEDED = 5;
const hadPendingX87 = ({ outcome, vector, fxsave }: OracleResult, program: readonly string[]): boolean =>
  (outcome === 'trap' && vector === 16) || (fxsave !== undefined && (fxsave[2]! & EXCEPTION_SUMMARY) !== 0) ||
  program.some((line) => CLEARS_X87.test(line));
const OPTIONAL_FAULTS: readonly OptionalFault[] = [
  // SDM volume 2 asks for alignment (exceptions of type 4); AMD's processors do not check it.
  { instruction: /^sha/, vectors: [13] },
  // Whether an unaligned access of 128 bits that needs no alignment is checked is the processor's own: SDM volume 3, interrupt 17.
  { instruction: /^(movup[sd]|movdqu|lddqu|pcmp[ei]str[im]) /, vectors: [17] },
  // A store whose own exception is unmasked stores nothing: Intel's processors then have no memory fault to report, AMD's look
  // at the memory first (SDM volume 3, priority of exceptions: their order within an instruction is the implementation's).
  { instruction: /^(fst|fstp|fist|fistp|fisttp|fbstp) /, vectors: MEMORY_FAULTS, when: hadPendingX87 },
  // An index below the lower bound may be told before the upper one is read.
  { instruction: /^bound /, vectors: MEMORY_FAULTS, when: ({ vector }) => vector === BOUND_EXCEEDED },
];

/** Whether a fault is one of an instruction before that of another; one outside the program lies behind a jump of a later instruction. */
const isBefore = (test: GeneratedCase, fault: OracleResult, other: OracleResult): boolean =>
  fault.outcome !== 'completed' && indexAt(test, fault) >= 0 && fault.rip < other.rip;

function isOptional(test: GeneratedCase, expected: OracleResult, actual: OracleResult): boolean {
  if (actual.outcome !== 'trap' || isBefore(test, expected, actual)) return false;
  const name = instructionOf(test, actual);
  return OPTIONAL_FAULTS.some(({ instruction, vectors, when }) =>
    instruction.test(name) && vectors.includes(actual.vector) && (when === undefined || when(expected, test.program)));
}

const MASKED_STORE = /^maskmov(dqu|q) /;
const MASKED_BYTES = 16n;
const LAST_PAGE_OF_4G = 0xffff_f000n;

/** Whether two reports of a fault at the same instruction are both right. */
function isSameFault(test: GeneratedCase, expected: OracleResult, actual: OracleResult): boolean {
  if (expected.outcome !== 'trap' || actual.outcome !== 'trap' || expected.rip !== actual.rip) return false;
  const breaksLimit = (actual.vector === 12 || actual.vector === 13) && actual.errorCode === 0;
  if (expected.vector === 14 && MASKED_STORE.test(instructionOf(test, actual))) {
    // Of the whole operand or of its first byte to be stored.
    const distance = expected.cr2 - actual.cr2;
    const isNear = distance > -MASKED_BYTES && distance < MASKED_BYTES && expected.errorCode === actual.errorCode;
    return actual.vector === 14 ? isNear : breaksLimit;
  }
  return test.mode === 'flat32' && breaksLimit && wrapsAt4G(expected);
}

/** Whether an access that wraps at 4 GiB breaks a limit of 4 GiB is the processor's own: SDM volume 3, limit checking. */
function wrapsAt4G({ vector, cr2, registers }: OracleResult): boolean {
  if (vector === 14) return cr2 >= LAST_PAGE_OF_4G && cr2 >> 32n === 0n;
  return vector === 17 && [4, 5].some((n) => BigInt.asUintN(32, registers[n]!) >= LAST_PAGE_OF_4G); // LEAVE and the like: of RSP, RBP
}

const SCAN = /^scas /;
const ARITHMETIC_FLAGS = 0x8d5;
const REPEATS = [0xf2, 0xf3];
const SINGLE_STEP = 1;

/**
 * When a fault or a single step interrupts a repeated SCAS, Intel's processors leave the flags from before the instruction
 * (SDM volume 2, REP), AMD's those of the last comparison. They are no input of the instruction.
 */
function interruptedFlags(test: GeneratedCase, actual: OracleResult): number {
  const index = indexAt(test, actual);
  const isInterrupted = isMemoryFault(actual) || actual.vector === SINGLE_STEP;
  if (!isInterrupted || !SCAN.test(test.program[index] ?? '')) return 0;
  const instruction = test.code.subarray(test.places[index]!.start);
  const opcode = instruction.findIndex((byte) => byte === 0xae || byte === 0xaf);
  return instruction.subarray(0, opcode).some((byte) => REPEATS.includes(byte)) ? ARITHMETIC_FLAGS : 0;
}

const LONG_STORE = /^(fbstp|fstp \(DB) /;
const LONG_STORE_BYTES = 10;

/** Offsets in the data page of what a faulting instruction may have written all the same. */
function writtenAnyway(test: GeneratedCase, actual: OracleResult): readonly [from: number, to: number] {
  const { bits, data } = ORACLE_MODES[test.mode];
  const name = instructionOf(test, actual);
  if (actual.vector === 13 && name.startsWith('call ')) { // Intel's processors push the return address before they look at the target
    const stack = data.base + Number(BigInt.asUintN(bits, actual.registers[4]!)) - REGION.DATA;
    return [stack - (bits === 64 ? 8 : 4), stack];
  }
  if (actual.vector === 14 && LONG_STORE.test(name)) { // stored in parts, of which those of the first page may be done
    const end = Number(actual.cr2) - REGION.DATA;
    return [end - LONG_STORE_BYTES, end];
  }
  return [0, 0];
}

function changesOutside(changes: readonly MemoryChange[], [from, to]: readonly [from: number, to: number]): MemoryChange[] {
  return changes.flatMap(({ offset, bytes }) => [
    { offset, bytes: bytes.subarray(0, Math.max(0, from - offset)) },
    { offset: Math.max(offset, to), bytes: bytes.subarray(Math.max(0, to - offset)) },
  ].filter((part) => part.bytes.length > 0));
}

/** MXCSR.MM exists on AMD processors only, and is not announced. */
const MXCSR_MM = 1 << 17;
const takesMisalignedMode = ({ fxsave }: OracleResult): boolean =>
  fxsave !== undefined && (new DataView(fxsave.buffer, fxsave.byteOffset).getUint32(24, true) & MXCSR_MM) !== 0;

/** Whether the processor gave an answer to compare with. */
export const isAnswer = (expected: OracleResult): boolean =>
  (expected.outcome === 'completed' || expected.outcome === 'trap') && !takesMisalignedMode(expected);

/** One line for each difference; none when the emulator agrees, or when there is no answer to compare with. */
export function differences(test: GeneratedCase, answer: OracleResult, emulated: OracleResult, tellsStackFaults = true): string[] {
  const [expected, actual] = tellsStackFaults ? [answer, emulated] : [withoutStackFaults(answer), withoutStackFaults(emulated)];
  if (!isAnswer(expected)) return [];
  const isWide = test.program.some((line) => WIDE.test(line));
  const isPiecewise = test.program.some((line) => PIECEWISE.test(line));
  const [wanted, found] = [ending(expected, isWide, isPiecewise), ending(actual, isWide, isPiecewise)];
  if (wanted !== found && isOptional(test, expected, actual)) return [];
  if (wanted !== found && !isSameFault(test, expected, actual)) return [`${wanted} expected, ${found} found`];
  if (isWide && wanted.startsWith('#')) return []; // how much of it was done before is not architectural either
  return stateDifferences(test, expected, actual);
}

function stateDifferences(test: GeneratedCase, expected: OracleResult, actual: OracleResult): string[] {
  const is64 = ORACLE_MODES[test.mode].bits === 64;
  const lines: string[] = [];
  const count = is64 ? 16 : 8;
  for (let n = 0; n < count; n++) {
    const bits = is64 ? 64 : 32;
    const [left, right] = [BigInt.asUintN(bits, expected.registers[n]!), BigInt.asUintN(bits, actual.registers[n]!)];
    if (left !== right) lines.push(`${REGISTER_NAMES[n]}: ${hex(left)} expected, ${hex(right)} found`);
  }
  const ignoredFlags = expected.outcome === 'completed' ? test.undefinedFlags : test.undefinedFlagsInside | interruptedFlags(test, actual);
  const mask = COMPARED_FLAGS & ~ignoredFlags;
  const [wantedFlags, foundFlags] = [expected.flags & mask, actual.flags & mask];
  if (wantedFlags !== foundFlags) lines.push(`flags: ${hex(wantedFlags)} expected, ${hex(foundFlags)} found`);
  const [left, right] = [changesText(expected.changes), changesText(actual.changes)];
  if (left !== right && !areSameChanges(test, expected, actual)) lines.push(`memory: ${left} expected, ${right} found`);
  return [...lines, ...vectorDifferences(test, expected, actual, count)];
}

function areSameChanges(test: GeneratedCase, expected: OracleResult, actual: OracleResult): boolean {
  if (!isMemoryFault(actual)) return false;
  const range = writtenAnyway(test, actual);
  return changesText(changesOutside(expected.changes, range)) === changesText(changesOutside(actual.changes, range));
}

/** The case as text: enough to understand a difference. */
export function describeCase(test: GeneratedCase): string {
  const registers = Array.from(test.registers, (value, n) => `${REGISTER_NAMES[n]}=${hex(value)}`).join(' ');
  return `${test.mode} ${bytesText(test.code)} [${test.program.join('; ')}]\n    ${registers} flags=${hex(test.flags)}`;
}
