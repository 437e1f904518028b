// Where the repository is, and what it holds.
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The compiled tree that this program belongs to. */
export const distFolder = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The folder with package.json: above the compiled tree, or the current one when that was built elsewhere. */
export const repositoryRoot = existsSync(join(distFolder, '..', 'tsconfig.json')) ? join(distFolder, '..') : process.cwd();

const SKIPPED = new Set(['node_modules', 'dist', '.git', 'generated', 'scratch']);

/** Every file of the repository, relative to its root, with forward slashes. */
export function repositoryFiles(folder = ''): string[] {
  return readdirSync(join(repositoryRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) return [path];
    return SKIPPED.has(entry.name) ? [] : repositoryFiles(path);
  });
}
