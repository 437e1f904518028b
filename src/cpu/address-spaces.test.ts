// What comes back with an address space (assembly/address-spaces.ts): translations of its pages as the tables say now, made without a
// trace in guest memory, and only what an access would be allowed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { longMode, PAGE, pageEntryAt, SUPPORT_WASM, SupportBench, TABLES } from './support-bench.ts';

const support = new WebAssembly.Module(readFileSync(SUPPORT_WASM));
const HOME = BigInt(TABLES.pageTables);
/** Another root over the same lower tables. */
const AWAY = 0x1f0000n;

function bench(): SupportBench {
  const made = new SupportBench(support);
  longMode(made);
  made.poke(Number(AWAY), 8, made.peek(TABLES.pageTables, 8));
  return made;
}

const load = (machine: SupportBench, root: bigint): void => void machine.help('movToCr', { a: root, imm: 3 });
const walks = (machine: SupportBench): bigint => machine.get('countPageWalk');
const ahead = (machine: SupportBench): bigint => machine.get('countTlbAhead');

/** Visits pages, goes away, lets `meanwhile` happen, comes back. */
function visit(machine: SupportBench, pages: readonly number[], meanwhile: () => void): void {
  for (const page of pages) machine.write(BigInt(page), 4, BigInt(page));
  load(machine, AWAY);
  meanwhile();
  load(machine, HOME);
}

test('an address space comes back with the pages it had, and nothing is walked for again', () => {
  const machine = bench();
  visit(machine, [0x5000, 0x6000], () => {});
  assert.equal(ahead(machine), 2n);
  const before = walks(machine);
  machine.write(0x5010n, 4, 1n);
  machine.write(0x6010n, 4, 1n);
  assert.equal(walks(machine), before);
  machine.read(0x7000n, 4);
  assert.equal(walks(machine), before + 1n);
});

test('a page that was mapped elsewhere meanwhile is where it is now', () => {
  const machine = bench();
  machine.poke(0x9000, 4, 9);
  visit(machine, [0x5000], () => machine.poke(pageEntryAt(0x5000), 8, 0x9000n | PAGE.PRESENT | PAGE.WRITABLE | PAGE.ACCESSED | PAGE.DIRTY));
  machine.write(0x5004n, 4, 7n);
  assert.equal(machine.peek(0x9000, 8), 0x0000000700000009n);
});

test('a page that is gone or may not be written any more faults', () => {
  const machine = bench();
  visit(machine, [0x5000, 0x6000], () => {
    machine.poke(pageEntryAt(0x5000), 8, 0);
    machine.poke(pageEntryAt(0x6000), 8, 0x6000n | PAGE.PRESENT | PAGE.ACCESSED | PAGE.DIRTY);
  });
  assert.equal(ahead(machine), 0n);
  assert.equal(machine.takeFault(), undefined, 'walking ahead raises nothing');
  machine.write(0x5000n, 4, 1n);
  assert.deepEqual(machine.takeFault(), { vector: 14, error: 2 });
  machine.write(0x6000n, 4, 1n);
  assert.deepEqual(machine.takeFault(), { vector: 14, error: 3 });
});

test('accessed and dirty bits that were cleared are set by accesses alone', () => {
  const machine = bench();
  const clear = (page: number, bits: bigint): void => {
    const at = pageEntryAt(page);
    machine.poke(at, 8, machine.peek(at, 8) & ~bits);
  };
  machine.read(0x7000n, 4);
  visit(machine, [0x5000, 0x6000], () => {
    clear(0x5000, PAGE.DIRTY);
    clear(0x6000, PAGE.ACCESSED | PAGE.DIRTY);
    clear(0x7000, PAGE.ACCESSED);
  });
  const bits = (page: number): bigint => machine.peek(pageEntryAt(page), 8) & (PAGE.ACCESSED | PAGE.DIRTY);
  assert.deepEqual([0x5000, 0x6000, 0x7000].map(bits), [PAGE.ACCESSED, 0n, 0n]);
  machine.write(0x5000n, 4, 1n);
  machine.write(0x6000n, 4, 1n);
  machine.read(0x7000n, 4);
  const both = PAGE.ACCESSED | PAGE.DIRTY;
  assert.deepEqual([0x5000, 0x6000, 0x7000].map(bits), [both, both, PAGE.ACCESSED]);
});

test('nothing comes back after a flush of everything, nor pages that stay global', () => {
  const machine = bench();
  const at = pageEntryAt(0x6000);
  machine.poke(at, 8, machine.peek(at, 8) | PAGE.GLOBAL);
  visit(machine, [0x5000, 0x6000], () => {});
  assert.equal(ahead(machine), 1n);
  visit(machine, [0x5000], () => machine.call('flushTlb'));
  assert.equal(ahead(machine), 1n);
});

test('what is not used any more is forgotten after some returns', () => {
  const machine = bench();
  visit(machine, [0x5000], () => {});
  for (let n = 0; n < 100; n++) visit(machine, [0x6000], () => {});
  const before = ahead(machine);
  visit(machine, [0x6000], () => {});
  visit(machine, [0x6000], () => {});
  assert(ahead(machine) - before <= 2n, 'the first page is walked for no more');
});

test('more address spaces than are remembered take turns', () => {
  const machine = bench();
  const roots = Array.from({ length: 40 }, (_, n) => AWAY + BigInt(n - 32) * 0x1000n);
  for (const root of roots) machine.poke(Number(root), 8, machine.peek(TABLES.pageTables, 8));
  for (let round = 0; round < 3; round++) for (const root of roots) {
    load(machine, root);
    machine.write(0x5000n, 4, root);
    assert.equal(machine.peek(0x5000, 4), root & 0xffffffffn);
  }
  load(machine, HOME);
});
