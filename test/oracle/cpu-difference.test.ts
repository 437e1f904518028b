// Nandu's processor against the one it runs on. A difference prints its case; `index` and the seed repeat it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { cpuDifferences, hostFeatures } from './cpu-difference.ts';
import { openOracle } from './cpu-oracle.ts';

const CASES_PER_MODE = 50_000;
const SHOWN_MAX = 10;
const SEED = 20260;

const moduleOf = (name: string): WebAssembly.Module =>
  new WebAssembly.Module(readFileSync(new URL(`../../wasm/${name}.wasm`, import.meta.url)));

test('random programs do what they do on the real processor', async (t) => {
  const oracle = await openOracle();
  if ('skip' in oracle) return t.skip(oracle.skip);
  const found: string[] = [];
  const options = {
    oracle, seed: SEED, count: CASES_PER_MODE, features: cpuFeatures('max'),
    modules: { support: moduleOf('support'), interpreter: moduleOf('interpreter') },
    hostHas: hostFeatures(readFileSync('/proc/cpuinfo', 'utf8')),
    isTimeUp: () => found.length >= SHOWN_MAX,
  };
  for await (const { text } of cpuDifferences(options)) {
    if (found.length < SHOWN_MAX) found.push(text);
  }
  oracle.close();
  assert.equal(found.length, 0, `\n${found.join('\n')}`);
});
