// A fixed number of sessions with hostile NBD peers; more of them: npm run fuzz.
import { test } from 'node:test';
import { fuzzNbd } from './nbd.fuzz.ts';

test('hostile NBD peers', async () => {
  for (let seed = 0; seed < 400; seed++) {
    await fuzzNbd(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});
