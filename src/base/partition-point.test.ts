// Tests of partition-point.ts, against looking at every element.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionPoint } from './partition-point.ts';

test('the end of the first part, in rows of any length and with any part of them', () => {
  for (let length = 0; length < 20; length++) {
    for (let part = 0; part <= length; part++) {
      for (let start = 0; start <= length; start++) {
        assert.equal(partitionPoint(start, length, (index) => index < part), Math.max(start, part));
      }
    }
  }
});

test('an index outside of the row is never asked for, and few are', () => {
  const asked: number[] = [];
  partitionPoint(5, 1_000_005, (index) => asked.push(index) > 0 && index < 700_000);
  assert.ok(asked.every((index) => index >= 5 && index < 1_000_005));
  assert.ok(asked.length <= 21);
});
