// A few power cuts in every kind of workload; `npm run fuzz -- power-cut` runs many.
import { test } from 'node:test';
import { cutPower, cutPowerEverywhere } from './power-cut.ts';
import { noReference } from './reference.ts';

const CUTS = 25;
const FEW_OPERATIONS = 6;

for (let seed = 0; seed < 5; seed++) {
  test(`a power cut leaves at most leaks: workload ${seed}`, { skip: noReference }, async () => {
    await cutPower(seed, CUTS);
  });
}

for (const seed of [100, 104, 105]) {
  test(`every cut of a short workload leaves at most leaks: workload ${seed}`, { skip: noReference }, async () => {
    await cutPowerEverywhere(seed, FEW_OPERATIONS);
  });
}
