// Tests of byte-queue.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteQueue } from './byte-queue.ts';

test('takes what fits', () => {
  const queue = new ByteQueue(3);
  assert.equal(queue.push(Uint8Array.of(1, 2, 3, 4)), 3);
  assert.equal(queue.room, 0);
  assert.deepEqual([...queue.shift(9)], [1, 2, 3]);
});

test('keeps the order across the wrap, for every capacity and step', () => {
  for (let capacity = 1; capacity <= 8; capacity++) {
    for (let step = 1; step <= capacity; step++) {
      const queue = new ByteQueue(capacity);
      let sent = 0;
      const received: number[] = [];
      for (let round = 0; round < 40; round++) {
        sent += queue.push(Uint8Array.from({ length: step }, (_, index) => (sent + index) & 0xff));
        received.push(...queue.shift((round % step) + 1));
      }
      received.push(...queue.shift(capacity));
      assert.deepEqual(received, Array.from({ length: sent }, (_, index) => index & 0xff));
    }
  }
});
