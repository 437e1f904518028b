// What Linux sees of a drive whose image fails: each controller reports the failed request and goes on, and `werror=stop` stops the
// machine until `cont`, after which the guest knows nothing of it. blkdebug makes the failures.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { commandPath, withGuest } from './guest-process.ts';
import { findDiskLinux, linuxWords } from './linux-guest.ts';

const RUN_MS_MAX = 900_000;
const folder = mkdtempSync(join(tmpdir(), 'nandu-disk-errors-'));
after(() => rmSync(folder, { recursive: true }));

const IMAGE_BYTES = 1 << 20;
const SECTOR = 512;
const BAD_SECTOR = 128;
const EIO = 5;
const ENOSPC = 28;

/** A drive on a new image that fails as the rule of blkdebug says. */
function failingDrive(id: string, rule: Readonly<Record<string, string | number>>, ...more: string[]): string[] {
  const path = join(folder, `${id}.raw`);
  writeFileSync(path, '');
  truncateSync(path, IMAGE_BYTES);
  const rules = Object.entries(rule).map(([name, value]) => `file.inject-error.0.${name}=${value}`);
  const image = ['driver=raw', 'file.driver=blkdebug', 'file.image.driver=file', `file.image.filename=${path}`];
  return ['-drive', ['if=none', `id=${id}`, ...image, ...rules, ...more].join(',')];
}

const unreadable = (id: string): string[] => failingDrive(id, { event: 'none', iotype: 'read', errno: EIO, sector: BAD_SECTOR });

/** The driver of a disk's controller, what Linux says of the error, and the device. */
// prettier-ignore
const CONTROLLERS: readonly (readonly [name: string, driver: string, message: RegExp, device: readonly string[]])[] = [
  ['virtio-blk', 'virtio_blk', /I\/O error, dev DISK, sector 128 op 0x0:\(READ\)/, ['-device', 'virtio-blk-pci,drive=d0']],
  ['virtio-scsi', 'virtio_scsi', /Sense: Unrecovered read error[^]*critical medium error, dev DISK, sector 128 /, ['-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=d1']],
  ['AHCI', 'ahci', /error: \{ UNC \}[^]*error, dev DISK, sector 128 /, ['-device', 'ahci,id=a', '-device', 'ide-hd,bus=a.0,drive=d2']],
  ['IDE', 'ata_piix', /error: \{ UNC \}[^]*error, dev DISK, sector 128 /, ['-device', 'ide-hd,drive=d3']],
  ['NVMe', 'nvme', /DISK: I\/O Cmd\(0x2\) @ LBA 128, 1 blocks, I\/O Error \(sct 0x2 \/ sc 0x81\)/, ['-device', 'nvme,drive=d4,serial=1']],
];

const COMMANDS = `
for disk in /sys/block/[vsn]*; do
  name=\${disk##*/}
  path=$(readlink -f $disk/device)
  while [ -n "$path" ]; do # upwards, to the first driver that is a controller's
    driver=$(readlink $path/driver)
    driver=\${driver##*/}
    case $driver in virtio_blk|virtio_scsi|ahci|ata_piix|nvme) echo "DISK $name $driver"; break;; esac
    path=\${path%/*}
  done
done
for disk in vda sda sdb sdc nvme0n1; do
  dmesg -c > /dev/null
  echo "READ $disk"
  dd if=/dev/$disk of=/dev/null bs=${SECTOR} skip=${BAD_SECTOR} count=1 iflag=direct 2>/dev/null && echo "no error"
  dd if=/dev/$disk of=/dev/null bs=${SECTOR} skip=0 count=${BAD_SECTOR} iflag=direct 2>/dev/null && echo "good sectors read"
  dmesg
  echo "END"
done
echo "WRITING"
yes ${'x'.repeat(SECTOR - 1)} | head -n 1 | dd of=/dev/vdb bs=${SECTOR} seek=${BAD_SECTOR} count=1 oflag=direct && echo "WROTE"
dmesg | grep -c 'dev vdb' || echo "nothing of vdb"
`;

const words = [
  ...CONTROLLERS.flatMap(([, , , device], n) => [...unreadable(`d${n}`), ...device]),
  ...failingDrive('full', { event: 'none', iotype: 'write', errno: ENOSPC, sector: BAD_SECTOR, once: 'on' }, 'werror=stop'),
  '-device', 'virtio-blk-pci,drive=full',
];

const linux = await findDiskLinux(COMMANDS);

describe('Linux on drives that fail', { skip: linux.missing ?? false, timeout: 2 * RUN_MS_MAX }, () => {
  let output = '';
  let whileStopped = '';

  before(async () => {
    if (linux.missing !== undefined) return;
    await withGuest(commandPath('nandu-system-x86_64'), linuxWords(linux.kernel, linux.initrd, ...words), RUN_MS_MAX, async (guest) => {
      await guest.waitFor('\nWRITING\n');
      guest.type('\x01c'); // to the monitor
      do {
        guest.type('info status\n');
      } while (!/io-error/.test((whileStopped = await guest.waitFor(/VM status: .*\n/))));
      assert.doesNotMatch(guest.output, /^WROTE$/m);
      guest.type('cont\n\x01c');
      output = (await guest.exit()).output;
    });
  });

  for (const [name, driver, message] of CONTROLLERS) {
    test(`${name} reports a read that fails, and reads on`, () => {
      const disk = new RegExp(`^DISK (\\w+) ${driver}$`, 'm').exec(output)?.[1];
      assert.notEqual(disk, undefined, output);
      const part = new RegExp(`^READ ${disk}\\n([^]*?)^END$`, 'm').exec(output)?.[1] ?? '';
      assert.match(part, new RegExp(message.source.replace('DISK', disk!)));
      assert.match(part, /^good sectors read$/m);
      assert.doesNotMatch(part, /^no error$/m);
    });
  }

  test('werror=stop stops the machine at a full disk; after cont the write is done and the guest has seen nothing', () => {
    assert.match(whileStopped, /VM status: paused \(io-error\)/);
    assert.match(output, /^WROTE$/m);
    assert.match(output, /^nothing of vdb$/m);
    assert.equal(readFileSync(join(folder, 'full.raw')).subarray(BAD_SECTOR * SECTOR, BAD_SECTOR * SECTOR + 4).toString(), 'xxxx');
  });
});
