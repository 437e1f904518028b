// Tests of e820.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { E820, encodeE820, isUsableRam, memoryMap } from './e820.ts';

const MIB = 2 ** 20;

test('ranges are ordered, apart, and add up to the RAM but for the legacy hole', () => {
  for (const ramBytes of [4 * MIB, 128 * MIB, 2048 * MIB, 3072 * MIB, 3073 * MIB, 8192 * MIB]) {
    const { ranges, lowRamBytes, pciWindows } = memoryMap(ramBytes, 5000);
    const [hole] = pciWindows;
    for (let n = 1; n < ranges.length; n++) assert.ok(ranges[n]!.start >= ranges[n - 1]!.start + ranges[n - 1]!.sizeBytes);
    const covered = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    assert.equal(covered, ramBytes - (0xf0000 - 0xa0000));
    assert.equal(hole!.start, lowRamBytes);
    assert.ok(!ranges.some(({ start, sizeBytes }) => start < hole!.end && start + sizeBytes > hole!.start));
  }
});

test('the table area is reserved, page-aligned and below 3 GiB', () => {
  const map = memoryMap(4096 * MIB, 5000);
  assert.equal(map.tableAddress, 3072 * MIB - 8192);
  const range = map.ranges.find(({ start }) => start === map.tableAddress);
  assert.deepEqual(range, { start: map.tableAddress, sizeBytes: 8192, type: E820.RESERVED });
});

test('a range that is reserved in the hole divides the PCI window', () => {
  const { ranges, pciWindows } = memoryMap(2048 * MIB, 4096, { start: 0xb000_0000, sizeBytes: 256 * MIB });
  assert.deepEqual(pciWindows, [{ start: 0x8000_0000, end: 0xb000_0000 }, { start: 0xc000_0000, end: 0xfec0_0000 }]);
  assert.deepEqual(ranges.at(-1), { start: 0xb000_0000, sizeBytes: 256 * MIB, type: E820.RESERVED });
});

test('usable RAM excludes tables, EBDA and the hole', () => {
  const map = memoryMap(64 * MIB, 4096);
  assert.ok(isUsableRam(map, 0x1000, 0x1000));
  assert.ok(isUsableRam(map, MIB, map.tableAddress - MIB));
  assert.ok(!isUsableRam(map, MIB, map.tableAddress - MIB + 1));
  assert.ok(!isUsableRam(map, 0x9f000, 0x1000));
  assert.ok(!isUsableRam(map, 0xa0000, 1));
});

test('too little RAM is refused', () => {
  assert.throws(() => memoryMap(1 * MIB, 4096), Failure);
  assert.throws(() => memoryMap(2 * MIB, 2 * MIB), Failure);
});

test('an entry takes 20 bytes', () => {
  const bytes = encodeE820([{ start: 0x100000000, sizeBytes: 0x1000, type: 2 }]);
  assert.deepEqual([...bytes], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
});
