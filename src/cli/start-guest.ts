// Boots Linux to a shell prompt, wherever a kernel can be had: `npm start`, and `nandu run` without a kernel. In this order:
// what an earlier start has cached, Debian's kernel through apt-get, a kernel of this host with its busybox, and last a small
// guest of our own.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../base/failure.ts';
import { isSystemError, systemErrorText } from '../platform/node/system-error.ts';
import type { FileSource } from '../vm/options.ts';
import { buildInitrd, cacheFolder, prepareDebianGuest, SHELL_INIT, type Progress } from './debian-guest.ts';
import { PromptedInput } from './prompted-input.ts';
import { runSettings } from './system.ts';
import { addSerial, initialSettings, type SystemSettings } from './system-settings.ts';

const PROGRAM = 'nandu';
const RAM_BYTES = 256 * 1024 * 1024;
/** The end of the prompt that SHELL_INIT sets; the shell may ask the terminal for its cursor after it. */
const PROMPT = /nandu:[^\n]*[#$] (\x1b\[6n)?$/;

interface Guest {
  readonly from: string;
  /** Absent for the built-in guest. */
  readonly linux?: { readonly kernel: FileSource; readonly initrd: FileSource };
}

const BUILTIN: Guest = { from: 'the small guest that is built into nandu' };

const say = (text: string): void => void process.stderr.write(`${PROGRAM}: ${text}\n`);

async function cachedOrDownloaded(): Promise<Guest> {
  const folder = cacheFolder('amd64');
  const cached = existsSync(join(folder, 'vmlinuz')) && existsSync(join(folder, 'busybox'));
  if (!cached) say(`downloading a Linux kernel with apt-get into ${folder} (once, nothing is installed)`);
  try {
    const linux = await prepareDebianGuest('amd64', folder, { onProgress: showProgress });
    return { from: cached ? `the kernel in ${folder}` : 'the kernel that was just downloaded', linux };
  } finally {
    endProgress();
  }
}

let progressShown = false;

function showProgress({ step, percent }: Progress): void {
  if (!process.stderr.isTTY) return;
  progressShown = true;
  process.stderr.write(`\r\x1b[K${PROGRAM}: ${step} ${percent.toFixed(0)} %`);
}

function endProgress(): void {
  if (progressShown) process.stderr.write('\r\x1b[K');
  progressShown = false;
}

/** The newest kernel of this host, if it and a static busybox can be read. */
function hostKernel(): Guest {
  const kernels = existsSync('/boot') ? readdirSync('/boot').filter((name) => name.startsWith('vmlinuz-')).sort() : [];
  const [busybox] = ['/bin/busybox', '/usr/bin/busybox'].filter((path) => existsSync(path));
  for (const name of kernels.reverse()) {
    try {
      const path = join('/boot', name);
      const kernel = { name: path, bytes: readFileSync(path) };
      if (busybox === undefined) throw new Failure('not-found', `${path} is there, but no busybox for a user space`);
      return { from: path, linux: { kernel, initrd: { name: 'initrd', bytes: buildInitrd(readFileSync(busybox), SHELL_INIT) } } };
    } catch (error) {
      if (error instanceof Failure) throw error; // else not readable: the next one
    }
  }
  throw new Failure('not-found', 'there is no readable /boot/vmlinuz-*');
}

async function findGuest(): Promise<Guest> {
  for (const source of [cachedOrDownloaded, hostKernel]) {
    try {
      return await source();
    } catch (error) {
      if (!(error instanceof Failure) && !isSystemError(error)) throw error;
      say(systemErrorText(error));
    }
  }
  return BUILTIN;
}

export interface StartOptions {
  /** Do not look for Linux. */
  readonly builtin: boolean;
  readonly ramBytes?: number;
}

export async function startGuest({ builtin, ramBytes = RAM_BYTES }: StartOptions): Promise<number> {
  const { from, linux } = builtin ? BUILTIN : await findGuest();
  const settings: SystemSettings = { ...initialSettings(), ramBytes, nographic: true, noReboot: true };
  if (linux === undefined) settings.builtinGuest = true;
  else setUpLinux(settings, linux);
  say(`booting ${from}; Ctrl-A x leaves, Ctrl-A h helps`);
  return runSettings(PROGRAM, settings);
}

function setUpLinux(settings: SystemSettings, { kernel, initrd }: NonNullable<Guest['linux']>): void {
  const { columns = 80, rows = 24 } = process.stdout;
  settings.kernel = kernel;
  settings.initrd = initrd;
  // Words that the kernel does not know become the environment of the first program.
  settings.append = `console=ttyS0 TERM=${process.env['TERM'] ?? 'dumb'} COLUMNS=${columns} LINES=${rows}`;
  if (process.stdin.isTTY) return;
  const spec = { kind: 'stdio', signal: true } as const;
  settings.defaults = false;
  addSerial(settings, { kind: 'new', monitor: false, mux: false, spec });
  settings.chardevs.set('serial0', { spec, mux: false, origin: undefined, backend: new PromptedInput(PROMPT) });
}
