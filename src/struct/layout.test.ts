// Tests of layout.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { be16, be32, be64, bytes, cString, layout, le16, le32, le64, safeNumber, text, u8 } from './layout.ts';

// prettier-ignore
const sample = layout('sample', {
  tag: text(0, 4), flag: u8(4), low: le16(6), word: le32(8), wide: le64(12), raw: bytes(20, 3), big: be32(24),
}, 32);

test('a structure survives encoding and decoding', () => {
  const values = { tag: 'AB', flag: 0xff, low: 0x1234, word: 0xfedcba98, wide: 1n << 63n, raw: Uint8Array.of(1, 2, 3), big: 0x01020304 };
  assert.deepEqual(sample.decode(sample.encode(values)), values);
  assert.equal(sample.encode({}).length, 32);
});

test('byte order is that of the field', () => {
  const ordered = layout('ordered', { a: le16(0), b: be16(2), c: le32(4), d: be64(8) });
  const encoded = ordered.encode({ a: 0x0102, b: 0x0102, c: 0x01020304, d: 0x0102030405060708n });
  assert.deepEqual([...encoded], [2, 1, 1, 2, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('decoding at an offset reads inside a larger view', () => {
  const data = new Uint8Array(64).fill(0xaa);
  sample.write(data, { word: 5 }, 10);
  assert.equal(sample.decode(data, 10).word, 5);
  assert.equal(sample.decode(data.subarray(10)).word, 5);
  assert.equal(data[9], 0xaa);
});

test('data that ends early is refused', () => {
  for (const offset of [-1, 1, 1e9, Number.NaN, 0.5]) {
    assert.throws(() => sample.decode(new Uint8Array(32), offset), Failure, `${offset}`);
  }
});

test('values that do not fit are errors of ours', () => {
  assert.throws(() => sample.encode({ flag: 256 }), /does not fit/);
  assert.throws(() => sample.encode({ low: -1 }), /does not fit/);
  assert.throws(() => sample.encode({ wide: 1n << 64n }), /does not fit/);
  assert.throws(() => sample.encode({ tag: 'ABCDE' }), /does not fit/);
});

test('overlapping fields are an error of the declaration', () => {
  assert.throws(() => layout('bad', { a: le32(0), b: u8(3) }), /overlaps/);
  assert.throws(() => layout('short', { a: le32(0) }, 3), /longer/);
});

test('64-bit values become numbers only when exact', () => {
  assert.equal(safeNumber(1n << 52n, 'x'), 2 ** 52);
  assert.throws(() => safeNumber(1n << 53n, 'offset'), /offset is out of range/);
  assert.deepEqual([...cString('a')], [0x61, 0]);
});
