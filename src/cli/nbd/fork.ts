// `--fork`: the server goes into the background, and the command returns when it runs. A process of this kind cannot split in two,
// so a second one is started with the same words; it reports through a pipe, and what it says until then is passed on.
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';

const CHILD = 'NANDU_NBD_BACKGROUND';
/** The pipe of the background process, after the inherited descriptors. */
const FIRST_FREE_FD = 3;

/** Whether this process is the one in the background. */
export const isBackground = (): boolean => process.env[CHILD] !== undefined;

/** Starts the background process; the exit status of the command. `inherited` is how many sockets are passed on from fd 3. */
export async function runInBackground(inherited: number): Promise<number> {
  const readyFd = FIRST_FREE_FD + inherited;
  const sockets = Array.from({ length: inherited }, (_, index) => FIRST_FREE_FD + index);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    env: { ...process.env, [CHILD]: String(readyFd) },
    stdio: ['ignore', 'inherit', 'pipe', ...sockets, 'pipe'],
  });
  const ready = child.stdio[readyFd] as NodeJS.ReadableStream;
  child.stderr!.pipe(process.stderr);
  return new Promise((resolve) => {
    ready.once('data', () => resolve(0));
    child.once('error', () => resolve(1));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** In the background process: the server runs, and nobody reads its messages any more. */
export function reportReady(): void {
  const fd = Number(process.env[CHILD]);
  process.stderr.on('error', () => {});
  process.stdout.on('error', () => {});
  writeSync(fd, 'r');
  closeSync(fd);
}
