// Benchmarks of the block layer: nandu-img and nandu-nbd against qemu-img and qemu-nbd on images that are half random and half
// zero, alternating; medians of the wall time with the start-up of the process taken out (the same command on a tiny image), the
// processor time beside it, and the limits that the project sets itself. The cases are bench-block-cases.ts.
// Arguments: [--runs N] [--size 1G] [--only WORD,...] [--folder DIR] [--bin DIR].
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { benchCases, prepareImages, type BenchCase, type Contestant } from './bench-block-cases.ts';
import { repositoryRoot } from './repository.ts';

const RUN_MS_MAX = 600_000;
const POLL_MS = 5;
/** Less than this is not told from the noise of starting a process. */
const LEAST_SECONDS = 0.001;
/** /proc counts processor time in hundredths of a second everywhere Linux runs. */
const TICKS_PER_SECOND = 100;

const LIMITS = { mean: 1.0, compression: 0.6, worst: 2.0, startupMs: 70, memoryMiB: 120, zeroWriteGain: 3 };

interface Sample {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

interface Measured {
  readonly name: string;
  readonly group: BenchCase['group'];
  readonly own: Sample;
  readonly reference: Sample;
  /** Highest resident size of our process. */
  readonly peakMiB: number;
}

/** Node reads these certificates at its start, which costs as much again as the start itself and is no business of a disk image. */
const environment = { ...process.env, NODE_EXTRA_CA_CERTS: undefined };

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Processor time of all children that have ended: fields 16 and 17 of proc(5)'s stat. */
function childrenCpuSeconds(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

/** The most memory a process has had so far; 0 when it is gone. */
function peakMiBOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

interface Ended {
  readonly seconds: number;
  readonly peakMiB: number;
}

/** Runs one program to its end. `watch` looks at its memory meanwhile. */
function runProgram([program, ...words]: readonly string[], watch = false): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program!, words, { stdio: ['ignore', 'ignore', 'pipe'], env: environment });
    let peakMiB = 0;
    let complaint = '';
    child.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
    const limit = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
    const poll = watch ? setInterval(() => (peakMiB = Math.max(peakMiB, peakMiBOf(child.pid ?? 0))), POLL_MS) : undefined;
    const killWithUs = (): unknown => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    child.once('error', reject).once('close', (code) => {
      const seconds = (performance.now() - start) / 1000;
      clearTimeout(limit);
      clearInterval(poll);
      process.off('exit', killWithUs);
      if (code === 0) resolve({ seconds, peakMiB });
      else reject(new Failure('io', `${program} ${words.join(' ')}: status ${code}: ${complaint.trim()}`));
    });
  });
}

/** One timed run of a case, with the server that it needs around it. */
async function sample(bench: BenchCase, contestant: Contestant, tiny: boolean, watch = false): Promise<Sample & { peakMiB: number }> {
  await bench.prepare?.(tiny);
  const before = childrenCpuSeconds();
  const server = bench.server === undefined ? undefined : await startServer(bench.server(contestant, tiny), bench.socket!);
  let ended: Ended;
  let serverPeakMiB = 0;
  try {
    ended = await runProgram(bench.command(contestant, tiny), watch && server === undefined);
    if (server !== undefined) serverPeakMiB = peakMiBOf(server.pid);
  } finally {
    await server?.stop();
  }
  return { seconds: ended.seconds, cpuSeconds: childrenCpuSeconds() - before, peakMiB: Math.max(ended.peakMiB, serverPeakMiB) };
}

interface Server {
  readonly pid: number;
  stop(): Promise<void>;
}

async function startServer([program, ...words]: readonly string[], socket: string): Promise<Server> {
  rmSync(socket, { force: true });
  const child = spawn(program!, words, { stdio: ['ignore', 'ignore', 'inherit'], env: environment });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()).once('error', () => resolve()));
  const killWithUs = (): unknown => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    process.off('exit', killWithUs);
  };
  for (let tries = 0; tries < 2000; tries++) {
    if (isListening(socket)) return { pid: child.pid!, stop };
    if (child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  await stop();
  throw new Failure('io', `${program} ${words.join(' ')}: does not listen`);
}

/** The kernel's table of sockets names those that are bound; flag 10000 is a listener. */
function isListening(socket: string): boolean {
  return readFileSync('/proc/net/unix', 'latin1')
    .split('\n')
    .some((line) => line.endsWith(` ${socket}`) && line.includes(' 00010000 '));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

/** Medians of a contestant's runs, without what a tiny image takes. */
function withoutStartUp(samples: readonly Sample[], tiny: readonly Sample[]): Sample {
  const net = (of: (sample: Sample) => number): number => Math.max(LEAST_SECONDS, median(samples.map(of)) - median(tiny.map(of)));
  return { seconds: net(({ seconds }) => seconds), cpuSeconds: net(({ cpuSeconds }) => cpuSeconds) };
}

async function measure(bench: BenchCase, contestants: readonly [Contestant, Contestant], runs: number): Promise<Measured> {
  const large: [Sample[], Sample[]] = [[], []];
  const tiny: [Sample[], Sample[]] = [[], []];
  for (let run = 0; run < runs; run++) {
    for (const index of [0, 1] as const) {
      tiny[index].push(await sample(bench, contestants[index], true));
      large[index].push(await sample(bench, contestants[index], false));
    }
  }
  const { peakMiB } = await sample(bench, contestants[0], false, true); // looking costs time, so it is a run of its own
  const own = withoutStartUp(large[0], tiny[0]);
  const reference = withoutStartUp(large[1], tiny[1]);
  return { name: bench.name, group: bench.group, own, reference, peakMiB };
}

const ratioOf = ({ own, reference }: Measured): number => own.seconds / reference.seconds;

const figure = (value: number, digits = 3): string => value.toFixed(digits).padStart(10);

const HEADINGS = ['nandu s', 'qemu s', 'ratio', 'nandu cpu', 'qemu cpu', 'peak MiB'];

function row(measured: Measured): string {
  const { name, own, reference, peakMiB } = measured;
  const times = `${figure(own.seconds)}${figure(reference.seconds)}${figure(ratioOf(measured), 2)}`;
  return `${name.padEnd(34)}${times}${figure(own.cpuSeconds, 2)}${figure(reference.cpuSeconds, 2)}${figure(peakMiB, 0)}\n`;
}

function limitLine(what: string, value: number | undefined, limit: number, unit: string, atLeast = false): string {
  if (value === undefined || !Number.isFinite(value)) return '';
  const isMet = atLeast ? value >= limit : value <= limit;
  const bound = `${atLeast ? 'at least' : 'at most'} ${limit}${unit}`;
  return `${what.padEnd(46)}${value.toFixed(2).padStart(8)}${unit.padEnd(5)}${bound.padEnd(20)}${isMet ? 'met' : 'NOT MET'}\n`;
}

function summary(all: readonly Measured[], startupMs: number | undefined): string {
  const ratios = all.map(ratioOf);
  const mean = ratios.length === 0 ? undefined : Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  const compression = all.filter(({ group }) => group === 'compression').map(ratioOf);
  const secondsOf = (name: string): number | undefined => all.find((measured) => measured.name === name)?.own.seconds;
  const copied = secondsOf('write, copy-on-write, depth 1'), zeroed = secondsOf('write, zero clusters, depth 1');
  const gain = copied === undefined || zeroed === undefined ? undefined : copied / zeroed;
  const peakMiB = Math.max(...all.map((measured) => measured.peakMiB));
  const highest = (values: readonly number[]): number | undefined => (values.length === 0 ? undefined : Math.max(...values));
  return (
    limitLine(`geometric mean of ${all.length} ratios`, mean, LIMITS.mean, '') +
    limitLine('worst compression', highest(compression), LIMITS.compression, '') +
    limitLine('worst of all', highest(ratios), LIMITS.worst, '') +
    limitLine('a write into a zero cluster, times faster', gain, LIMITS.zeroWriteGain, '', true) +
    limitLine('start-up: nandu-img --version', startupMs, LIMITS.startupMs, ' ms') +
    limitLine('most memory of any case', peakMiB, LIMITS.memoryMiB, ' MiB')
  );
}

async function startUpMs(contestant: Contestant, runs: number): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < Math.max(runs, 9); run++) times.push((await runProgram([contestant.img, '--version'])).seconds * 1000);
  return median(times);
}

interface BlockBenchOptions {
  readonly runs: number;
  readonly bytes: number;
  readonly only: readonly string[];
  readonly folder: string;
  readonly bin: string;
}

const SUFFIXES: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const MIN_BYTES = 64 << 20;

function options(words: readonly string[]): BlockBenchOptions {
  const given = new Map<string, string>();
  for (let index = 0; index < words.length; index += 2) {
    const name = /^--(runs|size|only|folder|bin)$/.exec(words[index]!)?.[1];
    if (name === undefined || words[index + 1] === undefined) {
      throw new Failure('invalid-argument', `${words[index]}: not an option with a value`);
    }
    given.set(name, words[index + 1]!);
  }
  const runs = Number(given.get('runs') ?? '5');
  if (!Number.isInteger(runs) || runs < 1) throw new Failure('invalid-argument', '--runs is a number from 1 on');
  const [, number, suffix] = /^(\d+)([KMG]?)$/.exec(given.get('size') ?? '1G') ?? [];
  const bytes = Number(number) * (SUFFIXES[suffix ?? ''] ?? 1);
  if (!(bytes >= MIN_BYTES) || bytes % MIN_BYTES !== 0) throw new Failure('invalid-argument', '--size is a multiple of 64M');
  const only = given.get('only')?.split(',') ?? [];
  return { runs, bytes, only, folder: given.get('folder') ?? tmpdir(), bin: given.get('bin') ?? join(repositoryRoot, 'bin') };
}

/** The command's exit status. */
export async function benchBlock(words: readonly string[]): Promise<number> {
  const { runs, bytes, only, folder: parent, bin } = options(words);
  const own: Contestant = { name: 'nandu', img: join(bin, 'nandu-img'), nbd: join(bin, 'nandu-nbd') };
  const reference: Contestant = { name: 'qemu', img: '/usr/bin/qemu-img', nbd: '/usr/bin/qemu-nbd' };
  const folder = mkdtempSync(join(parent, 'nandu-bench-'));
  try {
    const { stdout } = process;
    say(`making images of ${bytes >> 20} MiB in ${folder}`);
    const images = await prepareImages(folder, bytes, (command) => runProgram([reference.img, ...command]).then(() => undefined));
    const cases = benchCases(images).filter(({ name }) => only.length === 0 || only.some((word) => name.includes(word)));
    const all: Measured[] = [];
    for (const [index, bench] of cases.entries()) {
      say(`${index + 1}/${cases.length} ${bench.name}`);
      const measured = await measure(bench, [own, reference], runs);
      say(row(measured).trimEnd());
      all.push(measured);
    }
    const startupMs = await startUpMs(own, runs);
    stdout.write(`${`${bytes >> 20} MiB, median of ${runs}`.padEnd(34)}${HEADINGS.map((heading) => heading.padStart(10)).join('')}\n`);
    for (const measured of all) stdout.write(row(measured));
    stdout.write(`\n${summary(all, startupMs)}`);
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
