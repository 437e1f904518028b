// VMware's virtual disks against the reference: new images of all kinds, writes by either side, parents, descriptors with several
// extents, compressed and ESX extents, what is refused.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  afterWrites,
  assertInterchange,
  assertSame,
  ImageFolder,
  someWrites,
  writeOurs,
  type Values,
} from '../../../test/block/format-fixture.ts';
import { mustRun, noReference } from '../../../test/block/reference.ts';
import type { Failure } from '../../base/failure.ts';
import { statusAbove } from '../chain-status.ts';
import { STATUS } from '../status.ts';
import { probe } from './probe.ts';

const SIZE = 5 << 20;
const GRAIN = 65536;
const text = new TextDecoder('latin1');

/** The content identifier is random and has up to eight digits: it is left out, with the padding of an embedded descriptor. */
function withoutContentId(image: Uint8Array): string {
  const [start, end] = image[0] === 0x4b ? [0x200, 0x2a00] : [0, image.length];
  const descriptor = text.decode(image.subarray(start, end)).replaceAll('\0', '').replace(/\nCID=[0-9a-f]+\n/, '\nCID=\n');
  const hash = (part: Uint8Array): string => createHash('sha256').update(part).digest('hex');
  return [descriptor, hash(image.subarray(0, start)), hash(image.subarray(end)), image.length > 0x2a00 ? image.length : ''].join('\n');
}

/** The same in two folders, so that names are alike. */
async function newOnBothSides(folder: ImageFolder, values: Values, names: readonly string[]): Promise<void> {
  await folder.create('vmdk', 'disk.vmdk', values);
  const ours = names.map((name) => withoutContentId(folder.bytes(name)));
  folder.createByReference('vmdk', 'disk.vmdk', values);
  names.forEach((name, n) => assert.equal(withoutContentId(folder.bytes(name)), ours[n], `${name} ${JSON.stringify(values)}`));
}

test('new images are those of the reference', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  await newOnBothSides(folder, { size: SIZE }, ['disk.vmdk']);
  await newOnBothSides(folder, { size: 1, compat6: true, adapter_type: 'lsilogic' }, ['disk.vmdk']);
  await newOnBothSides(folder, { size: 2 ** 35, zeroed_grain: true, hwversion: '9', toolsversion: '77' }, ['disk.vmdk']);
  await newOnBothSides(folder, { size: SIZE, subformat: 'streamOptimized', adapter_type: 'buslogic' }, ['disk.vmdk']);
  await newOnBothSides(folder, { size: SIZE, subformat: 'monolithicFlat' }, ['disk.vmdk', 'disk-flat.vmdk']);
  const split = ['disk.vmdk', 'disk-s001.vmdk', 'disk-s002.vmdk'];
  await newOnBothSides(folder, { size: 2 ** 31 + 1024, subformat: 'twoGbMaxExtentSparse' }, split);
  await newOnBothSides(folder, { size: SIZE, subformat: 'twoGbMaxExtentFlat', adapter_type: 'legacyESX' }, ['disk.vmdk', 'disk-f001.vmdk']);
});

test('either side reads what the other wrote', { skip: noReference }, async (t) => {
  const kinds = ['monolithicSparse', 'monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'];
  for (const [seed, subformat] of kinds.entries()) {
    await assertInterchange(new ImageFolder(t), 'vmdk', { size: SIZE + 512, subformat }, seed);
  }
  await assertInterchange(new ImageFolder(t), 'vmdk', { size: SIZE, zeroed_grain: true }, 9);
});

test('compressed grains are written once, whole, and read by the reference', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  const size = 10 * GRAIN + 1024;
  await folder.create('vmdk', 'ours.vmdk', { size, subformat: 'streamOptimized' });
  const expected = new Uint8Array(size);
  await folder.using('vmdk', 'ours.vmdk', {}, async (backend) => {
    for (const grain of [0, 7, 3, 10]) {
      const part = Uint8Array.from({ length: Math.min(GRAIN, size - grain * GRAIN) }, (_, n) => (n * n * (grain + 3)) >> 5);
      await backend.write(grain * GRAIN, part);
      expected.set(part, grain * GRAIN);
    }
    await assert.rejects(async () => backend.write(0, new Uint8Array(GRAIN)), /Input\/output error/);
    await assert.rejects(async () => backend.write(GRAIN, new Uint8Array(4096)), /Invalid argument/);
    const { flags } = await statusAbove(backend.node, 0, GRAIN);
    assert.equal(flags & (STATUS.DATA | STATUS.OFFSET_VALID), STATUS.DATA);
  });
  assert.deepEqual(folder.warnings, ['Could not write to allocated cluster for streamOptimized']);
  assertSame(folder.contentsByReference('vmdk', 'ours.vmdk'), expected, 'ours');
  mustRun('img', ['convert', '-f', 'vmdk', '-O', 'vmdk', '-o', 'subformat=streamOptimized', 'ours.vmdk', 'theirs.vmdk'], folder.path);
  assertSame(await folder.contents('vmdk', 'theirs.vmdk'), expected, "the reference's");
});

test('an overlay shows its parent until the parent is changed', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vmdk', 'base.vmdk', { size: SIZE });
  const [below, above] = [someWrites(1, SIZE), someWrites(2, SIZE)];
  await writeOurs(folder, 'vmdk', 'base.vmdk', below);
  await folder.create('vmdk', 'top.vmdk', { size: SIZE, backing_file: 'base.vmdk', backing_fmt: 'vmdk' });
  await writeOurs(folder, 'vmdk', 'top.vmdk', above);
  const expected = afterWrites(SIZE, [...below, ...above]);
  assertSame(await folder.contents('vmdk', 'top.vmdk'), expected, 'read by us');
  assertSame(folder.contentsByReference('vmdk', 'top.vmdk'), expected, 'read by the reference');
  await writeOurs(folder, 'vmdk', 'base.vmdk', [{ offset: 0, count: 512, pattern: 1 }]);
  await folder.create('vmdk', 'empty.vmdk', { size: SIZE, backing_file: 'base.vmdk', backing_fmt: 'vmdk' });
  await writeOurs(folder, 'vmdk', 'base.vmdk', [{ offset: 0, count: 512, pattern: 2 }]);
  await assert.rejects(folder.contents('vmdk', 'empty.vmdk'), /Invalid argument/);
});

test('zeroed grains take no room', async (t) => {
  const folder = new ImageFolder(t);
  await folder.create('vmdk', 'disk.vmdk', { size: SIZE, zeroed_grain: true });
  await writeOurs(folder, 'vmdk', 'disk.vmdk', [{ offset: 0, count: 2 * GRAIN, pattern: 5 }]);
  const before = folder.bytes('disk.vmdk').length;
  await writeOurs(folder, 'vmdk', 'disk.vmdk', [{ offset: GRAIN, count: 8 * GRAIN, pattern: undefined }]);
  assert.equal(folder.bytes('disk.vmdk').length, before);
  assertSame(await folder.contents('vmdk', 'disk.vmdk'), new Uint8Array(SIZE).fill(5, 0, GRAIN), 'contents');
});

/** An ESX sparse extent: two grains of one sector. */
function cowdExtent(): Uint8Array {
  const extent = new Uint8Array(42 * 512);
  const view = new DataView(extent.buffer);
  extent.set(new TextEncoder().encode('COWD'));
  [1, 3, 8192, 1, 4, 2, 0].forEach((value, n) => view.setUint32(4 + 4 * n, value, true));
  view.setUint32(4 * 512, 5, true);
  view.setUint32(5 * 512, 40, true);
  view.setUint32(5 * 512 + 40, 41, true);
  return extent.fill(65, 40 * 512, 41 * 512).fill(66, 41 * 512);
}

/** A seSparse extent: data, zeroes, unmapped, data. */
function seSparseExtent(): Uint8Array {
  const extent = new Uint8Array(0x400 * 512);
  const view = new DataView(extent.buffer);
  const header = [0xcafebabe, 0x200000001, 0x1000, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 2, 16, 16, 64, 1, 128, 64, 0, 0, 0, 0, 0x300, 0];
  header.forEach((value, n) => view.setBigUint64(8 * n, BigInt(value), true));
  view.setBigUint64(512, 0xcafecafen, true);
  view.setBigUint64(64 * 512, 0x1000000000000000n, true);
  const entries = [0x3000000000000000n, 0x2000000000000000n, 0x1000000000000000n, 0x3001000000000000n];
  entries.forEach((value, n) => view.setBigUint64(128 * 512 + 8 * n, value, true));
  return extent.fill(88, 0x300 * 512, 0x308 * 512).fill(89, 0x308 * 512, 0x310 * 512);
}

const descriptor = (createType: string, ...lines: string[]): string =>
  [
    '# Disk DescriptorFile',
    'version=1',
    'CID=12345678',
    'parentCID=ffffffff',
    `createType="${createType}"`,
    '# Extent description',
    ...lines,
    '',
  ].join('\n');

test('a descriptor joins extents of all kinds', { skip: noReference }, async (t) => {
  const folder = new ImageFolder(t);
  folder.put('flat.bin', new Uint8Array(20480).fill(7));
  folder.put('cowd.vmdk', cowdExtent());
  folder.put('se.vmdk', seSparseExtent());
  const lines = ['RW 8 FLAT "flat.bin" 1', 'RDONLY 9 FLAT "no.bin" 0', 'RW 8192 VMFSSPARSE "cowd.vmdk"', 'RW 5 VMFS "flat.bin"'];
  folder.put('disk.vmdk', descriptor('vmfsSparse', ...lines));
  folder.put('big.vmdk', descriptor('seSparse', 'RW 4096 SESPARSE "se.vmdk"'));
  for (const name of ['disk.vmdk', 'big.vmdk']) {
    assertSame(await folder.contents('vmdk', name), folder.contentsByReference('vmdk', name), name);
  }
  const info = await folder.using('vmdk', 'big.vmdk', { readOnly: true }, ({ node }) => node.instance.specificInfo!());
  const extent = { 'virtual-size': 2 ** 21, filename: folder.file('se.vmdk'), 'cluster-size': 4096, format: 'SESPARSE' };
  assert.deepEqual(info!.data['extents'], [extent]);
  await assert.rejects(folder.open('vmdk', 'big.vmdk'), /No write support for seSparse images available/);
});

test('an empty line before an extent does not make it two', async (t) => {
  const folder = new ImageFolder(t);
  folder.put('flat.bin', new Uint8Array(4096));
  folder.put('disk.vmdk', descriptor('monolithicFlat', '', 'RW 8 FLAT "flat.bin" 0'));
  assert.equal((await folder.contents('vmdk', 'disk.vmdk')).length, 4096);
});

test('what is refused, and with which words', async (t) => {
  const folder = new ImageFolder(t);
  const refused = async (bytes: Uint8Array | string): Promise<string> => {
    folder.put('bad.vmdk', bytes);
    return folder.using('vmdk', 'bad.vmdk', { readOnly: true }, () => 'opened').catch((error: Failure) => error.message);
  };
  await folder.create('vmdk', 'good.vmdk', { size: SIZE });
  const changed = (change: (view: DataView) => void): Uint8Array => {
    const bytes = folder.bytes('good.vmdk');
    change(new DataView(bytes.buffer));
    return bytes;
  };
  assert.equal(await refused(''), 'File is too small, not a valid image');
  assert.equal(await refused('abc'), 'invalid VMDK image descriptor');
  assert.equal(await refused('something else'), 'invalid VMDK image descriptor');
  assert.equal(await refused(descriptor('custom')), "Unsupported image type 'custom'");
  assert.equal(await refused(descriptor('monolithicFlat', 'RW 8 FLAT "x"')), 'Invalid extent line: RW 8 FLAT "x"');
  assert.match(await refused(descriptor('monolithicFlat', 'RW 8 FLAT "x" 0')), /^Could not open '.*x': No such file or directory$/);
  assert.equal(await refused(changed((view) => view.setUint32(4, 4, true))), 'Unsupported VMDK version 4');
  assert.equal(await refused(changed((view) => view.setUint32(44, 513, true))), 'L2 table size too big');
  assert.equal(await refused(changed((view) => view.setUint32(20, 0, true))), 'L1 entry size is invalid');
  assert.equal(await refused(changed((view) => view.setUint32(20, 0x200001, true))), 'Invalid granularity, image may be corrupt');
  assert.equal(await refused(changed((view) => view.setUint32(64, 0x1000, true))), 'File truncated, expecting at least 2097152 bytes');
  assert.equal(await refused(changed((view) => view.setBigUint64(56, 2n ** 64n - 1n, true))), 'Invalid footer');
  const wrong = (values: Values, words: RegExp): Promise<void> =>
    assert.rejects(folder.create('vmdk', 'new.vmdk', { size: SIZE, ...values }), words);
  await wrong({ subformat: 'odd' }, /^\S+: invalid parameter value: odd$|invalid parameter value: odd/);
  await wrong({ compat6: true, hwversion: '9' }, /compat6 cannot be enabled with hwversion set/);
  await wrong({ subformat: 'monolithicFlat', zeroed_grain: true }, /Flat image can't enable zeroed grain/);
  await wrong({ subformat: 'monolithicFlat', backing_file: 'good.vmdk' }, /Flat image can't have backing file/);
  await wrong({ backing_file: 'good.vmdk', backing_fmt: 'raw' }, /backing_file must be a vmdk image/);
});

test('the probe knows sparse extents and descriptors', () => {
  const scoreOf = (head: string): number => probe(new TextEncoder().encode(head), 'x');
  assert.equal(scoreOf('KDMV'), 100);
  assert.equal(scoreOf('COWD'), 100);
  assert.equal(scoreOf('# Disk DescriptorFile\nversion=1\n'), 100);
  assert.equal(scoreOf('# comment\r\n \r\nversion=3\r\n'), 100);
  assert.equal(scoreOf('# comment\nversion=4\n'), 0);
  assert.equal(scoreOf('# comment'), 0);
  assert.equal(scoreOf('\nversion=1\n'), 0);
});
