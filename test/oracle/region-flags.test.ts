// Flags that are dead where blocks of a region join are not stored; whoever is interrupted there sees them all the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { RegionBench, type Frame } from './region-bench.ts';
import { LAYOUT } from './region-program.ts';

const PAGE_BYTES = 4096;
const DATA_END = LAYOUT.DATA + LAYOUT.DATA_PAGES * PAGE_BYTES;
const PAGE_FAULT = 14;
const FLAGS = 0x8d5; // OF SF ZF AF PF CF

const littleEndian = (value: number): string => Buffer.from(Uint32Array.of(value).buffer).toString('hex');
/** EBX goes through the last quadwords of the data and faults behind them; each round ends with CMP EBX, `limit`; JNE. */
const program = (body: string, limit: number): string => {
  const end = `4883c30881fb${littleEndian(limit)}75`; // ADD RBX, 8; CMP EBX, limit; JNE
  const back = 256 - (body.length + end.length) / 2 - 1;
  return `bb${littleEndian(DATA_END - 64)}${body}${end}${back.toString(16)}cd51`;
};

function frameAtFault(code: string, promoteAt: number): Frame & { readonly rdx: bigint } {
  const bench = new RegionBench(wasmModules(), cpuFeatures('max'), { ...DEFAULT_REGION_OPTIONS, promoteAt });
  const made = { code: Buffer.from(code, 'hex'), control: new Uint8Array(PAGE_BYTES), functions: [], slots: [], listing: [] };
  bench.load(made, new Uint8Array(2 * PAGE_BYTES), new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES));
  bench.beginStep({ entry: LAYOUT.CODE, bits: 64, privilege: 3, flags: 0, registers: new BigUint64Array(16), fxsave: undefined });
  bench.resume({ kind: 'none' });
  assert.equal(bench.run(100_000).stop, PAGE_FAULT);
  if (promoteAt > 0) assert(bench.vcpu.get64('countRegionEnter') > 0n, 'it ran in a region');
  return { ...bench.readFrame(), rdx: bench.vcpu.get64('rdx') };
}

const BODIES = {
  'an access, then all flags are set': '8b1383c201', // MOV EDX, [RBX]; ADD EDX, 1
  'all flags are set, then an access': '83c2018b13',
  'an access that sets all flags': '0313', // ADD EDX, [RBX]
  'a shift, an access, then all flags are set': 'c1e2038b0b83c201', // SHL EDX, 3; MOV ECX, [RBX]; ADD EDX, 1
  'a product, an access, then all flags are set': '4869d2ffffff7f8b0b83c201', // IMUL RDX, RDX, 7fffffffh; ...
  'a product whose flags are replaced at once': '83c2054869d2ffffff7f48c1ea078b0b', // ADD EDX, 5; IMUL ...; SHR RDX, 7; MOV ECX, [RBX]
  'a narrow one': '83c2056669d2ff7f83c2018b0b', // ADD EDX, 5; IMUL DX, DX, 7fffh; ADD EDX, 1; MOV ECX, [RBX]
};
for (const [name, body] of Object.entries(BODIES)) {
  for (const limit of [DATA_END + 1, DATA_END - 1000, 0x80000000]) {
    test(`${name}: the flags at a fault are those of the interpreter, limit ${limit.toString(16)}`, () => {
      const code = program(body, limit);
      const [interpreted, translated] = [frameAtFault(code, 0), frameAtFault(code, 1)];
      assert.equal(translated.rip, interpreted.rip);
      assert.equal(translated.flags & FLAGS, interpreted.flags & FLAGS);
      assert.equal(translated.rdx, interpreted.rdx);
    });
  }
}
