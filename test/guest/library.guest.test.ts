// The library's machine with Linux: guest time against host time, the cost of an idle guest, and the state of every
// device in the middle of a boot. The machine runs in library-scenarios.ts, a process of its own.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { distFolder } from '../../tools/repository.ts';
import { withGuest } from './guest-process.ts';
import { findLinux, initrdWith, shellScript } from './linux-guest.ts';

const RUN_MS_MAX = 180_000;
const linux = await findLinux('amd64');
const options = { skip: linux.missing ?? false, timeout: 2 * RUN_MS_MAX };

interface Findings {
  readonly moments: readonly { readonly at: string; readonly sizeBytes: number; readonly same: boolean }[];
  readonly guestSeconds: number;
  readonly hostSeconds: number;
  readonly idleShare: number;
  readonly exit: unknown;
}

async function runScenarios(): Promise<Findings | undefined> {
  if (linux.missing !== undefined) return undefined;
  const words = [join(distFolder, 'test', 'guest', 'library-scenarios.js'), linux.kernel, initrdWith('amd64', shellScript())];
  return withGuest(process.execPath, words, RUN_MS_MAX, async (guest) => {
    const { status, output, errors } = await guest.exit();
    assert.equal(status, 0, errors || output);
    return JSON.parse(output) as Findings;
  });
}

describe('the library with Linux', options, () => {
  let found: Findings;
  before(async () => void (found = (await runScenarios())!));

  test('the state of every device in the middle of a boot, restored and saved again, is the same', () => {
    assert.equal(found.moments.length, 5);
    for (const { at, sizeBytes, same } of found.moments) assert(same && sizeBytes > 1000, `${at}: ${sizeBytes} bytes, same: ${same}`);
  });

  test('a sleep of 10 s takes 10.0 s of guest and of host time', (t) => {
    const { guestSeconds, hostSeconds } = found;
    t.diagnostic(`sleep 10: ${guestSeconds.toFixed(2)} s in the guest, ${hostSeconds.toFixed(3)} s on the host`);
    assert(Math.abs(guestSeconds - 10) < 0.1, `${guestSeconds} s of guest time`);
    assert(Math.abs(hostSeconds - 10) < 0.1, `${hostSeconds} s of host time`);
  });

  test('an idle guest uses little of a core', (t) => {
    const text = `idle: ${(found.idleShare * 100).toFixed(1)} % of a core`;
    t.diagnostic(text);
    assert(found.idleShare < 0.1, text); // under 5 % where nothing else runs
  });

  test('power-off is the reason of the end', () => assert.deepEqual(found.exit, { kind: 'poweroff', code: 0 }));
});
