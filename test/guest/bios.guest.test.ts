// The built-in BIOS with real programs: a boot sector of our own on every controller, and GRUB and ISOLINUX where their
// packages are installed, on media that are made here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { biosProgramDisk, MARK, WRITTEN_SECTOR } from './bios-program.ts';
import { commandPath, patience, withGuest } from './guest-process.ts';
import { findLinux, initrdWith, shellScript } from './linux-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-bios-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const system = commandPath('nandu-system-x86_64');
const EXIT_DEVICE = ['-device', 'isa-debug-exit,iobase=0x501'];

const DRIVE = 'file.filename=IMAGE,format=raw,if=none,id=d';
const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  virtio: ['-drive', 'file=IMAGE,format=raw,if=virtio'],
  ide: ['-drive', DRIVE, '-device', 'ide-hd,drive=d'],
  nvme: ['-drive', DRIVE, '-device', 'nvme,drive=d,serial=1'],
  ahci: ['-M', 'q35', '-drive', 'file=IMAGE,format=raw,if=ide'],
};

describe('a boot sector of our own', () => {
  for (const [name, words] of Object.entries(CONTROLLERS)) {
    test(`on ${name}`, { timeout: 60_000 * patience }, async () => {
      const image = join(folder, `${name}.img`);
      writeFileSync(image, biosProgramDisk());
      const all = ['-nographic', '-m', '16', ...EXIT_DEVICE, ...words.map((word) => word.replace('IMAGE', image))];
      const { status, output } = await withGuest(system, all, 50_000, async (guest) => {
        await guest.waitFor('type a key');
        guest.type('k');
        return guest.exit();
      });
      assert.match(output, /PROGRAM\nmemory size\nmemory map\nEDD\nblock read\nblock write\nclock\nwait\ntype a key\nk it was/);
      assert.equal(status, 7, output);
      const written = readFileSync(image).subarray(WRITTEN_SECTOR * 512, WRITTEN_SECTOR * 512 + MARK.length);
      assert.equal(written.toString(), MARK);
    });
  }
});

test('nandu run tells an image from a kernel, and boots it', { timeout: 60_000 * patience }, async () => {
  const image = join(folder, 'run.img');
  writeFileSync(image, biosProgramDisk());
  await withGuest(commandPath('nandu'), ['run', '--snapshot', image], 50_000, async (guest) => {
    await guest.waitFor('type a key');
    guest.type('k');
    await guest.waitFor('k it was');
  });
  assert.deepEqual(new Uint8Array(readFileSync(image)), biosProgramDisk(), 'the image is as it was');
});

const MODULES = '/usr/lib/syslinux/modules/bios';
const ISOLINUX = '/usr/lib/ISOLINUX/isolinux.bin';
const has = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

function make(command: string, ...words: string[]): void {
  const { status, stderr, stdout } = spawnSync(command, words, { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
}

/** A folder with kernel and initial file system, and one of the boot loader's. */
function bootFolder(name: string, kernel: string, initrd: string): string {
  const top = join(folder, name);
  mkdirSync(join(top, 'boot', 'grub'), { recursive: true });
  copyFileSync(kernel, join(top, 'boot', 'vmlinuz'));
  copyFileSync(initrd, join(top, 'boot', 'initrd'));
  return top;
}

const APPEND = 'console=ttyS0 quiet panic=-1';
const linux = await findLinux('amd64');
const noLinux = linux.missing ?? false;

/** Boots a medium to the prompt of the guest's shell, and powers off. */
async function bootsToShell(words: readonly string[], greeting: string | RegExp): Promise<void> {
  const { status, output } = await withGuest(system, ['-nographic', '-m', '256', ...words], 110_000, async (guest) => {
    await guest.waitFor(greeting);
    await guest.waitFor('READY');
    guest.type('exit\n');
    return guest.exit();
  });
  assert.equal(status, 0, output);
}

describe('boot loaders', { skip: noLinux }, () => {
  const initrd = (): string => initrdWith('amd64', shellScript());
  const { kernel } = linux as { kernel: string };

  const hasIsolinux = existsSync(ISOLINUX) && existsSync(join(MODULES, 'ldlinux.c32'));
  const noIsolinux = !(hasIsolinux && has('xorriso')) && 'no isolinux, syslinux-common or xorriso';
  test('ISOLINUX from a CD', { skip: noIsolinux, timeout: 120_000 * patience }, async () => {
    const top = bootFolder('isolinux', kernel, initrd());
    mkdirSync(join(top, 'isolinux'));
    copyFileSync(ISOLINUX, join(top, 'isolinux', 'isolinux.bin'));
    copyFileSync(join(MODULES, 'ldlinux.c32'), join(top, 'isolinux', 'ldlinux.c32'));
    const label = `LABEL linux\nKERNEL /boot/vmlinuz\nINITRD /boot/initrd\nAPPEND ${APPEND}\n`;
    writeFileSync(join(top, 'isolinux', 'isolinux.cfg'), `DEFAULT linux\nTIMEOUT 5\nPROMPT 1\n${label}`);
    const image = ['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', '-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat'];
    make('xorriso', '-as', 'mkisofs', '-quiet', '-o', 'isolinux.iso', ...image, top);
    await bootsToShell(['-cdrom', join(folder, 'isolinux.iso')], 'ISOLINUX');
  });

  const noGrub = !(has('grub-mkrescue') && existsSync('/usr/lib/grub/i386-pc') && has('xorriso')) && 'no grub-mkrescue for BIOS';
  test('GRUB from a CD, and the same image as a hard disk', { skip: noGrub, timeout: 240_000 * patience }, async () => {
    const top = bootFolder('grub', kernel, initrd());
    const entry = `menuentry 'Linux' { linux /boot/vmlinuz ${APPEND}; initrd /boot/initrd; }`;
    writeFileSync(join(top, 'boot', 'grub', 'grub.cfg'), `set timeout=0\n${entry}\n`);
    make('grub-mkrescue', '-d', '/usr/lib/grub/i386-pc', '-o', 'grub.iso', top);
    await bootsToShell(['-cdrom', join(folder, 'grub.iso')], 'GRUB');
    await bootsToShell(['-drive', `file=${join(folder, 'grub.iso')},format=raw,if=virtio,readonly=on`], 'GRUB');
  });
});
