// Linux that writes with fsync is killed three times: nothing that it was promised is lost. More: npm run fuzz -- kill-guest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killGuestMissing, killGuestRounds } from './kill-guest.ts';
import { findDiskLinux } from './linux-guest.ts';

const options = { skip: killGuestMissing, timeout: 3_600_000 };

test('Linux killed while it writes with fsync finds what it was promised, on clean images', options, async (t) => {
  const linux = await findDiskLinux('');
  if (linux.missing !== undefined) return t.skip(linux.missing);
  const { rounds, promised, problems } = await killGuestRounds(3, Date.now() % 1_000_000);
  t.diagnostic(`${rounds} kills, ${promised} records promised`);
  assert.deepEqual(problems, []);
});
