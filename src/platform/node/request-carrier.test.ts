// Tests that a request's number is known to every layer after it has waited: tables of an image that have to be read first, the
// thread pool, requests of others in between; and an operation of the tools.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { takeEvents } from '../../../test/traced-events.ts';
import { BlockBackend } from '../../block/backend.ts';
import { BlockGraph } from '../../block/graph.ts';
import { setRequestCarrier, requestContext } from '../../trace/request.ts';
import { convert, createImage, openImage } from './block.ts';
import { createBlockHost } from './block-host.ts';
import { pooledHostFiles } from './host-files.ts';
import { asyncRequestCarrier } from './request-carrier.ts';

const IMAGE_BYTES = 64 << 20;

/** `use` with the path of a qcow2 image that has data in several tables. */
async function withImage(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-carrier-'));
  setRequestCarrier(asyncRequestCarrier);
  try {
    const path = join(folder, 'a.qcow2');
    await createImage(path, { format: 'qcow2', size: IMAGE_BYTES, options: { cluster_size: 4096 } });
    const image = await openImage(path);
    for (let at = 0; at < IMAGE_BYTES; at += 4 << 20) await image.write(at, new Uint8Array(4096).fill(7));
    await image.close();
    await use(path);
  } finally {
    setRequestCarrier(() => undefined);
    rmSync(folder, { recursive: true });
  }
}

test('requests that wait for tables and for the thread pool keep their numbers', () => withImage(async (filename) => {
  const host = { ...createBlockHost({ files: 'pooled' }), files: pooledHostFiles({ cachedReads: false }) };
  const backend = await BlockBackend.open(new BlockGraph(host), { filename });
  const events = takeEvents('bdrv_*', 'host_file_*');
  const read = (request: number, offset: number): Promise<void> => {
    requestContext.enter(request);
    const result = Promise.resolve(backend.read(offset, new Uint8Array(4096)));
    requestContext.leave();
    return result;
  };
  await Promise.all([read(101, 0), read(102, 8 << 20), read(103, 8 << 20), read(104, 16 << 20)]);
  const { taken } = events;
  events.stop();
  await backend.close();
  assert.deepEqual(new Set(taken.map(({ values }) => values['request'])), new Set([101, 102, 103, 104]));
  const reads = taken.filter(({ name }) => name === 'host_file_read');
  assert.ok(reads.length >= 7, `${reads.length} reads of the host: tables and data`);
  for (const { values } of reads) {
    const done = taken.filter(({ name, values: { call } }) => name === 'host_file_done' && call === values['call']);
    assert.deepEqual(done.map((event) => [event.values['request'], event.values['pooled']]), [[values['request'], true]]);
  }
}));

test('what is done for a conversion has its number', () => withImage(async (source) => {
  const events = takeEvents('block_job_*', 'bdrv_co_*');
  await convert(source, `${source}.raw`);
  const { taken } = events;
  events.stop();
  const begin = taken.findIndex(({ name }) => name === 'block_job_begin');
  const end = taken.findIndex(({ name }) => name === 'block_job_end');
  const { request } = taken[begin]!.values;
  assert.ok(taken.slice(begin, end).some(({ name }) => name === 'block_job_step'));
  assert.ok(taken.slice(begin, end).some(({ name }) => name === 'bdrv_co_pwritev'));
  assert.ok(taken.slice(begin, end + 1).every(({ values }) => values['request'] === request));
}));
