// `npm run bench -- profile`: what sampling costs. The machine alone and under `nandu profile`, alternating, with -icount, so that all
// runs execute the same instructions. A run is cut into pieces of 5 million; of each piece the shortest run counts, so that what other
// processes and the host of a virtual machine take in one run and not in another does not. From the end of the first slice to that of
// the last: the start of the processes is not in it. Arguments: [--runs N] (5), [--work NAME,...] (all of bench-guest.ts).
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { benchGuest, givenRuns, givenWork, median } from './bench-guest.ts';
import { repositoryRoot } from './repository.ts';

const PIECE = 5e6;
const LEAVE = /^\d+@(\d+\.\d+):vcpu_leave .* executed (\d+)$/gm;
const command = (name: string): string => join(repositoryRoot, 'bin', name);

/** Seconds of each piece of a run. */
type Pieces = readonly number[];

async function run(first: readonly string[], guest: readonly string[], trace: string): Promise<Pieces> {
  const timing = ['-icount', 'shift=0,sleep=off', '-rtc', 'base=2024-01-01,clock=vm', '-trace', `enable=vcpu_leave,file=${trace}`];
  const words = [...first, ...guest.map((word) => (word.startsWith('console=') ? `${word} nokaslr` : word)), ...timing];
  const code = await new Promise((resolve, reject) => {
    spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] }).on('error', reject).on('close', resolve);
  });
  if (code !== 0) throw new Failure('io', `${first[0]} ended with status ${String(code)}`);
  return piecesOf(readFileSync(trace, 'latin1'));
}

/** Slices of a run, cut anew into pieces; time within a slice is taken to be even. */
function piecesOf(text: string): Pieces {
  const pieces: number[] = [];
  let [executed, beforeS, begunS] = [0, Number.NaN, Number.NaN];
  for (const [, at, count] of text.matchAll(LEAVE)) {
    const nowS = Number(at);
    const instructions = Number(count);
    if (Number.isNaN(beforeS)) begunS = beforeS = nowS;
    for (let end = (pieces.length + 1) * PIECE; end <= executed + instructions; end += PIECE) {
      const endS = beforeS + ((nowS - beforeS) * (end - executed)) / instructions;
      pieces.push(endS - begunS);
      begunS = endS;
    }
    executed += instructions;
    beforeS = nowS;
  }
  return pieces;
}

/** Each piece's figure over all runs, added up. */
const sumOf = (runs: readonly Pieces[], figure: (seconds: readonly number[]) => number): number => {
  let sum = 0;
  for (let piece = 0; runs.every(({ length }) => piece < length); piece++) sum += figure(runs.map((pieces) => pieces[piece]!));
  return sum;
};

export async function benchProfile(words: readonly string[]): Promise<number> {
  const runs = givenRuns(words, 5);
  const guest = await benchGuest('amd64', givenWork(words));
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bench-'));
  const alone: Pieces[] = [];
  const profiled: Pieces[] = [];
  try {
    const trace = join(folder, 'trace.txt');
    for (let n = 0; n < runs; n++) {
      alone.push(await run([command('nandu-system-x86_64')], guest.words, trace));
      profiled.push(await run([command('nandu'), 'profile', '-o', join(folder, 'profile.txt'), '--'], guest.words, trace));
      process.stderr.write(`run ${n + 1} of ${runs}\n`);
    }
  } finally {
    rmSync(folder, { recursive: true });
    guest.remove();
  }
  print(alone, profiled);
  return 0;
}

function print(alone: readonly Pieces[], profiled: readonly Pieces[]): void {
  const what = `pieces of ${PIECE / 1e6} million instructions, ${alone.length} runs each, added up`;
  process.stdout.write(`| ${what} | without | 997 Hz | |\n|---|---|---|---|\n`);
  const shortest = (seconds: readonly number[]): number => Math.min(...seconds);
  const middle = (seconds: readonly number[]): number => median(seconds)!;
  for (const [name, figure] of Object.entries({ shortest, median: middle })) {
    const [without, sampled] = [sumOf(alone, figure), sumOf(profiled, figure)];
    const more = (100 * (sampled / without - 1)).toFixed(1);
    process.stdout.write(`| ${name} | ${without.toFixed(2)} s | ${sampled.toFixed(2)} s | ${sampled < without ? '' : '+'}${more} % |\n`);
  }
}
