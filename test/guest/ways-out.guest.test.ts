// How a run ends, seen from outside: reboot, panic, debug-exit, Ctrl-A x on a terminal, and the friendly command.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noTerminal, runOnTerminal } from '../pseudo-terminal.ts';
import { commandPath, withGuest } from './guest-process.ts';
import { findLinux, initrdWith, linuxWords, PANIC_SCRIPT, PROMPT, shellScript } from './linux-guest.ts';

const RUN_MS_MAX = 120_000;
const linux = await findLinux('amd64');
const skip = linux.missing ?? false;
const options = { skip, timeout: 2 * RUN_MS_MAX };
const system = commandPath('nandu-system-x86_64');
const wordsFor = (script: string, ...more: string[]): string[] =>
  linux.missing === undefined ? linuxWords(linux.kernel, initrdWith('amd64', script), ...more) : [];

test('reboot boots again; isa-debug-exit gives its status', options, () =>
  withGuest(system, wordsFor(shellScript(), '-device', 'isa-debug-exit'), RUN_MS_MAX, async (guest) => {
    await guest.waitFor(PROMPT);
    guest.type('reboot -f\n');
    await guest.waitFor('\nREADY\n');
    await guest.waitFor(PROMPT);
    guest.type("printf '\\020' | dd of=/dev/port bs=1 seek=1281\n"); // 16 to port 0x501
    const { status, output } = await guest.exit();
    assert.equal(status, (16 << 1) | 1, output.slice(-1500));
  }),
);

test('a panic with panic=-1 and -no-reboot ends with 0', options, () =>
  withGuest(system, wordsFor(PANIC_SCRIPT, '-no-reboot'), RUN_MS_MAX, async (guest) => {
    const { status, output } = await guest.exit();
    assert.match(output, /Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300/);
    assert.equal(status, 0);
  }),
);

test('nandu run on a terminal, left by Ctrl-A x', { ...options, skip: skip || noTerminal }, () => {
  const [, , , kernel, , initrd] = wordsFor(shellScript());
  const words = ['run', kernel!, '--initrd', initrd!, '--append=console=ttyS0 quiet', '--memory', '256M', '--cpu=max'];
  const typed = { send: 'echo $((40+2))-here\r' };
  const steps = [{ expect: PROMPT }, { checkModes: true }, typed, { expect: '\n42-here' }, { send: '\x01x' }] as const;
  const { output, exitStatus, modes, restored } = runOnTerminal([commandPath('nandu'), ...words], steps, RUN_MS_MAX);
  assert.match(output, /42-here[^]*Terminated/);
  assert.deepEqual({ exitStatus, modes, restored }, { exitStatus: 0, modes: 'raw', restored: true });
});

test('the built-in guest prints the machine, echoes, and powers off', { timeout: 2 * RUN_MS_MAX }, () =>
  withGuest(commandPath('nandu'), ['run', '--builtin'], RUN_MS_MAX, async (guest) => {
    const greeting = await guest.waitFor('> ');
    assert.match(greeting, /nandu virtual CPU/);
    assert.match(greeting, /00:01\.3/);
    guest.type('hello\r');
    await guest.waitFor('hello\n');
    guest.type('q\r');
    assert.equal((await guest.exit()).status, 0);
  }),
);
