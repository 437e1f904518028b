#!/usr/bin/env node
// Makes a fresh clone ready: installs the npm packages and builds, each only when something changed. Plain JavaScript
// because it runs before anything is compiled. `--quiet` prints nothing unless there is work or an error; `--packages` does not
// build.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stampFile = join(root, 'dist', '.setup-stamp');

function hashOf(paths) {
  const hash = createHash('sha256');
  const walk = (path) => {
    const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) { if (entry.name !== 'generated') walk(child); }
      else if (/\.(ts|mjs|json)$/.test(entry.name)) hash.update(child.slice(root.length)).update(readFileSync(child));
    }
  };
  for (const path of paths) {
    if (path.endsWith('.json')) hash.update(readFileSync(path)); else if (existsSync(path)) walk(path);
  }
  return hash.update(process.version).digest('hex');
}

function run(what, command, args) {
  process.stderr.write(`nandu: ${what} ...\n`);
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', shell: process.platform === 'win32' });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}nandu: ${what} failed\n`);
  process.exit(1);
}

const at = (...parts) => join(root, ...parts);
const lockHash = createHash('sha256').update(readFileSync(at('package-lock.json'))).digest('hex');
const installStamp = at('node_modules', '.nandu-stamp');
if (!existsSync(installStamp) || readFileSync(installStamp, 'utf8') !== lockHash) {
  run('installing packages', 'npm', ['ci', '--no-audit', '--no-fund']);
  writeFileSync(installStamp, lockHash);
}
if (process.argv.includes('--packages')) process.exit(0);
const sources = hashOf([at('package.json'), at('package-lock.json'), at('tsconfig.json'), at('src'), at('tools'), at('test'), at('assembly')]);
if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== sources) {
  run('building', 'npm', ['run', '--silent', 'build']);
  mkdirSync(at('dist'), { recursive: true });
  writeFileSync(stampFile, sources);
}
if (!process.argv.includes('--quiet')) process.stderr.write('nandu: ready\n');
