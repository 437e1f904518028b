// Says how two results of the same test case differ: what the real processor did against what the emulator did.
// The tolerances (undefined flags, the registers that a mode does not have) are here and nowhere else.
import { ORACLE_MODES } from './oracle-case.ts';
import type { MemoryChange, OracleResult } from './oracle-case.ts';
import type { GeneratedCase } from './random-code.ts';

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

function nearlySame(name: string, last: string, a: Uint8Array, b: Uint8Array): boolean {
  const left = new DataView(a.slice().buffer), right = new DataView(b.slice().buffer);
  if (name === 'fsw') {
    const ignored = TRANSCENDENTAL.test(last) ? C1 : 0;
    return ((left.getUint16(0, true) ^ right.getUint16(0, true)) & ~ignored) === 0;
  }
  if (name.startsWith('st') && TRANSCENDENTAL.test(last)) {
    const distance = extendedNumber(left) - extendedNumber(right);
    return distance >= -ULPS_MAX && distance <= ULPS_MAX;
  }
  if (!name.startsWith('xmm') || !RECIPROCAL.test(last)) return false;
  return [0, 4, 8, 12].every((at) => {
    const [x, y] = [left.getFloat32(at, true), right.getFloat32(at, true)];
    return left.getUint32(at) === right.getUint32(at) || Math.abs(x - y) <= Math.abs(x) * RECIPROCAL_ERROR + TINY;
  });
}

/** Sign and magnitude without the redundant integer bit: neighbouring numbers differ by 1. */
function extendedNumber(view: DataView): bigint {
  const high = BigInt(view.getUint16(8, true));
  return (high << 63n) | BigInt.asUintN(63, view.getBigUint64(0, true));
}

function vectorDifferences(last: string, expected: OracleResult, actual: OracleResult, registerCount: number): string[] {
  const lines: string[] = [];
  const compare = (name: string, a: Uint8Array, b: Uint8Array): void => {
    const [left, right] = [bytesText(a), bytesText(b)];
    if (left !== right && !nearlySame(name, last, a, b)) lines.push(`${name}: ${left} expected, ${right} found (little endian)`);
  };
  if (expected.fxsave !== undefined && actual.fxsave !== undefined) {
    const last = FX_FIELDS.length - 16 + registerCount;
    for (const [name, at, size] of FX_FIELDS.slice(0, last)) {
      compare(name, expected.fxsave.subarray(at, at + size), actual.fxsave.subarray(at, at + size));
    }
  }
  if (expected.ymmHigh !== undefined && actual.ymmHigh !== undefined) {
    for (let at = 0; at < 16 * registerCount; at += 16) {
      compare(`ymm${at / 16} high`, expected.ymmHigh.subarray(at, at + 16), actual.ymmHigh.subarray(at, at + 16));
    }
  }
  return lines;
}

/** For an address that no program can have, the kernel reports a protection fault whatever its page tables say. */
const USER_END = 0x7fff_ffff_f000n;
const PRESENT = 1;
/**
 * Which of their reasons to fault these report (misaligned, beyond the segment, not present) depends on the order in which they
 * read, and a misaligned image of FXRSTOR in the stack segment is now and then #SS(0) on a processor that mostly says #GP(0).
 */
const MEMORY_FAULTS = [12, 13, 14, 17];
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
  if (wanted !== found) return [`${wanted} expected, ${found} found`];
  if (isWide && wanted.startsWith('#')) return []; // how much of it was done before is not architectural either
  const is64 = ORACLE_MODES[test.mode].bits === 64;
  const lines: string[] = [];
  const count = is64 ? 16 : 8;
  for (let n = 0; n < count; n++) {
    const bits = is64 ? 64 : 32;
    const [left, right] = [BigInt.asUintN(bits, expected.registers[n]!), BigInt.asUintN(bits, actual.registers[n]!)];
    if (left !== right) lines.push(`${REGISTER_NAMES[n]}: ${hex(left)} expected, ${hex(right)} found`);
  }
  const mask = COMPARED_FLAGS & ~(expected.outcome === 'completed' ? test.undefinedFlags : test.undefinedFlagsInside);
  const [wantedFlags, foundFlags] = [expected.flags & mask, actual.flags & mask];
  if (wantedFlags !== foundFlags) lines.push(`flags: ${hex(wantedFlags)} expected, ${hex(foundFlags)} found`);
  const [left, right] = [changesText(expected.changes), changesText(actual.changes)];
  if (left !== right) lines.push(`memory: ${left} expected, ${right} found`);
  return [...lines, ...vectorDifferences(test.program.at(-1) ?? '', expected, actual, count)];
}

/** The case as text: enough to understand a difference. */
export function describeCase(test: GeneratedCase): string {
  const registers = Array.from(test.registers, (value, n) => `${REGISTER_NAMES[n]}=${hex(value)}`).join(' ');
  return `${test.mode} ${bytesText(test.code)} [${test.program.join('; ')}]\n    ${registers} flags=${hex(test.flags)}`;
}
