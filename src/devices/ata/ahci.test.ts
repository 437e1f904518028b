// Tests of the AHCI controller: what a driver sees of commands, queued commands, errors and resets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventsDuring } from '../../../test/traced-events.ts';
import { SystemBus } from '../../bus/address-space.ts';
import { notConnected } from '../../bus/irq.ts';
import { PciBus } from '../../bus/pci-bus.ts';
import { TimerQueue } from '../../bus/timer-queue.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { MmcDrive } from '../scsi/mmc-drive.ts';
import { AtaDisk } from './ata-disk.ts';
import { AtapiCd } from './atapi-cd.ts';
import { ich9Ahci } from './ich9-ahci.ts';

const identity = { model: 'SAMPLE DISK', serial: 'S1', firmware: '1.0', wwn: 0n, physicalBlockBytes: 512, rotationRate: 1 };
const BASE = 0xe000_0000;
const LIST = 0x1000;
const RECEIVED = 0x2000;
const TABLES = 0x4000;
const DATA = 0x1_0000;
const P = { CLB: 0x100, FB: 0x108, IS: 0x110, IE: 0x114, CMD: 0x118, TFD: 0x120, SIG: 0x124, SCTL: 0x12c, SACT: 0x134, CI: 0x138 };

function bench() {
  const bus = new SystemBus();
  const timers = new TimerQueue({ now: () => 0 });
  const ram = new Uint8Array(1 << 20);
  const view = new DataView(ram.buffer);
  const seen = { interrupt: false, messages: 0 };
  const memory = {
    view: (address: number, size: number) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined),
    written: () => {},
  };
  const line = { set: (level: boolean) => { seen.interrupt = level; } };
  const pci = new PciBus({ bus, memory, pirqs: [line, line, line, line], sendMessage: () => { seen.messages++; } });
  const drive = new MemoryDrive({ size: 4096 * 512 });
  for (let at = 0; at < drive.bytes.length; at++) drive.bytes[at] = (at >> 9) + at;
  const disc = new MemoryDrive({ size: 64 * 2048, readOnly: true });
  disc.bytes.fill(0x5a);
  const logicalUnit = new MmcDrive({ drive: disc, vendor: 'SAMPLE', product: 'CD', revision: '1', serial: 'C1' });
  const cd = new AtapiCd({ logicalUnit, identity, serialAta: true });
  const ahci = ich9Ahci(pci, { timers, slot: 2 });
  ahci.chip.ports[0]!.attach(0, new AtaDisk({ drive, identity, serialAta: true }));
  ahci.chip.ports[1]!.attach(0, cd);
  ahci.function.writeConfig(0x24, 4, BASE);
  ahci.function.writeConfig(0x04, 2, 6);
  const write = (at: number, value: number): void => bus.mmio.write(BASE + at, 4, value >>> 0);
  const read = (at: number): number => bus.mmio.read(BASE + at, 4);
  const start = (port = 0): void => {
    write(P.CLB + 0x80 * port, LIST);
    write(P.FB + 0x80 * port, RECEIVED);
    write(P.IE + 0x80 * port, 0xffff_ffff);
    write(P.CMD + 0x80 * port, 0x11);
  };
  write(0x04, 2);
  for (const at of [0x130, 0x1b0]) write(at, 0xffff_ffff);
  start();
  /** Puts a command into a slot; `fis` is from byte 2 on. */
  type Regions = readonly (readonly [address: number, bytes: number])[];
  const put = (slot: number, fis: readonly number[], regions: Regions, flags = 5, packet: readonly number[] = []): void => {
    const table = TABLES + 0x400 * slot;
    view.setUint32(LIST + 32 * slot, flags | (regions.length << 16), true);
    view.setUint32(LIST + 32 * slot + 8, table, true);
    view.setUint32(LIST + 32 * slot + 12, 0, true);
    ram.fill(0, table, table + 0x80);
    ram.set([0x27, 0x80, ...fis], table);
    ram.set(packet, table + 0x40);
    regions.forEach(([address, bytes], index) => {
      view.setUint32(table + 0x80 + 16 * index, address, true);
      view.setUint32(table + 0x84 + 16 * index, 0, true);
      view.setUint32(table + 0x8c + 16 * index, bytes - 1, true);
    });
  };
  return { bus, ram, view, seen, drive, disc, write, read, put, start, ahci, timers };
}

test('a reset leaves the signature, IDENTIFY comes with a PIO setup frame', () => {
  const { read, write, put, ram, view, seen } = bench();
  assert.equal(read(P.SIG), 0x101);
  assert.equal(read(P.SIG + 0x80), 0xeb14_0101);
  assert.equal(read(P.SIG + 0x100), 0xffff_ffff);
  put(3, [0xec], [[DATA, 512]]);
  write(P.CI, 8);
  assert.equal(read(P.CI), 0);
  assert.equal(read(P.IS), 2);
  assert.equal(read(0x08), 1);
  assert.equal(seen.interrupt, true);
  assert.equal(view.getUint32(LIST + 3 * 32 + 4, true), 512);
  assert.equal(ram[RECEIVED + 0x20], 0x5f);
  assert.equal(ram[RECEIVED + 0x20 + 15], 0x50);
  assert.equal(ram[DATA + 2 * 76 + 1]! & 1, 1); // queued commands
  write(P.IS, 2);
  assert.equal(read(0x08), 1);
  write(0x08, 1);
  assert.equal(seen.interrupt, false);
});

test('queued commands of a batch end with one frame and one interrupt', () => {
  const { read, write, put, ram, drive, seen, view } = bench();
  for (let slot = 0; slot < 8; slot++) {
    const at = DATA + 0x400 * slot;
    put(slot, [slot === 5 ? 0x61 : 0x60, 2, slot * 4, 0, 0, 0x40, 0, 0, 0, 0, slot << 3], [[at, 512], [at + 0x8000, 512]]);
  }
  ram.fill(0x77, DATA + 0x400 * 5, DATA + 0x400 * 5 + 512);
  write(P.SACT, 0xff);
  write(P.CI, 0xff);
  assert.deepEqual([read(P.SACT), read(P.CI), read(P.IS)], [0, 0, 8]);
  assert.equal(view.getUint32(RECEIVED + 0x5c, true), 0xff);
  assert.equal(seen.interrupt, true);
  assert.deepEqual(ram.slice(DATA + 0x400 * 2, DATA + 0x400 * 2 + 512), drive.bytes.slice(8 * 512, 9 * 512));
  assert.deepEqual(ram.slice(DATA + 0x8800, DATA + 0x8a00), drive.bytes.slice(9 * 512, 10 * 512));
  assert.equal(drive.bytes[20 * 512], 0x77);
});

test('a failed queued command stops the port, and log 10h names it', () => {
  const { read, write, put, ram, drive } = bench();
  drive.badOffset = 40 * 512;
  put(4, [0x60, 1, 40, 0, 0, 0x40, 0, 0, 0, 0, 4 << 3], [[DATA, 512]]);
  put(6, [0x60, 1, 41, 0, 0, 0x40, 0, 0, 0, 0, 6 << 3], [[DATA, 512]]);
  write(P.SACT, 0x50);
  write(P.CI, 0x50);
  assert.equal(read(P.IS) & 0x4000_0000, 0x4000_0000);
  assert.equal(read(P.TFD) & 0xff, 0x51);
  assert.equal(read(P.SACT), 0x50);
  write(P.CMD, 0x10);
  assert.equal(read(P.CMD) & 0x8000, 0);
  assert.deepEqual([read(P.SACT), read(P.CI)], [0, 0]);
  write(P.CMD, 0x11);
  put(0, [0x2f, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 1], [[DATA, 512]]);
  write(P.CI, 1);
  assert.deepEqual([ram[DATA], ram[DATA + 2], ram[DATA + 3], ram[DATA + 4]], [4, 0x51, 0x40, 40]);
});

test('a stopped port is idle only when its drive is, and nothing ends after that', async () => {
  const { read, write, put, drive, seen, start } = bench();
  drive.slow = true;
  put(0, [0x60, 1, 1, 0, 0, 0x40], [[DATA, 512]]);
  write(P.SACT, 1);
  write(P.CI, 1);
  assert.deepEqual([read(P.SACT), read(P.CI)], [1, 0]);
  write(P.CMD, 0x10);
  assert.equal(read(P.CMD) & 0x8000, 0x8000);
  write(0x04, 1);
  assert.equal(read(0x04) & 1, 1);
  await drive.finishAll();
  assert.equal(read(0x04) & 1, 0);
  assert.equal(read(P.CMD) & 0x8000, 0);
  assert.equal(seen.interrupt, false);
  start();
  put(1, [0x25, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 1], [[DATA, 512]]);
  write(P.CI, 2);
  assert.equal(read(P.CI), 2);
  await drive.finishAll();
  assert.deepEqual([read(P.CI), read(P.IS) & 1], [0, 1]);
});

test('software reset by two frames; commands without enough memory or outside RAM move nothing', () => {
  const { read, write, put, drive, ram } = bench();
  put(0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4], []);
  ram[TABLES + 1] = 0;
  put(1, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], []);
  ram[TABLES + 0x401] = 0;
  write(P.CI, 1);
  write(P.CI, 2);
  assert.deepEqual([ram[RECEIVED + 0x40], ram[RECEIVED + 0x44], ram[RECEIVED + 0x4c]], [0x34, 1, 1]);
  put(2, [0x35, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2], [[DATA, 512]]);
  write(P.CI, 4);
  assert.equal(read(P.IS) & 0x4100_0000, 0x4100_0000);
  write(P.CMD, 0x10);
  write(P.CMD, 0x11);
  put(2, [0x35, 0, 1, 0, 0, 0x40, 0, 0, 0, 0, 2], [[0x70_0000, 1024]]);
  write(P.CI, 4);
  assert.equal(read(P.IS) & 0x2000_0000, 0x2000_0000);
  assert.equal(drive.writes, 0);
});

test('a packet device reads by the region table', () => {
  const { read, write, put, ram, start, view } = bench();
  write(P.CMD, 0);
  start(1);
  const run = (packet: readonly number[], bytes: number): void => {
    put(0, [0xa0, 1], bytes > 0 ? [[DATA, bytes]] : [], 5 | 0x20, packet);
    write(P.CI + 0x80, 1);
  };
  run([0], 0);
  assert.equal((read(P.TFD + 0x80) >> 12) & 15, 6);
  write(P.CMD + 0x80, 0x10);
  write(P.CMD + 0x80, 0x11);
  run([0x28, 0, 0, 0, 0, 0, 0, 0, 1], 2048);
  assert.equal(ram[DATA + 2047], 0x5a);
  assert.equal(view.getUint32(LIST + 4, true), 2048);
});

test('messages take the place of the line', () => {
  const { ahci, write, put, seen } = bench();
  ahci.function.writeConfig(0x84, 4, 0xfee0_0000);
  ahci.function.writeConfig(0x8c, 2, 0x41);
  ahci.function.writeConfig(0x82, 2, 1);
  put(0, [0xec], [[DATA, 512]]);
  write(P.CI, 1);
  assert.equal(seen.messages, 1);
  assert.equal(seen.interrupt, false);
});

test('a command has one number from the issue register to its interrupt, queued or not', () => {
  const { write, put, drive } = bench();
  put(0, [0x60, 2, 4, 0, 0, 0x40, 0, 0, 0, 0, 0], [[DATA, 1024]]);
  put(1, [0x25, 0, 4, 0, 0, 0x40, 0, 0, 0, 0, 2], [[DATA, 1024]]);
  const seen = [1, 2].map((slots) => {
    const events = eventsDuring(['ata_*'], () => {
      if (slots === 1) write(P.SACT, 1);
      write(P.CI, slots);
    }).filter(({ name }) => name.startsWith('ata_ahci'));
    assert.deepEqual(events.map(({ name }) => name.slice('ata_ahci_'.length)), ['issue', 'command', 'complete', 'interrupt']);
    assert.equal(events[1]!.values['request'], drive.lastRequest);
    return events[2]!.values['request'];
  });
  assert.equal(seen[1], Number(seen[0]) + 1);
});
