// Assembles a small Linux guest from Debian's (or Ubuntu's) packages without installing anything: the distribution's own
// kernel and an initial file system with busybox. Needs apt-get and dpkg-deb, no root.
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Failure } from '../base/failure.ts';
import { characterDevice, cpioArchive, directory, file, type CpioEntry } from '../struct/cpio.ts';
import { TarReader } from '../struct/tar.ts';
import { runChild } from './child-process.ts';

export type GuestArchitecture = 'amd64' | 'i386';

export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
}

export interface PrepareOptions {
  /** The first program of the guest, a shell script. */
  readonly init?: string;
  /** Drivers that are modules of the kernel, by name, in an order in which they load; what the kernel has built in is left out. */
  readonly modules?: readonly string[];
  /** Programs and other files of the initial file system beside busybox. */
  readonly files?: readonly CpioEntry[];
  readonly onProgress?: (progress: Progress) => void;
  /** Where the initial file system goes; else beside the kernel. */
  readonly initrd?: string;
}

export interface Progress {
  readonly step: string;
  readonly percent: number;
}

/** Meta packages that depend on the current kernel: Debian's, then Ubuntu's. */
const KERNEL_PACKAGES: Readonly<Record<GuestArchitecture, readonly string[]>> = {
  amd64: ['linux-image-amd64', 'linux-image-virtual', 'linux-image-generic'],
  i386: ['linux-image-686-pae', 'linux-image-686'],
};

/** Where guests are kept between starts. */
export const cacheFolder = (architecture: GuestArchitecture): string =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'nandu', `guest-${architecture}`);

/** Whether the programs are there that `prepareDebianGuest` runs. */
export const hasDebianTools = (): boolean =>
  ['apt-get', 'apt-cache', 'dpkg-deb'].every((command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0);

/** What a virtio disk needs of Debian's kernel. */
export const VIRTIO_BLK_MODULES = [
  'virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'virtio_blk',
] as const;

const SILENCE_MS_MAX = 60_000;

/** Mounts what a shell expects, greets, and powers off when the shell ends. */
export const SHELL_INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
echo 1 > /proc/sys/kernel/printk
hostname nandu
export HOME=/root PATH=/bin TERM="\${TERM:-vt100}" PS1='nandu:\\w\\$ '
cd /root
stty rows "\${LINES:-24}" cols "\${COLUMNS:-80}" 2>/dev/null
echo
echo "Linux $(uname -r) on nandu: a shell from busybox. 'exit' or Ctrl-D powers off, Ctrl-A x leaves at once."
echo
setsid cttyhack sh
poweroff -f
`;

/** Makes vmlinuz and initrd.gz in `folder`, which may hold what an earlier call has downloaded. */
export async function prepareDebianGuest(
  architecture: GuestArchitecture,
  folder: string,
  options: PrepareOptions = {},
): Promise<GuestFiles> {
  const { init = SHELL_INIT, modules = [], files = [], initrd = join(folder, 'initrd.gz') } = options;
  await mkdir(folder, { recursive: true });
  const kernel = join(folder, 'vmlinuz');
  const busybox = join(folder, 'busybox');
  const isComplete = (await isThere(kernel)) && (await isThere(busybox)) && (modules.length === 0 || (await hasModules(folder, modules)));
  if (!isComplete) await download(architecture, folder, options);
  const loaded = await readModules(folder, modules);
  await writeWhole(initrd, buildInitrd(await readFile(busybox), init, [...loaded, ...files]));
  return { kernel, initrd };
}

/** What was asked for when the modules were kept: a list of names, since not every kernel has each. */
const MODULE_LIST = 'list';
const modulePath = (folder: string, name: string): string => join(folder, 'modules', name);

async function hasModules(folder: string, names: readonly string[]): Promise<boolean> {
  const list = await readFile(modulePath(folder, MODULE_LIST), 'utf8').catch(() => '');
  const kept = new Set(list.split('\n'));
  return names.every((name) => kept.has(name));
}

/** The modules that there are, as files `modules/NN-NAME.ko`, which sort as they load. */
async function readModules(folder: string, names: readonly string[]): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  for (const name of names) {
    const bytes = await readFile(modulePath(folder, name)).catch(() => undefined);
    if (bytes !== undefined) entries.push(file(`modules/${String(entries.length).padStart(2, '0')}-${name}.ko`, bytes));
  }
  return entries.length === 0 ? [] : [directory('modules'), ...entries];
}

/** The initial file system: busybox, the init script, empty mount points and a console. */
export function buildInitrd(busybox: Uint8Array, init: string, files: readonly CpioEntry[] = []): Uint8Array {
  const folders = ['bin', 'dev', 'proc', 'root', 'sys', 'tmp'].map(directory);
  return gzipSync(
    cpioArchive([
      ...folders,
      characterDevice('dev/console', 5, 1),
      file('bin/busybox', busybox, 0o755),
      file('init', new TextEncoder().encode(init), 0o755),
      ...files,
    ]),
  );
}

async function download(architecture: GuestArchitecture, folder: string, options: PrepareOptions): Promise<void> {
  const { onProgress, modules = [] } = options;
  const work = join(folder, 'download');
  for (const path of ['lists/partial', 'cache/archives/partial']) await mkdir(join(work, path), { recursive: true });
  const settings = aptSettings(architecture, work);
  const report = (step: string) => (line: string): void => {
    const percent = /^dlstatus:\d+:(?<percent>[\d.]+):/.exec(line)?.groups?.['percent'];
    if (percent !== undefined) onProgress?.({ step, percent: Number(percent) });
  };
  // One index out of step with its mirror fails the update, and does not matter if the two packages are found.
  const updated = await apt('apt-get', [...settings, '-o', 'APT::Status-Fd=3', 'update'], work, report('package lists')).catch(asFailure);
  const image = await findKernelPackage(architecture, settings, work, updated);
  await apt('apt-get', [...settings, '-o', 'APT::Status-Fd=3', 'download', image, 'busybox-static'], work, report('kernel and busybox'));
  onProgress?.({ step: 'unpacking', percent: 0 });
  const packages = await readdir(work);
  const packageFile = (name: string): string => {
    const found = packages.find((entry) => entry.startsWith(`${name}_`) && entry.endsWith('.deb'));
    if (found === undefined) throw new Failure('not-found', `apt-get downloaded no ${name}`);
    return join(work, found);
  };
  const [kernel, busybox] = await Promise.all([
    extract(packageFile(image), (path) => path.startsWith('boot/vmlinuz-')),
    extract(packageFile('busybox-static'), (path) => /^(usr\/)?bin\/busybox$/.test(path)),
  ]);
  if (modules.length > 0) await keepModules(packageFile(image), folder, modules);
  await writeWhole(join(folder, 'busybox'), busybox);
  await writeWhole(join(folder, 'vmlinuz'), kernel);
  await rm(work, { recursive: true, force: true });
  onProgress?.({ step: 'unpacking', percent: 100 });
}

/** Lists and caches of our own, so that nothing needs root and the host's stay as they are. */
const aptSettings = (architecture: GuestArchitecture, work: string): string[] =>
  [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State::Lists=${join(work, 'lists')}`,
    `Dir::Cache=${join(work, 'cache')}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=', // the folder is ours alone
    'Acquire::Languages=none',
    'Acquire::Retries=2',
  ].flatMap((setting) => ['-o', setting]);

const apt = (command: string, words: readonly string[], cwd: string, onStatus?: (line: string) => void): Promise<string> =>
  runChild(command, words, { cwd, silenceMsMax: SILENCE_MS_MAX, ...(onStatus !== undefined && { onStatus }) });

function asFailure(error: unknown): Failure {
  if (error instanceof Failure && error.kind !== 'not-found') return error;
  throw error;
}

async function findKernelPackage(architecture: GuestArchitecture, settings: string[], work: string, updated: unknown): Promise<string> {
  for (const meta of KERNEL_PACKAGES[architecture]) {
    const dependencies = await apt('apt-cache', [...settings, 'depends', meta], work).catch(asFailure);
    const image = typeof dependencies === 'string' ? /^\s*Depends: (linux-image-[^\s<>]+)$/m.exec(dependencies)?.[1] : undefined;
    if (image !== undefined) return image;
  }
  if (updated instanceof Failure) throw updated;
  throw new Failure('not-found', `no kernel package for ${architecture} in the package lists`);
}

/** The contents of the one file of a package that is wanted. */
async function extract(packageFile: string, wanted: (path: string) => boolean): Promise<Uint8Array> {
  const reader = new TarReader((path) => wanted(path.replace(/^\.\//, '')));
  await runChild('dpkg-deb', ['--fsys-tarfile', packageFile], {
    silenceMsMax: SILENCE_MS_MAX,
    onOutput: (chunk) => {
      reader.push(chunk);
      return reader.files.size === 0;
    },
  });
  const [contents] = reader.files.values();
  if (contents === undefined) throw new Failure('not-found', `${packageFile} does not hold what was expected`);
  return contents;
}

/** Writes the modules as `insmod` takes them, and the list of what was asked for last. */
async function keepModules(packageFile: string, folder: string, names: readonly string[]): Promise<void> {
  await mkdir(join(folder, 'modules'), { recursive: true });
  const nameOf = (path: string): string => /\/([^/]+)\.ko(\.[a-z]+)?$/.exec(path)?.[1]?.replaceAll('-', '_') ?? '';
  const reader = new TarReader((path) => path.includes('lib/modules/') && names.includes(nameOf(path)));
  const onOutput = (chunk: Uint8Array): void => reader.push(chunk);
  await runChild('dpkg-deb', ['--fsys-tarfile', packageFile], { silenceMsMax: SILENCE_MS_MAX, onOutput });
  for (const [path, bytes] of reader.files) await writeWhole(modulePath(folder, nameOf(path)), bytes);
  await writeWhole(modulePath(folder, MODULE_LIST), new TextEncoder().encode(names.join('\n')));
}

const isThere = (path: string): Promise<boolean> => readFile(path).then((bytes) => bytes.length > 0, () => false);

/** The file appears complete or not at all. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  await writeFile(partial, bytes);
  await rename(partial, path);
}
