// Symbols read out of an image of a kernel, made here in the three orders that its tables have had.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelImage } from './kallsyms.ts';
import { SymbolTable } from './symbols.ts';

const BASE = -0x7f00_0000; // ffffffff81000000
const NAMES = ['T_stext', ...Array.from({ length: 600 }, (_, n) => `tfunction_${n}`), 'T_etext'];

/** The order of tables until 6.1, that with a table of order, and that from 6.4 on. */
type Order = 'plain' | 'with order' | 'addresses behind';

class Writer {
  readonly bytes: number[] = [];

  align(): void {
    while (this.bytes.length % 8 !== 0) this.bytes.push(0);
  }

  number(value: number, bytes: number): void {
    for (let n = 0, rest = BigInt.asUintN(64, BigInt(value)); n < bytes; n++, rest >>= 8n) this.bytes.push(Number(rest & 255n));
  }
}

function image(order: Order, change: (offsets: number[]) => void = () => {}): Uint8Array {
  const out = new Writer();
  const text = (words: string): void => void out.bytes.push(...new TextEncoder().encode(words));
  text('\0\0some other 0\0 1\0 data');
  out.align();
  // The symbol of a processor's area keeps its value; the others are told by their sign.
  const offsets = [0x1f000, ...NAMES.map((_, n) => -1 - n * 16)];
  change(offsets);
  const names = ['Acurrent_task', ...NAMES];
  const addresses = (): void => {
    for (const offset of offsets) out.number(offset, 4);
    out.align();
    out.number(BASE, 8);
  };
  if (order !== 'addresses behind') addresses();
  out.number(names.length, 8);
  const start = out.bytes.length;
  const markers = names.map((name, n) => {
    const at = out.bytes.length - start;
    const packed = name.replace('function_', '\u0080');
    out.bytes.push(packed.length, ...[...packed].map((sign) => sign.charCodeAt(0)));
    return n % 256 === 0 ? at : -1;
  });
  out.align();
  for (const marker of markers.filter((at) => at >= 0)) out.number(marker, 4);
  out.align();
  if (order === 'with order') for (let n = 0; n < names.length; n++) out.bytes.push(0, (n * 7) & 255, (n * 13) & 255);
  out.align();
  const ownText = (token: number): string => (token < 33 || token > 126 ? 'x' : String.fromCharCode(token));
  const tokens = Array.from({ length: 256 }, (_, token) => (token === 0x80 ? 'function_' : ownText(token)));
  const places: number[] = [];
  const first = out.bytes.length;
  for (const token of tokens) {
    places.push(out.bytes.length - first);
    text(`${token}\0`);
  }
  out.align();
  for (const place of places) out.number(place, 2);
  if (order === 'addresses behind') {
    out.align();
    addresses();
  }
  text('the rest of the image');
  return Uint8Array.from(out.bytes);
}

for (const order of ['plain', 'with order', 'addresses behind'] as const) {
  test(`kallsyms are read: ${order}`, () => {
    const source = new KernelImage(image(order), 8).symbols();
    assert.ok(source !== undefined);
    const table = new SymbolTable(source);
    assert.equal(table.count, NAMES.length + 1);
    assert.equal(table.nameOf(BASE), '_stext');
    assert.equal(table.nameOf(BASE + 16 * 300 + 5), 'function_299');
    assert.ok(table.begins(BASE + 16 * 300) && !table.begins(BASE + 16 * 300 + 5));
    assert.equal(table.nameOf(BASE - 1), undefined);
    const found = [...table.find(['current_task', '_etext', 'nothing'])].sort();
    assert.deepEqual(found, [['_etext', BASE + 601 * 16], ['current_task', 0x1f000]]);
  });
}

test('tables that do not agree are no symbols', () => {
  const good = image('plain');
  assert.equal(new KernelImage(good.slice(0, good.length - 700), 8).symbols(), undefined); // without the index of tokens
  const shuffled = image('plain', (offsets) => offsets.sort((a, b) => ((a * 7919) % 601) - ((b * 7919) % 601)));
  assert.equal(new KernelImage(shuffled, 8).symbols(), undefined);
  assert.equal(new KernelImage(new Uint8Array(4096).fill(0x30), 8).symbols(), undefined);
});

test('a damaged image gives symbols or none, in bounded time', () => {
  const good = image('with order');
  for (let at = 0; at < good.length; at += 37) {
    const bad = good.slice();
    bad[at] = bad[at]! ^ 0xff;
    const source = new KernelImage(bad, 8).symbols();
    if (source !== undefined) for (let n = 0; n < source.count; n += 50) assert.equal(typeof source.nameAt(n), 'string');
  }
});

test('tables are found a part of memory at a time', () => {
  const before = new Uint8Array(1 << 16).fill(0x30);
  const searched = new KernelImage(Uint8Array.from([...before, ...image('with order')]), 8);
  let parts = 1;
  let found = searched.search(4096);
  for (; found === 'unfinished'; parts++) found = searched.search(4096);
  assert.ok(parts > 16, `${parts} parts`);
  assert.ok(found !== undefined);
  assert.equal(new SymbolTable(found).nameOf(BASE + 16 * 300), 'function_299');
});

test('addresses are found by all symbols around them, in order or not', () => {
  const interleaved = (offsets: number[]): void => {
    const kernel = offsets.splice(1);
    offsets.push(...kernel.filter((_, n) => n % 2 === 0), ...kernel.filter((_, n) => n % 2 === 1));
  };
  for (const change of [() => {}, interleaved]) {
    const source = new KernelImage(image('plain', change), 8).symbols();
    assert.ok(source !== undefined);
    for (let n = 0; n < source.count; n++) {
      const address = source.addressAt(n);
      assert.ok(n === 0 || source.addressAt(n - 1) < address);
      assert.deepEqual([source.indexOf(address), source.indexOf(address + 1), source.indexOf(address - 1)], [n, n, n - 1]);
      assert.equal(source.find([source.nameAt(n)]).get(source.nameAt(n)), address);
    }
    assert.equal(source.nameAt(source.indexOf(0x1f000)), 'current_task');
  }
});

test('what only looks like tables is gone after some times', () => {
  const good = image('plain');
  const tokens = [...good.slice(Math.ceil((good.length - 1400) / 8) * 8)]; // with their index, without names
  while (tokens.length % 8 !== 0) tokens.push(0);
  const after = (copies: number): Uint8Array => Uint8Array.from([...Array.from({ length: copies }, () => tokens).flat(), ...good]);
  assert.ok(new KernelImage(after(4), 8).symbols() !== undefined);
  assert.equal(new KernelImage(after(40), 8).symbols(), undefined);
});
