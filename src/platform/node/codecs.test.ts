// Compression: round trips, bounds, and damaged input; zstd also against the zstd program.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { deflateRawSync, deflateSync } from 'node:zlib';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import { nodeCompression } from './codecs.ts';
import { zstdFrame } from './zstd-frame.ts';
import { wasmCodec } from './zstd-wasm.ts';
import { decodeFrames } from './zstd.ts';

const CLUSTER = 65536;
const text = new Uint8Array(CLUSTER).map((_, index) => (index * index) >> 7);
const isCorrupt = (error: unknown): boolean => error instanceof Failure && error.kind === 'corrupt';

/** As an image stores it: with something else behind. */
function padded(source: Uint8Array): Uint8Array {
  const target = new Uint8Array(source.length + 300).fill(0xa5);
  target.set(source);
  return target;
}

function noise(count: number): Uint8Array {
  const random = new Prng(7);
  return new Uint8Array(count).map(() => random.u32());
}

for (const pooled of [false, true]) {
  describe(pooled ? 'in the thread pool' : 'at once', () => {
    const codec = nodeCompression({ deflatePooled: pooled, inflatePooled: pooled });

    test('raw deflate keeps to its window and its bound', async () => {
      const compressed = (await codec.deflateRaw(text, 12, CLUSTER))!;
      assert.ok(compressed.length < CLUSTER);
      assert.deepEqual(await codec.inflateRaw(padded(compressed), 12, CLUSTER), text);
      assert.equal(await codec.deflateRaw(text, 12, compressed.length), undefined);
      assert.equal(await codec.deflateRaw(noise(CLUSTER), 12, CLUSTER), undefined);
    });

    test('a longer stream gives its beginning, a shorter or damaged one fails', async () => {
      const compressed = deflateRawSync(text);
      assert.deepEqual(await codec.inflateRaw(compressed, 15, 10_000), text.subarray(0, 10_000));
      await assert.rejects(async () => codec.inflateRaw(compressed, 15, CLUSTER + 1), isCorrupt);
      await assert.rejects(async () => codec.inflateRaw(compressed.subarray(0, 500), 15, CLUSTER), isCorrupt);
      await assert.rejects(async () => codec.inflateRaw(noise(2000), 12, CLUSTER), isCorrupt);
      const bomb = deflateRawSync(new Uint8Array(1 << 24));
      assert.equal((await codec.inflateRaw(bomb, 15, CLUSTER)).length, CLUSTER);
    });

    test('zlib framing', async () => {
      assert.deepEqual(await codec.inflateZlib(padded(await codec.deflateZlib(text)), CLUSTER), text);
      await assert.rejects(async () => codec.inflateZlib(deflateSync(text).subarray(2), CLUSTER), isCorrupt);
    });

    test('zstd', async () => {
      const compressed = (await codec.zstdCompress(text, CLUSTER))!;
      assert.ok(compressed.length < CLUSTER);
      assert.deepEqual(await codec.zstdDecompress(padded(compressed), CLUSTER), text);
      assert.equal(await codec.zstdCompress(noise(CLUSTER), CLUSTER), undefined);
      await assert.rejects(async () => codec.zstdDecompress(compressed, CLUSTER - 1), isCorrupt);
      await assert.rejects(async () => codec.zstdDecompress(compressed, CLUSTER + 1), isCorrupt);
      await assert.rejects(async () => codec.zstdDecompress(compressed.subarray(0, compressed.length - 1), CLUSTER), isCorrupt);
    });
  });
}

test('much of it is compressed on several threads', async () => {
  const codec = nodeCompression({ deflatePooled: true, inflatePooled: true });
  const clusters = Array.from({ length: 40 }, (_, seed) => text.map((value) => value ^ seed));
  const compressed = await Promise.all(clusters.map((cluster) => codec.zstdCompress(cluster, CLUSTER)));
  for (const [index, cluster] of clusters.entries()) assert.deepEqual(await codec.zstdDecompress(compressed[index]!, CLUSTER), cluster);
});

/** A frame of one raw block that does not say how long its content is. */
function rawFrame(content: Uint8Array): Uint8Array {
  const header = (content.length << 3) | 1;
  return new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, header & 0xff, (header >> 8) & 0xff, header >> 16, ...content]);
}

/** The same with one byte repeated. */
function runFrame(count: number, value: number): Uint8Array {
  const header = (count << 3) | 3;
  return new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, header & 0xff, (header >> 8) & 0xff, header >> 16, value]);
}

const skippable = new Uint8Array([0x52, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]);

describe('zstd as WebAssembly', () => {
  test('frames in a row, with and without a size, and skippable ones', async () => {
    const codec = await wasmCodec();
    const parts = [rawFrame(text.subarray(0, 1000)), skippable, runFrame(500, 7), codec.compress(text), new Uint8Array(9)];
    const source = new Uint8Array(Buffer.concat(parts));
    const target = decodeFrames(codec, source, 1500 + CLUSTER);
    assert.deepEqual(target.subarray(0, 1000), text.subarray(0, 1000));
    assert.ok(target.subarray(1000, 1500).every((value) => value === 7));
    assert.deepEqual(target.subarray(1500), text);
    assert.throws(() => decodeFrames(codec, source, 1200), isCorrupt);
  });

  test('the claimed sizes of a hostile frame are not believed', async () => {
    const codec = await wasmCodec();
    const huge = new Uint8Array(40);
    huge.set([0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0]);
    assert.throws(() => decodeFrames(codec, huge, CLUSTER), isCorrupt);
    assert.throws(() => decodeFrames(codec, new Uint8Array(100), CLUSTER), isCorrupt);
    assert.throws(() => zstdFrame(rawFrame(text).subarray(0, 5), 0), isCorrupt);
  });

  test('damaged frames end in a failure or in the right length', async () => {
    const codec = await wasmCodec();
    const good = codec.compress(text);
    const random = new Prng(99);
    let failed = 0;
    for (let round = 0; round < 2000; round++) {
      const bad = good.slice();
      for (let flips = 1 + (round % 3); flips > 0; flips--) bad[random.below(bad.length)]! ^= 1 << (random.below(8));
      try {
        assert.equal(decodeFrames(codec, bad, CLUSTER).length, CLUSTER);
      } catch (error) {
        assert.ok(isCorrupt(error), String(error));
        failed++;
      }
    }
    assert.ok(failed > 0);
    assert.deepEqual(decodeFrames(codec, good, CLUSTER), text);
  });

  const noZstd = spawnSync('zstd', ['--version']).status === 0 ? false : 'the zstd program is not installed';
  test('the zstd program understands it, and the other way round', { skip: noZstd }, async () => {
    const codec = await wasmCodec();
    const decoded = spawnSync('zstd', ['-dc'], { input: codec.compress(text) });
    assert.ok(decoded.stdout.equals(text));
    for (const words of [['-3'], ['-9', '--no-check'], ['--no-content-size', '-1']]) {
      const { stdout } = spawnSync('zstd', ['-c', ...words], { input: text });
      assert.deepEqual(decodeFrames(codec, padded(stdout), CLUSTER), text);
    }
  });
});
