// How long requests took, by quarters of an octave: for percentiles that are right within a fifth, at the cost of a logarithm a request.

const STEPS = 4;
const SLOTS = 40 * STEPS;

export class LatencyHistogram {
  readonly counts = new Float64Array(SLOTS);

  add(ns: number): void {
    this.counts[Math.min(SLOTS - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, ns)) * STEPS)))]!++;
  }
}

/** The time that a share of the requests stayed below; undefined without any. */
export function percentile(counts: ArrayLike<number>, share: number): number | undefined {
  let all = 0;
  for (let slot = 0; slot < counts.length; slot++) all += counts[slot]!;
  if (all === 0) return undefined;
  let below = 0;
  for (let slot = 0; slot < counts.length; slot++) {
    below += counts[slot]!;
    if (below >= all * share) return 2 ** ((slot + 1) / STEPS);
  }
  return undefined;
}
