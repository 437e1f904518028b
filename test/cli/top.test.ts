// `nandu top` on a terminal: it draws, and every way of leaving it gives the terminal back as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandPath } from '../guest/guest-process.ts';
import { noTerminal, runOnTerminal, type TerminalStep } from '../pseudo-terminal.ts';

// prettier-ignore
const WAYS: readonly (readonly [string, TerminalStep])[] = [
  ['q', { send: 'q' }], ['Ctrl-C', { send: '\x03' }], ['SIGTERM', { signal: 15 }],
];

for (const [name, way] of WAYS) {
  test(`nandu top ends with ${name}`, { skip: noTerminal }, () => {
    const { output, exitStatus, modes, restored } = runOnTerminal([commandPath('nandu'), 'top', '--delay', '0.2'], [
      { expect: 'q quits' }, { expect: 'q quits' }, { checkModes: true }, way,
    ]);
    assert.equal(exitStatus, 0);
    assert.equal(modes, 'raw');
    assert.ok(restored);
    assert.match(output, /^\x1b\[\?1049h\x1b\[\?25l/);
    assert.match(output, /\x1b\[\?25h\x1b\[\?1049l$/);
  });
}
