// Tests of the flash memory: commands as firmware and Linux's drivers give them, what they read, and what reaches the drive.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrnoFailure } from '../../base/errno.ts';
import { SystemBus } from '../../bus/address-space.ts';
import type { Drive } from '../../ports/disk.ts';
import { claimFlash, PflashCfi01 } from './pflash-cfi01.ts';

const BASE = 0xffc0_0000;
const SIZE = 0x4000;

function bench(readOnly = false) {
  const image = new Uint8Array(SIZE).fill(0xff);
  const contents = image.slice();
  const seen = { array: false, fails: false };
  const drive = {
    name: 'flash', size: SIZE, readOnly,
    write(offset: number, source: Uint8Array) {
      if (seen.fails) throw new ErrnoFailure('EIO', 'broken');
      image.set(source, offset);
    },
  } as Drive;
  const flash = new PflashCfi01({ name: 'flash', contents, drive, showArray: (shown) => { seen.array = shown; } });
  const { mmio } = new SystemBus();
  claimFlash({ claimMmio: (region) => mmio.claim(region) } as SystemBus, BASE, flash, SIZE);
  flash.settle();
  const write = (at: number, ...values: number[]): void => values.forEach((value) => mmio.write(BASE + at, 1, value));
  return { image, contents, seen, flash, write, read: (at: number, size = 1) => mmio.read(BASE + at, size) };
}

test('OVMF tells flash from RAM and ROM by its status', () => {
  const { seen, write, read } = bench();
  assert.equal(seen.array, true);
  write(0, 0x50);
  assert.deepEqual([read(0), seen.array], [0xff, true]);
  write(0, 0x70);
  assert.deepEqual([read(0), seen.array], [0, false]);
  write(0, 0xff);
  assert.equal(seen.array, true);
});

test('programming clears bits, erasing sets a block, and both reach the drive', () => {
  const { image, write, read, seen } = bench();
  write(0x1005, 0x10, 0x5a);
  assert.equal(read(0x1005), 0x80, 'ready');
  write(0x1005, 0x40, 0xf0, 0xff);
  assert.deepEqual([read(0x1005), image[0x1005], seen.array], [0x50, 0x50, true]);
  write(0x1ff0, 0x20, 0xd0, 0xff);
  assert.deepEqual([read(0x1005), image[0x1005]], [0xff, 0xff]);
  write(0x1005, 0x20, 0x00);
  assert.equal(read(0), 0x80 | 0x30, 'erasing wants a confirmation');
});

test('a buffer is programmed when it is confirmed', () => {
  const { image, write, read } = bench();
  write(0x200, 0xe8);
  assert.equal(read(0x200), 0x80);
  write(0x200, 2);
  for (const [index, value] of [1, 2, 3].entries()) write(0x204 + index, value);
  assert.equal(image[0x204], 0xff);
  write(0x200, 0xd0, 0xff);
  assert.deepEqual([...image.subarray(0x203, 0x208)], [0xff, 1, 2, 3, 0xff]);
});

test('the chip identifies itself and answers a query', () => {
  const { write, read } = bench();
  write(0, 0x90);
  assert.deepEqual([read(0), read(1), read(2)], [0x89, 0x18, 0]);
  write(0, 0x98);
  assert.equal(String.fromCharCode(read(0x10), read(0x11), read(0x12)), 'QRY');
  assert.deepEqual([read(0x13, 2), read(0x27), read(0x2d, 2), read(0x2f, 2)], [1, 14, 3, 16]);
});

test('a read-only image and a broken drive are programming errors', () => {
  const fixed = bench(true);
  fixed.write(0, 0x10, 0);
  assert.deepEqual([fixed.read(0), fixed.contents[0]], [0x90, 0xff]);
  const broken = bench();
  broken.seen.fails = true;
  broken.write(0, 0x10, 0);
  assert.equal(broken.read(0) & 0x10, 0x10);
});
