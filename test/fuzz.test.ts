// Every fuzzer for a moment, and the canary: a harness that cannot fail proves nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOutcome, FUZZERS, smoke } from '../tools/fuzzers.ts';

const SEED = 1;

test('all fuzzers run briefly, and the canary fails', async (t) => {
  const results = await smoke(SEED);
  assert.equal(results.length, Object.keys(FUZZERS).length);
  for (const { name, outcome, isGood } of results) {
    if (outcome.skip !== undefined) t.diagnostic(describeOutcome(name, outcome));
    assert(isGood, describeOutcome(name, outcome));
  }
});

test('a failure says how to repeat it', async () => {
  const outcome = await FUZZERS['canary']!.run({ seed: SEED, first: 0, cases: 200, isTimeUp: () => false });
  assert.match(describeOutcome('canary', outcome), /repeat: npm run fuzz -- canary --seed 99 --cases 1$/);
});
