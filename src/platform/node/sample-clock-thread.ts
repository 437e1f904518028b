// The thread of sample-clock.ts: sleeps for random times around the period, notes what the machine's thread does, and asks it for the
// guest's part. The times are random so that they cannot fall into step with anything in the guest.
import { performance } from 'node:perf_hooks';
import { parentPort } from 'node:worker_threads';
import { SAMPLE_ASKED } from '../../trace/activity.ts';
import { hostClockNs } from './host-clock.ts';
import { NOTES, type SampleThreadData } from './sample-clock.ts';

/** How late a wait usually ends is taken off the next one, up to this. */
const LATE_MS_MAX = 0.1;

function run(data: SampleThreadData): void {
  const stop = new Int32Array(data.stop);
  const times = new Float64Array(data.times);
  const activities = new Int32Array(data.activities);
  const activity = new Int32Array(data.memory, data.activityAt, 1);
  const asked = new Int32Array(data.memory, data.askedAt, 1);
  const notedWord = new Int32Array(data.memory, data.notedAt, 1);
  const periodMs = 1e3 / data.hertz;
  const originNs = hostClockNs() - performance.now() * 1e6;
  let noted = 0;
  let lateMs = 0;
  for (let begunMs = performance.now(); ; ) {
    // From now on, not from when the last one was due: moments that were missed must not come in a row, all at one place.
    const waitMs = periodMs * (0.5 + Math.random());
    if (Atomics.wait(stop, 0, 0, Math.max(waitMs / 2, waitMs - lateMs)) !== 'timed-out') return;
    const nowMs = performance.now(); // the one look at the clock: this runs a thousand times a second
    const at = noted & (NOTES - 1);
    times[at] = originNs + nowMs * 1e6;
    activities[at] = Atomics.load(activity, 0);
    noted = (noted + 1) | 0;
    Atomics.store(notedWord, 0, noted);
    Atomics.store(asked, 0, SAMPLE_ASKED);
    lateMs = Math.max(0, Math.min(LATE_MS_MAX, lateMs + Math.min(LATE_MS_MAX, nowMs - begunMs - waitMs) / 16));
    begunMs = nowMs;
  }
}

parentPort?.once('message', (data: SampleThreadData) => run(data));
