// The protocols of the host's devices, on loop devices where this is root, and O_DIRECT on plain files.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { noReference, runReference } from './reference.ts';
import { Failure } from '../../src/base/failure.ts';
import { Prng } from '../../src/base/prng.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { WRITE, type OpenFlags } from '../../src/block/driver.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';

const MIB = 1 << 20;

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'nandu-device-'));
});
after(() => rmSync(folder, { recursive: true }));

async function open(driver: string, filename: string, flags: Partial<OpenFlags>, files: 'sync' | 'pooled'): Promise<BlockBackend> {
  const graph = new BlockGraph(createBlockHost({ files }));
  const options = new OptionDict([['driver', driver], ['filename', filename]]);
  const node = await graph.open({ options, flags: { unmap: true, ...flags } }, { protocolLevel: true });
  return BlockBackend.over(graph, node, { write: !node.readOnly, resize: !node.readOnly });
}

async function messageOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error.message;
  }
  return 'no error';
}

/** Random reads and writes, of any alignment, beside the same in memory. */
async function exercise(backend: BlockBackend, content: Uint8Array, seed: number): Promise<void> {
  const random = new Prng(seed);
  for (let round = 0; round < 60; round++) {
    const offset = random.below(content.length - 1);
    const count = 1 + random.below(Math.min(30_000, content.length - offset));
    const part = content.subarray(offset, offset + count);
    switch (random.below(3)) {
      case 0:
        part.fill(random.below(256));
        await backend.write(offset, part);
        break;
      case 1:
        part.fill(0);
        await backend.writeZeroes(offset, count, random.oneIn(2) ? WRITE.MAY_UNMAP : 0);
        break;
      default: {
        const target = new Uint8Array(count);
        await backend.read(offset, target);
        assert.ok(Buffer.from(target.buffer).equals(part), `${offset}+${count}`);
      }
    }
  }
}

for (const files of ['sync', 'pooled'] as const) {
  test(`O_DIRECT, unaligned requests, ${files}`, async (context) => {
    const filename = join(folder, `direct-${files}`);
    writeFileSync(filename, new Uint8Array(MIB));
    let backend;
    try {
      backend = await open('file', filename, { direct: true }, files);
    } catch (error) {
      assert.ok(error instanceof Failure && error.message.endsWith('filesystem does not support O_DIRECT'), String(error));
      return context.skip('the file system has no O_DIRECT');
    }
    assert.ok(backend.node.limits.requestAlignment >= 512);
    const content = new Uint8Array(MIB);
    await exercise(backend, content, 3);
    await backend.close();
    assert.ok(readFileSync(filename).subarray(0, MIB).equals(content));
  });
}

describe('a block device', () => {
  let device: string | undefined;
  before(() => {
    if (process.getuid?.() !== 0 || spawnSync('losetup', ['--version']).error !== undefined) return;
    const image = join(folder, 'disk');
    writeFileSync(image, new Uint8Array(2 * MIB).fill(0x77));
    const { status, stdout } = spawnSync('losetup', ['--find', '--show', image], { encoding: 'utf8' });
    if (status === 0) device = stdout.trim();
  });
  after(() => {
    if (device !== undefined) spawnSync('losetup', ['--detach', device]);
  });
  const SKIPPED = 'no loop device can be had here';

  for (const direct of [false, true]) {
    test(`is read, written, zeroed and discarded${direct ? ' with O_DIRECT' : ''}`, async (context) => {
      if (device === undefined) return context.skip(SKIPPED);
      const backend = await open('host_device', device, { direct }, 'sync');
      assert.equal(backend.size, 2 * MIB);
      const content = new Uint8Array(2 * MIB);
      await backend.writeZeroes(0, 2 * MIB);
      await exercise(backend, content, 4);
      await backend.discard(0, MIB);
      await backend.flush();
      const target = new Uint8Array(MIB);
      await backend.read(MIB, target);
      assert.ok(Buffer.from(target.buffer).equals(content.subarray(MIB)));
      await backend.close();
    });
  }

  test('is not resized', async (context) => {
    if (device === undefined) return context.skip(SKIPPED);
    const backend = await open('host_device', device, {}, 'sync');
    const resize = (size: number, exact: boolean, preallocation: 'off' | 'falloc' = 'off'): Promise<void> =>
      backend.truncate({ size, exact, preallocation, zeroWrite: false });
    await resize(2 * MIB, true);
    await resize(MIB, false);
    assert.equal(backend.size, 2 * MIB);
    assert.equal(await messageOf(() => resize(MIB, true)), 'Cannot resize device files');
    assert.equal(await messageOf(() => resize(3 * MIB, false)), 'Cannot grow device files');
    const preallocated = await messageOf(() => resize(3 * MIB, false, 'falloc'));
    assert.equal(preallocated, "Preallocation mode 'falloc' unsupported for this non-regular file");
    await backend.close();
  });

  test('is created on as the reference does', { skip: noReference }, async (context) => {
    if (device === undefined) return context.skip(SKIPPED);
    const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
    const create = (size: number): Promise<void> => graph.createImage('host_device', device!, new Map([['size', size]]));
    const theirs = await runReference('img', ['create', '-q', '-f', 'raw', device, '4M'], { cwd: folder });
    assert.equal(`qemu-img: ${device}: ${await messageOf(() => create(4 * MIB))}\n`, theirs.stderr);
    const backend = await open('host_device', device, {}, 'sync');
    await backend.write(0, new Uint8Array(1024).fill(1));
    await backend.close();
    await create(MIB);
    const { stdout } = await runReference('io', ['-f', 'raw', '-c', 'read -P 0 0 512', '-c', 'read -P 1 512 512', device], { cwd: folder });
    assert.doesNotMatch(stdout, /verification failed/);
  });
});
