// The regions of one vCPU: made when the executor reports a block that is executed often, entered through a table of functions,
// dropped when their code changes or when they have become too many. What goes into a region and how it is
// emitted is assembly/translator/; region-blocks.ts and emit-region.ts call that.
import {
  EXIT_COUNT_SHIFT, EXIT_INDIRECT, EXIT_JUMP, JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_BYTES, JUMP_CACHE_OFFSET, REGION_EXIT, REGION_EXIT_COUNT,
  REGION_EXIT_OFTEN, REGION_EXITS, REGION_RECORD, REGION_SLOTS, REGION_TABLE,
} from '../../memory/memory-map.ts';
import { REGION, STALE } from '../ir/ops-control.ts';
import { BLOCK, RECORD } from '../ir/record.ts';
import { MODE } from '../x86/state.ts';
import { ACTIVITY, beginActivity, endActivity } from '../../trace/activity.ts';
import { emitRegions, type EmittedRegion, type EmittedRegions, type Emitter, type MemoryPages } from './emit-region.ts';
import { ExitCounts } from './exit-counts.ts';
import { REGION_LIMITS, RegionFinder, type CodeMemory, type FinderFunctions, type RegionCode, type RegionLimits } from './region-blocks.ts';

export interface RegionOptions {
  /** Executions after which a block is translated; 0 leaves everything to the interpreter. */
  readonly promoteAt: number;
  /** All regions are dropped when their modules exceed this. */
  readonly moduleBytesMax: number;
  /** Regions count how they are left, which makes them slower. */
  readonly counting: boolean;
  readonly limits: RegionLimits;
  /** Regions can be left for the profiler's samples. */
  readonly sampling: boolean;
}

export const DEFAULT_REGION_OPTIONS: RegionOptions = {
  promoteAt: 2800, moduleBytesMax: 64 << 20, counting: false, limits: REGION_LIMITS, sampling: false,
};

interface Region {
  readonly slot: number;
  readonly code: RegionCode;
  /** Addresses of all blocks that it was made of, and of its entries. */
  readonly members: readonly number[];
  readonly entries: readonly number[];
  /** Blocks in its middle that were executed `promoteAt` times from outside, and how often that was. */
  readonly asked: Map<number, number>;
  /** Address and number of its exits in REGION_EXITS. */
  readonly firstExit: number;
  readonly exits: number;
}

/** A module is made when so many blocks wait, or after so many slices. */
const BATCH_SEEDS = 64;
const WAIT_SLICES = 4;
/** Making a region again costs much more than running a few instructions in the interpreter: once for so many instructions. */
const ASKED_INSTRUCTIONS = 25;
/** When a region is made again without a group, those go too that it was left at so often. */
const OFTEN_TOO = REGION_EXIT_OFTEN / 16;
/** Below this threshold nothing waits: tests want every block translated. */
const EAGER = 10;

/** The number of an entry has the low bits of the address of a region's record. */
const ENTRIES_MAX = REGION_RECORD.BYTES - 1;
/** No modeKey: the mapping has to be checked. */
const NO_KEY = 0xffffffff;
/** A module of regions has fewer exits than this. */
const EXITS_FREE_MIN = 64 * 1024;

const recordOf = (slot: number): number => REGION_TABLE + slot * REGION_RECORD.BYTES;

interface Seed {
  readonly block: number;
  readonly rip: bigint;
  /** CR3 as it asked. */
  readonly space: bigint;
}

export class RegionStatistics {
  modules = 0;
  regions = 0;
  dropped = 0;
  remade = 0;
  flushes = 0;
  instructions = 0;
  moduleBytes = 0;
  formMs = 0;
  emitMs = 0;
  compileMs = 0;
}

export class Regions {
  readonly table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024, maximum: REGION_SLOTS });
  readonly statistics = new RegionStatistics();
  readonly exits: ExitCounts;
  #options!: RegionOptions;
  readonly memory: CodeMemory;
  readonly #imports: Readonly<Record<string, Record<string, unknown>>>;
  readonly #support: Readonly<Record<string, unknown>>;
  readonly #emitter: Emitter;
  readonly #pages: MemoryPages;
  /** Called with each module and what its functions were made of, for `-d out_asm`. */
  onModule: ((codes: readonly RegionCode[], emitted: EmittedRegions) => void) | null = null;
  /** Host time for the statistics. */
  nowMs: () => number = () => 0;
  readonly #byBlock = new Map<number, Set<Region>>();
  #slots = 0;
  #nextExit = 1;
  #seeds: Seed[] = [];
  /** By slot. */
  #installed: Region[] = [];
  /** Left often at accesses to a group. */
  readonly #leftOften = new Set<Region>();
  #waitingSlices = 0;
  #finder!: RegionFinder;
  #moduleBytes = 0;

  constructor(
    memory: WebAssembly.Memory,
    area: number,
    support: Readonly<Record<string, unknown>>,
    options: RegionOptions,
  ) {
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    const bytes = { u8: new Uint8Array(buffer), u16: new Uint16Array(buffer) };
    this.memory = { ...bytes, u32: new Uint32Array(buffer), i32: new Int32Array(buffer), area };
    this.exits = new ExitCounts(this.memory);
    this.#support = { ...support, regionLeft: this.exits.count };
    this.#emitter = support as unknown as Emitter;
    this.#imports = { env: { memory } };
    const pages = buffer.byteLength / 65536;
    this.#pages = { initial: pages, maximum: 65536 };
    this.options = options;
  }

  get options(): RegionOptions {
    return this.#options;
  }
  /** What is translated already stays as it is. */
  set options(options: RegionOptions) {
    this.#options = options;
    const functions = this.#support as unknown as FinderFunctions;
    this.#finder = new RegionFinder(this.memory, Math.max(1, options.promoteAt >> 2), options.limits, functions);
  }

  get #isEager(): boolean {
    return this.#options.promoteAt < EAGER;
  }

  get moduleBytesInUse(): number {
    return this.#moduleBytes;
  }

  /** The executor has run `block` often; RIP points to it. What is around it is translated soon. */
  promote(block: number): void {
    const key = this.#word(block, BLOCK.KEY);
    if ((key & MODE.STEP) !== 0 || this.#u16(block, 0) === REGION) return;
    this.#seeds.push({ block, rip: this.#finder.rip, space: this.#finder.space });
    if (this.#seeds.length >= BATCH_SEEDS || this.#isEager) this.#translate();
  }

  /** Called at the end of a slice: what waits for company in its module does not wait long. */
  sliceEnded(): void {
    const isWaiting = this.#seeds.length > 0 || this.#leftOften.size > 0;
    if (isWaiting && ++this.#waitingSlices >= WAIT_SLICES) this.#translate();
  }

  /**
   * Whether a block's code can be looked for at its addresses: in another address space than its own other pages may be mapped, and a
   * region of those is refused wherever it is entered. What the system executes is mapped in all of them.
   */
  #isHere({ block, space }: Seed): boolean {
    return space === this.#finder.space || (this.#word(block, BLOCK.KEY) & MODE.USER) === 0;
  }

  /** Those waiting blocks that can be translated now, the most often executed first; the others may ask again. */
  #takeSeeds(): Seed[] {
    const seeds: Seed[] = [];
    for (const seed of this.#seeds) {
      if (this.#isHere(seed)) seeds.push(seed);
      else this.#setWord(seed.block, BLOCK.COUNT, this.#finder.minimumCount);
    }
    this.#seeds = [];
    this.#waitingSlices = 0;
    return seeds.sort((a, b) => this.#word(b.block, BLOCK.COUNT) - this.#word(a.block, BLOCK.COUNT));
  }

  /** The regions around the waiting blocks. */
  #chooseCode(): RegionCode[] {
    const seeds = this.#takeSeeds();
    const codes: RegionCode[] = [];
    const entered = new Set<number>();
    const reentered = new Map<Region, number[]>();
    for (const { block, rip } of seeds) {
      const first = this.#u16(block, 0);
      if (first === STALE || first === REGION || entered.has(block)) continue;
      const [inside] = this.#byBlock.get(block) ?? [];
      if (inside !== undefined) {
        if (this.#askedOften(inside, block)) reentered.set(inside, entriesAsked(inside));
        continue;
      }
      if (this.#finder.isMember(block)) {
        this.#setWord(block, BLOCK.COUNT, this.#finder.minimumCount); // of a region that is being made; perhaps it needs an entry there
        continue;
      }
      const code = this.#finder.find(block, rip);
      if (code === undefined) continue;
      for (const entry of code.entries) entered.add(code.blocks.address(entry));
      codes.push(code);
    }
    for (const [region, blocks] of reentered) codes.push(this.#withEntries(region, blocks));
    for (const region of this.#leftOften) if (this.#isAlive(region)) codes.push(this.#withoutGroups(region));
    this.#leftOften.clear();
    return codes;
  }

  /** Whether it would pay to make a region again with an entry at `block`, which is the more the larger the region is. */
  #askedOften({ asked, code }: Region, block: number): boolean {
    const before = asked.get(block) ?? (this.#isEager ? 0 : -1); // at first it may only have been nearly hot when the region was made
    asked.set(block, before + 1);
    const times = [...asked.values()].reduce((sum, n) => sum + n, 0);
    if (this.#isEager || times > code.instructions / ASKED_INSTRUCTIONS) return true;
    this.#setWord(block, BLOCK.COUNT, this.#finder.minimumCount);
    return false;
  }

  /** A region that is often reached in its middle is made again, with entries there. */
  #withEntries(region: Region, numbers: readonly number[]): RegionCode {
    const entries = this.#takeApart(region);
    return { ...region.code, entries: [...new Set([...entries, ...numbers])] };
  }

  /** A group of accesses that is often not in the TLB as a whole lies across the end of a page: its accesses look one by one. */
  #withoutGroups(region: Region): RegionCode {
    const { code } = region;
    const ungrouped = new Set([...code.ungrouped, ...this.#recordsLeftOften(region)]);
    return { ...code, entries: this.#takeApart(region), ungrouped };
  }

  /** Records of a region that it was often left at because a group was not in the TLB as a whole. */
  #recordsLeftOften({ firstExit, exits }: Region): number[] {
    const { u32 } = this.memory;
    const records: number[] = [];
    for (let at = firstExit; at < firstExit + exits * REGION_EXIT.BYTES; at += REGION_EXIT.BYTES) {
      const word = u32[(at + REGION_EXIT.RECORD) >> 2]!;
      const isRecord = (word & (EXIT_JUMP | EXIT_INDIRECT)) === 0;
      if (isRecord && u32[(at + REGION_EXIT.LEFT) >> 2]! > OFTEN_TOO) records.push(word % 2 ** EXIT_COUNT_SHIFT);
    }
    return records;
  }

  /** Drops a region that is made again at once; returns the numbers of its entries' blocks. */
  #takeApart(region: Region): number[] {
    this.#drop(region);
    this.statistics.remade++;
    for (const member of region.members) this.#setU16(member, BLOCK.MEMBER - BLOCK.BYTES, 1);
    return region.entries.map((entry) => region.members.indexOf(entry));
  }

  /** A region was left at the same group of accesses REGION_EXIT_OFTEN times. */
  leftOften(record: number): void {
    this.#leftOften.add(this.#installed[(record - REGION_TABLE) / REGION_RECORD.BYTES]!);
  }

  #isAlive({ slot }: Region): boolean {
    return this.memory.u32[(recordOf(slot) + REGION_RECORD.VALID) >> 2] !== 0;
  }

  /** A module costs about as much as a hundred instructions in it, so several regions share one. */
  #translate(): void {
    const slotsWanted = this.#slots + this.#seeds.length + this.#leftOften.size;
    const isFull = slotsWanted > REGION_SLOTS || this.#nextExit > REGION_EXIT_COUNT - EXITS_FREE_MIN;
    if (isFull || this.#moduleBytes > this.options.moduleBytesMax) this.flush();
    const begun = this.nowMs();
    const codes = this.#chooseCode();
    const started = this.nowMs();
    this.statistics.formMs += started - begun;
    if (codes.length === 0) return;
    const { counting, sampling } = this.options;
    const options = { pages: this.#pages, counting, sampling, marking: this.onModule !== null, eager: this.#isEager };
    const module = emitRegions(this.#emitter, codes, this.#slots, this.#nextExit, this.memory, options);
    const { bytes, imports, regions } = module;
    this.onModule?.(codes, module);
    const emitted = this.nowMs();
    const support = Object.fromEntries(imports.map((name) => [name, this.#support[name]]));
    const doing = beginActivity(ACTIVITY.COMPILING);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { ...this.#imports, support });
    endActivity(doing);
    regions.forEach((region, place) => this.#install(codes[region.number]!, region, exports[`region${place}`]));
    const { statistics } = this;
    statistics.modules++;
    statistics.regions += regions.length;
    statistics.instructions += regions.reduce((sum, { number }) => sum + codes[number]!.instructions, 0);
    statistics.moduleBytes += bytes.length;
    statistics.emitMs += emitted - started;
    statistics.compileMs += this.nowMs() - emitted;
    this.#moduleBytes += bytes.length;
  }

  #install(code: RegionCode, emitted: EmittedRegion, run: unknown): void {
    const slot = this.#slots++;
    if (slot >= this.table.length) this.table.grow(Math.min(1024, REGION_SLOTS - this.table.length));
    this.table.set(slot, run);
    const record = recordOf(slot);
    this.#nextExit += emitted.exits;
    this.#writeRecord(record, code);
    const { blocks } = code;
    const members = Array.from({ length: blocks.length }, (_, block) => blocks.address(block));
    const region: Region = {
      slot, code, members, entries: emitted.entries.map((block) => members[block]!), asked: new Map(),
      firstExit: REGION_EXITS + emitted.firstExit * REGION_EXIT.BYTES, exits: emitted.exits,
    };
    this.#installed[slot] = region;
    for (const member of region.members) {
      const regions = this.#byBlock.get(member) ?? new Set();
      this.#byBlock.set(member, regions.add(region));
    }
    emitted.entries.forEach((block, number) => {
      const address = members[block]!;
      if (number > ENTRIES_MAX || this.#u16(address, 0) === REGION) return; // or another region's entry, which serves as well
      this.#setU16(address, BLOCK.FIRST_OP - BLOCK.BYTES, this.#u16(address, 0));
      this.#setWord(address, BLOCK.REGION, record | number);
      this.#setWord(address, BLOCK.DELTA, blocks.delta(block) >>> 0);
      this.#setU16(address, 0, REGION);
    });
  }

  #writeRecord(record: number, { pages }: RegionCode): void {
    const { u32 } = this.memory;
    const at = record >> 2;
    u32.fill(0, at, at + REGION_RECORD.BYTES / 4);
    u32[at + REGION_RECORD.VALID / 4] = 1;
    u32[at + REGION_RECORD.KEY / 4] = NO_KEY;
    u32[at + REGION_RECORD.PAGES / 4] = pages.length;
    pages.forEach(({ delta, physical }, number) => {
      u32[at + REGION_RECORD.PAGE / 4 + number * 2] = delta >>> 0;
      u32[at + REGION_RECORD.PAGE / 4 + number * 2 + 1] = physical;
    });
  }

  /** A block's code was overwritten: no region that contains it may be entered again. */
  memberDropped(block: number): void {
    for (const region of [...(this.#byBlock.get(block) ?? [])]) this.#drop(region);
  }

  #drop(region: Region): void {
    const { u32 } = this.memory;
    const record = recordOf(region.slot);
    if (u32[(record + REGION_RECORD.VALID) >> 2] === 0) return;
    u32[(record + REGION_RECORD.VALID) >> 2] = 0;
    u32[(record + REGION_RECORD.KEY) >> 2] = NO_KEY;
    this.statistics.dropped++;
    this.table.set(region.slot, null);
    for (const entry of region.entries) {
      if ((this.#word(entry, BLOCK.REGION) & ~ENTRIES_MAX) !== record) continue; // another region has the entry
      if (this.#u16(entry, 0) === REGION) this.#setU16(entry, 0, this.#u16(entry, BLOCK.FIRST_OP - BLOCK.BYTES));
      this.#setWord(entry, BLOCK.REGION, 0);
    }
    for (const member of region.members) {
      const others = this.#byBlock.get(member);
      others?.delete(region);
      if (others !== undefined && others.size > 0) continue;
      this.#byBlock.delete(member);
      this.#setU16(member, BLOCK.MEMBER - BLOCK.BYTES, 0);
      this.#setWord(member, BLOCK.COUNT, 0); // what is left of it may be executed often again
    }
  }

  /** Every region is dropped; the blocks stay. */
  flush(): void {
    for (const region of new Set([...this.#byBlock.values()].flatMap((regions) => [...regions]))) this.#drop(region);
    this.forget();
    const jumpCache = (this.memory.area + JUMP_CACHE_OFFSET) >> 2; // has the addresses of records
    this.memory.u32.fill(0, jumpCache, jumpCache + (JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_BYTES) / 4);
    this.statistics.flushes++;
  }

  /** The arena with the blocks has been emptied. */
  forget(): void {
    this.#seeds = [];
    this.#byBlock.clear();
    for (let slot = 0; slot < this.#slots; slot++) this.table.set(slot, null);
    this.#slots = 0;
    this.#installed = [];
    this.#leftOften.clear();
    this.#nextExit = 1;
    this.#moduleBytes = 0;
  }

  #word(block: number, field: number): number {
    return this.memory.u32[(block - BLOCK.BYTES + field) >> 2]!;
  }
  #setWord(block: number, field: number, value: number): void {
    this.memory.u32[(block - BLOCK.BYTES + field) >> 2] = value;
  }
  #u16(block: number, offset: number): number {
    return this.memory.u16[(block + offset) >> 1]!;
  }
  #setU16(block: number, offset: number, value: number): void {
    this.memory.u16[(block + offset) >> 1] = value;
  }
}

/** Numbers of the blocks that were asked for more often than those that lead to them: where these are entered, that is enough. */
function entriesAsked({ asked, members, code: { blocks } }: Region): number[] {
  const times = members.map((member) => asked.get(member) ?? 0);
  const timesBefore = new Float64Array(blocks.length);
  times.forEach((count, number) => {
    for (const target of blocks.leadsTo(number)) timesBefore[target]! += count;
  });
  const wanted = times.flatMap((count, number) => (count > 0 ? [number] : []));
  const first = wanted.filter((number) => times[number]! > timesBefore[number]!);
  return first.length > 0 ? first : wanted;
}
