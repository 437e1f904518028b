// What the manuals leave to each processor when an instruction faults: which fault of several it is, what has been done by then, and
// which faults there need not be.
import { ORACLE_MODES, REGION, type MemoryChange, type OracleResult } from './oracle-case.ts';
import type { GeneratedCase, Place } from './random-code.ts';

export const hex = (value: number | bigint): string => value.toString(16);

/** For an address that no program can have, the kernel reports a protection fault whatever its page tables say. */
const USER_END = 0x7fff_ffff_f000n;
const PRESENT = 1;
/**
 * Which of their reasons to fault these report (misaligned, beyond the segment, not present) depends on the order in which they
 * read, and a misaligned image of FXRSTOR in the stack segment is now and then #SS(0) on a processor that mostly says #GP(0).
 */
const MEMORY_FAULTS = [12, 13, 14, 17];
export const isMemoryFault = ({ outcome, vector }: OracleResult): boolean => outcome === 'trap' && MEMORY_FAULTS.includes(vector);
export const PIECEWISE = /^(fxrstor|frstor|fldenv|bound|cmps|fbld|fbstp|fstp \(DB|fld \(DB) /;
/** These access much memory in an order of their own: where a fault in the middle lies is not architectural. */
export const WIDE = /^(fxrstor|frstor|fldenv|pusha|popa|enter|cmps) /;

/** As a host tells it that does not always tell stack faults from protection faults. */
export const withoutStackFaults = (result: OracleResult): OracleResult =>
  (result.vector === 12 && result.errorCode === 0 ? { ...result, vector: 13 } : result);

/** How a case ended, as far as it is compared. */
export function ending(result: OracleResult, isWide: boolean, isPiecewise: boolean): string {
  if (result.outcome === 'completed' || result.outcome === 'timeout' || result.outcome === 'crash') return result.outcome;
  const errorCode = result.vector === 14 && result.cr2 >= USER_END ? result.errorCode | PRESENT : result.errorCode;
  const address = result.vector === 14 && !isWide ? ` cr2 ${hex(result.cr2)}` : '';
  if (isPiecewise && MEMORY_FAULTS.includes(result.vector)) return `memory fault rip ${hex(result.rip)}`;
  return `#${result.vector} error ${hex(errorCode)} rip ${hex(result.rip)}${address}`;
}

/** The number of the instruction of the program at which a result stands; -1 for none. */
const indexAt = ({ mode, codeOffset, places }: GeneratedCase, { rip }: OracleResult): number =>
  places.findIndex(({ start }) => BigInt(REGION.CODE + codeOffset + start - ORACLE_MODES[mode].code.base) === rip);
export const placeOf = (test: GeneratedCase, result: OracleResult): Place | undefined => test.places[indexAt(test, result)];
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

/** Whether the emulator's fault is one that this processor need not have. */
export function isOptional(test: GeneratedCase, expected: OracleResult, actual: OracleResult): boolean {
  if (actual.outcome !== 'trap' || isBefore(test, expected, actual)) return false;
  const name = instructionOf(test, actual);
  return OPTIONAL_FAULTS.some(({ instruction, vectors, when }) =>
    instruction.test(name) && vectors.includes(actual.vector) && (when === undefined || when(expected, test.program)));
}

const MASKED_STORE = /^maskmov(dqu|q) /;
const MASKED_BYTES = 16n;
const LAST_PAGE_OF_4G = 0xffff_f000n;

/** Whether two reports of a fault at the same instruction are both right. */
export function isSameFault(test: GeneratedCase, expected: OracleResult, actual: OracleResult): boolean {
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
export function interruptedFlags(test: GeneratedCase, actual: OracleResult): number {
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
export function writtenAnyway(test: GeneratedCase, actual: OracleResult): readonly [from: number, to: number] {
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

/** Changes of memory but for a range of it. */
export function changesOutside(changes: readonly MemoryChange[], [from, to]: readonly [from: number, to: number]): MemoryChange[] {
  return changes.flatMap(({ offset, bytes }) => [
    { offset, bytes: bytes.subarray(0, Math.max(0, from - offset)) },
    { offset: Math.max(offset, to), bytes: bytes.subarray(Math.max(0, to - offset)) },
  ].filter((part) => part.bytes.length > 0));
}
