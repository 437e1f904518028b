// Sizes as the image tools write them for people (`1.21 MiB`) and take them from people (`10G`, with the reference's words
// when that is none).
import { Failure } from '../../base/failure.ts';
import { exactSize } from '../../block/operations/create-options.ts';
import { ReportedFailure } from './reported-failure.ts';

const UNITS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/** Three significant digits as C's `%0.3g` writes them. */
export function threeDigits(value: number): string {
  const text = value.toPrecision(3);
  if (!text.includes('e')) return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  const [mantissa, exponent] = text.split('e') as [string, string];
  const digits = mantissa.replace(/\.?0+$/, '');
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
}

/** The largest unit in which the number is about one or more: `1.21 MiB`, `0 B`. */
export function humanSize(bytes: number): string {
  let power = 0;
  // A unit begins at 1000 of the one before, so that there are never four digits in front of the point.
  while (power < UNITS.length - 1 && bytes >= 1000 * 1024 ** power) power++;
  return `${threeDigits(bytes / 1024 ** power)} ${UNITS[power]}B`;
}

export const INT64_MAX = (1n << 63n) - 1n;

/** What an argument may be, and where warnings about its notation go. */
export interface SizeRules {
  readonly min?: bigint;
  readonly max?: bigint;
  warn?(line: string): void;
}

/** The number of bytes that an argument says; `what` names it in the error. */
export function parseSizeArgument(what: string, text: string, { min = 0n, max = INT64_MAX, warn }: SizeRules = {}): bigint {
  const value = exactSize(text);
  if (value === 'invalid') {
    throw new ReportedFailure([
      `Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for`,
      'kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.',
    ]);
  }
  if (value === 'range' || value < min || value > max) {
    throw new Failure('invalid-argument', `Invalid ${what} specified. Must be between ${min} and ${max}.`);
  }
  if (/^\s*\+?0[xX][0-9a-fA-F]+[kKmMgGtTpPeE]$/.test(text)) warn?.(`Using a multiplier suffix on hex numbers is deprecated: ${text}`);
  return value;
}

/** A number that later code counts with. */
export function safeNumber(what: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Failure('limit', `${what} is beyond the supported range`);
  return Number(value);
}
