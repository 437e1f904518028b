// Tests of cpio.ts, against the cpio program where there is one.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { characterDevice, cpioArchive, directory, file, symbolicLink } from './cpio.ts';

const archive = cpioArchive([
  directory('bin'),
  file('bin/x', new TextEncoder().encode('hello'), 0o755),
  symbolicLink('bin/y', 'x'),
  characterDevice('console', 5, 1),
]);

test('every header is aligned, the last entry is the trailer', () => {
  const text = new TextDecoder('latin1').decode(archive);
  const headers = [...text.matchAll(/070701/g)];
  assert.equal(headers.length, 5);
  for (const { index } of headers) assert.equal(index % 4, 0);
  assert.match(text, /TRAILER!!!\0+$/);
});

const missing = spawnSync('cpio', ['--version']).status !== 0 && 'there is no cpio program';

test('cpio -t reads it', { skip: missing }, () => {
  const { stdout, status } = spawnSync('cpio', ['-tv', '--quiet'], { input: archive, encoding: 'utf8' });
  assert.equal(status, 0);
  const rows = stdout.trimEnd().split('\n').map((row) => row.replace(/\s+/g, ' ').replace(/ root root | Jan 1 1970 /g, ' '));
  assert.match(rows[0]!, /^drwxr-xr-x .*bin$/);
  assert.match(rows[1]!, /^-rwxr-xr-x .* 5 bin\/x$/);
  assert.match(rows[2]!, /^lrwxrwxrwx .*bin\/y -> x$/);
  assert.match(rows[3]!, /^crw------- .* 5, 1 console$/);
});
