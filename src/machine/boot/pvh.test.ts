// Tests of pvh.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { loadPvh, startInfo, startInfoModule } from './pvh.ts';
import { elf64Pvh } from './sample-images.ts';
import { moduleOf, testMachine, textAt } from './test-machine.ts';

test('the note gives the entry and EBX the start info', () => {
  const { ram, write, input } = testMachine();
  const given = input(elf64Pvh(), { modules: [moduleOf('initrd', Uint8Array.of(1, 2, 3))] });
  const state = loadPvh(write, given);
  assert.equal(state.rip, 0x200010);
  assert.equal(state.cr0, 0x11);
  const info = startInfo.decode(ram, state.registers.rbx);
  assert.deepEqual([info.magic, info.version, info.moduleCount, info.rsdp], [0x336ec578, 1, 1, 0xf0000n]);
  assert.equal(textAt(ram, Number(info.commandLine)), 'console=ttyS0');
  const module = startInfoModule.decode(ram, Number(info.moduleList));
  assert.deepEqual([...ram.subarray(Number(module.address), Number(module.address) + 3)], [1, 2, 3]);
  assert.equal(info.memoryMapEntries, given.memory.ranges.length);
  const view = new DataView(ram.buffer);
  assert.equal(view.getBigUint64(Number(info.memoryMap) + 8, true), 0x9fc00n);
});

test('without a note of Xen there is no entry', () => {
  const { write, input } = testMachine();
  const file = elf64Pvh({ owner: 'Abc' });
  const pattern = /^Error loading uncompressed kernel without PVH ELF Note$/;
  assert.throws(() => loadPvh(write, input(file)), (error) => error instanceof Failure && pattern.test(error.message));
});
