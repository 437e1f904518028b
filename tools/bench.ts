// Benchmarks: the Debian guest with a list of workloads in nandu and, where qemu-system-x86_64 is installed, in QEMU's
// translator, alternating; medians and their ratio. `boot` is the time from the start of the process to user space, seen
// from outside; the other times are the guest's own. Arguments: [--runs N] [--work NAME,...] [--arch amd64|i386] [--no-qemu].
// With `block` as the first argument the block layer is measured instead: bench-block.ts.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { buildInitrd, cacheFolder, prepareDebianGuest, type GuestArchitecture } from '../src/cli/debian-guest.ts';
import { benchBlock } from './bench-block.ts';
import { repositoryRoot } from './repository.ts';

// prettier-ignore
const WORK: Readonly<Record<string, string>> = {
  shloop: 'i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done',
  md5: 'dd if=/dev/zero bs=1M count=32 | md5sum',
  sha256: 'dd if=/dev/zero bs=1M count=16 | sha256sum',
  gzip: 'dd if=/dev/zero bs=1M count=24 | gzip -1',
  bzip2: 'seq 1 50000 | bzip2',
  sort: "seq 1 10000 | awk '{print ($1*7919)%100003}' | sort -n | uniq -c | wc -l",
  awkfp: "awk 'BEGIN{x=0;for(i=1;i<150000;i++){x+=1/(i*i)};print x}'",
  forks: 'i=0; while [ $i -lt 150 ]; do /bin/true; i=$((i+1)); done',
  pipes: 'dd if=/dev/zero bs=512 count=20000 | cat | cat | wc -c',
};

const RUN_MS_MAX = 600_000;

interface Contestant {
  readonly name: string;
  readonly command: readonly string[];
  readonly samples: Map<string, number[]>;
}

function initScript(names: readonly string[]): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null; mount -t tmpfs tmp /tmp
now() { cut -d' ' -f1 /proc/uptime; }
work() { a=$(now); eval "$2" >/dev/null 2>&1; echo "WORK $1 $a $(now)"; }
echo READY
${names.map((name) => `work ${name} '${WORK[name]!.replaceAll("'", "'\\''")}'`).join('\n')}
echo DONE
poweroff -f
`;
}

/** Boots once and adds to the samples. What a guest does not reach is missing there. */
function run({ command: [program, ...words], samples }: Contestant, guest: readonly string[]): Promise<void> {
  const add = (name: string, seconds: number): void => void samples.set(name, [...(samples.get(name) ?? []), seconds]);
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program!, [...words, ...guest], { stdio: ['ignore', 'pipe', 'inherit'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
    const killWithUs = (): unknown => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    let rest = '';
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('latin1')).split(/\r?\n/);
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === 'READY') add('boot', (performance.now() - start) / 1000);
        const [, name, from, to] = /^WORK (\S+) (\S+) (\S+)$/.exec(line) ?? [];
        if (name !== undefined) add(name, Number(to) - Number(from));
        if (line === 'DONE') add('total', (performance.now() - start) / 1000);
      }
    });
    child.once('error', reject).once('close', () => {
      clearTimeout(timer);
      process.off('exit', killWithUs);
      resolve();
    });
  });
}

function median(samples: readonly number[] | undefined): number | undefined {
  const sorted = [...(samples ?? [])].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

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
    const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
    process.stdout.write(`geometric mean of ${ratios.length} workloads: ${mean.toFixed(2)} (below 1: nandu is faster)\n`);
  }
  return candidate.samples.has('total');
}

interface BenchOptions {
  readonly names: readonly string[];
  readonly architecture: GuestArchitecture;
  readonly runs: number;
  readonly qemu: boolean;
}

function options(words: readonly string[]): BenchOptions {
  const valueOf = (name: string, initial: string): string => {
    const index = words.indexOf(`--${name}`);
    return index < 0 ? initial : (words[index + 1] ?? '');
  };
  const names = valueOf('work', Object.keys(WORK).join(',')).split(',');
  const unknown = names.find((name) => WORK[name] === undefined);
  if (unknown !== undefined) throw new Failure('invalid-argument', `no workload '${unknown}': there are ${Object.keys(WORK).join(', ')}`);
  const architecture = valueOf('arch', 'amd64');
  if (architecture !== 'amd64' && architecture !== 'i386') throw new Failure('invalid-argument', '--arch is amd64 or i386');
  const runs = Number(valueOf('runs', '3'));
  if (!Number.isInteger(runs) || runs < 1) throw new Failure('invalid-argument', '--runs is a number from 1 on');
  return { names, architecture, runs, qemu: !words.includes('--no-qemu') };
}

async function main(): Promise<number> {
  const { names, architecture, runs, qemu } = options(process.argv.slice(2));
  const cached = cacheFolder(architecture);
  const { kernel } = await prepareDebianGuest(architecture, cached);
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bench-'));
  const initrd = join(folder, 'initrd.gz');
  try {
    writeFileSync(initrd, buildInitrd(readFileSync(join(cached, 'busybox')), initScript(names)));
    const nandu: Contestant = { name: 'nandu', command: [join(repositoryRoot, 'bin', 'nandu-system-x86_64')], samples: new Map() };
    const there = qemu && spawnSync('qemu-system-x86_64', ['-version'], { stdio: 'ignore' }).status === 0;
    const reference: Contestant | undefined = there
      ? { name: 'qemu', command: ['qemu-system-x86_64', '-accel', 'tcg'], samples: new Map() }
      : undefined;
    if (reference === undefined) process.stderr.write('without qemu-system-x86_64 there is no ratio\n');
    const append = 'console=ttyS0 panic=-1';
    const words = ['-m', '512', '-nographic', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', append];
    for (let n = 0; n < runs; n++) {
      await run(nandu, words);
      if (reference !== undefined) await run(reference, words);
    }
    return printResults(names, nandu, reference) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  const words = process.argv.slice(2);
  process.exitCode = words[0] === 'block' ? await benchBlock(words.slice(1)) : await main();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
