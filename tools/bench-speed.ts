// The tables of docs/translator-speed.md: seconds, millions of instructions a second and ratios of the workloads on both guests, and
// how the cost grows with processes, memory and time. `npm run bench -- speed [--runs N] [--part amd64|i386|growth|minutes]
// [--work NAME,…] [--minutes N] [--v86 FOLDER] [--table FILE]`; with --table what follows the file's results heading is replaced, else
// it is printed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Failure } from '../src/base/failure.ts';
import type { GuestArchitecture } from '../src/cli/debian-guest.ts';
import {
  benchGuest, geometricMean, median, nanduContestant, referenceContestant, runGuest, v86Contestant, WORK, type Contestant, type Workloads,
} from './bench-guest.ts';

const PROCESSES = [1, 2, 4, 8, 16];
const MEGABYTES = [10, 30, 100, 300, 1024];
const GROWTH_RAM_MEGABYTES = 2048;
/** One round of the workload that goes on for minutes. Its programs are another copy each time, code that nobody has seen yet. */
const ROUND = 'cp /bin/busybox tmp/b; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; tmp/b true; '
  + 'seq 1 3000 | tmp/b sort -n | tmp/b md5sum; rm tmp/b';
const RESULTS_HEADING = '## Results\n';
const PARTS = ['amd64', 'i386', 'growth', 'minutes'] as const;

interface SpeedOptions {
  readonly runs: number;
  readonly minutes: number;
  readonly names: readonly string[];
  readonly v86: string | undefined;
}

const fixed = (value: number | undefined): string => (value === undefined ? 'failed' : value.toFixed(2));
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map((_, n) => (n === 0 ? '---' : '---:'))), ...rows.map(row), ''].join('\n');

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b === 0 ? undefined : a / b;

async function measure(contestants: readonly Contestant[], words: readonly string[], runs: number): Promise<void> {
  for (let n = 0; n < runs; n++) for (const contestant of contestants) await runGuest(contestant, words);
}

const present = <T>(values: readonly (T | undefined)[]): T[] => values.filter((value) => value !== undefined);

async function workloadTable(architecture: GuestArchitecture, { runs, names, v86 }: SpeedOptions): Promise<string> {
  const guest = await benchGuest(architecture, Object.fromEntries(names.map((name) => [name, WORK[name]!])));
  const nandu = nanduContestant(true);
  const others = present([referenceContestant(), architecture === 'i386' && v86 !== undefined ? v86Contestant(v86) : undefined]);
  try {
    await measure([nandu, ...others], guest.words, runs);
  } finally {
    guest.remove();
  }
  const ratios = others.map((): number[] => []);
  const rows = ['boot', ...names].map((name) => {
    const own = median(nandu.samples.get(name));
    const instructions = median(nandu.instructions.get(name));
    const mips = (seconds = Number.NaN): string => ratio(instructions, seconds * 1e6)?.toFixed(0) ?? '';
    const cells = others.flatMap(({ samples }, n) => {
      const theirs = median(samples.get(name));
      const compared = ratio(own, theirs);
      if (compared !== undefined && compared > 0 && name !== 'boot') ratios[n]!.push(compared);
      return [fixed(theirs), mips(theirs), fixed(compared)];
    });
    return [name, instructions === undefined ? '' : (instructions / 1e6).toFixed(0), fixed(own), mips(own), ...cells];
  });
  const means = others.flatMap((_, n) => ['', '', fixed(ratios[n]!.length === 0 ? undefined : geometricMean(ratios[n]!))]);
  rows.push(['geometric mean', '', '', '', ...means]);
  const head = ['workload', 'million instructions', 'nandu, s', 'MIPS', ...others.flatMap(({ name }) => [`${name}, s`, 'MIPS', 'ratio'])];
  return `### ${architecture} guest\n\n${table(head, rows)}`;
}

/** Workloads of one kind that grow. */
function growing(): Workloads {
  const work: Record<string, string> = {};
  for (const count of PROCESSES) {
    const one = 'dd if=/dev/zero bs=64k count=64 2>/dev/null | md5sum';
    work[`processes-${count}`] = `n=0; while [ $n -lt ${count} ]; do ${one} & n=$((n+1)); done; wait`;
  }
  for (const count of MEGABYTES) work[`touch-${count}`] = `dd if=/dev/zero of=tmp/f bs=1M count=${count}; rm tmp/f`;
  return work;
}

/** The rounds that fit into each minute, as workloads of a minute each whose rounds the guest prints. */
function timed(minutes: number): Workloads {
  const work: Record<string, string> = {};
  for (let minute = 1; minute <= minutes; minute++) {
    const rounds = `end=$(($(date +%s)+60)); r=0; while [ $(date +%s) -lt $end ]; do ${ROUND}; r=$((r+1)); done`;
    work[`minute-${minute}`] = `${rounds}; echo "WORK rounds-${minute} 0 $r" > /dev/console`;
  }
  return work;
}

async function growthTable({ runs }: SpeedOptions): Promise<string> {
  const guest = await benchGuest('amd64', growing(), GROWTH_RAM_MEGABYTES);
  const contestants = present([nanduContestant(), referenceContestant()]);
  try {
    await measure(contestants, guest.words, runs);
  } finally {
    guest.remove();
  }
  const line = (name: string, label: string, units: number): string[] => {
    const seconds = contestants.map(({ samples }) => median(samples.get(name)));
    const cells = seconds.flatMap((value) => [fixed(value), fixed(value === undefined ? undefined : (1000 * value) / units)]);
    return [label, ...cells, fixed(ratio(seconds[0], seconds[1]))];
  };
  const head = (what: string, unit: string): string[] => [what, ...contestants.flatMap(({ name }) =>
      [`${name}, s`, `ms ${unit}`]), 'ratio'];
  return [
    '### How the cost grows\n',
    table(head('processes, 4 MiB of md5sum each', 'a process'), PROCESSES.map((count) => line(`processes-${count}`, String(count), count))),
    table(head('MiB touched', 'a MiB'), MEGABYTES.map((count) => line(`touch-${count}`, String(count), count))),
  ].join('\n');
}

/** All contestants at the same time, once: they share the machine and whatever else it does meanwhile. */
async function minutesTable({ minutes }: SpeedOptions): Promise<string> {
  const guest = await benchGuest('amd64', timed(minutes));
  const contestants = present([nanduContestant(), referenceContestant()]);
  try {
    await Promise.all(contestants.map((contestant) => runGuest(contestant, guest.words)));
  } finally {
    guest.remove();
  }
  const shown = Array.from({ length: minutes }, (_, n) => n + 1).filter((minute) => minute <= 5 || minute % 5 === 0);
  const rows = shown.map((minute) => {
    const rounds = contestants.map(({ samples }) => median(samples.get(`rounds-${minute}`)));
    const cells = contestants.flatMap(({ residentMiB }, n) =>
      [String(rounds[n] ?? 'failed'), median(residentMiB.get(`minute-${minute}`))?.toFixed(0) ?? '']);
    return [String(minute), ...cells, fixed(ratio(rounds[1], rounds[0]))];
  });
  const head = ['minute', ...contestants.flatMap(({ name }) => [`${name}, rounds`, 'MiB resident']), 'ratio of time'];
  return `### How it goes on\n\n${table(head, rows)}`;
}

/** The document with everything after its results heading replaced. */
function withResults(document: string, results: string): string {
  const [before = ''] = document.split(RESULTS_HEADING);
  return `${before}${RESULTS_HEADING}\n${results}`;
}

export async function benchSpeed(words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      runs: { type: 'string', default: '3' }, minutes: { type: 'string', default: '10' },
      part: { type: 'string', multiple: true, default: [...PARTS] },
      work: { type: 'string', default: Object.keys(WORK).join(',') }, v86: { type: 'string' }, table: { type: 'string' },
    },
  });
  const options = { runs: Number(values.runs), minutes: Number(values.minutes), names: values.work.split(','), v86: values.v86 };
  const isPart = (text: string): text is (typeof PARTS)[number] => PARTS.some((known) => known === text);
  const isKnown = options.names.every((name) => WORK[name] !== undefined) && values.part.every(isPart);
  if (!isKnown || !(options.runs >= 1) || !(options.minutes >= 0)) {
    throw new Failure('invalid-argument', `not understood: ${words.join(' ')}`);
  }
  const sections = [`Node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}; medians of ${options.runs}.\n`];
  for (const part of values.part.filter(isPart)) {
    if (part === 'growth') sections.push(await growthTable(options));
    else if (part === 'minutes') sections.push(await minutesTable(options));
    else sections.push(await workloadTable(part, options));
  }
  const text = sections.join('\n');
  if (values.table === undefined) process.stdout.write(text);
  else writeFileSync(values.table, withResults(existsSync(values.table) ? readFileSync(values.table, 'utf8') : '', text));
  return 0;
}
