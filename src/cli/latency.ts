// `nandu latency`: the time of virtio-blk requests by layer, from a trace file in the simple format. The analysis is
// trace/request-latency.ts; here are the words and the tables.
import { Failure } from '../base/failure.ts';
import { LATENCY_EVENTS, layersOf, requestLives, type RequestLife } from '../trace/request-latency.ts';
import { readTraceFile } from './trace.ts';

const HELP = `usage: nandu latency [--bytes N] [--writes] [--json] FILE

Where the time of a machine's virtio-blk requests went, layer by layer, from a trace in FILE. To make one:

  nandu-system-x86_64 ... ${LATENCY_EVENTS.map((pattern) => `-trace '${pattern}'`).join(' ')} -trace file=FILE

  --bytes N    only requests of N bytes
  --writes     only writes (else only reads)
  --json       the figures as JSON
`;

interface Request {
  file: string | undefined;
  bytes: number | undefined;
  isWrite: boolean;
  json: boolean;
  help: boolean;
}

export async function runLatency(words: readonly string[], out: (text: string) => void): Promise<number> {
  const request = parse(words);
  if (request.help || request.file === undefined) {
    out(HELP);
    return 0;
  }
  const { lives: all, leftOut } = requestLives(await readTraceFile(request.file));
  const { bytes, isWrite } = request;
  const lives = all.filter((life) => life.isWrite === isWrite && (bytes === undefined || life.bytes === bytes));
  if (lives.length === 0) throw new Failure('not-found', `${request.file}: no such request from its doorbell to its interrupt`);
  const summary = summarize(lives, all.length - lives.length, leftOut);
  out(request.json ? `${JSON.stringify(summary, undefined, 2)}\n` : summaryText(summary));
  return 0;
}

function parse(words: readonly string[]): Request {
  const request: Request = { file: undefined, bytes: undefined, isWrite: false, json: false, help: false };
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (word === '--json') request.json = true;
    else if (word === '--writes') request.isWrite = true;
    else if (word === '--help' || word === '-h') request.help = true;
    else if (word === '--bytes') request.bytes = byteCount(words[++index]);
    else if (word.startsWith('-')) throw new Failure('invalid-argument', `${word}: invalid option (see nandu latency --help)`);
    else if (request.file !== undefined) throw new Failure('invalid-argument', `latency: unexpected argument '${word}'`);
    else request.file = word;
  }
  return request;
}

function byteCount(text: string | undefined): number {
  if (text === undefined || !/^\d+$/.test(text)) throw new Failure('invalid-argument', '--bytes: requires a number');
  return Number(text);
}

interface Layer {
  readonly name: string;
  readonly meanNs: number;
  readonly percent: number;
  /** With the layers before it. */
  readonly cumulativeNs: number;
}

interface Shown {
  readonly request: number;
  readonly totalNs: number;
  readonly events: readonly { readonly name: string; readonly sinceBeforeNs: number }[];
}

interface Summary {
  readonly count: number;
  readonly otherRequests: number;
  readonly leftOut: number;
  readonly total: { readonly [K in 'meanNs' | 'deviationNs' | 'minNs' | 'p50Ns' | 'p99Ns' | 'maxNs']: number };
  readonly layers: readonly Layer[];
  /** Of the layers, beside the total: what they fail to explain. */
  readonly unexplainedPercent: number;
  /** Requests by their total: up to `belowNs`, from half of it. */
  readonly histogram: readonly { readonly belowNs: number; readonly count: number }[];
  readonly typical: Shown;
  readonly slowest: Shown;
}

function summarize(lives: readonly RequestLife[], otherRequests: number, leftOut: number): Summary {
  const sorted = [...lives].sort((a, b) => a.totalNs - b.totalNs);
  const at = (share: number): RequestLife => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const meanNs = lives.reduce((sum, { totalNs }) => sum + totalNs, 0) / lives.length;
  const variance = lives.reduce((sum, { totalNs }) => sum + (totalNs - meanNs) ** 2, 0) / lives.length;
  const layers = meanLayers(lives, meanNs);
  const explained = layers.at(-1)!.cumulativeNs;
  return {
    count: lives.length, otherRequests, leftOut,
    total: {
      meanNs, deviationNs: Math.sqrt(variance),
      minNs: at(0).totalNs, p50Ns: at(0.5).totalNs, p99Ns: at(0.99).totalNs, maxNs: at(1).totalNs,
    },
    layers, unexplainedPercent: (100 * Math.abs(meanNs - explained)) / meanNs,
    histogram: histogram(lives), typical: shown(at(0.5)), slowest: shown(at(1)),
  };
}

function meanLayers(lives: readonly RequestLife[], totalNs: number): Layer[] {
  const sums = new Map<string, number>();
  for (const life of lives) for (const [name, ns] of layersOf(life)) sums.set(name, (sums.get(name) ?? 0) + ns);
  let cumulativeNs = 0;
  return [...sums].map(([name, ns]) => {
    const meanNs = ns / lives.length;
    cumulativeNs += meanNs;
    return { name, meanNs, percent: (100 * meanNs) / totalNs, cumulativeNs };
  });
}

function histogram(lives: readonly RequestLife[]): Summary['histogram'] {
  const counts = new Map<number, number>();
  for (const { totalNs } of lives) {
    const belowNs = 2 ** Math.ceil(Math.log2(Math.max(1, totalNs)));
    counts.set(belowNs, (counts.get(belowNs) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => a[0] - b[0]).map(([belowNs, count]) => ({ belowNs, count }));
}

const shown = ({ request, totalNs, events }: RequestLife): Shown => ({
  request, totalNs, events: events.map(({ name, atNs }, index) => ({ name, sinceBeforeNs: atNs - (events[index - 1]?.atNs ?? atNs) })),
});

const us = (ns: number): string => (ns / 1000).toFixed(2).padStart(10);
const BAR_WIDTH = 50;
const barOf = (share: number): string => '#'.repeat(Math.ceil(BAR_WIDTH * share));

function summaryText(summary: Summary): string {
  const { count, otherRequests, leftOut, total, layers, unexplainedPercent, histogram: bars, typical, slowest } = summary;
  return [
    `${count} requests (${otherRequests} of another kind, ${leftOut} merged or not whole in the trace), microseconds`, '',
    `${'mean'.padStart(10)} ${'%'.padStart(6)} ${'together'.padStart(10)}  layer`,
    ...layers.map((layer) => `${us(layer.meanNs)} ${layer.percent.toFixed(1).padStart(6)} ${us(layer.cumulativeNs)}  ${layer.name}`),
    `${us(total.meanNs)} ${'100.0'.padStart(6)} ${' '.repeat(10)}  total (${unexplainedPercent.toFixed(2)} % in no layer)`, '',
    ...Object.entries(total).map(([name, ns]) => `${us(ns)}  ${name.replace('Ns', '')}`), '',
    ...bars.map((bar) => `${us(bar.belowNs)}  ${String(bar.count).padStart(7)} ${barOf(bar.count / count)}`), '',
    ...lifeText('a typical request', typical), '', ...lifeText('the slowest request', slowest), '',
  ].join('\n');
}

const lifeText = (title: string, { request, totalNs, events }: Shown): string[] => [
  `${title}: ${request}, ${(totalNs / 1000).toFixed(2)} us`, ...events.map(({ name, sinceBeforeNs }) => `${us(sinceBeforeNs)}  ${name}`),
];
