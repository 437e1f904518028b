// Runs the tests: every compiled *.test.js, guest boots (*.guest.test.js) after all others, *.full.test.js only with
// `--full`. `--accel=tcg,promote-at=1` has guests run with everything translated, `--accel=tcg,interpreter=on` with nothing. Other
// arguments select the tests whose path contains one of them.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { distFolder, repositoryRoot } from './repository.ts';

const CONCURRENCY = 2;
const ACCEL = '--accel=';

function testFiles(full: boolean, wanted: readonly string[]): string[] {
  return readdirSync(distFolder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js') && (full || !path.endsWith('.full.test.js')))
    .filter((path) => !isStale(path))
    .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
    .sort();
}

/** Compiled from a source that is no longer there. */
const isStale = (path: string): boolean => !existsSync(join(repositoryRoot, path.replace(/\.js$/, '.ts')));

/** The exit status of the test runner. */
function runTests(files: readonly string[], concurrency: number): number {
  if (files.length === 0) return 0;
  const paths = files.map((path) => relative(process.cwd(), join(distFolder, path)));
  const words = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`, ...paths];
  const { status, signal } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (signal !== null) process.stderr.write(`the test runner ended by ${signal}\n`);
  return status ?? 1;
}

function main(): number {
  const words = process.argv.slice(2);
  const files = testFiles(words.includes('--full'), words.filter((word) => !word.startsWith('-')));
  const accelerator = words.find((word) => word.startsWith(ACCEL));
  if (accelerator !== undefined) process.env['NANDU_TEST_ACCEL'] = accelerator.slice(ACCEL.length);
  const isGuest = (path: string): boolean => path.includes('.guest.');
  if (files.length === 0) {
    process.stderr.write('no test matches\n');
    return 1;
  }
  const unit = runTests(files.filter((path) => !isGuest(path)), CONCURRENCY);
  const guest = runTests(files.filter(isGuest), 1); // boots are timed: one at a time
  return unit || guest;
}

process.exit(main());
