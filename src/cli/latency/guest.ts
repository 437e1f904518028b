// The guest of `nandu latency`: Debian's kernel with the drivers of the controllers, and one program that does the requests
// (program.ts). What it says on its console is for errors only.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { file } from '../../struct/cpio.ts';
import { cacheFolder, prepareDebianGuest, VIRTIO_BLK_MODULES, type GuestFiles, type Progress } from '../debian-guest.ts';
import { latencyProgram } from './program.ts';
import type { Workload } from './workload.ts';

/** How the disk is attached, and what it is called in the guest. */
export const DRIVERS = {
  virtio: { device: '/dev/vda', words: ['-device', 'virtio-blk-pci,drive=measured'] },
  nvme: { device: '/dev/nvme0n1', words: ['-device', 'nvme,drive=measured,serial=latency'] },
  ahci: { device: '/dev/sda', words: ['-device', 'ahci,id=measured-bus', '-device', 'ide-hd,bus=measured-bus.0,drive=measured'] },
  ide: { device: '/dev/sda', words: ['-device', 'ide-hd,drive=measured'] },
  scsi: { device: '/dev/sda', words: ['-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=measured'] },
} as const;
export type Driver = keyof typeof DRIVERS;

// prettier-ignore
const MODULES = [
  ...VIRTIO_BLK_MODULES,
  'crct10dif_common', 'crc64', 'crc_t10dif', 'crc64_rocksoft', 't10_pi', 'scsi_common', 'scsi_mod', 'virtio_scsi', 'sd_mod',
  'libata', 'libahci', 'ahci', 'ata_piix', 'nvme_core', 'nvme',
] as const;

const PROGRAM = 'measure';
export const GUEST_MARKS = { READY: 'LATENCY-READY', MISSING: 'LATENCY-NO-DISK', ENDED: 'LATENCY-ENDED' } as const;

const script = (device: string): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
for module in /modules/*; do
  insmod $module 2>/dev/null && continue
  xzcat $module > /module.ko 2>/dev/null && insmod /module.ko 2>/dev/null
done
i=0
while [ ! -b ${device} ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
[ -b ${device} ] || echo ${GUEST_MARKS.MISSING}
echo ${GUEST_MARKS.READY}
/${PROGRAM}
echo ${GUEST_MARKS.ENDED} $?
poweroff -f
`;

export interface LatencyGuest extends GuestFiles {
  remove(): void;
}

export async function latencyGuest(driver: Driver, workload: Workload, onProgress: (progress: Progress) => void): Promise<LatencyGuest> {
  const { device } = DRIVERS[driver];
  const program = latencyProgram({ workload, path: device, direct: true, onHost: false });
  const folder = mkdtempSync(join(tmpdir(), 'nandu-latency-'));
  const { kernel, initrd } = await prepareDebianGuest('amd64', cacheFolder('amd64'), {
    init: script(device), modules: MODULES, files: [file(PROGRAM, program, 0o755)], onProgress, initrd: join(folder, 'initrd.gz'),
  });
  return { kernel, initrd, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
