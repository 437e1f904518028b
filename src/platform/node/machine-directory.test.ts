// Machines that publish themselves are found; folders that others could use, and sockets that nobody listens on, are not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findMachines, machineFolder, publishMachine } from './machine-directory.ts';

const runtime = mkdtempSync(join(tmpdir(), 'nandu-top-'));
const former = process.env['XDG_RUNTIME_DIR'];
before(() => (process.env['XDG_RUNTIME_DIR'] = runtime));
after(() => {
  if (former === undefined) delete process.env['XDG_RUNTIME_DIR'];
  else process.env['XDG_RUNTIME_DIR'] = former;
  rmSync(runtime, { recursive: true });
});

test('a machine answers with its figures, until it is no longer published', async () => {
  const unpublish = publishMachine(() => ({ version: 1, what: 'figures' }));
  await delay(20);
  assert.equal(statSync(machineFolder()).mode & 0o777, 0o700);
  assert.deepEqual(await findMachines(), [{ pid: process.pid, answer: { version: 1, what: 'figures' } }]);
  unpublish();
  assert.deepEqual(await findMachines(), []);
  assert.deepEqual(readdirSync(machineFolder()), []);
});

test('a socket of a process that was killed is removed', async () => {
  const path = join(machineFolder(), '99999999.sock');
  const listen = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
  assert.ok(existsSync(path));
  assert.deepEqual(await findMachines(), []);
  assert.ok(!existsSync(path));
});

test('a folder that others may enter is not used', async () => {
  chmodSync(machineFolder(), 0o755);
  publishMachine(() => ({}))();
  assert.deepEqual(readdirSync(machineFolder()), []);
  assert.deepEqual(await findMachines(), []);
  rmSync(machineFolder(), { recursive: true });
  mkdirSync(machineFolder(), { mode: 0o777 });
  chmodSync(machineFolder(), 0o777);
  assert.deepEqual(await findMachines(), []);
});
