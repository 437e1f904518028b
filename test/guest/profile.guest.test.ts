// The profiler against a program whose shares are known, in translated code and in the interpreter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProfileSession } from '../../src/cli/profile-session.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import type { CallNode, Profile } from '../../src/profile/report.ts';
import { knownProgram, type KnownShape } from './known-program.ts';

const POINTS = 2;
const HERTZ = 5000;
const ATTEMPTS = 3;
const SHARES = { hot: 60, warm: 30, cool: 10 } as const;

async function profileOf(shape: KnownShape, rounds: number, translate: boolean): Promise<Profile> {
  const { kernel, symbols } = knownProgram(shape, rounds);
  const machine = await Machine.create({
    kernel: { name: 'known', bytes: kernel }, ramBytes: 16 << 20, accelerator: { name: 'tcg', translate }, serials: [undefined],
  });
  const session = new ProfileSession(machine, { hertz: HERTZ, symbols, top: 10, calls: false });
  await session.start();
  machine.start();
  assert.equal((await machine.exited).kind, 'poweroff');
  session.stop();
  return session.profile();
}

const shareOf = ({ functions, guestCount }: Profile, name: string): number =>
  (100 * (functions.find((row) => row.name === name)?.self ?? 0)) / guestCount;

function callersOf(tree: CallNode, name: string): Set<string> {
  const callers = new Set<string>();
  const visit = (node: CallNode): void => {
    for (const child of node.children.values()) {
      if (child.name === name) callers.add(node.name);
      visit(child);
    }
  };
  visit(tree);
  return callers;
}

// prettier-ignore
const CASES = [
  ['loops', 200_000, true], ['loops', 30_000, false], ['straight lines', 500_000, false],
] as const;

/** The largest distance of a function's share from what it is, in points. */
function farthest(profile: Profile, shape: KnownShape): number {
  // What main does between calls takes time of its own, which is short beside loops only.
  const mainPercent = shape === 'loops' ? 0 : shareOf(profile, 'main');
  const distances = Object.entries(SHARES).map(([name, percent]) => shareOf(profile, name) / (1 - mainPercent / 100) - percent);
  return Math.max(...distances.map(Math.abs));
}

for (const [shape, rounds, translate] of CASES) {
  const how = translate ? 'translated' : 'interpreted';
  test(`functions of 60, 30 and 10 % are found within ${POINTS} points: ${shape}, ${how}`, async () => {
    let best = Infinity;
    // A host that stops the process meanwhile can disturb one profile; it is not the same one three times.
    for (let attempt = 0; attempt < ATTEMPTS && best > POINTS; attempt++) {
      const profile = await profileOf(shape, rounds, translate);
      assert.ok(profile.guestCount > 2000, `${profile.guestCount} samples`);
      for (const name of Object.keys(SHARES)) assert.deepEqual([...callersOf(profile.tree, name)], ['main']);
      best = Math.min(best, farthest(profile, shape));
    }
    assert.ok(best <= POINTS, `${best.toFixed(2)} points away`);
  });
}
