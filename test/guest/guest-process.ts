// A command with a guest in a process of its own, for tests: its output as it comes, keys typed into it, and a limit on
// its time that also ends a guest that hangs. Not a terminal: see pseudo-terminal.ts.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { basename, join } from 'node:path';
import { repositoryRoot } from '../../tools/repository.ts';

export interface GuestExit {
  /** Null when it was killed. */
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

const ERROR_CHARACTERS_MAX = 1500;

/** `npm test -- --accel=tcg,…`: what every nandu-system-x86_64 gets beside its own words. */
const accelerator = process.env['NANDU_TEST_ACCEL'];
/** Guests take so many times as long as a limit was made for. */
export const patience = accelerator === undefined ? 1 : 10;
const withAccelerator = (program: string, words: readonly string[]): readonly string[] =>
  (accelerator === undefined || basename(program) !== 'nandu-system-x86_64' ? words : [...words, '-accel', accelerator]);

/** The path of a command that `npm test` has made ready. */
export const commandPath = (name: string): string => join(repositoryRoot, 'bin', name);

export class GuestProcess {
  /** What it has written to standard output, without carriage returns. */
  output = '';
  errors = '';
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | null>;
  #seen = 0;
  #heard: () => void = () => {};
  #ended = false;

  constructor(program: string, words: readonly string[], { timeoutMs }: { readonly timeoutMs: number }) {
    this.#child = spawn(program, withAccelerator(program, words), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout!.on('data', (bytes: Buffer) => {
      this.output += bytes.toString('latin1').replaceAll('\r', '');
      this.#heard();
    });
    this.#child.stderr!.on('data', (bytes: Buffer) => (this.errors += bytes.toString()));
    this.#child.stdin!.on('error', () => {}); // it ended before it was typed to
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs * patience);
    this.#closed = new Promise((resolve, reject) => {
      this.#child.once('error', reject).once('close', (status) => {
        clearTimeout(timer);
        this.#ended = true;
        this.#heard();
        resolve(status);
      });
    });
  }

  type(text: string): void {
    this.#child.stdin!.write(text);
  }

  /** Resolves with what came since the last match, this one included. Fails when the process ends first. */
  async waitFor(pattern: string | RegExp): Promise<string> {
    for (;;) {
      const rest = this.output.slice(this.#seen);
      const match = typeof pattern === 'string' ? rest.indexOf(pattern) : rest.search(pattern);
      if (match >= 0) {
        const length = typeof pattern === 'string' ? pattern.length : pattern.exec(rest)![0].length;
        this.#seen += match + length;
        return rest.slice(0, match + length);
      }
      assert(!this.#ended, `ended or was killed before it showed ${String(pattern)}:\n${this.#tail()}`);
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
  }

  async exit(): Promise<GuestExit> {
    const status = await this.#closed;
    return { status, output: this.output, errors: this.errors };
  }

  /** Ends it if it is still there; for the end of a test. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #tail(): string {
    return this.output.slice(-ERROR_CHARACTERS_MAX) + this.errors;
  }
}

/** Uses a process and leaves none behind. */
export async function withGuest<T>(
  program: string,
  words: readonly string[],
  timeoutMs: number,
  use: (guest: GuestProcess) => Promise<T>,
): Promise<T> {
  const guest = new GuestProcess(program, words, { timeoutMs });
  try {
    return await use(guest);
  } finally {
    guest.kill();
    await guest.exit();
  }
}
