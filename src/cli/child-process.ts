// Runs other programs with a limit on how long they may be silent, and errors in one line.
import { spawn } from 'node:child_process';
import { Failure } from '../base/failure.ts';

export interface ChildOptions {
  readonly cwd?: string;
  /** Killed after this time without any output. */
  readonly silenceMsMax: number;
  /** Standard output as it comes; without it the output is collected. Returning false ends the child early, without error. */
  readonly onOutput?: (chunk: Uint8Array) => boolean | void;
  /** Lines that the child writes to descriptor 3. */
  readonly onStatus?: (line: string) => void;
}

const ERROR_CHARACTERS_MAX = 4000;

/** Resolves with the collected standard output. */
export async function runChild(command: string, words: readonly string[], options: ChildOptions): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C' };
  const child = spawn(command, words, { cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env });
  const output: Uint8Array[] = [];
  let errors = '';
  let silent = false;
  let enough = false;
  const watchdog = setTimeout(() => {
    silent = true;
    child.kill('SIGKILL');
  }, options.silenceMsMax);
  const heard = (): unknown => watchdog.refresh();
  const killWithUs = (): unknown => child.kill('SIGKILL');
  process.once('exit', killWithUs);
  child.stdout!.on('data', (chunk: Buffer) => {
    heard();
    if (enough) return;
    if (options.onOutput === undefined) {
      output.push(chunk);
    } else if (options.onOutput(chunk) === false) {
      enough = true;
      child.kill('SIGKILL');
    }
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    heard();
    errors = (errors + chunk.toString()).slice(-ERROR_CHARACTERS_MAX);
  });
  (child.stdio[3] as NodeJS.ReadableStream).on('data', (chunk: Buffer) => {
    heard();
    for (const line of chunk.toString().split('\n')) options.onStatus?.(line);
  });
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', (error) => reject(new Failure('not-found', `cannot run ${command}: ${error.message}`, { cause: error })));
      child.once('close', resolve);
    });
    if (silent) throw new Failure('io', `${command}: no answer for ${options.silenceMsMax / 1000} seconds`);
    if (status !== 0 && !enough) throw new Failure('io', `${command}: ${lastError(errors) ?? `exit status ${status}`}`);
    return Buffer.concat(output).toString();
  } finally {
    clearTimeout(watchdog);
    process.off('exit', killWithUs);
  }
}

/** Of many lines the last that says "error", else the last. */
function lastError(text: string): string | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.findLast((line) => /^E:/.test(line)) ?? lines.at(-1);
}
