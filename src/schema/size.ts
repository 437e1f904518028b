// Sizes as people write them: `512M`, `1.5G`, `0x1000`. Not for counts or durations.
import { Failure } from '../base/failure.ts';

/** Binary suffixes: each is 1024 times the one before. */
const SUFFIXES = 'bkmgtpe';
const SIZE = /^(?:0[xX](?<hex>[0-9a-fA-F]+)|(?<decimal>\d+(?:\.\d*)?))(?<suffix>[a-zA-Z]?)$/;

/** The number of bytes, rounded down. `defaultSuffix` counts when none is written. Undefined when it is not a size. */
export function sizeFromText(text: string, defaultSuffix = 'b'): number | undefined {
  const groups = SIZE.exec(text)?.groups;
  if (groups === undefined) return undefined;
  const power = SUFFIXES.indexOf((groups['suffix'] || defaultSuffix).toLowerCase());
  if (power < 0) return undefined;
  const units = groups['hex'] === undefined ? Number(groups['decimal']) : Number.parseInt(groups['hex'], 16);
  return Math.floor(units * 1024 ** power);
}

export function parseSize(name: string, text: string, defaultSuffix = 'b'): number {
  const bytes = sizeFromText(text, defaultSuffix);
  if (bytes === undefined) throw new Failure('invalid-argument', `Parameter '${name}' expects a non-negative number below 2^64`);
  if (bytes >= 2 ** 64) throw new Failure('invalid-argument', `Value '${text}' is out of range for parameter '${name}'`);
  return bytes;
}

/** The shortest exact form: 128M, 1G, 1000. */
export function formatSize(bytes: number): string {
  let power = 0;
  let units = bytes;
  while (units >= 1024 && units % 1024 === 0 && power < SUFFIXES.length - 1) {
    units /= 1024;
    power++;
  }
  return power === 0 ? String(units) : `${units}${SUFFIXES[power]!.toUpperCase()}`;
}
