// The package as its users get it: packed, installed into an empty folder, its commands run, and the
// README's program run against Linux.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { VERSION } from '../../src/cli/version.ts';
import { repositoryRoot } from '../../tools/repository.ts';
import { withGuest } from './guest-process.ts';
import { findLinux, initrdWith, shellScript } from './linux-guest.ts';

const INSTALL_MS_MAX = 120_000;
const RUN_MS_MAX = 180_000;
const linux = await findLinux('amd64');

function run(cwd: string, command: string, ...words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { cwd, encoding: 'utf8', timeout: INSTALL_MS_MAX });
  assert.equal(status, 0, `${command} ${words.join(' ')}: ${error?.message ?? ''}${stdout}${stderr}`);
  return stdout;
}

/** The first program in the README. */
function readmeProgram(): string {
  const program = /```ts\n([^]*?)```/.exec(readFileSync(join(repositoryRoot, 'README.md'), 'utf8'))?.[1];
  assert(program !== undefined);
  return program;
}

describe('the package', { timeout: 2 * (INSTALL_MS_MAX + RUN_MS_MAX) }, () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nandu-package-'));
    run(repositoryRoot, 'npm', 'pack', '--silent', '--pack-destination', folder);
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    run(folder, 'npm', 'install', '--silent', '--prefer-offline', '--no-audit', '--no-fund', `./nandu-${VERSION}.tgz`);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('has its commands', () => {
    assert.equal(run(folder, 'node_modules/.bin/nandu', '--version'), `nandu ${VERSION}\n`);
    assert.match(run(folder, 'node_modules/.bin/nandu-system-x86_64', '-machine', 'help'), /^Supported machines are:\npc /);
  });

  test("runs the README's program", { skip: linux.missing ?? false }, async () => {
    assert(linux.missing === undefined);
    writeFileSync(join(folder, 'program.js'), readmeProgram());
    symlinkSync(linux.kernel, join(folder, 'vmlinuz'));
    symlinkSync(initrdWith('amd64', shellScript()), join(folder, 'initrd.gz'));
    const words = ['-c', `cd '${folder}' && exec '${process.execPath}' program.js`];
    await withGuest('sh', words, RUN_MS_MAX, async (guest) => {
      const { status, output, errors } = await guest.exit();
      assert.deepEqual({ status, output, errors }, { status: 0, output: "{ kind: 'poweroff', code: 0 }\n", errors: '' });
    });
  });
});
