// The generator of random cases: repeatable, within bounds, and accepted by the processor.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import '../../src/cpu/x86/isa/all.ts';
import { INSTRUCTIONS } from '../../src/cpu/x86/row.ts';
import { openOracle } from './cpu-oracle.ts';
import { CODE_BYTES_MAX, ORACLE_MODES, PAGE_BYTES } from './oracle-case.ts';
import type { OracleMode } from './oracle-case.ts';
import { Prng } from './prng.ts';
import { caseGenerator } from './random-code.ts';

const MODES = Object.keys(ORACLE_MODES) as OracleMode[];
const MAP0_MOVES = new Set(['mov', 'add', 'lea']);

describe('random code', () => {
  test('is a function of seed, index and mode', () => {
    const make = (seed: number): ReturnType<typeof caseGenerator> =>
      caseGenerator({ instructions: INSTRUCTIONS, hasFeature: () => false, seed });
    for (const mode of MODES) {
      assert.deepEqual(make(5).generate(17, mode), make(5).generate(17, mode));
      assert.notDeepEqual(make(5).generate(17, mode).code, make(6).generate(17, mode).code);
    }
  });

  test('fits the code page and comes from the rows asked for', () => {
    const generator = caseGenerator({ instructions: INSTRUCTIONS, hasFeature: () => false, seed: 1, only: MAP0_MOVES });
    for (let index = 0; index < 500; index++) {
      const { code, codeOffset, program } = generator.generate(index, MODES[index % MODES.length]!);
      assert(code.length > 0 && code.length <= CODE_BYTES_MAX && codeOffset + code.length <= PAGE_BYTES);
      assert(program.every((line) => MAP0_MOVES.has(line.split(' ')[0]!)));
    }
  });

  test('plain moves and additions seldom fault, and never as undefined instructions', async (t) => {
    const oracle = await openOracle();
    if ('skip' in oracle) return t.skip(oracle.skip);
    const generator = caseGenerator({ instructions: INSTRUCTIONS, hasFeature: () => false, seed: 2, only: MAP0_MOVES });
    for (const mode of oracle.modes) {
      const results = await oracle.run(Array.from({ length: 1000 }, (_, index) => generator.generate(index, mode)));
      assert(results.filter(({ outcome }) => outcome === 'completed').length > 600, mode);
      assert(results.every(({ outcome, vector }) => outcome !== 'trap' || vector !== 6), mode);
    }
    oracle.close();
  });

  test('the generator of numbers keeps its sequence', () => {
    const rng = new Prng(1);
    const first = [rng.u32(), rng.u32(), rng.below(10)];
    const again = new Prng(1);
    assert.deepEqual([again.u32(), again.u32(), again.below(10)], first);
    assert.equal(new Set(Array.from({ length: 100 }, () => rng.u32())).size, 100);
  });
});
