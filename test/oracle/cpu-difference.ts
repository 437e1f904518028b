// The differential test of the processor: random cases through the real processor and through nandu's, compared.
// A part of `npm test` (a fixed number of cases) and of `npm run fuzz -- cpu` (as long as asked, from any seed).
import { INSTRUCTIONS } from '../../src/cpu/x86/row.ts';
import '../../src/cpu/x86/isa/all.ts';
import type { RegionOptions } from '../../src/cpu/translator/regions.ts';
import type { CpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import type { WasmModules } from '../../src/cpu/vcpu.ts';
import { describeCase, differences, isAnswer } from './compare.ts';
import type { Oracle } from './cpu-oracle.ts';
import { EmulatedProcessor } from './emulated-case.ts';
import type { OracleMode } from './oracle-case.ts';
import { caseGenerator } from './random-code.ts';
import type { GeneratedCase } from './random-code.ts';

/** Kernel names of the features that rows may ask for, where they differ from ours. */
const HOST_NAMES: Readonly<Record<string, readonly string[]>> = {
  sse3: ['pni'], 'sha-ni': ['sha_ni'], abm: ['abm', 'lzcnt'], lzcnt: ['abm', 'lzcnt'], clflush: ['clflush'], rdtscp: ['rdtscp'],
};

/** Reads the flags line of /proc/cpuinfo. */
export function hostFeatures(cpuinfo: string): (feature: string) => boolean {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.trim().split(/\s+/) ?? []);
  return (feature) => (HOST_NAMES[feature] ?? [feature]).some((name) => flags.has(name));
}

export interface DifferenceOptions {
  readonly oracle: Oracle;
  readonly modules: WasmModules;
  /** What the emulated processor announces; instructions of features that the host lacks are left out. */
  readonly features: CpuFeatures;
  /** How eagerly code is translated; the default when absent. */
  readonly regions?: RegionOptions | undefined;
  readonly hostHas: (feature: string) => boolean;
  readonly seed: number;
  /** Cases for each mode. */
  readonly count: number;
  readonly firstIndex?: number;
  readonly modes?: readonly OracleMode[];
  readonly only?: ReadonlySet<string>;
  /** Asked between batches. */
  readonly isTimeUp?: () => boolean;
}

export interface CpuDifference {
  readonly mode: OracleMode;
  readonly index: number;
  readonly test: GeneratedCase;
  /** The case and each difference, ready to print. */
  readonly text: string;
}

const BATCH_CASES = 2048;

/** Yields the differing cases; `onBatch` hears how many cases had an answer to compare with. */
export async function* cpuDifferences(options: DifferenceOptions, onBatch?: (count: number) => void): AsyncGenerator<CpuDifference> {
  const { oracle, modules, features, hostHas, seed, count, only, firstIndex = 0, modes = oracle.modes } = options;
  const processor = new EmulatedProcessor(modules, features, options.regions);
  const hasFeature = (feature: string): boolean => features.has(feature) && hostHas(feature);
  const { hasYmm } = oracle;
  const generator = caseGenerator({ instructions: INSTRUCTIONS, hasFeature, seed, hasYmm, ...(only === undefined ? {} : { only }) });
  for (let start = firstIndex; start < firstIndex + count; start += BATCH_CASES) {
    for (const mode of modes) {
      if (options.isTimeUp?.() === true) return;
      const size = Math.min(BATCH_CASES, firstIndex + count - start);
      const cases = Array.from({ length: size }, (_, n) => generator.generate(start + n, mode));
      const results = await oracle.run(cases);
      for (const [n, test] of cases.entries()) {
        const lines = differences(test, results[n]!, processor.run(test), oracle.tellsStackFaults);
        if (lines.length === 0) continue;
        const text = [`seed ${seed} index ${start + n} ${describeCase(test)}`, ...lines.map((line) => `    ${line}`)].join('\n');
        yield { mode, index: start + n, test, text };
      }
      onBatch?.(results.filter(isAnswer).length);
    }
  }
}
