// Exact conversion between guest nanoseconds and the ticks of a device's clock. Conversions are made from a fixed origin,
// never by adding up periods, so that nothing drifts.
import { assert } from '../../base/assert.ts';

const NS_PER_SECOND = 1e9;

export class Frequency {
  readonly hz: number;

  constructor(hz: number) {
    assert(hz > 0, 'a frequency is positive');
    this.hz = hz;
  }

  /** Whole ticks in a duration. */
  ticks(durationNs: number): number {
    return Math.floor((durationNs * this.hz) / NS_PER_SECOND);
  }

  /** The first whole nanosecond at which `ticks` ticks have passed. */
  nanoseconds(ticks: number): number {
    const guess = Math.ceil((ticks * NS_PER_SECOND) / this.hz);
    return this.ticks(guess) < ticks ? guess + 1 : guess;
  }
}
