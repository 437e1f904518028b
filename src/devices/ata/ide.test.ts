// Tests of the IDE channel with a disk and a CD drive: what a driver sees through the ports and the bus master.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventsDuring } from '../../../test/traced-events.ts';
import { SystemBus } from '../../bus/address-space.ts';
import { notConnected } from '../../bus/irq.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { MmcDrive } from '../scsi/mmc-drive.ts';
import { AtaDisk } from './ata-disk.ts';
import { AtapiCd } from './atapi-cd.ts';
import { ERROR, STATUS } from './ata-unit.ts';
import { piix3Ide } from './piix3-ide.ts';

const identity = { model: 'SAMPLE DISK', serial: 'S1', firmware: '1.0', wwn: 0n, physicalBlockBytes: 512, rotationRate: 1 };
const BUS_MASTER = 0xc000;
const TABLE = 0x1000;
const DATA = 0x4000;

function bench(sectors = 4096) {
  const bus = new SystemBus();
  const ram = new Uint8Array(1 << 20);
  const seen = { interrupt: false };
  const memory = {
    view: (address: number, size: number) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined),
    written: () => {},
  };
  const pci = new PciBus({ bus, memory, pirqs: [notConnected, notConnected, notConnected, notConnected] });
  const ide = piix3Ide(pci, { irqs: [{ set: (level) => { seen.interrupt = level; } }, notConnected] });
  const drive = new MemoryDrive({ size: sectors * 512 });
  for (let at = 0; at < drive.bytes.length; at++) drive.bytes[at] = (at >> 9) + at;
  const disc = new MemoryDrive({ size: 64 * 2048, readOnly: true });
  disc.bytes.fill(0x5a);
  ide.channels[0].units[0] = new AtaDisk({ drive, identity, serialAta: false });
  const logicalUnit = new MmcDrive({ drive: disc, vendor: 'SAMPLE', product: 'CD', revision: '1', serial: 'C1' });
  ide.channels[0].units[1] = new AtapiCd({ logicalUnit, identity, serialAta: false });
  ide.function.writeConfig(0x20, 4, BUS_MASTER | 1);
  ide.function.writeConfig(0x04, 2, 5);
  const { ports } = bus;
  const command = (code: number, lba: number, count: number, device = 0xe0): void => {
    const wide = [0x24, 0x25, 0x29, 0x34, 0x35, 0x06].includes(code);
    ports.write(0x1f6, 1, device | (wide ? 0 : lba >>> 24));
    if (wide) {
      ports.write(0x1f2, 1, count >> 8);
      ports.write(0x1f3, 1, lba >>> 24);
      ports.write(0x1f4, 1, 0);
      ports.write(0x1f5, 1, 0);
    }
    ports.write(0x1f2, 1, count & 0xff);
    for (let index = 0; index < 3; index++) ports.write(0x1f3 + index, 1, (lba >>> (8 * index)) & 0xff);
    ports.write(0x1f7, 1, code);
  };
  const words = (count: number): number[] => Array.from({ length: count }, () => ports.read(0x1f0, 2));
  const regions = (...list: readonly (readonly [address: number, bytes: number])[]): void => {
    const view = new DataView(ram.buffer);
    list.forEach(([address, bytes], index) => {
      view.setUint32(TABLE + 8 * index, address, true);
      view.setUint32(TABLE + 8 * index + 4, (bytes & 0xffff) | (index === list.length - 1 ? 0x8000_0000 : 0), true);
    });
    ports.write(BUS_MASTER + 4, 4, TABLE);
  };
  const dma = (toMemory: boolean): number => {
    ports.write(BUS_MASTER, 1, toMemory ? 9 : 1);
    const status = ports.read(BUS_MASTER + 2, 1);
    ports.write(BUS_MASTER, 1, 0);
    ports.write(BUS_MASTER + 2, 1, 6);
    return status;
  };
  return { ports, ram, seen, drive, disc, command, words, regions, dma, ide };
}

test('IDENTIFY DEVICE tells model and size through the data port', () => {
  const { ports, seen, command, words } = bench();
  command(0xec, 0, 0);
  assert.equal(seen.interrupt, true);
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK | STATUS.DATA_REQUEST);
  assert.equal(seen.interrupt, false);
  const data = words(256);
  assert.equal(String.fromCharCode(...data.slice(27, 31).flatMap((word) => [word >> 8, word & 0xff])), 'SAMPLE D');
  assert.equal(data[60]! | (data[61]! << 16), 4096);
  assert.equal(data.flatMap((word) => [word & 0xff, word >> 8]).reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
});

test('sectors go through the data port one interrupt each, several with READ MULTIPLE', () => {
  const { ports, seen, drive, command, words } = bench();
  for (const [code, perBlock] of [[0x20, 1], [0x24, 1], [0xc4, 16]] as const) {
    command(code, 5, 20);
    const data: number[] = [];
    for (let left = 20; left > 0; left -= perBlock) {
      assert.equal(seen.interrupt, true);
      assert.equal(ports.read(0x1f7, 1) & STATUS.DATA_REQUEST, STATUS.DATA_REQUEST);
      data.push(...words(256 * Math.min(perBlock, left)));
    }
    assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
    const bytes = Uint8Array.from(data.flatMap((word) => [word & 0xff, word >> 8]));
    assert.deepEqual(bytes, drive.bytes.slice(5 * 512, 25 * 512));
  }
});

test('sectors are written through the data port, and nothing before the block is whole', () => {
  const { ports, seen, drive, command } = bench();
  command(0x30, 7, 2);
  assert.equal(seen.interrupt, false);
  for (let index = 0; index < 255; index++) ports.write(0x1f0, 2, 0x1234);
  assert.equal(drive.writes, 0);
  ports.write(0x1f0, 2, 0x1234);
  assert.equal(drive.writes, 1);
  assert.equal(seen.interrupt, true);
  for (let index = 0; index < 128; index++) ports.write(0x1f0, 4, 0xabcd_ef01);
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
  assert.deepEqual([...drive.bytes.slice(7 * 512, 7 * 512 + 2)], [0x34, 0x12]);
  assert.deepEqual([...drive.bytes.slice(8 * 512, 8 * 512 + 4)], [1, 0xef, 0xcd, 0xab]);
});

test('DMA follows the table, and the bus master tells when it is exhausted', () => {
  const { ports, seen, drive, ram, command, regions, dma } = bench();
  regions([DATA, 512], [DATA + 0x1000, 1024]);
  command(0xc8, 9, 3);
  assert.equal(seen.interrupt, false);
  assert.equal(dma(true), 4);
  assert.equal(seen.interrupt, true);
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
  assert.deepEqual(ram.slice(DATA, DATA + 512), drive.bytes.slice(9 * 512, 10 * 512));
  assert.deepEqual(ram.slice(DATA + 0x1000, DATA + 0x1400), drive.bytes.slice(10 * 512, 12 * 512));
  command(0x35, 100, 3);
  assert.equal(dma(false), 4);
  assert.deepEqual(drive.bytes.slice(9 * 512, 12 * 512), drive.bytes.slice(100 * 512, 103 * 512));
});

test('a table that is too short or outside RAM moves nothing', () => {
  const { ports, seen, drive, command, regions, dma } = bench();
  regions([DATA, 512]);
  command(0xca, 9, 3);
  assert.equal(dma(false), 0);
  assert.equal(seen.interrupt, false);
  regions([0x7000_0000, 1536]);
  command(0xca, 9, 3);
  assert.equal(dma(false) & 6, 6);
  assert.equal(ports.read(0x1f7, 1) & STATUS.ERROR, STATUS.ERROR);
  assert.equal(drive.writes, 0);
});

test('errors: beyond the end, an unreadable sector with its address, an unknown command', () => {
  const { ports, drive, command, words } = bench();
  command(0x20, 4095, 2);
  assert.equal(ports.read(0x1f7, 1) & STATUS.ERROR, STATUS.ERROR);
  assert.equal(ports.read(0x1f1, 1), ERROR.NOT_FOUND);
  drive.badOffset = 33 * 512;
  command(0x20, 32, 4);
  words(256);
  assert.equal(ports.read(0x1f7, 1) & STATUS.ERROR, STATUS.ERROR);
  assert.equal(ports.read(0x1f1, 1), ERROR.UNCORRECTABLE);
  assert.equal(ports.read(0x1f3, 1), 33);
  command(0xf1, 0, 0);
  assert.equal(ports.read(0x1f1, 1), ERROR.ABORT);
});

test('a software reset waits for the request under way and shows both signatures', async () => {
  const { ports, ram, drive, command, regions } = bench();
  drive.slow = true;
  regions([DATA, 512]);
  command(0xc8, 1, 1);
  ports.write(BUS_MASTER, 1, 9);
  ports.write(0x3f6, 1, 4);
  ports.write(0x3f6, 1, 0);
  assert.equal(ports.read(0x1f7, 1) & STATUS.BUSY, STATUS.BUSY);
  await drive.finishAll();
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
  assert.equal(ram[DATA], drive.bytes[512]);
  ports.write(0x1f6, 1, 0xb0);
  assert.deepEqual([ports.read(0x1f4, 1), ports.read(0x1f5, 1), ports.read(0x1f7, 1)], [0x14, 0xeb, 0]);
});

function packet(b: ReturnType<typeof bench>, cdb: readonly number[], limit = 0xfffe, feature = 0): void {
  b.ports.write(0x1f6, 1, 0xb0);
  b.ports.write(0x1f1, 1, feature);
  b.ports.write(0x1f4, 1, limit & 0xff);
  b.ports.write(0x1f5, 1, limit >> 8);
  b.ports.write(0x1f7, 1, 0xa0);
  for (let index = 0; index < 12; index += 2) b.ports.write(0x1f0, 2, (cdb[index] ?? 0) | ((cdb[index + 1] ?? 0) << 8));
}

test('a packet command: attention once, data in blocks of the byte count limit, sense after an error', () => {
  const b = bench();
  const { ports, words } = b;
  packet(b, [0]);
  assert.equal(ports.read(0x1f1, 1) >> 4, 6);
  packet(b, [0]);
  assert.equal(ports.read(0x1f7, 1), STATUS.READY | STATUS.SEEK);
  packet(b, [0x28, 0, 0, 0, 0, 3, 0, 0, 2], 2048);
  for (let block = 0; block < 2; block++) {
    assert.equal(ports.read(0x1f7, 1) & STATUS.DATA_REQUEST, STATUS.DATA_REQUEST);
    assert.deepEqual([ports.read(0x1f2, 1), ports.read(0x1f4, 1) | (ports.read(0x1f5, 1) << 8)], [2, 2048]);
    assert.equal(words(1024)[7], 0x5a5a);
  }
  assert.deepEqual([ports.read(0x1f7, 1), ports.read(0x1f2, 1)], [STATUS.READY | STATUS.SEEK, 3]);
  packet(b, [0x28, 0, 0, 0, 0, 64, 0, 0, 1]);
  assert.equal(ports.read(0x1f1, 1), 0x54);
  packet(b, [0x03, 0, 0, 0, 18]);
  const sense = words(9).flatMap((word) => [word & 0xff, word >> 8]);
  assert.deepEqual([sense[2], sense[12]], [5, 0x21]);
});

test('a packet command by DMA, and a change of the medium', () => {
  const b = bench();
  const { ports, ram, disc, regions, dma } = b;
  packet(b, [0]);
  regions([DATA, 2048]);
  packet(b, [0x28, 0, 0, 0, 0, 0, 0, 0, 1], 0, 1);
  assert.equal(dma(true), 4);
  assert.equal(ram[DATA + 2047], 0x5a);
  disc.change(false);
  packet(b, [0]);
  assert.equal(ports.read(0x1f1, 1) >> 4, 2);
  disc.change(true);
  packet(b, [0]);
  assert.equal(ports.read(0x1f1, 1) >> 4, 6);
  packet(b, [0x1e, 0, 0, 0, 1]);
  assert.equal(disc.locked, true);
  packet(b, [0x1b, 0, 0, 0, 2]);
  assert.equal(ports.read(0x1f1, 1) >> 4, 5);
  packet(b, [0x1e, 0, 0, 0, 0]);
  packet(b, [0x1b, 0, 0, 0, 2]);
  assert.equal(disc.trayOpen, true);
});

test('a command has one number from the command register to its interrupt', () => {
  const { drive, command, regions, dma } = bench();
  regions([DATA, 512]);
  const events = eventsDuring(['ata_ide*'], () => {
    command(0xc8, 9, 1);
    dma(true);
  });
  assert.deepEqual(events.map(({ name }) => name), ['ata_ide_command', 'ata_ide_interrupt']);
  assert.ok(drive.lastRequest > 0);
  assert.deepEqual(events.map(({ values }) => values['request']), [drive.lastRequest, drive.lastRequest]);
});
