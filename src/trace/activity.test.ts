// The activity word nests, and is written only while somebody watches.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import {
  ACTIVITY, activityTitle, beginActivity, beginNamedActivity, endActivity, isActivityWatched, isForGuest, watchActivity,
} from './activity.ts';

afterEach(() => watchActivity());

test('what begins inside something gives way to it again', () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  watchActivity(words, 1);
  assert.ok(isActivityWatched());
  const outer = beginActivity(ACTIVITY.INTERPRETER);
  const inner = beginNamedActivity('device', 'serial');
  assert.equal(activityTitle(words[1]!), 'device serial');
  assert.ok(isForGuest(words[1]!));
  const timer = beginNamedActivity('timer', 'serial');
  assert.equal(activityTitle(words[1]!), 'timer serial');
  assert.ok(!isForGuest(words[1]!));
  endActivity(timer);
  endActivity(inner);
  assert.equal(words[1], ACTIVITY.INTERPRETER);
  endActivity(outer);
  assert.deepEqual([...words], [0, ACTIVITY.EVENT_LOOP]);
});

test('nobody watches: nothing is written', () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  watchActivity(words, 1);
  watchActivity();
  beginNamedActivity('device', 'serial');
  beginActivity(ACTIVITY.REGION);
  assert.deepEqual([...words], [0, 0]);
});
