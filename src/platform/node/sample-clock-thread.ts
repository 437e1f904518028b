// The thread of sample-clock.ts: sleeps for random times around the period, notes what the machine's thread does, and asks it for the
// guest's part. The times are random so that they cannot fall into step with anything in the guest.
import { isMainThread, workerData } from 'node:worker_threads';
import { hostClockNs } from './host-clock.ts';
import { CONTROL, NOTES, type SampleThreadData } from './sample-clock.ts';

/** How late a wait usually ends is taken off the next one, up to this. */
const LATE_NS_MAX = 100e3;

function run(data: SampleThreadData): void {
  const control = new Int32Array(data.control);
  const times = new Float64Array(data.times);
  const activities = new Int32Array(data.activities);
  const activity = new Int32Array(data.memory, data.activityAt, 1);
  const asked = new Int32Array(data.memory, data.askedAt, 1);
  const periodNs = 1e9 / data.hertz;
  let noted = 0;
  let lateNs = 0;
  for (;;) {
    // From now on, not from when the last one was due: moments that were missed must not come in a row, all at one place.
    const waitNs = periodNs * (0.5 + Math.random());
    const begun = hostClockNs();
    const ended = Atomics.wait(control, CONTROL.STOP, 0, Math.max(waitNs / 2, waitNs - lateNs) / 1e6) !== 'timed-out';
    if (ended) return;
    const lateAgainNs = Math.min(LATE_NS_MAX, hostClockNs() - begun - waitNs);
    lateNs = Math.max(0, Math.min(LATE_NS_MAX, lateNs + lateAgainNs / 16));
    const at = noted & (NOTES - 1);
    times[at] = hostClockNs();
    activities[at] = Atomics.load(activity, 0);
    noted = (noted + 1) | 0;
    Atomics.store(control, CONTROL.NOTED, noted);
    Atomics.store(asked, 0, -1);
  }
}

if (!isMainThread) run(workerData as SampleThreadData);
