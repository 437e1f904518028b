// From guest bytes to a block of IR in the arena: decodes instructions from a guest-physical address until one ends the
// block, the page ends, or the block is long enough. Blocks do not depend on where they are mapped: everything is
// relative to the RIP of their first instruction. Executes nothing.
import { assert } from '../../base/assert.ts';
import { IR_ARENA, IR_ARENA_BYTES, PAGE_BYTES, PHYS, PHYS_MAP } from '../../memory/memory-map.ts';
import { BLOCK, RECORD } from '../ir/record.ts';
import { BlockBuilder } from './builder.ts';
import { Decoder, type CodeSource } from './decoder.ts';
import { MODE } from './state.ts';

const INSTRUCTIONS_MAX = 64;
/** No instruction becomes more records than this. */
const RECORDS_PER_INSTRUCTION_MAX = 32;
const NO_PAGE = 0xffffffff;

export type Translation =
  | { readonly kind: 'block'; readonly address: number }
  | { readonly kind: 'arena-full' }
  /** The first instruction goes on in a page whose translation raised a fault, which is pending. */
  | { readonly kind: 'fault' };

export interface TranslatorPorts {
  /** Guest-physical address of the byte `offset` bytes after the block's first, in the next page; -1 with a fault pending. */
  nextPage(): number;
  hasFeature(feature: string): boolean;
}

export class BlockTranslator implements CodeSource {
  readonly #bytes: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #u16: Uint16Array;
  readonly decoder: Decoder;
  readonly builder: BlockBuilder;
  readonly #ports: TranslatorPorts;
  #arena = IR_ARENA;
  #host = 0; // host address of the block's first byte, 0 when it is not memory
  #inPage = 0; // bytes from there to the end of the page
  #mayCross = false;
  #secondPhysical = NO_PAGE;
  #secondHost = 0;
  #faulted = false;
  /** A block ends after so many instructions. */
  instructionsMax = INSTRUCTIONS_MAX;
  /** Called with the offset and length of every instruction decoded, for `-d in_asm`. */
  onInstruction: ((decoder: Decoder, offset: number) => void) | null = null;

  constructor(buffer: SharedArrayBuffer, ports: TranslatorPorts) {
    this.#bytes = new Uint8Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#u16 = new Uint16Array(buffer);
    this.#ports = ports;
    this.decoder = new Decoder((feature) => ports.hasFeature(feature), this);
    this.builder = new BlockBuilder(this.decoder, buffer);
  }

  get arenaBytesUsed(): number {
    return this.#arena - IR_ARENA;
  }

  resetArena(): void {
    this.#arena = IR_ARENA;
  }

  #hostOf(physical: number): number {
    const entry = this.#u32[(PHYS_MAP >>> 2) + (physical >>> 12)]!;
    return (entry & PHYS.READABLE) === 0 ? 0 : (entry & ~(PAGE_BYTES - 1)) >>> 0;
  }

  byteAt(offset: number): number {
    if (offset < this.#inPage) return this.#host === 0 ? 0xff : this.#bytes[this.#host + offset]!;
    if (!this.#mayCross) return -1;
    if (this.#secondPhysical === NO_PAGE) {
      const physical = this.#ports.nextPage();
      if (physical < 0) {
        this.#faulted = true;
        return -1;
      }
      this.#secondPhysical = physical;
      this.#secondHost = this.#hostOf(physical);
    }
    return this.#secondHost === 0 ? 0xff : this.#bytes[this.#secondHost + offset - this.#inPage]!;
  }

  translate(physical: number, mode: number): Translation {
    const address = this.#arena + BLOCK.BYTES;
    const limit = IR_ARENA + IR_ARENA_BYTES;
    if (address + (INSTRUCTIONS_MAX + 1) * RECORDS_PER_INSTRUCTION_MAX * RECORD.BYTES > limit) return { kind: 'arena-full' };
    this.#readFrom(physical);
    this.#secondPhysical = NO_PAGE;
    this.#faulted = false;
    const { builder } = this;
    builder.beginBlock(address, limit);
    const bytes = this.#translateInstructions(mode);
    if (this.#faulted) return { kind: 'fault' };
    this.#writeHeader(address, physical, mode, bytes);
    return { kind: 'block', address };
  }

  #readFrom(physical: number): void {
    const page = this.#hostOf(physical);
    this.#host = page === 0 ? 0 : page + (physical & (PAGE_BYTES - 1));
    this.#inPage = PAGE_BYTES - (physical & (PAGE_BYTES - 1));
  }

  instructionsOf(block: number): number {
    return this.#u16[(block - BLOCK.BYTES + BLOCK.INSTRUCTIONS) >>> 1]!;
  }

  /** Decodes one instruction for its text; undefined when it is none, or goes on in another page. */
  decodeAt(physical: number, mode: number): Decoder | undefined {
    this.#readFrom(physical);
    this.#mayCross = false;
    return this.decoder.decode(0, mode) === 'ok' ? this.decoder : undefined;
  }

  /** Returns the number of guest bytes. */
  #translateInstructions(mode: number): number {
    const { builder, decoder } = this;
    const step = (mode & MODE.STEP) !== 0;
    let pc = 0;
    for (;;) {
      this.#mayCross = pc === 0;
      const shadowed = builder.shadow;
      const result = decoder.decode(pc, mode);
      if (result === 'short') {
        if (this.#faulted) return 0;
        builder.fallThroughAt(pc);
        return pc;
      }
      builder.beginInstruction(pc);
      if (step) builder.helper('stepEntry');
      builder.shadow = false;
      if (shadowed) builder.endShadow();
      if (result === 'ok') {
        this.onInstruction?.(decoder, pc);
        this.#checkUnit();
        if (!builder.ended) decoder.candidate!.instruction.meaning(builder);
      } else if (result === 'long') builder.raiseGeneralProtection();
      else builder.raise(6);
      pc = builder.nextPc;
      const full = step || builder.instructionCount >= this.instructionsMax || pc >= this.#inPage;
      if (!builder.ended && (shadowed || (full && !(builder.shadow && pc < this.#inPage)))) builder.fallThrough();
      if (builder.ended) return Math.max(pc, 1);
    }
  }

  /** Instructions of a unit that is switched off or absent raise #NM or #UD before anything else. */
  #checkUnit(): void {
    const { row } = this.decoder.candidate!;
    const { mode } = this.decoder;
    if (row.unit === 'none') return;
    if (row.unit === 'x87' && (mode & MODE.FPU) === 0) this.builder.unitUnavailable(0);
    else if (row.unit === 'mmx' && (mode & MODE.FPU) === 0) this.builder.unitUnavailable(1);
    else if (row.unit === 'sse' && (mode & MODE.SSE) === 0) this.builder.unitUnavailable(2);
  }

  #writeHeader(address: number, physical: number, mode: number, bytes: number): void {
    const header = (address - BLOCK.BYTES) >>> 2;
    const records = (this.builder.recordAddress - address) / RECORD.BYTES;
    assert(records > 0, 'a block has records');
    this.#u32[header + BLOCK.PHYSICAL / 4] = physical;
    this.#u32[header + BLOCK.KEY / 4] = mode;
    this.#u16[header * 2 + BLOCK.GUEST_BYTES / 2] = bytes;
    this.#u16[header * 2 + BLOCK.INSTRUCTIONS / 2] = this.builder.instructionCount;
    this.#u32[header + BLOCK.PHYSICAL2 / 4] = this.#secondPhysical;
    this.#u32[header + BLOCK.RECORDS / 4] = records;
    this.#u32[header + BLOCK.COUNT / 4] = 0;
    this.#u32[header + BLOCK.REGION / 4] = 0;
    this.#u32[header + BLOCK.FIRST_OP / 4] = 0; // and MEMBER
    this.#arena = this.builder.recordAddress;
  }
}
