// Callers out of a guest's memory made by hand: frame pointers, and the tables of a 64-bit Linux (ORC), both with a stack that lies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KERNEL, RAM_BYTES, SampleMemory } from './sample-memory.ts';
import { StackCopies } from './stack-copies.ts';
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

const CALL = 0xe8;

test('frame pointers lead up the stack as long as they make sense', () => {
  const memory = new SampleMemory();
  const unwinder = new Unwinder(memory.guest);
  memory.bytes(0x10000, CALL);
  memory.bytes(0x11000, 0xff, 0xd0); // call rax
  memory.word(0x20000, 0x20040);
  memory.word(0x20008, 0x10005);
  memory.word(0x20040, 0x20000); // back down: not followed
  memory.word(0x20048, 0x11002);
  const frames = new Float64Array(FRAMES_MAX + 2);
  assert.equal(unwinder.unwind(0x12345, 0x1fff0, 0x20000, 8, frames), 2);
  assert.deepEqual([...frames.subarray(0, 2)], [0x10005, 0x11002]);
  memory.word(0x20008, 0x10007); // not behind a call
  memory.guest.begin();
  assert.equal(unwinder.unwind(0x12345, 0x1fff0, 0x20000, 8, frames), 0);
  assert.equal(unwinder.unwind(0x12345, 0x1fff0, Number.NaN, 8, frames), 0);
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
    const count = unwinder.unwind(KERNEL + 0x11010, KERNEL + sp, 0, 8, frames);
    assert.deepEqual([...frames.subarray(0, count)], [0x10050, 0x12010, 0x11080, 0x13010].map((at) => KERNEL + at));
  });
}

test('a copy of a stack is walked as the stack was, whatever has become of it', () => {
  const { memory, unwinder } = kernel();
  const copies = new StackCopies(memory.guest);
  const sp = 0x53f00; // the stack ends at 0x54000
  memory.word(sp + 24, KERNEL + 0x10050);
  memory.word(sp + 32 + 8, KERNEL + 0x13010);
  assert.ok(copies.add(KERNEL + 0x11010, KERNEL + 0x11010, KERNEL + sp, 0, 3));
  assert.ok(copies.add(KERNEL + 0x10010, KERNEL + 0x10010, KERNEL + sp + 32, 0, 5));
  assert.ok(!copies.add(KERNEL + 0x10010, KERNEL + 0x10010, 0x7fff_0000_0000, 0, 6));
  memory.word(sp + 24, 0);
  memory.word(sp + 32 + 8, 0);
  const frames = new Float64Array(FRAMES_MAX + 2);
  const walked = [0, 1].map((index) => {
    copies.select(index);
    return [...frames.subarray(0, unwinder.unwindCopy(copies, copies, frames))];
  });
  assert.deepEqual(walked, [[KERNEL + 0x10050, KERNEL + 0x13010], [KERNEL + 0x13010]]);
  assert.deepEqual([0, 1, 2].map((index) => copies.firstSample(index)), [3, 5, Infinity]);
  for (const at of [sp + 24, sp + 44, 0x54000]) assert.ok(Number.isNaN(copies.word(KERNEL + at)));
});

test('copies are as many as there is room for', () => {
  const { memory } = kernel();
  const copies = new StackCopies(memory.guest);
  let added = 0;
  while (!copies.isFull && added < 10_000) if (copies.add(0, 0, KERNEL + 0x50000, 0, added)) added++;
  assert.equal(added, 64); // of 8 KiB
  copies.clear();
  assert.deepEqual([copies.count, copies.isFull], [0, false]);
});

test('a stack that leads in a circle, or nowhere, ends', () => {
  const { memory, unwinder } = kernel();
  const frames = new Float64Array(FRAMES_MAX + 2);
  for (let at = 0x50000; at < 0x60000; at += 8) memory.word(at, KERNEL + 0x10050);
  assert.equal(unwinder.unwind(KERNEL + 0x10010, KERNEL + 0x50000, 0, 8, frames), FRAMES_MAX);
  assert.equal(unwinder.unwind(KERNEL + 0x10010, 0x7fff_0000_0000, 0, 8, frames), 0);
  memory.word(0x70000 + 128, KERNEL + 0x12010); // an interrupt's registers that lead to themselves
  memory.word(0x70000 + 152, KERNEL + 0x70000);
  memory.guest.begin();
  assert.equal(unwinder.unwind(KERNEL + 0x12010, KERNEL + 0x70000, 0, 8, frames), FRAMES_MAX);
});
