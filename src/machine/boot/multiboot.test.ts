// Tests of multiboot.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { findMultibootHeader, loadMultiboot, multibootInfo, multibootModule, parseModuleList } from './multiboot.ts';
import { elf32Multiboot, elf64Pvh, flatMultiboot } from './sample-images.ts';
import { moduleOf, testMachine, textAt } from './test-machine.ts';

test('the information structure names memory, command line, modules and loader', () => {
  const { ram, write, input } = testMachine();
  const modules = [moduleOf('a', Uint8Array.of(1, 2, 3), 'x y'), moduleOf('b', Uint8Array.of(4))];
  const state = loadMultiboot(write, input(elf32Multiboot(), { modules }));
  assert.equal(state.registers.rax, 0x2badb002);
  const info = multibootInfo.decode(ram, state.registers.rbx);
  assert.equal(info.flags, 0x24d);
  assert.deepEqual([info.memLower, info.memUpper], [639, (32 * 1024 - 8) - 1024]);
  assert.equal(textAt(ram, info.cmdline), 'kernel console=ttyS0');
  assert.equal(textAt(ram, info.bootLoaderName), 'nandu');
  assert.equal(info.mmapLength % 24, 0);
  assert.equal(new DataView(ram.buffer).getUint32(info.mmapAddr, true), 20);
  const [first, second] = [0, 1].map((n) => multibootModule.decode(ram, info.modsAddr + n * 16));
  assert.deepEqual([...ram.subarray(first!.start, first!.end)], [1, 2, 3]);
  assert.equal(textAt(ram, first!.string), 'a x y');
  assert.equal(textAt(ram, second!.string), 'b');
  assert.ok(second!.start % 4096 === 0 && second!.start >= first!.end);
});

test('an ELF kernel is loaded by physical address and its bss cleared', () => {
  const { ram, write, input } = testMachine();
  const state = loadMultiboot(write, input(elf32Multiboot()));
  assert.equal(state.rip, 0x20000c);
  assert.deepEqual([state.cr0, state.segments.cs.access, state.segments.ds.access], [0x11, 0xc09b, 0xc093]);
  assert.equal(new DataView(ram.buffer).getUint32(0x200000, true), 0x1badb002);
  const bss = 0x200000 + 12 + 0x1000;
  assert.ok(ram.subarray(bss, bss + 0x1000).every((byte) => byte === 0));
  assert.equal(ram[bss + 0x1000], 0xcc);
});

test('a kernel with addresses in its header is loaded by them', () => {
  const { ram, write, input } = testMachine();
  const state = loadMultiboot(write, input(flatMultiboot()));
  assert.equal(state.rip, 0x200060);
  assert.equal(ram[0x200061], 7);
  assert.equal(ram[0x201060], 0);
  assert.equal(ram[0x201860], 0xcc);
});

test('boot information keeps clear of a kernel in low memory', () => {
  const { write, input } = testMachine();
  const state = loadMultiboot(write, input(elf32Multiboot(0x8000)));
  assert.ok(state.registers.rbx! >= 0x100000 && state.gdtr.base >= 0x100000);
});

test('bad kernels are refused in the words of QEMU where it has some', () => {
  const { write, input } = testMachine();
  const refuse = (file: Uint8Array, pattern: RegExp): void =>
    assert.throws(() => loadMultiboot(write, input(file)), (error) => error instanceof Failure && pattern.test(error.message));
  const flat = (wordIndex: number, value: number): Uint8Array => {
    const file = flatMultiboot();
    new DataView(file.buffer).setUint32(64 + 4 * wordIndex, value, true);
    return file;
  };
  refuse(flat(3, 0x1000), /^invalid load_addr address$/);
  refuse(flat(3, 0x300000), /^invalid header_addr address$/);
  refuse(flat(5, 0x1000), /^invalid load_end_addr address$/);
  refuse(flat(6, 0x200800), /^invalid bss_end_addr address$/);
  refuse(flat(5, 0x300000), /truncated/);
  refuse(flat(6, 0xfffff000), /does not fit into RAM/);
  const elf64 = elf64Pvh();
  const mixed = new Uint8Array([...elf64, ...elf32Multiboot().subarray(84)]);
  refuse(mixed, /^Cannot load x86-64 image, give a 32bit one\.$/);
  refuse(elf32Multiboot(0xb0000), /Error while loading elf kernel \(segment at 0xb0000/);
  refuse(elf32Multiboot().subarray(0, 2000), /truncated/);
});

test('a header beyond 8 KiB or with a wrong checksum is none', () => {
  const late = new Uint8Array(8192 + 5000);
  late.set(flatMultiboot(), 8192 - 64);
  assert.equal(findMultibootHeader(late), undefined);
  const wrong = flatMultiboot();
  wrong[72]! ^= 1;
  assert.equal(findMultibootHeader(wrong), undefined);
});

test('-initrd is a list with arguments; two commas are one', () => {
  assert.deepEqual(parseModuleList('a b c,d,,e f'), [{ name: 'a', commandLine: 'b c' }, { name: 'd,e', commandLine: 'f' }]);
  assert.deepEqual(parseModuleList(''), []);
});
