// Regions against the interpreter: the same random program on two vCPUs, one of which translates at random thresholds and limits and is
// interrupted at random points. At every exception and every event all of the visible state must be the same; then something is done
// to both: code patched by a device, page table entries changed, the other page tables loaded, the privilege or the flags of the frame.
import { INSTRUCTIONS } from '../../src/cpu/x86/row.ts';
import '../../src/cpu/x86/isa/all.ts';
import { DEFAULT_REGION_OPTIONS, type RegionOptions } from '../../src/cpu/translator/regions.ts';
import { PAGE_BYTES } from '../../src/memory/memory-map.ts';
import type { CpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import type { WasmModules } from '../../src/cpu/vcpu.ts';
import { Prng } from './prng.ts';
import { chunkGenerator, type ChunkGenerator } from './random-code.ts';
import { makeLaneStock, randomFxsave, randomInteger, takeLanes, type LaneStock } from './random-values.ts';
import { PTE_FLIPS, RegionBench, type Action, type Disturbance, type Frame, type Stop } from './region-bench.ts';
import { END_VECTOR, EVENT_VECTOR, LAYOUT, randomProgram, slotOpcode, type RegionProgram } from './region-program.ts';

const STEPS = 8;
const STOPS_MAX = 150;
const LIMIT = 20_000;
const [DEBUG_VECTOR, PAGE_FAULT] = [1, 14];
const TF = 0x100;
const PAGES = [
  ...pagesOf(LAYOUT.CODE, LAYOUT.CODE_PAGES), ...pagesOf(LAYOUT.ALIAS, LAYOUT.CODE_PAGES), ...pagesOf(LAYOUT.DATA, LAYOUT.DATA_PAGES),
  ...pagesOf(LAYOUT.STACK, LAYOUT.STACK_PAGES), ...pagesOf(LAYOUT.CONTROL, 1), ...pagesOf(LAYOUT.READ_ONLY, 1),
];

function pagesOf(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => start + n * PAGE_BYTES);
}

const NEVER: RegionOptions = { ...DEFAULT_REGION_OPTIONS, promoteAt: 0 };

function randomOptions(rng: Prng): RegionOptions {
  const limits = {
    instructions: rng.pick([5, 20, 60, 1000, 1000]), blocks: rng.pick([1, 3, 10, 400, 400]), copiedInstructions: rng.pick([0, 10, 300]),
  };
  return { ...DEFAULT_REGION_OPTIONS, sampling: rng.pick([false, true]), promoteAt: rng.pick([1, 2, 3, 3, 5, 8, 12]), limits };
}

export interface RegionCaseResult {
  /** Undefined when all agreed. */
  readonly text?: string;
  readonly stops: number;
}

export class RegionComparison {
  readonly #interpreter: RegionBench;
  readonly #translator: RegionBench;
  readonly #chunk: ChunkGenerator;
  readonly #stock: LaneStock;
  /** Each stop and what was done, of the running case. */
  #log: string[] = [];

  constructor(modules: WasmModules, features: CpuFeatures) {
    this.#interpreter = new RegionBench(modules, features, NEVER);
    this.#translator = new RegionBench(modules, features, { ...NEVER, promoteAt: 1 });
    this.#chunk = chunkGenerator({ instructions: INSTRUCTIONS, hasFeature: (name) => features.has(name) });
    this.#stock = makeLaneStock(new Prng(1));
  }

  get statistics(): { readonly regions: number; readonly instructions: number } {
    return { regions: this.#translator.vcpu.regions.statistics.regions, instructions: this.#interpreter.vcpu.instructions };
  }

  /** Throws nothing: a difference, a hang and an exception of the translator are texts. */
  run(seed: number): RegionCaseResult {
    const rng = new Prng(seed);
    const program = randomProgram(rng, this.#chunk);
    this.#log = [];
    const lines = this.#runSteps(rng, program);
    const stops = this.#log.length;
    return lines.length === 0 ? { stops } : { stops, text: [...program.listing, ...this.#log, ...lines].join('\n') };
  }

  get #both(): readonly RegionBench[] {
    return [this.#interpreter, this.#translator];
  }

  #runSteps(rng: Prng, program: RegionProgram): string[] {
    const data = takeLanes(rng, this.#stock, PAGE_BYTES);
    const twin = twinOf(rng, program);
    for (const bench of this.#both) bench.load(program, Uint8Array.from([...data, ...data]), twin);
    this.#setOptions(this.#translator, randomOptions(rng));
    const disturbance = this.#disturbance(new Prng(rng.u32()));
    for (let step = 0; step < STEPS; step++) {
      this.#begin(rng, program);
      const end = this.#runStep(rng, program, disturbance);
      if (end === 'abandon') return [];
      if (end !== 'done') return end;
    }
    return [];
  }

  #setOptions(bench: RegionBench, options: RegionOptions): void {
    bench.vcpu.regions.options = options;
    bench.vcpu.set32('promoteAt', options.promoteAt);
  }

  /** What happens to the translating side between instructions without being visible. */
  #disturbance(rng: Prng): Disturbance {
    const often = rng.pick([0, 5, 20, 60]);
    const longest = rng.pick([3, 40, 400, 4000]);
    const kinds = rng.pick([12, 100]);
    return {
      sliceInstructions: () => 1 + rng.below(longest),
      wantsInterrupt: () => rng.chance(often),
      inInterrupt: (bench) => {
        const { support, regions } = bench.vcpu;
        const what = rng.below(kinds);
        if (what === 0) regions.flush();
        else if (what === 1) support.flushTlb();
        else if (what === 2) support.codeWritten(LAYOUT.CODE + rng.below(LAYOUT.CODE_PAGES) * PAGE_BYTES, PAGE_BYTES);
        else if (what === 3) this.#setOptions(bench, randomOptions(rng));
      },
    };
  }

  #begin(rng: Prng, { functions }: RegionProgram): void {
    const chosen = rng.chance(70) ? functions.at(-1)! : rng.pick(functions);
    const entry = (rng.chance(75) ? LAYOUT.CODE : LAYOUT.ALIAS) + chosen.offset;
    const bits = rng.chance(95) ? chosen.bits : chosen.bits === 64 ? 32 : 64;
    const privilege = rng.chance(80) ? 3 : 0;
    const registers = BigUint64Array.from({ length: 16 }, () => randomInteger(rng));
    const fxsave = rng.chance(70) ? randomFxsave(rng, this.#stock) : undefined;
    const flags = (rng.u32() & 0x8d5) | (rng.chance(10) ? 0x400 : 0);
    for (const bench of this.#both) {
      bench.beginStep({ entry, bits, privilege, flags, registers, fxsave });
      bench.resume({ kind: 'none' });
    }
    this.#log.push(`begin ${entry.toString(16)}, ${bits} bits, privilege ${privilege}`);
  }

  #runStep(rng: Prng, program: RegionProgram, disturbance: Disturbance): 'done' | 'abandon' | string[] {
    let traps = 0;
    for (let stops = 0; stops < STOPS_MAX; stops++) {
      const expected = this.#interpreter.run(LIMIT);
      if (expected.stop === 'limit' || expected.stop === 'shutdown') return 'abandon';
      const lines = this.#compareStop(expected, disturbance);
      if (lines.length > 0) return lines;
      const action = this.#answer(rng, program, expected.stop, traps);
      if (expected.stop === DEBUG_VECTOR) traps++;
      if (action === undefined || this.#log.length % 8 === 0) {
        const differing = this.#interpreter.memoryDifferences(this.#translator);
        if (differing.length > 0) return differing;
      }
      if (action === undefined) return 'done';
      this.#log.push(`    ${describe(action)}`);
      for (const bench of this.#both) bench.resume(action);
    }
    return 'abandon';
  }

  #compareStop(expected: { readonly stop: Stop; readonly errorCode: number }, disturbance: Disturbance): string[] {
    let found: { readonly stop: Stop; readonly errorCode: number };
    try {
      found = this.#translator.run(4 * LIMIT, disturbance);
    } catch (error) {
      return [`the translator throws: ${error instanceof Error ? error.stack : String(error)}`];
    }
    const { rip } = this.#interpreter.readFrame();
    const { instructions } = this.#interpreter.vcpu;
    this.#log.push(`vector ${expected.stop} error ${expected.errorCode} at ${rip.toString(16)}, instruction ${instructions}`);
    if (found.stop !== expected.stop || found.errorCode !== expected.errorCode) {
      const where = typeof found.stop === 'number' ? ` at ${this.#translator.readFrame().rip.toString(16)}` : '';
      return [`stop ${expected.stop}/${expected.errorCode} interpreted, ${found.stop}/${found.errorCode}${where} translated`];
    }
    return this.#interpreter.differences(this.#translator);
  }

  /** What to do at a stop; undefined ends the step. */
  #answer(rng: Prng, program: RegionProgram, stop: Stop, traps: number): Action | undefined {
    if (stop === END_VECTOR) return undefined;
    if (stop === DEBUG_VECTOR) return { kind: 'frame', change: (frame) => void (frame.flags &= traps > 10 ? ~TF : ~0) };
    if (stop === PAGE_FAULT) {
      const cr2 = this.#interpreter.vcpu.get64('cr2');
      return this.#interpreter.isDamaged(cr2) ? { kind: 'repair', linear: Number(cr2) & ~(PAGE_BYTES - 1) } : undefined;
    }
    return stop === EVENT_VECTOR ? randomAction(rng, program) : undefined;
  }
}

/** The same code with other constants in its slots. */
function twinOf(rng: Prng, { code, slots }: RegionProgram): Uint8Array {
  const twin = code.slice();
  for (const slot of slots) twin[slot + 1] = rng.below(256);
  return twin;
}

function randomAction(rng: Prng, { slots }: RegionProgram): Action {
  switch (rng.below(8)) {
    case 0:
    case 1: {
      if (slots.length === 0) return { kind: 'none' };
      const physical = LAYOUT.CODE + rng.pick(slots);
      const bytes = rng.chance(50) ? [slotOpcode(rng)] : [slotOpcode(rng), ...Array.from({ length: 4 }, () => rng.below(256))];
      return { kind: 'dma', physical, bytes: bytes.slice(0, PAGE_BYTES - (physical & (PAGE_BYTES - 1))) };
    }
    case 2:
    case 3:
      return { kind: 'pte', linear: rng.pick(PAGES), flip: rng.pick(PTE_FLIPS), byCr3: rng.chance(40) };
    case 4:
      return { kind: 'tree' };
    case 5:
      return { kind: 'frame', change: togglePrivilege };
    case 6: {
      const flag = rng.pick([TF, 0x400, 0x400, 0x40000, 0x8d5 & rng.u32()]);
      return { kind: 'frame', change: (frame) => void (frame.flags ^= flag) };
    }
    default:
      return { kind: 'none' };
  }
}

function togglePrivilege(frame: Frame): void {
  const pairs = [[0x08, 0x33], [0x18, 0x23]].flatMap(([a, b]) => [[a!, b!], [b!, a!]] as const);
  frame.cs = new Map(pairs).get(frame.cs) ?? frame.cs;
  frame.ss = (frame.cs & 3) === 0 ? 0x10 : 0x2b;
}

function describe(action: Action): string {
  switch (action.kind) {
    case 'dma':
      return `a device writes ${action.bytes.map((byte) => byte.toString(16)).join(' ')} at ${action.physical.toString(16)}`;
    case 'pte':
      return `the entry of ${action.linear.toString(16)} changes by ${action.flip.toString(16)}, ${action.byCr3 ? 'CR3' : 'INVLPG'}`;
    case 'repair':
      return `the entry of page ${action.linear.toString(16)} is repaired`;
    case 'tree':
      return 'the other page tables';
    case 'frame':
      return 'the frame changes';
    case 'none':
      return 'nothing';
  }
}
