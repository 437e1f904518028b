// Dirty bitmaps beside a plain model: one boolean a granule.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { BitSet, DirtyBitmap } from './dirty-bitmap.ts';

const BITS = 100_000; // several pieces, the last one not full

function bytesOf(model: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(model.length / 8));
  model.forEach((isSet, bit) => {
    if (isSet) bytes[bit >> 3]! |= 1 << (bit & 7);
  });
  return bytes;
}

function randomRange(random: Prng): readonly [start: number, end: number] {
  const start = random.below(BITS);
  return [start, Math.min(BITS, start + 1 + random.below(random.oneIn(4) ? 70_000 : 100))];
}

function checkSame(set: BitSet, model: readonly boolean[], random: Prng): void {
  assert.equal(set.count, model.filter(Boolean).length);
  for (const value of [true, false]) {
    const [start, end] = randomRange(random);
    const expected = model.slice(0, end).indexOf(value, start);
    assert.equal(set.next(value, start, end), expected < 0 ? end : expected);
  }
  const stored = new Uint8Array(Math.ceil(BITS / 8));
  set.copyTo(0, stored);
  assert.deepEqual(stored, bytesOf(model));
}

describe('BitSet', () => {
  test('runs of bits are set, cleared, found and stored like a list of booleans', () => {
    const random = new Prng(1);
    const set = new BitSet(BITS);
    const model = new Array<boolean>(BITS).fill(false);
    for (let n = 0; n < 60; n++) {
      const [start, end] = randomRange(random);
      const value = !random.oneIn(3);
      set.assign(start, end, value);
      model.fill(value, start, end);
      checkSame(set, model, random);
    }
  });

  test('stored bytes come back, bits beyond the size do not count', () => {
    const set = new BitSet(20);
    set.copyFrom(0, Uint8Array.of(0x81, 0xff, 0xff, 0xff));
    assert.equal(set.count, 14);
    assert.equal(set.next(true, 1, 20), 7);
    set.resize(40);
    assert.equal(set.next(true, 20, 40), 40);
    set.resize(9);
    assert.equal(set.count, 3);
  });
});

describe('DirtyBitmap', () => {
  const make = (granularity: number, size = 1 << 20): DirtyBitmap => new DirtyBitmap({ name: 'b', granularity, size });

  test('marks whole granules while it is enabled', () => {
    const bitmap = make(4096);
    bitmap.mark(5000, 1);
    bitmap.enabled = false;
    bitmap.mark(100_000, 1);
    assert.deepEqual([...bitmap.dirtyAreas()], [{ offset: 4096, count: 4096 }]);
  });

  test('areas end at the size of the node', () => {
    const bitmap = make(65536, 100_000);
    bitmap.mark(99_999, 1);
    assert.deepEqual([...bitmap.dirtyAreas()], [{ offset: 65536, count: 34_464 }]);
  });

  test('merging takes another granularity', () => {
    const coarse = make(65536), fine = make(512);
    fine.mark(70_000, 600);
    coarse.merge(fine);
    assert.deepEqual([...coarse.dirtyAreas()], [{ offset: 65536, count: 65536 }]);
    fine.clear();
    fine.merge(coarse);
    assert.equal(fine.dirtyBytes, 65536);
  });

  test('bitmaps of different sizes are not merged', () => {
    assert.throws(() => make(512).merge(make(512, 4096)), /different sizes/);
  });
});
