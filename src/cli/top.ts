// `nandu top`: the running machines of this user in a table that renews itself. How they are found is platform/node/machine-directory.ts,
// what they say vm/machine-figures.ts.
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../base/failure.ts';
import { findMachines } from '../platform/node/machine-directory.ts';
import { makeTerminalRaw, restoreTerminal } from '../platform/node/terminal.ts';
import { hostClockNs } from '../platform/node/host-clock.ts';
import { percentile } from '../trace/latency-histogram.ts';
import type { MachineFigures } from '../vm/machine-figures.ts';

const DEFAULT_SECONDS = 2;
const ONCE_SECONDS = 1;

const HELP = `usage: nandu top [--once] [--json] [--delay SECONDS]

The machines that run here, and what they do: renewed every ${DEFAULT_SECONDS} seconds until q or Ctrl-C.

  --once           one table, of one second
  --json           the same figures as JSON, once
  --delay SECONDS  how often

CPU      processor time of the process, per cent of one processor, with V8's compilers and other threads
GUEST    of the machine's thread: guest code; DEV devices, timers and ends of requests; JIT decoding, translating, compiling
MIPS     guest instructions; EXITS returns from guest code to the machine; DEV/S accesses of guest code to devices
P99      the time below which 99 of 100 disk requests ended
`;

/** What a machine's process adds to its figures. */
export interface ProcessFigures extends MachineFigures {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly upSeconds: number;
}

interface Reading {
  readonly pid: number;
  readonly atNs: number;
  readonly figures: ProcessFigures | undefined;
}

export interface TopRow {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  readonly cpuPercent?: number;
  readonly guestPercent?: number;
  readonly devicePercent?: number;
  readonly translatePercent?: number;
  readonly mips?: number;
  readonly exitsPerSecond?: number;
  readonly accessesPerSecond?: number;
  readonly readsPerSecond?: number;
  readonly writesPerSecond?: number;
  readonly readBytesPerSecond?: number;
  readonly writtenBytesPerSecond?: number;
  readonly p99Us?: number;
  readonly residentBytes?: number;
  readonly ramBytes?: number;
  readonly upSeconds?: number;
}

export async function runTop(words: readonly string[], out: (text: string) => void): Promise<number> {
  let once = false;
  let json = false;
  let seconds: number | undefined;
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--once') once = true;
    else if (word === '--json') json = true;
    else if (word === '--delay') seconds = parseSeconds(words[++index]);
    else if (word === '--help' || word === '-h') {
      out(HELP);
      return 0;
    } else throw new Failure('invalid-argument', `${word}: invalid option (see nandu top --help)`);
  }
  if (!once && !json && process.stdin.isTTY && process.stdout.isTTY) return live(seconds ?? DEFAULT_SECONDS, out);
  const before = await read();
  if (before.length > 0) await delay((seconds ?? ONCE_SECONDS) * 1000);
  const rows = topRows(before, before.length > 0 ? await read() : []);
  out(json ? `${JSON.stringify(rows, undefined, 2)}\n` : `${tableText(rows, Infinity).join('\n')}\n`);
  return 0;
}

function parseSeconds(text: string | undefined): number {
  const seconds = Number(text);
  if (text !== undefined && seconds >= 0.1 && seconds <= 3600) return seconds;
  throw new Failure('invalid-argument', '--delay: requires 0.1 to 3600 seconds');
}

async function read(): Promise<Reading[]> {
  const found = await findMachines();
  const atNs = hostClockNs();
  return found.map(({ pid, answer }) => ({ pid, atNs, figures: isFigures(answer) ? answer : undefined }));
}

/** Another version of nandu may answer something else. */
function isFigures(answer: unknown): answer is ProcessFigures {
  return typeof answer === 'object' && answer !== null && (answer as { version?: unknown }).version === 1;
}

export function topRows(before: readonly Reading[], after: readonly Reading[]): TopRow[] {
  return after.map((reading) => {
    const { pid, figures } = reading;
    if (figures === undefined) return { pid, name: '', state: 'no answer' };
    const former = before.find((one) => one.pid === pid);
    const since = former?.figures === undefined ? {} : rates(former.figures, figures, reading.atNs - former.atNs);
    return { ...standing(pid, figures), ...since };
  });
}

const standing = (pid: number, { name, state, residentBytes, ramBytes, upSeconds }: ProcessFigures): TopRow =>
  ({ pid, name, state, residentBytes, ramBytes, upSeconds });

function rates(from: ProcessFigures, to: ProcessFigures, ns: number): Partial<TopRow> {
  const seconds = ns / 1e9;
  const percent = (spentNs: number): number => (100 * spentNs) / ns;
  const drive = (key: 'reads' | 'writes' | 'readBytes' | 'writtenBytes'): number => (sumOf(to, key) - sumOf(from, key)) / seconds;
  const spent = (key: keyof MachineFigures['ns']): number => to.ns[key] - from.ns[key];
  const translating = spent('translating') + spent('compiling');
  const p99 = percentile(latencies(from, to), 0.99);
  return {
    cpuPercent: (100 * (to.cpuSeconds - from.cpuSeconds)) / seconds,
    guestPercent: percent(Math.max(0, spent('slices') - spent('devices') - translating)),
    devicePercent: percent(spent('devices') + spent('timers') + spent('completions')),
    translatePercent: percent(translating),
    mips: (to.instructions - from.instructions) / seconds / 1e6,
    exitsPerSecond: (to.exits - from.exits) / seconds,
    accessesPerSecond: (to.deviceAccesses - from.deviceAccesses) / seconds,
    readsPerSecond: drive('reads'), writesPerSecond: drive('writes'),
    readBytesPerSecond: drive('readBytes'), writtenBytesPerSecond: drive('writtenBytes'),
    ...(p99 === undefined ? {} : { p99Us: p99 / 1000 }),
  };
}

const sumOf = ({ drives }: MachineFigures, key: 'reads' | 'writes' | 'readBytes' | 'writtenBytes'): number =>
  drives.reduce((sum, drive) => sum + drive[key], 0);

/** Of all drives, since the reading before. */
function latencies(from: MachineFigures, to: MachineFigures): number[] {
  const counts: number[] = [];
  for (const { name, latencies: now } of to.drives) {
    const former = from.drives.find((drive) => drive.name === name)?.latencies ?? [];
    now.forEach((count, slot) => (counts[slot] = (counts[slot] ?? 0) + count - (former[slot] ?? 0)));
  }
  return counts;
}

const amount = (value: number | undefined, unit = ''): string => {
  if (value === undefined) return '-';
  for (const [size, letter] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']] as const) {
    if (value >= size) return `${(value / (letter === 'k' ? 1000 : size)).toFixed(1)}${letter}${unit}`;
  }
  return `${value.toFixed(0)}${unit}`;
};
const tenths = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(1));

const COLUMNS: readonly (readonly [title: string, width: number, text: (row: TopRow) => string])[] = [
  ['PID', 8, ({ pid }) => String(pid)],
  ['CPU%', 7, ({ cpuPercent }) => tenths(cpuPercent)],
  ['GUEST%', 7, ({ guestPercent }) => tenths(guestPercent)],
  ['DEV%', 6, ({ devicePercent }) => tenths(devicePercent)],
  ['JIT%', 6, ({ translatePercent }) => tenths(translatePercent)],
  ['MIPS', 7, ({ mips }) => tenths(mips)],
  ['EXITS/S', 8, ({ exitsPerSecond }) => amount(exitsPerSecond)],
  ['DEV/S', 7, ({ accessesPerSecond }) => amount(accessesPerSecond)],
  ['READ/S', 7, ({ readsPerSecond }) => amount(readsPerSecond)],
  ['WRITE/S', 8, ({ writesPerSecond }) => amount(writesPerSecond)],
  ['RD B/S', 8, ({ readBytesPerSecond }) => amount(readBytesPerSecond)],
  ['WR B/S', 8, ({ writtenBytesPerSecond }) => amount(writtenBytesPerSecond)],
  ['P99 US', 8, ({ p99Us }) => tenths(p99Us)],
  ['RSS', 8, ({ residentBytes }) => amount(residentBytes)],
  ['RAM', 8, ({ ramBytes }) => amount(ramBytes)],
  ['UP', 8, ({ upSeconds }) => (upSeconds === undefined ? '-' : `${upSeconds.toFixed(0)}s`)],
];

/** Control characters of a guest's name are not the terminal's business. */
const printable = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?');

export function tableText(rows: readonly TopRow[], width: number): string[] {
  const head = `${COLUMNS.map(([title, columns]) => title.padStart(columns)).join('')}  STATE       NAME`;
  const lines = rows.map((row) =>
    `${COLUMNS.map(([, columns, text]) => text(row).padStart(columns)).join('')}  ${row.state.padEnd(11)} ${printable(row.name)}`);
  return [head, ...(rows.length === 0 ? ['no machine runs here'] : lines)].map((line) => line.slice(0, width));
}

const ENTER_SCREEN = '\x1b[?1049h\x1b[?25l';
const LEAVE_SCREEN = '\x1b[?25h\x1b[?1049l';

async function live(seconds: number, out: (text: string) => void): Promise<number> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const leave = (): void => {
    process.stdout.write(LEAVE_SCREEN);
    restoreTerminal();
  };
  process.once('exit', leave);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  makeTerminalRaw();
  process.stdin.on('data', (keys: Buffer) => {
    if (/[qQ\x03]/.test(keys.toString('latin1'))) end();
  });
  process.stdout.write(ENTER_SCREEN);
  let before: Reading[] = [];
  while (!ended.signal.aborted) {
    const after = await read();
    draw(topRows(before, after));
    const wait = before.length === 0 ? Math.min(seconds, ONCE_SECONDS) : seconds;
    before = after;
    await Promise.race([delay(wait * 1000, undefined, { signal: ended.signal }).catch(() => {}), resized()]);
  }
  process.off('exit', leave);
  leave();
  process.stdin.pause();
  out('');
  return 0;
}

const resized = (): Promise<void> => new Promise((resolve) => process.stdout.once('resize', resolve));

function draw(rows: readonly TopRow[]): void {
  const { columns, rows: height } = process.stdout;
  const lines = [`nandu top: ${rows.length} machines; q quits`, '', ...tableText(rows, columns)].slice(0, height);
  process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
}
