// The table of fuzzers. `smoke` runs all of them briefly; `canary` must fail and so proves that a failure is seen. What they do
// lies beside what they test; the command is tools/fuzz.ts.
import { BLOCK_FUZZERS } from './block-fuzzers.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RandomBytesBench, fuzzRandomBytes } from '../src/cpu/random-bytes.fuzz.ts';
import type { WasmModules } from '../src/cpu/vcpu.ts';
import { DEFAULT_REGION_OPTIONS, type RegionOptions } from '../src/cpu/translator/regions.ts';
import { cpuFeatures } from '../src/cpu/x86/cpuid.ts';
import { fuzzDevices } from '../src/devices/conformance.ts';
import { fuzzRings } from '../src/devices/virtio/rings.fuzz.ts';
import { fuzzBios } from '../src/machine/bios/bios.fuzz.ts';
import { fuzzBootImages } from '../src/machine/boot/boot-images.fuzz.ts';
import { cpuDifferences, hostFeatures } from '../test/oracle/cpu-difference.ts';
import type { CpuDifference } from '../test/oracle/cpu-difference.ts';
import { openOracle } from '../test/oracle/cpu-oracle.ts';
import { RegionComparison } from '../test/oracle/region-difference.ts';
import { distFolder } from './repository.ts';

export interface Budget {
  readonly seed: number;
  /** The first case, for fuzzers that number the cases of a seed. */
  readonly first: number;
  readonly cases: number;
  readonly isTimeUp: () => boolean;
}

export interface Failing {
  /** Options of the command that shows the failure again. */
  readonly repeat: string;
  readonly text: string;
}

export interface Outcome {
  readonly cases: number;
  readonly failing?: Failing;
  /** Why it could not run here. */
  readonly skip?: string;
}

interface Fuzzer {
  readonly what: string;
  /** Cases of a run that names no number, and of `smoke`. */
  readonly cases: number;
  readonly smokeCases: number;
  run(budget: Budget): Outcome | Promise<Outcome>;
}

const SHOWN_MAX = 10;

export function wasmModules(): WasmModules {
  const moduleOf = (name: string): WebAssembly.Module => new WebAssembly.Module(readFileSync(join(distFolder, 'wasm', `${name}.wasm`)));
  return { support: moduleOf('support'), interpreter: moduleOf('interpreter') };
}

/** Runs `one` for seed, seed + 1, …, until it throws or the budget is used up. */
function eachSeed({ seed, cases, isTimeUp }: Budget, one: (seed: number) => void): Outcome {
  let run = 0;
  for (; run < cases && !isTimeUp(); run++) {
    try {
      one(seed + run);
    } catch (error) {
      return { cases: run + 1, failing: { repeat: `--seed ${seed + run} --cases 1`, text: errorText(error) } };
    }
  }
  return { cases: run };
}

/** The same where a case takes several turns of the event loop. */
async function eachSeedLater({ seed, cases, isTimeUp }: Budget, one: (seed: number) => Promise<void>): Promise<Outcome> {
  let run = 0;
  for (; run < cases && !isTimeUp(); run++) {
    try {
      await one(seed + run);
    } catch (error) {
      return { cases: run + 1, failing: { repeat: `--seed ${seed + run} --cases 1`, text: errorText(error) } };
    }
  }
  return { cases: run };
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}\n${error.cause.stack}` : String(error.stack);
}

/** The differential test in all modes, `cases` in total. */
export async function fuzzProcessor({ seed, first, cases, isTimeUp }: Budget, regions?: RegionOptions): Promise<Outcome> {
  const oracle = await openOracle();
  if ('skip' in oracle) return { cases: 0, skip: oracle.skip };
  const found: CpuDifference[] = [];
  let run = 0;
  const options = {
    oracle, seed, firstIndex: first, count: Math.ceil(cases / oracle.modes.length), features: cpuFeatures('max'), modules: wasmModules(),
    regions,
    hostHas: hostFeatures(readFileSync('/proc/cpuinfo', 'utf8')), isTimeUp: () => found.length >= SHOWN_MAX || isTimeUp(),
  };
  for await (const difference of cpuDifferences(options, (count) => (run += count))) {
    if (found.length < SHOWN_MAX) found.push(difference);
  }
  oracle.close();
  if (found.length === 0) return { cases: run };
  const repeat = `--seed ${seed} --first ${found[0]!.index} --cases ${oracle.modes.length}`;
  return { cases: run, failing: { repeat, text: found.map(({ text }) => text).join('\n') } };
}

const CUTS_PER_WORKLOAD = 100;
const FEW_OPERATIONS = 6;

/** Power cuts in one workload after the other; qemu-img judges. */
/** A case is a workload of a few operations here, with all the states that a cut can leave. */
async function fuzzAllPowerCuts({ seed, cases, isTimeUp }: Budget): Promise<Outcome> {
  const { noReference } = await import('../test/block/reference.ts');
  if (noReference !== false) return { cases: 0, skip: noReference };
  const { cutPowerEverywhere } = await import('../test/block/power-cut.ts');
  const cut = async (next: number): Promise<void> => void (await cutPowerEverywhere(next, FEW_OPERATIONS, isTimeUp));
  return eachSeedLater({ seed, first: 0, cases, isTimeUp }, cut);
}

async function fuzzPowerCuts({ seed, cases, isTimeUp }: Budget): Promise<Outcome> {
  const { noReference } = await import('../test/block/reference.ts');
  if (noReference !== false) return { cases: 0, skip: noReference };
  const { cutPower } = await import('../test/block/power-cut.ts');
  let run = 0;
  for (let next = seed; run < cases && !isTimeUp(); next++) {
    const cuts = Math.min(CUTS_PER_WORKLOAD, cases - run);
    try {
      run += await cutPower(next, cuts, isTimeUp);
    } catch (error) {
      return { cases: run + cuts, failing: { repeat: `--seed ${next} --cases ${cuts}`, text: errorText(error) } };
    }
  }
  return { cases: run };
}

interface KillResult {
  readonly rounds: number;
  readonly problems: readonly string[];
}
type KillRounds = (rounds: number, seed: number, isTimeUp: () => boolean) => Promise<KillResult>;

/** Kills on one image one after the other; when they come is not the seed's alone. */
async function fuzzKills({ seed, cases, isTimeUp }: Budget, killRounds: KillRounds): Promise<Outcome> {
  const { rounds, problems } = await killRounds(cases, seed, isTimeUp);
  if (problems.length === 0) return { cases: rounds };
  return { cases: rounds, failing: { repeat: `--seed ${seed} --cases ${cases}`, text: problems.join('\n') } };
}

async function fuzzGuestKills(budget: Budget): Promise<Outcome> {
  const { killGuestMissing, killGuestRounds } = await import('../test/guest/kill-guest.ts');
  if (killGuestMissing !== false) return { cases: 0, skip: killGuestMissing };
  return fuzzKills(budget, killGuestRounds);
}

export const FUZZERS: Readonly<Record<string, Fuzzer>> = {
  cpu: { what: 'random programs, compared with the real processor', cases: 1_000_000, smokeCases: 8_000, run: fuzzProcessor },
  'cpu-regions': {
    what: 'random programs interpreted and in regions, with faults, interrupts and changes of code and mapping in between',
    cases: 5_000,
    smokeCases: 20,
    run(budget) {
      const comparison = new RegionComparison(wasmModules(), cpuFeatures('max'));
      return eachSeed(budget, (seed) => {
        const { text } = comparison.run(seed);
        if (text !== undefined) throw new Error(text);
      });
    },
  },
  'cpu-translated': {
    what: 'as cpu, with every block translated at its first execution',
    cases: 200_000,
    smokeCases: 2_000,
    run: (budget) => fuzzProcessor(budget, { ...DEFAULT_REGION_OPTIONS, promoteAt: 1 }),
  },
  decoder: {
    what: 'random bytes as guest code: nothing throws or hangs',
    cases: 100_000,
    smokeCases: 500,
    run(budget) {
      const bench = new RandomBytesBench(wasmModules(), cpuFeatures('max'));
      return eachSeed(budget, (seed) => fuzzRandomBytes(bench, seed, 1));
    },
  },
  devices: {
    what: 'port and MMIO accesses, saved and restored states of every device',
    cases: 2_000,
    smokeCases: 5,
    run: (budget) => eachSeed(budget, (seed) => fuzzDevices(seed, 1)),
  },
  virtqueues: {
    what: 'virtio rings of a hostile driver, with requests in flight',
    cases: 20_000,
    smokeCases: 50,
    run: (budget) => eachSeedLater(budget, fuzzRings),
  },
  'boot-images': {
    what: 'damaged kernels for every loader',
    cases: 5_000,
    smokeCases: 5,
    run: (budget) => eachSeed(budget, (seed) => void fuzzBootImages(seed, 100)),
  },
  bios: {
    what: 'the built-in BIOS called with random registers and memory',
    cases: 2_000,
    smokeCases: 20,
    run: (budget) => eachSeedLater(budget, fuzzBios),
  },
  ...Object.fromEntries(
    Object.entries(BLOCK_FUZZERS).map(([name, { what, cases, smokeCases, prepare }]): [string, Fuzzer] => [
      name,
      { what, cases, smokeCases, run: (budget) => eachSeedLater(budget, prepare()) },
    ]),
  ),
  'power-cut': {
    what: 'power cuts in workloads on qcow2 images: at most leaks, and nothing flushed is lost',
    cases: 2_000,
    smokeCases: 20,
    run: fuzzPowerCuts,
  },
  'power-cut-all': {
    what: 'every state that a power cut can leave of short workloads on qcow2 images, up to a bound',
    cases: 100,
    smokeCases: 1,
    run: fuzzAllPowerCuts,
  },
  kill: {
    what: 'a process that writes through a virtio disk is killed: nothing flushed is lost',
    cases: 50,
    smokeCases: 1,
    run: async (budget) => fuzzKills(budget, (await import('../test/vm/kill-rounds.ts')).killRounds),
  },
  'kill-guest': {
    what: 'a machine whose Linux writes with fsync is killed: nothing that it was promised is lost',
    cases: 50,
    smokeCases: 0, // it has a test of its own
    run: fuzzGuestKills,
  },
  canary: {
    what: 'fails at a case between 1 and 100: the harness must say so',
    cases: 100,
    smokeCases: 100,
    run: (budget) => eachSeed(budget, (seed) => {
      if (seed % 100 === 99) throw new Error('the canary sings');
    }),
  },
};

export interface SmokeResult {
  readonly name: string;
  readonly outcome: Outcome;
  readonly isGood: boolean;
}

/** Every fuzzer briefly; the canary's failure is its success. */
export async function smoke(seed: number): Promise<SmokeResult[]> {
  const results: SmokeResult[] = [];
  for (const [name, { smokeCases, run }] of Object.entries(FUZZERS)) {
    const outcome = await run({ seed, first: 0, cases: smokeCases, isTimeUp: () => false });
    results.push({ name, outcome, isGood: (outcome.failing === undefined) === (name !== 'canary') });
  }
  return results;
}

export function describeOutcome(name: string, { cases, failing, skip }: Outcome): string {
  if (skip !== undefined) return `${name}: skipped, ${skip}`;
  if (failing === undefined) return `${name}: ${cases} cases, no failure`;
  return `${name}: failed\n${failing.text}\nrepeat: npm run fuzz -- ${name} ${failing.repeat}`;
}
