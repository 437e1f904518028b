// What is taken for incompressible, and what must not be.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { looksIncompressible } from './incompressible.ts';
import { Prng } from './prng.ts';

const CLUSTER_BYTES = 65536;

test('random bytes are not worth compressing', () => {
  let refused = 0;
  for (let round = 0; round < 50; round++) refused += Number(looksIncompressible(new Uint8Array(randomBytes(CLUSTER_BYTES))));
  assert.ok(refused >= 48, `${refused} of 50`); // one in a thousand has two equal words
});

test('text, zeroes, counters, repeated random bytes and half of random bytes are', () => {
  const text = new TextEncoder().encode(randomBytes(CLUSTER_BYTES).toString('base64').slice(0, CLUSTER_BYTES));
  const bytesInTurn = Uint8Array.from({ length: CLUSTER_BYTES }, (_, index) => index & 255);
  const block = randomBytes(4096);
  const repeated = new Uint8Array(CLUSTER_BYTES).map((_, index) => block[index % block.length]!);
  const half = new Uint8Array(CLUSTER_BYTES);
  half.set(randomBytes(CLUSTER_BYTES / 2));
  for (const bytes of [text, bytesInTurn, repeated, half, new Uint8Array(CLUSTER_BYTES)]) assert.equal(looksIncompressible(bytes), false);
});

test('a part that repeats within random bytes counts, wherever it lies', () => {
  const random = new Prng(1);
  for (let round = 0; round < 50; round++) {
    const bytes = new Uint8Array(Uint32Array.from({ length: CLUSTER_BYTES / 4 }, () => random.u32()).buffer);
    assert.equal(looksIncompressible(bytes), true);
    const from = 4 * random.below(4096);
    bytes.copyWithin(32768 + 4 * random.below(4096), from, from + 12288);
    assert.equal(looksIncompressible(bytes), false);
  }
});

test('data that is the same as before says nothing of what it is by itself', () => {
  const random = new Prng(2);
  const bytes = new Uint8Array(Uint32Array.from({ length: CLUSTER_BYTES / 4 }, () => random.u32()).buffer);
  for (let round = 0; round < 3; round++) assert.equal(looksIncompressible(bytes), true);
});
