// The Debian installer from media like its own: an ISO image made of the files of its network boot, with ISOLINUX, that a BIOS starts
// as a CD and, because of the boot record in front, as a hard disk. Judged by the installer's first question.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cacheFolder } from '../../src/cli/debian-guest.ts';
import { isInstalled, run } from './debian-disk.ts';
import { commandPath, withGuest } from './guest-process.ts';

const RUN_MS_MAX = 600_000;
const PACKAGE = 'debian-installer-12-netboot-amd64';
const NETBOOT = 'usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64';
const SYSLINUX = {
  loader: '/usr/lib/ISOLINUX/isolinux.bin', bootRecord: '/usr/lib/ISOLINUX/isohdpfx.bin', modules: '/usr/lib/syslinux/modules/bios',
};

const folder = mkdtempSync(join(tmpdir(), 'nandu-installer-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const kept = join(cacheFolder('amd64'), '..', 'installer');

/** Why there is no installer; downloads it the first time. */
function findInstaller(): string | false {
  const tools = existsSync(SYSLINUX.bootRecord) && existsSync(SYSLINUX.modules) && isInstalled('xorriso') && isInstalled('dpkg-deb');
  if (!tools) return 'no isolinux, syslinux-common or xorriso';
  if (existsSync(join(kept, NETBOOT))) return false;
  mkdirSync(kept, { recursive: true });
  const { status } = spawnSync('apt-get', ['-q', 'download', PACKAGE], { cwd: kept, stdio: 'ignore' });
  if (status !== 0) return `apt-get has no ${PACKAGE}`;
  const archive = readdirSync(kept).find((name) => name.endsWith('.deb'))!;
  run('dpkg-deb', '-x', join(kept, archive), kept);
  rmSync(join(kept, archive));
  return false;
}

function makeImage(path: string): void {
  const top = join(folder, 'medium');
  mkdirSync(join(top, 'isolinux'), { recursive: true });
  for (const name of ['linux', 'initrd.gz']) copyFileSync(join(kept, NETBOOT, name), join(top, name));
  copyFileSync(SYSLINUX.loader, join(top, 'isolinux', 'isolinux.bin'));
  copyFileSync(join(SYSLINUX.modules, 'ldlinux.c32'), join(top, 'isolinux', 'ldlinux.c32'));
  const label = 'LABEL install\nKERNEL /linux\nINITRD /initrd.gz\nAPPEND console=ttyS0 DEBIAN_FRONTEND=text quiet\n';
  writeFileSync(join(top, 'isolinux', 'isolinux.cfg'), `SERIAL 0\nDEFAULT install\nTIMEOUT 5\nPROMPT 1\n${label}`);
  const boot = ['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', '-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat'];
  run('xorriso', '-as', 'mkisofs', '-quiet', '-isohybrid-mbr', SYSLINUX.bootRecord, '-o', path, ...boot, top);
}

const MEDIA: Readonly<Record<string, (image: string) => readonly string[]>> = {
  'a CD on IDE': (image) => ['-cdrom', image],
  'a CD on AHCI': (image) => ['-M', 'q35', '-cdrom', image],
  'a hard disk on virtio': (image) => ['-drive', `file=${image},format=raw,if=virtio,readonly=on`],
};

const missing = findInstaller();

describe('the Debian installer', { skip: missing, timeout: 4 * RUN_MS_MAX }, () => {
  const image = join(folder, 'installer.iso');
  before(() => { if (missing === false) makeImage(image); });

  for (const [name, words] of Object.entries(MEDIA)) {
    test(`from ${name}`, async () => {
      const all = ['-nographic', '-m', '1024', ...words(image)];
      const { status, output } = await withGuest(commandPath('nandu-system-x86_64'), all, RUN_MS_MAX, async (guest) => {
        await guest.waitFor('ISOLINUX');
        await guest.waitFor(/Select a language|Choose the language/);
        guest.type('\x01x');
        return guest.exit();
      });
      assert.equal(status, 0, output);
    });
  }
});
