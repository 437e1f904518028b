// A power cut anywhere in a random workload: every write that reached the file is logged; the file is made as it would be after a
// cut at some point, with any of the writes since the last flush missing. The reference finds at most leaks, and what was flushed
// and not touched since reads back.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noReference } from './reference.ts';
import { Prng } from '../../src/base/prng.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { WRITE } from '../../src/block/driver.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { MemoryFile, MemoryFiles, replay, type FileEvent } from '../../src/block/qcow2/memory-files.ts';

const PATH = 'cut.qcow2';
const SIZE = 1 << 20;
const OPERATIONS = 120;
const CUTS = 40;

interface Step {
  /** Length of the log before and after. */
  readonly from: number;
  to: number;
  readonly start: number;
  readonly end: number;
  /** Contents after a flush. */
  readonly stable?: Uint8Array;
}

const newGraph = (files: MemoryFiles): BlockGraph => new BlockGraph({ ...createBlockHost({ files: 'sync', warn: () => {} }), files });

const open = (graph: BlockGraph, readOnly: boolean): Promise<BlockBackend> =>
  BlockBackend.open(graph, { filename: PATH, options: new OptionDict([['driver', 'qcow2']]), flags: { readOnly, unmap: true } });

async function operate(backend: BlockBackend, model: Uint8Array, random: Prng, clusterSize: number): Promise<readonly [number, number]> {
  const kind = random.below(10);
  const whole = kind >= 7;
  const start = whole ? random.below(SIZE / clusterSize) * clusterSize : random.below(SIZE - 1);
  const end = Math.min(SIZE, whole ? start + clusterSize * (1 + random.below(3)) : start + 1 + random.below(20_000));
  if (kind < 5 || (kind >= 8 && end - start !== clusterSize)) {
    const bytes = new Uint8Array(end - start).fill(1 + random.below(255));
    await backend.write(start, bytes);
    model.set(bytes, start);
  } else if (kind === 9) {
    const bytes = new Uint8Array(end - start).fill(1 + random.below(255));
    try {
      await backend.write(start, bytes, WRITE.COMPRESSED);
      model.set(bytes, start);
    } catch {
      // Something is there already.
    }
  } else {
    if (kind < 7) await backend.writeZeroes(start, end - start, WRITE.MAY_UNMAP);
    else await backend.discard(start, end - start);
    model.fill(0, start, end);
  }
  return [start, end];
}

async function workload(files: MemoryFiles, random: Prng, clusterSize: number): Promise<Step[]> {
  const backend = await open(newGraph(files), false);
  const model = new Uint8Array(SIZE);
  const steps: Step[] = [{ from: 0, to: 0, start: 0, end: 0, stable: model.slice() }];
  for (let n = 0; n < OPERATIONS; n++) {
    const from = files.log!.length;
    if (random.oneIn(8)) {
      await backend.flush();
      steps.push({ from, to: files.log!.length, start: 0, end: 0, stable: model.slice() });
    } else {
      const [start, end] = await operate(backend, model, random, clusterSize);
      steps.push({ from, to: files.log!.length, start, end });
    }
  }
  await backend.close();
  return steps;
}

/** The events before a cut, some of those since the last flush of the file missing. */
function survivors(log: readonly FileEvent[], cut: number, random: Prng, loses: boolean): FileEvent[] {
  const events = log.slice(0, cut);
  const flushed = events.findLastIndex(({ kind }) => kind === 'flush') + 1;
  return events.filter((_, index) => index < flushed || !loses || random.oneIn(2));
}

async function checkState(file: MemoryFile, steps: readonly Step[], cut: number, folder: string): Promise<void> {
  const files = new MemoryFiles();
  files.files.set(PATH, file);
  writeFileSync(join(folder, PATH), file.contents());
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', PATH], { cwd: folder, encoding: 'utf8' });
  assert.ok(status === 0 || status === 3, `cut ${cut}: ${stdout}${stderr}`);
  const last = steps.findLastIndex(({ stable, to }) => stable !== undefined && to <= cut);
  const expected = steps[last]!.stable!;
  const found = new Uint8Array(SIZE);
  const backend = await open(newGraph(files), true);
  await backend.read(0, found);
  await backend.close();
  for (const { from, start, end } of steps.slice(last + 1)) if (from < cut) found.set(expected.subarray(start, end), start);
  const wrong = found.findIndex((byte, at) => byte !== expected[at]);
  assert.equal(wrong, -1, `cut ${cut}: flushed data are lost at ${wrong}`);
}

for (const [name, options] of [
  ['small clusters', { cluster_size: 512 }],
  ['clusters of 4 KiB, counts of 2 bits', { cluster_size: 4096, refcount_bits: 2 }],
  ['subclusters', { cluster_size: 16384, extended_l2: true }],
] as const) {
  test(`a power cut loses nothing that was flushed: ${name}`, { skip: noReference }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'qcow2-cut-'));
    try {
      const random = new Prng(options.cluster_size);
      const files = new MemoryFiles();
      await newGraph(files).createImage('qcow2', PATH, new Map(Object.entries({ size: SIZE, ...options })));
      const initial = files.files.get(PATH)!.contents();
      files.log = [];
      const steps = await workload(files, random, options.cluster_size);
      for (let n = 0; n < CUTS; n++) {
        const cut = random.below(files.log.length + 1);
        const file = new MemoryFile();
        file.write(0, initial);
        replay(file, survivors(files.log, cut, random, n % 2 === 0));
        await checkState(file, steps, cut, folder);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
