// Blocks that wait for translation while another address space is there: no region is made of what that one has mapped.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { RegionBench } from './region-bench.ts';
import { LAYOUT } from './region-program.ts';

/** MOV ECX, 10000h; DEC ECX; JNZ; INT 51h. */
const CODE = 'b900000100ffc975fccd51';
const PAGE_BYTES = 4096;
const PROMOTE_AT = 100;
/** More slices than a block waits for others. */
const SLICES = 16;

function spinning(privilege: 0 | 3): RegionBench {
  const bench = new RegionBench(wasmModules(), cpuFeatures('max'), { ...DEFAULT_REGION_OPTIONS, promoteAt: PROMOTE_AT });
  const program = { code: Buffer.from(CODE, 'hex'), control: new Uint8Array(PAGE_BYTES), functions: [], slots: [], listing: [] };
  bench.load(program, new Uint8Array(2 * PAGE_BYTES), new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES));
  bench.beginStep({ entry: LAYOUT.CODE, bits: 64, privilege, flags: 0, registers: new BigUint64Array(16), fxsave: undefined });
  bench.resume({ kind: 'none' });
  bench.run(3 * PROMOTE_AT);
  return bench;
}

/** Slices end, of which the bench has run none. */
function endSlices({ vcpu }: RegionBench, space: bigint): number {
  const own = vcpu.get64('cr3');
  vcpu.set64('cr3', space);
  for (let n = 0; n < SLICES; n++) vcpu.regions.sliceEnded();
  vcpu.set64('cr3', own);
  return vcpu.regions.statistics.regions;
}

test("a program's block is not looked for in another address space, and asks again in its own", () => {
  const bench = spinning(3);
  const { vcpu } = bench;
  assert.equal(endSlices(bench, vcpu.get64('cr3') ^ 0x6000n), 0);
  bench.run(3 * PROMOTE_AT);
  assert.equal(endSlices(bench, vcpu.get64('cr3')), 1);
});

test('code of the system is looked for in any address space', () => {
  const bench = spinning(0);
  assert.equal(endSlices(bench, bench.vcpu.get64('cr3') ^ 0x6000n), 1);
});
