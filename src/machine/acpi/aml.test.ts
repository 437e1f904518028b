// Tests of aml.ts and resources.ts: encodings byte by byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as aml from './aml.ts';
import { extendedInterrupt, irq, memory32Fixed, memoryWindow, resourceTemplate } from './resources.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('integers take the shortest form', () => {
  const forms = [0, 1, 2, 0xff, 0x100, 0x10000, 2 ** 32].map((value) => hex(aml.integer(value)));
  assert.deepEqual(forms, ['00', '01', '0a02', '0aff', '0b0001', '0c00000100', '0e0000000001000000']);
});

test('names are padded and joined by their count', () => {
  assert.equal(hex(aml.namePath('_HID')), '5f484944');
  assert.equal(hex(aml.namePath('\\_SB')), '5c5f53425f');
  assert.equal(hex(aml.namePath('^PCI0.ISA')), '5e2e504349304953415f');
  assert.equal(hex(aml.namePath('\\_SB.PCI0.ISA')).slice(0, 6), '5c2f03');
  assert.throws(() => aml.namePath('TOOLONG'));
});

test('package lengths grow with the contents and count themselves', () => {
  assert.equal(hex(aml.buffer(new Uint8Array(2))), '11050a020000');
  for (const size of [10, 60, 61, 4000, 5000]) {
    const node = aml.buffer(new Uint8Array(size));
    const extra = node[1]! >> 6;
    let total = extra === 0 ? node[1]! & 0x3f : node[1]! & 0xf;
    for (let n = 0; n < extra; n++) total += node[2 + n]! << (4 + 8 * n);
    assert.equal(total, node.length - 1, `${size}`);
  }
});

test('an EISA identifier is compressed to four bytes', () => {
  assert.equal(hex(aml.eisaId('PNP0A03')), '0c41d00a03');
});

test('resource descriptors', () => {
  assert.equal(hex(irq(8)), '220001');
  assert.equal(hex(memory32Fixed(0xfed00000, 0x400)), '860900010000d0fe00040000');
  assert.equal(hex(extendedInterrupt(5, 10)), '890a000902050000000a000000');
  assert.equal(memoryWindow(0x80000000, 0xfec00000).length, 26);
  assert.equal(memoryWindow(2 ** 32, 2 ** 33).length, 46);
  assert.equal(hex(resourceTemplate(irq(1))), '11080a052202007900');
});
