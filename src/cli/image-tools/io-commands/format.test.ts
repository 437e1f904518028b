// The text of results, to the last digit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dumpText, sizeText, timeText, transferText } from './format.ts';

test('sizes as C prints them', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 bytes'],
    [512, '512 bytes'],
    [0.5, '0.500000 bytes'],
    [1536, '1.500 KiB'],
    [65536, '64 KiB'],
    [0x310000, '3.062 MiB'], // 3.0625: the middle goes to the even digit
    [0x3f0000, '3.938 MiB'],
    [2 ** 50, '1 PiB'],
  ];
  for (const [bytes, text] of cases) assert.equal(sizeText(bytes), text);
});

test('times', () => {
  assert.equal(timeText(1.5e7), '00.01 sec');
  assert.equal(timeText(62.06e9), '0:01:02.06');
  assert.equal(timeText(3661e9), '1:01:01.00');
});

test('the lines after a transfer', () => {
  const transfer = { verb: 'read', offset: 4, requested: 1024, total: 1024, operations: 1, elapsedNs: 1e9 };
  assert.equal(transferText(transfer, false), 'read 1024/1024 bytes at offset 4\n1 KiB, 1 ops; 01.00 sec (1 KiB/sec and 1.0000 ops/sec)\n');
  assert.equal(transferText(transfer, true), '1024,1,0:00:01.00,1024.000,1.000\n');
});

test('a dump', () => {
  const bytes = Uint8Array.from({ length: 18 }, (_, index) => 0x30 + index);
  assert.equal(dumpText(bytes, 16), '00000010:  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?\n00000020:  40 41  @A\n');
});
