// Linux that writes with fsync is killed three times: nothing that it was promised is lost. More: npm run fuzz -- kill-guest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findProblems, killGuestMissing, killGuestRounds } from './kill-guest.ts';
import { findDiskLinux } from './linux-guest.ts';

/** What a guest with this journal says, whose newest file of each name has these records. */
const found = (lines: number, records: readonly number[]): string =>
  `\n${records.map((number) => `FOUND r${number % 16} ${number}\n`).join('')}JOURNAL ${lines}\nCHECKED\n`;
const upTo = (last: number): number[] => Array.from({ length: Math.min(16, last) }, (_, n) => last - n);

test('what is lost is told from what the console had not shown yet', () => {
  assert.deepEqual(findProblems(found(20, upTo(20)), 20), []);
  assert.deepEqual(findProblems(found(22, upTo(22)), 20), [], 'the console lags');
  assert.deepEqual(findProblems(found(20, upTo(21)), 20), [], 'a record without its line yet');
  assert.deepEqual(findProblems(found(3, upTo(3)), 0), []);
  assert.deepEqual(findProblems(found(19, upTo(19)), 20), ['the journal has 19 lines, 20 were promised']);
  assert.deepEqual(findProblems(found(20, upTo(19)), 18), ['record 4 where the journal has 20']);
  assert.deepEqual(findProblems(found(20, upTo(20).filter((number) => number !== 9)), 20), ['record 0 where the journal has 9']);
  assert.deepEqual(findProblems('\nPROBLEM mount\n', 20), ['PROBLEM mount']);
});

const options = { skip: killGuestMissing, timeout: 3_600_000 };

test('Linux killed while it writes with fsync finds what it was promised, on clean images', options, async (t) => {
  const linux = await findDiskLinux('');
  if (linux.missing !== undefined) return t.skip(linux.missing);
  const { rounds, promised, problems } = await killGuestRounds(3, Date.now() % 1_000_000);
  t.diagnostic(`${rounds} kills, ${promised} records promised`);
  assert.deepEqual(problems, []);
});
