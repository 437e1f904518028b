// Counted profiles of a program whose instructions are known one by one, and of one that runs into page faults.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../../src/platform/node/machine.ts';
import { nodePlatform } from '../../src/platform/node/node-platform.ts';
import type { CountedProfile } from '../../src/profile/counts-report.ts';
import { MachineCounts } from '../../src/vm/machine-counts.ts';
import { knownProgram } from './known-program.ts';

const ROUNDS = 2000;

async function countedProfile(): Promise<CountedProfile> {
  const { kernel, symbols } = knownProgram('loops', ROUNDS);
  const machine = await Machine.create({
    kernel: { name: 'known', bytes: kernel }, ramBytes: 16 << 20, serials: [undefined], icount: { shift: 0, sleep: false },
  });
  const counts = new MachineCounts(machine, new WebAssembly.Module(await nodePlatform.readModule('interpreter-counting.wasm')), symbols);
  machine.start();
  assert.equal((await machine.exited).kind, 'poweroff');
  return counts.profile();
}

test('a counted profile has every instruction and access of a known program', async () => {
  const { functions, total, devices, faults } = await countedProfile();
  const rows = Object.fromEntries(functions.map(({ name, counts }) => [name, counts.slice(0, 3)]));
  // PUSH writes, POP and RET read; CALL writes in the caller.
  assert.deepEqual(rows, {
    hot: [ROUNDS * (5 + 14 * 600), ROUNDS * 2, ROUNDS], warm: [ROUNDS * (5 + 14 * 300), ROUNDS * 2, ROUNDS],
    cool: [ROUNDS * (5 + 14 * 100), ROUNDS * 2, ROUNDS], main: [ROUNDS * 5 + 7, 0, ROUNDS * 3],
  });
  assert.equal(total[0], ROUNDS * (3 * 5 + 14 * 1000 + 5) + 7);
  assert.deepEqual(devices.map(({ name, writes }) => [name, writes]), [['port acpi-pm', 1]]);
  assert.deepEqual(faults, []);
});

test('with -icount the figures are the same again', async () => {
  assert.deepEqual(await countedProfile(), await countedProfile());
});
