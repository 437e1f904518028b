// What a processor model announces through CPUID, and the -cpu option: models, features by their usual names, and the
// feature words that assembly/cpuid reads. A feature that no instruction rows or helpers implement is not in the table,
// so it cannot be announced. SDM 2A, CPUID.
import { Failure } from '../../base/failure.ts';

/** The feature words, in the order of cpuidFeatureN in state.ts. */
export const WORD = {
  LEAF1_EDX: 0, LEAF1_ECX: 1, LEAF7_EBX: 2, LEAF7_ECX: 3, LEAF7_EDX: 4, EXTENDED1_EDX: 5, EXTENDED1_ECX: 6, LEAF_D1_EAX: 7,
  SIGNATURE: 8, MAX_BASIC_LEAF: 9, EXTENDED7_EDX: 10, LEAF6_EAX: 11, EXTENDED8_EBX: 12,
  EXTENDED33_EAX: 13,
} as const;

type Place = readonly [word: number, bit: number];
const {
  LEAF1_EDX, LEAF1_ECX, LEAF7_EBX, LEAF7_ECX, EXTENDED1_EDX, EXTENDED1_ECX, LEAF_D1_EAX, EXTENDED7_EDX, LEAF6_EAX, EXTENDED33_EAX,
} = WORD;

/** Every feature that can be announced, under QEMU's name. */
// prettier-ignore
export const FEATURES: Readonly<Record<string, Place>> = {
  fpu: [LEAF1_EDX, 0], de: [LEAF1_EDX, 2], pse: [LEAF1_EDX, 3], tsc: [LEAF1_EDX, 4], msr: [LEAF1_EDX, 5], pae: [LEAF1_EDX, 6],
  mce: [LEAF1_EDX, 7], cx8: [LEAF1_EDX, 8], apic: [LEAF1_EDX, 9], sep: [LEAF1_EDX, 11], mtrr: [LEAF1_EDX, 12], pge: [LEAF1_EDX, 13],
  mca: [LEAF1_EDX, 14], cmov: [LEAF1_EDX, 15], pat: [LEAF1_EDX, 16], pse36: [LEAF1_EDX, 17], clflush: [LEAF1_EDX, 19],
  mmx: [LEAF1_EDX, 23], fxsr: [LEAF1_EDX, 24], sse: [LEAF1_EDX, 25], sse2: [LEAF1_EDX, 26],
  sse3: [LEAF1_ECX, 0], pclmulqdq: [LEAF1_ECX, 1], monitor: [LEAF1_ECX, 3], ssse3: [LEAF1_ECX, 9], cx16: [LEAF1_ECX, 13], pcid: [LEAF1_ECX, 17],
  sse4_1: [LEAF1_ECX, 19], sse4_2: [LEAF1_ECX, 20], x2apic: [LEAF1_ECX, 21], movbe: [LEAF1_ECX, 22], popcnt: [LEAF1_ECX, 23],
  'tsc-deadline': [LEAF1_ECX, 24], aes: [LEAF1_ECX, 25], xsave: [LEAF1_ECX, 26], rdrand: [LEAF1_ECX, 30], hypervisor: [LEAF1_ECX, 31],
  fsgsbase: [LEAF7_EBX, 0], tsc_adjust: [LEAF7_EBX, 1], bmi1: [LEAF7_EBX, 3], smep: [LEAF7_EBX, 7], bmi2: [LEAF7_EBX, 8], erms: [LEAF7_EBX, 9],
  invpcid: [LEAF7_EBX, 10], rdseed: [LEAF7_EBX, 18], adx: [LEAF7_EBX, 19], smap: [LEAF7_EBX, 20], 'sha-ni': [LEAF7_EBX, 29],
  umip: [LEAF7_ECX, 2], rdpid: [LEAF7_ECX, 22],
  syscall: [EXTENDED1_EDX, 11], nx: [EXTENDED1_EDX, 20], pdpe1gb: [EXTENDED1_EDX, 26], rdtscp: [EXTENDED1_EDX, 27], lm: [EXTENDED1_EDX, 29],
  lahf_lm: [EXTENDED1_ECX, 0], abm: [EXTENDED1_ECX, 5],
  xsaveopt: [LEAF_D1_EAX, 0], xsavec: [LEAF_D1_EAX, 1], invtsc: [EXTENDED7_EDX, 8], arat: [LEAF6_EAX, 2],
  'null-sel-clr-base': [EXTENDED33_EAX, 6], 'auto-ibrs': [EXTENDED33_EAX, 8],
};
/** Names that mean another feature, or one of which another is part. */
const ALIASES: Readonly<Record<string, string>> = {
  pni: 'sse3', cx16: 'cx16', 'sse4-1': 'sse4_1', 'sse4.1': 'sse4_1', 'sse4-2': 'sse4_2', 'sse4.2': 'sse4_2', xd: 'nx',
  lzcnt: 'abm', 'tsc-adjust': 'tsc_adjust', sha_ni: 'sha-ni',
  'lahf-lm': 'lahf_lm',
};
/** Feature names that rows use although CPUID calls them otherwise. */
const ROW_FEATURES: Readonly<Record<string, string>> = { lzcnt: 'abm' };

export interface CpuModel {
  readonly name: string;
  readonly description: string;
  readonly vendor: string;
  readonly brand: string;
  readonly signature: number;
  readonly maxBasicLeaf: number;
  readonly features: readonly string[];
}

const words = (text: string): readonly string[] => text.split(/\s+/);
const BASE = words(`fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 sse3 cx16 x2apic
  hypervisor syscall nx lm lahf_lm`);

export const CPU_MODELS: readonly CpuModel[] = [
  { name: 'qemu64', description: 'plain 64-bit processor', vendor: 'AuthenticAMD', brand: 'nandu virtual CPU', signature: 0x00060fb1,
    maxBasicLeaf: 0xd, features: BASE },
  { name: 'max', description: 'everything that is implemented', vendor: 'AuthenticAMD', brand: 'nandu TCG CPU', signature: 0x00060fb1,
    maxBasicLeaf: 0x16,
    features: Object.keys(FEATURES).filter((name) => !['monitor', 'invtsc'].includes(name)) },
];

export interface CpuFeatures {
  readonly model: CpuModel;
  readonly words: Uint32Array;
  has(feature: string): boolean;
}

/** Resolves `-cpu MODEL,+feature,-feature,feature=on|off`. Throws Failure on unknown names. */
export function cpuFeatures(modelName: string, overrides: Readonly<Record<string, boolean>> = {}): CpuFeatures {
  const model = CPU_MODELS.find(({ name }) => name === modelName);
  if (model === undefined) throw new Failure('invalid-argument', `unable to find CPU model '${modelName}'`);
  const enabled = new Set(model.features);
  for (const [name, on] of Object.entries(overrides)) {
    const feature = ALIASES[name] ?? name;
    if (FEATURES[feature] === undefined) throw new Failure('invalid-argument', `Property '${modelName}-x86_64-cpu.${name}' not found`);
    if (on) enabled.add(feature);
    else enabled.delete(feature);
  }
  const result = new Uint32Array(16);
  for (const feature of enabled) {
    const [word, bit] = FEATURES[feature]!;
    result[word] = result[word]! | (1 << bit);
  }
  // AMD's copy of leaf 1 EDX in the extended leaf: the bits that both define.
  result[WORD.EXTENDED1_EDX] = result[WORD.EXTENDED1_EDX]! | (model.vendor === 'AuthenticAMD' ? result[WORD.LEAF1_EDX]! & 0x0183f3ff : 0);
  result[WORD.SIGNATURE] = model.signature;
  result[WORD.MAX_BASIC_LEAF] = model.maxBasicLeaf;
  return { model, words: result, has: (feature) => enabled.has(ROW_FEATURES[feature] ?? feature) };
}
