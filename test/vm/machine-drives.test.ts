// Drives of a machine on real files, without a machine: what the options mean, errors by policy, snapshots, media, commit.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errnoOf } from '../../src/base/errno.ts';
import { Prng } from '../../src/base/prng.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { createImage } from '../../src/block/operations/create.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { DriveCommands } from '../../src/vm/drives/drive-commands.ts';
import type { MachineDrive } from '../../src/vm/drives/machine-drive.ts';
import { MachineDrives } from '../../src/vm/drives/machine-drives.ts';
import { withDefaults, type DriveOptions } from '../../src/vm/options.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-drives-'));
after(() => rmSync(folder, { recursive: true }));
const MIB = 1 << 20;
let files = 0;

const path = (): string => join(folder, `file-${files++}`);
function rawFile(fill: number): string {
  const name = path();
  writeFileSync(name, new Uint8Array(MIB).fill(fill));
  return name;
}

const host = { block: createBlockHost({ files: 'pooled', warn: () => {} }), temporaryPath: path };
const open = (...drives: DriveOptions[]): Promise<MachineDrives> => MachineDrives.open(host, withDefaults({ drives }));
const named = (drives: MachineDrives, id: string): MachineDrive => drives.drives.get(id)!;

const failingOnce = (file: string, errno: number) => ({
  driver: 'raw', 'file.driver': 'blkdebug', 'file.image.driver': 'file', 'file.image.filename': file,
  'file.inject-error.0.event': 'none', 'file.inject-error.0.iotype': 'write', 'file.inject-error.0.errno': errno,
  'file.inject-error.0.once': true,
});

const ENOSPC = 28;
const EIO = 5;
const policies = [
  ['report', ENOSPC, 'ENOSPC'], ['ignore', EIO, undefined], ['enospc', EIO, 'EIO'], ['enospc', ENOSPC, 'stop'], ['stop', EIO, 'stop'],
] as const;

for (const [onWriteError, errno, expected] of policies) {
  test(`werror=${onWriteError}: a write that fails with ${errno}`, async () => {
    const file = rawFile(0);
    const drives = await open({ id: 'd', interface: 'none', onWriteError, node: failingOnce(file, errno) });
    let stops = 0;
    drives.onStop = () => { stops++; };
    const drive = named(drives, 'd');
    const write = async (): Promise<void> => drive.write(512, new Uint8Array(512).fill(7));
    const outcome = write().then(() => undefined, (error: unknown) => errnoOf(error));
    if (expected === 'stop') {
      while (!drive.hasStoppedRequests) await new Promise((resolve) => setImmediate(resolve));
      drives.retry();
    }
    assert.equal(await outcome, expected === 'stop' ? undefined : expected);
    assert.equal(stops, expected === 'stop' ? 1 : 0);
    await drives.close();
    assert.equal(readFileSync(file)[512], expected === 'stop' ? 7 : 0);
  });
}

test('a snapshot leaves the file alone, and commit writes into it', async () => {
  const file = rawFile(1);
  const drives = await open({ id: 'd', interface: 'none', file, format: 'raw', snapshot: true });
  await named(drives, 'd').write(4096, new Uint8Array(4096).fill(9));
  const target = new Uint8Array(4096);
  await named(drives, 'd').read(4096, target);
  assert(target.every((byte) => byte === 9));
  assert(readFileSync(file).every((byte) => byte === 1));
  await new DriveCommands(drives).commit('all');
  assert.deepEqual([4095, 4096, 8191, 8192].map((at) => readFileSync(file)[at]), [1, 9, 9, 1]);
  await named(drives, 'd').write(0, new Uint8Array(512).fill(3));
  await drives.close();
  assert.equal(readFileSync(file)[0], 1);
});

test('a medium is changed and taken out', async () => {
  const drives = await open({ id: 'cd', interface: 'none', media: 'cdrom', file: rawFile(1), format: 'raw' });
  const commands = new DriveCommands(drives);
  const drive = named(drives, 'cd');
  const seen: string[] = [];
  drive.onMediumChange = (what) => { seen.push(`${what} ${drive.inserted}`); };
  await commands.change('cd', rawFile(2), 'raw');
  const target = new Uint8Array(512);
  await drive.read(0, target);
  assert.deepEqual([target[0], drive.readOnly], [2, true]);
  drive.setLocked(true);
  await assert.rejects(commands.eject('cd', false), /is locked and force was not specified/);
  await commands.eject('cd', true);
  assert.deepEqual(seen, ['changed false', 'changed true', 'eject-requested true', 'changed false']);
  assert.throws(() => drive.read(0, target), /No medium found/);
  await drives.close();
});

test('requests of many buffers, a discard and zeroes reach a qcow2 image', async () => {
  const file = path();
  await createImage(new BlockGraph(host.block), { filename: file, format: 'qcow2', size: BigInt(MIB) });
  const throttling = { limits: { 'iops-total': 1000 } };
  const drives = await open({ id: 'd', interface: 'none', file, node: { discard: 'unmap' }, throttling });
  const drive = named(drives, 'd');
  await drive.writev(512, [new Uint8Array(512).fill(1), new Uint8Array(1024).fill(2)]);
  await drive.writeZeroes(1024, 512);
  await drive.flush();
  const parts = [new Uint8Array(1024), new Uint8Array(1024)];
  await drive.readv(0, parts);
  assert.deepEqual([parts[0]![0], parts[0]![512], parts[1]![0], parts[1]![512]], [0, 1, 0, 2]);
  await drive.discard(0, MIB);
  await drive.readv(0, parts);
  assert(parts.every((part) => part.every((byte) => byte === 0)));
  await drives.close();
});

test('a flush with nothing to write ends at once; one behind a write waits for the host', async () => {
  for (const format of ['raw', 'qcow2']) {
    const file = path();
    await createImage(new BlockGraph(host.block), { filename: file, format, size: BigInt(MIB) });
    const drives = await open({ id: 'd', interface: 'none', file, format });
    let waits = 0;
    drives.onWait = () => { waits++; };
    const drive = named(drives, 'd');
    assert.equal(drive.flush(), undefined);
    await drive.write(0, new Uint8Array(512).fill(1));
    waits = 0;
    const flushed = drive.flush();
    assert(flushed instanceof Promise);
    assert.equal(waits, 1);
    await flushed;
    assert.equal(drive.flush(), undefined);
    await drives.close();
  }
});

/** Requests of several buffers against an array of bytes; some lie in clusters of different kinds, some in the backing image. */
for (const format of ['raw', 'qcow2']) {
  test(`requests of many buffers do what the same bytes in one do: ${format}`, async () => {
    const backing = rawFile(7);
    const file = format === 'raw' ? rawFile(7) : path();
    const options = { backingFile: backing, backingFormat: 'raw' };
    if (format === 'qcow2') await createImage(new BlockGraph(host.block), { filename: file, format, size: BigInt(MIB), ...options });
    const drives = await open({ id: 'd', interface: 'none', file, format });
    const drive = named(drives, 'd');
    const model = new Uint8Array(MIB).fill(7);
    const random = new Prng(1);
    for (let round = 0; round < 300; round++) {
      const count = 512 * (1 + random.below(round % 3 === 0 ? 600 : 20));
      const offset = 512 * random.below((MIB - count) / 512 + 1);
      const bytes = new Uint8Array(count);
      const buffers: Uint8Array[] = [];
      for (let at = 0, next; at < count; at = next) buffers.push(bytes.subarray(at, (next = Math.min(count, at + 1 + random.below(9000)))));
      if (random.below(3) === 0) {
        await drive.readv(offset, buffers);
        assert.deepEqual(bytes, model.subarray(offset, offset + count));
      } else if (random.below(8) === 0) {
        await drive.writeZeroes(offset, count);
        model.fill(0, offset, offset + count);
      } else {
        bytes.fill(1 + random.below(255));
        await drive.writev(offset, buffers);
        model.set(bytes, offset);
      }
    }
    await drives.close();
    const again = await open({ id: 'd', interface: 'none', file, format });
    const all = new Uint8Array(MIB);
    await named(again, 'd').read(0, all);
    assert.deepEqual(all, model);
    await again.close();
  });
}
