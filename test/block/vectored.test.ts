// Requests of several buffers give what requests of one buffer do, over every kind of cluster.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';

const SIZE = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), 'vectored-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

async function overlay(graph: BlockGraph, extended: boolean): Promise<BlockBackend> {
  const open = (name: string): Promise<BlockBackend> =>
    BlockBackend.open(graph, { filename: at(name), options: new OptionDict([['driver', 'qcow2']]), flags: { readOnly: false } });
  await graph.createImage('qcow2', at('base'), new Map([['size', SIZE]]));
  const base = await open('base');
  await base.write(0, new Uint8Array(SIZE).fill(0xbb));
  await base.close();
  const values = new Map<string, string | number | boolean>([['size', SIZE], ['backing_file', at('base')], ['backing_fmt', 'qcow2']]);
  await graph.createImage('qcow2', at('overlay'), values.set('extended_l2', extended));
  const backend = await open('overlay');
  for (let cluster = 0; cluster < 16; cluster += 2) await backend.write(cluster * 65536 + 8192, new Uint8Array(4096).fill(cluster));
  await backend.writeZeroes(5 * 65536, 32768);
  return backend;
}

for (const extended of [false, true]) {
  test(`reads of several buffers: extended_l2=${extended}`, async () => {
    const graph = new BlockGraph(createBlockHost({ files: 'pooled' }));
    const backend = await overlay(graph, extended);
    const random = new Prng(7);
    let taken = 0;
    for (let round = 0; round < 300; round++) {
      const count = 512 * (1 + random.below(16)), offset = 512 * random.below((SIZE - count) / 512);
      const expected = new Uint8Array(count), bytes = new Uint8Array(count).fill(1);
      await backend.read(offset, expected);
      const result = backend.readv(offset, [bytes.subarray(0, 100), bytes.subarray(100)], count);
      if (result === false) continue;
      await result;
      assert.deepEqual(bytes, expected, `${count} bytes at ${offset}`);
      taken++;
    }
    assert.ok(taken > 30, `${taken} were taken`);
    await backend.close();
  });
}
