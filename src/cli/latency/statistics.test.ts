// Tests of the figures against lists whose answers are known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootstrapDifference, figuresOf, histogramOf, mannWhitney } from './statistics.ts';

test('figures and histogram of a list', () => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  const { count, meanNs, minNs, p50Ns, p99Ns, maxNs, deviationNs } = figuresOf(values);
  assert.deepEqual([count, meanNs, minNs, p50Ns, p99Ns, maxNs], [100, 50.5, 1, 51, 100, 100]);
  assert.ok(Math.abs(deviationNs - Math.sqrt((100 ** 2 - 1) / 12)) < 1e-9);
  assert.deepEqual(histogramOf([3, 4, 7, 1000]), [{ belowNs: 4, count: 2 }, { belowNs: 8, count: 1 }, { belowNs: 1024, count: 1 }]);
});

test('the rank test: no difference, a clear one, and ties', () => {
  const a = Array.from({ length: 50 }, (_, index) => index * 2);
  const shifted = a.map((value) => value + 1);
  assert.ok(mannWhitney(a, shifted).p > 0.8);
  const far = mannWhitney(a, a.map((value) => value + 60));
  assert.ok(far.p < 1e-6 && far.larger < 0.2);
  const ties = mannWhitney([5, 5, 5], [5, 5]);
  assert.ok(ties.larger === 0.5 && ties.p > 0.999);
  // U = 2 of 4 and 5 values: z = (|2 - 10| - 0.5) / sqrt(20 * 10 / 12) = 1.8371, p = 0.0662
  assert.ok(Math.abs(mannWhitney([1, 2, 3, 6], [4, 5, 7, 8, 9]).p - 0.0662) < 5e-4);
});

test('the interval over runs holds a difference of zero only when runs overlap', () => {
  const clear = bootstrapDifference([10, 11, 12], [20, 21, 22]);
  assert.ok(clear.low > 7 && clear.high < 13);
  const none = bootstrapDifference([10, 20, 15], [14, 18, 12]);
  assert.ok(none.low < 0 && none.high > 0);
});
