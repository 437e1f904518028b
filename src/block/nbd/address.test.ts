// File names and options that say where an NBD server is, and the names that are shown for them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionDict } from '../options.ts';
import { nbdFilename, parseNbdFilename, takeAddress } from './address.ts';

function parsed(filename: string): Record<string, unknown> {
  const options = new OptionDict();
  parseNbdFilename(filename, options);
  return Object.fromEntries(options.entries());
}

const inet = (host: string, port: string, name?: string): Record<string, unknown> => ({
  ...(name !== undefined && { export: name }),
  'server.type': 'inet',
  'server.host': host,
  'server.port': port,
});

test('file names of NBD exports', () => {
  assert.deepEqual(parsed('nbd:localhost:1'), inet('localhost', '1'));
  assert.deepEqual(parsed('nbd:[::1]:1:exportname=a:b'), inet('::1', '1', 'a:b'));
  assert.deepEqual(parsed('nbd:unix:/a:b:exportname=x'), { export: 'x', 'server.type': 'unix', 'server.path': '/a:b' });
  assert.deepEqual(parsed('nbd://h'), inet('h', '10809'));
  assert.deepEqual(parsed('nbd+tcp://u@[::1]:7/a%20b'), inet('::1', '7', 'a b'));
  assert.deepEqual(parsed('nbd+unix:///e?socket=/s%3f'), { export: 'e', 'server.type': 'unix', 'server.path': '/s?' });
});

test('names that mean nothing', () => {
  const noUrl = { message: 'No valid URL specified' };
  const unixNames = ['nbd+unix:///a', 'nbd+unix://h/a?socket=/s', 'nbd+unix:///a?sock=/s'];
  for (const name of ['nbd://', 'nbd:///a', 'nbd://h/a?x=1', 'nbd://h/%', ...unixNames]) assert.throws(() => parsed(name), noUrl, name);
  assert.throws(() => parsed('nbd:h'), { message: "error parsing address 'h'" });
  assert.throws(() => parsed('h:1'), { message: "File name string for NBD must start with 'nbd:'" });
  assert.throws(() => takeAddress(new OptionDict()), { message: 'NBD server address missing' });
  assert.throws(() => parsed('nbds://h/a'), { message: 'nbds needs the option tls-creds' });
});

test('options that contradict each other', () => {
  const take = (...entries: [string, string][]): unknown => takeAddress(new OptionDict(entries));
  assert.throws(() => take(['host', 'a'], ['path', 'b']), { message: 'path and host may not be used at the same time' });
  assert.throws(() => take(['path', 'b'], ['port', '1']), { message: 'port may not be used without host' });
  assert.throws(() => take(['server.type', 'unix'], ['path', 'b']), { message: "Cannot use 'server' and path/host/port at the same time" });
  assert.throws(() => take(['server.type', 'inet'], ['server.host', 'b']), { message: "Parameter 'port' is missing" });
  assert.throws(() => take(['server.type', 'unix'], ['server.path', 'b'], ['server.x', 'y']), { message: "Parameter 'x' is unexpected" });
  assert.deepEqual(take(['host', 'a']), { type: 'inet', host: 'a', port: '10809' });
});

test('the name of an export', () => {
  assert.equal(nbdFilename({ type: 'unix', path: '/s' }, ''), 'nbd+unix://?socket=/s');
  assert.equal(nbdFilename({ type: 'unix', path: '/s' }, 'e'), 'nbd+unix:///e?socket=/s');
  assert.equal(nbdFilename({ type: 'inet', host: 'h', port: '1' }, 'e'), 'nbd://h:1/e');
});
