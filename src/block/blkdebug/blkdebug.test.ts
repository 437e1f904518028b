// The rules, the config file, the limits and the run-time machine of blkdebug, without block nodes: those are compared with the
// reference in test/block/io.test.ts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { OptionDict } from '../options.ts';
import { parseConfig } from './config.ts';
import { RuleMachine } from './debugger.ts';
import { takeLimits } from './limits.ts';
import { takeRules } from './rules.ts';

const options = (values: Readonly<Record<string, string>>): OptionDict => new OptionDict(Object.entries(values));
const rules = (values: Readonly<Record<string, string>>): ReturnType<typeof takeRules> => takeRules(options(values));
const message = (text: string) => (error: unknown) => error instanceof Failure && error.message === text;

/** The errno that a request meets, or undefined. */
async function outcome(machine: RuleMachine, ...request: Parameters<RuleMachine['check']>): Promise<string | undefined> {
  try {
    await machine.check(...request);
    return undefined;
  } catch (error) {
    assert(error instanceof ErrnoFailure);
    return error.errno;
  }
}

const silent = (): void => {};

describe('rules from a config file', () => {
  test('sections in any order, comments, ids', () => {
    const text =
      '# a comment\n\n[set-state "one"]\nevent = "write_aio"\nnew_state = "2"\n[inject-error]\nevent = "read_aio"\nsector = "3"\n';
    const [inject, set] = parseConfig(text);
    assert.deepEqual(inject, {
      kind: 'inject-error',
      event: 'read_aio',
      state: 0,
      ioType: undefined,
      errno: 5,
      offset: 1536,
      once: false,
      immediately: false,
    });
    assert.deepEqual(set, { kind: 'set-state', event: 'write_aio', state: 0, newState: 2 });
  });

  test('errors', () => {
    assert.throws(() => parseConfig('garbage\n'), message('no group defined'));
    assert.throws(() => parseConfig('[foo]\n'), message("There is no option group 'foo'"));
    assert.throws(() => parseConfig('[inject-error]\nevent = "foo"\n'), message('invalid parameter value: foo'));
    assert.throws(() => parseConfig('[inject-error]\nevent="read_aio"\n'), message('Invalid parameter \'event="read_aio"\''));
    assert.throws(() => parseConfig('[inject-error "x"]\n[inject-error "x"]\n'), message("Duplicate ID 'x' for inject-error"));
    assert.throws(() => parseConfig('[inject-error]\n'), message('Missing event name for rule'));
  });
});

test('inline rules take only what is theirs', () => {
  const given = options({ 'inject-error.0.event': 'l2_load', 'inject-error.1.event': 'none', 'set-state.event': 'none', align: '512' });
  assert.equal(takeRules(given).length, 3);
  assert.deepEqual(given.keys(), ['align']);
  assert.throws(() => rules({ 'inject-error.1.event': 'none' }), message("Unused option '1.event' for [inject-error]"));
  assert.throws(
    () => rules({ 'inject-error.0.event': 'none', 'inject-error.0.foo': '1' }),
    message("[inject-error] section doesn't support the option 'foo'"),
  );
});

describe('the machine', () => {
  test('an error is armed by its event, and disarmed by the next of its kind', async () => {
    const machine = new RuleMachine(
      rules({ 'inject-error.0.event': 'read_aio', 'inject-error.0.errno': '28', 'inject-error.0.once': 'on' }),
      silent,
    );
    assert.equal(await outcome(machine, 'read', 0, 512), undefined);
    await machine.event('read_aio');
    assert.equal(await outcome(machine, 'read', 0, 512), 'ENOSPC');
    await machine.event('read_aio');
    assert.equal(await outcome(machine, 'read', 0, 512), undefined);
  });

  test('states lead from one rule to the next', async () => {
    const machine = new RuleMachine(
      rules({
        'set-state.0.event': 'l2_load',
        'set-state.0.new_state': '2',
        'inject-error.0.event': 'l2_load',
        'inject-error.0.state': '2',
      }),
      silent,
    );
    await machine.event('l2_load');
    assert.equal(await outcome(machine, 'write', 0, 1), undefined);
    await machine.event('l2_load');
    assert.equal(await outcome(machine, 'write', 0, 1), 'EIO');
  });

  test('sector and kind of request restrict a rule', async () => {
    const machine = new RuleMachine(
      rules({ 'inject-error.0.event': 'none', 'inject-error.0.sector': '1', 'inject-error.0.iotype': 'read' }),
      silent,
    );
    assert.equal(await outcome(machine, 'read', 0, 512), undefined);
    assert.equal(await outcome(machine, 'write', 512, 512), undefined);
    assert.equal(await outcome(machine, 'read', 0, 513), 'EIO');
  });

  test('without a kind all but block status fails, at once or later', async () => {
    const machine = new RuleMachine(rules({ 'inject-error.0.event': 'none', 'inject-error.0.immediately': 'on' }), silent);
    assert.throws(() => machine.check('flush', 0, 0), ErrnoFailure);
    assert.equal(machine.check('block-status', 0, 512), undefined);
  });

  test('breakpoints hold a request until each is resumed', async () => {
    const said: string[] = [];
    const machine = new RuleMachine([], (line) => said.push(line));
    machine.add('read_aio', 'A');
    machine.add('read_aio', 'B');
    let done = false;
    const held = Promise.resolve(machine.event('read_aio')).then(() => (done = true));
    await machine.suspended('A');
    assert.equal(machine.event('read_aio'), undefined, 'a breakpoint holds one request');
    assert(machine.resume('A'));
    assert(!machine.resume('A'));
    await Promise.resolve();
    assert(!done);
    assert(machine.resume('B'));
    await held;
    const lines = ["Suspended request 'B'", "Suspended request 'A'", "Resuming request 'A'", "Resuming request 'B'"];
    assert.deepEqual(
      said,
      lines.map((line) => `blkdebug: ${line}`),
    );
  });

  test('a removed breakpoint holds nothing', () => {
    const machine = new RuleMachine([], silent);
    machine.add('write_aio', 'A');
    assert(machine.remove('A'));
    assert(!machine.remove('A'));
    assert.equal(machine.event('write_aio'), undefined);
  });
});

test('pretended limits must fit each other', () => {
  assert.deepEqual(takeLimits(options({ align: '4096', 'max-transfer': '8192', 'opt-discard': '0' }), 512), {
    requestAlignment: 4096,
    maxTransfer: 8192,
  });
  for (const values of [
    { align: '513' },
    { align: '2G' },
    { align: '4096', 'max-transfer': '6144' },
    { 'opt-discard': '8192', 'max-discard': '12288' },
  ]) {
    assert.throws(() => takeLimits(options(values), 1), /^Failure: Cannot meet constraints with/);
  }
});
