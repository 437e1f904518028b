// How regions are left, counted by cause and by what the interpreter is left with: only regions that are emitted with counting call
// here, so that nothing is paid for it otherwise (`-accel tcg,report=FILE`).
import { OPS } from '../ir/op.ts';
import { REGION } from '../ir/ops-control.ts';
import { BLOCK, RECORD } from '../ir/record.ts';
import { isInterpreted } from './helper-effects.ts';
import type { CodeMemory } from './region-blocks.ts';

/** Why a region is left, in the order of the numbers that emitted code passes. */
export const EXIT_CAUSES = {
  tlbMiss: 'access not in the TLB',
  interpreted: "instruction of the interpreter's",
  jump: 'jump out of the region, same page',
  jumpOtherPage: 'jump out of the region, other page',
  indirect: 'return or indirect jump out of the region',
  budget: 'slice used up, or asked to stop',
  fault: 'fault in a helper',
  mode: 'mode changed',
  code: 'code of the region changed',
} as const;
export type ExitCause = keyof typeof EXIT_CAUSES;

const NAMES = Object.keys(EXIT_CAUSES) as ExitCause[];
export const exitNumber = (cause: ExitCause): number => NAMES.indexOf(cause);

const isAccess = (operation: number): boolean => OPS[operation]!.traits.access !== undefined;

export class ExitCounts {
  readonly #memory: CodeMemory;
  readonly #byCause = new Float64Array(NAMES.length);
  readonly #interpreted = new Float64Array(OPS.length);
  readonly #accesses = new Float64Array(OPS.length);
  /** By cause and the low half of the RIP that the region was left at. */
  readonly #bySite = new Map<number, number>();
  /** Executed inside regions. */
  instructions = 0;

  constructor(memory: CodeMemory) {
    this.#memory = memory;
  }

  /** Emitted code calls this as it leaves, from the instruction at `rip`, for `record`. */
  readonly count = (cause: number, record: number, instructions: number, rip: number): void => {
    this.#byCause[cause]!++;
    const site = cause * 2 ** 32 + (rip >>> 0);
    this.#bySite.set(site, (this.#bySite.get(site) ?? 0) + 1);
    this.instructions += instructions;
    if (cause === exitNumber('interpreted')) this.#interpreted[this.#operationWhere(record >>> 0, isInterpreted)]!++;
    else if (cause === exitNumber('tlbMiss')) this.#accesses[this.#operationWhere(record >>> 0, isAccess)]!++;
  };

  /** The first operation of the kind in the instruction that begins at `first`. */
  #operationWhere(first: number, isKind: (operation: number) => boolean): number {
    const { u16 } = this.#memory;
    const pc = u16[(first + RECORD.PC) >> 1]!;
    for (let record = first; u16[(record + RECORD.PC) >> 1] === pc; record += RECORD.BYTES) {
      const operation = this.#operation(record);
      if (isKind(operation)) return operation;
    }
    return this.#operation(first);
  }

  #operation(record: number): number {
    const { u16 } = this.#memory;
    const number = u16[record >> 1]!;
    return number === REGION ? u16[(record - BLOCK.BYTES + BLOCK.FIRST_OP) >> 1]! : number;
  }

  ofCause(cause: ExitCause): number {
    return this.#byCause[exitNumber(cause)]!;
  }

  /** Where regions are left most. */
  sites(shown: number): readonly (readonly [site: string, count: number])[] {
    const most = [...this.#bySite].sort((a, b) => b[1] - a[1]).slice(0, shown);
    const text = (site: number): string => {
      const cause = NAMES[Math.floor(site / 2 ** 32)]!;
      return `…${(site % 2 ** 32).toString(16).padStart(8, '0')} ${EXIT_CAUSES[cause]}`;
    };
    return most.map(([site, count]) => [text(site), count]);
  }

  /** Operations that regions left to the interpreter, the most frequent first. */
  interpreted(): readonly (readonly [name: string, count: number])[] {
    return frequent(this.#interpreted);
  }

  /** Operations of the instructions whose access missed. */
  missed(): readonly (readonly [name: string, count: number])[] {
    return frequent(this.#accesses);
  }
}

function frequent(counts: Float64Array): (readonly [string, number])[] {
  const named = [...counts].map((count, number) => [OPS[number]!.name, count] as const);
  return named.filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
}
