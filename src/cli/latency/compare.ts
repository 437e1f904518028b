// `nandu latency --compare`: the same measurement with two lists of options, or of two builds, in alternating processes, and whether the
// difference is more than chance.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Failure } from '../../base/failure.ts';
import { bootstrapDifference, mannWhitney, mean, median, type Interval, type RankTest } from './statistics.ts';
import type { Summary } from './summary.ts';

/** What a measurement in another process says. */
interface Run {
  readonly summary: Summary;
  readonly samples: readonly number[];
}

export interface Side {
  /** Its options, as given. */
  readonly words: string;
  readonly runs: readonly Run[];
}

export interface Comparison {
  readonly sides: readonly [Side, Side];
  /** Medians by run. */
  readonly medians: readonly [readonly number[], readonly number[]];
  readonly test: RankTest;
  readonly interval: Interval;
}

const OWN_COMMAND = join(import.meta.dirname, '..', '..', '..', '..', 'bin', 'nandu');
/** Of all requests of a side, for the rank test: more tell nothing more. */
const SAMPLES_MAX = 20_000;

export async function compare(
  options: readonly [string, string], common: readonly string[], runs: number, onRun: (done: number, of: number) => void,
): Promise<Comparison> {
  const lists: [Run[], Run[]] = [[], []];
  for (let run = 0; run < runs; run++) {
    for (const side of [0, 1] as const) {
      lists[side].push(await measureApart(options[side], common));
      onRun(lists[0].length + lists[1].length, 2 * runs);
    }
  }
  const samples = lists.map((list) => thinned(list.flatMap((run) => run.samples)));
  const medians = lists.map((list) => list.map((run) => median(run.samples))) as [number[], number[]];
  return {
    sides: [{ words: options[0], runs: lists[0] }, { words: options[1], runs: lists[1] }],
    medians, test: mannWhitney(samples[0]!, samples[1]!), interval: bootstrapDifference(medians[0], medians[1]),
  };
}

const thinned = (values: readonly number[]): number[] => {
  const step = Math.ceil(values.length / SAMPLES_MAX);
  return values.filter((_, index) => index % step === 0);
};

async function measureApart(options: string, common: readonly string[]): Promise<Run> {
  const words = options.split(/\s+/).filter((word) => word !== '');
  const at = words.indexOf('--build');
  const [, build] = at < 0 ? [] : words.splice(at, 2);
  if (at >= 0 && build === undefined) throw new Failure('invalid-argument', '--build: requires an argument');
  const command = build === undefined ? OWN_COMMAND : join(build, 'bin', 'nandu');
  const output = await outputOf(command, options, ['latency', ...common, ...words, '--json', '--samples']);
  const { samples, ...summary } = JSON.parse(output) as Summary & { samples: number[] };
  return { summary, samples };
}

/** `side` is what the user calls this measurement. */
function outputOf(command: string, side: string, words: readonly string[]): Promise<string> {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Failure('not-found', `cannot run ${command}: ${error.message}`, { cause: error })));
    child.once('close', (status) => {
      if (status === 0) resolve(output);
      else reject(new Failure('io', `--compare '${side}': ${reasonOf(errors) ?? `exit status ${status}`}`));
    });
  });
}

/** The last line that the command wrote, without its name. */
const reasonOf = (errors: string): string | undefined => errors.trim().split('\n').at(-1)?.replace(/^nandu: /, '');

const us = (ns: number): string => (ns / 1000).toFixed(2);
const cell = (text: string): string => text.padStart(12);

export function comparisonText({ sides, medians, test, interval }: Comparison): string {
  const [a, b] = sides;
  const [first, second] = medians.map((list) => mean(list)) as [number, number];
  const isClear = interval.low > 0 || interval.high < 0;
  const chance = test.p < 1e-4 ? 'p < 0.0001' : `p = ${test.p.toFixed(4)}`;
  return [
    `A: ${a.words}`, `B: ${b.words}`, `${a.runs.length} runs of each, alternating; microseconds`, '',
    `${cell('A')}${cell('B')}${cell('B - A')}`,
    ...layerRows(sides), '',
    `median of a request by run, A: ${medians[0].map(us).join(', ')}`,
    `median of a request by run, B: ${medians[1].map(us).join(', ')}`,
    `B - A: ${us(second - first)} us (${((100 * (second - first)) / first).toFixed(1)} %), 95 % of bootstrapped runs from ` +
      `${us(interval.low)} to ${us(interval.high)}: ${isClear ? 'they differ' : 'no difference that these runs can show'}`,
    `requests, Mann-Whitney: A is the slower one in ${(100 * test.larger).toFixed(1)} % of pairs, ${chance}`, '',
  ].join('\n');
}

/** Means over the runs of what a layer takes without events, and of the rest. */
function layerRows([a, b]: readonly [Side, Side]): string[] {
  const layerNs = ({ runs }: Side, name: string): number =>
    mean(runs.map(({ summary }) => summary.layers.find((layer) => layer.name === name)?.plainNs ?? 0));
  const names = [...new Set([...a.runs, ...b.runs].flatMap(({ summary }) => summary.layers.map(({ name }) => name)))];
  const row = (name: string, value: (side: Side) => number): string =>
    `${cell(us(value(a)))}${cell(us(value(b)))}${cell(us(value(b) - value(a)))}  ${name}`;
  const measuredMean = (pick: (measured: NonNullable<Summary['measured']>) => number) => ({ runs }: Side): number =>
    mean(runs.map(({ summary }) => pick(summary.measured!)));
  return [
    ...names.map((name) => row(name, (side) => layerNs(side, name))),
    row('total, without events', measuredMean(({ plain }) => plain.meanNs)),
    row('99 of 100 are below', measuredMean(({ plain }) => plain.p99Ns)),
    row('on the host', measuredMean(({ host }) => host.meanNs)),
  ];
}
