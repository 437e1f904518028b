// A guest that makes new code all the time: what is translated stays within its budget, by dropping all of it, and the results are right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { RegionBench } from './region-bench.ts';
import { END_VECTOR, LAYOUT } from './region-program.ts';

const ROUNDS = 3000;
/** EBX from ROUNDS down to 1: writes MOV EAX, EBX; RET at one of 64 places and calls it three times; R12 sums up what it returns. */
const CODE =
  'bbb80b00004d31e489d883e03fc1e006488db800102100c607b8895f01c64705c3bd03000000ffd74901c4ffcd75f7ff' +
  'cb75d5cd51';
const LIMIT = 1_000_000;
const SUM = BigInt((3 * ROUNDS * (ROUNDS + 1)) / 2);
const MODULE_BYTES_MAX = 128 << 10;
const PAGE_BYTES = 4096;

function bench(options: { readonly promoteAt: number }): RegionBench {
  const regions = { ...DEFAULT_REGION_OPTIONS, ...options, moduleBytesMax: MODULE_BYTES_MAX };
  const made = new RegionBench(wasmModules(), cpuFeatures('max'), regions);
  const program = { code: Buffer.from(CODE, 'hex'), control: new Uint8Array(PAGE_BYTES), functions: [], slots: [], listing: [] };
  made.load(program, new Uint8Array(2 * PAGE_BYTES), new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES));
  made.beginStep({ entry: LAYOUT.CODE, bits: 64, privilege: 3, flags: 0, registers: new BigUint64Array(16), fxsave: undefined });
  made.resume({ kind: 'none' });
  return made;
}

test('translated code that is always new stays within its budget', () => {
  const made = bench({ promoteAt: 1 });
  const { vcpu } = made;
  let most = 0;
  vcpu.regions.onModule = () => { most = Math.max(most, vcpu.regions.moduleBytesInUse); };
  assert.equal(made.run(LIMIT).stop, END_VECTOR);
  assert.equal(vcpu.get64('r12'), SUM);
  const { flushes, moduleBytes, regions } = vcpu.regions.statistics;
  assert(regions >= ROUNDS, `${regions} regions`);
  assert(flushes >= Math.floor(moduleBytes / MODULE_BYTES_MAX) - 1 && flushes > 3, `${flushes} flushes of ${moduleBytes} bytes`);
  assert(most < MODULE_BYTES_MAX + 4096, `at most ${most} bytes in use`);
});

test('blocks of one instruction give the same result', () => {
  const made = bench({ promoteAt: 0 });
  const { vcpu } = made;
  vcpu.translator.instructionsMax = 1;
  vcpu.traceDecoded = (block) => assert.equal(vcpu.translator.instructionsOf(block), 1);
  assert.equal(made.run(LIMIT).stop, END_VECTOR);
  assert.equal(vcpu.get64('r12'), SUM);
});
