// What is taken for incompressible, and what must not be.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { looksIncompressible } from './incompressible.ts';

const CLUSTER_BYTES = 65536;

test('random bytes are not worth compressing', () => {
  for (let round = 0; round < 50; round++) assert.equal(looksIncompressible(new Uint8Array(randomBytes(CLUSTER_BYTES))), true);
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

test('a part that repeats within random bytes counts', () => {
  const bytes = new Uint8Array(randomBytes(CLUSTER_BYTES));
  bytes.copyWithin(32768, 31768, 32768);
  assert.equal(looksIncompressible(bytes), false);
});
