// Percentiles of a histogram are right within a quarter of an octave.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyHistogram, percentile } from './latency-histogram.ts';

test('percentiles', () => {
  const histogram = new LatencyHistogram();
  assert.equal(percentile(histogram.counts, 0.99), undefined);
  for (let n = 1; n <= 1000; n++) histogram.add(n * 1000);
  for (const share of [0.01, 0.5, 0.99, 1]) {
    const found = percentile(histogram.counts, share)!;
    assert.ok(found >= share * 1e6 * 0.999 && found <= share * 1e6 * 2 ** 0.25, `${share}: ${found}`);
  }
});

test('times beyond the ends are kept', () => {
  const histogram = new LatencyHistogram();
  for (const ns of [0, 0.5, 1e15]) histogram.add(ns);
  assert.equal(histogram.counts.reduce((sum, count) => sum + count), 3);
});
