// MMX and SSE integer instructions, AES, SHA and PCLMULQDQ: against the processor of this machine instruction by
// instruction, and against published examples where there is none to ask. Floating point has a test of its own.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cpuDifferences, hostFeatures } from '../../../test/oracle/cpu-difference.ts';
import { openOracle } from '../../../test/oracle/cpu-oracle.ts';
import { EmulatedProcessor } from '../../../test/oracle/emulated-case.ts';
import { SLOT, loadBench } from '../../../test/oracle/fp-bench.ts';
import { REGION } from '../../../test/oracle/oracle-case.ts';
import { cpuFeatures } from '../x86/cpuid.ts';
import { INSTRUCTIONS } from '../x86/row.ts';

const CASES_PER_MODE = Number(process.env['NANDU_VECTOR_CASES'] ?? 4000);
const SEED = Number(process.env['NANDU_VECTOR_SEED'] ?? 1);

const FLOAT = /^(cvt|(add|sub|mul|div|sqrt|rsqrt|rcp|min|max|cmp|comi|ucomi|hadd|hsub|addsub|round|dp)(ss|sd|ps|pd)$|ldmxcsr|stmxcsr)/;
/**
 * What belongs to the memory access and not to the instruction: alignment checks (#AC), #SS for addresses that are not
 * canonical, and which of #SS (limit) and #GP (not aligned to 16 bytes) comes first.
 */
const OTHERS_CONCERN = /#(17|12) error \w+ rip \w+ (cr2 \w+ )?(expected|found)/;

const moduleOf = (name: string): WebAssembly.Module =>
  new WebAssembly.Module(readFileSync(new URL(`../../../wasm/${name}.wasm`, import.meta.url)));

test('vector instructions do what they do on the real processor', async (t) => {
  const oracle = await openOracle();
  if ('skip' in oracle) return t.skip(oracle.skip);
  const isVector = ({ unit }: { readonly unit: string }): boolean => unit === 'mmx' || unit === 'sse';
  const names = INSTRUCTIONS.filter(({ name, rows }) => rows.some(isVector) && !FLOAT.test(name)).map(({ name }) => name);
  const options = {
    oracle, seed: SEED, count: CASES_PER_MODE, only: new Set(names), features: cpuFeatures('max'),
    modules: { support: moduleOf('support'), interpreter: moduleOf('interpreter') },
    hostHas: hostFeatures(readFileSync('/proc/cpuinfo', 'utf8')),
  };
  const found: string[] = [];
  for await (const { text } of cpuDifferences(options)) if (!OTHERS_CONCERN.test(text)) found.push(text);
  oracle.close();
  assert.equal(found.length, 0, `\n${found.slice(0, 10).join('\n')}`);
});

test('SHA instructions ask for aligned memory', () => {
  const modules = { support: moduleOf('support'), interpreter: moduleOf('interpreter') };
  const processor = new EmulatedProcessor(modules, cpuFeatures('max'));
  for (const code of [...[0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd].map((opcode) => [0x0f, 0x38, opcode, 0x00]), [0x0f, 0x3a, 0xcc, 0x00, 0]]) {
    for (const misaligned of [0, 8]) {
      const registers = new BigUint64Array(16).fill(BigInt(REGION.DATA + misaligned)); // the operand is at RAX
      const { vector } = processor.run({
        mode: 'long', code: Uint8Array.from(code), codeOffset: 0, registers, flags: 0, data: new Uint8Array(), dataOffset: 0,
      });
      assert.equal(vector, misaligned === 0 ? 3 : 13, Buffer.from(code).toString('hex'));
    }
  }
});

describe('published examples', async () => {
  const { support, memory } = await loadBench();
  const bytes = new Uint8Array(memory.buffer);
  const words = new Uint32Array(memory.buffer);
  const [D, A, B] = [SLOT.memory, SLOT.memory + 16, SLOT.memory + 32];
  const put = (at: number, hex: string): void => bytes.set(Buffer.from(hex, 'hex'), at);
  const vector = (at: number): number[] => [...words.subarray(at >> 2, (at >> 2) + 4)];
  /** Hexadecimal in the order of memory. */
  function run(name: string, a: string, b: string, immediate = 0): string {
    put(A, a);
    put(B, b);
    support[name]!(D, A, B, immediate);
    return Buffer.from(bytes.slice(D, D + 16)).toString('hex');
  }

  test('AES: FIPS 197 appendix C.1, rounds 1 and 10, and back', () => {
    const key = 'd6aa74fdd2af72fadaa678f1d6ab76fe', lastKey = '13111d7fe3944a17f307a78b4d2b30c5', none = '0'.repeat(32);
    assert.equal(run('aesenc', '00102030405060708090a0b0c0d0e0f0', key), '89d810e8855ace682d1843d8cb128fe4');
    assert.equal(run('aesenclast', 'bd6e7c3df2b5779e0b61216e8b10b689', lastKey), '69c4e0d86a7b0430d8cdb78070b4c55a');
    assert.equal(run('aesdeclast', '6353e08c0960e104cd70b751bacad0e7', none), '00102030405060708090a0b0c0d0e0f0');
    const mixed = run('aesenc', '00102030405060708090a0b0c0d0e0f0', none);
    assert.equal(run('aesdeclast', run('aesimc', mixed, none), none), '00102030405060708090a0b0c0d0e0f0');
  });

  test('PCLMULQDQ: the four products of the carry-less multiplication paper', () => {
    const reversed = (hex: string): string => Buffer.from(hex, 'hex').reverse().toString('hex');
    const a = reversed('7b5b54657374566563746f725d53475d'), b = reversed('48692853686179295b477565726f6e5d');
    const product = (immediate: number): string => reversed(run('pclmulqdq', a, b, immediate));
    assert.equal(product(0x00), '1d4d84c85c3440c0929633d5d36f0451');
    assert.equal(product(0x11), '1d1e1f2c592e7c45d66ee03e410fd4ed');
  });

  test('SHA-256 of one block', () => {
    const message = 'abc';
    const primes: number[] = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
    const fraction = (x: number): number => Math.floor((x - Math.floor(x)) * 2 ** 32) >>> 0;
    const block = Buffer.alloc(64);
    block.write(`${message}\x80`, 'latin1');
    block[63] = 8 * message.length;
    const call = (name: string, a: readonly number[], b: readonly number[]): number[] => {
      words.set([...a, ...b], A >> 2);
      support[name]!(D, A, B, 0);
      return vector(D);
    };
    const schedule = Array.from({ length: 4 }, (_, n) => [0, 4, 8, 12].map((at) => block.readUInt32BE(16 * n + at)));
    for (let n = 4; n < 16; n++) {
      const earlier = [...schedule[n - 2]!.slice(1), schedule[n - 1]![0]!];
      const partial = call('sha256msg1', schedule[n - 4]!, schedule[n - 3]!).map((word, k) => (word + earlier[k]!) >>> 0);
      schedule.push(call('sha256msg2', partial, schedule[n - 1]!));
    }
    const initial = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
    const pick = (...letters: number[]): number[] => letters.map((letter) => initial[letter]!);
    let [abef, cdgh] = [pick(5, 4, 1, 0), pick(7, 6, 3, 2)];
    for (let n = 0; n < 64; n += 2) {
      words.set([0, 1].map((k) => schedule[n >> 2]![(n & 3) + k]! + fraction(Math.cbrt(primes[n + k]!))), SLOT.xmm(0) >> 2);
      [abef, cdgh] = [call('sha256rnds2', cdgh, abef), abef];
    }
    const [f, e, b, a] = abef, [h, g, d, c] = cdgh;
    const digest = [a, b, c, d, e, f, g, h].map((word, n) => ((word! + initial[n]!) >>> 0).toString(16).padStart(8, '0')).join('');
    assert.equal(digest, createHash('sha256').update(message).digest('hex'));
  });
});
