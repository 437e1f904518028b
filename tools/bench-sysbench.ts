// `npm run bench -- sysbench`: sysbench's cpu, memory, threads and fileio in an installed Debian, here and in QEMU's translator,
// alternating; medians and their ratio. fileio runs on ext4 on three qcow2 disks: fresh (nothing is allocated), zeroed (every cluster
// has the zero flag), allocated. Needs the disk that the tests of Debian have (test/guest/debian-disk.ts).
// Options: --runs N, --only nandu|qemu, --record FILE: samples are added to the file, and the table is made of all that are in it.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { debianDisk, debianMissing, debianOverlay, run } from '../test/guest/debian-disk.ts';
import { commandPath, withGuest } from '../test/guest/guest-process.ts';
import { givenOption, median } from './bench-guest.ts';

const RUN_MS_MAX = 1_800_000;
const DISK_BYTES = 384 << 20;
const DISKS = ['fresh', 'zeroed', 'allocated'] as const;
const CONTESTANTS: Readonly<Record<string, readonly string[]>> = {
  nandu: [commandPath('nandu-system-x86_64')],
  qemu: ['qemu-system-x86_64', '-accel', 'tcg'],
};

/** Figures of a run by name; more is better in all of them. */
type Figures = Record<string, number>;
interface Sample {
  readonly who: string;
  readonly figures: Figures;
}

/** Typed at a shell that is the guest's first program. Each run begins with another disk, because the first one has cold code. */
const commandsOf = (turn: number): readonly string[] => [
  `say() { echo "FIGURE $*"; }`,
  `say cpu $(sysbench cpu --threads=4 --cpu-max-prime=2000 --time=5 run | awk '/events per second/ { print $4 }')`,
  `say memory $(sysbench memory --threads=4 --memory-block-size=8K --memory-total-size=4G run | awk -F'[(]' '/MiB.sec/ { print $2 + 0 }')`,
  `say threads $(sysbench threads --threads=4 --thread-yields=100 --thread-locks=2 --time=5 run | awk '/total number/ { print $5 }')`,
  `fileio() { sysbench fileio --threads=4 --file-total-size=128M --file-test-mode=rndrw --time=6 $1; }`,
  `prepared() { awk '/bytes written/ { gsub("[(]", ""); print $(NF - 1) }'; }`,
  `rates() { awk '/(reads|writes|fsyncs).s:/ { printf "%s ", $2 }'; }`,
  `measure() { mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 $2 && mount $2 /mnt && cd /mnt &&
say prepare-$1 $(fileio prepare | prepared) && say fileio-$1 $(fileio run | rates); cd /; umount /mnt; }`,
  ...DISKS.map((_, n) => (turn + n) % DISKS.length).map((n) => `measure ${DISKS[n]} /dev/vd${'bcd'[n]}`),
  'mount -o remount,ro /; echo END; echo o > /proc/sysrq-trigger',
];

const RATES = ['reads', 'writes', 'fsyncs'];

function parseFigures(output: string): Figures {
  const figures: Figures = {};
  for (const [, name, text] of output.matchAll(/^(?:\x1b\[\?2004l)?FIGURE (\S+) (.*)$/gm)) {
    const values = text!.trim().split(/\s+/).map(Number);
    if (values.length === 1) figures[name!] = values[0]!;
    else RATES.forEach((rate, n) => (figures[`${name} ${rate}`] = values[n]!));
  }
  return figures;
}

function makeDisks(folder: string): string[] {
  const img = commandPath('nandu-img');
  return DISKS.map((name) => {
    const path = join(folder, `${name}.qcow2`);
    const options = name === 'allocated' ? ['-o', 'preallocation=full'] : [];
    run(img, 'create', '-q', '-f', 'qcow2', ...options, path, String(DISK_BYTES));
    if (name === 'zeroed') run(commandPath('nandu-io'), '-c', `write -z -q 0 ${DISK_BYTES}`, path);
    return path;
  });
}

async function measure(who: string, turn: number): Promise<Sample> {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-sysbench-'));
  try {
    const system = debianOverlay(join(folder, 'system.qcow2'));
    const boot = dirname(debianDisk);
    const append = 'root=/dev/vda1 rw console=ttyS0 quiet init=/bin/bash';
    const words = [
      '-m', '512', '-nographic', '-no-reboot', '-kernel', join(boot, 'vmlinuz'), '-initrd', join(boot, 'initrd.img'), '-append', append,
      ...[system, ...makeDisks(folder)].flatMap((file) => ['-drive', `file=${file},if=virtio`]),
    ];
    const [program, ...first] = CONTESTANTS[who]!;
    const output = await withGuest(program!, [...first, ...words], RUN_MS_MAX, async (guest) => {
      await guest.waitFor('# ');
      for (const command of commandsOf(turn)) {
        guest.type(`${command}\n`);
        await guest.waitFor('\n');
        await guest.waitFor(/# $|END$/m);
      }
      return guest.output;
    });
    return { who, figures: parseFigures(output) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const figureText = (value: number | undefined): string => (value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toFixed(1));

function printTable(samples: readonly Sample[]): void {
  const of = (who: string): Sample[] => samples.filter((sample) => sample.who === who);
  const runs = `medians of ${of('nandu').length} and ${of('qemu').length} runs (of two the better)`;
  process.stdout.write(`| ${runs} | nandu | QEMU | nandu / QEMU |\n|---|---|---|---|\n`);
  for (const name of Object.keys(samples[0]?.figures ?? {}).sort()) {
    const [own, theirs] = ['nandu', 'qemu'].map((who) => median(of(who).map(({ figures }) => figures[name]!)));
    const ratio = own === undefined || theirs === undefined ? '' : (own / theirs).toFixed(2);
    process.stdout.write(`| ${name} | ${figureText(own)} | ${figureText(theirs)} | ${ratio} |\n`);
  }
}

interface Options {
  readonly runs: number;
  readonly who: readonly string[];
  readonly record: string | undefined;
}

function optionsOf(words: readonly string[]): Options {
  const only = givenOption(words, 'only');
  if (only !== undefined && CONTESTANTS[only] === undefined) throw new Failure('invalid-argument', '--only is nandu or qemu');
  const record = givenOption(words, 'record');
  if (record === '') throw new Failure('invalid-argument', '--record is a file');
  const runs = Number(givenOption(words, 'runs') ?? '3');
  if (!Number.isInteger(runs) || runs < 0) throw new Failure('invalid-argument', '--runs is a number');
  return { runs, who: only === undefined ? Object.keys(CONTESTANTS) : [only], record };
}

function recordedSamples(record: string | undefined): Sample[] {
  if (record === undefined || !existsSync(record)) return [];
  return readFileSync(record, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Sample);
}

export async function benchSysbench(words: readonly string[]): Promise<number> {
  if (debianMissing !== false) throw new Failure('not-found', debianMissing);
  const { runs, who, record } = optionsOf(words);
  const recordedBefore = recordedSamples(record);
  const samples: Sample[] = [];
  for (let n = 0; n < runs; n++) {
    for (const name of who) {
      const turn = [...recordedBefore, ...samples].filter((sample) => sample.who === name).length;
      const sample = await measure(name, turn);
      samples.push(sample);
      if (record !== undefined) appendFileSync(record, `${JSON.stringify(sample)}\n`);
    }
  }
  printTable([...recordedBefore, ...samples]);
  return 0;
}
