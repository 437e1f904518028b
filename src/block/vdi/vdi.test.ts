// VirtualBox disk images against the reference: new images, writes by either side, what is refused, checks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertInterchange, assertSameNewImage, ImageFolder, mapByReference } from '../../../test/block/format-fixture.ts';
import { noReference } from '../../../test/block/reference.ts';
import { Failure } from '../../base/failure.ts';
import { statusAbove } from '../chain-status.ts';
import { probe } from './probe.ts';

const SIZE = 5 << 20;
const MAX = 'max supported is 0x1fffff8000000';
const uuids = (): readonly (readonly [number, number])[] => [[0x188, 0x1a8]];

async function opened(folder: ImageFolder, change: (view: DataView) => void): Promise<string> {
  await folder.create('vdi', 'image', { size: SIZE });
  const bytes = folder.bytes('image');
  change(new DataView(bytes.buffer));
  folder.put('image', bytes);
  return folder.using('vdi', 'image', { readOnly: true }, ({ size }) => `size ${size}`).catch((error: Failure) => error.message);
}

test('new images are those of the reference', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  for (const size of [0, 1, SIZE, 3_000_001, 200 * 2 ** 30]) await assertSameNewImage(folder, 'vdi', { size }, uuids);
  await assertSameNewImage(folder, 'vdi', { size: SIZE, static: true }, uuids);
});

test('either side reads what the other wrote', { skip: noReference }, async (t) => {
  for (const seed of [1, 2]) await assertInterchange(new ImageFolder(t), 'vdi', { size: SIZE + 512 }, seed);
  await assertInterchange(new ImageFolder(t), 'vdi', { size: SIZE, static: true }, 3);
});

test('the map shows blocks', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vdi', 'image.vdi', { size: SIZE });
  await folder.using('vdi', 'image.vdi', {}, async (backend) => {
    for (const block of [3, 1, 2]) await backend.write(block << 20, new Uint8Array(512).fill(1));
    const { count, hostOffset } = await statusAbove(backend.node, 1 << 20, 4 << 20);
    assert.deepEqual([count, hostOffset], [2 << 20, 1024 + (1 << 20)], 'blocks that lie together are one run');
  });
  const expected = `0+1048576:z@ 1048576+2097152:d@${1024 + (1 << 20)} 3145728+1048576:d@1024 4194304+1048576:z@`;
  assert.equal(mapByReference(folder, 'vdi', 'image.vdi'), expected);
});

test('what is refused, and with which words', async (t) => {
  const folder = new ImageFolder(t);
  const rows: readonly (readonly [string, (view: DataView) => void])[] = [
    ['Image not in VDI format (bad signature 00000005)', (view) => view.setUint32(0x40, 5, true)],
    ['unsupported VDI image (version 2.1)', (view) => view.setUint32(0x44, 0x20001, true)],
    ['unsupported VDI image (unaligned block map offset 0x201)', (view) => view.setUint32(0x154, 0x201, true)],
    ['unsupported VDI image (unaligned data offset 0x401)', (view) => view.setUint32(0x158, 0x401, true)],
    ['unsupported VDI image (sector size 1024 is not 512)', (view) => view.setUint32(0x168, 1024, true)],
    ['unsupported VDI image (block size 2097152 is not 1048576)', (view) => view.setUint32(0x178, 0x200000, true)],
    ['unsupported VDI image (disk size 5243392, image bitmap has room for 5242880)', (view) => view.setUint32(0x170, SIZE + 1, true)],
    ['unsupported VDI image (non-NULL link UUID)', (view) => view.setUint8(0x1a8, 1)],
    ['unsupported VDI image (non-NULL parent UUID)', (view) => view.setUint8(0x1b8, 1)],
    ['unsupported VDI image (too many blocks 536870912, max is 536870784)', (view) => view.setUint32(0x180, 0x20000000, true)],
    [`Unsupported VDI image size (size is 0x3000000500000, ${MAX})`, (view) => view.setUint32(0x174, 0x30000, true)],
    ['size 5242368', (view) => view.setUint32(0x170, SIZE - 1000, true)],
  ];
  for (const [words, change] of rows) assert.equal(await opened(folder, change), words);
  await assert.rejects(folder.create('vdi', 'big', { size: 2 ** 49 }), /Unsupported VDI image size \(size is 0x2000000000000, max/);
});

test('check finds blocks that are used twice, that do not exist, and a wrong count', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vdi', 'image', { size: SIZE });
  await folder.using('vdi', 'image', {}, (backend) => backend.write(0, new Uint8Array(2 << 20)));
  const bytes = folder.bytes('image');
  new DataView(bytes.buffer).setUint32(0x204, 0, true);
  new DataView(bytes.buffer).setUint32(0x208, 9, true);
  new DataView(bytes.buffer).setUint32(0x184, 3, true);
  folder.put('image', bytes);
  const lines: string[] = [];
  const request = { fixLeaks: false, fixErrors: false, report: (line: string) => void lines.push(line) };
  const result = await folder.using('vdi', 'image', { readOnly: true }, ({ node }) => node.instance.check!(request));
  assert.deepEqual(lines, [
    'ERROR: block index 0 also used by 0',
    'ERROR: block index 2 too large, is 9',
    'ERROR: allocated blocks mismatch, is 2, should be 3',
  ]);
  assert.equal(result.corruptions, 3);
});

test('writes to the same new block at the same time allocate it once', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vdi', 'image', { size: SIZE });
  await folder.using('vdi', 'image', {}, async (backend) => {
    await Promise.all(Array.from({ length: 16 }, (_, n) => backend.write(n * 512, new Uint8Array(512).fill(n + 1))));
  });
  const contents = await folder.contents('vdi', 'image');
  for (let n = 0; n < 16; n++) assert.equal(contents[n * 512 + 511], n + 1);
  assert.equal(folder.bytes('image').length, 1024 + (1 << 20));
});

test('the probe knows the signature', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vdi', 'image', { size: SIZE });
  assert.equal(probe(folder.bytes('image').subarray(0, 512), 'image'), 100);
  assert.equal(probe(folder.bytes('image').subarray(0, 100), 'image'), 0);
  assert.equal(probe(new Uint8Array(512), 'image.vdi'), 0);
});
