// Says how two results of the same test case differ: what the real processor did against what the emulator did.
// The tolerances are here (undefined flags, the registers that a mode does not have), in fault-leeway.ts and in compare-vectors.ts, and
// nowhere else. The emulator takes one of the ways; Intel's and AMD's processors both must pass.
import { bytesText, vectorDifferences } from './compare-vectors.ts';
import {
  changesOutside, ending, hex, interruptedFlags, isMemoryFault, isOptional, isSameFault, PIECEWISE, WIDE, withoutStackFaults, writtenAnyway,
} from './fault-leeway.ts';
import { ORACLE_MODES, type MemoryChange, type OracleResult } from './oracle-case.ts';
import type { GeneratedCase } from './random-code.ts';

const COMPARED_FLAGS = 0x244dd5; // ID AC NT OF DF TF SF ZF AF PF CF; RF depends on how the event was reported
const REGISTER_NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

const changesText = (changes: readonly MemoryChange[]): string =>
  changes.map(({ offset, bytes }) => `+${hex(offset)}:${bytesText(bytes)}`).join(' ');
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
