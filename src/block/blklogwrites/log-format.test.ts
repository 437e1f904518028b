// The structures of the write log against the bytes that the specification says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEntry, decodeSuperblock, encodeEntry, encodeSuperblock, entryDataBytes, isSectorSize, LOG } from './log-format.ts';

test('a superblock has the bytes of the specification', () => {
  const bytes = encodeSuperblock(11, 512);
  assert.equal(bytes.length, 512);
  assert.equal(Buffer.from(bytes.subarray(0, 28)).toString('hex'), '7268737766736a0001000000000000000b0000000000000000020000');
  assert.deepEqual(decodeSuperblock(bytes), { entryCount: 11, sectorSize: 512 });
});

test('entries tell how much data follows', () => {
  const write = { sector: 8, sectorCount: 2, flags: 0 };
  assert.deepEqual(decodeEntry(encodeEntry(write, 512)), write);
  assert.equal(entryDataBytes(write, 512), 1024);
  assert.equal(entryDataBytes({ ...write, flags: LOG.DISCARD }, 512), 0);
});

test('foreign superblocks are refused', () => {
  assert.throws(() => decodeSuperblock(new Uint8Array(512)), /Invalid log superblock magic/);
  const bytes = encodeSuperblock(0, 512);
  bytes[8] = 2;
  assert.throws(() => decodeSuperblock(bytes), /Unsupported log version 2/);
  const odd = encodeSuperblock(0, 512);
  odd[24] = 3;
  assert.throws(() => decodeSuperblock(odd), /Invalid log sector size/);
  assert.deepEqual([32, 512, 4096, 16, 100, 1 << 24].map(isSectorSize), [true, true, true, false, false, false]);
});
