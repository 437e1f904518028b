// The guest of the benchmarks: Debian's kernel with busybox and a script that runs workloads between lines on the serial port, and the
// emulators that run it. Not the tables: bench.ts, bench-speed.ts.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { buildInitrd, cacheFolder, prepareDebianGuest, type GuestArchitecture } from '../src/cli/debian-guest.ts';
import { repositoryRoot } from './repository.ts';

/** Shell text by name. */
export type Workloads = Readonly<Record<string, string>>;

// prettier-ignore
export const WORK: Workloads = {
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

/** Longer than any run that makes sense: an hour of rounds, on a machine that has other things to do. */
const RUN_MS_MAX = 3 * 3_600_000;

export interface Contestant {
  readonly name: string;
  readonly command: readonly string[];
  /** Counts the guest's instructions, through its monitor. */
  readonly counts: boolean;
  /** Seconds, by workload; and `boot` and `total`. */
  readonly samples: Map<string, number[]>;
  /** Instructions, by workload. */
  readonly instructions: Map<string, number[]>;
  /** Resident memory of the emulator at the end of a workload, in MiB. */
  readonly residentMiB: Map<string, number[]>;
}

const contestant = (name: string, command: readonly string[], counts = false): Contestant =>
  ({ name, command, counts, samples: new Map(), instructions: new Map(), residentMiB: new Map() });

export const nanduContestant = (counts = false): Contestant =>
  contestant('nandu', [join(repositoryRoot, 'bin', 'nandu-system-x86_64')], counts);

/** QEMU's translator, or another command; undefined when QEMU is not installed. */
export function referenceContestant(command?: string): Contestant | undefined {
  if (command !== undefined) return contestant('reference', command.split(' '));
  if (spawnSync('qemu-system-x86_64', ['-version'], { stdio: 'ignore' }).status !== 0) return undefined;
  return contestant('qemu', ['qemu-system-x86_64', '-accel', 'tcg']);
}

/** v86 in a folder as bench-v86.ts wants it. */
export const v86Contestant = (folder: string): Contestant =>
  contestant('v86', [process.execPath, join(import.meta.dirname, 'bench-v86.js'), folder]);

function initScript(work: Workloads): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null; mount -t tmpfs -o size=90% tmp /tmp
now() { cut -d' ' -f1 /proc/uptime; }
work() { echo "BEGIN $1"; a=$(now); eval "$2" >/dev/null 2>&1; echo "WORK $1 $a $(now)"; }
echo READY
${Object.entries(work).map(([name, text]) => `work ${name} ${quoted(text)}`).join('\n')}
echo DONE
poweroff -f
`;
}

export interface BenchGuest {
  /** Options that boot it. */
  readonly words: readonly string[];
  remove(): void;
}

export async function benchGuest(architecture: GuestArchitecture, work: Workloads, megabytes = 512): Promise<BenchGuest> {
  const cached = cacheFolder(architecture);
  const { kernel } = await prepareDebianGuest(architecture, cached);
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bench-'));
  const initrd = join(folder, 'initrd.gz');
  writeFileSync(initrd, buildInitrd(readFileSync(join(cached, 'busybox')), initScript(work)));
  const append = 'console=ttyS0 panic=-1';
  const words = ['-m', String(megabytes), '-nographic', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', append];
  return { words, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Instructions that a nandu with a monitor on a socket has executed. */
function countedInstructions(socket: string): Promise<number> {
  return new Promise((resolve) => {
    let text = '';
    const connection = connect(socket, () => connection.write('info jit\n'));
    connection.on('data', (bytes) => {
      text += bytes.toString('latin1');
      const count = /instructions executed\s+(\d+)\r?\n/.exec(text)?.[1];
      if (count === undefined) return;
      connection.destroy();
      resolve(Number(count));
    });
    connection.on('error', () => resolve(Number.NaN));
  });
}

/** VmRSS of a process (proc(5)); undefined where there is no such file. */
function residentMiB(pid: number | undefined): number | undefined {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1024;
  } catch {
    return undefined;
  }
}

/** Boots once and adds to the samples. What a guest does not reach is missing there. */
export async function runGuest(contestant: Contestant, guest: readonly string[]): Promise<void> {
  const { command, counts, samples, instructions } = contestant;
  const add = (list: Map<string, number[]>, name: string, value: number): void => void list.set(name, [...(list.get(name) ?? []), value]);
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bench-'));
  const socket = join(folder, 'monitor');
  const [program, ...words] = [...command, ...guest, ...(counts ? ['-monitor', `unix:${socket},server=on,wait=off`] : [])];
  const asked: Promise<void>[] = [];
  let begun = Promise.resolve(0);
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const onLine = (line: string, pid: number | undefined): void => {
    if (line === 'READY') add(samples, 'boot', seconds());
    if (counts && line.startsWith('BEGIN ')) begun = countedInstructions(socket);
    const [, name, from, to] = /^WORK (\S+) (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) {
      add(samples, name, Number(to) - Number(from));
      const resident = residentMiB(pid);
      if (resident !== undefined) add(contestant.residentMiB, name, resident);
      if (counts) asked.push(Promise.all([begun, countedInstructions(socket)]).then(([a, b]) => add(instructions, name, b - a)));
    }
    if (line === 'DONE') add(samples, 'total', seconds());
  };
  await runProcess(program!, words, onLine);
  await Promise.all(asked);
  rmSync(folder, { recursive: true, force: true });
}

function runProcess(program: string, words: readonly string[], onLine: (line: string, pid: number | undefined) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
    const killWithUs = (): unknown => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    let rest = '';
    child.stdout.on('data', (bytes: Buffer) => {
      const lines = (rest + bytes.toString('latin1')).split(/\r?\n/);
      rest = lines.pop()!;
      for (const line of lines) onLine(line, child.pid);
    });
    child.once('error', reject).once('close', () => {
      clearTimeout(timer);
      process.off('exit', killWithUs);
      resolve();
    });
  });
}

export function median(samples: readonly number[] | undefined): number | undefined {
  const sorted = [...(samples ?? [])].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** The word behind `--name`, empty where none follows. */
export function givenOption(words: readonly string[], name: string): string | undefined {
  const index = words.indexOf(`--${name}`);
  return index < 0 ? undefined : (words[index + 1] ?? '');
}

/** `--runs N`. */
export function givenRuns(words: readonly string[], otherwise: number): number {
  const runs = Number(givenOption(words, 'runs') ?? otherwise);
  if (!Number.isInteger(runs) || runs < 1) throw new Failure('invalid-argument', '--runs is a number from 1 on');
  return runs;
}

/** `--work NAME,...`: all where nothing is given. */
export function givenWork(words: readonly string[]): Workloads {
  const names = (givenOption(words, 'work') ?? Object.keys(WORK).join(',')).split(',');
  const unknown = names.find((name) => WORK[name] === undefined);
  if (unknown !== undefined) throw new Failure('invalid-argument', `no workload '${unknown}': there are ${Object.keys(WORK).join(', ')}`);
  return Object.fromEntries(names.map((name) => [name, WORK[name]!]));
}
