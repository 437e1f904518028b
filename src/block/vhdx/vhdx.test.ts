// VHDX files against the reference: new images, writes by either side, the log, what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertInterchange, assertSame, assertSameNewImage, ImageFolder } from '../../../test/block/format-fixture.ts';
import { mustRun, noReference } from '../../../test/block/reference.ts';
import type { Failure } from '../../base/failure.ts';
import { crc32c, sealChecksum } from './crc32c.ts';
import { AT, HEADER_BYTES, headerLayout, logEntryLayout, MIB } from './layout.ts';

const SIZE = 5 * MIB;
const LOG = MIB;
const TABLE = 2 * MIB;
const KIB = 1024;

/** Identities and sequence numbers of both headers, all checksums, and the identity of the disk. */
function random(image: Uint8Array): readonly (readonly [number, number])[] {
  const metadata = Number(new DataView(image.buffer).getBigUint64(AT.REGION_TABLES[0] + 16 + 32 + 16, true));
  return [
    ...AT.HEADERS.map((at) => [at + 4, at + 48] as const),
    ...AT.REGION_TABLES.map((at) => [at + 4, at + 8] as const),
    [metadata + 64 * KIB + 16, metadata + 64 * KIB + 32],
  ];
}

function sealHeaders(image: Uint8Array): void {
  for (const at of AT.HEADERS) sealChecksum(image.subarray(at, at + HEADER_BYTES));
  for (const at of AT.REGION_TABLES) sealChecksum(image.subarray(at, at + 64 * KIB));
}

/** As if the power had failed after the log was written: the block table as it was, the log not carried out. */
async function interruptedImage(folder: ImageFolder, name: string): Promise<void> {
  await folder.create('vhdx', name, { size: SIZE, block_size: MIB });
  await folder.using('vhdx', name, {}, (backend) => backend.write(MIB, new Uint8Array(4096).fill(7)));
  const image = folder.bytes(name);
  new DataView(image.buffer).setBigUint64(TABLE + 8, 2n, true);
  const { logGuid } = logEntryLayout.decode(image, LOG);
  for (const at of AT.HEADERS) headerLayout.write(image, { logGuid }, at);
  sealHeaders(image);
  folder.put(name, image);
}

async function opened(folder: ImageFolder, change: (view: DataView) => void): Promise<string> {
  await folder.create('vhdx', 'image', { size: SIZE, block_size: MIB });
  await folder.using('vhdx', 'image', {}, (backend) => backend.write(0, new Uint8Array(512)));
  const bytes = folder.bytes('image');
  change(new DataView(bytes.buffer));
  sealHeaders(bytes);
  folder.put('image', bytes);
  return folder.using('vhdx', 'image', { readOnly: true }, ({ size }) => `size ${size}`).catch((error: Failure) => error.message);
}

test('CRC-32C', () => {
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
});

test('new images are those of the reference', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  const rows = [
    { size: SIZE },
    { size: 1000, block_size: 1 },
    { size: SIZE, block_size: 2 * MIB, log_size: 3_000_000, block_state_zero: false },
    { size: SIZE, subformat: 'fixed', block_size: MIB, block_state_zero: false },
    { size: SIZE, subformat: 'fixed' },
    { size: 2 * 2 ** 40 },
  ];
  for (const values of rows) await assertSameNewImage(folder, 'vhdx', values, random);
});

test('either side reads what the other wrote', { skip: noReference }, async (t) => {
  for (const seed of [1, 2]) await assertInterchange(new ImageFolder(t), 'vhdx', { size: SIZE, block_size: MIB }, seed);
  await assertInterchange(new ImageFolder(t), 'vhdx', { size: SIZE, subformat: 'fixed', block_state_zero: false }, 3);
});

test('a log that was not carried out is', async (t) => {
  const folder = new ImageFolder(t);
  await interruptedImage(folder, 'image');
  await assert.rejects(folder.open('vhdx', 'image', { readOnly: true }), (error: Failure) => {
    const name = folder.file('image');
    const hint = `To replay the log, run:\nqemu-img check -r all '${name}'`;
    return error.message === `VHDX image file '${name}' opened read-only, but contains a log that needs to be replayed\n${hint}`;
  });
  const request = { fixLeaks: true, fixErrors: true, report: () => {} };
  const result = await folder.using('vhdx', 'image', { check: true }, ({ node }) => node.instance.check!(request));
  assert.deepEqual([result.corruptions, result.corruptionsFixed], [0, 1]);
  assert.equal((await folder.contents('vhdx', 'image'))[MIB], 7);
});

test('the reference carries out our log as we do', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  await interruptedImage(folder, 'image');
  mustRun('img', ['check', '-q', '-r', 'all', '-f', 'vhdx', 'image'], folder.path);
  assert.equal((await folder.contents('vhdx', 'image'))[MIB], 7);
});

test('a log with a wrong checksum is not carried out', async (t) => {
  const folder = new ImageFolder(t);
  await interruptedImage(folder, 'image');
  const bytes = folder.bytes('image');
  bytes[LOG + 4096 + 100]! ^= 1;
  folder.put('image', bytes);
  await folder.using('vhdx', 'image', {}, () => {});
  assert.equal((await folder.contents('vhdx', 'image'))[MIB], 0);
});

test('one damaged header is enough to open', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vhdx', 'image', { size: SIZE });
  for (const at of AT.HEADERS) {
    const bytes = folder.bytes('image');
    bytes[at + 100]! ^= 1;
    folder.put('damaged', bytes);
    assertSame(await folder.contents('vhdx', 'damaged'), new Uint8Array(SIZE), 'an empty image');
  }
});

test('what is refused, and with which words', async (t) => {
  const folder = new ImageFolder(t);
  const plain = (errno: string): string => `Could not open '${folder.file('image')}': ${errno}`;
  const metadata = 3 * MIB + 64 * KIB;
  const rows: readonly (readonly [string, (view: DataView) => void])[] = [
    [plain('Invalid argument'), (view) => view.setUint8(0, 0)],
    ['No valid VHDX header found', (view) => AT.HEADERS.forEach((at) => view.setUint16(at + 66, 2, true))],
    [plain('Invalid argument'), (view) => view.setUint32(AT.REGION_TABLES[0] + 8, 1, true)],
    [plain('Operation not supported'), (view) => view.setUint32(metadata + 32, 4096, true)],
    [plain('Invalid argument'), (view) => view.setUint32(metadata, 3 * MIB, true)],
    [plain('Invalid argument'), (view) => view.setUint32(metadata + 4, 2, true)],
    [plain('Invalid argument'), (view) => view.setBigUint64(TABLE, 0x1000000006n, true)],
  ];
  for (const [words, change] of rows) assert.equal(await opened(folder, change), words);
  const warning = /^VHDX BAT entry 0 start offset 68719476736 points after end of file \(\d+\)\. Image has probably been truncated\.$/;
  assert.match(folder.warnings.join(), warning);
  await assert.rejects(folder.create('vhdx', 'odd', { size: SIZE, block_size: 3 * MIB }), /Block size must be a power of two/);
  await assert.rejects(folder.create('vhdx', 'big', { size: 65 * 2 ** 40 }), /Image size too large; max of 64TB/);
  await assert.rejects(folder.create('vhdx', 'log', { size: SIZE, log_size: 2 ** 32 }), /Log size must be smaller than 4 GB/);
});
