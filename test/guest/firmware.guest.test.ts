// Firmware that others made, where its packages are installed: SeaBIOS boots a boot sector of our own from every controller, OVMF runs
// from flash memory, keeps its variables in the image, and boots Linux from an EFI system partition.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { biosProgramDisk, MARK, WRITTEN_SECTOR } from './bios-program.ts';
import { commandPath, patience, withGuest } from './guest-process.ts';
import { findLinux, initrdWith, shellScript } from './linux-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-firmware-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const system = commandPath('nandu-system-x86_64');

const SEABIOS = '/usr/share/seabios/bios-256k.bin';
const DRIVE = ['-drive', 'file=IMAGE,format=raw,if=none,id=d'];
const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  'IDE of pc': ['-hda', 'IMAGE'],
  'AHCI of q35': ['-M', 'q35', '-hda', 'IMAGE'],
  'virtio-blk on q35': ['-M', 'q35', '-drive', 'file=IMAGE,format=raw,if=virtio'],
  'virtio-scsi': [...DRIVE, '-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=d,bootindex=1'],
  NVMe: [...DRIVE, '-device', 'nvme,drive=d,serial=1'],
};

describe('SeaBIOS', { skip: !existsSync(SEABIOS) && 'no seabios package' }, () => {
  for (const [name, words] of Object.entries(CONTROLLERS)) {
    test(`boots from ${name}`, { timeout: 60_000 * patience }, async () => {
      const image = join(folder, `${name.replaceAll(' ', '-')}.img`);
      writeFileSync(image, biosProgramDisk());
      const all = ['-nographic', '-m', '16', '-bios', SEABIOS, '-device', 'isa-debug-exit,iobase=0x501'];
      const drive = words.map((word) => word.replace('IMAGE', image));
      const { status, output } = await withGuest(system, [...all, ...drive], 50_000, async (guest) => {
        await guest.waitFor('SeaBIOS');
        await guest.waitFor('type a key');
        guest.type('k');
        return guest.exit();
      });
      assert.equal(status, 7, output);
      const written = readFileSync(image).subarray(WRITTEN_SECTOR * 512, WRITTEN_SECTOR * 512 + MARK.length);
      assert.equal(written.toString(), MARK);
    });
  }
});

const OVMF = '/usr/share/OVMF';
const noOvmf = !existsSync(join(OVMF, 'OVMF_CODE_4M.fd')) && 'no ovmf package';
const GRUB = '/usr/lib/grub/x86_64-efi';
const has = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Words for flash memory with variables of its own. */
function flash(variables: string): string[] {
  return [
    '-drive', `if=pflash,format=raw,readonly=on,file=${join(OVMF, 'OVMF_CODE_4M.fd')}`, '-drive', `if=pflash,format=raw,file=${variables}`,
  ];
}

function freshVariables(name: string): string {
  const path = join(folder, name);
  copyFileSync(join(OVMF, 'OVMF_VARS_4M.fd'), path);
  return path;
}

function make(command: string, ...words: string[]): void {
  const { status, stderr, stdout } = spawnSync(command, words, { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
}

const PARTITION = { firstSector: 2048, sizeMib: 62 } as const;

/** A disk with an EFI system partition in an MBR: GRUB, which loads the kernel beside it. */
function efiDisk(kernel: string, initrd: string): string {
  const script = ['search --file --set=root /vmlinuz', 'linux /vmlinuz console=ttyS0 quiet panic=-1', 'initrd /initrd', 'boot', ''];
  writeFileSync(join(folder, 'grub.cfg'), script.join('\n'));
  const modules = ['part_msdos', 'fat', 'linux', 'search', 'search_fs_file', 'boot'];
  make('grub-mkimage', '-O', 'x86_64-efi', '-c', 'grub.cfg', '-p', '/', '-o', 'BOOTX64.EFI', ...modules);
  const [disk, esp] = [join(folder, 'efi.img'), 'esp.img'];
  make('mformat', '-C', '-i', esp, '-T', String(PARTITION.sizeMib * 2048), '-F', '::');
  make('mmd', '-i', esp, '::/EFI', '::/EFI/BOOT');
  make('mcopy', '-i', esp, 'BOOTX64.EFI', '::/EFI/BOOT/');
  make('mcopy', '-i', esp, kernel, '::/vmlinuz');
  make('mcopy', '-i', esp, initrd, '::/initrd');
  const partition = readFileSync(join(folder, esp));
  const image = Buffer.alloc(PARTITION.firstSector * 512 + partition.length);
  image.writeUInt16LE(0xaa55, 510);
  const ENTRY = 446;
  image[ENTRY + 4] = 0xef;
  image.writeUInt32LE(PARTITION.firstSector, ENTRY + 8);
  image.writeUInt32LE(partition.length / 512, ENTRY + 12);
  partition.copy(image, PARTITION.firstSector * 512);
  writeFileSync(disk, image);
  return disk;
}

describe('OVMF', { skip: noOvmf }, () => {
  test('comes to its shell on pc and keeps its variables', { timeout: 120_000 * patience }, async () => {
    const variables = freshVariables('pc.fd');
    const before = readFileSync(variables);
    await withGuest(system, ['-nographic', '-m', '256', ...flash(variables)], 110_000, async (guest) => {
      await guest.waitFor('UEFI Interactive Shell');
    });
    const now = readFileSync(variables);
    assert.equal(now.length, before.length);
    assert.ok(now.includes('BootOrder', 0, 'utf16le') && !before.includes('BootOrder', 0, 'utf16le'));
  });

  const linux = { skip: (!existsSync(GRUB) || !has('mformat')) && 'no GRUB for EFI or mtools', timeout: 180_000 * patience };
  test('boots Linux from an EFI system partition on q35', linux, async (t) => {
    const guest = await findLinux('amd64');
    if (guest.missing !== undefined) return t.skip(guest.missing);
    const disk = efiDisk(guest.kernel, initrdWith('amd64', shellScript()));
    const words = ['-drive', `if=none,id=d,format=raw,file=${disk}`, '-device', 'virtio-blk-pci,drive=d,disable-legacy=on,bootindex=0'];
    const all = ['-M', 'q35', '-nographic', '-m', '512', ...flash(freshVariables('q35.fd')), ...words];
    const { status, output } = await withGuest(system, all, 170_000, async (running) => {
      await running.waitFor('READY');
      running.type('exit\n');
      return running.exit();
    });
    assert.equal(status, 0, output);
  });
});
