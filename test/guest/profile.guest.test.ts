// The profiler against a program whose shares are known, in translated code and in the interpreter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProfileSession } from '../../src/cli/profile-session.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import type { CallNode, Profile } from '../../src/profile/report.ts';
import { knownProgram, type KnownShape } from './known-program.ts';

const POINTS = 2;
const HERTZ = 5000;
/** With so many samples 2 points are 4.5 standard deviations of a share of 60 %: chance goes beyond once in 100,000 runs. */
const SAMPLES_MIN = 12_500;
const PROFILES_MAX = 30;
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

/** Samples of the program's functions, of as many profiles as it takes. */
async function sampled(shape: KnownShape, rounds: number, translate: boolean): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  let samples = 0;
  for (let profiles = 0; samples < SAMPLES_MIN; profiles++) {
    assert.ok(profiles < PROFILES_MAX, `${samples} samples in ${profiles} profiles`);
    const { functions, guestCount, tree } = await profileOf(shape, rounds, translate);
    for (const { name, self } of functions) counts.set(name, (counts.get(name) ?? 0) + self);
    for (const name of Object.keys(SHARES)) assert.deepEqual([...callersOf(tree, name)], ['main']);
    samples += guestCount;
  }
  return counts.set('all', samples);
}

for (const [shape, rounds, translate] of CASES) {
  const how = translate ? 'translated' : 'interpreted';
  test(`functions of 60, 30 and 10 % are found within ${POINTS} points: ${shape}, ${how}`, async () => {
    const counts = await sampled(shape, rounds, translate);
    // What main does between calls takes time of its own, which is short beside loops only.
    const whole = counts.get('all')! - (shape === 'loops' ? 0 : (counts.get('main') ?? 0));
    for (const [name, percent] of Object.entries(SHARES)) {
      const found = (100 * (counts.get(name) ?? 0)) / whole;
      assert.ok(Math.abs(found - percent) <= POINTS, `${name} has ${found.toFixed(2)} % of ${whole} samples, not ${percent} %`);
    }
  });
}
