// Nandu's processor against the one it runs on: a fixed seed, so that a run can be repeated. A difference prints its case, which
// `npm run fuzz -- cpu` repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { describeOutcome, fuzzProcessor } from '../../tools/fuzzers.ts';

const SEED = 20260;
const CASES = 200_000;

test(`${CASES} random programs do what they do on the real processor`, async (t) => {
  const outcome = await fuzzProcessor({ seed: SEED, first: 0, cases: CASES, isTimeUp: () => false });
  if (outcome.skip !== undefined) return t.skip(outcome.skip);
  t.diagnostic(`${outcome.cases} cases compared with an answer of the processor`);
  assert(outcome.failing === undefined, describeOutcome('cpu', outcome));
});

const TRANSLATED_CASES = 12_000;

test(`${TRANSLATED_CASES} do so when every block is translated at once`, async (t) => {
  const regions = { ...DEFAULT_REGION_OPTIONS, promoteAt: 1 };
  const outcome = await fuzzProcessor({ seed: SEED, first: 0, cases: TRANSLATED_CASES, isTimeUp: () => false }, regions);
  if (outcome.skip !== undefined) return t.skip(outcome.skip);
  assert(outcome.failing === undefined, describeOutcome('cpu-translated', outcome));
});
