// Tests of the diskette controller with its DMA channel: what a driver sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SystemBus } from '../../bus/address-space.ts';
import { isaDma } from '../dma/i8237.ts';
import { MemoryDrive } from '../memory-drive.ts';
import { floppyCmos, isaFdc } from './isa-fdc.ts';

const BUFFER = 0x2_3000;

function bench() {
  const bus = new SystemBus();
  const { ports } = bus;
  const ram = new Uint8Array(1 << 20);
  const memory = {
    view: (address: number, size: number) => (address + size <= ram.length ? ram.subarray(address, address + size) : undefined),
    written: () => {},
  };
  const seen = { interrupt: false };
  const [dma] = isaDma(bus, memory);
  const fdc = isaFdc(bus, { irq: { set: (level) => { seen.interrupt = level; } }, dma });
  const drive = new MemoryDrive({ size: 2880 * 512 });
  for (let at = 0; at < drive.bytes.length; at++) drive.bytes[at] = (at >> 9) + at;
  fdc.attach(0, drive);
  /** Sends a command and reads its result. */
  const command = (...values: readonly number[]): number[] => {
    for (const value of values) {
      assert.equal(ports.read(0x3f4, 1) & 0xc0, 0x80);
      ports.write(0x3f5, 1, value);
    }
    const result: number[] = [];
    while ((ports.read(0x3f4, 1) & 0xc0) === 0xc0) result.push(ports.read(0x3f5, 1));
    return result;
  };
  const channel = (mode: number, address: number, bytes: number): void => {
    ports.write(0x0a, 1, 6);
    ports.write(0x0c, 1, 0);
    ports.write(0x0b, 1, mode | 2);
    for (const half of [address & 0xff, (address >> 8) & 0xff]) ports.write(0x04, 1, half);
    ports.write(0x81, 1, address >> 16);
    for (const half of [(bytes - 1) & 0xff, (bytes - 1) >> 8]) ports.write(0x05, 1, half);
    ports.write(0x0a, 1, 2);
  };
  const start = (): void => {
    ports.write(0x3f2, 1, 0);
    ports.write(0x3f2, 1, 0x1c);
    assert.equal(seen.interrupt, true);
    for (let number = 0; number < 4; number++) assert.equal(command(0x08)[0], 0xc0 | number);
    ports.write(0x3f7, 1, 0);
    command(0x03, 0xdf, 0x02);
  };
  return { ports, ram, seen, drive, fdc, command, channel, start };
}

test('a reset is told for each drive, a seek with SENSE INTERRUPT STATUS', () => {
  const { seen, command, start, fdc } = bench();
  start();
  assert.deepEqual(floppyCmos(fdc, new Uint8Array(128)), { 0x10: 0x40, 0x14: 0x01 });
  assert.deepEqual(command(0x10), [0x90]);
  assert.deepEqual(command(0x08), [0x80]);
  command(0x0f, 0, 5);
  assert.equal(seen.interrupt, true);
  assert.deepEqual(command(0x08), [0x20, 5]);
  assert.deepEqual(command(0x4a, 0), [0, 0, 0, 5, 0, 1, 2]);
  assert.deepEqual(command(0x18), [0x80]);
});

test('sectors are read over both sides, and the count of the channel ends the command', () => {
  const { ram, drive, seen, command, channel, start } = bench();
  start();
  command(0x0f, 0, 3);
  command(0x08);
  channel(0x44, BUFFER, 20 * 512);
  assert.deepEqual(command(0xe6, 0, 3, 0, 10, 2, 18, 27, 0xff), [0, 0, 0, 3, 1, 12, 2]);
  assert.equal(seen.interrupt, false);
  const first = (3 * 36 + 9) * 512;
  assert.deepEqual(ram.slice(BUFFER, BUFFER + 20 * 512), drive.bytes.slice(first, first + 20 * 512));
});

test('sectors are written, and the end of the cylinder before that of the channel is abnormal', () => {
  const { ram, drive, command, channel, start } = bench();
  start();
  ram.fill(0x77, BUFFER, BUFFER + 1024);
  channel(0x48, BUFFER, 1024);
  assert.deepEqual(command(0xc5, 0, 0, 0, 1, 2, 18, 27, 0xff), [0, 0, 0, 0, 0, 3, 2]);
  assert.deepEqual([drive.bytes[0], drive.bytes[1023]], [0x77, 0x77]);
  channel(0x48, BUFFER, 4096);
  assert.deepEqual(command(0x45, 0, 0, 0, 18, 2, 18, 27, 0xff).slice(0, 2), [0x40, 0x80]);
  assert.equal(drive.bytes[18 * 512 - 1], 0x77);
});

test('a track is formatted with the fill byte', () => {
  const { ram, drive, command, channel, start } = bench();
  start();
  command(0x0f, 4, 7);
  command(0x08);
  for (let sector = 1; sector <= 18; sector++) ram.set([7, 1, sector, 2], BUFFER + 4 * (sector - 1));
  channel(0x48, BUFFER, 72);
  assert.equal(command(0x4d, 4, 2, 18, 0x54, 0xf6)[0], 4);
  const track = (7 * 36 + 18) * 512;
  assert.ok(drive.bytes.slice(track, track + 18 * 512).every((byte) => byte === 0xf6));
  assert.notEqual(drive.bytes[track - 1], drive.bytes[track + 18 * 512]);
});

test('errors: no medium, a wrong rate, a sector that there is not; the change line', () => {
  const { ports, drive, command, channel, start } = bench();
  start();
  channel(0x44, BUFFER, 512);
  assert.deepEqual(command(0x46, 0, 0, 0, 19, 2, 18, 27, 0xff).slice(0, 2), [0x40, 4]);
  ports.write(0x3f7, 1, 2);
  assert.deepEqual(command(0x4a, 0).slice(0, 2), [0x40, 1]);
  ports.write(0x3f7, 1, 0);
  drive.change(false);
  assert.equal(ports.read(0x3f7, 1), 0x80);
  assert.deepEqual(command(0x4a, 0).slice(0, 2), [0x40, 1]);
  drive.change(true);
  command(0x0f, 0, 1);
  command(0x08);
  assert.equal(ports.read(0x3f7, 1), 0);
});

test('a command waits for a channel that is closed', () => {
  const { ports, ram, drive, seen, command, start, channel } = bench();
  start();
  for (const value of [0xe6, 0, 0, 0, 2, 2, 18, 27, 0xff]) ports.write(0x3f5, 1, value);
  assert.equal(ports.read(0x3f4, 1), 0x10);
  channel(0x44, BUFFER, 512);
  assert.equal(seen.interrupt, true);
  assert.equal(ram[BUFFER + 1], drive.bytes[513]);
  while ((ports.read(0x3f4, 1) & 0x40) !== 0) ports.read(0x3f5, 1);
  assert.deepEqual(command(0x10), [0x90]);
});
