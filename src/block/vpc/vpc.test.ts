// Microsoft's virtual hard disks against the reference: new images, writes by either side, sizes, what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertInterchange, assertSameNewImage, ImageFolder } from '../../../test/block/format-fixture.ts';
import { noReference } from '../../../test/block/reference.ts';
import type { Failure } from '../../base/failure.ts';
import { geometryFor, sectorsOf } from './geometry.ts';
import { checksumOf, dynamicHeaderLayout, footerLayout } from './layout.ts';

const SIZE = 5 << 20;

/** Timestamp, checksum and UUID of both copies of the footer. */
function random(image: Uint8Array): readonly (readonly [number, number])[] {
  const copies = [0, image.length - 512].filter((at) => image[at] === 0x63);
  return copies.flatMap((at) => [[at + 24, at + 28], [at + 64, at + 84]] as const);
}

function seal(image: Uint8Array): void {
  footerLayout.write(image, { checksum: checksumOf(image.subarray(0, 512), footerLayout.fields.checksum.offset) });
  const header = image.subarray(512, 512 + dynamicHeaderLayout.sizeBytes);
  dynamicHeaderLayout.write(header, { checksum: checksumOf(header, dynamicHeaderLayout.fields.checksum.offset) });
}

async function opened(folder: ImageFolder, change: (view: DataView) => void, isSealed = true): Promise<string> {
  await folder.create('vpc', 'image', { size: SIZE });
  const bytes = folder.bytes('image');
  change(new DataView(bytes.buffer));
  if (isSealed) seal(bytes);
  folder.put('image', bytes);
  return folder.using('vpc', 'image', { readOnly: true }, ({ size }) => `size ${size}`).catch((error: Failure) => error.message);
}

test('new images are those of the reference', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  for (const size of [0, 1, SIZE, 3_000_001, 127 * 2 ** 30, 136_900_000_000]) {
    for (const force_size of [false, true]) await assertSameNewImage(folder, 'vpc', { size, force_size }, random);
  }
  for (const force_size of [false, true]) await assertSameNewImage(folder, 'vpc', { size: SIZE, subformat: 'fixed', force_size }, random);
});

test('either side reads what the other wrote', { skip: noReference }, async (t) => {
  for (const seed of [1, 2]) await assertInterchange(new ImageFolder(t), 'vpc', { size: SIZE }, seed);
  await assertInterchange(new ImageFolder(t), 'vpc', { size: SIZE, subformat: 'fixed' }, 3);
});

test('geometries hold at least what is asked for', () => {
  for (const sectors of [1, 67, 68, 69, 4096, 69_631, 69_632, 1_000_001, 16_515_071, 66_059_280, 200_000_000]) {
    const held = sectorsOf(geometryFor(sectors));
    assert(held >= sectors && held < sectors * 1.01 + 1000, `${held} for ${sectors}`);
  }
});

test('the size is by geometry or by the size field, as the creator means it', async (t) => {
  const folder = new ImageFolder(t);
  const creator = (name: string) => (view: DataView) => {
    [...name].forEach((letter, n) => view.setUint8(28 + n, letter.charCodeAt(0)));
    view.setBigUint64(48, BigInt(SIZE));
  };
  for (const name of ['win ', 'd2v ', 'qem2', 'CTXS', 'tap\0']) assert.equal(await opened(folder, creator(name)), `size ${SIZE}`);
  for (const name of ['qemu', 'vpc ', 'vs  ', 'tap ']) assert.equal(await opened(folder, creator(name)), 'size 5257216');
});

test('what is refused, and with which words', async (t) => {
  const folder = new ImageFolder(t);
  const truncated = 'block-vpc: free_data_block_offset points after the end of file. The image has been truncated.';
  const rows: readonly (readonly [string, (view: DataView) => void])[] = [
    ['invalid VPC image', (view) => view.setUint8(0, 0)],
    ['Invalid header magic', (view) => view.setUint8(512, 0)],
    ['Invalid block size 4096000', (view) => view.setUint32(512 + 32, 4_096_000)],
    ['Page table too small', (view) => view.setUint32(512 + 28, 1)],
    ['Max Table Entries too large (536870912)', (view) => view.setUint32(512 + 28, 0x20000000)],
    [truncated, (view) => view.setUint32(1536, 77)],
    [truncated, (view) => view.setUint32(512 + 16, 1)],
  ];
  for (const [words, change] of rows) assert.equal(await opened(folder, change), words);
  assert.equal(await opened(folder, (view) => view.setUint32(40, 1), false), 'Incorrect header checksum');
  await assert.rejects(folder.create('vpc', 'big', { size: 2041 * 2 ** 30 }), /The image size is too large for file format 'vpc'/);
  await assert.rejects(folder.create('vpc', 'odd', { size: SIZE, subformat: 'odd' }), /Parameter 'subformat' does not accept value 'odd'/);
});

test('the footer is always behind the last block', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vpc', 'image', { size: SIZE });
  for (const block of [1, 0]) {
    await folder.using('vpc', 'image', {}, (backend) => backend.write(block << 21, new Uint8Array(512).fill(9)));
    const bytes = folder.bytes('image');
    assert.deepEqual(bytes.subarray(bytes.length - 512), bytes.subarray(0, 512));
  }
});
