// Votes and the comparison of copies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstDifference } from '../first-difference.ts';
import { versions, winner } from './vote.ts';

test('the commonest answer wins, the first of equals', () => {
  const found = versions(
    [
      [0, 'a'],
      [1, 'b'],
      [3, 'b'],
    ],
    Object.is,
  );
  assert.deepEqual(found, [
    { value: 'a', voters: [0] },
    { value: 'b', voters: [1, 3] },
  ]);
  assert.equal(winner(found).value, 'b');
  assert.equal(
    winner(
      versions(
        [
          [0, 'a'],
          [1, 'b'],
        ],
        Object.is,
      ),
    ).value,
    'a',
  );
});

test('the first difference is found wherever buffers lie', () => {
  const memory = new Uint8Array(64);
  for (const start of [0, 1, 4]) {
    for (let at = 0; at < 21; at++) {
      const [a, b] = [memory.slice(start, start + 21), memory.subarray(start, start + 21)];
      assert.equal(firstDifference(a, b), undefined);
      a[at] = 1;
      assert.equal(firstDifference(a, b), at);
    }
  }
});
