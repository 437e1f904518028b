// The profiler against a program whose shares are known, in translated code and in the interpreter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProfileSession } from '../../src/cli/profile-session.ts';
import { Machine } from '../../src/platform/node/machine.ts';
import { nodePlatform } from '../../src/platform/node/node-platform.ts';
import { compareWithCounts } from '../../src/profile/compared.ts';
import type { CountedProfile } from '../../src/profile/counts-report.ts';
import type { CallNode, Profile } from '../../src/profile/report.ts';
import { MachineCounts } from '../../src/vm/machine-counts.ts';
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

async function countsOf(shape: KnownShape, rounds: number): Promise<CountedProfile> {
  const { kernel, symbols } = knownProgram(shape, rounds);
  const machine = await Machine.create({ kernel: { name: 'known', bytes: kernel }, ramBytes: 16 << 20, serials: [undefined] });
  const counts = new MachineCounts(machine, new WebAssembly.Module(await nodePlatform.readModule('interpreter-counting.wasm')), symbols);
  machine.start();
  assert.equal((await machine.exited).kind, 'poweroff');
  return counts.profile();
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

test('beside its counts the program has as large a share of the samples as of the instructions', async () => {
  const rounds = 30_000;
  const profiles = [await profileOf('loops', rounds, false)];
  const samplesOf = ({ code }: Profile): number => code.reduce((sum, { self }) => sum + self, 0);
  while (profiles.reduce((sum, profile) => sum + samplesOf(profile), 0) < SAMPLES_MIN) {
    assert.ok(profiles.length < PROFILES_MAX);
    profiles.push(await profileOf('loops', rounds, false));
  }
  const counted = await countsOf('loops', rounds);
  const compared = profiles.map((profile) => ({ rows: compareWithCounts(profile, counted), samples: samplesOf(profile) }));
  const all = compared.reduce((sum, { samples }) => sum + samples, 0);
  for (const name of Object.keys(SHARES)) {
    const shares = compared.map(({ rows, samples }) => ({ row: rows.find((one) => one.name === name)!, samples }));
    const time = shares.reduce((sum, { row, samples }) => sum + row.codePercent * samples, 0) / all;
    const { instructionPercent } = shares[0]!.row;
    const found = `${name}: ${time.toFixed(2)} % of samples, ${instructionPercent.toFixed(2)} % of instructions`;
    assert.ok(Math.abs(time - instructionPercent) <= POINTS, found);
  }
});
