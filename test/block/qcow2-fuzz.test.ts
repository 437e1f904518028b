// Damaged qcow2 images: a fixed number of cases of the fuzzer.
import { test } from 'node:test';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { fuzzQcow2Open } from '../../src/block/qcow2/qcow2.fuzz.ts';

test('damaged images end in a result or a failure', async () => {
  await fuzzQcow2Open(createBlockHost({ files: 'sync' }), 1, 150);
});
