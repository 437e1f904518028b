// Segment loads, control registers, MSRs, CPUID, ports and string instructions of the support module.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import {
  descriptor, enterUser, longMode, pageEntryAt, protectedMode, SELECTOR, SUPPORT_WASM, SupportBench, TABLES,
} from './support-bench.ts';
import { MODE } from './x86/state.ts';

const support = new WebAssembly.Module(readFileSync(SUPPORT_WASM));
const GP0 = { vector: 13, error: 0 };
const [ES, SS, DS, FS] = [0, 2, 3, 4];
const ZF = 0x40, CF = 1;

function bench(prepare: (bench: SupportBench) => void): SupportBench {
  const made = new SupportBench(support);
  prepare(made);
  return made;
}

describe('segments', () => {
  const loadSegment = (cpu: SupportBench, segment: number, selector: number): ReturnType<SupportBench['help']> =>
    cpu.help('loadSegment', { a: BigInt(selector), imm: segment });

  test('a load reads base, limit and rights, sets the accessed bit and the flat mode bit', () => {
    const cpu = bench(protectedMode);
    assert.notEqual(cpu.get32('modeKey') & MODE.FLAT, 0);
    cpu.poke(TABLES.gdt + 0x80, 8, descriptor(0x12345678, 0x10, 0x8092));
    assert.equal(loadSegment(cpu, DS, 0x80), undefined);
    assert.deepEqual([cpu.get('dsBase'), cpu.get32('dsLimit'), cpu.get32('dsAccess')], [0x12345678n, 0x10fff, 0x8093]);
    assert.equal(cpu.peek(TABLES.gdt + 0x85, 1), 0x93n);
    assert.equal(cpu.get32('modeKey') & MODE.FLAT, 0);
  });

  test('rights', () => {
    const cpu = bench(protectedMode);
    assert.equal(loadSegment(cpu, ES, 0), undefined);
    assert.equal(cpu.get32('esAccess'), 0);
    assert.deepEqual(loadSegment(cpu, SS, 0), GP0);
    assert.deepEqual(loadSegment(cpu, SS, SELECTOR.code0), { vector: 13, error: SELECTOR.code0 });
    assert.deepEqual(loadSegment(cpu, DS, SELECTOR.absent), { vector: 11, error: SELECTOR.absent });
    assert.deepEqual(loadSegment(cpu, SS, SELECTOR.absent), { vector: 12, error: SELECTOR.absent });
    assert.deepEqual(loadSegment(cpu, DS, SELECTOR.tss), { vector: 13, error: SELECTOR.tss });
    assert.deepEqual(loadSegment(cpu, DS, 0x104), { vector: 13, error: 0x104 }, 'no LDT');
    enterUser(cpu);
    assert.deepEqual(loadSegment(cpu, FS, SELECTOR.data0), { vector: 13, error: SELECTOR.data0 });
  });

  test('in real mode the code segment is writable, and another base of CS is another generation of the jump cache', () => {
    const cpu = bench(() => {});
    cpu.call('resetCpu');
    assert.equal(cpu.get32('csAccess'), 0x93);
    const before = cpu.get32('modeKey');
    cpu.setSegment('cs', 0x1000, 0x10000n, 0xffff, 0x93);
    cpu.call('updateMode');
    assert.notEqual(cpu.get32('modeKey'), before);
    const other = cpu.get32('modeKey');
    cpu.call('updateMode');
    assert.equal(cpu.get32('modeKey'), other, 'the same base');
    assert.equal(cpu.help('checkSegment', { a: 0n, imm: 1 | (2 << 4) | (1 << 12) }), undefined, 'a write through CS');
  });

  test('checks of limit and rights', () => {
    const cpu = bench(protectedMode);
    const check = (offset: bigint, segment: number, size: number, write = false): bigint | ReturnType<SupportBench['help']> =>
      cpu.help('checkSegment', { a: offset, imm: segment | (size << 4) | (write ? 1 << 12 : 0) }) ?? cpu.get('tmp0');
    cpu.setSegment('ds', 0x80, 0x1000n, 0xfff, 0x91);
    assert.equal(check(0xffcn, DS, 4), 0x1ffcn);
    assert.deepEqual(check(0xffdn, DS, 4), GP0);
    assert.deepEqual(check(0n, DS, 4, true), GP0, 'read only');
    cpu.setSegment('ss', 0x80, 0x1000n, 0xfff, 0x4097);
    assert.deepEqual(check(0xfffn, SS, 1), { vector: 12, error: 0 }, 'expand down');
    assert.equal(check(0x1000n, SS, 4, true), 0x2000n);
    cpu.setSegment('es', 0, 0n, 0, 0);
    assert.deepEqual(check(0n, ES, 1), GP0, 'null');
  });

  test('LAR, LSL, VERR and VERW answer in ZF', () => {
    const cpu = bench(protectedMode);
    cpu.help('lar', { d: 'rbx', a: BigInt(SELECTOR.data0), imm: 4 });
    assert.deepEqual([cpu.get('rbx'), cpu.flags & ZF], [0xcf9300n, ZF]);
    cpu.help('lsl', { d: 'rbx', a: BigInt(SELECTOR.data0), imm: 4 });
    assert.equal(cpu.get('rbx'), 0xffffffffn);
    cpu.help('verw', { a: BigInt(SELECTOR.code0) });
    assert.equal(cpu.flags & ZF, 0);
    cpu.help('verr', { a: BigInt(SELECTOR.code0) });
    assert.equal(cpu.flags & ZF, ZF);
    cpu.help('lar', { d: 'rbx', a: 0x1000n, imm: 4 });
    assert.equal(cpu.flags & ZF, 0);
  });

  test('LTR marks the TSS busy and refuses it a second time', () => {
    const cpu = bench(protectedMode);
    assert.equal(cpu.help('ltr', { a: BigInt(SELECTOR.tss) }), undefined);
    assert.equal(cpu.get32('trAccess') & 0xff, 0x8b);
    assert.deepEqual(cpu.help('ltr', { a: BigInt(SELECTOR.tss) }), { vector: 13, error: SELECTOR.tss });
  });

  test('UMIP hides the descriptor tables from user mode', () => {
    const cpu = bench(protectedMode);
    enterUser(cpu);
    assert.equal(cpu.help('sidt', { b: 0x7000n, imm: 4 }), undefined);
    assert.deepEqual([cpu.peek(0x7000, 2), cpu.peek(0x7002, 4)], [0xfffn, BigInt(TABLES.idt)]);
    cpu.set('cr4', 0x800n);
    assert.deepEqual(cpu.help('sidt', { b: 0x7000n, imm: 4 }), GP0);
  });
});

describe('control', () => {
  test('CR0 and CR4 refuse what is not allowed', () => {
    const cpu = bench(protectedMode);
    const write = (value: bigint, imm: number): ReturnType<SupportBench['help']> => cpu.help('movToCr', { a: value, imm });
    assert.deepEqual(write(0x80000010n, 0), GP0, 'PG without PE');
    assert.deepEqual(write(0x20000011n, 0), GP0, 'NW without CD');
    assert.deepEqual(write(1n << 21n, 4), GP0, 'SMAP is not announced');
    cpu.set32('cpuidFeature2', 1 << 20);
    assert.equal(write(1n << 21n, 4), undefined);
    assert.deepEqual(cpu.help('movToCr', { a: 0n, imm: 5 }), { vector: 6, error: undefined });
    enterUser(cpu);
    assert.deepEqual(write(0x11n, 0), GP0);
  });

  test('entering long mode through CR0.PG', () => {
    const cpu = bench(protectedMode);
    cpu.set32('cpuidFeature5', 1 << 29);
    cpu.set('rcx', 0xc0000080n);
    cpu.set('rax', 0x100n);
    cpu.set('rdx', 0n);
    assert.equal(cpu.help('wrmsr'), undefined);
    assert.deepEqual(cpu.help('movToCr', { a: 0x80000011n, imm: 0 }), GP0, 'PAE is off');
    cpu.set('cr4', 0x20n);
    assert.equal(cpu.help('movToCr', { a: 0x80000011n, imm: 0 }), undefined);
    assert.equal(cpu.get('efer'), 0x500n);
    assert.equal(cpu.get32('modeKey') & 3, 1, 'compatibility mode until CS is loaded');
  });

  test('MSRs: storage, canonical addresses, unknown ones', () => {
    const cpu = bench(longMode);
    const write = (index: number, value: bigint): ReturnType<SupportBench['help']> => {
      cpu.set('rcx', BigInt(index));
      cpu.set('rax', value & 0xffffffffn);
      cpu.set('rdx', value >> 32n);
      return cpu.help('wrmsr');
    };
    const read = (index: number): bigint | ReturnType<SupportBench['help']> => {
      cpu.set('rcx', BigInt(index));
      return cpu.help('rdmsr') ?? (cpu.get('rdx') << 32n) | cpu.get('rax');
    };
    assert.equal(write(0xc0000102, 0xffff888000000000n), undefined);
    assert.equal(read(0xc0000102), 0xffff888000000000n);
    assert.deepEqual(write(0xc0000082, 0x800000000000n), GP0);
    assert.equal(read(0x277), 0x0007040600070406n);
    assert.deepEqual(write(0x277, 2n), GP0);
    assert.equal(read(0xc0011029), 2n);
    assert.deepEqual(read(0x4b564d00), GP0);
    cpu.set32('cpuidFeature5', (1 << 29) | (1 << 20));
    assert.deepEqual(write(0xc0000080, 0x200d00n), GP0, 'automatic IBRS is not announced');
    cpu.set32('cpuidFeature13', 1 << 8);
    assert.equal(write(0xc0000080, 0x200d00n), undefined);
    assert.equal(read(0xc0000080), 0x200d00n);
    cpu.nanoseconds = 5000;
    assert.equal(read(0x10), 5000n);
    write(0x10, 100n);
    cpu.nanoseconds = 6000;
    assert.equal(read(0x10), 1100n);
    assert.equal(read(0x3b), BigInt.asUintN(64, -4900n));
  });

  test('CPUID: OSXSAVE follows CR4, leaves beyond the highest are zero', () => {
    const cpu = bench(protectedMode);
    cpu.set32('cpuidFeature9', 0xd);
    cpu.set32('cpuidFeature1', 1 << 26);
    const leaf = (eax: number): bigint[] => {
      cpu.set('rax', BigInt(eax));
      cpu.set('rcx', 0n);
      cpu.help('cpuid');
      return ['rax', 'rbx', 'rcx', 'rdx'].map((name) => cpu.get(name));
    };
    assert.equal(leaf(1)[2], 1n << 26n);
    cpu.help('movToCr', { a: 1n << 18n, imm: 4 });
    assert.equal(leaf(1)[2], 3n << 26n);
    assert.deepEqual(leaf(0xd), [3n, 576n, 576n, 0n]);
    assert.deepEqual(leaf(0x20), [0n, 0n, 0n, 0n]);
    assert.equal(leaf(0x80000008)[0], 0x3028n);
    assert.equal(leaf(0x80000000)[0], 0x80000008n);
    cpu.set32('cpuidFeature13', 1 << 8);
    assert.equal(leaf(0x80000000)[0], 0x80000021n);
    assert.deepEqual(leaf(0x80000021), [0x100n, 0n, 0n, 0n]);
  });

  test('POPF changes IOPL at CPL 0 only and IF as IOPL allows', () => {
    const cpu = bench(protectedMode);
    cpu.help('popf', { a: 0x3202n, imm: 4 });
    assert.equal(cpu.get32('eflags'), 0x3202);
    cpu.help('popf', { a: 0x202n, imm: 4 });
    enterUser(cpu);
    cpu.help('popf', { a: 0x3003n, imm: 4 });
    assert.deepEqual([cpu.get32('eflags'), cpu.flags], [0x202, CF]);
    assert.deepEqual(cpu.help('cli'), GP0);
  });

  test('ports: IOPL, then the bitmap of the TSS', () => {
    const cpu = bench(protectedMode);
    cpu.poke(TABLES.tss + 0x66, 2, 0x68);
    cpu.poke(TABLES.tss + 0x68 + (0x3f8 >> 3), 2, 0xfff0);
    enterUser(cpu);
    cpu.set32('trLimit', 0x67 + 0x100);
    cpu.set('rax', 0x1122334455667788n);
    cpu.busValue = 0x99;
    assert.equal(cpu.help('portIn', { d: 'rax', a: 0x3f8n, imm: 1 }), undefined);
    assert.equal(cpu.get('rax'), 0x1122334455667799n);
    assert.deepEqual(cpu.help('portIn', { d: 'rax', a: 0x3fcn, imm: 1 }), GP0);
    assert.deepEqual(cpu.help('portIn', { d: 'rax', a: 0x3f9n, imm: 4 }), GP0);
    assert.deepEqual(cpu.help('portIn', { d: 'rax', a: 0x1000n, imm: 1 }), GP0, 'beyond the TSS');
    assert.deepEqual(cpu.log, ['in1 3f8']);
  });

  test('ENTER with a 32-bit operand on a 16-bit stack takes all of ESP', () => {
    const cpu = bench(protectedMode);
    cpu.setSegment('ss', 0x10, 0n, 0xffff, 0x93);
    cpu.set('rsp', 0xbc808000n);
    cpu.set('rbp', 0x1234n);
    assert.equal(cpu.help('enter', { imm: 0x10 | (4 << 24) }), undefined);
    assert.deepEqual([cpu.get('rbp'), cpu.get('rsp'), cpu.peek(0x7ffc, 4)], [0xbc807ffcn, 0xbc807fecn, 0x1234n]);
  });

  test('ENTER, PUSHA, POPA and CMPXCHG8B', () => {
    const cpu = bench(protectedMode);
    cpu.set('rbp', 0x7010n);
    cpu.poke(0x700c, 4, 0xabc);
    assert.equal(cpu.help('enter', { imm: 0x20 | (2 << 16) | (4 << 24) }), undefined);
    assert.deepEqual([cpu.get('rbp'), cpu.get('rsp')], [0x7ffcn, 0x7ffcn - 8n - 0x20n]);
    assert.deepEqual([cpu.peek(0x7ffc, 4), cpu.peek(0x7ff8, 4), cpu.peek(0x7ff4, 4)], [0x7010n, 0xabcn, 0x7ffcn]);
    cpu.set('rbx', 5n);
    const top = cpu.get('rsp');
    cpu.help('pusha', { imm: 4 });
    cpu.set('rbx', 6n);
    cpu.help('popa', { imm: 4 });
    assert.deepEqual([cpu.get('rbx'), cpu.get('rsp')], [5n, top]);
    cpu.poke(0x5000, 8, 0x200000001n);
    for (const [name, value] of [['rax', 1n], ['rdx', 2n], ['rbx', 3n], ['rcx', 4n]] as const) cpu.set(name, value);
    cpu.help('cmpxchg8b', { b: 0x5000n });
    assert.deepEqual([cpu.peek(0x5000, 8), cpu.flags & ZF], [0x400000003n, ZF]);
    cpu.help('cmpxchg8b', { b: 0x5000n });
    assert.deepEqual([cpu.get('rax'), cpu.get('rdx'), cpu.flags & ZF], [3n, 4n, 0]);
  });
});

describe('strings', () => {
  const operation = (size: number, rep = 0, addressSize = 8): number => size | (rep << 4) | (DS << 8) | (addressSize << 12);
  function set(cpu: SupportBench, source: bigint, target: bigint, count: bigint): void {
    cpu.set('rsi', source);
    cpu.set('rdi', target);
    cpu.set('rcx', count);
  }
  const registers = (cpu: SupportBench): bigint[] => ['rsi', 'rdi', 'rcx'].map((name) => cpu.get(name));

  test('REP MOVS stops at a fault with the registers at the element that met it', () => {
    const cpu = bench(longMode);
    for (let n = 0; n < 0x3000; n += 8) cpu.poke(0x20000 + n, 8, BigInt(n));
    cpu.poke(pageEntryAt(0x32000), 8, 0);
    set(cpu, 0x20004n, 0x30008n, 0x1000n);
    assert.deepEqual(cpu.help('movs', { imm: operation(8, 1) }), { vector: 14, error: 2 });
    assert.deepEqual(registers(cpu), [0x20004n + 0x1ff8n, 0x32000n, 0x1000n - 0x3ffn]);
    assert.equal(cpu.get('cr2'), 0x32000n);
    assert.equal(cpu.peek(0x31ff8, 8), cpu.peek(0x20004 + 0x1ff0, 8));
    cpu.poke(pageEntryAt(0x32000), 8, 0x32007n);
    cpu.set('rcx', 2n);
    assert.equal(cpu.help('movs', { imm: operation(8, 1) }), undefined);
    assert.equal(cpu.get('rcx'), 0n);
  });

  test('an overlapping forward copy repeats its first elements', () => {
    const cpu = bench(longMode);
    cpu.poke(0x20000, 2, 0xbbaa);
    set(cpu, 0x20000n, 0x20002n, 0x1ffen);
    cpu.help('movs', { imm: operation(1, 1) });
    assert.equal(cpu.peek(0x21ffc, 4), 0xbbaabbaan);
  });

  test('runs that go down: over pages, overlapping either way, up to a fault', () => {
    for (const [size, distance] of [[1, 0x8000], [1, 3], [4, 0x1004], [8, -4], [2, -0x3000], [1, -5]] as const) {
      const cpu = bench(longMode);
      const count = 0x1f00 / size;
      const bytes = Array.from({ length: 0x12000 }, (_, n) => (n * 7 + (n >> 8)) & 0xff);
      bytes.forEach((byte, n) => cpu.poke(0x20000 + n, 1, byte));
      const top = 0x4ff8 - size;
      for (let n = 0; n < count; n++) {
        const from = top - n * size;
        const element = bytes.slice(from, from + size);
        bytes.splice(from + distance, size, ...element);
      }
      cpu.set32('eflags', 0x402);
      set(cpu, BigInt(0x20000 + top), BigInt(0x20000 + top + distance), BigInt(count));
      do cpu.help('movs', { imm: operation(size, 1) });
      while (cpu.get32('repeat') !== 0);
      assert.equal(cpu.get('rcx'), 0n);
      const moved = Array.from({ length: 0x12000 }, (_, n) => Number(cpu.peek(0x20000 + n, 1)));
      assert.deepEqual(moved, bytes, `${size} bytes, ${distance}`);
    }
    const cpu = bench(longMode);
    cpu.set32('eflags', 0x402);
    cpu.poke(pageEntryAt(0x31000), 8, 0);
    set(cpu, 0x20ff8n, 0x32008n, 0x400n);
    assert.deepEqual(cpu.help('movs', { imm: operation(8, 1) }), { vector: 14, error: 2 });
    assert.deepEqual([...registers(cpu), cpu.get('cr2')], [0x20fe8n, 0x31ff8n, 0x3fen, 0x31ff8n]);
  });

  test('DF walks down, 16-bit addresses wrap, 32-bit ones clear the upper halves', () => {
    const cpu = bench(longMode);
    cpu.set32('eflags', 0x402);
    set(cpu, 0x20010n, 0x30010n, 3n);
    cpu.help('movs', { imm: operation(4, 1) });
    assert.deepEqual(registers(cpu), [0x20004n, 0x30004n, 0n]);
    const real = bench(() => {});
    set(real, 0n, 0xaaaafffen, 0x55550004n);
    real.set('rax', 0x11n);
    real.help('stos', { imm: operation(1, 1, 2) });
    assert.deepEqual(registers(real), [0n, 0xaaaa0002n, 0x55550000n]);
    assert.deepEqual([real.peek(0xffff, 1), real.peek(1, 1), real.peek(2, 1)], [0x11n, 0x11n, 0n]);
  });

  test('long runs are cut and ask to be repeated', () => {
    const cpu = bench(longMode);
    set(cpu, 0n, 0x40000n, 0x18000n);
    cpu.set('rax', 0x0102030405060708n);
    let calls = 0;
    do {
      assert.equal(cpu.help('stos', { imm: operation(8, 1) }), undefined);
      calls++;
    } while (cpu.get32('repeat') !== 0 && calls < 100);
    assert.ok(calls > 4 && calls < 20);
    assert.deepEqual([cpu.get('rcx'), cpu.get('rdi'), cpu.peek(0xffff8, 8)], [0n, 0x100000n, 0x0102030405060708n]);
  });

  test('SCAS and CMPS stop on their condition and leave its flags', () => {
    const cpu = bench(longMode);
    'hello\0'.split('').forEach((letter, n) => cpu.poke(0x20000 + n, 1, letter.charCodeAt(0)));
    set(cpu, 0n, 0x20000n, 0xffffffffffffffffn);
    cpu.set('rax', 0n);
    cpu.help('scas', { imm: operation(1, 2) });
    assert.deepEqual([cpu.get('rdi'), cpu.get('rcx'), cpu.flags & ZF, cpu.get32('repeat')], [0x20006n, 0xfffffffffffffff9n, ZF, 0]);
    'help!'.split('').forEach((letter, n) => cpu.poke(0x21000 + n, 1, letter.charCodeAt(0)));
    set(cpu, 0x20000n, 0x21000n, 10n);
    cpu.help('cmps', { imm: operation(1, 1) });
    assert.deepEqual(registers(cpu), [0x20004n, 0x21004n, 6n]);
    assert.equal(cpu.flags & (ZF | CF), CF, 'l is below p');
    const before = cpu.flags;
    set(cpu, 0n, 0n, 0n);
    cpu.help('cmps', { imm: operation(1, 1) });
    assert.equal(cpu.flags, before, 'a count of zero changes nothing');
  });

  test('a single-stepped REP does one element at a time', () => {
    const cpu = bench(longMode);
    cpu.set32('eflags', 0x102);
    cpu.call('updateMode');
    set(cpu, 0x20000n, 0x30000n, 3n);
    cpu.help('movs', { imm: operation(4, 1) });
    assert.deepEqual([...registers(cpu), cpu.get32('repeat')], [0x20004n, 0x30004n, 2n, 1]);
  });

  test('INS and OUTS go through the ports', () => {
    const cpu = bench(longMode);
    cpu.busValue = 0x1234;
    cpu.set('rdx', 0x1f0n);
    set(cpu, 0x20000n, 0x30000n, 2n);
    cpu.help('ins', { imm: operation(2, 1) });
    assert.equal(cpu.peek(0x30000, 4), 0x12341234n);
    cpu.poke(0x20000, 2, 0x4241);
    cpu.set('rcx', 2n);
    cpu.help('outs', { imm: operation(1, 1) });
    assert.deepEqual(cpu.log, ['in2 1f0', 'in2 1f0', 'out1 1f0 41', 'out1 1f0 42']);
  });

  test('a data port that takes runs is asked once, and element by element for the rest', () => {
    const cpu = bench(longMode);
    cpu.busValue = 0x1234;
    cpu.set('rdx', 0x1f0n);
    set(cpu, 0x20000n, 0x30ffcn, 4n);
    cpu.runBytes = 6; // two words up to the end of a page, one behind it
    cpu.help('ins', { imm: operation(2, 1) });
    assert.deepEqual([cpu.peek(0x30ffc, 4), cpu.peek(0x31000, 4)], [0x03020100n, 0x12340100n]);
    assert.deepEqual([cpu.get('rdi'), cpu.get('rcx')], [0x31004n, 0n]);
    cpu.runBytes = 4;
    set(cpu, 0x20000n, 0x30000n, 3n);
    cpu.poke(0x20004, 2, 0x4241);
    cpu.help('outs', { imm: operation(2, 1) });
    assert.deepEqual([cpu.get('rsi'), cpu.log.at(-1)], [0x20006n, 'out2 1f0 4241']);
  });
});
