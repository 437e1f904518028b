// Every wrong command line answers with one line and status 1, before there is a machine.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../src/base/failure.ts';
import { openMachine } from '../../src/cli/system-machine.ts';
import { systemCommandLine } from '../../src/cli/system-options.ts';
import { completeSettings, initialSettings } from '../../src/cli/system-settings.ts';
import { parseCommandLine } from '../../src/schema/command-line.ts';
import { WRONG_COMMAND_LINES } from './wrong-command-lines.ts';

/** A file that can be read, so that the command line has no second error. */
const ANY_FILE = process.execPath;

async function errorOf(words: readonly string[]): Promise<string> {
  const settings = initialSettings();
  try {
    parseCommandLine(systemCommandLine, words, settings);
    completeSettings(settings);
    const opened = await openMachine(settings, { quit: () => {}, inform: () => {} });
    await opened.close();
    return 'no error';
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message;
  }
}

for (const { words, error } of WRONG_COMMAND_LINES) {
  test(`nandu-system-x86_64 ${words}`, async () => {
    const split = words === '' ? [] : words.split(' ');
    const complete = words === '' || words.startsWith('-bios') ? split : ['-bios', ANY_FILE, ...split];
    assert.equal(await errorOf(complete), error);
    assert.ok(!error.includes('\n'));
  });
}
