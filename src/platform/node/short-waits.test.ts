// Tests of short-waits.ts: that waits end, not before their time, and that the event loop turns meanwhile. Not how exactly.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs';
import { test } from 'node:test';
import { hostClockNs } from './host-clock.ts';
import { waitUntil } from './short-waits.ts';

const US = 1000;

test('waits end, none before its time; one that was called back does not', async () => {
  const start = hostClockNs();
  const ended: number[] = [];
  let early = 0;
  const wait = (us: number): { cancel(): void } => waitUntil(start + us * US, () => {
    if (hostClockNs() < start + us * US) early++;
    ended.push(us);
  });
  const cancelled = wait(700);
  for (const us of [1500, 400, 900, 1900, 500, 1]) wait(us);
  cancelled.cancel();
  await new Promise<void>((resolve) => { waitUntil(start + 2000 * US, resolve); });
  assert.equal(early, 0);
  assert.deepEqual([...ended].sort((a, b) => a - b), [1, 400, 500, 900, 1500, 1900]);
});

test('a wait that is begun at the end of another comes too', async () => {
  let rounds = 0;
  await new Promise<void>((resolve) => {
    const again = (): void => {
      if (++rounds === 20) resolve();
      else waitUntil(hostClockNs() + 100 * US, again);
    };
    again();
  });
  assert.equal(rounds, 20);
});

test('a file is read while a wait lasts', async () => {
  const seen: string[] = [];
  readFile(import.meta.filename, () => seen.push('read'));
  await new Promise<void>((resolve) => { waitUntil(hostClockNs() + 200_000 * US, resolve); });
  seen.push('waited');
  assert.deepEqual(seen, ['read', 'waited']);
});
