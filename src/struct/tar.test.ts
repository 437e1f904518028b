// Tests of tar.ts, with archives that the tar program writes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TarReader } from './tar.ts';

const missing = spawnSync('tar', ['--version']).status !== 0 && 'there is no tar program';
const LONG = `${'long-folder-name/'.repeat(10)}file`;

function sampleArchive(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-tar-'));
  try {
    mkdirSync(join(folder, LONG, '..'), { recursive: true });
    writeFileSync(join(folder, 'empty'), '');
    writeFileSync(join(folder, 'small'), 'small');
    writeFileSync(join(folder, 'whole-block'), 'b'.repeat(512));
    writeFileSync(join(folder, LONG), 'deep');
    return spawnSync('tar', ['-c', '--format=gnu', '-C', folder, '.'], { maxBuffer: 1 << 24 }).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('wanted files come out whole, whatever the chunks', { skip: missing }, () => {
  const archive = sampleArchive();
  for (const chunkBytes of [1, 7, 511, 512, 513, 100_000]) {
    const reader = new TarReader((path) => !path.endsWith('/small'));
    for (let offset = 0; offset < archive.length; offset += chunkBytes) reader.push(archive.subarray(offset, offset + chunkBytes));
    const files = Object.fromEntries([...reader.files].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]));
    assert.deepEqual(files, { './empty': '', './whole-block': 'b'.repeat(512), [`./${LONG}`]: 'deep' });
  }
});
