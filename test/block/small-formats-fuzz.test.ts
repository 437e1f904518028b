// A fixed number of damaged images of the small formats.
import { test } from 'node:test';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { SmallFormatsBench } from '../../src/block/image-format/small-formats.fuzz.ts';

const CASES = 300;

test('damaged luks, qcow, qed, parallels, bochs, cloop and dmg images', async () => {
  const bench = new SmallFormatsBench(createBlockHost({ files: 'sync' }));
  for (let seed = 0; seed < CASES; seed++) {
    try {
      await bench.run(seed);
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});
