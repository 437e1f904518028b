// Returns inside a region: those of a function that is called from several places, through another one, and behind a loop stay in it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { RegionBench } from './region-bench.ts';
import { END_VECTOR, LAYOUT, STACK_START } from './region-program.ts';

const PAGE_BYTES = 4096;
const ROUNDS = 1000;
const LIMIT = 10_000_000;

/** Runs 64-bit code; returns how often control left a region by a return or computed jump. */
function returnsOutside(code: string): number {
  const options = { ...DEFAULT_REGION_OPTIONS, promoteAt: 9, counting: true };
  const bench = new RegionBench(wasmModules(), cpuFeatures('max'), options);
  const program = { code: Buffer.from(code, 'hex'), control: new Uint8Array(PAGE_BYTES), functions: [], slots: [], listing: [] };
  bench.load(program, new Uint8Array(2 * PAGE_BYTES), new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES));
  const registers = new BigUint64Array(16);
  registers[4] = BigInt(STACK_START);
  bench.beginStep({ entry: LAYOUT.CODE, bits: 64, privilege: 3, flags: 0, registers, fxsave: undefined });
  bench.resume({ kind: 'none' });
  assert.equal(bench.run(LIMIT).stop, END_VECTOR);
  const { regions } = bench.vcpu;
  assert(regions.statistics.regions > 0);
  return regions.exits.ofCause('indirect');
}

/** MOV EBX, ROUNDS; calls and DEC EBX, JNZ as they come; INT 51h; functions. */
const program = (loop: string, functions: string): string => `bbe8030000${loop}cd51${functions}`;

test('a function called from two places returns to both', () => {
  // call f; call f; dec ebx; jnz; int; f: inc ecx; ret
  const code = program('e80d000000' + 'e808000000' + 'ffcb' + '75f2', '9090' + 'ffc1c3');
  assert(returnsOutside(code) < ROUNDS / 10);
});

test('what a function calls is passed over', () => {
  // call f; call f; dec ebx; jnz; int; f: call g; inc ecx; ret; g: inc edx; ret
  const code = program('e80d000000' + 'e808000000' + 'ffcb' + '75f2', '9090' + 'e803000000' + 'ffc1c3' + 'ffc2c3');
  assert(returnsOutside(code) < ROUNDS / 10);
});

test('the second of two functions that go on in a third one returns too', () => {
  // call f; call g; dec ebx; jnz; int; f: jmp h; g: jmp h; h: jmp i; i: inc ecx; ret
  const code = program('e80d000000' + 'e80a000000' + 'ffcb' + '75f2', '9090' + 'eb02' + 'eb00' + 'eb00' + 'ffc1c3');
  assert(returnsOutside(code) < ROUNDS / 10);
});
