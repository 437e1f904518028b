// The reference of the block tests: qemu-img, qemu-io and qemu-nbd of QEMU 7.2, as Debian 12's qemu-utils brings them. Finds
// them (or installs them where this is root's Debian), runs them, and compares a command of ours with the same command of
// theirs in twin folders. Where there is no reference, `noReference` says why, for a test's `skip`.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ToolIo } from '../../src/cli/image-tools/tool-io.ts';

export type Tool = 'img' | 'io' | 'nbd';
export interface CommandResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const VERSION = '7.2.';
const ENVIRONMENT = { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' };

function installedVersion(): string | undefined {
  const { stdout, status } = spawnSync('qemu-img', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /version (\S+)/.exec(stdout)?.[1] : undefined;
}

function install(): void {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || process.env['NANDU_NO_INSTALL'] !== undefined) return;
  const apt = (...words: string[]): boolean =>
    spawnSync('apt-get', ['-q', '-y', '-o', 'DPkg::Lock::Timeout=180', ...words], { stdio: 'ignore', timeout: 300_000 }).status === 0;
  const packages = ['install', '--no-install-recommends', 'qemu-utils'];
  if (!apt(...packages) && apt('update')) apt(...packages);
}

function why(): string | false {
  if (installedVersion() === undefined) install();
  const version = installedVersion();
  if (version === undefined) return 'qemu-img is not installed (apt-get install qemu-utils)';
  return version.startsWith(VERSION) ? false : `the reference is QEMU 7.2; qemu-img is ${version}`;
}

/** False, or why tests against the reference are skipped: for `test(…, { skip: noReference })`. */
export const noReference: string | false = why();

/** Whether another program is there, for tests that need it. */
export const hasProgram = (name: string): boolean => spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;

export interface RunOptions {
  readonly cwd: string;
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. */
export function runProgram(
  program: string,
  words: readonly string[],
  { cwd, input = '', timeoutMs = 60_000 }: RunOptions,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { cwd, env: ENVIRONMENT, timeout: timeoutMs, killSignal: 'SIGKILL' });
    const texts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    child.stdout.on('data', (chunk: Buffer) => texts.stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => texts.stderr.push(chunk));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, stdout: Buffer.concat(texts.stdout).toString(), stderr: Buffer.concat(texts.stderr).toString() });
    });
  });
}

/**
 * With a key to make, the reference measures how fast it is, and gives up where the clock of processor time did not move
 * meanwhile, as on virtual machines it often does not. Then it is asked again.
 */
const MEASURED_NOTHING = 'Unable to get accurate CPU usage';
const TRIES_MAX = 60;

/** A command of the reference: `runReference('img', ['info', 'a'], { cwd })`. */
export async function runReference(tool: Tool, words: readonly string[], options: RunOptions): Promise<CommandResult> {
  for (let tries = 1; ; tries++) {
    const result = await runProgram(`qemu-${tool}`, words, options);
    if (!result.stderr.includes(MEASURED_NOTHING) || tries === TRIES_MAX) return result;
  }
}

/** Runs the reference, which must succeed; for preparing images. */
export function mustRun(tool: Tool, words: readonly string[], cwd: string): string {
  for (let tries = 1; ; tries++) {
    const { status, stdout, stderr } = spawnSync(`qemu-${tool}`, words, { cwd, env: ENVIRONMENT, encoding: 'utf8' });
    if (stderr.includes(MEASURED_NOTHING) && tries < TRIES_MAX) continue;
    assert.equal(status, 0, `qemu-${tool} ${words.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }
}

const compiled = (tool: Tool): string => join(process.cwd(), 'bin', `nandu-${tool}`);

/** Our command as a child, through a link with the reference's name. */
export function runOursAsChild(tool: Tool, words: readonly string[], options: RunOptions): Promise<CommandResult> {
  const folder = mkdtempSync(join(tmpdir(), 'nandu-link-'));
  const link = join(folder, `qemu-${tool}`);
  symlinkSync(compiled(tool), link);
  return runProgram(process.execPath, [link, ...words], options).finally(() => rmSync(folder, { recursive: true }));
}

/** The entry points of our tools, which tests call in this process. */
export type OurTool = (words: readonly string[], io: ToolIo) => Promise<number>;

/** A `ToolIo` that keeps what is written. */
export class CapturedIo implements ToolIo {
  readonly program: string;
  readonly isTerminal = false;
  stdout = '';
  stderr = '';
  #input: string;

  constructor(program: string, input = '') {
    this.program = program;
    this.#input = input;
  }

  out(text: string): void {
    this.stdout += text;
  }

  error(text: string): void {
    this.stderr += text;
  }

  readLine(): Promise<string | undefined> {
    if (this.#input === '') return Promise.resolve(undefined);
    const end = this.#input.indexOf('\n');
    const line = end < 0 ? this.#input : this.#input.slice(0, end);
    this.#input = end < 0 ? '' : this.#input.slice(end + 1);
    return Promise.resolve(line);
  }
}

/** Our command in this process, which works in `cwd` meanwhile. */
export async function runOurs(tool: Tool, main: OurTool, words: readonly string[], { cwd, input }: RunOptions): Promise<CommandResult> {
  const before = process.cwd();
  const io = new CapturedIo(`qemu-${tool}`, input);
  process.chdir(cwd);
  try {
    const status = await main(words, io);
    return { status, stdout: io.stdout, stderr: io.stderr };
  } finally {
    process.chdir(before);
  }
}

/** Words of a command line: blanks separate, single and double quotes hold together. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const [, ...parts] of line.matchAll(/((?:[^\s'"]|'[^']*'|"[^"]*")+)/g)) {
    words.push(parts[0]!.replace(/'([^']*)'|"([^"]*)"/g, (_all, single?: string, double?: string) => single ?? double ?? ''));
  }
  return words;
}

/** Replaces what differs from run to run. */
export type Mask = readonly [pattern: RegExp, replacement: string];

/**
 * Two folders, in one of which our command runs and in the other the reference's, with the same words. What they say and how
 * they end must be the same; `sameImage` compares what they made.
 */
export class TwinFolders {
  readonly root: string;
  readonly ours: string;
  readonly theirs: string;
  readonly #tools: Partial<Record<Tool, OurTool>>;

  constructor(tools: Partial<Record<Tool, OurTool>>) {
    this.#tools = tools;
    this.root = mkdtempSync(join(tmpdir(), 'nandu-twins-'));
    this.ours = join(this.root, 'ours');
    this.theirs = join(this.root, 'real');
    mkdirSync(this.ours);
    mkdirSync(this.theirs);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Prepares both folders with the reference: `prepare('img create -f raw a 1M')`. */
  async prepare(line: string): Promise<void> {
    const { tool, words } = toolOf(line);
    for (const cwd of [this.ours, this.theirs]) {
      const { status, stdout, stderr } = await runReference(tool, words, { cwd });
      assert.equal(status, 0, `${line}: ${stdout}${stderr}`);
    }
  }

  /** The same file in both folders. */
  write(name: string, writer: (path: string) => void): void {
    for (const folder of [this.ours, this.theirs]) writer(join(folder, name));
  }

  /** Runs `img …`, `io …` on both sides and demands the same answer; returns it. */
  async same(line: string, masks: readonly Mask[] = [], input?: string): Promise<CommandResult> {
    const { tool, words } = toolOf(line);
    const main = this.#tools[tool];
    assert(main !== undefined, `no ${tool} given to TwinFolders`);
    const given = input === undefined ? {} : { input };
    const theirs = await runReference(tool, words, { cwd: this.theirs, ...given });
    const ours = await runOurs(tool, main, words, { cwd: this.ours, ...given });
    assert.deepEqual(this.#masked(ours, this.ours, masks), this.#masked(theirs, this.theirs, masks), line);
    return ours;
  }

  #masked({ status, stdout, stderr }: CommandResult, folder: string, masks: readonly Mask[]): CommandResult {
    const mask = (text: string): string =>
      masks.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text.replaceAll(folder, '<folder>'));
    return { status, stdout: mask(stdout), stderr: mask(stderr) };
  }

  /** The image `name` of both sides: the same bytes, or content, size, check and info that the reference finds equal. */
  async sameImage(name: string, format = 'raw'): Promise<void> {
    const [ours, theirs] = [join(this.ours, name), join(this.theirs, name)];
    if (existsSync(ours) && existsSync(theirs) && readFileSync(ours).equals(readFileSync(theirs))) return;
    const compared = await runReference('img', ['compare', '-f', format, '-F', format, ours, theirs], { cwd: this.root });
    assert.equal(compared.status, 0, `${name}: ${compared.stdout}${compared.stderr}`);
    if (format === 'raw') return;
    const [checkedOurs, checkedTheirs] = await Promise.all(
      [this.ours, this.theirs].map((cwd) => runReference('img', ['check', '-f', format, name], { cwd })),
    );
    assert.deepEqual(withoutEnd(checkedOurs!), withoutEnd(checkedTheirs!), `check of ${name}`);
  }
}

const withoutEnd = ({ status, stdout, stderr }: CommandResult): CommandResult => ({
  status,
  stdout: stdout.replace(/Image end offset: \d+\n/, '').replace(/[\d.]+% fragmented/, 'fragmented'),
  stderr,
});

function toolOf(line: string): { readonly tool: Tool; readonly words: string[] } {
  const [tool, ...words] = splitWords(line);
  assert(tool === 'img' || tool === 'io' || tool === 'nbd', `${line}: begins with img, io or nbd`);
  return { tool, words };
}
