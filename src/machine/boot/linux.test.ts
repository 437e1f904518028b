// Tests of linux.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { encodeE820 } from '../e820.ts';
import { builtinGuest } from './builtin-guest.ts';
import { bootParams, loadLinux, setupHeader } from './linux.ts';
import { moduleOf, testMachine, textAt } from './test-machine.ts';

const initrd = new Uint8Array(5000).fill(0x5a);

/** The built-in guest is a bzImage; the tests change its header. */
function image(changes: Parameters<typeof setupHeader.encode>[0] = {}): Uint8Array {
  const file = builtinGuest();
  setupHeader.write(file, changes);
  return file;
}

test('boot_params tell the kernel where everything is', () => {
  const { ram, write, input } = testMachine();
  const given = input(image(), { modules: [moduleOf('initrd', initrd)] });
  const state = loadLinux(write, given);
  const at = state.registers.rsi!;
  const header = setupHeader.decode(ram, at);
  const params = bootParams.decode(ram, at);
  assert.equal(textAt(ram, header.cmdLinePtr), 'console=ttyS0');
  assert.deepEqual(ram.subarray(header.ramdiskImage, header.ramdiskImage + header.ramdiskSize), initrd);
  assert.equal(header.ramdiskImage % 4096, 0);
  assert.ok(header.ramdiskImage + header.ramdiskSize <= given.memory.tableAddress);
  assert.equal(params.acpiRsdpAddr, 0xf0000n);
  assert.equal(params.e820Entries, given.memory.ranges.length);
  const table = encodeE820(given.memory.ranges);
  assert.deepEqual(params.e820Table.subarray(0, table.length), table);
  assert.equal(header.typeOfLoader, 0xff);
  assert.deepEqual([...ram.subarray(at, at + 0x70)], new Array(0x70).fill(0)); // screen_info: no display
});

test('the 64-bit entry is in long mode with an identity map', () => {
  const { ram, write, input } = testMachine();
  const state = loadLinux(write, input(image()));
  assert.equal(state.rip, 0x100200);
  assert.deepEqual([state.cr0, state.cr4, state.efer], [0x80000011, 0x20, 0x500]);
  assert.deepEqual(state.segments.cs, { selector: 0x10, base: 0, limit: 0xffffffff, access: 0xa09b });
  const view = new DataView(ram.buffer);
  const descriptor = view.getBigUint64(state.gdtr.base + 0x10, true);
  assert.equal(descriptor, 0x00af9b000000ffffn);
  const follow = (table: number, index: number): number => Number(view.getBigUint64(table + index * 8, true) & ~0xfffn);
  const directory = follow(follow(state.cr3, 0), 3);
  assert.equal(view.getBigUint64(directory + 511 * 8, true), 0xffe00083n);
});

test('the 32-bit entry is taken without long mode or without XLF_KERNEL_64', () => {
  const { write, input } = testMachine();
  const states = [loadLinux(write, input(image(), { longMode: false })), loadLinux(write, input(image({ xloadflags: 0 })))];
  for (const state of states) {
    assert.equal(state.rip, 0x100000);
    assert.deepEqual([state.cr0, state.cr3, state.cr4, state.efer], [0x11, 0, 0, 0]);
    assert.equal(state.segments.cs.access, 0xc09b);
  }
});

test('the initrd stays below initrd_addr_max', () => {
  const { ram, write, input } = testMachine();
  const state = loadLinux(write, input(image({ initrdAddrMax: 0x7fffff }), { modules: [moduleOf('initrd', initrd)] }));
  assert.equal(setupHeader.decode(ram, state.registers.rsi!).ramdiskImage, 0x800000 - 0x2000);
});

test('bad kernels and impossible requests are refused in one line', () => {
  const { write, input } = testMachine();
  const refuse = (file: Uint8Array, rest: Parameters<typeof input>[1], pattern: RegExp): void =>
    assert.throws(() => loadLinux(write, input(file, rest)), (error) => error instanceof Failure && pattern.test(error.message));
  refuse(image({ bootFlag: 0 }), {}, /^invalid kernel header$/);
  refuse(image({ setupSects: 255 }), {}, /^invalid kernel header$/);
  refuse(image().subarray(0, 2000), {}, /kernel file is truncated/);
  refuse(image({ version: 0x200 }), {}, /kernel boot protocol 2\.0 is too old/);
  refuse(image({ loadflags: 0 }), {}, /too old/);
  refuse(image({ initSize: 0x7fffffff }), {}, /not enough memory for the kernel/);
  refuse(image({ cmdlineSize: 5 }), {}, /kernel command line is too long \(max: 5, need 13\)/);
  const huge = [moduleOf('i', new Uint8Array(40 << 20))];
  refuse(image(), { modules: huge }, /^initrd is too large, cannot support\.\(max: \d+, need 41943040\)$/);
});
