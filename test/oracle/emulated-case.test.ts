// What the emulator does where the generator of random cases asks no processor.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { wasmModules } from '../../tools/fuzzers.ts';
import { EmulatedProcessor } from './emulated-case.ts';

const R8 = 8;

test('90 with REX.B exchanges with R8, but is PAUSE after F3', () => {
  const processor = new EmulatedProcessor(wasmModules(), cpuFeatures('max'));
  const r8After = (hex: string): bigint => {
    const registers = new BigUint64Array(16);
    registers[R8] = 7n;
    const code = Uint8Array.from(Buffer.from(hex, 'hex'));
    return processor.run({ mode: 'long', code, codeOffset: 0, registers, flags: 0, data: new Uint8Array(), dataOffset: 0 }).registers[R8]!;
  };
  assert.deepEqual(['90', '4990', 'f24990', 'f390', 'f34990'].map(r8After), [7n, 0n, 0n, 7n, 7n]);
});
