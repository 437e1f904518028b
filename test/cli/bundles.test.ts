// The commands start from their bundles, with the code that was compiled when they were made, and without it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VERSION } from '../../src/cli/version.ts';
import { distFolder, repositoryRoot } from '../../tools/repository.ts';

const COMMANDS = ['nandu', 'nandu-img', 'nandu-io', 'nandu-nbd', 'nandu-system-x86_64'];
const bin = (name: string): string => join(repositoryRoot, 'bin', name);

type Run = (name: string, cached: Uint8Array) => { readonly script: { readonly cachedDataRejected: boolean } } | undefined;

test('every command starts', () => {
  for (const name of COMMANDS) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin(name), '--version'], { encoding: 'utf8' });
    assert.deepEqual({ name, status, stderr }, { name, status: 0, stderr: '' });
    assert(stdout.includes(VERSION), stdout);
  }
});

test('compiled code is taken by the Node that made it, and refused when it is damaged', () => {
  const { run } = createRequire(import.meta.url)(bin('start.cjs')) as { run: Run };
  const cached = readFileSync(join(distFolder, 'commands', 'nandu-img.cache'));
  assert.equal(run('nandu-img', cached)?.script.cachedDataRejected, false);
  assert.equal(run('nandu-img', cached.map((byte, index) => (index < 16 ? ~byte : byte))), undefined);
});

test('a machine leaves one of up to five processors to its vCPU', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-bin-'));
  const program = (name: string, lines: string): void => writeFileSync(join(folder, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  program('node', `printf '%s|' "$@"`);
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
  for (const [processors, pool] of [[1, 1], [2, 1], [3, 2], [4, 3], [5, 4], [64, 4]] as const) {
    program('nproc', `echo ${processors}`);
    for (const name of ['nandu', 'nandu-system-x86_64']) {
      const { stdout } = spawnSync(bin(name), ['a b', ''], { encoding: 'utf8', env });
      assert.equal(stdout, `--v8-pool-size=${pool}|${bin(name)}|a b||`);
    }
  }
  rmSync(folder, { recursive: true });
});
