// Where drives and storage devices of the options end up on the board: which controller, which place, which name for firmware,
// and how what does not fit is refused. The controllers themselves are tested beside their code.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MICROVM_DEFAULTS } from '../../src/machine/microvm.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import type { DriveOptions, MachineOptions } from '../../src/vm/options.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-storage-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function image(bytes: number): string {
  const path = join(folder, `image-${files++}`);
  writeFileSync(path, new Uint8Array(bytes).fill(files));
  return path;
}
const disk = (interfaceName: 'ide' | 'none' | 'floppy', more: Partial<DriveOptions> = {}): DriveOptions =>
  ({ interface: interfaceName, file: image(1 << 20), format: 'raw', ...more });

async function withMachine(options: MachineOptions, look: (machine: Awaited<ReturnType<typeof Machine.create>>) => void): Promise<void> {
  const machine = await Machine.create({ builtinGuest: true, ramBytes: 16 << 20, startStopped: true, ...options });
  try {
    look(machine);
  } finally {
    await machine.stop();
  }
}
const places = (machine: Awaited<ReturnType<typeof Machine.create>>): string[] =>
  machine.board.bootDrives.map(({ drive, medium, description }) => `${drive.name} ${medium} ${description}`);

test('drives of pc hang on the IDE channels, the CD on the second one, and answer there', async () => {
  const cd = disk('ide', { index: 2, media: 'cdrom', readOnly: true });
  await withMachine({ drives: [disk('ide'), disk('ide'), cd, disk('floppy', { file: image(1_474_560) })] }, (machine) => {
    assert.deepEqual(places(machine), [
      'ide0-hd0 disk ata0-0', 'ide0-hd1 disk ata0-1', 'ide1-cd0 cdrom ata1-0', 'floppy0 floppy Floppy',
    ]);
    const { ports } = machine.board.bus;
    ports.write(0x1f6, 1, 0xe0);
    ports.write(0x1f2, 1, 1);
    for (const port of [0x1f3, 0x1f4, 0x1f5]) ports.write(port, 1, 0);
    ports.write(0x1f7, 1, 0xec);
    assert.equal(ports.read(0x1f7, 1) & 0x88, 8);
    const words = Array.from({ length: 256 }, () => ports.read(0x1f0, 2));
    assert.equal(words[60], (1 << 20) / 512);
    ports.write(0x70, 1, 0x10);
    assert.equal(ports.read(0x71, 1), 0x40);
  });
});

test('drives of q35 hang on the ports of its AHCI controller', async () => {
  const drives = [disk('ide'), disk('ide', { index: 2, media: 'cdrom', readOnly: true })];
  await withMachine({ machine: { type: 'q35', acpi: true, hpet: true }, drives }, (machine) => {
    assert.deepEqual(places(machine), ['ide0-hd0 disk AHCI/0', 'ide2-cd0 cdrom AHCI/2']);
    assert.equal(machine.board.chipset?.pci.at(31, 2)?.header.name, 'ich9-ahci');
  });
});

test('windows of microvm are taken from the last one on, and a kernel without ACPI is told of them as by QEMU 7.2', async () => {
  const drives = ['a', 'b', 'c'].map((id) => disk('none', { id }));
  const on = (drive: string, bus?: string) => ({ driver: 'virtio-blk-device', ...(bus !== undefined && { bus }), properties: { drive } });
  const devices = [on('a'), on('b'), on('c', 'virtio-mmio-bus.2')];
  const machine = { type: 'microvm', acpi: false, hpet: true };
  await withMachine({ machine, drives, devices }, ({ board }) => {
    assert.equal(
      board.kernelArguments?.(),
      ' virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=512@0xfeb00c00:11 virtio_mmio.device=512@0xfeb00400:7',
    );
    assert.equal(board.bus.mmio.read(0xfeb0_0e08, 4), 2);
    assert.equal(board.bus.mmio.read(0xfeb0_0a08, 4), 0);
  });
  const silent = { ...machine, microvm: { ...MICROVM_DEFAULTS, autoKernelCmdline: false } };
  await withMachine({ machine: silent, drives: [disk('none', { id: 'a' })], devices: [on('a')] }, ({ board }) => {
    assert.equal(board.kernelArguments?.(), '');
  });
});

test('devices take the bus that they name, or the next free place', async () => {
  const drives = ['a', 'b', 'c'].map((id) => disk('none', { id }));
  const devices = [
    { driver: 'ahci', id: 'sata', properties: {} },
    { driver: 'ide-hd', bus: 'sata.3', properties: { drive: 'a' } },
    { driver: 'ide-hd', properties: { drive: 'b' } },
    { driver: 'nvme', properties: { drive: 'c', serial: 's' } },
  ];
  await withMachine({ drives, devices }, (machine) => {
    assert.deepEqual(places(machine), ['a disk AHCI/3', 'b disk ata0-0', 'c disk NVMe disk']);
  });
});

const MICROVM = { type: 'microvm', acpi: true, hpet: true } as const;
const RNG = { driver: 'virtio-rng-device', properties: {} } as const;
const onMicrovm = (...drivers: readonly string[]): MachineOptions => (
  { machine: MICROVM, devices: drivers.map((driver) => ({ driver, properties: {} })) }
);

const refused: readonly (readonly [what: string, options: () => MachineOptions, message: RegExp])[] = [
  ['a third IDE bus', () => ({ drives: [disk('ide', { bus: 2, unit: 0 })] }), /machine type does not support if=ide,bus=2,unit=0/],
  ['a PCI device without PCI', () => onMicrovm('ahci'), /No 'PCI' bus found for device 'ahci'/],
  ['an IDE drive without IDE', () => ({ machine: MICROVM, drives: [disk('ide')] }), /type does not support if=ide,bus=0,unit=0/],
  ['a floppy without a controller', () => ({ machine: MICROVM, drives: [disk('floppy')] }), /does not support if=floppy,bus=0,unit=0/],
  ['a device for a window where there is none', () => ({ devices: [RNG] }), /No 'virtio-bus' bus found for device 'virtio-rng-device'/],
  ['firmware on a board that takes none', () => ({ machine: MICROVM, builtinGuest: false }), /'microvm' boots a kernel and no firmware/],
  ['a ninth virtio device', () => onMicrovm(...Array<string>(9).fill(RNG.driver)), /No 'virtio-bus' bus found/],
  ['a disk that cannot be written', () => ({ drives: [disk('ide', { readOnly: true })] }), /Block node is read-only/],
  [
    'a place that is taken',
    () => ({ drives: [disk('ide'), disk('none', { id: 'x' })], devices: [{ driver: 'ide-hd', properties: { drive: 'x', unit: 0 } }] }),
    /IDE unit 0 is in use/,
  ],
  [
    'a unit beyond the bus',
    () => ({ drives: [disk('none', { id: 'x' })], devices: [{ driver: 'ide-hd', properties: { drive: 'x', unit: 2 } }] }),
    /Can't create IDE unit 2, bus supports only 2 units/,
  ],
];
for (const [what, options, message] of refused) {
  test(`refused: ${what}`, async () => {
    await assert.rejects(withMachine(options(), () => {}), message);
  });
}
