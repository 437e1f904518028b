// Tests of the program that measures, run on this host: it asks for what offsetsOf says, one request at a time and several, and its
// output is whole. Writes of it are zeroes, so that the file shows where they went.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { measureHost } from './host-baseline.ts';
import { HOST_OUTPUT, latencyProgram } from './program.ts';
import { offsetsOf, type Workload } from './workload.ts';

const skip = process.platform === 'linux' && process.arch === 'x64' ? false : 'the program is for Linux on x86-64';
const SPAN_BYTES = 1 << 20;
const BYTES = 4096;

function withFile(use: (path: string, folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-program-'));
  try {
    const path = join(folder, 'file');
    writeFileSync(path, Buffer.alloc(SPAN_BYTES, 1));
    use(path, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(folder: string, path: string, workload: Workload): { readonly status: number | null; readonly stdout: Buffer } {
  const program = join(folder, 'program');
  writeFileSync(program, latencyProgram({ workload, path, direct: false, onHost: true }));
  chmodSync(program, 0o755);
  return spawnSync(program);
}

for (const depth of [1, 8]) {
  for (const random of [false, true]) {
    const what = `${random ? 'random' : 'sequential'} requests, ${depth} at once`;
    test(`${what}, go where they should`, { skip }, () => withFile((path, folder) => {
      const workload = { bytes: BYTES, count: 100, random, isWrite: true, depth, spanBytes: SPAN_BYTES };
      const { status, stdout } = run(folder, path, workload);
      assert.deepEqual([status, stdout.length], [0, HOST_OUTPUT.CLOCKS + 100 * HOST_OUTPUT.STAMP]);
      const bytes = readFileSync(path);
      const written = new Set(offsetsOf(workload));
      for (let at = 0; at < SPAN_BYTES; at += BYTES) {
        const expected = written.has(at) ? 0 : 1;
        assert.ok(bytes.subarray(at, at + BYTES).every((byte) => byte === expected), `the block at ${at}`);
      }
      for (let at = HOST_OUTPUT.CLOCKS; at < stdout.length; at += HOST_OUTPUT.STAMP) {
        assert.ok(stdout.readBigUInt64LE(at) < stdout.readBigUInt64LE(at + 8), 'a request begins before it ends');
      }
    }));
  }
}

test('a disk that is too small or not there is an error', { skip }, () => withFile((path, folder) => {
  const workload = { bytes: BYTES, count: 300, random: false, isWrite: false, depth: 1, spanBytes: 2 * SPAN_BYTES };
  assert.equal(run(folder, path, workload).status, 5);
  assert.equal(run(folder, `${path}.none`, workload).status, 3);
}));

test('the host has a time for each request, and says how', () => withFile((path) => {
  const workload = { bytes: BYTES, count: 50, random: true, isWrite: false, depth: 1, spanBytes: SPAN_BYTES };
  const { totals, by } = measureHost(path, workload, false);
  assert.equal(totals.length, 50);
  assert.ok(totals.every((ns) => ns > 0 && ns < 1e9));
  assert.match(by, /^pread through the page cache, /);
}));
