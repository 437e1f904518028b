// -trace on the command line, of a ROM that writes to a port and ends the machine: text, the simple format and `nandu trace`, the
// timeline, the ring, and what is said about events that there are not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../../tools/repository.ts';

/** mov al, 55h; out 80h, al; mov al, 1; out 0f4h, al: isa-debug-exit, whose status for it is 3. */
const PROGRAM = [0xb0, 0x55, 0xe6, 0x80, 0xb0, 0x01, 0xe6, 0xf4];
const STATUS = 3;
const ROM_BYTES = 65536;
const RESET_VECTOR = 0xfff0;

let folder: string;
let rom: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'nandu-trace-'));
  rom = join(folder, 'rom');
  const bytes = new Uint8Array(ROM_BYTES);
  bytes.set(PROGRAM, RESET_VECTOR);
  writeFileSync(rom, bytes);
});
after(() => rmSync(folder, { recursive: true }));

const command = (name: string, words: readonly string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(join(repositoryRoot, 'bin', name), words, { encoding: 'utf8' });

function run(...traces: readonly string[]): string {
  const machine = ['-nographic', '-m', '16', '-bios', rom, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
  const { status, stderr } = command('nandu-system-x86_64', [...machine, ...traces.flatMap((trace) => ['-trace', trace])]);
  assert.equal(status, STATUS);
  return stderr;
}

test('text on standard error, of the events of a pattern and of a file', () => {
  const events = join(folder, 'events');
  writeFileSync(events, '# all of the bus\nbus_*\n-bus_read\n');
  const lines = run('enable=bus_write', `events=${events}`).trimEnd().split('\n');
  assert.match(lines.at(-1)!, /^\d+@\d+\.\d{6}:bus_write debug-exit \+0x0  size 1 = 0x1$/);
  assert.ok(lines.every((line) => line.includes(':bus_write ')));
});

test('the simple format, read by nandu trace; only the last events with a ring', () => {
  const file = join(folder, 'trace');
  assert.equal(run(`bus_write,file=${file}`), '');
  const { stdout, stderr } = command('nandu', ['trace', file]);
  assert.match(stdout, /^bus_write 0\.000 pid=\d+ .*\n(.*\n)*bus_write \d+\.\d{3} pid=\d+ debug-exit \+0x0  size 1 = 0x1\n$/);
  assert.equal(stderr, '');
  run(`bus_write,buffer=1,file=${file}`);
  assert.match(command('nandu', ['trace', file]).stdout, /^bus_write 0\.000 pid=\d+ debug-exit.*\n$/);
});

test('the timeline is JSON', () => {
  const file = join(folder, 'trace.json');
  run(`bus_write,file=${file}`);
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: { name: string; ph: string; args: { name: string } }[] };
  const last = traceEvents.at(-1)!;
  assert.deepEqual([last.name, last.ph, last.args.name], ['bus_write', 'X', 'debug-exit']);
});

test('lists, and what is wrong', () => {
  const { stdout, status } = command('nandu-system-x86_64', ['-trace', 'help']);
  assert.deepEqual([status, /^virtio_\w+$/m.test(stdout), /^bus_write$/m.test(stdout)], [0, true, true]);
  assert.match(run('no_such_event'), /-trace no_such_event: warning: trace event 'no_such_event' does not exist\n$/);
  const { stderr } = command('nandu-system-x86_64', ['-nographic', '-trace', 'bus_read,file=/nowhere/x']);
  assert.equal(stderr, "nandu-system-x86_64: could not open trace file '/nowhere/x': No such file or directory\n");
  assert.match(command('nandu', ['trace', rom]).stderr, /^nandu: .*rom: not a trace file\n$/);
});
