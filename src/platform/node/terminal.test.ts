// Tests of the terminal and the standard back end on a real pseudo-terminal, made by Python: raw while the program runs,
// and as it was before on every way out. This file is also the program that runs there (with the way out as argument).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noTerminal, runOnTerminal, type TerminalOutcome, type TerminalStep } from '../../../test/pseudo-terminal.ts';
import { CharMux } from '../../chardev/mux.ts';
import { StdioBackend } from './stdio-backend.ts';

const self = fileURLToPath(import.meta.url);

function onTerminal(wayOut: string, ...steps: TerminalStep[]): TerminalOutcome {
  return runOnTerminal([process.execPath, self, `--child=${wayOut}`], [{ expect: 'READY' }, { checkModes: true }, ...steps]);
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

// prettier-ignore
const waysOut: readonly [name: string, wayOut: string, step: TerminalStep, exitStatus: number, output: RegExp][] = [
  ['process.exit', 'exit', { send: 'a!' }, 3, /READY\r\na!/],
  ['an uncaught error', 'throw', { send: '!' }, 1, /uncaught/],
  ['an unhandled rejection', 'reject', { send: '!' }, 1, /unhandled/],
  ['Ctrl-A x', 'quit', { send: '\x01x' }, 5, /nandu: Terminated/],
  ['Ctrl-C that acts here', 'signal', { send: '\x03' }, 4, /READY/],
  ['a signal', 'exit', { signal: 2 }, 4, /READY/],
];
const child = process.argv[2]?.match(/^--child=(.*)$/)?.[1];
if (child !== undefined) {
  runChild(child);
} else {
  for (const [name, wayOut, step, exitStatus, output] of waysOut) {
    test(`the terminal is raw, and restored after ${name}`, { skip: noTerminal }, () => {
      const outcome = onTerminal(wayOut, step);
      assert.equal(outcome.exitStatus, exitStatus, outcome.output);
      assert.match(outcome.output, output);
      assert.equal(outcome.modes, 'raw');
      assert.equal(outcome.restored, true);
    });
  }

  test('Ctrl-C goes to the guest otherwise', { skip: noTerminal }, () => {
    const outcome = onTerminal('exit', { send: '\x03!' });
    assert.equal(outcome.exitStatus, 3);
    assert.match(outcome.output, /READY\r\n\x03!/);
  });
}
