// Notes by hand, as the counting interpreter writes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuOffset } from '../cpu/x86/state.ts';
import { COUNT_NOTE, COUNT_NOTES_OFFSET } from '../memory/memory-map.ts';
import { buildCountedProfile } from './counts-report.ts';
import { Counts } from './counts.ts';

const USER = 3;

test('page tables that another program is given count for it from then on; the kernel is one', () => {
  const words = new Uint32Array((COUNT_NOTES_OFFSET + 64 * COUNT_NOTE.BYTES) >> 2);
  const counts = new Counts(words, 0);
  const notesAt = cpuOffset('notesAt') >> 2;
  const ran = (space: number, instructions: number): void => {
    const note = words[notesAt]! >> 2;
    words[note + COUNT_NOTE.RIP / 4] = 0x1000;
    words[note + COUNT_NOTE.SPACE / 4] = space;
    words[note + COUNT_NOTE.INSTRUCTIONS / 4] = words[cpuOffset('countInstructions') >> 2]!;
    words[notesAt] = words[notesAt]! + COUNT_NOTE.BYTES;
    words[cpuOffset('countInstructions') >> 2]! += instructions;
    counts.take();
  };
  ran(0x5000 | USER, 1); // nobody knows yet whose it is: the name that comes is its
  counts.programs.named(0x5000, 'first');
  ran(0x5000 | USER, 10);
  ran(0x6000 | USER, 100);
  counts.programs.named(0x5000, 'second');
  ran(0x5000 | USER, 1000);
  counts.programs.named(0x5000, 'second');
  ran(0x5000 | USER, 10_000);
  ran(0x5000, 100_000);
  ran(0x6000, 100_000);
  const { functions } = buildCountedProfile(counts, { symbols: undefined, isLinux: true });
  assert.deepEqual(functions.map(({ name, counts: row }) => [name, row[0]]), [
    ['0x1000', 200_000], ['[user code of second]', 11_000], ['[user code of page tables at 0x6000]', 100], ['[user code of first]', 11],
  ]);
});
