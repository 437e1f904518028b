// The library form of the image tools.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { convert, createImage, openImage } from './block.ts';

describe('nandu/block', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'nandu-block-'))));
  after(() => rmSync(folder, { recursive: true }));

  test('an image is made, written, read and closed', async () => {
    const name = join(folder, 'a.qcow2');
    await createImage(name, { format: 'qcow2', size: 1 << 20, options: { cluster_size: 4096, lazy_refcounts: true } });
    const image = await openImage(name);
    await image.write(5000, new Uint8Array([1, 2, 3]));
    await image.close();
    const again = await openImage(name, { readOnly: true });
    assert.deepEqual([...(await again.read(4999, 5))], [0, 1, 2, 3, 0]);
    assert.equal(again.size, 1 << 20);
    assert.equal((await again.info()).clusterSize, 4096);
    assert.equal((await again.check()).corruptions, 0);
    await again.close();
  });

  test('the map tells data from holes', async () => {
    const name = join(folder, 'm.qcow2');
    await createImage(name, { format: 'qcow2', size: 1 << 20 });
    const image = await openImage(name);
    await image.write(65536, new Uint8Array(65536).fill(7));
    const runs: [number, number, boolean][] = [];
    for await (const { start, length, data } of image.map()) runs.push([start, length, data]);
    await image.close();
    assert.deepEqual(runs, [
      [0, 65536, false],
      [65536, 65536, true],
      [131072, 917504, false],
    ]);
  });

  test('an image is converted', async () => {
    const [source, target] = [join(folder, 'c.qcow2'), join(folder, 'c.raw')];
    await createImage(source, { format: 'qcow2', size: 1 << 20 });
    const image = await openImage(source);
    await image.write(300_000, new Uint8Array(1000).fill(9));
    await image.close();
    await convert(source, target);
    const raw = await openImage(target, { format: 'raw', readOnly: true });
    assert.deepEqual(await raw.read(300_000, 1000), new Uint8Array(1000).fill(9));
    assert.equal(raw.size, 1 << 20);
    await raw.close();
  });

  test('what cannot be done is a Failure', async () => {
    await assert.rejects(openImage(join(folder, 'nothing')), (error) => error instanceof Failure && error.kind === 'not-found');
    await assert.rejects(createImage(join(folder, 'x'), { format: 'nosuch', size: 1 }), /Unknown file format 'nosuch'/);
  });
});
