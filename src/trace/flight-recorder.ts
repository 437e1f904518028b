// The last events in a ring of fixed size, to be written when somebody wants to see what went before.
import type { TraceEvent, TraceSink, TraceValues } from './event.ts';

interface Kept {
  readonly event: TraceEvent;
  readonly atNs: number;
  readonly values: TraceValues;
}

export class FlightRecorder {
  readonly #kept: Kept[] = [];
  readonly #size: number;
  #next = 0;
  /** Events that have been overwritten. */
  lost = 0;

  constructor(size: number) {
    this.#size = size;
  }

  readonly sink: TraceSink = (event, atNs, values) => {
    if (this.#kept.length === this.#size) this.lost++;
    this.#kept[this.#next] = { event, atNs, values };
    this.#next = (this.#next + 1) % this.#size;
  };

  get kept(): number {
    return this.#kept.length;
  }

  /** Gives what is kept to a sink, the oldest first. */
  replay(sink: TraceSink): void {
    const start = this.#kept.length === this.#size ? this.#next : 0;
    for (let index = 0; index < this.#kept.length; index++) {
      const { event, atNs, values } = this.#kept[(start + index) % this.#kept.length]!;
      sink(event, atNs, values);
    }
  }
}
