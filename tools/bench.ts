// Benchmarks: the Debian guest with a list of workloads in nandu and, where qemu-system-x86_64 is installed, in QEMU's
// translator, alternating; medians and their ratio. `boot` is the time from the start of the process to user space, seen
// from outside; the other times are the guest's own. Arguments: [--runs N] [--work NAME,...] [--arch amd64|i386] [--no-qemu]
// [--reference 'COMMAND'], a command that takes QEMU's options and runs in the place of QEMU.
// With `block` as the first argument the block layer is measured instead (bench-block.ts), with `speed` the tables of
// docs/translator-speed.md are made (bench-speed.ts), with `sysbench` that of docs/sysbench.md (bench-sysbench.ts), with `trace` what
// tracing costs (bench-trace.ts), with `profile` what sampling costs (bench-profile.ts).
import { Failure } from '../src/base/failure.ts';
import type { GuestArchitecture } from '../src/cli/debian-guest.ts';
import { benchBlock } from './bench-block.ts';
import {
  benchGuest, geometricMean, givenOption, givenRuns, givenWork, median, nanduContestant, referenceContestant, runGuest, type Contestant,
  type Workloads,
} from './bench-guest.ts';
import { benchProfile } from './bench-profile.ts';
import { benchSpeed } from './bench-speed.ts';
import { benchSysbench } from './bench-sysbench.ts';
import { benchTrace } from './bench-trace.ts';

const column = (value: number | undefined): string => (value === undefined ? 'FAILED' : value.toFixed(2)).padStart(10);

/** False when the candidate did not finish. */
function printResults(names: readonly string[], candidate: Contestant, reference: Contestant | undefined): boolean {
  const others = reference === undefined ? '' : `${reference.name.padStart(10)}     ratio`;
  process.stdout.write(`seconds   ${candidate.name.padStart(10)}${others}\n`);
  const ratios: number[] = [];
  for (const name of ['boot', ...names, 'total']) {
    const own = median(candidate.samples.get(name));
    const theirs = median(reference?.samples.get(name));
    const ratio = own !== undefined && theirs !== undefined && theirs > 0 ? own / theirs : undefined;
    if (ratio !== undefined && names.includes(name)) ratios.push(ratio);
    process.stdout.write(`${name.padEnd(10)}${column(own)}${reference === undefined ? '' : `${column(theirs)}${column(ratio)}`}\n`);
  }
  if (ratios.length > 0) {
    process.stdout.write(`geometric mean of ${ratios.length} workloads: ${geometricMean(ratios).toFixed(2)} (below 1: nandu is faster)\n`);
  }
  return candidate.samples.has('total');
}

interface BenchOptions {
  readonly work: Workloads;
  readonly architecture: GuestArchitecture;
  readonly runs: number;
  readonly reference: Contestant | undefined;
}

function options(words: readonly string[]): BenchOptions {
  const architecture = givenOption(words, 'arch') ?? 'amd64';
  if (architecture !== 'amd64' && architecture !== 'i386') throw new Failure('invalid-argument', '--arch is amd64 or i386');
  const reference = words.includes('--no-qemu') ? undefined : referenceContestant(givenOption(words, 'reference'));
  return { work: givenWork(words), architecture, runs: givenRuns(words, 3), reference };
}

async function main(arguments_: readonly string[]): Promise<number> {
  const { work, architecture, runs, reference } = options(arguments_);
  const guest = await benchGuest(architecture, work);
  try {
    const nandu = nanduContestant();
    if (reference === undefined) process.stderr.write('without qemu-system-x86_64 there is no ratio\n');
    for (let n = 0; n < runs; n++) {
      await runGuest(nandu, guest.words);
      if (reference !== undefined) await runGuest(reference, guest.words);
    }
    return printResults(Object.keys(work), nandu, reference) ? 0 : 1;
  } finally {
    guest.remove();
  }
}

try {
  const [command, ...rest] = process.argv.slice(2);
  if (command === 'block') process.exitCode = await benchBlock(rest);
  else if (command === 'profile') process.exitCode = await benchProfile(rest);
  else if (command === 'trace') process.exitCode = await benchTrace(rest);
  else if (command === 'speed') process.exitCode = await benchSpeed(rest);
  else if (command === 'sysbench') process.exitCode = await benchSysbench(rest);
  else process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
