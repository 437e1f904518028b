// Disk controllers on the conformance bench: with drives that answer at once, and, for the stress run, with slow ones.
import { Prng } from '../base/prng.ts';
import { PciBus } from '../bus/pci-bus.ts';
import type { DmaMemory } from '../ports/dma.ts';
import { AtaDisk } from './ata/ata-disk.ts';
import { AtapiCd } from './ata/atapi-cd.ts';
import { ich9Ahci } from './ata/ich9-ahci.ts';
import { piix3Ide } from './ata/piix3-ide.ts';
import { bench } from './conformance-bench.ts';
import type { ConformanceSubject } from './conformance.ts';
import { isaDma } from './dma/i8237.ts';
import { isaFdc } from './floppy/isa-fdc.ts';
import { MemoryDrive } from './memory-drive.ts';
import { nvme } from './nvme/nvme.ts';
import { MmcDrive } from './scsi/mmc-drive.ts';
import { VirtioBlk } from './virtio/virtio-blk.ts';
import { VirtioMmio } from './virtio/virtio-mmio.ts';
import { VirtioPci } from './virtio/virtio-pci.ts';

/** RAM with something of everything in it, so that what a guest points at by chance is now and then a descriptor. */
function smallRam(): DmaMemory {
  const ram = new Uint8Array(1 << 16);
  const random = new Prng(1);
  for (let at = 0; at < ram.length; at += 4) ram[at + random.below(4)] = random.below(random.oneIn(2) ? 8 : 256);
  return { view: (address, size) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined), written: () => {} };
}

const ataIdentity = { model: 'SAMPLE', serial: 'S1', firmware: '1', wwn: 1n, physicalBlockBytes: 4096, rotationRate: 1 };

function drivesForStress(slow: boolean) {
  const disk = new MemoryDrive({ size: 1 << 20, slow });
  const disc = new MemoryDrive({ size: 64 << 11, readOnly: true, slow });
  const logicalUnit = new MmcDrive({ drive: disc, vendor: 'SAMPLE', product: 'CD', revision: '1', serial: 'C1' });
  const finish = [() => disk.finishOne(), () => disc.finishOne()];
  return { disk, disc, logicalUnit, stimuli: slow ? finish : [] };
}

const ide = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const pci = new PciBus({ bus: base.bus, memory: smallRam(), pirqs: base.irqs.slice(0, 4) });
  const { disk, logicalUnit, stimuli } = drivesForStress(slow);
  const parts = piix3Ide(pci, { irqs: [base.isa.irq(14), base.isa.irq(15)] });
  const cd = new AtapiCd({ logicalUnit, identity: ataIdentity, serialAta: false });
  const hd = new AtaDisk({ drive: disk, identity: ataIdentity, serialAta: false });
  parts.channels[0].units[0] = hd;
  parts.channels[1].units[1] = cd;
  const { ports } = base.bus;
  const commands = [0x20, 0x24, 0x25, 0x30, 0x35, 0x06, 0xc4, 0xc5, 0xc8, 0xca, 0xec, 0xa0, 0xa1, 0xb0, 0x2f, 0xe7, 0x90, 0x08];
  const start = commands.flatMap((code) => [0x1f7, 0x177].map((port) => () => ports.write(port, 1, code)));
  const drain = [0x1f0, 0x170].flatMap((port) => [
    () => { for (let index = 0; index < 300; index++) ports.read(port, 2); },
    () => { for (let index = 0; index < 300; index++) ports.write(port, 2, index & 7 ? 0 : 0x28); },
  ]);
  return {
    ...base,
    stimuli: [...stimuli, ...start, ...drain, () => parts.function.writeConfig(0x20, 4, 0xc001), () => parts.function.writeConfig(4, 2, 5)],
    devices: {
      function: parts.function, hd, cd, logicalUnit, channel0: parts.channels[0], channel1: parts.channels[1],
      master0: parts.masters[0], master1: parts.masters[1], pci,
    },
  };
};

/** A command list at 0 and a region table that make some commands of a guest's whole. */
function commandRam(): { readonly memory: DmaMemory; readonly ram: Uint8Array } {
  const ram = new Uint8Array(1 << 16);
  const memory = {
    view: (address: number, size: number) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined),
    written: () => {},
  };
  return { memory, ram };
}

const ahci = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const { memory, ram } = commandRam();
  const pci = new PciBus({ bus: base.bus, memory, pirqs: base.irqs.slice(0, 4) });
  const { disk, logicalUnit, stimuli } = drivesForStress(slow);
  const cd = new AtapiCd({ logicalUnit, identity: ataIdentity, serialAta: true });
  const hd = new AtaDisk({ drive: disk, identity: ataIdentity, serialAta: true });
  const parts = ich9Ahci(pci, { timers: base.timers, slot: 2 });
  parts.chip.ports[0]!.attach(0, hd);
  parts.chip.ports[1]!.attach(0, cd);
  const random = new Prng(2);
  const view = new DataView(ram.buffer);
  const commands = [0x60, 0x61, 0x25, 0x35, 0xc8, 0xca, 0x06, 0xec, 0xef, 0xb0, 0x2f, 0xa0, 0xa1, 0xe7, 0x20, 0];
  const scribble = (): void => {
    const slot = random.below(32);
    const table = 0x1000 + 0x200 * slot;
    ram.set([random.below(64), 0, random.below(6), 0, 0, 0, 0, 0, 0, table >> 8, 0, 0], 32 * slot);
    ram.set([0x27, random.oneIn(8) ? 0 : 0x80, random.pick(commands)], table);
    ram.set([random.below(4), random.below(256), random.below(16)], table + 3);
    ram.set([0, 0xe0, 0, 0, 0, 0, random.oneIn(2) ? slot << 3 : random.below(256), 0, 0, random.below(8)], table + 6);
    for (let region = 0; region < 5; region++) {
      view.setUint32(table + 0x80 + 16 * region, random.oneIn(20) ? random.u32() : random.below(1 << 16), true);
      view.setUint32(table + 0x8c + 16 * region, random.oneIn(4) ? random.u32() : random.below(4096), true);
    }
  };
  const at = 0xe000_0000;
  const write = (register: number, value: () => number) => () => base.bus.mmio.write(at + register, 4, value());
  const ports = [0x100, 0x180].flatMap((port) => [
    write(port + 0x34, () => random.u32()), write(port + 0x38, () => random.u32()), write(port + 0x38, () => 1 << random.below(31)),
    write(port + 0x18, () => 0x11), write(port + 0x08, () => 0x8000), write(port, () => 0),
  ]);
  const enable = (): void => {
    parts.function.writeConfig(0x24, 4, at);
    parts.function.writeConfig(4, 2, 6);
  };
  return {
    ...base,
    stimuli: [...stimuli, ...ports, ...ports, scribble, scribble, scribble, enable],
    devices: { function: parts.function, hd, cd, logicalUnit, chip: parts.chip, pci },
  };
};

const nvmeSubject = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const { memory, ram } = commandRam();
  const pci = new PciBus({ bus: base.bus, memory, pirqs: base.irqs.slice(0, 4) });
  const { disk, stimuli } = drivesForStress(slow);
  const parts = nvme(pci, { timers: base.timers, drive: disk, serial: 's', slot: 2 });
  const random = new Prng(3);
  const view = new DataView(ram.buffer);
  const [at, submissions, completions] = [0xe000_0000, [0x1000, 0x3000], [0x2000, 0x4000]];
  const entries = 16;
  const command = (queue: number): void => {
    const where = submissions[queue]! + 64 * random.below(entries);
    const opcodes = queue === 0 ? [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 12, 0x55] : [0, 1, 2, 2, 1, 5, 8, 9, 0x55];
    view.setUint32(where, random.pick(opcodes) | (random.below(65536) << 16), true);
    view.setUint32(where + 4, random.oneIn(10) ? random.u32() : 1, true);
    for (let word = 6; word < 16; word++) view.setUint32(where + 4 * word, random.oneIn(8) ? random.u32() : random.below(4), true);
    view.setUint32(where + 24, random.oneIn(8) ? random.u32() : random.below(16) << 12, true);
    view.setUint32(where + 32, random.oneIn(4) ? random.u32() : random.below(16) << 12, true);
  };
  const write = (register: number, value: () => number) => () => base.bus.mmio.write(at + register, 4, value() >>> 0);
  const enable = (): void => {
    parts.function.writeConfig(0x10, 4, at);
    parts.function.writeConfig(4, 2, 6);
    const setUp = [[0x24, 0x000f_000f], [0x28, 0x1000], [0x30, 0x2000], [0x14, 0x0046_0001]] as const;
    for (const [register, value] of setUp) write(register, () => value)();
  };
  const pair = (): void => {
    const { state } = parts.chip;
    if (!state.ready || state.submissions[1]!.entries > 0) return;
    state.completions[1] = { low: completions[1]!, high: 0, entries, head: 0, tail: 0, phase: true, interrupts: true, vector: 0 };
    state.submissions[1] = { low: submissions[1]!, high: 0, entries, head: 0, tail: 0, completion: 1 };
  };
  const configure = write(0x14, () => random.pick([0, 1, 0x4001]));
  const doorbells = [0, 1].flatMap((queue) => [
    () => command(queue), () => command(queue), write(0x1000 + 8 * queue, () => random.below(entries)),
    write(0x1004 + 8 * queue, () => (random.oneIn(4) ? random.below(20) : parts.chip.state.completions[queue]!.tail)),
  ]);
  return {
    ...base,
    stimuli: [...stimuli, ...stimuli, ...doorbells, ...doorbells, ...doorbells, enable, pair, configure],
    devices: { function: parts.function, chip: parts.chip, msix: parts.msix, pci },
  };
};

/** A driver that has set up queue 0 of a modern device, with a sample of what it could ask. */
const virtio = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const pci = new PciBus({ bus: base.bus, memory: smallRam(), pirqs: base.irqs.slice(0, 4) });
  const { disk, stimuli } = drivesForStress(slow);
  const handler = new VirtioBlk({ drive: disk, queues: 2 });
  const transport = new VirtioPci({ pci, slot: 2, number: 0, handler, classCode: 0x01_0000, legacyId: 1, vectors: 3, packed: true });
  const [legacy, msix, modern] = [0xc000, 0xe000_0000, 0xe001_0000];
  const place = (): void => {
    const { function: pciFunction } = transport;
    const registers = [[0x10, legacy], [0x14, msix], [0x20, modern], [0x24, 0], [4, 7]] as const;
    for (const [at, value] of registers) pciFunction.writeConfig(at, 4, value);
  };
  const { mmio, ports } = base.bus;
  const setUp = (): void => {
    mmio.write(modern + 0x14, 1, 0);
    const registers = [[0x08, 4, 1], [0x0c, 4, 1], [0x14, 1, 11], [0x16, 2, 0], [0x20, 4, 0x1000], [0x28, 4, 0x3000]] as const;
    for (const [at, size, value] of registers) mmio.write(modern + at, size, value);
    mmio.write(modern + 0x30, 4, 0x4000);
    mmio.write(modern + 0x1c, 2, 1);
    mmio.write(modern + 0x14, 1, 15);
  };
  const legacyQueue = (): void => ports.write(legacy + 8, 4, 1);
  const msixOn = (): void => transport.function.writeConfig(transport.function.capability(0x11) + 2, 2, 0x8000);
  const doorbells = [() => mmio.write(modern + 0x3000, 2, 0), () => ports.write(legacy + 16, 2, 0)];
  return {
    ...base,
    stimuli: [...stimuli, ...doorbells, ...doorbells, place, setUp, legacyQueue, msixOn],
    devices: { pci, ...Object.fromEntries(transport.parts('disk')) },
  };
};

/** The same behind a window of registers, of either interface. */
const virtioMmio = (legacy: boolean) => (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const { disk, stimuli } = drivesForStress(slow);
  const at = 0xfeb0_0000;
  const window = new VirtioMmio({ bus: base.bus, base: at, irq: base.irqs[5]!, memory: smallRam(), legacy });
  const device = window.plugIn(new VirtioBlk({ drive: disk, queues: 2 }), { packed: true });
  const write = (register: number, value: number): void => base.bus.mmio.write(at + register, 4, value);
  const queue = legacy
    ? [[0x28, 4096], [0x30, 0], [0x38, 16], [0x3c, 4096], [0x40, 1]] as const
    : [[0x24, 1], [0x20, 1], [0x70, 11], [0x30, 0], [0x80, 0x1000], [0x90, 0x3000], [0xa0, 0x4000], [0x44, 1]] as const;
  const setUp = (): void => {
    write(0x70, 0);
    for (const [register, value] of queue) write(register, value);
    write(0x70, 15);
  };
  const doorbells = [0, 1].map((index) => () => write(0x50, index));
  return { ...base, stimuli: [...stimuli, ...doorbells, setUp, () => write(0x64, 3)], devices: { window, disk: device } };
};

const floppy = (slow: boolean) => (timeNs: number): ConformanceSubject => {
  const base = bench(timeNs);
  const [dma, wordDma] = isaDma(base.bus, smallRam());
  const fdc = isaFdc(base.bus, { irq: base.isa.irq(6), dma });
  const drive = new MemoryDrive({ size: 2880 * 512, slow });
  fdc.attach(0, drive);
  const { ports } = base.bus;
  const random = new Prng(4);
  const send = (...values: readonly number[]) => () => values.forEach((value) => ports.write(0x3f5, 1, value));
  const track = (): number => fdc.state.drives[0]!.track;
  const commands = [
    send(0x0f, 0, 0), send(0x0f, 4, 79), send(0x07, 0), send(0x08), send(0x4a, 0), send(0x0e), send(0x13, 0, 0x57, 0), send(0x94),
    () => send(0xe6, 0, track(), 0, 1 + random.below(18), 2, 18, 27, 255)(), () => send(0xc5, 0, track(), 0, 1, 2, 18, 27, 255)(),
    () => send(0x4d, 0, 2, 18, 84, 0xf6)(),
  ];
  const open = (mode: number) => () => {
    for (const [port, value] of [[0x0c, 0], [0x0b, mode], [0x05, 0xff], [0x05, 0x07], [0x0a, 2]] as const) ports.write(port, 1, value);
  };
  const stimuli = [...commands, ...commands, open(0x46), open(0x4a), () => ports.write(0x3f2, 1, 0x1c), () => ports.write(0x3f2, 1, 0)];
  return { ...base, stimuli: [...stimuli, ...(slow ? [() => drive.finishOne()] : [])], devices: { fdc, dma, wordDma } };
};

type Subjects = Readonly<Record<string, (timeNs: number) => ConformanceSubject>>;

const withDrives = (slow: boolean): Subjects => ({
  ide: ide(slow), ahci: ahci(slow), nvme: nvmeSubject(slow), virtio: virtio(slow), floppy: floppy(slow),
  'virtio-mmio': virtioMmio(false)(slow), 'virtio-mmio-legacy': virtioMmio(true)(slow),
});
export const diskSubjects = withDrives(false);
export const diskStressSubjects = withDrives(true);
