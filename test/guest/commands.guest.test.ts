// The commands with a guest, as a person uses them: keys on a terminal, signals, piped input.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { cacheFolder, hasDebianTools, prepareDebianGuest } from '../../src/cli/debian-guest.ts';
import { distFolder } from '../../tools/repository.ts';
import { noTerminal, runOnTerminal, type TerminalStep } from '../pseudo-terminal.ts';

const cli = join(distFolder, 'src', 'cli');
const launch = `import { main } from ${JSON.stringify(join(cli, 'nandu.js'))}; await main(process.argv.slice(1));`;
const builtin = [process.execPath, '--input-type=module', '-e', launch, '--', 'run', '--builtin'];
const PROMPT: TerminalStep = { expect: '> ' };

test('Ctrl-A keys, the monitor, and quitting from it', { skip: noTerminal }, () => {
  const steps: TerminalStep[] = [
    PROMPT,
    { checkModes: true },
    { send: '\x01h' },
    { expect: 'C-a C-a  sends C-a' },
    { send: '\x01c' },
    { expect: '(qemu) ' },
    { send: 'info status\r' },
    { expect: 'VM status: running' },
    { send: 'stop\rinfo status\r' },
    { expect: 'VM status: paused' },
    { send: 'quit\r' },
  ];
  const { output, exitStatus, modes, restored } = runOnTerminal(builtin, steps, 60_000);
  assert.match(output, /VM status: running[^]*VM status: paused/);
  assert.deepEqual({ exitStatus, modes, restored }, { exitStatus: 0, modes: 'raw', restored: true }, output);
});

for (const [name, signal] of [['SIGHUP', 1], ['SIGINT', 2], ['SIGTERM', 15]] as const) {
  test(`${name} ends the command in good order`, { skip: noTerminal }, () => {
    const { output, exitStatus, restored } = runOnTerminal(builtin, [PROMPT, { signal }], 60_000);
    assert.match(output, new RegExp(`nandu: terminating on signal ${signal}\r\n`));
    assert.deepEqual({ exitStatus, restored }, { exitStatus: 0, restored: true });
  });
}

const noDebian = !hasDebianTools() && 'there is no apt-get for a Linux kernel';

test('npm start takes commands from a pipe, and ends with them', { skip: noDebian, timeout: 600_000 }, async () => {
  await prepareDebianGuest('amd64', cacheFolder('amd64'));
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(cli, 'start.js')], {
    encoding: 'utf8',
    input: 'uname -sm\necho $((6*7))-times\n',
    timeout: 300_000,
  });
  assert.match(stdout, /\nLinux x86_64\r?\n/, stdout.slice(-2000) + stderr);
  assert.match(stdout, /\n42-times\r?\n/);
  assert.equal(status, 0);
});
