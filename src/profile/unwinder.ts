// The callers of a 64-bit Linux's code, by its own tables and its modules' (ORC: kernel documentation arch/x86/orc-unwinder). Where kernel
// code outside of the kernel has no tables, the next address on the stack that lies behind a call in the kernel is taken for the caller; it
// may be wrong. Not here: other code's callers by frame pointers (assembly/samples.ts).
import { partitionPoint } from '../base/partition-point.ts';
import { SAMPLE_FRAMES_MAX } from '../memory/memory-map.ts';
import type { GuestMemory } from './guest-memory.ts';
import { ORC_ENTRY_BYTES, type OrcPlace } from './module-structure.ts';
import type { SymbolTable } from './symbols.ts';

export const FRAMES_MAX = SAMPLE_FRAMES_MAX;
const GUESS_WORDS_MAX = 128;

/** Registers of a frame. */
export interface FrameState {
  ip: number;
  sp: number;
  bp: number;
}

const REG = { UNDEFINED: 0, PREVIOUS_SP: 1, BP: 4, SP: 5, BP_INDIRECT: 8, SP_INDIRECT: 9 } as const;
/** What a walk reads the stack from. */
export interface StackMemory {
  /** An aligned word of 8 bytes as an address; NaN where there is none. */
  word(linear: number): number;
}

const NO_STACK: StackMemory = { word: () => Number.NaN };

/** pt_regs: offsets of what is needed. */
const PT_REGS = { BP: 32, IP: 128, CS: 136, SP: 152 } as const;
const IRET = { IP: 0, CS: 8, SP: 24 } as const;

type SavedPlaces = Readonly<Record<keyof typeof PT_REGS, number>>;

interface OrcTables extends OrcPlace {
  /** The kernel's index by pieces of its code, which it makes as it starts: where it is, and how many words. */
  readonly lookup: number;
  readonly lookups: number;
  /** From 6.4 on the numbers of types begin with two more. */
  readonly firstType: number;
}

/**
 * Entries that were looked up, a place for each of many addresses: the address (f64), the distances of SP and BP (i16 each), and registers
 * with the type (KIND). In one buffer, because a sample finds little of it in the processor's caches.
 */
const KEPT = { PLACES: 8192, WORDS: 4, OFFSETS: 2, KIND: 3 } as const;
/** SP's register, BP's register, and the type: 0 a call, 1 whole registers, 2 those of an interrupt; others end. */
const KIND = { SP: 0, BP: 4, TYPE: 8, NONE: -1 } as const;

/** What is needed of the kernel. */
export const UNWINDER_SYMBOLS = [
  '__start_orc_unwind_ip', '__stop_orc_unwind_ip', '__start_orc_unwind', 'orc_lookup', 'orc_lookup_end', '_text', '_stext', '_etext',
];
/** What a word of the kernel's own index stands for: it names the entry that this much of its code begins with. */
const LOOKUP_BYTES = 256;
const ENTRIES_KEPT_MAX = 1 << 16;

/** Tables of code that the kernel has loaded. */
export interface LoadedTables {
  /** Changes when what has been said of an address may not be so any more. */
  readonly version: number;
  orcAt(address: number): OrcPlace | undefined;
}

export class Unwinder {
  readonly #memory: GuestMemory;
  #stack = NO_STACK;
  #orc: OrcTables | undefined;
  #textStart = Number.NaN;
  #textEnd = Number.NaN;
  #table: SymbolTable | undefined;
  readonly #kept = new Int32Array(KEPT.PLACES * KEPT.WORDS);
  readonly #keptAddresses = new Float64Array(this.#kept.buffer);
  readonly #behindCall = new Map<number, boolean>();
  readonly #frame: FrameState = { ip: 0, sp: 0, bp: 0 };
  readonly #loaded: LoadedTables | undefined;
  #loadedVersion = 0;

  constructor(memory: GuestMemory, loaded?: LoadedTables) {
    this.#memory = memory;
    this.#loaded = loaded;
  }

  /** The kernel's symbols; others than before when another kernel has been started. */
  use(table: SymbolTable): void {
    if (this.#table === table) return;
    this.#table = table;
    this.#forget();
    const found = table.find(UNWINDER_SYMBOLS);
    const [ipStart, ipStop, start, lookup, lookupEnd] = UNWINDER_SYMBOLS.map((name) => found.get(name) ?? Number.NaN);
    this.#textStart = found.get('_stext') ?? found.get('_text') ?? Number.NaN;
    this.#textEnd = found.get('_etext') ?? Number.NaN;
    const count = (ipStop! - ipStart!) / 4;
    const isTable = count > 0 && count < 1 << 22 && !Number.isNaN(start!);
    this.#orc = isTable ? this.#checked(ipStart!, count, start!, lookup!, lookupEnd!) : undefined;
  }

  #forget(): void {
    this.#keptAddresses.fill(Number.NaN);
    this.#behindCall.clear();
    this.#loadedVersion = this.#loaded?.version ?? 0;
  }

  /** Calls are by far the most frequent entries: their number tells which numbers types have. */
  #checked(ipStart: number, count: number, start: number, lookup: number, lookupEnd: number): OrcTables {
    let calls = 0;
    for (let n = 0; n < 64; n++) calls += ((this.#u16(start + Math.floor((n * count) / 64) * ORC_ENTRY_BYTES + 4) >> 8) & 7) === 2 ? 1 : 0;
    const pieces = (this.#textEnd - this.#textStart) / LOOKUP_BYTES + 1;
    const lookups = Math.min(Math.max(0, (lookupEnd - lookup) / 4), pieces);
    return { ipStart, count, start, lookup, lookups: Number.isNaN(lookups) ? 0 : lookups, firstType: calls > 32 ? 2 : 0 };
  }

  /** Whether stacks of the kernel are walked by its tables. */
  get hasTables(): boolean {
    return this.#orc !== undefined;
  }

  /** Addresses of the callers into `frames`, the nearest first; returns how many. */
  unwind(stack: StackMemory, { ip, sp, bp }: Readonly<FrameState>, frames: Float64Array): number {
    const orc = this.#orc;
    if (orc === undefined) return 0;
    if (this.#loaded !== undefined && this.#loaded.version !== this.#loadedVersion) this.#forget();
    this.#stack = stack;
    const frame = this.#frame;
    frame.ip = ip;
    frame.sp = sp;
    frame.bp = bp;
    let isExact = true; // the first address, and that of an interrupted place, is not behind a call
    for (let count = 0; count < FRAMES_MAX; ) {
      const entry = this.#entryOf(orc, isExact ? frame.ip : frame.ip - 1);
      const before = frame.sp;
      const kind = this.#kept[entry + KEPT.KIND]!;
      if (kind === KIND.NONE || !this.#step(this.#kept[entry + KEPT.OFFSETS]!, kind, frame)) {
        if (this.#isText(frame.ip) || !this.#guess(frame)) return count;
      }
      const type = kind >> KIND.TYPE;
      isExact = kind !== KIND.NONE && type !== 0;
      if (!(frame.sp > before) && type !== 1 && type !== 2) return count;
      if (!(frame.ip < 0)) return count; // the program that was interrupted, or nothing
      frames[count++] = frame.ip;
    }
    return FRAMES_MAX;
  }

  #isText(address: number): boolean {
    return address >= this.#textStart && address < this.#textEnd;
  }

  /** The caller's registers; false where the entry does not say. */
  #step(offsets: number, kind: number, frame: FrameState): boolean {
    const type = kind >> KIND.TYPE;
    const bpReg = (kind >> KIND.BP) & 15;
    const bpOffset = offsets >> 16;
    const base = this.#base(kind & 15, (offsets << 16) >> 16, frame);
    if (Number.isNaN(base)) return false;
    if (type === 1) return this.#interrupted(base, PT_REGS, frame);
    if (type === 2) return this.#interrupted(base, { ...IRET, BP: Number.NaN }, frame);
    if (type !== 0) return false;
    const ip = this.#stack.word(base - 8);
    if (bpReg === REG.PREVIOUS_SP) frame.bp = this.#stack.word(base + bpOffset);
    else if (bpReg === REG.BP) frame.bp = this.#stack.word(frame.bp + bpOffset);
    frame.ip = ip;
    frame.sp = base;
    return !Number.isNaN(ip);
  }

  #base(register: number, offset: number, { sp, bp }: FrameState): number {
    if (register === REG.SP) return sp + offset;
    if (register === REG.BP) return bp + offset;
    if (register === REG.SP_INDIRECT) return this.#stack.word(sp) + offset;
    if (register === REG.BP_INDIRECT) return this.#stack.word(bp + offset);
    return Number.NaN;
  }

  #interrupted(base: number, at: SavedPlaces, frame: FrameState): boolean {
    const isUser = (this.#stack.word(base + at.CS) & 3) === 3;
    frame.ip = isUser ? Number.NaN : this.#stack.word(base + at.IP);
    if (!Number.isNaN(at.BP)) frame.bp = this.#stack.word(base + at.BP);
    frame.sp = this.#stack.word(base + at.SP);
    return !Number.isNaN(frame.ip);
  }

  /** The next address on the stack that lies behind a call. */
  #guess(frame: FrameState): boolean {
    for (let word = 0; word < GUESS_WORDS_MAX; word++) {
      const at = frame.sp + word * 8;
      const value = this.#stack.word(at);
      if (Number.isNaN(value)) return false;
      if (!(value < 0) || !this.#isText(value) || !this.isBehindCall(value)) continue;
      frame.ip = value;
      frame.sp = at + 8;
      return true;
    }
    return false;
  }

  /** Where the entry of an address is kept, by words. */
  #entryOf(orc: OrcTables, address: number): number {
    const low = address >>> 0;
    const at = ((low ^ (low >>> 13)) & (KEPT.PLACES - 1)) * KEPT.WORDS;
    if (this.#keptAddresses[at >> 1] !== address) {
      this.#keptAddresses[at >> 1] = address;
      const loaded = this.#isText(address) ? undefined : this.#loaded?.orcAt(address);
      if (loaded !== undefined) this.#keep(at, orc.firstType, loaded, this.#searchBetween(loaded, address, 0, loaded.count));
      else this.#keep(at, orc.firstType, orc, this.#isText(address) ? this.#searchEntry(orc, address) : -1);
    }
    return at;
  }

  /** Number of the last entry at or before an address. The kernel's index is followed where it leads there: it does once it is made. */
  #searchEntry(orc: OrcTables, address: number): number {
    const piece = Math.floor((address - this.#textStart) / LOOKUP_BYTES);
    if (piece + 1 < orc.lookups) {
      const first = this.#memory.u32(orc.lookup + piece * 4);
      const last = this.#memory.u32(orc.lookup + piece * 4 + 4);
      const isIndex = first >= 0 && first <= last && last < orc.count - 1;
      if (isIndex && this.#entryBegins(orc, first) <= address && this.#entryBegins(orc, last + 1) > address) {
        return this.#searchBetween(orc, address, first, last + 1);
      }
    }
    return this.#searchBetween(orc, address, 0, orc.count);
  }

  #searchBetween(orc: OrcPlace, address: number, first: number, end: number): number {
    return partitionPoint(first, end, (number) => this.#entryBegins(orc, number) <= address) - 1;
  }

  /** Address from which on an entry holds. */
  #entryBegins({ ipStart }: OrcPlace, number: number): number {
    const at = ipStart + number * 4;
    return at + this.#memory.i32(at);
  }

  #keep(place: number, firstType: number, { start }: OrcPlace, number: number): void {
    const at = start + number * ORC_ENTRY_BYTES;
    const kinds = this.#u16(at + 4);
    const type = firstType === 0 ? (kinds >> 8) & 3 : ((kinds >> 8) & 7) - firstType;
    this.#kept[place + KEPT.OFFSETS] = (this.#u16(at) & 0xffff) | (this.#u16(at + 2) << 16);
    this.#kept[place + KEPT.KIND] = number < 0 ? KIND.NONE : (kinds & 0xff) | (type << KIND.TYPE);
  }

  #u16(at: number): number {
    return this.#memory.u8(at) | (this.#memory.u8(at + 1) << 8);
  }

  /** Whether a call instruction ends at an address (E8, or FF /2 with the lengths that it can have). */
  isBehindCall(address: number): boolean {
    if (address >= 0) return this.#looksBehindCall(address); // another program may be there next time
    const known = this.#behindCall.get(address);
    if (known !== undefined) return known;
    const answer = this.#looksBehindCall(address);
    if (this.#behindCall.size < ENTRIES_KEPT_MAX) this.#behindCall.set(address, answer);
    return answer;
  }

  #looksBehindCall(address: number): boolean {
    if (this.#memory.u8(address - 5) === 0xe8) return true;
    return this.#isIndirectCall(address - 2) || this.#isIndirectCall(address - 3) || this.#isIndirectCall(address - 6)
      || this.#isIndirectCall(address - 7) || this.#isIndirectCall(address - 4);
  }

  #isIndirectCall(at: number): boolean {
    return this.#memory.u8(at) === 0xff && (this.#memory.u8(at + 1) & 0x38) === 0x10;
  }
}
