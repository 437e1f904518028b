// The commands as a user runs them, as far as they get without booting anything.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VERSION } from '../../src/cli/version.ts';

const cli = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'src', 'cli');

function run(program: 'nandu' | 'system', ...words: string[]) {
  const source = `import { main } from ${JSON.stringify(join(cli, `${program}.js`))}; await main(process.argv.slice(1));`;
  const nodeWords = ['--input-type=module', '-e', source, '--', ...words];
  const { stdout, stderr, status } = spawnSync(process.execPath, nodeWords, { encoding: 'utf8' });
  return { stdout, stderr, status };
}

test('the version is that of package.json', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  assert.equal(VERSION, version);
});

describe('nandu-system-x86_64', () => {
  test('-version', () => {
    assert.deepEqual(run('system', '-version'), {
      stdout: `nandu emulator version ${VERSION}\nCopyright (c) The nandu authors\n`,
      stderr: '',
      status: 0,
    });
  });

  test('-help shows every section and fits 100 columns', () => {
    const { stdout, status } = run('system', '-help');
    assert.equal(status, 0);
    assert.match(stdout, /^nandu emulator version .*\n.*\nusage: nandu-system-x86_64 \[options\]\n\nStandard options:\n/);
    assert.match(stdout, /\n-h or -help {5}display/);
    assert.match(stdout, /\n-nographic {6}no display/);
    assert.deepEqual(stdout.split('\n').filter((line) => line.length > 100), []);
  });

  test('lists', () => {
    assert.match(run('system', '-machine', 'help').stdout, /^Supported machines are:\npc {19}Standard PC/);
    assert.match(run('system', '-cpu', 'help').stdout, /^Available CPUs:\nx86 max /);
    assert.match(run('system', '-accel', 'help').stdout, /\ntcg\n$/);
    assert.match(run('system', '-d', 'help').stdout, /\nint {13}show interrupts/);
    assert.match(run('system', '-chardev', 'help').stdout, /\n {2}stdio\n/);
  });

  test('devices and their properties', () => {
    assert.match(run('system', '-device', 'help').stdout, /^Misc devices:\nname "isa-debug-exit", bus ISA/m);
    const rows = run('system', '-device', 'isa-debug-exit,help').stdout.split('\n');
    assert.equal(rows[0], 'isa-debug-exit options:');
    assert.match(rows[1]!, /^ {2}iobase=<uint32> {8}- .*\(default: 1281\)$/);
    assert.match(rows[2]!, /^ {2}iosize=<uint32> {8}- .*\(default: 2\)$/);
  });

  test('an error is one line with the name of the program', () => {
    assert.deepEqual(run('system', '-foo'), { stdout: '', stderr: 'nandu-system-x86_64: -foo: invalid option\n', status: 1 });
  });
});

describe('nandu', () => {
  test('help', () => {
    assert.match(run('nandu').stdout, /usage: nandu run \[KERNEL\]/);
    assert.match(run('nandu', 'run', '--help').stdout, /--memory SIZE/);
  });

  // prettier-ignore
  const wrong: readonly [words: string, error: string][] = [
    ['walk', "unknown command 'walk' (see nandu --help)"],
    ['run --fast', '--fast: invalid option (see nandu run --help)'],
    ['run --memory', '--memory: requires an argument'],
    ['run --memory=x', "--memory: Parameter 'size' expects a non-negative number below 2^64"],
    ['run --builtin=1', '--builtin: takes no argument'],
    ['run /nonexistent/kernel', "Could not open '/nonexistent/kernel': No such file or directory"],
    ['run a b', "Could not open 'a': No such file or directory"],
    ['run --append x', '--append only goes with a kernel'],
    ['profile -o /nonexistent/p.txt -- -m 32', "Could not write '/nonexistent/p.txt': No such file or directory"],
    ['latency --html /nonexistent/p.html', "Could not write '/nonexistent/p.html': No such file or directory"],
  ];
  for (const [words, error] of wrong) {
    test(words, () => assert.deepEqual(run('nandu', ...words.split(' ')), { stdout: '', stderr: `nandu: ${error}\n`, status: 1 }));
  }
});
