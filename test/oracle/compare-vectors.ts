// How the x87, MMX, SSE and AVX registers of two results differ, but for what the manuals leave to each processor: approximations, the
// last bit of transcendental functions, which of several NaNs is kept, when the transition to MMX state is made.
import { isMemoryFault, placeOf } from './fault-leeway.ts';
import type { OracleResult } from './oracle-case.ts';
import type { GeneratedCase } from './random-code.ts';

export const bytesText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

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

/** Differences of the x87, MMX, SSE and AVX registers, of which a mode has `registerCount` of the last two kinds. */
export function vectorDifferences(test: GeneratedCase, expected: OracleResult, actual: OracleResult, registerCount: number): string[] {
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
