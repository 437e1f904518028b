// Tests of the timer queue: order, moving deadlines, and periodic ticks without drift.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { paceTick, TimerQueue } from './timer-queue.ts';

function bench() {
  const clock = { time: 0, now: () => clock.time };
  const queue = new TimerQueue(clock);
  return { clock, queue };
}

test('timers fire in the order of deadline, then of creation', () => {
  const { queue } = bench();
  const fired: string[] = [];
  const timers = ['a', 'b', 'c', 'd'].map((name) => queue.createTimer((at) => fired.push(`${name}${at}`)));
  [30, 10, 20, 10].forEach((deadline, index) => timers[index]!.armAt(deadline));
  assert.equal(queue.nextDeadline(), 10);
  assert.equal(queue.runDue(20), 3);
  assert.deepEqual(fired, ['b10', 'd10', 'c20']);
  assert.equal(queue.nextDeadline(), 30);
  timers[0]!.disarm();
  assert.equal(queue.nextDeadline(), Infinity);
});

test('a heap of many timers that move and stop stays ordered', () => {
  const { queue } = bench();
  const fired: number[] = [];
  const timers = Array.from({ length: 50 }, () => queue.createTimer((at) => fired.push(at)));
  timers.forEach((timer, index) => timer.armAt((index * 37) % 101));
  timers.forEach((timer, index) => { if (index % 3 === 0) timer.armAt((index * 53) % 97); else if (index % 7 === 0) timer.disarm(); });
  const expected = timers.map((timer) => timer.deadline).filter((at) => at !== Infinity).sort((a, b) => a - b);
  queue.runDue(1000);
  assert.deepEqual(fired, expected);
});

test('a timer that arms itself in the past does not keep a run going', () => {
  const { queue } = bench();
  const timer = queue.createTimer(() => timer.armAt(0));
  timer.armAt(0);
  assert.equal(queue.runDue(5), 1);
  assert.equal(queue.runDue(5), 1);
});

test('the owner hears when the nearest deadline comes nearer, and only then', () => {
  const { queue } = bench();
  let calls = 0;
  queue.onNearer = () => { calls++; };
  const [a, b] = [queue.createTimer(() => {}), queue.createTimer(() => {})];
  a.armAt(100);
  b.armAt(200);
  b.armAt(50);
  a.armAt(150);
  assert.equal(calls, 2);
});

test('a late periodic tick catches up to its grid and then keeps to it', () => {
  const period = 1_000_000;
  let now = 5_200_000; // three ticks late
  let grid = 2 * period;
  const times: number[] = [];
  for (let tick = 0; tick < 12; tick++) {
    grid += period;
    now = paceTick(grid, now, period);
    times.push(now);
  }
  assert.equal(times.at(-1), grid);
  assert.ok(times.every((time, index) => index === 0 || time - times[index - 1]! >= period / 2));
});
