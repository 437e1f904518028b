// Records of samples as assembly/samples.ts writes them and SampleRecords reads them: callers by frame pointers, copies of a kernel's
// stack, the task's name; with registers and memory that lie.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  enterUser, longMode, PAGE, pageEntryAt, protectedMode, SELECTOR, SUPPORT_WASM, SupportBench, TABLES,
} from '../cpu/support-bench.ts';
import { GUEST_RAM, SAMPLE_FRAMES_MAX, SAMPLE_RECORDS_BYTES, vcpuArea } from '../memory/memory-map.ts';
import { SampleRecords } from './sample-records.ts';

const support = new WebAssembly.Module(readFileSync(SUPPORT_WASM));
/** The first 2 MiB are here too. */
const KERNEL = -0x8000_0000;

interface Sampled {
  readonly bench: SupportBench;
  readonly records: SampleRecords;
}

function sampled(bench: SupportBench): Sampled {
  return { bench, records: new SampleRecords(new Uint32Array(bench.bytes.buffer), vcpuArea(0)) };
}

/** In 64-bit mode, with pages that have been accessed and the kernel's half. */
function inLongMode(): Sampled {
  const bench = new SupportBench(support);
  longMode(bench);
  const { pageTables } = TABLES;
  const all = PAGE.PRESENT | PAGE.WRITABLE | PAGE.USER | PAGE.ACCESSED;
  for (let page = 0; page < 512; page++) bench.poke(pageTables + 0x3000 + page * 8, 8, (BigInt(page) << 12n) | all);
  for (const at of [0, 511 * 8]) bench.poke(pageTables + at, 8, BigInt(pageTables + 0x1000) | all);
  for (const at of [0, 510 * 8]) bench.poke(pageTables + 0x1000 + at, 8, BigInt(pageTables + 0x2000) | all);
  bench.poke(pageTables + 0x2000, 8, BigInt(pageTables + 0x3000) | all);
  bench.call('flushTlb');
  return sampled(bench);
}

const set = (bench: SupportBench, registers: Readonly<Record<string, number>>): void => {
  for (const [name, value] of Object.entries(registers)) bench.set(name, BigInt(value));
};

const word = (bench: SupportBench, at: number, value: number): void => bench.poke(at, 8, BigInt.asUintN(64, BigInt(value)));

function framesOf({ bench, records }: Sampled): number[] {
  bench.call('takeSample', 0);
  assert.ok(records.next());
  const frames = new Float64Array(SAMPLE_FRAMES_MAX + 2);
  const count = records.copyFrames(frames, 0);
  records.clear();
  return [...frames.subarray(0, count)];
}

test('frame pointers lead up the stack as long as they make sense', () => {
  const machine = inLongMode();
  const { bench } = machine;
  bench.poke(0x80000, 1, 0xe8);
  bench.poke(0x81000, 2, 0xd0ff); // call rax
  word(bench, 0x90000, 0x90040);
  word(bench, 0x90008, 0x80005);
  word(bench, 0x90040, 0x90000); // back down: not followed
  word(bench, 0x90048, 0x81002);
  set(bench, { rip: 0x12345, sampleRip: 0x12340, rsp: 0x8fff0, rbp: 0x90000 });
  assert.deepEqual(framesOf(machine), [0x80005, 0x81002]);
  word(bench, 0x90008, 0x80007); // not behind a call
  assert.deepEqual(framesOf(machine), []);
  for (const rbp of [0x90001, 0x8ffe0, 0x7fff_0000_0000, -8]) {
    set(bench, { rbp });
    assert.deepEqual(framesOf(machine), [], String(rbp));
  }
});

test('frames of a circle, and of a stack of calls without end, are as many as there is room for', () => {
  const machine = inLongMode();
  const { bench } = machine;
  bench.poke(0x80000, 1, 0xe8);
  for (let at = 0x90000; at < 0x98000; at += 16) {
    word(bench, at, at + 16);
    word(bench, at + 8, 0x80005);
  }
  set(bench, { rsp: 0x8fff0, rbp: 0x90000 });
  assert.deepEqual(framesOf(machine), Array.from({ length: SAMPLE_FRAMES_MAX }, () => 0x80005));
});

test('32-bit code has frames of 4 bytes, and addresses from its segment\'s base on', () => {
  const bench = new SupportBench(support);
  protectedMode(bench);
  const machine = sampled(bench);
  bench.poke(0x80000, 1, 0xe8);
  bench.poke(0x90000, 4, 0);
  bench.poke(0x90004, 4, 0x80005);
  bench.setSegment('cs', SELECTOR.code0, 0x1000n, 0xffffffff, 0xc09b);
  bench.call('updateMode');
  set(bench, { rip: 0x2345, sampleRip: 0x2340, rsp: 0x8fff0, rbp: 0x90000 });
  assert.deepEqual(framesOf(machine), [0x80005]);
  bench.call('takeSample', 0);
  machine.records.next();
  assert.deepEqual([machine.records.leaf, machine.records.ip, machine.records.isLong], [0x3340, 0x3345, false]);
});

test('a record has registers, the moments noted, the mode, and the task\'s name', () => {
  const { bench, records } = inLongMode();
  word(bench, 0x70010, KERNEL + 0x71000);
  for (const [n, letter] of [...'swapper;0\n'].entries()) bench.poke(0x71128 + n, 1, letter.charCodeAt(0));
  bench.set('sampleTask', BigInt(KERNEL + 0x70010));
  bench.set32('sampleNameOffset', 0x128);
  bench.set32('sampleNoted', 7);
  bench.poke(0x80000, 1, 0xe8);
  word(bench, 0x8fff0, 0x80005);
  set(bench, { rip: KERNEL + 0x345, sampleRip: KERNEL + 0x340, rsp: 0x8fff0, rbp: 1 });
  bench.call('takeSample', 1.5e9);
  enterUser(bench, SELECTOR.code64User);
  bench.set('sampleTask', 0n);
  bench.call('takeSample', 2e9);
  assert.ok(records.next());
  assert.deepEqual([records.leaf, records.ip, records.sp, records.bp], [KERNEL + 0x340, KERNEL + 0x345, 0x8fff0, 1]);
  assert.deepEqual([records.noted, records.answeredNs, records.name, records.caller], [7, 1.5e9, 'swapper_0_', 0x80005]);
  assert.deepEqual([records.isLong, records.isUser, records.tables, records.hasStack], [true, false, TABLES.pageTables, false]);
  assert.ok(records.next());
  assert.deepEqual([records.isUser, records.name, records.answeredNs], [true, '', 2e9]);
  assert.ok(!records.next());
});

/** What a record's stack holds at some addresses of the kernel's half. */
const words = (records: SampleRecords, ...at: readonly number[]): number[] => at.map((linear) => records.word(KERNEL + linear));

test('a kernel\'s stack is copied to its end, as it was', () => {
  const { bench, records } = inLongMode();
  bench.set32('sampleCopies', 1);
  const sp = 0x93f00; // it ends at 0x94000
  word(bench, sp + 24, 24);
  word(bench, 0x93ff8, -8);
  word(bench, 0x94000, 1);
  set(bench, { rip: KERNEL + 0x345, sampleRip: KERNEL + 0x340, rsp: KERNEL + sp });
  bench.call('takeSample', 0);
  set(bench, { rsp: KERNEL + sp + 4 }); // not aligned
  bench.call('takeSample', 0);
  set(bench, { rsp: KERNEL + 0x90000 });
  word(bench, 0x91ff8, 5);
  bench.call('takeSample', 0);
  set(bench, { sampleRip: 0x340 }); // a program's place
  bench.call('takeSample', 0);
  word(bench, sp + 24, 0);
  assert.ok(records.next());
  assert.deepEqual(words(records, sp - 8, sp + 24, sp + 28, 0x93ff8, 0x94000), [Number.NaN, 24, Number.NaN, -8, Number.NaN]);
  assert.ok(records.next() && !records.hasStack);
  assert.ok(records.next() && records.hasStack);
  assert.deepEqual(words(records, 0x91ff8, 0x92000), [5, Number.NaN]); // 8 KiB
  assert.ok(records.next() && !records.hasStack);
  assert.ok(!records.next());
});

test('an interrupt\'s stack is copied with the one that it came on', () => {
  const { bench, records } = inLongMode();
  bench.set32('sampleCopies', 1);
  bench.set('sampleInterruptStack', BigInt(KERNEL + 0x70000));
  word(bench, 0x70000, KERNEL + 0x97ff8);
  word(bench, 0x97f80, 1);
  word(bench, 0x97ff8, KERNEL + 0xa1f00);
  word(bench, 0xa1f08, 2);
  set(bench, { rip: KERNEL + 0x345, sampleRip: KERNEL + 0x340, rsp: KERNEL + 0x97f80 });
  bench.call('takeSample', 0);
  word(bench, 0x97ff8, 0x7fff_0000_0000); // leads nowhere
  bench.call('takeSample', 0);
  assert.ok(records.next());
  assert.deepEqual(words(records, 0x97f80, 0x97ff8, 0x98000, 0xa1ef8, 0xa1f08, 0xa4000),
    [1, KERNEL + 0xa1f00, Number.NaN, Number.NaN, 2, Number.NaN]);
  assert.ok(records.next());
  assert.deepEqual(words(records, 0x97f80, 0xa1f08), [1, Number.NaN]);
});

test('the guest does not notice: no fault, no bits in its page tables', () => {
  const { bench, records } = inLongMode();
  bench.set32('sampleCopies', 1);
  const all = PAGE.PRESENT | PAGE.WRITABLE | PAGE.USER;
  bench.poke(pageEntryAt(0x91000), 8, 0x91000n | all); // not accessed yet, so not read
  bench.poke(pageEntryAt(0x92000), 8, 0);
  for (const rsp of [0x90ff8, 0x91000, 0x92000]) {
    set(bench, { rip: KERNEL + 0x345, sampleRip: KERNEL + 0x340, rsp: KERNEL + rsp, rbp: KERNEL + rsp });
    bench.call('takeSample', 0);
    assert.ok(records.next());
    assert.equal(records.hasStack, rsp < 0x91000);
    assert.ok(Number.isNaN(records.word(KERNEL + 0x91000)));
  }
  assert.equal(bench.peek(pageEntryAt(0x91000), 8), 0x91000n | all);
  assert.equal(bench.takeFault(), undefined);
  assert.deepEqual(bench.log, []);
});

test('records are as many as there is room for; the last one says so', () => {
  const { bench, records } = inLongMode();
  bench.set32('sampleCopies', 1);
  set(bench, { rip: KERNEL + 0x345, sampleRip: KERNEL + 0x340, rsp: KERNEL + 0x90000 });
  let count = 1;
  while (bench.call('takeSample', 0) === 0) count++;
  const used = bench.get32('sampleUsed');
  assert.equal(bench.call('takeSample', 0), 1);
  assert.equal(bench.get32('sampleUsed'), used);
  assert.ok(used <= SAMPLE_RECORDS_BYTES && count >= 20);
  let read = 0;
  while (records.next()) read++;
  assert.equal(read, count);
  records.clear();
  assert.ok(!records.next());
  assert.equal(bench.call('takeSample', 0), 0);
});

test('whatever registers and memory hold, a record is made, and the guest stays as it is', () => {
  const { bench, records } = inLongMode();
  let seed = 7;
  const random = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % below;
  const places = [0, KERNEL, -0x4000, 2 ** 47 - 64, -(2 ** 47)];
  const address = (): number => places[random(places.length)]! + random(0x20_0000) * random(2) + random(64);
  for (let at = 0x80000; at < 0xa0000; at += 8) word(bench, at, random(3) === 0 ? random(0xffff_ffff) : address());
  const before = bench.bytes.slice(GUEST_RAM, GUEST_RAM + 0x20_0000);
  const frames = new Float64Array(SAMPLE_FRAMES_MAX + 2);
  for (let round = 0; round < 4000; round++) {
    bench.set32('sampleCopies', random(2));
    const names = ['rip', 'sampleRip', 'rsp', 'rbp', 'sampleTask', 'sampleInterruptStack'];
    set(bench, Object.fromEntries(names.map((name) => [name, Math.floor(address() / 8) * 8 + random(2) * random(8)])));
    bench.set32('sampleNameOffset', random(0x4000) & ~3);
    bench.call('takeSample', round);
    assert.ok(records.next());
    assert.match(records.name, /^[!-~]*$/);
    assert.ok(records.copyFrames(frames, 1) <= frames.length);
    assert.ok(Number.isNaN(records.word(0x7fff_0000)));
    records.clear();
  }
  assert.equal(bench.takeFault(), undefined);
  assert.deepEqual(bench.bytes.slice(GUEST_RAM, GUEST_RAM + 0x20_0000), before);
});
