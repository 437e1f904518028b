// qcow2 against the reference: new images are the same byte for byte; images that we write are checked, mapped and compared by
// the reference, and those that it writes are read and mapped by us. A thin selection: the transcripts have the tools' whole
// matrix.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { noReference } from './reference.ts';
import { Prng } from '../../src/base/prng.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { nodeStatus } from '../../src/block/chain-status.ts';
import { WRITE } from '../../src/block/driver.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { STATUS } from '../../src/block/status.ts';

const SIZE = 3 * 2 ** 20 + 1536;
const folder = mkdtempSync(join(tmpdir(), 'qcow2-'));
after(() => rmSync(folder, { recursive: true }));

const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
const at = (name: string): string => join(folder, name);

type Options = Readonly<Record<string, string | number | boolean>>;

function reference(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

const optionText = (options: Options): string =>
  Object.entries(options).map(([key, value]) => `${key}=${typeof value === 'boolean' ? (value ? 'on' : 'off') : value}`).join(',');

const open = (name: string, readOnly: boolean): Promise<BlockBackend> => {
  const options = new OptionDict([['driver', 'qcow2']]);
  return BlockBackend.open(graph, { filename: at(name), options, flags: { readOnly, unmap: true, noFlush: true }, resize: !readOnly });
};

const KINDS: readonly Options[] = [
  {},
  { cluster_size: 512 },
  { cluster_size: 4096, compat: 'v2' },
  { cluster_size: 4096, refcount_bits: 1 },
  { refcount_bits: 64, lazy_refcounts: true },
  { extended_l2: true },
  { cluster_size: 2 ** 21 },
  { cluster_size: 1024, preallocation: 'metadata' },
  { extended_l2: true, preallocation: 'falloc' },
];

for (const options of KINDS) {
  const name = optionText(options) || 'defaults';

  test(`a new image is the reference's: ${name}`, { skip: noReference }, async () => {
    reference('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', optionText({ cluster_size: 65536, ...options }), 'theirs', String(SIZE));
    await graph.createImage('qcow2', at('ours'), new Map(Object.entries({ ...options, size: SIZE })));
    assert.ok(readFileSync(at('ours')).equals(readFileSync(at('theirs'))));
  });

  test(`what we write, the reference reads: ${name}`, { skip: noReference }, async () => {
    await graph.createImage('qcow2', at('written'), new Map(Object.entries({ ...options, size: SIZE })));
    writeFileSync(at('expected'), await randomWrites('written', new Prng(name.length)));
    reference('qemu-img', 'check', '-q', 'written');
    reference('qemu-img', 'compare', '-q', '-f', 'qcow2', '-F', 'raw', 'written', 'expected');
  });

  test(`what the reference writes, we read and map: ${name}`, { skip: noReference }, async () => {
    reference('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', optionText({ cluster_size: 65536, ...options }), 'theirs', String(SIZE));
    const commands = randomCommands(new Prng(name.length), Number(options['cluster_size'] ?? 65536));
    reference('qemu-io', '-d', 'unmap', '-f', 'qcow2', ...commands, 'theirs');
    reference('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', 'theirs', 'theirs.raw');
    const backend = await open('theirs', true);
    const found = new Uint8Array(SIZE);
    await backend.read(0, found);
    assert.ok(readFileSync(at('theirs.raw')).equals(found));
    const ours = await extents(backend);
    await backend.close();
    assert.deepEqual(ours, JSON.parse(reference('qemu-img', 'map', '-f', 'qcow2', '--output=json', 'theirs')));
  });
}

/** Writes of all kinds, several at a time; returns what must be there. */
async function randomWrites(name: string, random: Prng): Promise<Uint8Array> {
  const backend = await open(name, false);
  const model = new Uint8Array(SIZE);
  for (let n = 0; n < 40; n++) {
    const batch: Promise<void>[] = [];
    const width = Math.floor(SIZE / 4);
    for (let lane = 0; lane < 4; lane++) {
      const start = lane * width + random.below(width - 1);
      const bytes = new Uint8Array(Math.min((lane + 1) * width - start, 1 + random.below(random.oneIn(5) ? 300_000 : 9000)));
      if (!random.oneIn(4)) bytes.fill(1 + random.below(255));
      model.set(bytes, start);
      const flags = random.oneIn(2) ? WRITE.MAY_UNMAP : 0;
      const written = bytes[0] === 0 ? backend.writeZeroes(start, bytes.length, flags) : backend.write(start, bytes);
      batch.push(Promise.resolve(written));
    }
    await Promise.all(batch);
  }
  await backend.close();
  return model;
}

function randomCommands(random: Prng, clusterSize: number): string[] {
  return Array.from({ length: 30 }, () => {
    const start = 512 * random.below(SIZE / 512), count = Math.min(SIZE - start, 512 * (1 + random.below(300)));
    const cluster = start - (start % clusterSize);
    const commands = [
      `write -P ${1 + random.below(255)} ${start} ${count}`,
      `write -z -u ${start} ${count}`,
      `discard ${cluster} ${Math.min(SIZE - cluster, 2 * clusterSize)}`,
    ];
    return ['-c', random.pick(commands)];
  }).flat();
}

interface Extent {
  readonly start: number;
  length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly offset?: number;
}

async function extents(backend: BlockBackend): Promise<Extent[]> {
  const found: Extent[] = [];
  for (let start = 0; start < SIZE; ) {
    const { count, flags, hostOffset } = await nodeStatus(backend.node, true, start, SIZE - start);
    const has = (bit: number): boolean => (flags & bit) !== 0;
    const place = has(STATUS.OFFSET_VALID) && hostOffset !== undefined ? { offset: hostOffset } : {};
    const is = { present: has(STATUS.ALLOCATED), zero: has(STATUS.ZERO), data: has(STATUS.DATA) };
    const next = { start, length: count, depth: 0, ...is, ...place };
    const last = found.at(-1);
    if (last !== undefined && continues(last, next)) last.length += count;
    else found.push(next);
    start += count;
  }
  return found;
}

function continues(last: Extent, next: Extent): boolean {
  if (last.present !== next.present || last.zero !== next.zero || last.data !== next.data) return false;
  return last.offset === undefined ? next.offset === undefined : last.offset + last.length === next.offset;
}
