// A few power cuts in every kind of workload; `npm run fuzz -- power-cut` runs many.
import { test } from 'node:test';
import { cutPower } from './power-cut.ts';
import { noReference } from './reference.ts';

const CUTS = 25;

for (let seed = 0; seed < 5; seed++) {
  test(`a power cut leaves at most leaks: workload ${seed}`, { skip: noReference }, async () => {
    await cutPower(seed, CUTS);
  });
}
