// Random programs for the comparison of regions with the interpreter: functions with loops, calls, jump tables, indirect calls,
// stores into code and chunks of random instructions, over four pages. They come to an end unless something goes wild; whoever runs
// them (region-bench.ts) sees to that. The memory they expect is declared here.
import type { EncodeContext } from './encode-row.ts';
import type { Prng } from './prng.ts';
import type { ChunkGenerator } from './random-code.ts';
import { randomInteger } from './random-values.ts';

/** Linear addresses; the pages between are not mapped. */
export const LAYOUT = {
  CODE: 0x210000, // four pages, writable and executable
  ALIAS: 0x220000, // the same pages again
  DATA: 0x230000, // two pages, not executable
  READ_ONLY: 0x233000,
  MMIO: 0x235000,
  STACK: 0x238000, // two pages
  CONTROL: 0x23c000, // loop counters, saved stack pointers, tables of addresses
  CODE_PAGES: 4,
  DATA_PAGES: 2,
  STACK_PAGES: 2,
} as const;
export const STACK_START = LAYOUT.STACK + 0x1a00;
/** Software interrupts: something happens outside; the step is over. */
export const EVENT_VECTOR = 0x50;
export const END_VECTOR = 0x51;
const PAGE_BYTES = 4096;
const CODE_BYTES = LAYOUT.CODE_PAGES * PAGE_BYTES;
const SAVED_STACK = LAYOUT.CONTROL + 0x400;
const TABLES = LAYOUT.CONTROL + 0x800;
const WINDOW = { START: LAYOUT.DATA + PAGE_BYTES - 0x180, BYTES: 0x300 } as const;

export interface ProgramFunction {
  /** From the start of the code. */
  readonly offset: number;
  readonly bits: 32 | 64;
  /** Instructions that a call takes, roughly. */
  readonly cost: number;
}

export interface RegionProgram {
  readonly code: Uint8Array;
  /** The control page: tables of addresses. */
  readonly control: Uint8Array;
  readonly functions: readonly ProgramFunction[];
  /** Offsets of instructions of five bytes, opcode and 32-bit immediate, that may be replaced at any time. */
  readonly slots: readonly number[];
  readonly listing: readonly string[];
}

/** Opcodes of such instructions: MOV r32 and the arithmetic of EAX. */
const SLOT_OPCODES = [0xb8, 0xb9, 0xba, 0xbb, 0x05, 0x25, 0x35, 0x2d, 0xa9, 0x3d, 0x0d];
export const slotOpcode = (rng: Prng): number => rng.pick(SLOT_OPCODES);

const COST_MAX = 6000;
const littleEndian = (value: number | bigint, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, n) => Number((BigInt(value) >> BigInt(8 * n)) & 0xffn));
/** ModRM, SIB and displacement of an absolute address, the same in 32-bit and 64-bit code. */
const absolute = (field: number, address: number): number[] => [(field << 3) | 4, 0x25, ...littleEndian(address, 4)];

class ProgramBuilder {
  readonly #rng: Prng;
  readonly #chunk: ChunkGenerator;
  readonly #code = new Uint8Array(CODE_BYTES + PAGE_BYTES).fill(0xcc); // what is beyond the pages is cut off
  readonly #control = new Uint8Array(PAGE_BYTES);
  readonly #functions: ProgramFunction[] = [];
  readonly #slots: number[] = [];
  readonly #patches: { at: number; isOpcode: boolean }[] = [];
  readonly #listing: string[] = [];
  #cursor = 16;
  #table = TABLES;
  #cost = 0;

  constructor(rng: Prng, chunk: ChunkGenerator) {
    this.#rng = rng;
    this.#chunk = chunk;
  }

  build(): RegionProgram {
    const rng = this.#rng;
    this.#code.set([0xcd, END_VECTOR]);
    const wanted = 3 + rng.below(6);
    for (let n = 0; n < wanted && this.#cursor < CODE_BYTES - 1200; n++) {
      if (rng.chance(60)) this.#cursor = rng.chance(60) ? this.#nearPageEnd() : this.#cursor + rng.below(800);
      if (rng.chance(20)) this.#slotFunction();
      this.#function(n, rng.chance(75) ? 64 : 32);
    }
    for (const patch of this.#patches) this.#aimPatch(patch);
    const code = this.#code.slice(0, CODE_BYTES);
    return { code, control: this.#control, functions: this.#functions, slots: this.#slots, listing: this.#listing };
  }

  /** So that a function lies in two pages. */
  #nearPageEnd(): number {
    const end = (this.#cursor | (PAGE_BYTES - 1)) + 1;
    return Math.max(this.#cursor, end - this.#rng.below(200));
  }

  #emit(...bytes: readonly number[]): void {
    this.#code.set(bytes, this.#cursor);
    this.#cursor += bytes.length;
  }

  #note(text: string): void {
    this.#listing.push(`  ${(LAYOUT.CODE + this.#cursor).toString(16)} ${text}`);
  }

  #slot(): void {
    this.#note('slot');
    if (this.#cursor + 5 <= CODE_BYTES) this.#slots.push(this.#cursor);
    this.#emit(slotOpcode(this.#rng), ...littleEndian(this.#rng.u32(), 4));
  }

  #slotFunction(): void {
    for (const bits of [32, 64] as const) this.#functions.push({ offset: this.#cursor, bits, cost: 2 });
    this.#slot();
    this.#emit(0xc3);
  }

  #function(number: number, bits: 32 | 64): void {
    const rng = this.#rng;
    const offset = this.#cursor;
    const counter = LAYOUT.CONTROL + 8 * number, stack = SAVED_STACK + 8 * number;
    const rounds = 3 + rng.below(rng.chance(40) ? 50 : 12);
    this.#listing.push(`function ${number}, ${bits} bits, ${rounds} rounds`);
    const wide = bits === 64 ? [0x48] : [];
    this.#emit(0xc7, ...absolute(0, counter), ...littleEndian(rounds, 4));
    this.#emit(...wide, 0x89, ...absolute(4, stack));
    const head = this.#cursor;
    this.#cost = 4;
    const parts = 1 + rng.below(5);
    for (let n = 0; n < parts; n++) this.#part(bits, COST_MAX / rounds);
    this.#emit(0xff, ...absolute(1, counter)); // DEC
    this.#emit(0x0f, 0x85, ...littleEndian(head - (this.#cursor + 6), 4)); // JNZ
    this.#emit(...wide, 0x8b, ...absolute(4, stack), 0xc3);
    this.#functions.push({ offset, bits, cost: rounds * this.#cost });
  }

  /** Something that the body of a loop is made of. */
  #part(bits: 32 | 64, costMax: number): void {
    const rng = this.#rng;
    this.#cost += 6;
    const callees = this.#functions.filter((callee) => callee.bits === bits && this.#cost + callee.cost < costMax);
    switch (rng.below(12)) {
      case 0:
      case 1:
        if (callees.length > 0) return this.#call(rng.pick(callees));
        return this.#chunkPart(bits);
      case 2:
        return this.#slot();
      case 3:
        return this.#patch();
      case 4:
        return rng.chance(50) ? this.#patch() : this.#patchByHelper(bits);
      case 5:
        return this.#emit(0xcd, EVENT_VECTOR);
      case 6:
        return this.#skip(() => this.#chunkPart(bits));
      case 7:
        return this.#switch(bits);
      default:
        return this.#chunkPart(bits);
    }
  }

  #call({ offset, cost }: ProgramFunction): void {
    this.#cost += cost;
    this.#note(`call ${(LAYOUT.CODE + offset).toString(16)}`);
    if (this.#rng.chance(70)) return this.#emit(0xe8, ...littleEndian(offset - (this.#cursor + 5), 4));
    this.#emit(0xff, ...absolute(2, this.#tableOf([offset])));
  }

  /** Address of a table of code addresses; 8 bytes each, whose upper halves are 0. */
  #tableOf(offsets: readonly number[]): number {
    const table = this.#table;
    const view = new DataView(this.#control.buffer);
    offsets.forEach((offset, n) => view.setUint32(table - LAYOUT.CONTROL + 8 * n, LAYOUT.CODE + offset, true));
    this.#table += 8 * offsets.length;
    return table;
  }

  /** A store into some slot, chosen when all are known. */
  #patch(): void {
    const rng = this.#rng;
    const isOpcode = rng.chance(40);
    this.#note('patch');
    const start = this.#cursor;
    if (isOpcode) this.#emit(0xc6, ...absolute(0, 0), slotOpcode(rng));
    else this.#emit(0xc7, ...absolute(0, 0), ...littleEndian(rng.u32(), 4));
    this.#patches.push({ at: start + 3, isOpcode });
    if (rng.chance(50)) this.#slot();
  }

  /** The same by STOS or FSTP, which regions leave to functions that may write anywhere. */
  #patchByHelper(bits: 32 | 64): void {
    const rng = this.#rng;
    this.#note('patch by a helper');
    if (rng.chance(70)) {
      this.#emit(0xfc, 0xb8, ...littleEndian(rng.u32(), 4), 0xbf, 0, 0, 0, 0); // CLD; MOV EAX; MOV EDI
      this.#patches.push({ at: this.#cursor - 4, isOpcode: false });
      this.#emit(0xab); // STOSD
    } else {
      this.#emit(...(bits === 64 ? [] : [0x90]), 0xd9, 0xee, 0xd9, ...absolute(3, 0)); // FLDZ; FSTP dword
      this.#patches.push({ at: this.#cursor - 4, isOpcode: false });
    }
    this.#slot();
  }

  #aimPatch({ at, isOpcode }: { readonly at: number; readonly isOpcode: boolean }): void {
    const rng = this.#rng;
    const next = this.#slots.find((slot) => slot > at);
    const slot = next !== undefined && rng.chance(50) ? next : this.#slots.length > 0 ? rng.pick(this.#slots) : undefined;
    const base = rng.chance(70) ? LAYOUT.CODE : LAYOUT.ALIAS;
    const target = slot === undefined ? LAYOUT.DATA : base + slot + (isOpcode ? 0 : 1);
    this.#code.set(littleEndian(target, 4), at);
  }

  /** A conditional jump over a part. */
  #skip(part: () => void): void {
    const displacement = this.#cursor + 2;
    this.#emit(0x0f, 0x80 | this.#rng.below(16), 0, 0, 0, 0);
    part();
    this.#code.set(littleEndian(this.#cursor - displacement - 4, 4), displacement);
  }

  #switch(bits: 32 | 64): void {
    const at = this.#cursor;
    const table = this.#tableOf([at + 10, at + 10]);
    this.#note('switch');
    this.#emit(0x83, 0xe0, 1, 0xff, 0x24, 0xc5, ...littleEndian(table, 4)); // AND EAX, 1; JMP [table + EAX * 8]
    this.#chunkPart(bits);
    new DataView(this.#control.buffer).setUint32(table - LAYOUT.CONTROL + 8, LAYOUT.CODE + this.#cursor, true);
  }

  #chunkPart(bits: 32 | 64): void {
    const rng = this.#rng;
    const count = bits === 64 ? 16 : 8;
    const registers = BigUint64Array.from({ length: 16 }, () => randomInteger(rng));
    registers[4] = BigInt(STACK_START);
    const pointers = new Set([6, 7, rng.below(count), rng.below(count), 4]);
    for (const pointer of pointers) {
      if (pointer === 4) continue;
      registers[pointer] = BigInt(WINDOW.START + 0x40 + 8 * rng.below((WINDOW.BYTES - 0x80) / 8) + (rng.chance(20) ? rng.below(8) : 0));
      const prefix = pointer > 7 ? [0x41] : [];
      this.#emit(...prefix, 0xb8 | (pointer & 7), ...littleEndian(registers[pointer], 4));
    }
    if (bits === 32) for (let n = 0; n < 8; n++) registers[n] = BigInt.asUintN(32, registers[n]!);
    const ip = LAYOUT.CODE + this.#cursor;
    const context: EncodeContext = { bits, registers, pointers, ip, chooseAddress: (random) => this.#address(random) };
    const { bytes, program } = this.#chunk(rng, bits === 64 ? 'long' : 'flat32', context);
    this.#note(program.join('; '));
    this.#emit(...bytes);
  }

  #address(rng: Prng): number {
    const where = rng.below(100);
    if (where < 80) return WINDOW.START + 16 * rng.below(WINDOW.BYTES / 16) + (rng.chance(30) ? rng.below(16) : 0);
    if (where < 84) return LAYOUT.DATA + LAYOUT.DATA_PAGES * PAGE_BYTES - rng.below(34);
    if (where < 88) return LAYOUT.READ_ONLY + rng.below(PAGE_BYTES);
    if (where < 92) return LAYOUT.MMIO + rng.below(PAGE_BYTES);
    if (where < 95) return LAYOUT.STACK + rng.below(0x1800);
    if (where < 97 && this.#slots.length > 0) return LAYOUT.CODE + rng.pick(this.#slots) + 1;
    return LAYOUT.CODE + rng.below(0x30000);
  }
}

export const randomProgram = (rng: Prng, chunk: ChunkGenerator): RegionProgram => new ProgramBuilder(rng, chunk).build();
