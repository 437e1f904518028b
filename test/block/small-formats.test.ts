// The small formats against the reference, both ways: what ours writes theirs reads, and the other way round.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { WRITE, type CheckResult } from '../../src/block/driver.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { bochsSample, cloopSample, dmgSample, samplePattern } from '../../src/block/image-format/sample-images.ts';

const folder = mkdtempSync(join(tmpdir(), 'small-formats-'));
after(() => rmSync(folder, { recursive: true }));
const skip = spawnSync('qemu-img', ['--version']).status === 0 ? false : 'qemu-img is not installed';
const secrets = new Map([['s', new TextEncoder().encode('hello')]]);
const host = createBlockHost({ files: 'sync', secrets, warn: () => undefined });
const SECRET = ['--object', 'secret,id=s,data=hello'];
const SIZE = 3 << 20;

const at = (name: string): string => join(folder, name);

function reference(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

const optionsText = (driver: string, name: string, more: Record<string, string> = {}): string =>
  Object.entries({ driver, 'file.driver': 'file', 'file.filename': at(name), ...more }).map(([key, value]) => `${key}=${value}`).join(',');

interface OurFlags {
  readonly readOnly?: boolean;
  readonly check?: boolean;
}

function openOurs(driver: string, name: string, more: Record<string, string> = {}, flags: OurFlags = {}): Promise<BlockBackend> {
  const options = new OptionDict([['driver', driver], ['file.driver', 'file'], ['file.filename', at(name)], ...Object.entries(more)]);
  const { readOnly = true, check = false } = flags;
  return BlockBackend.open(new BlockGraph(host), { options, flags: { readOnly, check, unmap: true }, resize: !readOnly });
}

async function contentOf(backend: BlockBackend): Promise<Uint8Array> {
  const content = new Uint8Array(backend.size);
  for (let offset = 0; offset < content.length; offset += 100_000) await backend.read(offset, content.subarray(offset, offset + 100_000));
  await backend.close();
  return content;
}

const readOurs = async (driver: string, name: string, more?: Record<string, string>): Promise<Uint8Array> =>
  contentOf(await openOurs(driver, name, more));

function readTheirs(driver: string, name: string, more?: Record<string, string>): Uint8Array {
  reference('qemu-img', 'convert', ...SECRET, '--image-opts', optionsText(driver, name, more), '-O', 'raw', at('theirs.raw'));
  return new Uint8Array(readFileSync(at('theirs.raw')));
}

/** Writes here and there, in pieces that fit no cluster; answers what the disk must then show. */
async function writeSome(backend: BlockBackend, before: Uint8Array, compressed = false): Promise<Uint8Array> {
  const expected = before.slice();
  const pattern = samplePattern(700_000);
  const put = async (offset: number, bytes: Uint8Array): Promise<void> => {
    await backend.write(offset, bytes);
    expected.set(bytes, offset);
  };
  if (compressed) {
    await backend.write(1 << 20, pattern.subarray(0, 65536), WRITE.COMPRESSED);
    expected.set(pattern.subarray(0, 65536), 1 << 20);
  }
  await put(1000, pattern);
  await put((1 << 20) + 5000, pattern.subarray(0, 3000));
  await put(2_500_001, pattern.subarray(0, 7));
  await backend.writeZeroes(300_000, 200_000);
  expected.fill(0, 300_000, 500_000);
  await put(SIZE - 512, pattern.subarray(0, 512));
  await backend.flush();
  await backend.close();
  return expected;
}

interface Case {
  readonly driver: string;
  readonly create?: Record<string, string | number>;
  readonly open?: Record<string, string>;
  readonly compressed?: boolean;
}

// prettier-ignore
const CASES: readonly Case[] = [
  { driver: 'luks', create: { 'key-secret': 's', 'iter-time': 1 }, open: { 'key-secret': 's' } },
  { driver: 'luks', create: { 'key-secret': 's', 'iter-time': 1, 'cipher-mode': 'cbc', 'ivgen-alg': 'essiv' }, open: { 'key-secret': 's' } },
  { driver: 'qcow', compressed: true },
  { driver: 'qcow', create: { 'encrypt.format': 'aes', 'encrypt.key-secret': 's' }, open: { 'encrypt.key-secret': 's' } },
  { driver: 'qed' },
  { driver: 'qed', create: { cluster_size: 4096, table_size: 2 } },
  { driver: 'parallels' },
  { driver: 'parallels', create: { cluster_size: 65536 } },
];

for (const { driver, create = {}, open, compressed } of CASES) {
  const title = `${driver} ${Object.entries(create).map(([key, value]) => `${key}=${value}`).join(',')}`;
  test(`${title}: theirs reads what ours made and wrote, ours what theirs wrote`, { skip }, async () => {
    const name = 'both.image';
    rmSync(at(name), { force: true });
    await new BlockGraph(host).createImage(driver, at(name), new Map<string, string | number>([['size', SIZE], ...Object.entries(create)]));
    const before = driver === 'luks' ? await readOurs(driver, name, open) : new Uint8Array(SIZE); // a new volume shows noise
    const expected = await writeSome(await openOurs(driver, name, open, { readOnly: false }), before, compressed);
    assert.deepEqual(await readOurs(driver, name, open), expected);
    assert.deepEqual(readTheirs(driver, name, open), expected);
    const commands = ['-c', 'write -P 0x77 200k 900k', '-c', 'write -P 0x78 2m 512'];
    reference('qemu-io', ...SECRET, ...commands, '--image-opts', optionsText(driver, name, open));
    expected.fill(0x77, 200 << 10, 1100 << 10).fill(0x78, 2 << 20, (2 << 20) + 512);
    assert.deepEqual(await readOurs(driver, name, open), expected);
    if (driver === 'qed' || driver === 'parallels') assert.match(reference('qemu-img', 'check', at(name)), /^No errors were found/);
  });
}

test('qcow and qed over a backing file', { skip }, async () => {
  const base = samplePattern(SIZE - 100_000);
  writeFileSync(at('base.raw'), base);
  const before = new Uint8Array(SIZE);
  before.set(base);
  for (const driver of ['qcow', 'qed']) {
    const values = new Map<string, string | number>([['size', SIZE], ['backing_file', 'base.raw'], ['backing_fmt', 'raw']]);
    await new BlockGraph(host).createImage(driver, at('over.image'), values);
    const expected = await writeSome(await openOurs(driver, 'over.image', {}, { readOnly: false }), before);
    assert.deepEqual(await readOurs(driver, 'over.image'), expected, driver);
    assert.deepEqual(readTheirs(driver, 'over.image'), expected, driver);
  }
});

test('qed and parallels are resized, checked and mended as the reference does', { skip }, async () => {
  reference('qemu-img', 'create', '-q', '-f', 'qed', at('bad.qed'), '10M');
  reference('qemu-io', '-c', 'write 0 300k', at('bad.qed'));
  damage('bad.qed', 0xa0000, [0x23, 1]); // the first entry of the L2 table
  damage('bad.qed', 16, [2]); // NEED_CHECK
  const bad = await openOurs('qed', 'bad.qed');
  await assert.rejects(async () => bad.read(0, new Uint8Array(512)), { message: 'Invalid argument' });
  await bad.close();
  await sameCheck('qed', 'bad.qed');
  reference('qemu-img', 'create', '-q', '-f', 'parallels', '-o', 'cluster_size=64k', at('bad.hdd'), '2M');
  reference('qemu-io', '-c', 'write 0 300k', at('bad.hdd'));
  damage('bad.hdd', 44, [0x59, 0x6e, 0x6f, 0x74]); // in use
  appendFileSync(at('bad.hdd'), new Uint8Array(200_000)); // of no use to anybody
  const writable = openOurs('parallels', 'bad.hdd', {}, { readOnly: false });
  await assert.rejects(writable, /Image was not closed correctly; cannot be opened read\/write/);
  await sameCheck('parallels', 'bad.hdd');
  const qed = await openOurs('qed', 'bad.qed', {}, { readOnly: false });
  await assert.rejects(qed.resize(5 << 20), { message: 'Shrinking images is currently not supported' });
  await qed.resize(20 << 20);
  await qed.close();
  assert.match(reference('qemu-img', 'info', at('bad.qed')), /virtual size: 20 MiB/);
});

function damage(name: string, offset: number, bytes: readonly number[]): void {
  const image = readFileSync(at(name));
  image.set(bytes, offset);
  writeFileSync(at(name), image);
}

const FIELDS = { corruptions: 'corruptions', leaks: 'leaks', corruptionsFixed: 'corruptions-fixed', leaksFixed: 'leaks-fixed' } as const;

/** Looks, mends, and looks again; the image is mended afterwards, by ours. */
async function sameCheck(driver: string, name: string): Promise<void> {
  copyFileSync(at(name), at('twin.image'));
  for (const repair of [false, true, false]) {
    const args = ['check', '--output=json', '-f', driver, ...(repair ? ['-r', 'all'] : []), at('twin.image')];
    const { stdout } = spawnSync('qemu-img', args, { encoding: 'utf8' });
    const theirs = JSON.parse(stdout) as Record<string, number>;
    const backend = await openOurs(driver, name, {}, { readOnly: !repair, check: true });
    const run = async (fix: boolean): Promise<CheckResult> =>
      backend.node.instance.check!({ fixLeaks: fix, fixErrors: fix, report: () => {} });
    const ours = await run(repair);
    const last = repair ? await run(false) : ours; // the tool looks again after mending
    await backend.close();
    for (const [own, field] of Object.entries(FIELDS) as [keyof typeof FIELDS, string][]) {
      const value = own.endsWith('Fixed') ? ours[own] : last[own];
      assert.equal(value, theirs[field] ?? 0, `${driver} ${field}`);
    }
    assert.equal(last.fragmentation!.allocated, theirs['allocated-clusters']);
    assert.equal(last.fragmentation!.fragmented, theirs['fragmented-clusters'] ?? 0);
  }
}

test('bochs, cloop and dmg', async () => {
  // A sector of zeroes as bzip2 packs it.
  const bzip2 = { content: new Uint8Array(512), stored: Buffer.from('QlpoOTFBWSZTWR6uVU0AAAHAAMAAAAggADCASeoGri7kinChID1cqpo=', 'base64') };
  const samples = {
    'one.bochs': ['bochs', bochsSample(1)],
    'two.bochs': ['bochs', bochsSample(2)],
    'some.cloop': ['cloop', await cloopSample(host.compression)],
    'list.dmg': ['dmg', await dmgSample(host.compression, false)],
    'fork.dmg': ['dmg', await dmgSample(host.compression, true)],
    'bzip2.dmg': ['dmg', await dmgSample(host.compression, false, bzip2)],
  } as const;
  for (const [name, [driver, { image, content }]] of Object.entries(samples)) {
    writeFileSync(at(name), image);
    assert.deepEqual(await readOurs(driver, name), content, name);
    // The reference has bzip2 in a package of its own.
    if (!skip && name !== 'bzip2.dmg') assert.deepEqual(readTheirs(driver, name), content, name);
    await assert.rejects(openOurs(driver, name, {}, { readOnly: false }), { message: 'Image is read-only' });
  }
});

test('vvfat is the same disk, byte by byte', { skip }, async () => {
  const dir = at('tree');
  mkdirSync(join(dir, 'sub', 'deeper'), { recursive: true });
  // Whole clusters: the reference leaves old bytes in the rest of the last one.
  writeFileSync(join(dir, 'A long file name.dat'), samplePattern(5 * 8192));
  writeFileSync(join(dir, 'ünï+code.text'), samplePattern(8192));
  writeFileSync(join(dir, 'sub', 'UPPER.TXT'), samplePattern(8192));
  writeFileSync(join(dir, '.hidden'), '');
  for (const name of ['longname_one.text', 'longname_two.text', 'many.dots.in.it', 'x.']) writeFileSync(join(dir, name), '');
  for (const more of [{ 'fat-type': '12' }, { floppy: 'on' }, { floppy: 'on', 'fat-type': '16', label: 'my label' }]) {
    const words = Object.entries({ driver: 'vvfat', dir, ...more });
    reference('qemu-img', 'convert', '--image-opts', words.map(([key, value]) => `${key}=${value}`).join(','), '-O', 'raw', at('fat.raw'));
    const options = new OptionDict(words);
    const ours = await contentOf(await BlockBackend.open(new BlockGraph(host), { options, flags: { readOnly: true } }));
    assert.ok(Buffer.compare(ours, readFileSync(at('fat.raw'))) === 0, JSON.stringify(more));
  }
  const refused = (name: string): Promise<BlockBackend> =>
    BlockBackend.open(new BlockGraph(host), { filename: name, flags: { readOnly: true } });
  await assert.rejects(refused(`fat:${dir}/nothing`), /^Failure: Could not read directory/);
  await assert.rejects(refused(`fat:rw:${dir}`), /Unable to set VVFAT to 'rw' when drive is read-only$/);
});
