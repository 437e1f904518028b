// What the usual idioms are translated to, against the golden texts beside this file.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GoldenBench, goldenFile } from './golden.ts';
import { IDIOMS } from './idioms.ts';

const bench = new GoldenBench();

for (const idiom of IDIOMS) {
  test(`${idiom.name} is translated as before (npm run golden accepts a change)`, () => {
    const file = goldenFile(idiom.name);
    assert.equal(bench.text(idiom), existsSync(file) ? readFileSync(file, 'utf8') : '');
  });
}
