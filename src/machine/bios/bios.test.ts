// The services of the built-in BIOS, and how it finds what to boot. That boot loaders get along with it is a guest test.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BiosBench, bootDrive, MemoryDrive, turn } from './bios-bench.ts';
import { BDA } from './data-area.ts';
import { bootCandidates } from './boot-order.ts';
import { diskGeometry, floppyGeometry } from './disk-units.ts';
import { fuzzBios } from './bios.fuzz.ts';
import { START } from './rom.ts';

const MIB = 1 << 20;

function disk(name: string, size = 8 * MIB, readOnly = false): MemoryDrive {
  const bytes = new Uint8Array(size);
  for (let sector = 0; sector < size / 512; sector++) new DataView(bytes.buffer).setUint32(sector * 512, sector, true);
  bytes.set([0x55, 0xaa], 510);
  return new MemoryDrive(name, bytes, readOnly);
}

async function started(...drives: Parameters<typeof bootDrive>[]): Promise<BiosBench> {
  const bench = new BiosBench(drives.map((drive) => bootDrive(...drive)));
  await bench.start();
  return bench;
}

const word = ({ ram }: BiosBench, at: number): number => ram[at]! | (ram[at + 1]! << 8);
const sectorAt = ({ ram }: BiosBench, at: number): number => new DataView(ram.buffer).getUint32(at, true);

describe('start-up', () => {
  test('the first bootable drive gets its sector at 7C00 and its number in DL; the data area is filled in', async () => {
    const blank = new MemoryDrive('blank', new Uint8Array(MIB));
    const bench = await started(['disk', blank], ['floppy', disk('fd', 1440 * 1024)]);
    assert.deepEqual([word(bench, 0x7c00 + 510), bench.registers.dl], [0xaa55, 0]);
    assert.deepEqual([word(bench, 0x6ffa), word(bench, 0x6ffc)], [0x7c00, 0]);
    assert.match(bench.terminal.text, /hard disk \(bench, blank\)\.\.\.\r\nBoot failed: not a bootable disk\r\n\r\nBooting from floppy/);
    assert.equal(bench.ram[BDA.DISK_COUNT], 1);
    assert.equal(word(bench, BDA.EQUIPMENT) & 0xc1, 1, 'one floppy');
    const noon = new DataView(bench.ram.buffer).getUint32(BDA.TICKS, true);
    assert.ok(Math.abs(noon / 18.2065 - (12 * 3600 + 34 * 60 + 56)) < 1);
  });

  test('nothing to boot is said once; INT 18h goes on with the next drive', async () => {
    const bench = new BiosBench([bootDrive('disk', disk('a')), bootDrive('disk', disk('b'))]);
    assert.equal(await bench.start(), 'entered');
    assert.equal(await bench.start({ kind: START.NEXT_DEVICE }), 'entered');
    assert.equal(bench.bios.units.disks[0]!.drive.name, 'b', 'what is booted is the first disk');
    assert.equal(await bench.start({ kind: START.NEXT_DEVICE, turns: 20 }), 'waits');
    assert.equal(bench.terminal.text.match(/No bootable device/g)!.length, 1);
  });

  test('a drive that fails or answers late', async () => {
    const [broken, late] = [disk('broken'), disk('late')];
    broken.fails = true;
    late.late = true;
    const bench = await started(['disk', broken], ['disk', late]);
    assert.match(bench.terminal.text, /could not read the boot disk/);
    assert.equal(bench.bios.units.disks[0]!.drive, late);
  });

  test('order, bootindex and strict', () => {
    const drives = [
      bootDrive('cdrom', disk('cd')), bootDrive('floppy', disk('fd')), bootDrive('disk', disk('a')),
      bootDrive('disk', disk('b'), { bootIndex: 1 }),
    ];
    const names = (order: string, strict: boolean): string[] => bootCandidates(drives, order, strict).map(({ drive }) => drive.name);
    assert.deepEqual(names('cad', false), ['b', 'a', 'fd', 'cd']);
    assert.deepEqual(names('d', false), ['b', 'cd', 'fd', 'a']);
    assert.deepEqual(names('d', true), ['b']);
  });

  test('the menu waits for ESC, then for a number', async () => {
    const bench = new BiosBench([bootDrive('disk', disk('a')), bootDrive('disk', disk('b'))], { menu: true });
    const end = bench.start();
    await turn();
    bench.terminal.type('\x1b');
    while (!bench.terminal.text.includes('2. ')) await turn();
    bench.terminal.type('2');
    assert.equal(await end, 'entered');
    assert.match(bench.terminal.text, /1\. hard disk \(bench, a\)\r\n2\. hard disk \(bench, b\)\r\n\r\nBooting from hard disk \(bench, b/);
  });

  test('a bootable CD: without emulation it is E0h, and 4B01h tells about it', async () => {
    const bench = await started(['cdrom', new MemoryDrive('cd', bootableCd(0), true)]);
    assert.deepEqual([bench.registers.dl, word(bench, 0x6ffa), word(bench, 0x6ffc)], [0xe0, 0, 0x7c0]);
    const { carry } = await bench.call(0x13, { ax: 0x4b01, dx: 0xe0, si: 0x1000, ds: 0 });
    assert.deepEqual([carry, ...bench.ram.subarray(0x1000, 0x1003)], [false, 0x13, 0, 0xe0]);
    bench.ram.set([16, 0, 1, 0, 0, 0x20, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0], 0x1000);
    assert.equal((await bench.call(0x13, { ax: 0x4200, dx: 0xe0, si: 0x1000 })).carry, false);
    assert.deepEqual([...bench.ram.subarray(0x2000, 0x2002)], [0xfa, 0xf4], 'sectors of 2,048 bytes');
  });

  test('a bootable CD that emulates a floppy is in front of the real ones until 4B00h', async () => {
    const bench = await started(['cdrom', new MemoryDrive('cd', bootableCd(2), true)], ['floppy', disk('fd', 720 * 1024)]);
    // The floppy has a boot sector too, but comes later in this order.
    assert.equal(bench.registers.dl, 0);
    const cd = new MemoryDrive('cd', bootableCd(2), true);
    const booted = new BiosBench([bootDrive('cdrom', cd), bootDrive('floppy', disk('fd'))], { order: 'd' });
    await booted.start();
    await booted.call(0x13, { ax: 0x0201, bx: 0x2000, cx: 1, dx: 0, es: 0 });
    assert.deepEqual([...booted.ram.subarray(0x2000, 0x2002)], [0xfa, 0xf4]);
    assert.equal((await booted.call(0x13, { ax: 0x0301, bx: 0x2000, cx: 1, dx: 0 })).carry, true, 'write-protected');
    await booted.call(0x13, { ax: 0x4b00, dx: 0, si: 0x1000, ds: 0 });
    await booted.call(0x13, { ax: 0x0201, bx: 0x2000, cx: 2, dx: 0 });
    assert.equal(sectorAt(booted, 0x2000), 1, 'the real floppy');
  });
});

/** A CD whose catalogue names sector 20, which begins with CLI, HLT. */
function bootableCd(media: number): Uint8Array {
  const bytes = new Uint8Array(4 * MIB);
  bytes.set([0, ...new TextEncoder().encode('CD001'), 1, ...new TextEncoder().encode('EL TORITO SPECIFICATION')], 17 * 2048);
  bytes.set([19], 17 * 2048 + 0x47);
  bytes.set([1], 19 * 2048);
  bytes.set([0xaa, 0x55, 0x55, 0xaa], 19 * 2048 + 0x1c); // the words add up to zero
  bytes.set([0x88, media, 0, 0, 0, 0, 4, 0, 20], 19 * 2048 + 32);
  bytes.set([0xfa, 0xf4], 20 * 2048);
  return bytes;
}

describe('INT 13h', () => {
  test('CHS and block numbers reach the same sectors, with drives that answer at once or later', async () => {
    const drive = disk('a');
    const bench = await started(['disk', drive]);
    await bench.call(0x13, { ax: 0x0800, dx: 0x80 });
    const { cx, dh, dl } = bench.registers;
    assert.deepEqual([dl, dh, cx & 63], [1, 15, 63]);
    for (const late of [false, true]) {
      drive.late = late;
      bench.ram.fill(0, 0x10000, 0x20000);
      assert.equal((await bench.call(0x13, { ax: 0x0202, bx: 0, cx: 0x0103, dx: 0x0280, es: 0x1000 })).carry, false);
      const lba = (1 * 16 + 2) * 63 + 2;
      assert.deepEqual([sectorAt(bench, 0x10000), sectorAt(bench, 0x10200), bench.registers.al], [lba, lba + 1, 2]);
      bench.ram.set([16, 0, 127, 0, 0, 0, 0, 0x20, 100, 0, 0, 0, 0, 0, 0, 0], 0x1000);
      const before = drive.requests;
      assert.equal((await bench.call(0x13, { ax: 0x4200, dx: 0x80, si: 0x1000, ds: 0 })).carry, false);
      assert.deepEqual([sectorAt(bench, 0x20000), sectorAt(bench, 0x20000 + 126 * 512), drive.requests - before], [100, 226, 1]);
    }
  });

  test('writes, and what is refused', async () => {
    const [drive, protectedDrive] = [disk('a'), disk('b', MIB, true)];
    const bench = await started(['disk', drive], ['disk', protectedDrive]);
    bench.ram.set([1, 2, 3], 0x10000);
    assert.equal((await bench.call(0x13, { ax: 0x0301, bx: 0, cx: 5, dx: 0x80, es: 0x1000 })).carry, false);
    assert.deepEqual([...drive.bytes.subarray(4 * 512, 4 * 512 + 3)], [1, 2, 3]);
    const status = async (values: Readonly<Record<string, number>>): Promise<number> => {
      const { carry } = await bench.call(0x13, { es: 0x1000, bx: 0, ...values });
      assert.equal(carry, true);
      return bench.registers.ah;
    };
    assert.equal(await status({ ax: 0x0301, cx: 5, dx: 0x81 }), 0x03, 'write-protected');
    assert.equal(await status({ ax: 0x0201, cx: 0, dx: 0x80 }), 0x01, 'sector 0');
    assert.equal(await status({ ax: 0x0201, cx: 0xffff, dx: 0x80 }), 0x01, 'beyond the end');
    assert.equal(await status({ ax: 0x0201, cx: 1, dx: 0x85 }), 0x01, 'no such drive');
    drive.fails = true;
    assert.equal(await status({ ax: 0x0201, cx: 1, dx: 0x80 }), 0x10, 'a failing drive');
    assert.equal(bench.ram[BDA.DISK_STATUS], 0x10);
  });

  test('EDD: presence, parameters of a disk beyond 2 TiB', async () => {
    const drive = disk('big');
    Object.defineProperty(drive, 'size', { value: 3 * 2 ** 40 });
    const bench = await started(['disk', drive]);
    assert.equal((await bench.call(0x13, { ax: 0x4100, bx: 0x55aa, dx: 0x80 })).carry, false);
    assert.deepEqual([bench.registers.bx, bench.registers.ah, bench.registers.cx & 1], [0xaa55, 0x30, 1]);
    bench.ram.set([30, 0], 0x1000);
    assert.equal((await bench.call(0x13, { ax: 0x4800, dx: 0x80, si: 0x1000, ds: 0 })).carry, false);
    assert.equal(new DataView(bench.ram.buffer).getBigUint64(0x1010, true), 3n * 2n ** 31n);
    assert.equal(word(bench, 0x1018), 512);
  });

  test('geometries', () => {
    assert.deepEqual(diskGeometry(8 * MIB, undefined), { cylinders: 16, heads: 16, sectors: 63 });
    assert.deepEqual(diskGeometry(100 * 2 ** 30, undefined), { cylinders: 1024, heads: 255, sectors: 63 });
    const mbr = new Uint8Array(512);
    mbr.set([0x80, 1, 1, 0, 6, 31, 32, 100, 32, 0, 0, 0, 1, 0, 0, 0], 0x1be);
    mbr.set([0x55, 0xaa], 510);
    assert.deepEqual(diskGeometry(64 * MIB, mbr), { cylinders: 128, heads: 32, sectors: 32 });
    assert.equal(floppyGeometry(720 * 1024).geometry.sectors, 9);
  });
});

describe('memory, time, PCI', () => {
  test('E820 lists the ranges; E801 and 88h agree with it', async () => {
    const bench = await started();
    const ranges: number[][] = [];
    bench.registers.ebx = 0;
    do {
      const ebx = bench.registers.ebx;
      await bench.call(0x15, { eax: 0xe820, ebx, ecx: 20, edx: 0x534d4150, di: 0x1000, es: 0 });
      assert.equal(bench.registers.eax, 0x534d4150);
      ranges.push([sectorAt(bench, 0x1000), sectorAt(bench, 0x1008), sectorAt(bench, 0x1010)]);
    } while (bench.registers.ebx !== 0 && ranges.length < 20);
    assert.deepEqual(ranges[0], [0, 0x9fc00, 1]);
    assert.deepEqual(ranges[3], [MIB, 3 * MIB - 8192, 1]);
    await bench.call(0x15, { ax: 0x8800 });
    assert.equal(bench.registers.ax, 3 * 1024 - 8);
    await bench.call(0x15, { ax: 0xe801 });
    assert.deepEqual([bench.registers.cx, bench.registers.dx], [3 * 1024 - 8, 0]);
    assert.equal((await bench.call(0x15, { ax: 0x5300 })).carry, true, 'no APM');
  });

  test('block move, wait, the clock, ticks', async () => {
    const bench = await started();
    bench.ram.set([7, 8, 9, 10], 0x120000);
    bench.ram.set([0xff, 0xff, 0, 0, 0x12, 0x93, 0, 0, 0xff, 0xff, 0, 0, 0x13, 0x93, 0, 0], 0x1010);
    assert.equal((await bench.call(0x15, { ax: 0x8700, cx: 2, si: 0x1000, es: 0 })).carry, false);
    assert.deepEqual([...bench.ram.subarray(0x130000, 0x130004)], [7, 8, 9, 10]);
    const before = bench.clock.timeNs;
    await bench.call(0x15, { ax: 0x8600, cx: 0, dx: 50_000 });
    assert.ok(bench.clock.timeNs - before >= 50e6);
    await bench.call(0x1a, { ax: 0x0200 });
    assert.deepEqual([bench.registers.cx, bench.registers.dh], [0x1234, 0x56]);
    await bench.call(0x1a, { ax: 0x0100, cx: 0x18, dx: 0x00af });
    await bench.call(0x08);
    await bench.call(0x1a, { ax: 0 });
    assert.deepEqual([bench.registers.cx, bench.registers.dx, bench.registers.al], [0, 0, 1], 'midnight');
  });

  test('PCI BIOS', async () => {
    const bench = await started();
    assert.equal((await bench.call(0x1a, { ax: 0xb102, cx: 0x5678, dx: 0x1234, si: 0 })).carry, false);
    assert.equal(bench.registers.bx, 3 << 3);
    await bench.call(0x1a, { ax: 0xb10a, bx: 3 << 3, di: 0 });
    assert.equal(bench.registers.ecx, 0x56781234);
    assert.equal((await bench.call(0x1a, { ax: 0xb102, cx: 1, dx: 0x1234, si: 0 })).carry, true);
    assert.equal(bench.registers.ah, 0x86);
  });
});

describe('console', () => {
  test('a teletype is a plain stream; cursor movements and colours are sequences', async () => {
    const bench = await started();
    const start = bench.terminal.text.length;
    for (const code of [0x41, 13, 10, 0x42]) await bench.call(0x10, { ax: 0x0e00 | code });
    assert.equal(bench.terminal.text.slice(start), 'A\r\nB');
    await bench.call(0x10, { ax: 0x0200, bx: 0, dx: 0x0510 });
    await bench.call(0x10, { ax: 0x09da, bx: 0x001e, cx: 2 });
    assert.equal(bench.terminal.text.slice(start + 4), '\x1b[6;17H\x1b[0;1;33;44m┌┌');
    await bench.call(0x10, { ax: 0x0800 });
    assert.equal(bench.registers.ax, 0x1eda);
    await bench.call(0x10, { ax: 0x4f00 });
    assert.equal(bench.registers.ax, 0x0100, 'no VESA');
  });

  test('typed characters and sequences become keys; a lone ESC is the Escape key', async () => {
    const bench = await started();
    bench.terminal.type('a\x1b[A');
    await bench.call(0x16, { ax: 0x1000 });
    assert.equal(bench.registers.ax, 0x1e61);
    await bench.call(0x16, { ax: 0 });
    assert.equal(bench.registers.ax, 0x4800);
    bench.terminal.type('\x1b');
    assert.equal((await bench.call(0x16, { ax: 0x0100 })).zero, true);
    bench.clock.timeNs += 1e8;
    assert.equal((await bench.call(0x16, { ax: 0x0100 })).zero, false);
    assert.equal(bench.registers.ax, 0x011b);
  });

  test('IRQ 1: shift states, extended keys, Ctrl-Alt-Delete', async () => {
    const bench = await started();
    for (const code of [0x2a, 0x1e, 0xaa, 0x1e, 0xe0, 0x48]) await bench.call(0x09, { ax: code });
    const words: number[] = [];
    for (let n = 0; n < 3; n++) {
      await bench.call(0x16, { ax: 0x1000 });
      words.push(bench.registers.ax);
    }
    assert.deepEqual(words, [0x1e41, 0x1e61, 0x48e0]);
    for (const code of [0x1d, 0x38, 0x53]) await bench.call(0x09, { ax: code });
    assert.equal(bench.resets, 1);
  });

  test('a saved state goes on', async () => {
    const bench = await started(['disk', disk('a')]);
    const saved = bench.bios.schema.encode(bench.bios.state);
    bench.bios.state = bench.bios.schema.decode(saved);
    bench.bios.settle();
    assert.deepEqual(bench.bios.schema.encode(bench.bios.state), saved);
    assert.equal((await bench.call(0x13, { ax: 0x0201, bx: 0, cx: 2, dx: 0x80, es: 0x1000 })).carry, false);
    assert.equal(sectorAt(bench, 0x10000), 1);
  });
});

test('random registers, memory and device states', async () => {
  for (let seed = 1; seed <= 40; seed++) await fuzzBios(seed);
});
