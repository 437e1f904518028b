// Regions of many blocks, one behind the other: their code is nested as deeply, and its emission goes as deep. Regions that become more
// code than there is room for are left to the interpreter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_REGION_OPTIONS } from '../../src/cpu/translator/regions.ts';
import { EMITTER_BLOCKS_MAX, REGION_RECORD, REGION_SLOTS, REGION_TABLE } from '../../src/memory/memory-map.ts';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { RegionBench } from './region-bench.ts';
import { END_VECTOR, LAYOUT } from './region-program.ts';

const PAGE_BYTES = 4096;
const ROUNDS = 40;
const LIMIT = 100_000_000;
const END = [0xcd, END_VECTOR];

/** MOV EBX, ROUNDS; `body`; DEC EBX; JNZ back to the body. */
function loop(body: readonly number[], end: readonly number[] = END): number[] {
  const back = -(body.length + 2 + 6);
  return [0xbb, ROUNDS, 0, 0, 0, ...body, 0xff, 0xcb, 0x0f, 0x85, back & 0xff, (back >> 8) & 0xff, (back >> 16) & 0xff, 0xff, ...end];
}

function prepare(code: readonly number[], limits: { readonly instructions: number; readonly blocks: number }): RegionBench {
  const options = { ...DEFAULT_REGION_OPTIONS, promoteAt: 9, limits: { ...limits, copiedInstructions: 100 } };
  const bench = new RegionBench(wasmModules(), cpuFeatures('max'), options);
  const program = { code: Uint8Array.from(code), control: new Uint8Array(PAGE_BYTES), functions: [], slots: [], listing: [] };
  bench.load(program, new Uint8Array(2 * PAGE_BYTES), new Uint8Array(LAYOUT.CODE_PAGES * PAGE_BYTES));
  const registers = new BigUint64Array(16);
  registers[6] = BigInt(LAYOUT.DATA);
  bench.beginStep({ entry: LAYOUT.CODE, bits: 64, privilege: 3, flags: 0, registers, fxsave: undefined });
  bench.resume({ kind: 'none' });
  return bench;
}

function run(...program: Parameters<typeof prepare>): RegionBench {
  const bench = prepare(...program);
  assert.equal(bench.run(LIMIT).stop, END_VECTOR);
  return bench;
}

/** INC ECX; JMP to what follows. */
const chain = (blocks: number): number[] => Array.from({ length: blocks }, () => [0xff, 0xc1, 0xeb, 0x00]).flat();

function runChain(blocks: number): RegionBench {
  const bench = run(loop(chain(blocks)), { instructions: 2 * blocks + 10, blocks: blocks + 2 });
  assert.equal(bench.vcpu.get64('rcx'), BigInt(blocks * ROUNDS));
  return bench;
}

test('a chain of as many blocks as a region may have is one region', () => {
  const { statistics } = runChain(EMITTER_BLOCKS_MAX - 2).vcpu.regions;
  assert(statistics.instructions > 2 * (EMITTER_BLOCKS_MAX - 2), `${statistics.instructions} instructions`);
});

test('a longer chain becomes several regions', () => {
  const { statistics } = runChain(EMITTER_BLOCKS_MAX + 100).vcpu.regions;
  assert(statistics.regions > 1 && statistics.instructions > 2 * EMITTER_BLOCKS_MAX, `${statistics.regions} regions`);
});

test('a region of more code than there is room for is left out', () => {
  const moves = Array.from({ length: 7000 }, () => [0xf3, 0xa4]).flat(); // REP MOVSB: much code for two bytes, and RCX is 0
  const { statistics } = run(loop(moves), { instructions: 10_000, blocks: 400 }).vcpu.regions;
  const { regions, instructions, moduleBytes } = statistics;
  assert(instructions < 7000, `${regions} regions of ${instructions} instructions, ${moduleBytes} bytes`);
});

test('regions that are to be made again count among those that there is no room for', () => {
  const jumps = Array.from({ length: 7900 }, () => [0xeb, 0x00]).flat(); // each a region of its own
  const bench = prepare([...loop(jumps, []), ...loop([0xeb, 0x00])], { instructions: 1, blocks: 1 });
  const { regions } = bench.vcpu;
  assert.equal(bench.run(7900 * (ROUNDS - 1)).stop, 'limit');
  const made = regions.statistics.regions;
  assert(made > 7000 && made < REGION_SLOTS && regions.statistics.flushes === 0, `${made} regions`);
  for (let slot = 0; slot < made; slot++) regions.leftOften(REGION_TABLE + slot * REGION_RECORD.BYTES);
  assert.equal(bench.run(LIMIT).stop, END_VECTOR);
  assert(regions.statistics.flushes > 0);
});
