// Regions of random limits against the interpreter, with faults, interrupts and changes of code and mapping at random points. A
// difference prints its program, which `npm run fuzz -- cpu-regions` repeats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeOutcome, FUZZERS } from '../../tools/fuzzers.ts';

const SEED = 5000;
const CASES = 1000;

test(`${CASES} random programs of several pages run in regions as they are interpreted`, async () => {
  const outcome = await FUZZERS['cpu-regions']!.run({ seed: SEED, first: 0, cases: CASES, isTimeUp: () => false });
  assert(outcome.failing === undefined, describeOutcome('cpu-regions', outcome));
});

test('the trap of a single step comes before the fault of a fetch that nothing has been decoded from yet', async () => {
  const outcome = await FUZZERS['cpu-regions']!.run({ seed: 102139, first: 0, cases: 1, isTimeUp: () => false });
  assert(outcome.failing === undefined, describeOutcome('cpu-regions', outcome));
});
