// Tests of saved state: encoding, decoding, and the refusal of everything that is damaged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { defineState } from './define-state.ts';
import { array, blob, bool, bytes, choice, count, fifo, i32, nanoseconds, struct, u16, u32, u64, u8, words } from './fields.ts';
import { decodeSections, encodeSections, restoreAll, saveAll } from './stream.ts';

const sample = defineState({
  kind: 'sample',
  version: 3,
  fields: {
    a: u8(7, 9),
    b: u16(),
    c: u32(0x1234_5678),
    d: u64(5n),
    e: i32(-1),
    f: bool(true),
    g: bytes(4, [1, 2]),
    h: fifo(3),
    i: array(u8(), 2),
    j: struct({ x: u8(1), y: bool() }),
    k: nanoseconds(Infinity),
    l: blob(8),
    m: words(2, 9),
    n: choice('one', 'two'),
    o: count(1),
  },
  check: (state) => (state.b === 0xdead ? 'b is dead' : undefined),
});

test('initial values are those declared, fresh each time', () => {
  const state = sample.initial();
  assert.deepEqual([state.a, state.c, state.d, state.e, state.f], [7, 0x1234_5678, 5n, -1, true]);
  assert.deepEqual([...state.g], [1, 2, 0, 0]);
  assert.notEqual(state.g, sample.initial().g);
});

test('a state survives encode and decode', () => {
  const state = sample.initial();
  state.h.push(4);
  state.j.y = true;
  state.n = 'two';
  state.l = Uint8Array.of(1, 2, 3);
  const encoded = sample.encode(state);
  const decoded = sample.decode(encoded);
  assert.deepEqual(sample.dump(decoded), sample.dump(state));
  assert.deepEqual(sample.encode(decoded), encoded);
});

const refused =
  (kind: string) =>
  (error: unknown): boolean =>
    error instanceof Failure && error.kind === kind;

test('every truncation, extension and other version is refused', () => {
  const encoded = sample.encode(sample.initial());
  for (let length = 0; length < encoded.length; length++) {
    assert.throws(() => sample.decode(encoded.subarray(0, length)), refused('corrupt'));
  }
  assert.throws(() => sample.decode(Uint8Array.of(...encoded, 0)), refused('corrupt'));
  assert.throws(() => sample.decode(encoded, 2), refused('unsupported'));
});

test('a value beyond its bound and an unreachable combination are refused', () => {
  const encoded = sample.encode(sample.initial());
  encoded[0] = 10;
  assert.throws(() => sample.decode(encoded), refused('corrupt'));
  assert.throws(() => sample.decode(sample.encode({ ...sample.initial(), b: 0xdead })), refused('corrupt'));
});

test('a stream restores all devices, and refuses missing, unknown and repeated sections', () => {
  const settled: string[] = [];
  const device = (name: string) => ({
    schema: sample,
    state: sample.initial(),
    settle: () => {
      settled.push(name);
    },
  });
  const source = new Map([
    ['p', device('p')],
    ['q', device('q')],
  ]);
  source.get('q')!.state.b = 99;
  const stream = saveAll(source);
  const target = new Map([
    ['p', device('p')],
    ['q', device('q')],
  ]);
  restoreAll(target, stream);
  assert.equal(target.get('q')!.state.b, 99);
  assert.deepEqual(settled, ['p', 'q']);
  const sections = decodeSections(stream);
  for (const wrong of [sections.slice(1), [...sections, sections[0]!], [...sections, { ...sections[0]!, name: 'r' }]]) {
    assert.throws(() => restoreAll(target, encodeSections(wrong)), refused('corrupt'));
  }
});

test('a state larger than the first buffer of the writer is written whole', () => {
  const large = defineState({ kind: 'large', version: 1, fields: { pad: bytes(254), number: u32(0x0102_0304), more: bytes(5000) } });
  const encoded = large.encode(large.initial());
  assert.equal(encoded.length, 254 + 4 + 5000);
  assert.equal(large.decode(encoded).number, 0x0102_0304);
});
