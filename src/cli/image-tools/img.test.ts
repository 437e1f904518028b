// What nandu-img has of its own: help and version, JSON progress, interruption, and what it needs no reference for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runImg } from './img.ts';
import type { ToolIo } from './tool-io.ts';

interface Answer {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

async function run(...words: string[]): Promise<Answer> {
  let [out, error] = ['', ''];
  const io: ToolIo = { program: 'nandu-img', isTerminal: false, out: (text) => (out += text), error: (text) => (error += text) };
  const status = await runImg(words, io);
  return { status, out, error };
}

const COMMANDS = [
  'amend',
  'bench',
  'bitmap',
  'check',
  'commit',
  'compare',
  'convert',
  'create',
  'dd',
  'info',
  'map',
  'measure',
  'rebase',
  'resize',
  'snapshot',
];

describe('nandu-img', () => {
  let folder = '';
  const at = (name: string): string => join(folder, name);
  before(() => (folder = mkdtempSync(join(tmpdir(), 'nandu-img-'))));
  after(() => rmSync(folder, { recursive: true }));

  test('the version names the reference', async () => {
    assert.match((await run('--version')).out, /^nandu-img version [\d.]+ \(compatible with qemu-img 7\.2\)\n/);
  });

  test('help lists every command, with and without one', async () => {
    const { status, out } = await run('--help');
    assert.equal(status, 0);
    for (const command of COMMANDS) assert.match(out, new RegExp(`^  ${command} `, 'm'));
    assert.match(out, /^Supported formats: .*\bqcow2\b.*\braw\b/m);
    assert.equal((await run('convert', '-h')).out, out);
  });

  test('every command loads and refuses nonsense', async () => {
    for (const command of COMMANDS) assert.equal((await run(command, '--nonsense')).status, 1, command);
  });

  test('--progress=json is one object a line on standard error', async () => {
    await run('create', '-q', '-f', 'qcow2', at('a'), '1M');
    const { status, out, error } = await run('convert', '--progress=json', '-S', '0', at('a'), at('b'));
    assert.deepEqual([status, out], [0, '']);
    const lines = error
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(lines[0], { command: 'convert', percent: 0 });
    assert.deepEqual(lines.at(-1), { command: 'convert', finished: true });
    assert.ok(lines.some(({ percent }) => percent === 100));
  });

  test('JSON progress of compare, commit and rebase', async () => {
    await run('create', '-q', '-f', 'qcow2', '-b', at('a'), '-F', 'qcow2', at('over'));
    for (const words of [
      ['compare', at('a'), at('a')],
      ['commit', at('over')],
      ['rebase', '-b', at('a'), '-F', 'qcow2', at('over')],
    ]) {
      const [command, ...rest] = words as [string, ...string[]];
      const { status, error } = await run(command, '--progress=json', ...rest);
      assert.equal(status, 0, error);
      assert.match(error, new RegExp(`^\\{"command":"${command}","percent":0\\}\n`));
    }
  });

  test('an interrupted conversion ends by the signal and leaves a sound image', async () => {
    await run('create', '-q', '-f', 'raw', '-o', 'preallocation=full', at('big'), '64M');
    const module = JSON.stringify(new URL('./img.js', import.meta.url).href);
    const script = `import(${module}).then(({ main }) => main(process.argv.slice(1), 'nandu-img'))`;
    const words = ['convert', '-S', '0', '-r', '8M', '-O', 'qcow2', at('big'), at('cut')];
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...words], { stdio: 'ignore' });
    setTimeout(() => child.kill('SIGINT'), 1500);
    const signal = await new Promise((resolve) => child.on('close', (_status, by) => resolve(by)));
    assert.equal(signal, 'SIGINT');
    const { status, out, error } = await run('check', at('cut'));
    assert.equal(status, 0, out + error);
    assert.match(out, /No errors/);
  });
});
