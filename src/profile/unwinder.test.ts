// Callers out of a guest's memory made by hand, by the tables of a 64-bit Linux (ORC), also with a stack that lies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KERNEL, RAM_BYTES, SampleMemory } from './sample-memory.ts';
import { plainSymbols, SymbolTable } from './symbols.ts';
import { FRAMES_MAX, Unwinder } from './unwinder.ts';

test('linear addresses are found through both sizes of pages, and not where nothing is', () => {
  const memory = new SampleMemory();
  memory.word(0x9000, -5);
  assert.equal(memory.guest.word(0x9000, 8), -5);
  assert.equal(memory.guest.word(KERNEL + 0x9000, 8), -5);
  assert.equal(memory.guest.physical(KERNEL + 0x9123), 0x9123);
  for (const nowhere of [RAM_BYTES, KERNEL + RAM_BYTES, KERNEL + (4 << 20), 0x7fff_0000_0000, -8, Number.NaN]) {
    assert.ok(Number.isNaN(memory.guest.word(nowhere, 8)), String(nowhere));
  }
});

test('what is known of the kernel\'s half holds until its entry changes; of the other half until the next look', () => {
  const memory = new SampleMemory();
  memory.word(0x9000, 9);
  memory.word(0xa000, 10);
  assert.deepEqual([0x9000, KERNEL + 0x9000].map((at) => memory.guest.word(at, 8)), [9, 9]);
  memory.entry(0x6000, 9, 0xa003);
  memory.entry(0x5000, 0, 0); // no page any more
  memory.guest.begin();
  assert.equal(memory.guest.word(0x9000, 8), 10);
  assert.ok(Number.isNaN(memory.guest.word(KERNEL + 0x9000, 8)));
});

/** ip offset, sp offset, bp offset, registers and type as an entry has them. */
const TABLE: readonly (readonly [number, number, number, number])[] = [
  [0x10000, 16, 0, 0x05], // outer: the caller's address is above one word
  [0x11000, 32, -16, 0x15], // inner: keeps the caller's rbp
  [0x12000, 0, 0, 0x105], // an interrupt's registers
  [0x13000, 0, 0, 0x00], // undefined: the end
];

/** With the kernel's index of its tables, for each 256 bytes from _stext on; zeros are one that is not made yet. */
function kernel(index: readonly number[] = []): { memory: SampleMemory; unwinder: Unwinder } {
  const memory = new SampleMemory();
  const [ips, entries] = [0x40000, 0x41000];
  TABLE.forEach(([ip, sp, bp, kinds], n) => {
    memory.number(ips + n * 4, ip - (ips + n * 4), 4);
    memory.number(entries + n * 6, sp, 2);
    memory.number(entries + n * 6 + 2, bp, 2);
    memory.number(entries + n * 6 + 4, kinds, 2);
  });
  const places = { _stext: 0x10000, _etext: 0x14000, __start_orc_unwind_ip: ips, __stop_orc_unwind_ip: ips + 4 * TABLE.length,
    __start_orc_unwind: entries, orc_lookup: 0x42000, orc_lookup_end: 0x42000 + 65 * 4 };
  const unwinder = new Unwinder(memory.guest);
  for (let piece = 0; piece < 65; piece++) memory.number(0x42000 + piece * 4, index[piece] ?? 0, 4);
  unwinder.use(new SymbolTable(plainSymbols(Object.entries(places).map(([name, at]) => ({ name, address: KERNEL + at })))));
  return { memory, unwinder };
}

const MADE = Array.from({ length: 65 }, (_, piece) => Math.min(3, piece >> 4));
const WRONG = MADE.map((entry) => (entry + 1) % 4);
const ABSURD = MADE.map(() => -7);

for (const [which, index] of [['made', MADE], ['not made', []], ['wrong', WRONG], ['absurd', ABSURD]] as const) {
  test(`the tables of a kernel say where callers are, through an interrupt too; their index is ${which}`, () => {
    const { memory, unwinder } = kernel(index);
    const sp = 0x50000;
    memory.word(sp + 24, KERNEL + 0x10050); // inner's caller is outer
    memory.word(sp + 32 + 8, KERNEL + 0x12010); // outer's is the entry of an interrupt
    const registers = sp + 32 + 16;
    memory.word(registers + 128, KERNEL + 0x11080); // which interrupted inner
    memory.word(registers + 152, KERNEL + 0x60000);
    memory.word(0x60000 + 24, KERNEL + 0x13010); // called from where nothing is known
    const frames = new Float64Array(FRAMES_MAX + 2);
    const count = unwinder.unwind(memory.stack, { ip: KERNEL + 0x11010, sp: KERNEL + sp, bp: 0 }, frames);
    assert.deepEqual([...frames.subarray(0, count)], [0x10050, 0x12010, 0x11080, 0x13010].map((at) => KERNEL + at));
  });
}

test('a stack that leads in a circle, or nowhere, ends', () => {
  const { memory, unwinder } = kernel();
  const frames = new Float64Array(FRAMES_MAX + 2);
  for (let at = 0x50000; at < 0x60000; at += 8) memory.word(at, KERNEL + 0x10050);
  assert.equal(unwinder.unwind(memory.stack, { ip: KERNEL + 0x10010, sp: KERNEL + 0x50000, bp: 0 }, frames), FRAMES_MAX);
  assert.equal(unwinder.unwind(memory.stack, { ip: KERNEL + 0x10010, sp: 0x7fff_0000_0000, bp: 0 }, frames), 0);
  memory.word(0x70000 + 128, KERNEL + 0x12010); // an interrupt's registers that lead to themselves
  memory.word(0x70000 + 152, KERNEL + 0x70000);
  memory.guest.begin();
  assert.equal(unwinder.unwind(memory.stack, { ip: KERNEL + 0x12010, sp: KERNEL + 0x70000, bp: 0 }, frames), FRAMES_MAX);
});
