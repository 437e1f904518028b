// Unmodified Linux, 64-bit and 32-bit, in the real command: boots, computes what the host computes, takes typing, and
// powers off. The expected values come from Node and from arithmetic here, never from an earlier run.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { GuestArchitecture } from '../../src/cli/debian-guest.ts';
import { commandPath, withGuest, type GuestProcess } from './guest-process.ts';
import { findLinux, initrdWith, linuxWords, PROMPT, shellScript } from './linux-guest.ts';

const RUN_MS_MAX = 180_000;

const sequence = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);
const lines = (values: readonly (number | string)[]): string => values.map((value) => `${value}\n`).join('');
const digest = (algorithm: string, data: string | Uint8Array): string => createHash(algorithm).update(data).digest('hex');

const ZEROS = new Uint8Array(4 << 20);
const NUMBERS = lines(sequence(20_000));
const SHUFFLED = sequence(5000).map((n) => (n * 7919) % 100_003);

/** Divisions and products, ten digits of it, because the 32-bit busybox may sum in 80 bits. */
function floatingSum(): string {
  let sum = 0;
  for (let n = 1; n <= 20_000; n++) sum = sum * 0.9999 + n / (n * n + 0.25);
  return Number(sum.toPrecision(10)).toString();
}

// prettier-ignore
const WORK: readonly (readonly [name: string, command: string, expected: string])[] = [
  ['md5', 'dd if=/dev/zero bs=1M count=4 2>/dev/null | md5sum', `${digest('md5', ZEROS)}  -`],
  ['sha1', 'seq 1 20000 | sha1sum', `${digest('sha1', NUMBERS)}  -`],
  ['sha256', 'seq 1 20000 | sha256sum', `${digest('sha256', NUMBERS)}  -`],
  ['sha512', 'seq 1 20000 | sha512sum', `${digest('sha512', NUMBERS)}  -`],
  ['gzip', 'seq 1 20000 | gzip -9 | gunzip | md5sum', `${digest('md5', NUMBERS)}  -`],
  ['bzip2', 'seq 1 20000 | bzip2 | bunzip2 | md5sum', `${digest('md5', NUMBERS)}  -`],
  ['sort', "seq 1 5000 | awk '{print ($1*7919)%100003}' | sort -n | md5sum", `${digest('md5', lines([...SHUFFLED].sort((a, b) => a - b)))}  -`],
  ['awkfp', `awk 'BEGIN{OFMT="%.10g";x=0;for(n=1;n<=20000;n++){x=x*0.9999+n/(n*n+0.25)};print x}'`, floatingSum()],
  ['forks', 'i=0; while [ $i -lt 60 ]; do /bin/true && i=$((i+1)); done; echo $i', '60'],
  ['pipes', 'dd if=/dev/zero bs=512 count=2000 2>/dev/null | cat | cat | wc -c', String(512 * 2000)],
  ['arith', 'echo $((123456789123 * 987654 % 1000000007)) $((-7 / 2)) $((1 << 62))', `${123456789123n * 987654n % 1000000007n} -3 ${1n << 62n}`],
];

const WORK_COMMANDS = `check() { echo "CHECK $1: $(eval "$2" 2>&1)"; }
${WORK.map(([name, command]) => `check ${name} '${command.replaceAll("'", "'\\''")}'`).join('\n')}
echo "GZIP $(seq 1 300 | gzip | base64 | tr -d '\\n')"`;

function checkWork(output: string): void {
  for (const [name, , expected] of WORK) {
    const found = new RegExp(`^CHECK ${name}: (.*)$`, 'm').exec(output)?.[1];
    assert.equal(found, expected, name);
  }
  const packed = /^GZIP (.+)$/m.exec(output)?.[1] ?? '';
  assert.equal(gunzipSync(Buffer.from(packed, 'base64')).toString(), lines(sequence(300)));
}

async function typeAtShell(guest: GuestProcess, machine: string): Promise<void> {
  await guest.waitFor(PROMPT);
  guest.type('echo $((6*7))-typed; uname -m; grep -c ^processor /proc/cpuinfo\n');
  await guest.waitFor(`\n42-typed\n${machine}\n1\n`);
}

// One boot each: a boot is the slow part. The second way out is a reboot, which -no-reboot turns into an end.
// prettier-ignore
const GUESTS: readonly (readonly [architecture: GuestArchitecture, machine: string, wayOut: string, more: readonly string[]])[] = [
  ['amd64', 'x86_64', 'poweroff -f', []],
  ['i386', 'i686', 'reboot -f', ['-no-reboot']],
];

for (const [architecture, machine, wayOut, more] of GUESTS) {
  const name = `Linux ${architecture} computes what the host computes, takes typing, and ends by ${wayOut} ${more.join(' ')}`;
  test(name, { timeout: 2 * RUN_MS_MAX }, async (t) => {
    const linux = await findLinux(architecture);
    if (linux.missing !== undefined) return t.skip(linux.missing);
    const words = linuxWords(linux.kernel, initrdWith(architecture, shellScript(WORK_COMMANDS)), ...more);
    await withGuest(commandPath('nandu-system-x86_64'), words, RUN_MS_MAX, async (guest) => {
      checkWork(await guest.waitFor(/^GZIP .*\n/m));
      await typeAtShell(guest, machine);
      guest.type(`${wayOut}\n`);
      const { status, output, errors } = await guest.exit();
      assert.equal(output.match(/^READY$/gm)?.length, 1);
      assert.deepEqual({ status, errors }, { status: 0, errors: '' });
    });
  });
}
