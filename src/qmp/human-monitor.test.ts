// Tests of the human monitor: its session, line editing and commands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontEnd } from '../ports/char-backend.ts';
import type { MonitorTarget, RunState } from './human-commands.ts';
import { HumanMonitor } from './human-monitor.ts';

function bench() {
  const seen = { output: '', calls: [] as string[], room: Infinity, state: 'running' as RunState };
  let frontEnd: CharFrontEnd | undefined;
  const backend: CharBackend = {
    connect: (connected) => void (frontEnd = connected),
    write(bytes) {
      const taken = Math.min(seen.room, bytes.length);
      seen.room -= taken;
      seen.output += new TextDecoder('latin1').decode(bytes.subarray(0, taken));
      return taken;
    },
    acceptInput() {},
    async close() {},
  };
  const call = (name: string) => (): void => void seen.calls.push(name);
  const target: MonitorTarget = {
    version: '1.2',
    name: 'zed',
    uuid: undefined,
    get runState() {
      return seen.state;
    },
    pause: call('pause'),
    resume: call('resume'),
    reset: call('reset'),
    powerButton: call('powerButton'),
    quit: call('quit'),
  };
  new HumanMonitor(backend, target);
  const type = (keys: string): string => {
    const before = seen.output.length;
    frontEnd!.receive(new TextEncoder().encode(keys));
    return seen.output.slice(before);
  };
  return { seen, type, frontEnd: frontEnd! };
}

test('greets once, then prompts again on every focus', () => {
  const { seen, frontEnd } = bench();
  frontEnd.event!('focus');
  frontEnd.event!('focus');
  assert.equal(seen.output, "nandu 1.2 monitor - type 'help' for more information\r\n(qemu) (qemu) ");
});

// prettier-ignore
const answers: readonly [line: string, answer: string][] = [
  ['info version', '1.2\r\n'],
  ['info name', 'zed\r\n'],
  ['info uuid', '00000000-0000-0000-0000-000000000000\r\n'],
  ['info status', 'VM status: running\r\n'],
  ['stall-limit waited 200', ''],
  ['stall-limit waited 1000', ''],
  ['stall-limit flush 5', "Error: Parameter 'limit' expects 'held' or 'waited'\r\n"],
  ['stall-limit held soon', "Error: Parameter 'ms' expects a number of milliseconds\r\n"],
  ['info foo', "unknown command: 'info foo'\r\n"],
  ['foo', "unknown command: 'foo'\r\n"],
  ['', ''],
  ['help quit', 'quit|q  -- quit the emulator\r\n'],
  ['system_reset x', 'system_reset: extraneous characters at the end of line\r\nTry "help system_reset" for more information\r\n'],
];
for (const [line, answer] of answers) {
  test(`'${line}'`, () => assert.equal(bench().type(`${line}\r`), `${line}\r\n${answer}(qemu) `));
}

test('commands act on the machine', () => {
  const { seen, type } = bench();
  type('stop\rc\rsystem_reset\rsystem_powerdown\rq\r');
  assert.deepEqual(seen.calls, ['pause', 'resume', 'reset', 'powerButton', 'quit']);
});

test('a state that is not running is named', () => {
  const { seen, type } = bench();
  seen.state = 'prelaunch';
  assert.match(type('info status\r'), /paused \(prelaunch\)/);
});

test('lines can be edited and called back', () => {
  const { type } = bench();
  assert.match(type('info nane\x7f\x7fme\r'), /zed/);
  assert.match(type('\x1b[A\r'), /zed/);
  assert.match(type('fo namX\x01in\x05\x7fe\r'), /zed/);
  assert.match(type('x\x15info name\x1b[D\x1b[D\x1b[C\r'), /zed/);
});

test('an answer that the back end has no room for is sent later, and no key is taken meanwhile', () => {
  const { seen, type, frontEnd } = bench();
  seen.room = 3;
  type('info version\r');
  assert.equal(frontEnd.canReceive(), 0);
  seen.room = Infinity;
  frontEnd.writable!();
  assert.equal(seen.output, 'info version\r\n1.2\r\n(qemu) ');
  assert.ok(frontEnd.canReceive() > 0);
});
