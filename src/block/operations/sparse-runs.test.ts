// Runs of data and zeroes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachRun, type SparseRule } from './sparse-runs.ts';

/** `D100 Z50`: runs in bytes. */
function runs(buffer: Uint8Array, offset: number, rule: SparseRule): string {
  const parts: string[] = [];
  let at = 0;
  forEachRun(buffer, offset, rule, (start, end, isData) => {
    assert.equal(start, at);
    at = end;
    parts.push(`${isData ? 'D' : 'Z'}${end - start}`);
  });
  assert.equal(at, buffer.length);
  return parts.join(' ');
}

const withData = (length: number, ...places: number[]): Uint8Array => {
  const buffer = new Uint8Array(length);
  for (const place of places) buffer[place] = 1;
  return buffer;
};

const RULE: SparseRule = { minBytes: 4096, blockBytes: 4096 };

test('all zero, all data', () => {
  assert.equal(runs(new Uint8Array(200_000), 0, RULE), 'Z200000');
  assert.equal(runs(new Uint8Array(200_000).fill(1), 0, RULE), 'D200000');
  assert.equal(runs(new Uint8Array(0), 0, RULE), '');
});

test('data comes in blocks of the image', () => {
  assert.equal(runs(withData(32768, 5000), 0, RULE), 'Z4096 D4096 Z24576');
  assert.equal(runs(withData(32768, 5000), 512, RULE), 'Z3584 D4096 Z25088');
});

test('short zeroes between data are data', () => {
  const rule = { minBytes: 16384, blockBytes: 4096 };
  assert.equal(runs(withData(65536, 0, 12288), 0, rule), 'D16384 Z49152');
  assert.equal(runs(withData(65536, 0, 20480), 0, rule), 'D4096 Z16384 D4096 Z40960');
});

test('zeroes at the end of the buffer that are too short stay data', () => {
  assert.equal(runs(withData(16384, 0), 0, { minBytes: 16384, blockBytes: 4096 }), 'D16384');
});
