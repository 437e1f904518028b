// Tests of what is said about long waits, on a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loopNs, setLoopClock } from './stalls.ts';
import { beginWait, endWait, setWaitLimit, waitsText } from './waits.ts';

test('a wait that lasts is named with its time, and counted when it is over; a short one is not', () => {
  let now = 0;
  const former = loopNs;
  setLoopClock(() => now);
  const flush = beginWait('virtio0', 'flush');
  const read = beginWait('virtio0', 'read');
  now = 0.9e9;
  endWait(read);
  assert.equal(waitsText(), '');
  now = 5e9;
  assert.equal(waitsText(), 'waited for more than 1.0 s:\nvirtio0: flush waits since 5.0 s');
  endWait(flush);
  assert.equal(waitsText(), 'waited for more than 1.0 s:\nvirtio0: flush waited 1 times, longest 5.0 s');
  setLoopClock(former);
});

test('the limit can be changed', () => {
  let now = 0;
  const former = loopNs;
  setLoopClock(() => now);
  const flush = beginWait('virtio1', 'flush');
  now = 0.3e9;
  assert.doesNotMatch(waitsText(), /virtio1/);
  setWaitLimit(200e6);
  assert.match(waitsText(), /^waited for more than 200 ms:\nvirtio1: flush waits since 0\.3 s$/m);
  setWaitLimit(1e9);
  endWait(flush);
  setLoopClock(former);
});
