// The file protocol beside the reference: error texts, created files, holes, and locks between two processes.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { noReference, runReference } from './reference.ts';
import { ErrnoFailure } from '../../src/base/errno.ts';
import { Failure } from '../../src/base/failure.ts';
import { Prng } from '../../src/base/prng.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { systemCalls } from '../../src/platform/node/system-calls.ts';
import { WRITE, type OpenFlags } from '../../src/block/driver.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict, type OptionValue } from '../../src/block/options.ts';
import { PERM, PERM_ALL } from '../../src/block/permissions.ts';
import { STATUS } from '../../src/block/status.ts';

const noCalls = systemCalls() === undefined ? 'koffi is not installed, or this is not Linux on x64 or arm64' : false;
const noJudge = noReference || noCalls;
const MIB = 1 << 20;
const BLOCK = 65536;

let folder: string;
before(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'nandu-file-'));
});
after(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

function makeFile(name: string, size: number, data: readonly (readonly [offset: number, count: number])[] = []): string {
  const path = at(name);
  const fd = fs.openSync(path, 'w');
  for (const [offset, count] of data) fs.writeSync(fd, new Uint8Array(count).fill(0x5a), 0, count, offset);
  fs.closeSync(fd);
  fs.truncateSync(path, size);
  return path;
}

type Options = Readonly<Record<string, OptionValue>>;

async function openFile(options: Options, flags: Partial<OpenFlags> = {}, files: 'sync' | 'pooled' = 'sync'): Promise<BlockBackend> {
  const graph = new BlockGraph(createBlockHost({ files }));
  const dict = new OptionDict(Object.entries({ driver: 'file', ...options }));
  const node = await graph.open({ options: dict, flags: { unmap: true, ...flags } }, { protocolLevel: true });
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

for (const files of ['sync', 'pooled'] as const) {
  describe(`a file, ${files}`, () => {
    test('reads zeroes past its end, grows by writing, counts in sectors', async () => {
      const backend = await openFile({ filename: makeFile(`grow-${files}`, 1000, [[0, 1000]]) }, {}, files);
      assert.equal(backend.size, 1024);
      const target = new Uint8Array(1024).fill(1);
      await backend.read(0, target);
      assert.deepEqual([target[999], target[1000], target[1023]], [0x5a, 0, 0]);
      await backend.write(5000, new Uint8Array(100).fill(3));
      assert.equal(backend.size, 5120);
      await backend.flush();
      await backend.close();
      assert.equal(fs.statSync(at(`grow-${files}`)).size, 5100);
    });

    test('zeroes and discards make holes only where they may', { skip: noCalls }, async () => {
      const path = makeFile(`zero-${files}`, MIB, [[0, MIB]]);
      const backend = await openFile({ filename: path }, {}, files);
      const full = backend.node.instance.allocatedFileSize!()!;
      await backend.writeZeroes(0, BLOCK, 0);
      assert.equal(backend.node.instance.allocatedFileSize!(), full);
      await backend.writeZeroes(BLOCK, BLOCK, WRITE.MAY_UNMAP | WRITE.NO_FALLBACK);
      await backend.discard(2 * BLOCK, BLOCK);
      assert.equal(backend.node.instance.allocatedFileSize!(), full - 2 * BLOCK);
      await backend.writeZeroes(MIB, BLOCK, WRITE.MAY_UNMAP);
      assert.equal(backend.size, MIB + BLOCK);
      await backend.close();
      const content = fs.readFileSync(path);
      assert.equal(content.length, MIB + BLOCK);
      assert.ok(content.subarray(0, 3 * BLOCK).every((byte) => byte === 0));
      assert.ok(content.subarray(3 * BLOCK, MIB).every((byte) => byte === 0x5a));
    });
  });
}

test('the synchronous back end answers without a promise', async () => {
  const backend = await openFile({ filename: makeFile('now', 4096) });
  assert.equal(backend.write(0, new Uint8Array(512)), undefined);
  assert.equal(backend.read(0, new Uint8Array(512)), undefined);
  await backend.close();
});

test('where the host knows no holes, everything is data and zeroes are written', async () => {
  const host = createBlockHost({ files: 'sync' });
  const open = host.files.open.bind(host.files);
  const withoutCalls = {
    ...host.files,
    open: async (...values: Parameters<typeof open>) => {
      const file = await open(...values);
      return new Proxy(file, {
        get(target, name) {
          if (name === 'sparse' || name === 'locks') return undefined;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    },
  };
  const graph = new BlockGraph({ ...host, files: withoutCalls });
  const filename = makeFile('plain', MIB, [[0, BLOCK]]);
  const node = await graph.open({ options: new OptionDict([['driver', 'file'], ['filename', filename]]) }, { protocolLevel: true });
  const backend = await BlockBackend.over(graph, node, { write: true, resize: true });
  const { count, flags } = await node.status(0, MIB, true);
  assert.deepEqual([count, flags & STATUS.DATA], [MIB, STATUS.DATA]);
  await backend.writeZeroes(0, BLOCK);
  await assert.rejects(async () => backend.writeZeroes(0, BLOCK, WRITE.NO_FALLBACK), ErrnoFailure);
  await backend.close();
  assert.ok(fs.readFileSync(filename).every((byte) => byte === 0));
});

test('auto-read-only and refusals', async () => {
  const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
  const open = graph.host.files.open.bind(graph.host.files);
  const { host } = graph;
  const files = {
    ...host.files,
    open: (...[path, options]: Parameters<typeof open>) => {
      if (options.write) throw new ErrnoFailure('EROFS');
      return open(path, options);
    },
  };
  const refusing = new BlockGraph({ ...host, files });
  const filename = makeFile('refused', 512);
  const options = new OptionDict([['driver', 'file'], ['filename', filename]]);
  const message = await messageOf(() => refusing.open({ options }, { protocolLevel: true }));
  assert.equal(message, `Could not open '${filename}': Read-only file system`);
  const node = await refusing.open({ options, flags: { autoReadOnly: true } }, { protocolLevel: true });
  const read = { write: false };
  await (await BlockBackend.over(refusing, node, read)).read(0, new Uint8Array(512));
  const again = await refusing.open({ options, flags: { autoReadOnly: true } }, { protocolLevel: true });
  const writing = await messageOf(() => BlockBackend.over(refusing, again, { write: true }));
  assert.equal(writing, `Could not open '${filename}': Read-only file system`);
});

describe('resizing', { skip: noCalls }, () => {
  test('with space reserved or written', async () => {
    const backend = await openFile({ filename: makeFile('resize', 4096) });
    const resize = (size: number, preallocation: 'off' | 'falloc' | 'full' | 'metadata'): Promise<void> =>
      backend.truncate({ size, exact: true, preallocation, zeroWrite: false });
    await resize(MIB, 'falloc');
    assert.ok(backend.node.instance.allocatedFileSize!()! >= MIB - 4096);
    await resize(2 * MIB, 'full');
    assert.ok(backend.node.instance.allocatedFileSize!()! >= 2 * MIB - 4096);
    assert.equal(await messageOf(() => resize(MIB, 'falloc')), 'Cannot use preallocation for shrinking files');
    assert.equal(await messageOf(() => resize(3 * MIB, 'metadata')), 'Unsupported preallocation mode: metadata');
    assert.equal(await messageOf(() => resize(2 ** 52, 'off')), 'Could not resize file: File too large');
    assert.equal(await messageOf(() => resize(2 ** 52, 'falloc')), 'Could not preallocate new data: File too large');
    assert.equal(backend.size, 2 * MIB);
    await resize(1000, 'off');
    assert.equal(backend.size, 1024);
    await backend.close();
  });
});

const shownStat = ({ size, blocks, mode }: fs.Stats): number[] => [size, blocks, mode];

describe('in the words of the reference', { skip: noJudge }, () => {
  /** What follows the name of the program and of the image. */
  async function theirs(options: Options): Promise<string> {
    const text = Object.entries(options).map(([name, value]) => `,${name}=${String(value)}`);
    const name = `driver=file${text.join('')}`;
    const { stderr } = await runReference('img', ['info', '--image-opts', name], { cwd: folder });
    return stderr.replace(/^qemu-img: /, '').replace(`Could not open '${name}': `, '').trimEnd();
  }

  test('opening fails', async () => {
    makeFile('some', 512);
    fs.mkdirSync(at('directory'));
    const cases: readonly Options[] = [
      { filename: at('absent') },
      { filename: at('directory') },
      { filename: '/dev/null' },
      { filename: `${at('some')}/below` },
      { driver: 'host_device', filename: at('some') },
      { filename: at('some'), locking: 'maybe' },
      { filename: at('some'), aio: 'maybe' },
      { filename: at('some'), aio: 'native' },
      { filename: at('some'), 'drop-cache': 'maybe' },
      { filename: at('some'), 'aio-max-batch': 'many' },
      { filename: at('some'), 'pr-manager': 'pr0' },
      { filename: `file:${at('some')}` },
    ];
    for (const options of cases) {
      const { driver = 'file', ...rest } = options;
      const expected = await theirs(driver === 'file' ? rest : options);
      const actual = await messageOf(() => openFile({ ...rest, driver }));
      assert.equal(actual, expected.replace(/^.*driver=file,driver=host_device.*': /, ''), JSON.stringify(options));
    }
  });

  test('creating fails', async () => {
    const host = createBlockHost({ files: 'sync' });
    const graph = new BlockGraph(host);
    const cases = [
      { name: at('absent/x'), size: 512, preallocation: 'off' },
      { name: at('new1'), size: 512, preallocation: 'some' },
      { name: at('new2'), size: 512, preallocation: 'metadata' },
    ];
    for (const { name, size, preallocation } of cases) {
      const words = ['create', '-q', '-f', 'raw', '-o', `preallocation=${preallocation}`, name, String(size)];
      const { stderr } = await runReference('img', words, { cwd: folder });
      const values = new Map<string, string | number>([['size', size], ['preallocation', preallocation]]);
      const actual = await messageOf(() => graph.createImage('file', name, values));
      assert.equal(`qemu-img: ${name}: ${actual}`, stderr.trimEnd());
    }
  });

  test('creating gives the same file', async () => {
    const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
    for (const preallocation of ['off', 'falloc', 'full']) {
      for (const size of [0, 1000, MIB]) {
        const values = new Map<string, string | number>([['size', size], ['preallocation', preallocation]]);
        await graph.createImage('file', `file:${at('ours')}`, values);
        const words = ['create', '-q', '-f', 'raw', '-o', `preallocation=${preallocation}`, 'theirs', String(size)];
        await runReference('img', words, { cwd: folder });
        const [ours, theirFile] = [fs.statSync(at('ours')), fs.statSync(at('theirs'))];
        assert.deepEqual(shownStat(ours), shownStat(theirFile), `${preallocation} ${size}`);
        fs.rmSync(at('ours'));
        fs.rmSync(at('theirs'));
      }
    }
  });

  test('holes are where the reference sees them', async () => {
    const random = new Prng(5);
    for (let round = 0; round < 8; round++) {
      const pieces = Array.from({ length: 6 }, () => [random.below(2 * MIB), 1 + random.below(20_000)] as const);
      const path = makeFile('map', 2 * MIB + random.below(5000), pieces);
      const { stdout } = await runReference('img', ['map', '--output=json', '-f', 'raw', path], { cwd: folder });
      const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
      const expected = extents.map(({ start, length, data }) => [start, length, data]);
      const backend = await openFile({ filename: path });
      assert.deepEqual(await walk(backend, 2 * MIB), expected);
      assert.deepEqual(await walk(backend, 70_000), expected);
      await backend.close();
    }
  });
});

/** The extents, asked for in steps of at most `step`, merged. */
async function walk(backend: BlockBackend, step: number): Promise<[number, number, boolean][]> {
  const extents: [number, number, boolean][] = [];
  for (let offset = 0; offset < backend.size; ) {
    const { count, flags, hostOffset } = await backend.node.status(offset, Math.min(step, backend.size - offset), true);
    assert.equal(hostOffset, offset);
    assert.equal((flags & STATUS.EOF) !== 0, offset + count >= backend.size);
    const isData = (flags & STATUS.DATA) !== 0;
    const last = extents.at(-1);
    if (last?.[2] === isData) last[1] += count;
    else extents.push([offset, count, isData]);
    offset += count;
  }
  return extents;
}

describe('locks between two processes', { skip: noJudge }, () => {
  /** qemu-io with the image open, waiting for commands. */
  async function hold(words: readonly string[]): Promise<ChildProcess> {
    const child = spawn('qemu-io', words, { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin!.write('length\n');
    await new Promise((resolve) => child.stdout!.once('data', resolve)); // its prompt or the answer: the image is open
    await delay(50);
    return child;
  }

  async function letGo(child: ChildProcess): Promise<void> {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.stdin!.end('quit\n');
    await closed;
  }

  const question = (path: string): string => `\nIs another process using the image [${path}]?`;

  test('what the reference holds is refused here', async () => {
    const filename = at('held.qcow2');
    await runReference('img', ['create', '-q', '-f', 'qcow2', filename, '1M'], { cwd: folder });
    const child = await hold(['-f', 'qcow2', filename]);
    try {
      assert.equal(await messageOf(() => openFile({ filename })), `Failed to get "write" lock${question(filename)}`);
      const reader = await openFile({ filename }, { readOnly: true });
      const unshared = { perm: PERM.CONSISTENT_READ, shared: PERM_ALL & ~PERM.WRITE };
      const message = await messageOf(() => reader.graph.setEdgePermissions(reader.root, unshared));
      assert.equal(message, `Failed to get shared "write" lock${question(filename)}`);
      await reader.close();
      const forced = await openFile({ filename }, { readOnly: true, forceShare: true });
      forced.graph.setEdgePermissions(forced.root, unshared);
      await forced.close();
      const unlocked = await openFile({ filename, locking: 'off' });
      await unlocked.close();
      const creation = await messageOf(() => forced.graph.createImage('file', filename, new Map([['size', 512]])));
      assert.equal(creation, `Failed to get "write" lock${question(filename)}`);
      assert.ok(fs.statSync(filename).size > 512, 'a refused creation destroys nothing');
    } finally {
      await letGo(child);
    }
    const backend = await openFile({ filename });
    await backend.close();
  });

  test('what is held here is refused by the reference', async () => {
    const filename = at('ours.qcow2');
    await runReference('img', ['create', '-q', '-f', 'qcow2', filename, '1M'], { cwd: folder });
    const tryThem = async (...words: string[]): Promise<string> => {
      const { stderr } = await runReference('io', [...words, '-f', 'qcow2', '-c', 'length', filename], { cwd: folder });
      return stderr.replace(`qemu-io: can't open device ${filename}: `, '').trimEnd();
    };
    const backend = await openFile({ filename });
    const permissions = (perm: number, shared: number): void => backend.graph.setEdgePermissions(backend.root, { perm, shared });
    assert.equal(await tryThem(), `Failed to get shared "write" lock${question(filename)}`);
    permissions(PERM.CONSISTENT_READ, PERM_ALL);
    assert.equal(await tryThem(), '');
    permissions(PERM.CONSISTENT_READ, PERM_ALL & ~(PERM.WRITE | PERM.RESIZE));
    assert.equal(await tryThem(), `Failed to get "write" lock${question(filename)}`);
    assert.equal(await tryThem('-r'), '');
    permissions(PERM.CONSISTENT_READ, PERM_ALL & ~PERM.RESIZE);
    assert.equal(await tryThem(), `Failed to get "resize" lock${question(filename)}`);
    assert.equal(await tryThem('-r', '-U'), '');
    permissions(0, PERM_ALL & ~PERM.CONSISTENT_READ);
    assert.equal(await tryThem('-r'), `Failed to get "consistent read" lock${question(filename)}`);
    await backend.close();
    assert.equal(await tryThem(), '');
  });

  test('a refused wish leaves the locks as they were', async () => {
    const filename = makeFile('steady', MIB);
    const first = await openFile({ filename });
    const second = await openFile({ filename });
    const unshared = { perm: PERM.CONSISTENT_READ | PERM.WRITE, shared: PERM_ALL & ~PERM.WRITE };
    assert.match(await messageOf(() => first.graph.setEdgePermissions(first.root, unshared)), /shared "write" lock/);
    await first.write(0, new Uint8Array(512));
    const third = await openFile({ filename }); // nothing was left unshared
    await third.close();
    await second.close();
    first.graph.setEdgePermissions(first.root, unshared);
    assert.match(await messageOf(() => openFile({ filename })), /Failed to get "write" lock/);
    await first.node.instance.reopen!({ ...first.node.flags });
    assert.match(await messageOf(() => openFile({ filename })), /Failed to get "write" lock/);
    await first.close();
    fs.writeFileSync(filename, '');
  });
});
