// Kills a process that writes through a virtio disk into a fresh qcow2 image, at random times, again and again on the same image.
// After each time every write that a flush had promised must be there, and the image must check clean but for leaks.
// By hand: npm run fuzz -- kill --cases 50.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Prng } from '../../src/base/prng.ts';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { createImage } from '../../src/block/operations/create.ts';
import { OptionDict } from '../../src/block/options.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { BLOCK_BYTES, blockOf, SECTOR_BYTES, sequenceOf } from './kill-record.ts';

const BLOCKS = 65536;
const LIFE_MS_MAX = 900;

export interface KillResult {
  readonly rounds: number;
  readonly promised: number;
  readonly problems: readonly string[];
}

/** Runs the writer for a while after its first promise; returns its last one. */
async function runAndKill(image: string, seed: number, first: number, lifeMs: number): Promise<number> {
  const words = [join(import.meta.dirname, 'kill-writer.js'), image, String(BLOCKS), String(seed), String(first)];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  const begun = new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      resolve();
    });
    child.once('exit', () => reject(new Error('the writer has ended by itself')));
  });
  await begun;
  const ended = new Promise((resolve) => child.once('close', resolve));
  await delay(lifeMs);
  child.kill('SIGKILL');
  await ended;
  return Number(/ack (\d+)\n(?![^]*ack \d+\n)/.exec(text)?.[1] ?? 0);
}

async function checkImage(image: string, promised: ReadonlyMap<number, number>, newest: number): Promise<string[]> {
  const graph = new BlockGraph(createBlockHost({ files: 'sync', warn: () => {} }));
  const options = new OptionDict([['driver', 'qcow2']]);
  const backend = await BlockBackend.open(graph, { filename: image, options, flags: { check: true } });
  const problems: string[] = [];
  try {
    const report = { fixLeaks: false, fixErrors: false, report: () => {} };
    const { corruptions, checkErrors } = await backend.node.instance.check!(report);
    if (corruptions + checkErrors > 0) problems.push(`${corruptions} corruptions, ${checkErrors} errors of the check`);
    const block = new Uint8Array(BLOCK_BYTES);
    for (const [index, sequence] of promised) {
      await backend.read(index * BLOCK_BYTES, block);
      for (let sector = 0; sector < BLOCK_BYTES / SECTOR_BYTES; sector++) {
        const found = sequenceOf(block.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES), sector);
        if (found !== undefined && found >= sequence && found <= newest) continue;
        problems.push(`block ${index} sector ${sector}: write ${found} where ${sequence} was promised`);
      }
    }
  } finally {
    await backend.close();
  }
  return problems;
}

function checkWithReference(image: string): string[] {
  const { status, stdout, error } = spawnSync('qemu-img', ['check', '-f', 'qcow2', image], { encoding: 'utf8' });
  if (error !== undefined) return []; // it is not installed
  return status === 0 || status === 3 ? [] : [`qemu-img check says ${status}: ${stdout}`];
}

export async function killRounds(rounds: number, seed: number, isTimeUp: () => boolean = () => false): Promise<KillResult> {
  const random = new Prng(seed);
  const folder = mkdtempSync(join(tmpdir(), 'nandu-kill-'));
  const image = join(folder, 'disk.qcow2');
  const promised = new Map<number, number>();
  const problems: string[] = [];
  try {
    const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
    await createImage(graph, { filename: image, format: 'qcow2', size: BigInt(BLOCKS * BLOCK_BYTES) });
    let first = 1;
    let round = 0;
    for (; round < rounds && problems.length === 0 && !isTimeUp(); round++) {
      const last = await runAndKill(image, seed + round, first, random.below(LIFE_MS_MAX));
      for (let sequence = first; sequence <= last; sequence++) promised.set(blockOf(sequence, BLOCKS), sequence);
      const newest = last + 1000; // what was written and not yet promised
      problems.push(...(await checkImage(image, promised, newest)), ...checkWithReference(image));
      first = newest + 1;
    }
    return { rounds: round, promised: promised.size, problems };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
