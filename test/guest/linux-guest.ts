// Debian's kernel and busybox with a start script of the tests' own. Kernels are kept where `npm start` keeps them; the
// initial file system is made anew in a temporary folder.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../src/base/failure.ts';
import {
  buildInitrd, cacheFolder, hasDebianTools, prepareDebianGuest, type GuestArchitecture, type GuestFiles,
} from '../../src/cli/debian-guest.ts';

const MOUNTS = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
echo 1 > /proc/sys/kernel/printk
export HOME=/root PATH=/bin PS1='test:# '
`;

export const PROMPT = 'test:# ';

/** Runs the commands, then a shell on the console; its prompt is PROMPT. Powers off when the shell ends. */
export const shellScript = (commands = ''): string => `${MOUNTS}
echo READY
${commands}
setsid cttyhack sh
poweroff -f
`;

/** Ends the first program, which Linux answers with a panic. */
export const PANIC_SCRIPT = `${MOUNTS}\necho READY\nexit 3\n`;

/** Why there is no guest, or the guest. Without a network there is none, which skips tests instead of failing them. */
export type FoundGuest = { readonly missing: string } | (GuestFiles & { readonly missing?: undefined });

const folder = mkdtempSync(join(tmpdir(), 'nandu-guest-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
let scripts = 0;

export async function findLinux(architecture: GuestArchitecture): Promise<FoundGuest> {
  if (!hasDebianTools()) return { missing: 'there is no apt-get for a Linux kernel' };
  try {
    return await prepareDebianGuest(architecture, cacheFolder(architecture));
  } catch (error) {
    if (error instanceof Failure) return { missing: `no ${architecture} kernel: ${error.message}` };
    throw error;
  }
}

/** The path of an initial file system that runs `script`. */
export function initrdWith(architecture: GuestArchitecture, script: string): string {
  const path = join(folder, `initrd-${scripts++}.gz`);
  writeFileSync(path, buildInitrd(readFileSync(join(cacheFolder(architecture), 'busybox')), script));
  return path;
}

/** Drivers of disks and ext4, in an order in which they load. */
// prettier-ignore
const DISK_MODULES: readonly string[] = [
  'virtio_ring', 'virtio', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_mmio', 'virtio_blk',
  'crct10dif_common', 'crc64', 'crc_t10dif', 'crc64_rocksoft', 't10_pi', 'scsi_common', 'scsi_mod', 'sd_mod', 'virtio_scsi',
  'libata', 'libahci', 'ahci', 'ata_piix', 'nvme_core', 'nvme',
  'crc16', 'mbcache', 'crc32c_generic', 'jbd2', 'ext4',
];

/** A 64-bit guest that loads the drivers of disks and ext4, runs the commands, and powers off. */
export async function findDiskLinux(commands: string): Promise<FoundGuest> {
  if (!hasDebianTools()) return { missing: 'there is no apt-get for a Linux kernel' };
  const init = `${MOUNTS}\nfor module in /modules/*; do insmod $module; done\necho READY\n${commands}\npoweroff -f\n`;
  try {
    const kept = `${cacheFolder('amd64')}-disks`;
    return await prepareDebianGuest('amd64', kept, { init, modules: DISK_MODULES, initrd: join(folder, `initrd-${scripts++}.gz`) });
  } catch (error) {
    if (error instanceof Failure) return { missing: `no kernel: ${error.message}` };
    throw error;
  }
}

/** The words that boot a guest on standard input and output. */
export const linuxWords = (kernel: string, initrd: string, ...more: string[]): string[] =>
  ['-m', '256', '-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1', '-nographic', ...more];
