// What is known of a kernel whose symbols are given, in memory made by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuOffset } from '../cpu/x86/state.ts';
import { LinuxKernel } from './linux-kernel.ts';
import { KERNEL, SAMPLE_AREA, SampleMemory } from './sample-memory.ts';
import { plainSymbols } from './symbols.ts';

const ENTRY = KERNEL + 0x10000;
const PER_CPU = 0x40000;

function kernel(symbols: Readonly<Record<string, number>>): { memory: SampleMemory; kernel: LinuxKernel } {
  const memory = new SampleMemory();
  memory.view.setBigInt64(SAMPLE_AREA + cpuOffset('msrLstar'), BigInt(ENTRY), true);
  memory.word(0x30000, KERNEL + PER_CPU);
  memory.bytes(0x20128, ...new TextEncoder().encode('swapper/0'));
  const all = { entry_SYSCALL_64: ENTRY, init_task: KERNEL + 0x20000, __per_cpu_offset: KERNEL + 0x30000, ...symbols };
  const given = plainSymbols(Object.entries(all).map(([name, address]) => ({ name, address })));
  const made = new LinuxKernel(memory.guest, SAMPLE_AREA, given);
  assert.equal(made.look(), false);
  return { memory, kernel: made };
}

test('the places of the running task and of the interrupt stack are those of a processor\'s area', () => {
  const { kernel: known } = kernel({ current_task: 0x100, hardirq_stack_ptr: 0x200 });
  assert.equal(known.currentTaskAt, KERNEL + PER_CPU + 0x100);
  assert.equal(known.nameOffset, 0x128);
  assert.equal(known.interruptStackAt(), KERNEL + PER_CPU + 0x200);
});

test('in pcpu_hot the interrupt stack is found by its form, once it is there', () => {
  const { memory, kernel: known } = kernel({ pcpu_hot: 0x100 });
  const hot = PER_CPU + 0x100;
  assert.equal(known.currentTaskAt, KERNEL + hot);
  memory.word(hot, KERNEL + 0x20000);
  memory.word(hot + 8, 0xff8);
  memory.word(hot + 24, KERNEL + 0x60000); // top_of_stack
  assert.ok(Number.isNaN(known.interruptStackAt()));
  memory.word(hot + 32, KERNEL + 0x74000 - 8);
  assert.equal(known.interruptStackAt(), KERNEL + hot + 32);
});

test('without either the interrupt stack is not known', () => {
  assert.ok(Number.isNaN(kernel({ current_task: 0x100 }).kernel.interruptStackAt()));
});
