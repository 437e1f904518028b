// What a region is made of: the blocks that assembly/translator/find.ts has chosen around one that is executed often, kept for when the
// region is made again. Emits nothing.
import {
  EMITTER_BLOCK, EMITTER_ENTRIES, EMITTER_LISTS, EMITTER_PAGES, EMITTER_TABLES, EMITTER_UNGROUPED, EMITTER_UNGROUPED_MAX,
} from '../../memory/memory-map.ts';
import { BLOCK } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';

/** What a region may hold. */
export interface RegionLimits {
  readonly instructions: number;
  /** At most EMITTER_BLOCKS_MAX. */
  readonly blocks: number;
  /** Instructions that are copies of what another region has already: callees that are worth having in place. */
  readonly copiedInstructions: number;
}

/**
 * TurboFan's time grows faster than linearly with the size of a function, and until it is done the code is slow: with 1,000 instructions
 * a boot takes as long, but processes that come and go take half as long again.
 */
export const REGION_LIMITS: RegionLimits = { instructions: 600, blocks: 400, copiedInstructions: 100 };

/** More sites that a return leads to are found by a search over all entries as fast. */
export const SITES_MAX = 3;

export interface RegionPage {
  /** From the page of the base. */
  readonly delta: number;
  readonly physical: number;
}

/** Views of the shared memory, and where the vCPU's area begins. */
export interface CodeMemory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly area: number;
}

const ROW_WORDS = EMITTER_BLOCK.BYTES / 4;

/** The blocks of a region and their lists, as they lay in EMITTER_TABLES. */
export class RegionBlocks {
  readonly #rows: Uint32Array;
  readonly #lists: Uint16Array;

  constructor({ u32, u16 }: CodeMemory, count: number, listsEnd: number) {
    this.#rows = u32.slice(EMITTER_TABLES / 4, EMITTER_TABLES / 4 + count * ROW_WORDS);
    this.#lists = u16.slice(EMITTER_LISTS / 2, listsEnd / 2);
  }

  get length(): number {
    return this.#rows.length / ROW_WORDS;
  }

  /** Puts them back into EMITTER_TABLES. */
  restore({ u32, u16 }: CodeMemory): void {
    u32.set(this.#rows, EMITTER_TABLES / 4);
    u16.set(this.#lists, EMITTER_LISTS / 2);
  }

  #word(block: number, field: number): number {
    return this.#rows[block * ROW_WORDS + field / 4]!;
  }

  /** Address of a block's first record. */
  address(block: number): number {
    return this.#word(block, EMITTER_BLOCK.ADDRESS);
  }

  /** From the region's base to the block's first instruction, in bytes of linear address. */
  delta(block: number): number {
    return this.#word(block, EMITTER_BLOCK.DELTA) | 0;
  }

  /** Numbers of the blocks that it leads to: its jumps, and where its return most likely leads. */
  leadsTo(block: number): ReadonlySet<number> {
    const at = (field: number): number => (this.#word(block, field) - EMITTER_LISTS) / 2;
    const jumps = this.#lists.subarray(at(EMITTER_BLOCK.TARGETS), at(EMITTER_BLOCK.TARGETS_END));
    const returns = this.#lists.subarray(at(EMITTER_BLOCK.RETURNS), at(EMITTER_BLOCK.RETURNS_END));
    return new Set([...jumps.filter((_, n) => n % 2 === 1), ...returns]);
  }
}

export interface RegionCode {
  readonly key: number;
  /** RIP of the base as the region was formed, for logs. */
  readonly rip: bigint;
  /** Offset of the base in its page. */
  readonly baseOffset: number;
  readonly blocks: RegionBlocks;
  /** Numbers of blocks that are entered from outside: the first, return sites, loop heads. */
  readonly entries: readonly number[];
  readonly pages: readonly RegionPage[];
  readonly instructions: number;
  /** Addresses of first records of instructions that begin no group of accesses. */
  readonly ungrouped: ReadonlySet<number>;
}

/** Writes all that the emitter is to know of a region to its tables; false when that does not fit. */
export function writeRegion(memory: CodeMemory, { blocks, entries, ungrouped }: RegionCode): boolean {
  if (ungrouped.size > EMITTER_UNGROUPED_MAX) return false;
  blocks.restore(memory);
  memory.u16.set(entries, EMITTER_ENTRIES / 2);
  memory.u32.set([...ungrouped], EMITTER_UNGROUPED / 4);
  return true;
}

/** Functions of assembly/translator/find.ts. */
export interface FinderFunctions {
  findRegion(seed: number, rip: bigint, minimumCount: number, instructions: number, blocks: number, copiedInstructions: number): number;
  foundInstructions(): number;
  foundPages(): number;
  foundEntries(): number;
  foundListsEnd(): number;
}

export class RegionFinder {
  readonly #memory: CodeMemory;
  readonly minimumCount: number;
  readonly #limits: RegionLimits;
  readonly #functions: FinderFunctions;

  /** Blocks executed less often than `minimumCount` stay outside. */
  constructor(memory: CodeMemory, minimumCount: number, limits: RegionLimits, functions: FinderFunctions) {
    this.#memory = memory;
    this.#limits = limits;
    this.#functions = functions;
    this.minimumCount = minimumCount;
  }

  /** RIP, which points to the first instruction of the running block. */
  get rip(): bigint {
    return this.#word64('rip');
  }

  /** CR3. */
  get space(): bigint {
    return this.#word64('cr3');
  }

  isMember(block: number): boolean {
    return this.#memory.u16[(block - BLOCK.BYTES + BLOCK.MEMBER) >> 1] !== 0;
  }

  /** The region around `seed`, which was executed at `rip`, its blocks marked as members; undefined when there can be none. */
  find(seed: number, rip: bigint): RegionCode | undefined {
    const { instructions, blocks, copiedInstructions } = this.#limits;
    const found = this.#functions;
    const count = found.findRegion(seed, rip, this.minimumCount, instructions, blocks, copiedInstructions);
    if (count === 0) return undefined;
    const header = (field: number): number => this.#memory.u32[(seed - BLOCK.BYTES + field) >> 2]!;
    const entries = EMITTER_ENTRIES / 2;
    return {
      key: header(BLOCK.KEY), rip, baseOffset: header(BLOCK.PHYSICAL) & 0xfff, pages: this.#pages(found.foundPages()),
      blocks: new RegionBlocks(this.#memory, count, found.foundListsEnd()), ungrouped: new Set(),
      entries: [...this.#memory.u16.subarray(entries, entries + found.foundEntries())], instructions: found.foundInstructions(),
    };
  }

  #pages(count: number): RegionPage[] {
    const { i32, u32 } = this.#memory;
    const first = EMITTER_PAGES / 4;
    return Array.from({ length: count }, (_, n) => ({ delta: i32[first + 2 * n]!, physical: u32[first + 2 * n + 1]! }));
  }

  #word64(field: string): bigint {
    const at = (this.#memory.area + cpuOffset(field)) >> 2;
    return (BigInt(this.#memory.u32[at + 1]!) << 32n) | BigInt(this.#memory.u32[at]!);
  }
}
