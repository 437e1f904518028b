// An installed Debian from its own boot loader: on every disk controller, with every firmware. GRUB's menu, login, systemd's verdict,
// power-off; then what QEMU's tools and e2fsprogs say of the image. Needs the disk that `npm run debian-disk` makes.
// One case: node --test --test-name-pattern='SeaBIOS, NVMe' dist/test/guest/debian.guest.full.test.js
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, createReadStream, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  BOOT_MS_MAX, checkWithOthers, debianDisk, debianEfiOverlay, debianMissing, debianOverlay, efiMissing, isInstalled, logIn, powerOff, run,
  runInGuest, systemState, WRITTEN_FILE, WRITTEN_SHA256, writeInGuest,
} from './debian-disk.ts';
import { commandPath, withGuest } from './guest-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-debian-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const system = commandPath('nandu-system-x86_64');
const options = { skip: debianMissing, timeout: BOOT_MS_MAX + 60_000 };

const DRIVE = ['-drive', 'file=IMAGE,if=none,id=d'];
const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  'virtio-blk': ['-drive', 'file=IMAGE,if=virtio'],
  'virtio-scsi': [...DRIVE, '-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=d'],
  'AHCI of q35': ['-M', 'q35', '-hda', 'IMAGE'],
  'AHCI on pc': [...DRIVE, '-device', 'ahci,id=a', '-device', 'ide-hd,bus=a.0,drive=d'],
  IDE: ['-hda', 'IMAGE'],
  NVMe: [...DRIVE, '-device', 'nvme,drive=d,serial=1'],
};

interface Firmware {
  readonly missing: string | false;
  words(): readonly string[];
  image(path: string): string | Promise<string>;
}

const firmwareFile = (path: string): Firmware =>
  ({ missing: !existsSync(path) && `no ${path}`, words: () => ['-bios', path], image: (path) => debianOverlay(path) });

const OVMF = '/usr/share/OVMF';
const FIRMWARES: Readonly<Record<string, Firmware>> = {
  'built-in BIOS': { missing: false, words: () => [], image: (path) => debianOverlay(path) },
  SeaBIOS: firmwareFile('/usr/share/seabios/bios-256k.bin'),
  OVMF: {
    missing: !existsSync(join(OVMF, 'OVMF_CODE_4M.fd')) && 'no ovmf package' || efiMissing,
    image: debianEfiOverlay,
    words() {
      const variables = join(folder, 'variables.fd');
      copyFileSync(join(OVMF, 'OVMF_VARS_4M.fd'), variables);
      const code = `if=pflash,format=raw,readonly=on,file=${join(OVMF, 'OVMF_CODE_4M.fd')}`;
      return ['-drive', code, '-drive', `if=pflash,format=raw,file=${variables}`];
    },
  },
};

const machineWords = (controller: readonly string[], image: string): string[] =>
  ['-m', '512', '-nographic', ...controller.map((word) => word.replace('IMAGE', image))];

for (const [firmware, { missing, words, image: makeImage }] of Object.entries(FIRMWARES)) {
  describe(firmware, { skip: debianMissing || missing }, () => {
    for (const [controller, device] of Object.entries(CONTROLLERS)) {
      test(`${firmware}, ${controller}: Debian boots, runs, powers off and leaves a clean image`, options, async (t) => {
        const image = await makeImage(join(folder, 'disk.qcow2'));
        const start = performance.now();
        const seconds = (): string => ((performance.now() - start) / 1000).toFixed(1);
        await withGuest(system, [...machineWords(device, image), ...words()], BOOT_MS_MAX, async (guest) => {
          await guest.waitFor('GNU GRUB');
          const menu = seconds();
          await logIn(guest);
          const login = seconds();
          await writeInGuest(guest);
          const state = await systemState(guest);
          t.diagnostic(`menu after ${menu} s, login after ${login} s, system state: ${state}`);
          assert.equal(state, 'running');
          await powerOff(guest);
        });
        checkWithOthers(image);
      });
    }
  });
}

/** Of a file, without its gigabytes in memory. */
async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

test('-snapshot: the guest writes and reads back, the image stays byte for byte', options, async () => {
  const before = await sha256(debianDisk);
  await withGuest(system, [...machineWords(CONTROLLERS['virtio-blk']!, debianDisk), '-snapshot'], BOOT_MS_MAX, async (guest) => {
    await logIn(guest);
    await writeInGuest(guest);
    const fromDisk = `dmesg -n 1; echo 3 > /proc/sys/vm/drop_caches; sha256sum < ${WRITTEN_FILE}`;
    assert.equal(await runInGuest(guest, fromDisk), `${WRITTEN_SHA256}  -`);
    await powerOff(guest);
  });
  assert.equal(await sha256(debianDisk), before);
});

const noQemu = !isInstalled('qemu-system-x86_64') && 'no qemu-system-x86_64';

const exchange = { skip: debianMissing || noQemu, timeout: 3 * BOOT_MS_MAX };

test('an overlay that the guest has written boots and reads back in QEMU', exchange, async () => {
  const image = debianOverlay(join(folder, 'exchange.qcow2'));
  const device = CONTROLLERS['virtio-blk']!;
  await withGuest(system, machineWords(device, image), BOOT_MS_MAX, async (guest) => {
    await logIn(guest);
    await writeInGuest(guest);
    await powerOff(guest);
  });
  await withGuest('qemu-system-x86_64', ['-accel', 'tcg', ...machineWords(device, image)], BOOT_MS_MAX, async (guest) => {
    await logIn(guest);
    assert.equal(await runInGuest(guest, `sha256sum < ${WRITTEN_FILE}; rm ${WRITTEN_FILE}; sync`), `${WRITTEN_SHA256}  -`);
    await powerOff(guest);
  });
  // And back again: what QEMU has written, here.
  await withGuest(system, machineWords(device, image), BOOT_MS_MAX, async (guest) => {
    await logIn(guest);
    assert.equal(await runInGuest(guest, `ls ${WRITTEN_FILE}`), `ls: cannot access '${WRITTEN_FILE}': No such file or directory`);
    await powerOff(guest);
  });
  run('qemu-img', 'check', image);
});
