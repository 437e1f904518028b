// `npm run debian-disk [-- FOLDER]`: makes the disk that the tests of Debian boot (test/guest/debian-disk.ts): Debian 12 with systemd,
// GRUB in the MBR and the gap behind it, one ext4 partition, the console on the first serial port, root without a password. Leaves
// debian.qcow2, vmlinuz and initrd.img. Needs root, the network, and mmdebstrap, grub-pc-bin, fdisk and e2fsprogs; takes minutes.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync, closeSync, copyFileSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, truncateSync,
  writeFileSync, writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { debianDisk } from '../test/guest/debian-disk.ts';
import { commandPath } from '../test/guest/guest-process.ts';

const PACKAGES = ['systemd-sysv', 'udev', 'dbus', 'linux-image-amd64', 'kmod', 'sysbench'];
const GRUB = '/usr/lib/grub/i386-pc';
const GRUB_MODULES = ['biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'serial', 'terminal', 'configfile', 'echo'];
const MIB = 1 << 20;
const DISK_MIB = 2048;
const SECTOR_BYTES = 512;
/** The MBR's code ends where the disk's signature begins. */
const MBR_CODE_BYTES = 440;
const SIGNATURE = 0x6e61_6e64;

function run(command: string, words: readonly string[], input = ''): void {
  const { status, error } = spawnSync(command, words, { input, stdio: ['pipe', 'inherit', 'inherit'] });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
}

const grubMenu = (version: string): string => `serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
menuentry 'Debian' {
  linux /boot/vmlinuz-${version} root=PARTUUID=${SIGNATURE.toString(16)}-01 rw console=tty0 console=ttyS0
  initrd /boot/initrd.img-${version}
}
`;

/** Unpacks Debian into a folder and sets it up; returns the kernel's version. */
function installInto(root: string): string {
  run('mmdebstrap', ['--variant=minbase', `--include=${PACKAGES.join(',')}`, 'bookworm', root]);
  const shadow = join(root, 'etc', 'shadow');
  writeFileSync(shadow, readFileSync(shadow, 'utf8').replace(/^root:[^:]*:/m, 'root::'));
  writeFileSync(join(root, 'etc', 'hostname'), 'vm\n');
  appendFileSync(join(root, 'etc', 'fstab'), `PARTUUID=${SIGNATURE.toString(16)}-01 / ext4 defaults 0 1\n`);
  const kernel = readdirSync(join(root, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error('no kernel was installed');
  const version = kernel.slice('vmlinuz-'.length);
  const grub = join(root, 'boot', 'grub');
  mkdirSync(join(grub, 'i386-pc'), { recursive: true });
  writeFileSync(join(grub, 'grub.cfg'), grubMenu(version));
  const isModule = (path: string): boolean => path === GRUB || /\.(mod|lst)$/.test(path);
  cpSync(GRUB, join(grub, 'i386-pc'), { recursive: true, filter: isModule });
  return version;
}

function makeDisk(folder: string, root: string): string {
  const disk = join(folder, 'debian.raw');
  writeFileSync(disk, '');
  truncateSync(disk, DISK_MIB * MIB);
  run('sfdisk', ['-q', disk], `label: dos\nlabel-id: 0x${SIGNATURE.toString(16)}\nstart=${MIB / SECTOR_BYTES}, type=83, bootable\n`);
  run('mke2fs', ['-q', '-t', 'ext4', '-L', 'root', '-d', root, '-E', `offset=${MIB}`, disk, `${DISK_MIB - 1}M`]);
  const core = join(folder, 'core.img');
  run('grub-mkimage', ['-O', 'i386-pc', '-o', core, '-p', '(hd0,msdos1)/boot/grub', ...GRUB_MODULES]);
  const file = openSync(disk, 'r+');
  writeSync(file, readFileSync(join(GRUB, 'boot.img')), 0, MBR_CODE_BYTES, 0);
  writeSync(file, readFileSync(core), 0, undefined, SECTOR_BYTES); // where boot.img looks for it
  closeSync(file);
  rmSync(core);
  return disk;
}

const folder = process.argv[2] ?? dirname(debianDisk);
const root = join(folder, 'root');
mkdirSync(folder, { recursive: true });
if (existsSync(root)) rmSync(root, { recursive: true });
const version = installInto(root);
const disk = makeDisk(folder, root);
copyFileSync(join(root, 'boot', `vmlinuz-${version}`), join(folder, 'vmlinuz'));
copyFileSync(join(root, 'boot', `initrd.img-${version}`), join(folder, 'initrd.img'));
run(commandPath('nandu-img'), ['convert', '-O', 'qcow2', disk, join(folder, 'debian.qcow2')]);
rmSync(disk);
rmSync(root, { recursive: true });
