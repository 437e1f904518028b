// The thread that asks a machine for samples (sample-clock-thread.ts), and what it has noted. When V8 collected garbage comes from Node.
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import type { SampleClock, SampleWords } from '../../ports/sample-clock.ts';
import { hostClockNs } from './host-clock.ts';

/** Moments that can wait to be taken. */
export const NOTES = 16384;
const COLLECTIONS_MAX = 1 << 16;

export interface SampleThreadData extends SampleWords {
  /** A word, set to end the thread. */
  readonly stop: SharedArrayBuffer;
  readonly times: SharedArrayBuffer;
  readonly activities: SharedArrayBuffer;
  readonly hertz: number;
}

/** A thread takes some 30 ms to start. It waits to be told what to do. */
const startThread = (): Worker => {
  const thread = new Worker(new URL('./sample-clock-thread.js', import.meta.url));
  thread.unref();
  return thread;
};
let prepared: Worker | undefined;

export class NodeSampleClock implements SampleClock {
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #noted: Int32Array;
  readonly #times = new Float64Array(new SharedArrayBuffer(NOTES * 8));
  readonly #activities = new Int32Array(new SharedArrayBuffer(NOTES * 4));
  readonly #observer: PerformanceObserver;
  readonly #collections: { beginNs: number; endNs: number }[] = [];
  #taken = 0;
  lost = 0;

  constructor(words: SampleWords, hertz: number) {
    this.#noted = new Int32Array(words.memory, words.notedAt, 1);
    const data: SampleThreadData = {
      ...words, hertz, stop: this.#stop.buffer as SharedArrayBuffer, times: this.#times.buffer as SharedArrayBuffer,
      activities: this.#activities.buffer as SharedArrayBuffer,
    };
    const thread = prepared ?? startThread();
    prepared = undefined;
    thread.postMessage(data);
    const originNs = hostClockNs() - performance.now() * 1e6;
    this.#observer = new PerformanceObserver((list) => {
      for (const { startTime, duration } of list.getEntries()) {
        if (this.#collections.length >= COLLECTIONS_MAX) return;
        const beginNs = originNs + startTime * 1e6;
        this.#collections.push({ beginNs, endNs: beginNs + duration * 1e6 });
      }
    });
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** Starts the thread that the next clock takes. */
  static prepare(): void {
    prepared ??= startThread();
  }

  drain(noted: number, take: (atNs: number, activity: number) => void): void {
    let left = (noted - this.#taken) | 0;
    const all = (Atomics.load(this.#noted, 0) - this.#taken) | 0;
    const gone = Math.min(all - NOTES, left); // written over
    if (gone > 0) {
      this.lost += gone;
      this.#taken = (this.#taken + gone) | 0;
      left -= gone;
    }
    for (; left > 0; left--, this.#taken = (this.#taken + 1) | 0) {
      const at = this.#taken & (NOTES - 1);
      take(this.#times[at]!, this.#activities[at]!);
    }
  }

  collections(): readonly { readonly beginNs: number; readonly endNs: number }[] {
    return this.#collections;
  }

  stop(): void {
    Atomics.store(this.#stop, 0, 1);
    Atomics.notify(this.#stop, 0);
    this.#observer.disconnect();
  }
}
