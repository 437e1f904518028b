// A profile and counts by hand, beside each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVITY } from '../trace/activity.ts';
import { comparedText, compareWithCounts, parseCounts } from './compared.ts';
import { buildProfile, type Profile } from './report.ts';
import { ROOT, Samples } from './samples.ts';
import { plainSymbols, SymbolTable } from './symbols.ts';

const symbols = new SymbolTable(plainSymbols([{ address: -0x1000, name: 'fast' }, { address: -0x800, name: 'slow' }]));

function sampled(): Profile {
  const samples = new Samples();
  const [fast, slow, user] = [-0x900, -0x700, 0x1000].map((address) => samples.stacks.child(ROOT, address));
  const add = (node: number, count: number, activity: number, program: number): void => {
    for (let n = 0; n < count; n++) samples.add(samples.count * 1000, node, activity, program);
  };
  add(fast!, 30, ACTIVITY.REGION, 1);
  add(slow!, 20, ACTIVITY.INTERPRETER, 1);
  add(slow!, 10, ACTIVITY.PAGE_WALK, 1);
  add(user!, 40, ACTIVITY.REGION, 2);
  add(ROOT, 100, ACTIVITY.IDLE, 0);
  const programs = [{ name: '', isUser: false }, { name: 'shell', isUser: false }, { name: 'shell', isUser: true }];
  return buildProfile({ samples, programs, symbols, isLinux: true, seconds: 0.2, lost: 0 });
}

const COUNTS = JSON.stringify({
  columns: ['instructions', 'reads', 'writes', 'page walks', 'helpers', 'device accesses'], total: [100e6, 0, 0, 0, 0, 0],
  functions: [
    { name: 'fast', counts: [60e6, 0, 0, 0, 0, 0] }, { name: '[user code of shell]', counts: [30e6, 0, 0, 0, 0, 0] },
    { name: 'slow', counts: [9e6, 0, 0, 0, 0, 0] }, { name: 'unseen', counts: [1e6, 0, 0, 0, 0, 0] },
  ],
});

test('time, instructions, and what one takes', () => {
  const rows = compareWithCounts(sampled(), parseCounts(COUNTS));
  assert.deepEqual(rows.map(({ name, timePercent, instructionPercent }) => [name, timePercent, instructionPercent]), [
    ['fast', 30, 60], ['[user code of shell]', 40, 30], ['slow', 30, 9], ['unseen', 0, 1],
  ]);
  const [fast, , slow, unseen] = rows;
  assert.equal(fast!.nsPerInstruction, 30 * 1e6 / 60e6); // a sample is a millisecond
  assert.deepEqual([slow!.codePercent, slow!.interpretedPercent, slow!.aroundPercent], [2000 / 90, 2000 / 30, 1000 / 30]);
  assert.equal(unseen!.nsPerInstruction, 0);
  assert.match(comparedText(rows, 1), /^ +30\.0 +33\.3 +60\.0 +0\.50 +0 +0 {2}fast$/m);
});

test('what is no counted profile is refused', () => {
  const nameless = '{"columns":["instructions"],"total":[1],"functions":[{"name":1}]}';
  for (const text of ['', '{}', 'null', nameless, COUNTS.replace('instructions', 'loads')]) {
    assert.throws(() => parseCounts(text), /not a counted profile/, text);
  }
});
