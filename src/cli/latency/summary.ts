// What `nandu latency` found, as figures: the layers of a request inside out, each by itself and with those within, the host's own latency
// beside them, and the lives of two requests. Words and pages are text.ts's and page.ts's.
import {
  isNode, LAYER, layersInOrder, layersOf, type Latencies, type RequestLife, type StampedPass,
} from '../../trace/request-latency.ts';
import type { HostBaseline } from './host-baseline.ts';
import { figuresOf, histogramOf, mean, median, type Figures, type HistogramBar } from './statistics.ts';
import { MODES, modeOf, WARM_PASSES, type PassMode } from './workload.ts';

export interface Layer {
  readonly name: string;
  readonly meanNs: number;
  /** Of the request. */
  readonly percent: number;
  /** With the layers before it. */
  readonly cumulativeNs: number;
  /** Without the time of the events that it was measured by; where there is a pass without them. */
  readonly plainNs?: number;
}

export interface ShownEvent {
  readonly name: string;
  readonly atNs: number;
  readonly sinceBeforeNs: number;
  /** What the time since the event before belongs to. */
  readonly layer: string;
  /** Where that time was spent. */
  readonly thread: string;
}

export interface ShownLife {
  readonly request: number;
  readonly totalNs: number;
  readonly events: readonly ShownEvent[];
}

export interface Summary {
  /** What was measured, in words. */
  readonly title: string;
  readonly leftOut: number;
  readonly total: Figures;
  readonly histogram: readonly HistogramBar[];
  /** Of the middle half of requests by their total: their mean, and its layers. */
  readonly middleNs: number;
  readonly layers: readonly Layer[];
  /** Around them, where it is known: the guest's program, from the return of a request to the call of the next. */
  readonly programNs?: number;
  /** Between the sum of the layers and the total that they are layers of. */
  readonly unexplainedPercent: number;
  readonly typical: ShownLife;
  readonly slowest: ShownLife;
  /** What only a measurement has, not a trace. */
  readonly measured?: MeasuredSummary;
}

export interface MeasuredSummary {
  /** Without events but the program's stamps. */
  readonly plain: Figures;
  readonly plainHistogram: readonly HistogramBar[];
  readonly host: Figures & { readonly by: string };
  readonly hostHistogram: readonly HistogramBar[];
  /** Device and queue, drive and block nodes. */
  readonly ownNs: number;
  /** The same with the time of the events. */
  readonly ownTracedNs: number;
  /** One event; and what a request takes longer by being traced, in which more is than the events' own time. */
  readonly eventNs: number;
  readonly excessNs: number;
  /** Between two requests: the guest's program itself. */
  readonly betweenNs: number;
  /** A request and what is between two by the guest's clock, and how far the stamps are from it. */
  readonly guestClockNs: number;
  readonly clockPercent: number;
}

const MACHINE = 'machine';
const POOL = 'thread pool';

export function summarize(title: string, lives: readonly RequestLife[], leftOut: number): Summary {
  const totals = lives.map(({ totalNs }) => totalNs);
  const sorted = [...lives].sort((a, b) => a.totalNs - b.totalNs);
  const middle = middleHalf(lives);
  const layers = meanLayers(middle, undefined);
  const middleNs = mean(middle.map(({ totalNs }) => totalNs));
  const programs = middle.flatMap(({ programNs = [] }) => programNs);
  return {
    title, leftOut, total: figuresOf(totals), middleNs, histogram: histogramOf(totals), layers,
    ...(programs.length > 0 && { programNs: mean(programs) }),
    unexplainedPercent: differencePercent(layers.at(-1)!.cumulativeNs, middleNs),
    typical: shown(sorted[sorted.length >> 1]!), slowest: shown(sorted.at(-1)!),
  };
}

/** Requests from the first to the third quartile: those that met nothing but what all meet. */
function middleHalf(lives: readonly RequestLife[]): RequestLife[] {
  const sorted = [...lives].sort((a, b) => a.totalNs - b.totalNs);
  const quarter = Math.floor(sorted.length / 4);
  return sorted.slice(quarter, sorted.length - quarter);
}

const differencePercent = (found: number, expected: number): number => (100 * Math.abs(found - expected)) / expected;

/** Of a measurement: layers from the passes that trace them, lives from those with all events, the total from those without. */
export function summarizeMeasured(title: string, { passes, leftOut }: Latencies, host: HostBaseline): Summary {
  const [plain, traced, details] = MODES.map((mode) => countedPasses(passes, mode));
  const { lives } = traced!;
  const whole = summarize(title, lives, leftOut);
  const excessNs = Math.max(0, median(traced!.totals) - median(plain!.totals));
  const eventNs = Math.min(excessNs / mean(lives.map(({ events }) => events.length)), shortestStep(lives));
  const layers = meanLayers(middleHalf(lives), eventNs);
  const own = layers.filter(({ name }) => isNode(name) || name === LAYER.drive || name === LAYER.device);
  const stampsNs = (sum(plain!.totals) + plain!.betweenNs) / plain!.totals.length;
  const guestClockNs = plain!.ticks / plain!.totals.length; // a tick is a nanosecond
  const slowestFirst = [...details!.lives].sort((a, b) => b.totalNs - a.totalNs);
  return {
    ...whole, layers, typical: shown(slowestFirst[slowestFirst.length >> 1]!), slowest: shown(slowestFirst[0]!),
    measured: {
      plain: figuresOf(plain!.totals), plainHistogram: histogramOf(plain!.totals),
      host: { ...figuresOf(host.totals), by: host.by }, hostHistogram: histogramOf(host.totals),
      ownNs: sum(own.map(({ plainNs = 0 }) => plainNs)), ownTracedNs: sum(own.map(({ meanNs }) => meanNs)), eventNs, excessNs,
      betweenNs: plain!.betweenNs / plain!.totals.length, guestClockNs,
      // With several requests at once stamps overlap: then there is nothing to compare.
      clockPercent: plain!.betweenNs === 0 ? 0 : differencePercent(stampsNs, guestClockNs),
    },
  };
}

/** What an event takes, in words: passes differ by more than that where the host has other things to do. */
export const eventText = ({ eventNs }: MeasuredSummary): string =>
  (eventNs > 0
    ? `an event takes ${eventNs.toFixed(0)} ns`
    : 'what an event takes is less than passes differ by, and has not been taken off');

/** Between two events that follow each other closest: an event takes no more than that. */
function shortestStep(lives: readonly RequestLife[]): number {
  const steps = new Map<string, number[]>();
  for (const { events } of lives) {
    events.forEach(({ name, atNs }, index) => {
      const next = events[index + 1];
      if (next === undefined) return;
      const key = `${name} ${next.name}`;
      const list = steps.get(key) ?? [];
      list.push(next.atNs - atNs);
      steps.set(key, list);
    });
  }
  return Math.min(...[...steps.values()].filter((list) => list.length >= lives.length / 2).map((list) => median(list)));
}

/** The time of each request that was measured without events. */
export const plainTotals = ({ passes }: Latencies): number[] => countedPasses(passes, 'plain').totals.map((ns) => Math.round(ns));

const countedPasses = (passes: readonly StampedPass[], wanted: PassMode): StampedPass =>
  together(passes.filter((_, pass) => pass >= WARM_PASSES && modeOf(pass) === wanted));

function together(passes: readonly StampedPass[]): StampedPass {
  return {
    lives: passes.flatMap(({ lives }) => lives), totals: passes.flatMap(({ totals }) => totals),
    betweenNs: sum(passes.map(({ betweenNs }) => betweenNs)), ticks: sum(passes.map(({ ticks }) => ticks)),
  };
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

function meanLayers(lives: readonly RequestLife[], eventNs: number | undefined): Layer[] {
  const sums = new Map<string, number>();
  const events = new Map<string, number>();
  for (const life of lives) {
    for (const [name, ns] of layersOf(life)) sums.set(name, (sums.get(name) ?? 0) + ns);
    for (const { layer } of life.events) events.set(layer, (events.get(layer) ?? 0) + 1);
  }
  const totalNs = mean(lives.map((life) => life.totalNs));
  let cumulativeNs = 0;
  return layersInOrder(lives).map((name) => {
    const meanNs = sums.get(name)! / lives.length;
    cumulativeNs += meanNs;
    const plainNs = meanNs - (eventNs ?? 0) * (events.get(name)! / lives.length);
    return { name, meanNs, percent: (100 * meanNs) / totalNs, cumulativeNs, ...(eventNs !== undefined && { plainNs }) };
  });
}

function shown({ request, totalNs, events, endNs }: RequestLife): ShownLife {
  const first = events[0]!.atNs;
  const all = [...events, { name: 'end', atNs: endNs, layer: '' }];
  return { request, totalNs, events: all.map(({ name, atNs }, index) => {
    const before = all[index - 1];
    const layer = before?.layer ?? '';
    const thread = layer === LAYER.pooled ? POOL : MACHINE;
    return { name, atNs: atNs - first, sinceBeforeNs: atNs - (before?.atNs ?? atNs), layer, thread };
  }) };
}
