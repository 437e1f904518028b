// Linux on machine `microvm`: it finds its disks behind virtio's windows of registers, which ACPI tells it of, with the
// modern and the legacy interface, and what it writes is in the images. (Debian's kernel takes no windows from its command line.)
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { commandPath, withGuest } from './guest-process.ts';
import { findDiskLinux, linuxWords } from './linux-guest.ts';

const RUN_MS_MAX = 600_000;
const folder = mkdtempSync(join(tmpdir(), 'nandu-microvm-'));
after(() => rmSync(folder, { recursive: true }));

const IMAGE_BYTES = 1 << 20;
/** Each disk is told apart by its size. */
const SECOND_IMAGE_BYTES = 2 * IMAGE_BYTES;

const COMMANDS = `
for disk in vda vdb; do
  device=$(readlink -f /sys/block/$disk/device)
  echo "DISK $disk $(cat /sys/block/$disk/size) $(basename $(readlink $device/../driver)) $(cat $device/features)"
done
yes written-by-the-guest | head -c 65536 | dd of=/dev/vdb bs=4096 seek=16 oflag=direct 2>/dev/null
dd if=/dev/vda bs=4096 iflag=direct 2>/dev/null | md5sum | sed 's/^/SUM /'
dd if=/dev/vdb bs=4096 iflag=direct 2>/dev/null | md5sum | sed 's/^/SUM /'
grep virtio /proc/interrupts | sed 's/^/IRQ /'
sync
`;

const CASES = [
  { name: 'the modern interface, packed rings', words: ['-M', 'microvm', '-global', 'virtio-mmio.force-legacy=off'], modern: true },
  // Without a PIT Linux needs the local APIC's timer in the mode that knows its frequency.
  {
    name: 'the legacy interface, and none of the parts that can be left out',
    words: ['-M', 'microvm,pic=off,pit=off,rtc=off', '-cpu', 'qemu64,+tsc-deadline'], modern: false,
  },
];
/** Features as Linux shows them: a digit a bit. */
const VERSION_1 = 32;
const RING_PACKED = 34;

const linux = await findDiskLinux(COMMANDS);

describe('Linux on machine microvm', { skip: linux.missing ?? false, timeout: 2 * RUN_MS_MAX }, () => {
  for (const [index, { name, words: machine, modern }] of CASES.entries()) {
    test(name, async () => {
      if (linux.missing !== undefined) return;
      const images = [IMAGE_BYTES, SECOND_IMAGE_BYTES].map((bytes, n) => {
        const path = join(folder, `${index}-${n}.raw`);
        writeFileSync(path, Buffer.alloc(bytes, `image ${n}`));
        return path;
      });
      const disks = images.flatMap((path, n) => [
        '-drive', `file=${path},format=raw,if=none,id=d${n}`, '-device', `virtio-blk-device,drive=d${n},packed=${modern ? 'on' : 'off'}`,
      ]);
      const words = linuxWords(linux.kernel, linux.initrd, '-no-reboot', ...machine, ...disks);
      await withGuest(commandPath('nandu-system-x86_64'), words, RUN_MS_MAX, async (guest) => {
        const { status, output, errors } = await guest.exit();
        assert.equal(status, 0, output + errors);
        const found = [...output.matchAll(/^DISK \w+ (?<sectors>\d+) (?<driver>\S+) (?<features>[01]+)$/gm)].map(({ groups }) => groups!);
        assert.deepEqual(found.map(({ sectors }) => Number(sectors) * 512), [IMAGE_BYTES, SECOND_IMAGE_BYTES], output);
        for (const { driver, features } of found) {
          assert.equal(driver, 'virtio-mmio');
          assert.equal(features![VERSION_1], modern ? '1' : '0');
          assert.equal(features![RING_PACKED], modern ? '1' : '0');
        }
        assert.match(output, /^IRQ .*virtio/m);
        assert.equal(readFileSync(images[1]!).subarray(65536, 65536 + 20).toString(), 'written-by-the-guest');
        assert.equal(readFileSync(images[0]!).compare(Buffer.alloc(IMAGE_BYTES, 'image 0')), 0, 'the other image is as it was');
        const sums = images.map((path) => createHash('md5').update(readFileSync(path)).digest('hex'));
        assert.deepEqual([...output.matchAll(/^SUM (\w+) /gm)].map(([, sum]) => sum), sums);
      });
    });
  }
});
