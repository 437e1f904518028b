// Tests of who is named when the event loop was held: a device, a timer, each by what it took on a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enableEvents, setTraceSink } from '../trace/event.ts';
import { loopNs, setLoopClock, stallCount, stallsText } from '../trace/stalls.ts';
import { AddressSpace } from './address-space.ts';
import { TimerQueue } from './timer-queue.ts';

const MS = 1e6;

test('a device and a timer that held the loop are named; one below the limit is not', () => {
  let now = 0;
  const former = loopNs;
  setLoopClock(() => now);
  const traced: unknown[] = [];
  const formerSink = setTraceSink((event, _atNs, values) => traced.push([event.name, values['name'], values['ns']]));
  enableEvents('loop_stall');
  try {
    const space = new AddressSpace('port', 16, 0);
    const takes = (ms: number) => () => { now += ms * MS; };
    space.claim({ base: 0x100, size: 1, name: 'slow-device', read: () => 0, write: takes(300) });
    space.claim({ base: 0x200, size: 1, name: 'quick-device', read: () => 0, write: takes(19) });
    space.write(0x100, 1, 0);
    space.write(0x200, 1, 0);
    const timers = new TimerQueue({ now: () => 0 });
    timers.createTimer(takes(25), 'slow-timer').armAt(0);
    timers.runDue(0);
    assert.deepEqual(traced, [['loop_stall', 'slow-device', 300 * MS], ['loop_stall', 'slow-timer', 25 * MS]]);
    assert.equal(stallCount(), 2);
    assert.match(stallsText(), /\ndevice slow-device: 1 times, longest 300\.0 ms, together 300\.0 ms\ntimer slow-timer: 1 times, /);
  } finally {
    enableEvents('loop_stall', false);
    setTraceSink(formerSink);
    setLoopClock(former);
  }
});
