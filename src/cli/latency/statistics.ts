// Figures of a list of times, and whether two lists differ: the Mann-Whitney U test for requests, and a bootstrap over whole runs for
// the difference of their medians, because requests of one run are more alike than runs are.
import { Prng } from '../../base/prng.ts';

export interface Figures {
  readonly count: number;
  readonly meanNs: number;
  readonly deviationNs: number;
  readonly minNs: number;
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly maxNs: number;
}

export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The value that `share` of the sorted list lie below. */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;

export const sortedOf = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
export const median = (values: readonly number[]): number => quantile(sortedOf(values), 0.5);

export function figuresOf(values: readonly number[]): Figures {
  const sorted = sortedOf(values);
  const meanNs = mean(values);
  return {
    count: values.length, meanNs, deviationNs: Math.sqrt(mean(values.map((value) => (value - meanNs) ** 2))),
    minNs: sorted[0]!, p50Ns: quantile(sorted, 0.5), p99Ns: quantile(sorted, 0.99), maxNs: sorted.at(-1)!,
  };
}

export interface HistogramBar {
  /** Values up to it, and above the next lower step: two steps double. */
  readonly belowNs: number;
  readonly count: number;
}

export function histogramOf(values: readonly number[]): HistogramBar[] {
  const counts = new Map<number, number>();
  for (const value of values) {
    const belowNs = 2 ** (Math.ceil(2 * Math.log2(Math.max(1, value))) / 2);
    counts.set(belowNs, (counts.get(belowNs) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => a[0] - b[0]).map(([belowNs, count]) => ({ belowNs, count }));
}

export interface RankTest {
  /** The share of pairs in which the first is larger, ties for half: 0.5 is no difference. */
  readonly larger: number;
  /** Two-sided, by the normal approximation with correction for ties. */
  readonly p: number;
}

export function mannWhitney(a: readonly number[], b: readonly number[]): RankTest {
  const all = [...a.map((value) => ({ value, isA: true })), ...b.map((value) => ({ value, isA: false }))].sort((x, y) => x.value - y.value);
  let ranksOfA = 0;
  let ties = 0;
  for (let at = 0; at < all.length;) {
    let end = at;
    while (end < all.length && all[end]!.value === all[at]!.value) end++;
    const rank = (at + 1 + end) / 2;
    for (let index = at; index < end; index++) if (all[index]!.isA) ranksOfA += rank;
    ties += (end - at) ** 3 - (end - at);
    at = end;
  }
  const [n, m] = [a.length, b.length];
  const u = ranksOfA - (n * (n + 1)) / 2;
  const total = n + m;
  const variance = ((n * m) / 12) * (total + 1 - ties / (total * (total - 1)));
  const z = variance === 0 ? 0 : (Math.abs(u - (n * m) / 2) - 0.5) / Math.sqrt(variance);
  return { larger: u / (n * m), p: Math.min(1, 2 * upperTail(Math.max(0, z))) };
}

/** Of the standard normal distribution (Abramowitz and Stegun 26.2.17, error below 7.5e-8). */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp(-(z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;

/** 95 % of what the difference of the runs' mean medians, b - a, comes to when runs are drawn again with replacement. */
export function bootstrapDifference(a: readonly number[], b: readonly number[]): Interval {
  const random = new Prng(1);
  const drawn = (values: readonly number[]): number => mean(values.map(() => values[random.below(values.length)]!));
  const differences = sortedOf(Array.from({ length: RESAMPLES }, () => drawn(b) - drawn(a)));
  return { low: quantile(differences, 0.025), high: quantile(differences, 0.975) };
}
