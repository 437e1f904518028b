// An installed Debian on a disk of its own, for tests: where it lies, overlays on it, a session on its console, and what other programs
// say of the image afterwards. The disk is made by tools/debian-disk.ts (Debian 12, GRUB for the BIOS and for EFI, one ext4 partition,
// root without a password).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { openImage } from '../../src/platform/node/block.ts';
import { commandPath, type GuestProcess } from './guest-process.ts';

/** Where the root file system begins. */
export const ROOT_PARTITION_BYTES = 1 << 20;

const folder = process.env['NANDU_DEBIAN_DISK'] ?? join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'nandu', 'debian-disk');

export const debianDisk = join(folder, 'debian.qcow2');

/** Why there is no disk, for tests to skip. */
export const debianMissing: string | false = !existsSync(debianDisk) && 'no Debian disk: `npm run debian-disk` makes one';

export function run(command: string, ...words: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { encoding: 'utf8', maxBuffer: 1 << 24 });
  assert(error === undefined && status === 0, `${command} ${words.join(' ')}: ${String(error ?? status)}\n${stdout}${stderr}`);
  return stdout + stderr;
}

export const isInstalled = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Makes an image whose contents are the disk's until it is written to, and that may be longer. */
export function debianOverlay(path: string, bytes?: number): string {
  const size = bytes === undefined ? [] : [String(bytes)];
  run(commandPath('nandu-img'), 'create', '-q', '-f', 'qcow2', '-b', debianDisk, '-F', 'qcow2', path, ...size);
  return path;
}

const SECTOR_BYTES = 512;
const EFI_PARTITION_BYTES = 32 << 20;
const EFI_MODULES = [
  'part_msdos', 'fat', 'ext2', 'linux', 'search', 'search_fs_file', 'normal', 'serial', 'terminal', 'configfile', 'echo',
];
const EFI_GRUB = 'search --file --set=root /boot/grub/grub.cfg\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n';

/** Why no EFI system partition can be made. */
export const efiMissing: string | false =
  (!existsSync('/usr/lib/grub/x86_64-efi') || !isInstalled('mformat')) && 'no GRUB for EFI (grub-efi-amd64-bin) or no mtools';

/** An overlay with an EFI system partition behind the disk's end, whose GRUB shows the menu of the root partition. */
export async function debianEfiOverlay(path: string): Promise<string> {
  const disk = await openImage(debianDisk, { readOnly: true });
  const partitionAt = disk.size;
  const mbr = await disk.read(0, SECTOR_BYTES);
  await disk.close();
  const entry = new DataView(mbr.buffer, 446 + 16);
  entry.setUint8(4, 0xef);
  entry.setUint32(8, partitionAt / SECTOR_BYTES, true);
  entry.setUint32(12, EFI_PARTITION_BYTES / SECTOR_BYTES, true);
  const overlay = await openImage(debianOverlay(path, partitionAt + EFI_PARTITION_BYTES));
  await overlay.write(0, mbr);
  await overlay.write(partitionAt, efiPartition(dirname(path)));
  await overlay.close();
  return path;
}

function efiPartition(work: string): Uint8Array {
  const [config, program, partition] = ['grub.cfg', 'BOOTX64.EFI', 'esp.img'].map((name) => join(work, name)) as [string, string, string];
  writeFileSync(config, EFI_GRUB);
  run('grub-mkimage', '-O', 'x86_64-efi', '-c', config, '-p', '/boot/grub', '-o', program, ...EFI_MODULES);
  rmSync(partition, { force: true });
  run('mformat', '-C', '-i', partition, '-T', String(EFI_PARTITION_BYTES / SECTOR_BYTES), '::');
  run('mmd', '-i', partition, '::/EFI', '::/EFI/BOOT');
  run('mcopy', '-i', partition, program, '::/EFI/BOOT/');
  return readFileSync(partition);
}

/** A boot takes half a minute where nothing else runs; this ends one that hangs. */
export const BOOT_MS_MAX = 900_000;

const PROMPT = 'vm:~# ';

/** Logs in on the console of a Debian that is booting. */
export async function logIn(guest: GuestProcess): Promise<void> {
  await guest.waitFor('login: ');
  guest.type('root\n');
  await guest.waitFor(PROMPT);
}

/** What a command writes at the prompt, without its echo. */
export async function runInGuest(guest: GuestProcess, command: string): Promise<string> {
  guest.type(`${command}; echo "end"-$?\n`);
  await guest.waitFor('"end"-$?');
  const output = await guest.waitFor(/^end-\d+\n/m);
  await guest.waitFor(PROMPT);
  const plain = output.replaceAll(/\x1b\[[0-9?;]*[a-zA-Z]/g, '');
  return /\n?([^]*)end-\d+\n$/.exec(plain)![1]!.trim();
}

/** What `seq 1 LAST` writes. */
const numbers = (last: number): string => Array.from({ length: last }, (_, n) => `${n + 1}\n`).join('');

export const WRITTEN_NUMBERS = 400_000;
export const WRITTEN_FILE = '/var/tmp/written';
export const WRITTEN_SHA256 = createHash('sha256').update(numbers(WRITTEN_NUMBERS)).digest('hex');

/** Writes a file whose contents the host knows, and leaves the console at the prompt. */
export async function writeInGuest(guest: GuestProcess): Promise<void> {
  const sum = await runInGuest(guest, `seq 1 ${WRITTEN_NUMBERS} > ${WRITTEN_FILE}; sync; sha256sum < ${WRITTEN_FILE}`);
  assert.equal(sum, `${WRITTEN_SHA256}  -`);
}

/** The state that systemd reports, with the units that have failed. */
export async function systemState(guest: GuestProcess): Promise<string> {
  return runInGuest(guest, 'systemctl is-system-running --wait; systemctl --failed --no-legend');
}

export async function powerOff(guest: GuestProcess): Promise<void> {
  guest.type('poweroff\n');
  const { status, errors } = await guest.exit();
  assert.deepEqual({ status, errors }, { status: 0, errors: '' });
}

/** What qemu-img and e2fsprogs find in an image that the guest has closed: it is clean, and the file that was written is there. */
export function checkWithOthers(image: string): void {
  if (!isInstalled('qemu-img')) return;
  assert.match(run('qemu-img', 'check', image), /No errors were found on the image/);
  if (!existsSync('/sbin/e2fsck')) return;
  const raw = `${image}.raw`;
  try {
    run('qemu-img', 'convert', '-O', 'raw', image, raw);
    const root = `${raw}?offset=${ROOT_PARTITION_BYTES}`;
    run('/sbin/e2fsck', '-fn', root);
    const { stdout } = spawnSync('/sbin/debugfs', ['-R', `cat ${WRITTEN_FILE}`, root], { maxBuffer: 1 << 24 });
    assert.equal(createHash('sha256').update(stdout).digest('hex'), WRITTEN_SHA256, 'the file as debugfs reads it');
  } finally {
    rmSync(raw, { force: true });
  }
}
