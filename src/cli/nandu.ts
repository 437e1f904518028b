// The command nandu: the friendly form of nandu-system-x86_64, with long options and defaults for a terminal.
import { Failure } from '../base/failure.ts';
import { inContext } from '../schema/command-line.ts';
import { applyCpu, parseMemory } from './option-values.ts';
import { addSerial, initialSettings, type SystemSettings } from './system-settings.ts';
import { report, runSettings } from './system.ts';
import { VERSION } from './version.ts';
import { parseCharTarget } from '../chardev/spec.ts';

const PROGRAM = 'nandu';
/** Not process.stdout.fd: looking at that makes a pipe one that does not wait. */
const STDOUT = 1;

/** What `nandu run` was asked for. */
interface RunRequest {
  readonly settings: SystemSettings;
  readonly files: string[];
  builtin: boolean;
}

interface LongOption {
  readonly name: string;
  /** What the argument is; absent when there is none. */
  readonly argument?: string;
  readonly help: string;
  /** Returns a text when that is all the user wants. */
  apply(request: RunRequest, argument: string): string | void;
}

// prettier-ignore
const RUN_OPTIONS: readonly LongOption[] = [
  { name: 'initrd', argument: 'FILE', help: 'initial RAM disk', apply: ({ settings }, file) => { settings.initrd = file; } },
  { name: 'append', argument: 'TEXT', help: "the kernel's command line (console=ttyS0)", apply: ({ settings }, text) => { settings.append = text; } },
  { name: 'memory', argument: 'SIZE', help: 'guest memory (512M)', apply: ({ settings }, text) => { settings.ramBytes = parseMemory(text); } },
  { name: 'cpu', argument: 'MODEL', help: 'CPU model with features: qemu64, max,-nx', apply: ({ settings }, text) => applyCpu(settings, text) },
  { name: 'serial', argument: 'DEVICE', help: 'where the console goes (mon:stdio); see nandu-system-x86_64 -help',
    apply: ({ settings }, text) => addSerial(settings, parseCharTarget(text)) },
  { name: 'name', argument: 'TEXT', help: 'name of the guest', apply: ({ settings }, text) => { settings.name = text; } },
  { name: 'snapshot', help: 'leave the images as they are: what is written is lost', apply: ({ settings }) => { settings.snapshot = true; } },
  { name: 'stay', help: 'restart the guest when it reboots, instead of ending', apply: ({ settings }) => { settings.noReboot = false; } },
  { name: 'builtin', help: 'boot the small guest that is built in', apply: (request) => { request.builtin = true; } },
  { name: 'help', help: 'show this help', apply: () => RUN_HELP },
];

const optionColumn = ({ name, argument }: LongOption): string => `  --${name}${argument === undefined ? '' : ` ${argument}`}`.padEnd(20);

const RUN_HELP: string = `usage: nandu run [KERNEL] [IMAGE]... [OPTION]...

Boots KERNEL (a Linux bzImage, Multiboot or PVH ELF file) with its console on this terminal; without it, the first
IMAGE of a disk or CD that can be booted. Without either it boots Linux to a shell, downloading a kernel the first time.

${RUN_OPTIONS.map((option) => `${optionColumn(option)}${option.help}\n`).join('')}
Ctrl-A x leaves, Ctrl-A h helps.
`;

const HELP = `nandu ${VERSION}: a PC in TypeScript

usage: nandu run [KERNEL] [OPTION]...   boot a kernel, or Linux to a shell
       nandu run IMAGE... [OPTION]...   boot from images of disks and CDs
       nandu run --help                 the options
       nandu img COMMAND …              disk images: create, convert, info, check, …
       nandu img --help                 all of its commands and options
       nandu trace FILE                 print a trace file
       nandu latency                    where the time of disk requests goes, measured in a guest
       nandu profile -- OPTION...       run a machine and show where the time goes, in guest and host
       nandu top                        the machines that run here, and what they do
       nandu --version

nandu-system-x86_64 takes QEMU's options.
`;

export async function main(words: readonly string[] = process.argv.slice(2)): Promise<never> {
  process.exit(await report(PROGRAM, () => command(words)));
}

async function command(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words;
  if (name === 'run') return run(rest);
  if (name === 'img') return image(rest);
  if (name === 'trace') return trace(rest);
  if (name === 'latency') return latency(rest);
  if (name === 'profile') return profile(rest);
  if (name === 'top') return top(rest);
  if (name === '--version' || name === 'version') return print(`nandu ${VERSION}\n`);
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') return print(HELP);
  throw new Failure('invalid-argument', `unknown command '${name}' (see nandu --help)`);
}

async function image(words: readonly string[]): Promise<number> {
  const { runImg } = await import('./image-tools/img.ts');
  const { processIo } = await import('./image-tools/process-io.ts');
  return runImg(words, processIo(`${PROGRAM} img`));
}

async function latency(words: readonly string[]): Promise<number> {
  const { runLatency } = await import('./latency.ts');
  return printingMuch((out) => runLatency(words, out));
}

async function profile(words: readonly string[]): Promise<number> {
  const { runProfile } = await import('./profile.ts');
  return printingMuch((out) => runProfile(words, out));
}

async function top(words: readonly string[]): Promise<number> {
  const { runTop } = await import('./top.ts');
  return runTop(words, (text) => void process.stdout.write(text));
}

async function trace(words: readonly string[]): Promise<number> {
  const { runTrace } = await import('./trace.ts');
  return printingMuch((out) => runTrace(words, out));
}

/** For what may be longer than a pipe holds: all of it is written before the process ends. */
async function printingMuch(action: (out: (text: string) => void) => Promise<number>): Promise<number> {
  const { LogWriter } = await import('../platform/node/log-writer.ts');
  const writer = new LogWriter(STDOUT);
  try {
    return await action((text) => writer.write(text));
  } finally {
    writer.flush();
  }
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

async function run(words: readonly string[]): Promise<number> {
  const settings = { ...initialSettings(), nographic: true, noReboot: true, ramBytes: parseMemory('512M') };
  const request: RunRequest = { settings, files: [], builtin: false };
  const answer = parseRun(words, request);
  if (answer !== undefined) return print(answer);
  await sortFiles(request);
  if (settings.kernel === undefined && settings.drives.length > 0) {
    if (settings.append !== undefined) throw new Failure('invalid-argument', '--append only goes with a kernel');
    settings.noReboot = false; // an installed system restarts
    return runSettings(PROGRAM, settings);
  }
  if (settings.kernel === undefined) return startWithoutKernel(request);
  settings.append ??= 'console=ttyS0';
  return runSettings(PROGRAM, settings);
}

/** Which of the files is the kernel; the others become virtio disks and one CD. */
async function sortFiles({ settings, files }: RunRequest): Promise<void> {
  if (files.length === 0) return;
  const { bootFileKind } = await import('./boot-file.ts');
  const { cdImage } = await import('./drive-options.ts');
  for (const file of files) {
    const kind = bootFileKind(file);
    if (kind === 'disk') settings.drives.push({ interface: 'virtio', file, media: 'disk', origin: file });
    else if (kind === 'cd') settings.drives.push(cdImage(file, file));
    else if (settings.kernel !== undefined) throw new Failure('invalid-argument', `${file}: there is a kernel already`);
    else settings.kernel = file;
  }
}

async function startWithoutKernel({ settings, builtin }: RunRequest): Promise<number> {
  if (settings.initrd !== undefined) throw new Failure('invalid-argument', '--initrd only goes with a kernel');
  if (settings.append !== undefined) throw new Failure('invalid-argument', '--append only goes with a kernel');
  const { startGuest } = await import('./start-guest.ts');
  return startGuest({ builtin, ramBytes: settings.ramBytes });
}

function parseRun(words: readonly string[], request: RunRequest): string | undefined {
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    if (!word.startsWith('-')) {
      request.files.push(word);
      continue;
    }
    const [name, inline] = splitAtEquals(word === '-h' ? '--help' : word);
    const option = RUN_OPTIONS.find((candidate) => `--${candidate.name}` === name);
    if (option === undefined) throw new Failure('invalid-argument', `${word}: invalid option (see nandu run --help)`);
    if (option.argument === undefined && inline !== undefined) throw new Failure('invalid-argument', `${name}: takes no argument`);
    const argument = option.argument === undefined ? '' : (inline ?? words[++index]);
    if (argument === undefined) throw new Failure('invalid-argument', `${word}: requires an argument`);
    const answer = inContext(name, () => option.apply(request, argument));
    if (typeof answer === 'string') return answer;
  }
  return undefined;
}

function splitAtEquals(word: string): [name: string, value: string | undefined] {
  const equals = word.indexOf('=');
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}
