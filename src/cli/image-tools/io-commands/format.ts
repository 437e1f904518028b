// The text of nandu-io's results: sizes, times, the two lines after every transfer, hexadecimal dumps. Scripts compare it
// literally, so it is the reference's to the last digit.

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;
const DUMP_WIDTH = 16;

/** As C's `%.3f` rounds: what lies in the middle goes to the even digit. */
function threeDecimals(value: number): string {
  const thousandths = value * 1000;
  const below = Math.floor(thousandths);
  return thousandths - below === 0.5 ? ((below + (below % 2)) / 1000).toFixed(3) : value.toFixed(3);
}

/** `64 KiB`, `1.500 KiB`, `512 bytes`: three decimals, none when they are all zero. */
export function sizeText(bytes: number): string {
  let power = 0;
  while (power < UNITS.length && bytes >= 1024 ** (power + 1)) power++;
  if (power === 0) return `${bytes.toFixed(6).replace(/\.000000$/, '')} bytes`;
  return `${threeDecimals(bytes / 1024 ** power).replace(/\.000$/, '')} ${UNITS[power - 1]}`;
}

const pad2 = (value: number): string => String(value).padStart(2, '0');

interface Clock {
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: string;
}

function clockOf(ns: number): Clock {
  const hundredths = Math.floor(ns / 1e7);
  const seconds = Math.floor(hundredths / 100);
  return {
    hours: Math.floor(seconds / 3600),
    minutes: Math.floor(seconds / 60) % 60,
    seconds: `${pad2(seconds % 60)}.${pad2(hundredths % 100)}`,
  };
}

const fixedTime = ({ hours, minutes, seconds }: Clock): string => `${hours}:${pad2(minutes)}:${seconds}`;

/** `00.01 sec`, or with hours and minutes when it took longer. */
export function timeText(ns: number): string {
  const clock = clockOf(ns);
  return clock.hours === 0 && clock.minutes === 0 ? `${clock.seconds} sec` : fixedTime(clock);
}

export interface Transfer {
  /** `read`, `wrote`, `discard`. */
  readonly verb: string;
  readonly offset: number;
  readonly requested: number;
  readonly total: number;
  readonly operations: number;
  readonly elapsedNs: number;
}

/** What a transfer made, for people or (-C) for programs. */
export function transferText({ verb, offset, requested, total, operations, elapsedNs }: Transfer, forPrograms: boolean): string {
  const perSecond = (value: number): number => value / (Math.max(elapsedNs, 1) / 1e9);
  const [bytesRate, operationsRate] = [perSecond(total), perSecond(operations)];
  if (forPrograms) {
    return `${total},${operations},${fixedTime(clockOf(elapsedNs))},${bytesRate.toFixed(3)},${operationsRate.toFixed(3)}\n`;
  }
  const rates = `${sizeText(bytesRate)}/sec and ${operationsRate.toFixed(4)} ops/sec`;
  const summary = `${sizeText(total)}, ${operations} ops; ${timeText(elapsedNs)} (${rates})`;
  return `${verb} ${total}/${requested} bytes at offset ${offset}\n${summary}\n`;
}

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;

/** Sixteen bytes a line, with their place and as characters. */
export function dumpText(bytes: Uint8Array, offset: number): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += DUMP_WIDTH) {
    const row = [...bytes.subarray(at, at + DUMP_WIDTH)];
    const digits = row.map((byte) => ` ${byte.toString(16).padStart(2, '0')}`).join('');
    const characters = row.map((byte) => (isPrintable(byte) ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${(offset + at).toString(16).padStart(8, '0')}: ${digits}  ${characters}\n`);
  }
  return lines.join('');
}
