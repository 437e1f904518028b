// Chooses the blocks of a region: from a block that is executed often, along its jumps, calls and fall-throughs, to others that
// have been executed, until enough instructions are together. Reads decoded blocks out of the shared memory; emits nothing.
import { BLOCK_HASH, BLOCK_HASH_COUNT, REGION_PAGES_MAX } from '../../memory/memory-map.ts';
import { CONTINUE, JUMP, REGION, STALE } from '../ir/ops-control.ts';
import { CALL, CALL_INDIRECT, RETURN } from '../ir/ops-memory.ts';
import { BLOCK, PC_STACK, RECORD } from '../ir/record.ts';
import { cpuOffset, MODE } from '../x86/state.ts';
import { isInterpreted } from './helper-effects.ts';
import { returnsOf } from './return-sites.ts';

/** What a region may hold. */
export interface RegionLimits {
  readonly instructions: number;
  readonly blocks: number;
  /** Instructions that are copies of what another region has already: callees that are worth having in place. */
  readonly copiedInstructions: number;
}

/**
 * TurboFan's time grows faster than linearly with the size of a function, and until it is done the code is slow: with 1,000 instructions
 * a boot takes as long, but processes that come and go take half as long again.
 */
export const REGION_LIMITS: RegionLimits = { instructions: 600, blocks: 400, copiedInstructions: 100 };
const NO_PAGE = 0xffffffff;

/** A record of a block, as the emitter reads it. */
export interface RegionBlock {
  /** Address of its first record. */
  readonly address: number;
  readonly records: number;
  /** From the region's base to its first instruction, in bytes of linear address. */
  readonly delta: number;
  readonly instructions: number;
  /** Targets of its jump records, by record number; undefined where the target is outside. */
  readonly targets: ReadonlyMap<number, number>;
  /** Of its records; fewer than `records` when it has to be left to the interpreter at the next one. */
  readonly operations: readonly number[];
  /** Numbers of the blocks that the return at its end leads to most likely. */
  readonly returnsTo: readonly number[];
}

export interface RegionPage {
  /** From the page of the base. */
  readonly delta: number;
  readonly physical: number;
}

export interface RegionCode {
  readonly key: number;
  /** RIP of the base as the region was formed, for logs. */
  readonly rip: bigint;
  /** Offset of the base in its page. */
  readonly baseOffset: number;
  readonly blocks: readonly RegionBlock[];
  /** Numbers of blocks that are entered from outside: the first, loop heads, return sites. */
  readonly entries: readonly number[];
  readonly pages: readonly RegionPage[];
  readonly instructions: number;
  /** Addresses of first records of instructions that begin no group of accesses. */
  readonly ungrouped: ReadonlySet<number>;
}

interface Candidate {
  readonly address: number;
  readonly delta: number;
}

/** Operations that push a return address and go elsewhere. */
export const CALLS: ReadonlySet<number> = new Set([...CALL, ...CALL_INDIRECT].filter((number) => number >= 0));
export const RETURNS: ReadonlySet<number> = new Set(RETURN.filter((number) => number >= 0));

/** Views of the shared memory, and where the vCPU's area begins. */
export interface CodeMemory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly area: number;
}

export class RegionFinder {
  readonly #memory: CodeMemory;
  readonly minimumCount: number;
  readonly #limits: RegionLimits;
  /** Of the support module: the guest-physical page that a linear one is fetched from, odd when there is none. */
  readonly #mappedPage: (linear: bigint) => bigint;
  #pages = new Map<number, number>();
  #base = 0n;
  /** Its low 32 bits. */
  #baseLow = 0;
  #key = 0;
  #seedOffset = 0;

  /** Blocks executed less often than `minimumCount` stay outside. */
  constructor(memory: CodeMemory, minimumCount: number, limits: RegionLimits, mappedPage: (linear: bigint) => bigint) {
    this.#memory = memory;
    this.#limits = limits;
    this.#mappedPage = mappedPage;
    this.minimumCount = minimumCount;
  }

  #header(block: number, field: number): number {
    return this.#memory.u32[(block - BLOCK.BYTES + field) >> 2]!;
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

  /** The region around `seed`, which was executed at `rip`. */
  find(seed: number, rip: bigint): RegionCode {
    this.#base = rip;
    this.#baseLow = Number(rip & 0xffff_ffffn);
    this.#key = this.#header(seed, BLOCK.KEY);
    const physical = this.#header(seed, BLOCK.PHYSICAL);
    this.#seedOffset = physical & 0xfff;
    this.#pages = new Map([[0, (physical & ~0xfff) >>> 0]]);
    return this.#collect(seed);
  }

  #collect(seed: number): RegionCode {
    const blocks: RegionBlock[] = [];
    const numberOf = new Map<number, number>();
    const queue: Candidate[] = [{ address: seed, delta: 0 }];
    const returnDeltas = new Set<number>();
    let instructions = 0;
    let copied = 0;
    for (let next = queue.shift(); next !== undefined && blocks.length < this.#limits.blocks; next = queue.shift()) {
      if (numberOf.has(next.delta) || !this.#takePages(next)) continue;
      const block = this.#read(next);
      if (instructions + block.instructions > this.#limits.instructions || (block.operations.length === 0 && blocks.length > 0)) continue;
      if (blocks.length > 0 && this.isMember(next.address)) {
        copied += block.instructions;
        if (copied > this.#limits.copiedInstructions) continue;
      }
      numberOf.set(next.delta, blocks.length);
      blocks.push(block);
      instructions += block.instructions;
      this.#enqueue(block, queue, returnDeltas);
    }
    const known = this.#withReturns(blocks.map((block) => ({ ...block, targets: inside(block.targets, numberOf) })), numberOf);
    const returnSites = [...returnDeltas].flatMap((delta) => numberOf.get(delta) ?? []);
    const entries = [...new Set([0, ...returnSites, ...loopHeads(known)])];
    const pages = [...this.#pages].map(([delta, physical]) => ({ delta, physical }));
    const place = { key: this.#key, rip: this.#base, baseOffset: this.#seedOffset, pages };
    return { ...place, blocks: known, entries, instructions, ungrouped: new Set() };
  }

  /** The queue is in the order of counts, highest first. */
  #enqueue(block: RegionBlock, queue: Candidate[], returnDeltas: Set<number>): void {
    const deltas = [...block.targets.values()];
    const site = this.#returnSite(block);
    if (site !== undefined) {
      returnDeltas.add(site);
      deltas.push(site);
    }
    for (const delta of deltas) {
      const address = this.#blockAt(delta);
      const count = address === 0 ? 0 : this.#header(address, BLOCK.COUNT);
      if (count < this.minimumCount) continue;
      let at = queue.length;
      while (at > 0 && this.#header(queue[at - 1]!.address, BLOCK.COUNT) < count) at--;
      queue.splice(at, 0, { address, delta });
    }
  }

  #withReturns(blocks: readonly RegionBlock[], numberOf: ReadonlyMap<number, number>): RegionBlock[] {
    const returnsTo = returnsOf(blocks.map((block) => ({
      targets: [...block.targets.values()],
      returnSite: numberOf.get(this.#returnSite(block) ?? NaN),
      returns: this.#recordOf(block, RETURNS) >= 0,
    })));
    return blocks.map((block, number) => ({ ...block, returnsTo: returnsTo[number]! }));
  }

  /** Where a call at the end of the block comes back to. */
  #returnSite(block: RegionBlock): number | undefined {
    const n = this.#recordOf(block, CALLS);
    return n < 0 ? undefined : block.delta + this.#memory.i32[(block.address + n * RECORD.BYTES + RECORD.IMM) >> 2]!;
  }

  /** Number of the last record with one of these operations; -1 without any. */
  #recordOf({ operations }: RegionBlock, wanted: ReadonlySet<number>): number {
    let n = operations.length - 1;
    while (n >= 0 && !wanted.has(operations[n]!)) n--;
    return n;
  }

  #operation(block: number, n: number): number {
    const number = this.#memory.u16[(block + n * RECORD.BYTES) >> 1]!;
    return number === REGION && n === 0 ? this.#memory.u16[(block - BLOCK.BYTES + BLOCK.FIRST_OP) >> 1]! : number;
  }

  #read({ address, delta }: Candidate): RegionBlock {
    const records = this.#header(address, BLOCK.RECORDS);
    const targets = new Map<number, number>();
    const operations = this.#operationsOf(address, records);
    for (let n = 0; n < operations.length; n++) {
      if (operations[n] !== JUMP && operations[n] !== CONTINUE) continue;
      const target = this.#jumpTarget(address + n * RECORD.BYTES, delta);
      if (target !== undefined) targets.set(n, target);
    }
    const instructions = this.#memory.u16[(address - BLOCK.BYTES + BLOCK.INSTRUCTIONS) >> 1]!;
    return { address, records, delta, instructions, targets, operations, returnsTo: [] };
  }

  /** Those before the first instruction that only the interpreter executes. */
  #operationsOf(address: number, records: number): number[] {
    const operations: number[] = [];
    let first = 0;
    let pc = -1;
    for (let n = 0; n < records; n++) {
      const at = this.#memory.u16[(address + n * RECORD.BYTES + RECORD.PC) >> 1]! & (PC_STACK - 1);
      if (at !== pc) [first, pc] = [n, at];
      const operation = this.#operation(address, n);
      if (isInterpreted(operation)) return operations.slice(0, first);
      operations.push(operation);
    }
    return operations;
  }

  /** Distance of a jump's target from the base; undefined where the address wraps around. */
  #jumpTarget(record: number, delta: number): number | undefined {
    const target = delta + this.#memory.i32[(record + RECORD.IMM) >> 2]!;
    const shift = this.#memory.u16[(record + RECORD.A) >> 1]! & 63;
    const low = this.#baseLow + target;
    if (shift <= 32 && low >= 0 && low < 2 ** 32) return target;
    const mask = 0xffffffffffffffffn >> BigInt(shift);
    const linear = this.#base + BigInt(target);
    return linear >= 0n && linear <= mask ? target : undefined;
  }

  /** Address of the block `delta` from the base; 0 when none is decoded there. */
  #blockAt(delta: number): number {
    const offset = this.#seedOffset + delta;
    const page = this.#physicalPage(offset - (offset & 0xfff));
    if (page === NO_PAGE) return 0;
    const physical = (page | (offset & 0xfff)) >>> 0;
    const { u32, u16 } = this.#memory;
    const slot = (physical ^ (physical >>> 15) ^ (this.#key << 4)) & (BLOCK_HASH_COUNT - 1);
    for (let block = u32[(BLOCK_HASH >> 2) + slot]!; block !== 0; block = this.#header(block, BLOCK.HASH_NEXT)) {
      const matches = this.#header(block, BLOCK.PHYSICAL) === physical && this.#header(block, BLOCK.KEY) === this.#key;
      if (matches && u16[block >> 1] !== STALE) return block;
    }
    return 0;
  }

  /** Guest-physical page at a distance from the base's page, where code may be fetched from it. */
  #physicalPage(pageDelta: number): number {
    const known = this.#pages.get(pageDelta);
    if (known !== undefined) return known;
    const code64 = (this.#key & MODE.CODE_SIZE) === 2;
    const csBase = code64 ? 0n : this.#word64('csBase');
    const linear = ((this.#base + csBase) & ~0xfffn) + BigInt(pageDelta);
    const physical = Number(BigInt.asUintN(32, this.#mappedPage(BigInt.asUintN(code64 ? 64 : 32, linear))));
    return (physical & 1) !== 0 ? NO_PAGE : physical;
  }

  #word64(field: string): bigint {
    const at = (this.#memory.area + cpuOffset(field)) >> 2;
    return (BigInt(this.#memory.u32[at + 1]!) << 32n) | BigInt(this.#memory.u32[at]!);
  }

  /** Notes the pages of a block; false when they are not mapped as its code expects, or there would be too many. */
  #takePages({ address, delta }: Candidate): boolean {
    const offset = this.#seedOffset + delta;
    const first = offset - (offset & 0xfff);
    const wanted = new Map([[first, (this.#header(address, BLOCK.PHYSICAL) & ~0xfff) >>> 0]]);
    const second = this.#header(address, BLOCK.PHYSICAL2);
    if (second !== NO_PAGE) wanted.set(first + 0x1000, (second & ~0xfff) >>> 0);
    for (const [pageDelta, physical] of wanted) if (this.#physicalPage(pageDelta) !== physical) return false;
    const added = [...wanted].filter(([pageDelta]) => !this.#pages.has(pageDelta));
    if (this.#pages.size + added.length > REGION_PAGES_MAX) return false;
    for (const [pageDelta, physical] of added) this.#pages.set(pageDelta, physical);
    return true;
  }
}

/** Targets as block numbers; those outside are left out. */
function inside(targets: ReadonlyMap<number, number>, numberOf: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  const result = new Map<number, number>();
  for (const [record, delta] of targets) {
    const number = numberOf.get(delta);
    if (number !== undefined) result.set(record, number);
  }
  return result;
}

/** Targets of edges that go back in depth-first order. */
function loopHeads(blocks: readonly RegionBlock[]): number[] {
  const state = new Uint8Array(blocks.length); // 1: on the path, 2: done
  const heads = new Set<number>();
  for (let root = 0; root < blocks.length; root++) {
    if (state[root] !== 0) continue;
    const stack = [{ node: root, targets: [...blocks[root]!.targets.values()] }];
    state[root] = 1;
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const target = top.targets.pop();
      if (target === undefined) {
        state[top.node] = 2;
        stack.pop();
      } else if (state[target] === 1) heads.add(target);
      else if (state[target] === 0) {
        state[target] = 1;
        stack.push({ node: target, targets: [...blocks[target]!.targets.values()] });
      }
    }
  }
  return [...heads];
}
