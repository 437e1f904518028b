// Test that what runs in a stall is found from another thread. The stall is real; how often it takes to be found is the host's business.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeEvents } from '../../../test/traced-events.ts';
import { beginTurn, endTurn, heldSince, loopNs, setLoopClock, stallsText } from '../../trace/stalls.ts';
import { hostClockNs } from './host-clock.ts';
import { watchStalls } from './stall-watch.ts';

const TRIES = 40;
const PLANTED_NS = 300e6;

function plantedWork(): number {
  const end = hostClockNs() + PLANTED_NS;
  let sum = 0;
  while (hostClockNs() < end) sum += Math.sqrt(sum + 1);
  return sum;
}

test('a stall has the stack of what held the loop', async () => {
  const former = loopNs;
  setLoopClock(hostClockNs);
  const watch = watchStalls(0);
  const events = takeEvents('loop_stall*');
  try {
    for (let turn = 0; turn < TRIES && !stallsText().includes('  in '); turn++) {
      beginTurn();
      const begun = loopNs();
      plantedWork();
      heldSince(begun, 'device', 'planted');
      beginTurn();
      endTurn(true);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    events.stop();
    watch.stop();
    setLoopClock(former);
  }
  assert.match(stallsText(), /^device planted: .*\n {2}in .*\(stall-watch\.test\.js:\d+\)/m);
  const stack = events.taken.find(({ name }) => name === 'loop_stall_stack');
  assert.deepEqual([stack?.values['kind'], stack?.values['name']], ['device', 'planted']);
});
