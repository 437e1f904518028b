// Address translation and memory access of the support module: page walks in every mode, fault codes, TLB, MMIO.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { PHYS } from '../memory/memory-map.ts';
import { enterUser, longMode, PAGE, pageEntryAt, protectedMode, SELECTOR, SUPPORT_WASM, SupportBench, TABLES } from './support-bench.ts';

const support = new WebAssembly.Module(readFileSync(SUPPORT_WASM));
const PF = 14;
const inLongMode = (): SupportBench => {
  const bench = new SupportBench(support);
  longMode(bench);
  return bench;
};

describe('4-level paging', () => {
  test('a read sets accessed in every level, a write sets dirty', () => {
    const bench = inLongMode();
    bench.poke(0x5000, 8, 0x1122334455667788n);
    assert.equal(bench.read(0x5000n, 8), 0x1122334455667788n);
    for (const at of [TABLES.pageTables, TABLES.pageTables + 0x1000, TABLES.pageTables + 0x2000, pageEntryAt(0x5000)])
      assert.equal(bench.peek(at, 8) & (PAGE.ACCESSED | PAGE.DIRTY), PAGE.ACCESSED);
    bench.write(0x5004n, 4, 7n);
    assert.equal(bench.peek(pageEntryAt(0x5000), 8) & PAGE.DIRTY, PAGE.DIRTY);
    assert.equal(bench.peek(0x5000, 8), 0x0000000755667788n);
  });

  test('fault codes tell presence, direction, privilege, reserved bits and fetches', () => {
    const bench = inLongMode();
    const entry = (flags: bigint): void => {
      bench.poke(pageEntryAt(0x6000), 8, 0x6000n | flags);
      bench.call('flushTlb');
    };
    const attempt = (action: () => void): number | undefined => {
      action();
      const fault = bench.takeFault();
      if (fault) assert.equal(fault.vector, PF);
      return fault?.error;
    };
    const read = (): void => void bench.read(0x6008n, 4);
    const write = (): void => bench.write(0x6008n, 4, 1n);
    const fetch = (): void => void bench.call('translateExecute', 0x6008n);
    entry(0n);
    assert.equal(attempt(read), 0);
    assert.equal(attempt(write), 2);
    assert.equal(bench.get('cr2'), 0x6008n);
    assert.equal(attempt(fetch), 0x10);
    entry(PAGE.PRESENT | PAGE.USER);
    assert.equal(attempt(read), undefined);
    assert.equal(attempt(write), 3);
    bench.set('cr0', bench.get('cr0') & ~0x10000n); // WP
    assert.equal(attempt(write), undefined);
    bench.set('cr0', bench.get('cr0') | 0x10000n);
    entry(PAGE.PRESENT | PAGE.WRITABLE | (1n << 45n));
    assert.equal(attempt(read), 9);
    entry(PAGE.PRESENT | PAGE.WRITABLE | PAGE.USER | PAGE.NX);
    assert.equal(attempt(fetch), 0x11);
    bench.set('efer', 0x501n);
    entry(PAGE.PRESENT | PAGE.WRITABLE | PAGE.USER | PAGE.NX);
    assert.equal(attempt(read), 9, 'NX is reserved without EFER.NXE');
    entry(PAGE.PRESENT | PAGE.WRITABLE);
    enterUser(bench, SELECTOR.code64User);
    assert.equal(attempt(read), 5);
    assert.equal(attempt(write), 7);
  });

  test('SMEP and SMAP keep the supervisor out of user pages, EFLAGS.AC suspends SMAP', () => {
    const bench = inLongMode();
    bench.set('cr4', bench.get('cr4') | (3n << 20n));
    bench.call('updateMode');
    bench.read(0x5000n, 4);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 1 });
    bench.call('translateExecute', 0x5000n);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 0x11 });
    assert.equal(bench.help('stac'), undefined);
    bench.read(0x5000n, 4);
    assert.equal(bench.takeFault(), undefined);
    bench.help('clac');
    bench.read(0x5000n, 4);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 1 });
  });

  test('large pages are translated, and INVLPG of any part of one drops it all', () => {
    const bench = inLongMode();
    const directory = TABLES.pageTables + 0x2000;
    bench.poke(directory + 8, 8, 0x400000n | PAGE.LARGE | PAGE.PRESENT | PAGE.WRITABLE);
    bench.poke(0x412340, 4, 0xabcd);
    assert.equal(bench.read(0x212340n, 4), 0xabcdn);
    bench.poke(directory + 8, 8, 0x600000n | PAGE.LARGE | PAGE.PRESENT | PAGE.WRITABLE);
    bench.poke(0x612340, 4, 0x1234);
    assert.equal(bench.read(0x212340n, 4), 0xabcdn, 'the TLB still has it');
    bench.help('invlpg', { a: 0x3ff000n });
    assert.equal(bench.read(0x212340n, 4), 0x1234n);
    bench.poke(directory + 8, 8, 0x402000n | PAGE.LARGE | PAGE.PRESENT);
    bench.call('flushTlb');
    bench.read(0x212340n, 4);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 9 }, 'bit 13 of a 2 MiB entry is reserved');
  });

  test('a load of CR3 keeps global translations', () => {
    const bench = inLongMode();
    for (const [page, extra] of [[5, 0n], [6, PAGE.GLOBAL]] as const) {
      const at = pageEntryAt(page << 12);
      bench.poke(at, 8, bench.peek(at, 8) | extra);
      bench.poke(page << 12, 4, page);
      bench.read(BigInt(page << 12), 4);
      bench.poke(at, 8, 0);
    }
    bench.help('movToCr', { a: BigInt(TABLES.pageTables), imm: 3 });
    assert.equal(bench.read(0x6000n, 4), 6n);
    bench.read(0x5000n, 4);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 0 });
  });

  test('many fills overflow the flush log without losing a flush', () => {
    const bench = inLongMode();
    for (let page = 0; page < 512; page++) bench.read(BigInt(page) << 12n, 1);
    for (let round = 0; round < 3; round++) for (let page = 32; page < 512; page++) {
      bench.help('invlpg', { a: BigInt(page) << 12n });
      bench.read(BigInt(page) << 12n, 1);
    }
    bench.poke(pageEntryAt(0x100000), 8, 0);
    bench.call('flushTlb');
    bench.read(0x100000n, 1);
    assert.equal(bench.takeFault()?.vector, PF);
  });

  test('a non-canonical address is #GP(0)', () => {
    const bench = inLongMode();
    bench.read(0x8000_0000_0000n, 4);
    assert.deepEqual(bench.takeFault(), { vector: 13, error: 0 });
  });
});

describe('32-bit paging', () => {
  test('two levels, 4 MiB pages, PSE-36 above memory asks the bus', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    const directory = 0x10000, table = 0x11000;
    bench.poke(directory, 4, BigInt(table) | 7n);
    bench.poke(directory + 4, 4, 0x400000n | 0x87n);
    bench.poke(directory + 8, 4, 0x87n | (1n << 13n));
    for (let page = 0; page < 1024; page++) bench.poke(table + page * 4, 4, (BigInt(page) << 12n) | 7n);
    bench.set('cr3', BigInt(directory));
    bench.set('cr4', 0x10n);
    assert.equal(bench.help('movToCr', { a: 0x80000011n, imm: 0 }), undefined);
    bench.poke(0x5ffc, 8, 0x1122334455667788n);
    assert.equal(bench.read(0x5ffen, 4), 0x33445566n, 'a straddling read');
    bench.poke(0x423456, 4, 99);
    assert.equal(bench.read(0x423456n, 4), 99n);
    bench.busValue = 0x1234;
    assert.equal(bench.read(0x800000n, 4), 0x1234n);
    assert.equal(bench.log.at(-1), 'read4 100000000');
    bench.poke(directory + 4, 4, 0x400000n | 0x87n | (1n << 21n));
    bench.call('flushTlb');
    bench.read(0x400000n, 1);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 9 });
  });

  test('PAE takes its top level from the registers that the load of CR3 fills', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    bench.poke(0x10020, 8, 0x11001n);
    bench.poke(0x11000, 8, 0x12007n);
    bench.poke(0x12000 + 5 * 8, 8, 0x7007n);
    bench.poke(0x7008, 4, 0x55);
    bench.set('cr4', 0x20n);
    bench.set('cr3', 0x10020n);
    for (let page = 8; page < 512; page++) bench.poke(0x12000 + page * 8, 8, (BigInt(page) << 12n) | 7n);
    assert.equal(bench.help('movToCr', { a: 0x80000011n, imm: 0 }), undefined);
    bench.poke(0x10020, 8, 0n);
    assert.equal(bench.read(0x5008n, 4), 0x55n);
    bench.read(0x40000000n, 1);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 0 });
    bench.poke(0x10020, 8, 0x11007n); // reserved bits
    assert.deepEqual(bench.help('movToCr', { a: 0x10020n, imm: 3 }), { vector: 13, error: 0 });
  });
});

describe('what lies behind', () => {
  test('a straddling write faults before it writes anything', () => {
    const bench = inLongMode();
    bench.poke(pageEntryAt(0x7000), 8, 0);
    bench.poke(0x6ffc, 4, 0xaaaaaaaan);
    bench.write(0x6ffcn, 8, 0n);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 2 });
    assert.equal(bench.get('cr2'), 0x7000n);
    assert.equal(bench.peek(0x6ffc, 4), 0xaaaaaaaan);
  });

  test('what is not memory goes to the bus in pieces of at most four bytes', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    bench.busValue = 0x12345678;
    assert.equal(bench.read(0xfee00000n, 8), 0x1234567812345678n);
    bench.write(0xfee00010n, 8, 0x1_0000_0002n);
    bench.write(0xfee00020n, 1, 0xffn);
    assert.deepEqual(bench.log, ['read4 fee00000', 'read4 fee00004', 'write4 fee00010 2', 'write4 fee00014 1', 'write1 fee00020 ff']);
  });

  test('ROM is read in place and its writes go to the bus', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    bench.mapRam(0x9000, 4096, PHYS.READABLE);
    bench.poke(0x9000, 4, 0x77);
    assert.equal(bench.read(0x9000n, 4), 0x77n);
    bench.write(0x9000n, 4, 1n);
    assert.equal(bench.peek(0x9000, 4), 0x77n);
    assert.deepEqual(bench.log, ['write4 9000 1']);
  });

  test('what is on the bus is walked for once, until the translation or what lies there changes', () => {
    const bench = inLongMode();
    bench.mapRam(0xb000, 4096, 0);
    bench.poke(pageEntryAt(0x9000), 8, 0xb000n | PAGE.PRESENT | PAGE.WRITABLE);
    bench.read(0x9010n, 4);
    bench.write(0x9020n, 4, 1n);
    const walks = bench.get('countPageWalk');
    bench.read(0x9014n, 4);
    bench.write(0x9024n, 2, 2n);
    assert.equal(bench.get('countPageWalk'), walks);
    assert.deepEqual(bench.log, ['read4 b010', 'write4 b020 1', 'read4 b014', 'write2 b024 2']);
    bench.mapRam(0xb000, 4096, PHYS.READABLE);
    bench.poke(0xb010, 4, 0x77);
    assert.equal(bench.read(0x9010n, 4), 0x77n);
    bench.write(0x9020n, 4, 3n);
    assert.equal(bench.log.at(-1), 'write4 b020 3');
    bench.poke(pageEntryAt(0x9000), 8, 0xa000n | PAGE.PRESENT | PAGE.WRITABLE);
    bench.help('invlpg', { a: 0x9000n });
    bench.write(0x9020n, 4, 4n);
    assert.equal(bench.peek(0xa020, 4), 4n);
    bench.mapRam(0xb000, 4096, 0);
    bench.poke(pageEntryAt(0x9000), 8, 0xb000n | PAGE.PRESENT | PAGE.WRITABLE);
    bench.help('invlpg', { a: 0x9000n });
    bench.read(0x9010n, 4);
    enterUser(bench, SELECTOR.code64User);
    bench.read(0x9010n, 4);
    assert.deepEqual(bench.takeFault(), { vector: PF, error: 5 });
  });

  test('a write to a page with translated code is made, and follows a change of its mapping', () => {
    const bench = inLongMode();
    bench.mapRam(0x9000, 4096, PHYS.READABLE | PHYS.WRITABLE | PHYS.CODE);
    bench.write(0x9000n, 4, 1n);
    bench.write(0x9004n, 4, 2n);
    assert.equal(bench.peek(0x9000, 8), 0x200000001n);
    bench.poke(pageEntryAt(0x9000), 8, 0xa000n | PAGE.PRESENT | PAGE.WRITABLE);
    bench.help('invlpg', { a: 0x9000n });
    bench.write(0x9000n, 4, 3n);
    assert.deepEqual([bench.peek(0x9000, 4), bench.peek(0xa000, 4)], [1n, 3n]);
  });

  test('the A20 gate closed folds odd megabytes', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    bench.poke(0x234, 4, 0xcafe);
    bench.set32('a20Mask', 0xffefffff);
    bench.call('flushTlb');
    assert.equal(bench.read(0x100234n, 4), 0xcafen);
  });

  test('a data breakpoint is noted and reported after the instruction', () => {
    const bench = new SupportBench(support);
    protectedMode(bench);
    bench.help('movToDr', { a: 0x5004n, imm: 1 });
    bench.help('movToDr', { a: (0xdn << 20n) | 4n, imm: 7 }); // DR1 local, four bytes, write
    bench.read(0x5004n, 4);
    assert.equal(bench.help('stepTrap'), undefined);
    bench.write(0x5007n, 1, 1n);
    assert.deepEqual(bench.help('stepTrap'), { vector: 1, error: undefined });
    assert.equal(bench.get('dr6') & 15n, 2n);
  });
});
