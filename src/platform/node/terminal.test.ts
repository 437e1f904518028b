// Tests of the terminal and the standard back end on a real pseudo-terminal, made by Python: raw while the program runs,
// and as it was before on every way out. This file is also the program that runs there (with the way out as argument).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CharMux } from '../../chardev/mux.ts';
import { StdioBackend } from './stdio-backend.ts';

const self = fileURLToPath(import.meta.url);

// Runs argv[2:] on a terminal, waits for READY, types the keys, reports the terminal's modes before, meanwhile, after.
const PYTHON = `
import os, pty, sys, termios, json, select, time
keys = sys.argv[1].encode('latin1').decode('unicode_escape').encode('latin1')
master, slave = pty.openpty()
modes = lambda: termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
before = modes()
pid = os.fork()
if pid == 0:
    os.setsid()
    os.login_tty(slave) if hasattr(os, 'login_tty') else [os.dup2(slave, n) for n in range(3)]
    os.execvp(sys.argv[2], sys.argv[2:])
out = b''
def read_until(mark):
    global out
    end = time.time() + 10
    while mark not in out and time.time() < end:
        if select.select([master], [], [], 0.1)[0]: out += os.read(master, 65536)
read_until(b'READY')
during = modes()
os.write(master, keys)
end = time.time() + 10
status = None
while status is None and time.time() < end:
    if select.select([master], [], [], 0.05)[0]: out += os.read(master, 65536)
    done, code = os.waitpid(pid, os.WNOHANG)
    if done: status = code
while select.select([master], [], [], 0.1)[0]: out += os.read(master, 65536)
print(json.dumps({'before': before, 'during': during, 'after': modes(), 'status': status, 'output': out.decode('latin1')}))
`;

interface Outcome {
  readonly before: number;
  readonly during: number;
  readonly after: number;
  /** As wait(2) gives it: the exit status times 256, or a signal. */
  readonly status: number | null;
  readonly output: string;
}

function onTerminal(wayOut: string, keys: string): Outcome {
  const { stdout, stderr } = spawnSync('python3', ['-c', PYTHON, keys, process.execPath, self, `--child=${wayOut}`], { encoding: 'utf8' });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Outcome;
}

// prettier-ignore
const CHILDREN: Readonly<Record<string, (key: string) => void>> = {
  exit: () => process.exit(3),
  throw: () => { throw new Error('uncaught'); },
  reject: () => void Promise.reject(new Error('unhandled')),
};

function runChild(wayOut: string): void {
  const stdio = new StdioBackend({ signal: wayOut === 'signal' });
  process.on('SIGINT', () => process.exit(4));
  const mux = new CharMux(stdio, { quit: () => void stdio.close().then(() => process.exit(5)) });
  const port = mux.attach();
  port.connect({
    canReceive: () => 100,
    receive(bytes) {
      port.write(bytes);
      if (bytes.includes(0x21)) CHILDREN[wayOut]?.('!');
    },
  });
  port.write(new TextEncoder().encode('READY\n'));
}

const missing = spawnSync('python3', ['-c', 'import pty, termios']).status !== 0 && 'there is no python3 for a pseudo-terminal';

// prettier-ignore
const waysOut: readonly [name: string, wayOut: string, keys: string, exitStatus: number, output: RegExp][] = [
  ['process.exit', 'exit', 'a!', 3, /READY\r\na!/],
  ['an uncaught error', 'throw', '!', 1, /uncaught/],
  ['an unhandled rejection', 'reject', '!', 1, /unhandled/],
  ['Ctrl-A x', 'quit', '\\x01x', 5, /nandu: Terminated/],
  ['Ctrl-C that acts here', 'signal', '\\x03', 4, /READY/],
];
const child = process.argv[2]?.match(/^--child=(.*)$/)?.[1];
if (child !== undefined) {
  runChild(child);
} else {
  for (const [name, wayOut, keys, exitStatus, output] of waysOut) {
    test(`the terminal is raw, and restored after ${name}`, { skip: missing }, () => {
      const outcome = onTerminal(wayOut, keys);
      assert.equal(outcome.status, exitStatus * 256, outcome.output);
      assert.match(outcome.output, output);
      assert.equal(outcome.during, 0);
      assert.notEqual(outcome.before, 0);
      assert.equal(outcome.after, outcome.before);
    });
  }

  test('Ctrl-C goes to the guest otherwise', { skip: missing }, () => {
    const outcome = onTerminal('exit', '\\x03!');
    assert.equal(outcome.status, 3 * 256);
    assert.match(outcome.output, /READY\r\n\x03!/);
  });
}
