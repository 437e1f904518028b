// Limits of a throttle group: which there are, which combinations make sense, and the leaky bucket that one of them becomes.
// Words and rules as in QEMU's docs/throttle.txt and QMP's ThrottleLimits.
import { Failure } from '../base/failure.ts';

export const LIMIT_KINDS = ['bps-total', 'bps-read', 'bps-write', 'iops-total', 'iops-read', 'iops-write'] as const;
export type LimitKind = (typeof LIMIT_KINDS)[number];

export interface Limit {
  /** Units (bytes or operations) a second; 0: no limit. */
  average: number;
  /** During a burst; 0: none. */
  max: number;
  /** Seconds that a burst may last. */
  maxLength: number;
}

export interface ThrottleLimits {
  readonly limits: Readonly<Record<LimitKind, Limit>>;
  /** Bytes that count as one operation; 0: any request is one. */
  operationSize: number;
}

export const VALUE_MAX = 1e15;

const limit = (): Limit => ({ average: 0, max: 0, maxLength: 1 });

// prettier-ignore
export const noLimits = (): ThrottleLimits => ({
  limits: {
    'bps-total': limit(), 'bps-read': limit(), 'bps-write': limit(),
    'iops-total': limit(), 'iops-read': limit(), 'iops-write': limit(),
  },
  operationSize: 0,
});

const refuse = (message: string): never => {
  throw new Failure('invalid-argument', message);
};

/** Throws when the limits contradict each other. */
export function checkLimits({ limits, operationSize }: ThrottleLimits): void {
  for (const what of ['bps', 'iops'] as const) {
    const [total, read, write] = [limits[`${what}-total`], limits[`${what}-read`], limits[`${what}-write`]];
    const both = (total.average > 0 && read.average + write.average > 0) || (total.max > 0 && read.max + write.max > 0);
    if (both) refuse('bps/iops/max total values and read/write values cannot be used at the same time');
  }
  const iops = limits['iops-total'].average + limits['iops-read'].average + limits['iops-write'].average;
  if (operationSize !== 0 && iops === 0) refuse('iops size requires an iops value to be set');
  for (const kind of LIMIT_KINDS) checkLimit(limits[kind]);
}

function checkLimit({ average, max, maxLength }: Limit): void {
  const inRange = [average, max].every((value) => value >= 0 && value <= VALUE_MAX);
  if (!inRange) refuse(`bps/iops/max values must be within [0, ${VALUE_MAX}]`);
  if (maxLength === 0) refuse('the burst length cannot be 0');
  if (maxLength > 1 && max === 0) refuse('burst length set without burst rate');
  if (max > 0 && maxLength > VALUE_MAX / max) refuse('burst length too high for this burst rate');
  if (max > 0 && average === 0) refuse('bps_max/iops_max require corresponding bps/iops values');
  if (max > 0 && max < average) refuse('bps_max/iops_max cannot be lower than bps/iops');
}

const NS_PER_SECOND = 1e9;
/** Without a burst rate a tenth of a second's worth may come at once, so that small requests are not held up. */
const SHORT_BURST_SECONDS = 0.1;

/** Fills with what is done and leaks at the average rate; one that is too full must be waited for. */
export class LeakyBucket {
  readonly #limit: Limit;
  #level = 0;
  #burstLevel = 0;

  constructor(limitOfBucket: Limit) {
    this.#limit = limitOfBucket;
  }

  get limited(): boolean {
    return this.#limit.average > 0;
  }

  leak(elapsedNs: number): void {
    const { average, max, maxLength } = this.#limit;
    const seconds = elapsedNs / NS_PER_SECOND;
    this.#level = Math.max(0, this.#level - average * seconds);
    if (maxLength > 1) this.#burstLevel = Math.max(0, this.#burstLevel - max * seconds);
  }

  /** Nanoseconds until the next request may start. */
  waitNs(): number {
    const { average, max, maxLength } = this.#limit;
    if (average === 0) return 0;
    const size = max > 0 ? max * maxLength : average * SHORT_BURST_SECONDS;
    const extra = this.#level - size;
    if (extra > 0) return (extra / average) * NS_PER_SECOND;
    if (maxLength <= 1) return 0;
    const burstExtra = this.#burstLevel - max * SHORT_BURST_SECONDS;
    return burstExtra > 0 ? (burstExtra / max) * NS_PER_SECOND : 0;
  }

  add(units: number): void {
    this.#level += units;
    if (this.#limit.maxLength > 1) this.#burstLevel += units;
  }
}
