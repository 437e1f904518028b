// `npm run bench -- trace`: what tracing costs. Three nandus in alternation, on a boot and on reads of 4 KiB from a virtio disk: one from
// whose bundle trace events, requests' numbers and the watch over stalls are cut out, the usual one with nothing turned on, and the usual
// one with all events of virtio and the block layer going to a file. Processor time of the whole process, and the guest's own times.
// Arguments: [--runs N] (5). The samples come on standard error as they are taken.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../src/base/failure.ts';
import { cacheFolder, prepareDebianGuest, VIRTIO_BLK_MODULES } from '../src/cli/debian-guest.ts';
import { bundle } from './bundle.ts';
import { median } from './bench-guest.ts';
import { distFolder } from './repository.ts';

const COMMAND = 'nandu-system-x86_64';
const EVENTS = ['virtio_*', 'virtqueue_*', 'drive_*', 'bdrv_*', 'host_file_*'];
const DISK_BYTES = 64 << 20;

/** Twice until the code is translated, then what counts. */
const READS = 'dd if=/dev/vda of=/dev/null bs=4k count=8192 iflag=direct 2>/dev/null';
const SCRIPT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
for module in /modules/*; do insmod $module; done
while [ ! -b /dev/vda ]; do sleep 0.1; done
now() { cut -d' ' -f1 /proc/uptime; }
echo READY
${READS}; ${READS}
for i in 1 2 3 4 5 6 7 8; do a=$(now); ${READS}; echo "READS $a $(now)"; done
poweroff -f
`;

/** Calls of what looks, which no code needs to go on. */
const EVENT = String.raw`\b(?:\w*[tT]race|guestErrors|handle)\.?\w*\?\.`;
const FUNCTION = String.raw`\b(?:heldSince|beginTurn|endTurn|requestContext\.(?:enter|leave))`;
const CALLS = new RegExp(String.raw`(?:${EVENT}|${FUNCTION})\(`, 'g');

/** The text without calls that look; their arguments go too. */
function withoutLooking(text: string, path: string): string {
  if (/[\\/]dist[\\/]src[\\/]trace[\\/]/.test(path)) return text;
  let result = '';
  let end = 0;
  for (const match of text.matchAll(CALLS)) {
    if (match.index < end) continue; // inside of one that is gone
    result += `${text.slice(end, match.index)}undefined`;
    end = closing(text, match.index + match[0].length);
  }
  return (result + text.slice(end))
    .replace(/\bisTraced(Host)?\([^()]*\)/g, 'false')
    .replace(/= loopNs\(\)/g, '= 0');
}

/** The index behind the parenthesis that closes; strings and templates may hold any. */
function closing(text: string, from: number): number {
  let depth = 1;
  let quote = '';
  for (let at = from; at < text.length; at++) {
    const character = text[at]!;
    if (character === '\\') at++;
    else if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === "'" || character === '"' || character === '`') quote = character;
    else if (character === '(') depth++;
    else if (character === ')' && --depth === 0) return at + 1;
  }
  throw new Error('a call without an end');
}

interface Variant {
  readonly name: string;
  readonly bundle: string;
  readonly words: readonly string[];
  readonly samples: Record<'boot' | 'reads' | 'processor', number[]>;
}

const variant = (name: string, folder: string, words: readonly string[] = []): Variant =>
  ({ name, bundle: join(distFolder, folder, `${COMMAND}.cjs`), words, samples: { boot: [], reads: [], processor: [] } });

/** Runs the bundle without the code that V8 has kept of it, which there is only of one, and tells its processor time. */
const RUNNER = (path: string): string => `
process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  require('node:fs').writeSync(2, 'PROCESSOR ' + (user + system) / 1e6 + '\\n');
});
require(${JSON.stringify(path)}).main(process.argv.slice(1));`;

async function runOnce({ bundle: path, words, samples }: Variant, guest: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['-e', RUNNER(path), '--', ...guest, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  const begun = performance.now();
  let [output, errors] = ['', ''];
  let isReady = false;
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes.toString('latin1');
    if (isReady || !output.includes('READY')) return;
    isReady = true;
    samples.boot.push((performance.now() - begun) / 1000);
  });
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  const reads = [...output.matchAll(/READS (\S+) (\S+)/g)].map(([, from, to]) => Number(to) - Number(from));
  const processor = /PROCESSOR (\S+)/.exec(errors)?.[1];
  if (reads.length === 0 || processor === undefined) throw new Failure('io', `${path}: ${errors}${output.slice(-300)}`);
  samples.reads.push(...reads);
  samples.processor.push(Number(processor));
}

export async function benchTrace(words: readonly string[]): Promise<number> {
  const runs = Number(words[words.indexOf('--runs') + 1] ?? 5) || 5;
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bench-trace-'));
  const without = join(distFolder, 'commands-without-trace');
  try {
    await bundle({ entries: { [COMMAND]: join(distFolder, 'src', 'cli', 'system.js') }, folder: without, edit: withoutLooking });
    const disk = join(folder, 'disk.raw');
    writeFileSync(disk, new Uint8Array(DISK_BYTES).fill(0x5a));
    truncateSync(disk, DISK_BYTES);
    const { kernel, initrd } = await prepareDebianGuest('amd64', cacheFolder('amd64'), {
      init: SCRIPT, modules: VIRTIO_BLK_MODULES, initrd: join(folder, 'initrd.gz'),
    });
    const guest = [
      '-m', '256', '-nographic', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1',
      '-drive', `file=${disk},format=raw,if=virtio`,
    ];
    const file = ['-trace', `file=${join(folder, 'trace')}`, ...EVENTS.flatMap((pattern) => ['-trace', pattern])];
    const variants = [variant('removed', 'commands-without-trace'), variant('off', 'commands'), variant('all to a file', 'commands', file)];
    for (let run = 0; run < runs; run++) {
      for (const one of variants) {
        await runOnce(one, guest);
        process.stderr.write(`${one.name}: ${KINDS.map((kind) => `${kind} ${one.samples[kind].at(-1)!.toFixed(3)}`).join(', ')}\n`);
      }
    }
    process.stdout.write(tableOf(variants));
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(without, { recursive: true, force: true });
  }
}

const KINDS = ['processor', 'boot', 'reads'] as const;

function tableOf(variants: readonly Variant[]): string {
  const [base] = variants;
  const line = ({ name, samples }: Variant): string => name.padEnd(16) + KINDS.map((kind) => {
    const value = median(samples[kind])!;
    const change = 100 * (value / median(base!.samples[kind])! - 1);
    return `${value.toFixed(3).padStart(10)}${`${change >= 0 ? '+' : ''}${change.toFixed(1)} %`.padStart(9)}`;
  }).join('');
  const head = `${'seconds'.padEnd(16)}${KINDS.map((kind) => kind.padStart(10).padEnd(19)).join('')}\n`;
  return `${head}${variants.map((one) => `${line(one)}\n`).join('')}`;
}
