// Whole files, pipes, and what has no end.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { readWholeFile } from './whole-file.ts';

test('a file is read whole, a pipe to its end', async () => {
  assert.deepEqual(Buffer.from(await readWholeFile(import.meta.filename)), readFileSync(import.meta.filename));
  const program = `import(${JSON.stringify(import.meta.resolve('./whole-file.js'))}).then(async ({ readWholeFile }) => {
    console.log((await readWholeFile('/dev/stdin')).length);
  })`;
  const pipe = 'head -c 3000000 /dev/zero | "$0" -e "$1"';
  assert.equal(execFileSync('sh', ['-c', pipe, process.execPath, program], { encoding: 'utf8' }).trim(), '3000000');
});

test('what has no end is too large', async () => {
  await assert.rejects(readWholeFile('/dev/zero'), { code: 'EFBIG' });
});
