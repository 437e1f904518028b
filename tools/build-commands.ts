// Makes the commands' bundles: dist/commands/NAME.cjs, one file with all that a command may load, because most of a short
// command's time would be the search for its ninety modules; modules in it still run when they are first imported. Beside
// it NAME.cache, the code that V8 compiled while the command did what it is usually asked for; bin/start.cjs uses both.
// `build-commands.js --cache NAME` is the process that makes one of these caches.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Script } from 'node:vm';
import type { ToolIo } from '../src/cli/image-tools/tool-io.ts';
import { bundle } from './bundle.ts';
import { distFolder, repositoryRoot } from './repository.ts';

/** What an entry of a command exports, as far as it is used here. */
interface CommandExports {
  main(words: readonly string[]): Promise<unknown>;
  runImg(words: readonly string[], io: ToolIo): Promise<number>;
  runIo(words: readonly string[], io: ToolIo): Promise<number>;
}

interface Command {
  /** The module of its `main`, from dist/src. */
  readonly entry: string;
  /** Does what the command is usually asked for, in `folder`, which is empty at first. */
  rehearse(command: CommandExports, folder: string): Promise<unknown>;
}

/** A ROM that gives the power management its ports (PIIX4 registers 40h and 80h) and powers the machine off. */
// prettier-ignore
const POWER_OFF = [
  0x66, 0xb8, 0x40, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef, // mov eax, 80000b40h; mov dx, 0cf8h; out dx, eax
  0xb2, 0xfc, 0xb8, 0x01, 0x06, 0xef, // mov dl, 0fch; mov ax, 601h; out dx, ax
  0x66, 0xb8, 0x80, 0x0b, 0x00, 0x80, 0xb2, 0xf8, 0x66, 0xef, // mov eax, 80000b80h; mov dl, 0f8h; out dx, eax
  0xb2, 0xfc, 0xb0, 0x01, 0xee, // mov dl, 0fch; mov al, 1; out dx, al
  0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, // mov dx, 604h; mov ax, 2000h (SLP_EN); out dx, ax; hlt
];
/**
 * Reads the second counter of the PIT and the TSC. A kernel that compares the two has twelve reads to make within 256 counts, 215 us, and
 * compiling what they come to takes half of that.
 */
// prettier-ignore
const READ_TIMERS = [
  0xe4, 0x61, 0x24, 0xfd, 0x0c, 0x01, 0xe6, 0x61, // in al, 61h; and al, 0fdh; or al, 1; out 61h, al
  0xb0, 0xb0, 0xe6, 0x43, 0xb0, 0xff, 0xe6, 0x42, 0xe6, 0x42, // mov al, 0b0h; out 43h, al; mov al, 0ffh; out 42h, al; out 42h, al
  0xe4, 0x42, 0xe4, 0x42, 0x0f, 0x31, // in al, 42h; in al, 42h; rdtsc
];
const ROM_CODE = [...READ_TIMERS, ...POWER_OFF];

const ROM_BYTES = 65536;
const RESET_VECTOR = ROM_BYTES - 16;

// prettier-ignore
const COMMANDS: Readonly<Record<string, Command>> = {
  'nandu-img':           { entry: 'cli/image-tools/img.js', rehearse: rehearseImg },
  'nandu-io':            { entry: 'cli/image-tools/io.js',  rehearse: rehearseIo },
  'nandu-nbd':           { entry: 'cli/nbd.js',             rehearse: ({ main }) => main(['--version']) },
  'nandu-system-x86_64': { entry: 'cli/system.js',          rehearse: rehearseMachine },
  'nandu':               { entry: 'cli/nandu.js',           rehearse: rehearseProfile },
};

const silent: ToolIo = { program: 'nandu-img', isTerminal: false, out: () => {}, error: () => {} };

async function rehearseImg({ runImg }: CommandExports, folder: string): Promise<void> {
  const [raw, image, copy] = ['a.raw', 'a.qcow2', 'b.qcow2'].map((name) => join(folder, name));
  writeFileSync(raw!, Buffer.alloc(1 << 20, 'nandu'));
  // prettier-ignore
  const lines = [
    ['create', '-f', 'qcow2', copy!, '1M'], ['info', copy!], ['convert', '-O', 'qcow2', raw!, image!], ['info', image!],
    ['check', image!], ['map', image!], ['compare', raw!, image!], ['convert', '-O', 'raw', image!, raw!], ['snapshot', '-l', image!],
  ];
  for (const words of lines) await expectSuccess(words, () => runImg(words, silent));
}

async function rehearseIo({ runIo }: CommandExports, folder: string): Promise<void> {
  const raw = join(folder, 'a.raw');
  writeFileSync(raw, Buffer.alloc(1 << 20));
  const words = ['-f', 'raw', '-c', 'write 0 64k', '-c', 'read 0 64k', raw];
  await expectSuccess(words, () => runIo(words, silent));
}

async function rehearseMachine({ main }: CommandExports, folder: string): Promise<unknown> {
  return main(machineThatEnds(folder));
}

/** What `nandu run` does is in it too. */
async function rehearseProfile({ main }: CommandExports, folder: string): Promise<unknown> {
  return main(['profile', '-o', join(folder, 'profile'), '--', ...machineThatEnds(folder)]);
}

function machineThatEnds(folder: string): string[] {
  const rom = new Uint8Array(ROM_BYTES);
  rom.set(ROM_CODE, RESET_VECTOR - ROM_CODE.length);
  rom.set([0xeb, 256 - ROM_CODE.length - 2], RESET_VECTOR); // jmp back to where the code begins
  writeFileSync(join(folder, 'rom'), rom);
  return ['-nographic', '-m', '16', '-bios', join(folder, 'rom')];
}

async function expectSuccess(words: readonly string[], run: () => Promise<number>): Promise<void> {
  const status = await run();
  if (status !== 0) throw new Error(`${words.join(' ')}: status ${status}`);
}

const commandsFolder = join(distFolder, 'commands');
const cacheFile = (name: string): string => join(commandsFolder, `${name}.cache`);

async function bundleAll(): Promise<void> {
  rmSync(commandsFolder, { recursive: true, force: true }); // a cache must never meet another bundle than its own
  const entries = Object.fromEntries(Object.entries(COMMANDS).map(([name, { entry }]) => [name, join(distFolder, 'src', entry)]));
  await bundle({ entries, folder: commandsFolder });
}

/** In a process of its own, because a command may end it. */
function makeCache(name: string): void {
  const { status, stderr } = spawnSync(process.execPath, [import.meta.filename, '--cache', name], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
}

async function rehearse(name: string): Promise<void> {
  const { run } = createRequire(import.meta.url)(join(repositoryRoot, 'bin', 'start.cjs')) as {
    run(command: string): { readonly script: Script; readonly exports: CommandExports };
  };
  const folder = mkdtempSync(join(tmpdir(), 'nandu-build-'));
  const { script, exports } = run(name);
  process.on('exit', () => {
    rmSync(folder, { recursive: true });
    writeFileSync(`${cacheFile(name)}.new`, script.createCachedData());
    renameSync(`${cacheFile(name)}.new`, cacheFile(name));
  });
  await COMMANDS[name]!.rehearse(exports, folder);
}

const [flag, name] = process.argv.slice(2);
if (flag === '--cache') {
  await rehearse(name!);
} else {
  mkdirSync(distFolder, { recursive: true });
  await bundleAll();
  Object.keys(COMMANDS).forEach(makeCache);
}
