// The host's bundle for the block layer: the zero test and secrets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isZero } from '../../base/zero.ts';
import { createBlockHost } from './block-host.ts';

test('the installed zero test sees a single byte anywhere', () => {
  createBlockHost({ files: 'sync' });
  assert.ok(isZero(new Uint8Array(0)));
  for (const length of [1, 7, 512, 65535, 65536, 65537, 200_000]) {
    const bytes = new Uint8Array(length + 3).subarray(3);
    assert.ok(isZero(bytes));
    for (const at of [0, 1, length >> 1, Math.min(65536, length - 1), length - 1]) {
      if (at >= length) continue;
      bytes[at] = 1;
      assert.ok(!isZero(bytes), `${at} of ${length}`);
      bytes[at] = 0;
    }
  }
});

test('a secret is found by its id', () => {
  const host = createBlockHost({ files: 'sync', secrets: new Map([['sec0', new Uint8Array([1])]]) });
  assert.deepEqual(host.secret('sec0'), new Uint8Array([1]));
  assert.throws(() => host.secret('sec1'), /^Failure: No secret with id 'sec1'$/);
});
