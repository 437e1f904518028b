// The callers of the code that runs: in a 64-bit Linux by its own tables (ORC: kernel documentation arch/x86/orc-unwinder), elsewhere by
// frame pointers as long as they lead upwards to addresses behind calls. Code of modules has tables of its own, which are not read: there
// the next address on the stack that lies behind a call in the kernel is taken for the caller, which may be wrong.
import type { GuestMemory } from './guest-memory.ts';
import type { SymbolTable } from './symbols.ts';

export const FRAMES_MAX = 64;
const GUESS_WORDS_MAX = 128;
const FRAME_BYTES_MAX = 1 << 20;

/** Registers of a frame. */
export interface FrameState {
  ip: number;
  sp: number;
  bp: number;
}

const REG = { UNDEFINED: 0, PREVIOUS_SP: 1, BP: 4, SP: 5, BP_INDIRECT: 8, SP_INDIRECT: 9 } as const;
/** pt_regs: offsets of what is needed. */
const PT_REGS = { BP: 32, IP: 128, CS: 136, SP: 152 } as const;
const IRET = { IP: 0, CS: 8, SP: 24 } as const;

type SavedPlaces = Readonly<Record<keyof typeof PT_REGS, number>>;

interface OrcTables {
  readonly ipStart: number;
  readonly count: number;
  readonly start: number;
  /** From 6.4 on the numbers of types begin with two more. */
  readonly firstType: number;
}

interface OrcEntry {
  readonly spOffset: number;
  readonly bpOffset: number;
  readonly spReg: number;
  readonly bpReg: number;
  /** 0 a call, 1 whole registers, 2 those of an interrupt; others end. */
  readonly type: number;
}

const SYMBOLS = ['__start_orc_unwind_ip', '__stop_orc_unwind_ip', '__start_orc_unwind', '_text', '_stext', '_etext'];
const ORC_ENTRY_BYTES = 6;
const ENTRIES_KEPT_MAX = 1 << 16;

export class Unwinder {
  readonly #memory: GuestMemory;
  #orc: OrcTables | undefined;
  #textStart = Number.NaN;
  #textEnd = Number.NaN;
  #table: SymbolTable | undefined;
  /** Of addresses that were asked for; null where there is no entry. */
  readonly #entries = new Map<number, OrcEntry | null>();
  readonly #behindCall = new Map<number, boolean>();
  readonly #frame: FrameState = { ip: 0, sp: 0, bp: 0 };

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** The kernel's symbols; others than before when another kernel has been started. */
  use(table: SymbolTable): void {
    if (this.#table === table) return;
    this.#table = table;
    this.#entries.clear();
    this.#behindCall.clear();
    const found = table.find(SYMBOLS);
    const [ipStart, ipStop, start] = SYMBOLS.map((name) => found.get(name) ?? Number.NaN);
    this.#textStart = found.get('_stext') ?? found.get('_text') ?? Number.NaN;
    this.#textEnd = found.get('_etext') ?? Number.NaN;
    const count = (ipStop! - ipStart!) / 4;
    this.#orc = count > 0 && count < 1 << 22 && !Number.isNaN(start!) ? this.#checked(ipStart!, count, start!) : undefined;
  }

  /** Calls are by far the most frequent entries: their number tells which numbers types have. */
  #checked(ipStart: number, count: number, start: number): OrcTables {
    let calls = 0;
    for (let n = 0; n < 64; n++) calls += ((this.#u16(start + Math.floor((n * count) / 64) * ORC_ENTRY_BYTES + 4) >> 8) & 7) === 2 ? 1 : 0;
    return { ipStart, count, start, firstType: calls > 32 ? 2 : 0 };
  }

  /** Addresses of the callers into `frames`, the nearest first; returns how many. */
  unwind(ip: number, sp: number, bp: number, pointerBytes: 4 | 8, frames: Float64Array): number {
    if (pointerBytes === 8 && this.#orc !== undefined && ip < 0) return this.#unwindKernel(this.#orc, ip, sp, bp, frames);
    return this.#followPointers(sp, bp, pointerBytes, frames, this.#table?.begins(ip) ?? false);
  }

  #unwindKernel(orc: OrcTables, ip: number, sp: number, bp: number, frames: Float64Array): number {
    const frame = this.#frame;
    frame.ip = ip;
    frame.sp = sp;
    frame.bp = bp;
    let isExact = true; // the first address, and that of an interrupted place, is not behind a call
    for (let count = 0; count < FRAMES_MAX; ) {
      const entry = this.#entryOf(orc, isExact ? frame.ip : frame.ip - 1);
      const before = frame.sp;
      if (entry === undefined || !this.#step(entry, frame)) {
        if (this.#isText(frame.ip) || !this.#guess(frame)) return count;
      }
      isExact = entry !== undefined && entry.type !== 0;
      if (!(frame.sp > before) && entry?.type !== 1 && entry?.type !== 2) return count;
      if (!(frame.ip < 0)) return count; // the program that was interrupted, or nothing
      frames[count++] = frame.ip;
    }
    return FRAMES_MAX;
  }

  #isText(address: number): boolean {
    return address >= this.#textStart && address < this.#textEnd;
  }

  /** The caller's registers; false where the entry does not say. */
  #step({ spOffset, bpOffset, spReg, bpReg, type }: OrcEntry, frame: FrameState): boolean {
    const base = this.#base(spReg, spOffset, frame);
    if (Number.isNaN(base)) return false;
    if (type === 1) return this.#interrupted(base, PT_REGS, frame);
    if (type === 2) return this.#interrupted(base, { ...IRET, BP: Number.NaN }, frame);
    if (type !== 0) return false;
    const ip = this.#memory.word(base - 8, 8);
    if (bpReg === REG.PREVIOUS_SP) frame.bp = this.#memory.word(base + bpOffset, 8);
    else if (bpReg === REG.BP) frame.bp = this.#memory.word(frame.bp + bpOffset, 8);
    frame.ip = ip;
    frame.sp = base;
    return !Number.isNaN(ip);
  }

  #base(register: number, offset: number, { sp, bp }: FrameState): number {
    if (register === REG.SP) return sp + offset;
    if (register === REG.BP) return bp + offset;
    if (register === REG.SP_INDIRECT) return this.#memory.word(sp, 8) + offset;
    if (register === REG.BP_INDIRECT) return this.#memory.word(bp + offset, 8);
    return Number.NaN;
  }

  #interrupted(base: number, at: SavedPlaces, frame: FrameState): boolean {
    const isUser = (this.#memory.word(base + at.CS, 8) & 3) === 3;
    frame.ip = isUser ? Number.NaN : this.#memory.word(base + at.IP, 8);
    if (!Number.isNaN(at.BP)) frame.bp = this.#memory.word(base + at.BP, 8);
    frame.sp = this.#memory.word(base + at.SP, 8);
    return !Number.isNaN(frame.ip);
  }

  /** The next address on the stack that lies behind a call. */
  #guess(frame: FrameState): boolean {
    for (let word = 0; word < GUESS_WORDS_MAX; word++) {
      const at = frame.sp + word * 8;
      const value = this.#memory.word(at, 8);
      if (Number.isNaN(value)) return false;
      if (!(value < 0) || !this.#isText(value) || !this.isBehindCall(value)) continue;
      frame.ip = value;
      frame.sp = at + 8;
      return true;
    }
    return false;
  }

  #entryOf(orc: OrcTables, address: number): OrcEntry | undefined {
    const known = this.#entries.get(address);
    if (known !== undefined) return known ?? undefined;
    const entry = this.#isText(address) ? this.#readEntry(orc, this.#searchEntry(orc, address)) : undefined;
    if (this.#entries.size < ENTRIES_KEPT_MAX) this.#entries.set(address, entry ?? null);
    return entry;
  }

  /** Number of the last entry at or before an address. */
  #searchEntry({ ipStart, count }: OrcTables, address: number): number {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = ipStart + middle * 4;
      if (at + (this.#memory.u32(at) | 0) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #readEntry({ start, firstType }: OrcTables, number: number): OrcEntry | undefined {
    if (number < 0) return undefined;
    const at = start + number * ORC_ENTRY_BYTES;
    const signed = (value: number): number => (value << 16) >> 16;
    const kinds = this.#u16(at + 4);
    const type = firstType === 0 ? (kinds >> 8) & 3 : ((kinds >> 8) & 7) - firstType;
    return { spOffset: signed(this.#u16(at)), bpOffset: signed(this.#u16(at + 2)), spReg: kinds & 15, bpReg: (kinds >> 4) & 15, type };
  }

  #u16(at: number): number {
    return this.#memory.u8(at) | (this.#memory.u8(at + 1) << 8);
  }

  /** At its first instruction a function has no frame of its own yet. */
  #followPointers(sp: number, bp: number, pointerBytes: 4 | 8, frames: Float64Array, hasNoFrame: boolean): number {
    let count = 0;
    if (hasNoFrame) {
      const caller = this.#memory.word(sp, pointerBytes);
      if (!Number.isNaN(caller) && this.isBehindCall(caller)) frames[count++] = caller;
    }
    for (let frame = bp, lowest = sp; count < FRAMES_MAX; ) {
      if (!(frame >= lowest) || frame - lowest > FRAME_BYTES_MAX) break;
      const caller = this.#memory.word(frame + pointerBytes, pointerBytes);
      if (Number.isNaN(caller) || !this.isBehindCall(caller)) break;
      frames[count++] = caller;
      lowest = frame + 2 * pointerBytes;
      frame = this.#memory.word(frame, pointerBytes);
    }
    return count;
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
