// Which returns are found to lead where, on graphs made by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { returnsOf, type CallingBlock } from './return-sites.ts';

const block = (targets: readonly number[], returnSite?: number): CallingBlock => ({ targets, returnSite, returns: false });
const returns: CallingBlock = { targets: [], returnSite: undefined, returns: true };

test('a return leads behind the calls of its function', () => {
  // 0 calls 3 and goes on at 1, which calls it again and goes on at 2.
  assert.deepEqual(returnsOf([block([3], 1), block([3], 2), block([0]), returns]), [[], [], [], [1, 2]]);
});

test('what a function calls is passed over', () => {
  // 0 calls 2, which calls 4 in its middle and returns in 3.
  assert.deepEqual(returnsOf([block([2], 1), block([]), block([4], 3), returns, returns]), [[], [], [], [1], [3]]);
});

test('each way to return is found, loops and recursion end', () => {
  // 0 calls 2: 2 goes to 3 or 4; 3 back to 2; 4 calls 2 again, goes on at 5; 5 and 6 return.
  const blocks = [block([2], 1), block([]), block([3, 4, 6]), block([2]), block([2], 5), returns, returns];
  assert.deepEqual(returnsOf(blocks)[5], [1, 5]);
  assert.deepEqual(returnsOf(blocks)[6], [1, 5]);
});

test('a function with many callers names few of them', () => {
  const callers = Array.from({ length: 20 }, (_, n) => block([20], n + 1 < 20 ? n + 1 : undefined));
  assert.deepEqual(returnsOf([...callers, returns])[20], [1, 2, 3]);
});
