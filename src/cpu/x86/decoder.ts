// Decodes one instruction: prefixes, opcode, ModRM, SIB, displacement, immediates (SDM 2A chapter 2), and finds its row.
// It fills its own fields, which are valid until the next call; nothing is allocated. What the instruction means is not
// decided here.
import { buildDecodeTable, PREFIX_CLASS, type Candidate } from './decode-table.ts';
import type { OperandCode } from './row.ts';
import { MODE } from './state.ts';
import './isa/all.ts';

/** Where instruction bytes come from: `hostByte(offset)` of the block, and whether the page may be left. */
export interface CodeSource {
  /** The byte `offset` bytes from the start of the block, or -1 when it lies in a page that cannot be read now. */
  byteAt(offset: number): number;
}

const INSTRUCTION_BYTES_MAX = 15;
const MODRM_MEMORY16 = [
  [3, 6], [3, 7], [5, 6], [5, 7], [6, -1], [7, -1], [5, -1], [3, -1],
] as const;

export class Decoder {
  readonly #table = buildDecodeTable();
  /** Whether a CPUID feature is announced; instructions of others do not exist. */
  readonly #hasFeature: (feature: string) => boolean;
  #source: CodeSource;
  #position = 0;
  #start = 0;
  #short = false;

  candidate: Candidate | null = null;
  mode = 0; // MODE bits
  codeSize = 0; // 0, 1, 2: 16, 32, 64
  operandSize66 = false;
  addressSize67 = false;
  lock = false;
  repeat = 0; // 0, 0xf2 or 0xf3: the last of them
  rex = 0;
  vex = false;
  vexRegister = 0;
  vexLength = 0;
  segment = -1; // override, or -1
  opcode = 0;
  modrm = 0;
  mod = 0;
  reg = 0; // with REX.R
  rm = 0; // with REX.B
  opcodeRegister = 0; // low opcode bits with REX.B
  /** Operand size in bytes as log2: 1, 2, 3. Address size likewise. */
  operandWidth = 2;
  addressWidth = 2;
  /** Memory operand: register numbers or -1. */
  base = -1;
  index = -1;
  scale = 0;
  displacement = 0;
  ripRelative = false;
  /** Immediates: low 32 bits signed, and the high half of a 64-bit one. */
  immediate = 0;
  immediateHigh = 0;
  immediate2 = 0;
  length = 0;

  constructor(hasFeature: (feature: string) => boolean, source: CodeSource) {
    this.#hasFeature = hasFeature;
    this.#source = source;
  }

  /**
   * Decodes at `offset`. Returns 'ok', 'undefined' (#UD), 'long' (over 15 bytes: #GP), or 'short' when the bytes go on in a
   * page that the source does not give.
   */
  decode(offset: number, mode: number): 'ok' | 'undefined' | 'long' | 'short' {
    this.#start = this.#position = offset;
    this.#short = false;
    this.mode = mode;
    this.codeSize = mode & MODE.CODE_SIZE;
    this.operandSize66 = this.addressSize67 = this.lock = this.vex = this.ripRelative = false;
    this.repeat = this.rex = this.vexRegister = this.vexLength = 0;
    this.segment = this.base = this.index = -1;
    this.scale = this.displacement = this.immediate = this.immediateHigh = this.immediate2 = 0;
    this.candidate = null;
    const found = this.#decodeOpcode();
    this.length = this.#position - this.#start;
    if (this.#short) return 'short';
    if (this.length > INSTRUCTION_BYTES_MAX) return 'long';
    return found ? 'ok' : 'undefined';
  }

  #byte(): number {
    if (this.#position - this.#start > INSTRUCTION_BYTES_MAX) return 0;
    const value = this.#source.byteAt(this.#position);
    if (value < 0) {
      this.#short = true;
      return 0;
    }
    this.#position++;
    return value;
  }

  #signed8(): number {
    return (this.#byte() << 24) >> 24;
  }

  #u16(): number {
    const low = this.#byte();
    return low | (this.#byte() << 8);
  }

  #i32(): number {
    const low = this.#u16();
    return low | (this.#u16() << 16);
  }

  #decodeOpcode(): boolean {
    const long = this.codeSize === 2;
    let byte = this.#byte();
    for (;;) {
      if (byte === 0x66) this.operandSize66 = true;
      else if (byte === 0x67) this.addressSize67 = true;
      else if (byte === 0xf0) this.lock = true;
      else if (byte === 0xf2 || byte === 0xf3) this.repeat = byte;
      else if ((byte & 0xe7) === 0x26) this.segment = long ? this.segment : (byte >> 3) & 3;
      else if (byte === 0x64 || byte === 0x65) this.segment = byte - 0x60;
      else if (long && (byte & 0xf0) === 0x40) {
        this.rex = byte;
        byte = this.#byte();
        if (!this.#isPrefix(byte)) break;
        this.rex = 0; // REX counts only right before the opcode
        continue;
      } else break;
      if (this.#position - this.#start > INSTRUCTION_BYTES_MAX) return false;
      byte = this.#byte();
    }
    this.#decodeSizes();
    if (byte === 0xc4 || byte === 0xc5) {
      const next = this.#source.byteAt(this.#position);
      if (next < 0) this.#short = true;
      else if (long || next >= 0xc0) return this.#decodeVex(byte);
    }
    let map = 0;
    if (byte === 0x0f) {
      byte = this.#byte();
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        byte = this.#byte();
      }
    }
    return this.#finish(map, byte);
  }

  #isPrefix(byte: number): boolean {
    return byte === 0x66 || byte === 0x67 || byte === 0xf0 || byte === 0xf2 || byte === 0xf3 || (byte & 0xe7) === 0x26 ||
      byte === 0x64 || byte === 0x65 || (byte & 0xf0) === 0x40;
  }

  #decodeSizes(): void {
    if (this.codeSize === 2) {
      this.operandWidth = (this.rex & 8) !== 0 ? 3 : this.operandSize66 ? 1 : 2;
      this.addressWidth = this.addressSize67 ? 2 : 3;
    } else {
      this.operandWidth = (this.codeSize === 1) !== this.operandSize66 ? 2 : 1;
      this.addressWidth = (this.codeSize === 1) !== this.addressSize67 ? 2 : 1;
    }
  }

  #decodeVex(first: number): boolean {
    // LOCK, 66, F2, F3 and REX before VEX are #UD; so is VEX outside protected mode.
    if (this.lock || this.operandSize66 || this.repeat !== 0 || this.rex !== 0 || (this.mode & MODE.PROTECTED) === 0) return false;
    let bits = this.#byte();
    let map = 1;
    this.rex = 0x40 | ((bits & 0x80) !== 0 ? 0 : 4);
    if (first === 0xc4) {
      map = bits & 31;
      this.rex |= ((bits & 0x40) !== 0 ? 0 : 2) | ((bits & 0x20) !== 0 ? 0 : 1);
      bits = this.#byte();
      if ((bits & 0x80) !== 0) this.rex |= 8;
    }
    if (this.codeSize !== 2) this.rex &= 0x48;
    this.vex = true;
    this.vexRegister = (~bits >> 3) & (this.codeSize === 2 ? 15 : 7);
    this.vexLength = (bits >> 2) & 1;
    this.operandSize66 = (bits & 3) === 1;
    this.repeat = (bits & 3) === 2 ? 0xf3 : (bits & 3) === 3 ? 0xf2 : 0;
    this.operandWidth = (this.rex & 8) !== 0 && this.codeSize === 2 ? 3 : 2;
    if (map < 1 || map > 3) return false;
    return this.#finish(map + 4, this.#byte());
  }

  #finish(map: number, opcode: number): boolean {
    this.opcode = opcode;
    this.opcodeRegister = (opcode & 7) | ((this.rex & 1) << 3);
    const entry = this.#table[map]![opcode];
    if (entry === undefined) return false;
    if (entry.hasModrm) {
      this.modrm = this.#byte();
      // Control and debug register moves ignore mod: always registers.
      this.mod = map === 1 && opcode >= 0x20 && opcode <= 0x23 ? 3 : this.modrm >> 6;
      this.reg = ((this.modrm >> 3) & 7) | ((this.rex & 4) << 1);
      this.rm = (this.modrm & 7) | ((this.rex & 1) << 3);
    }
    const candidate = this.#select(entry.candidates);
    if (candidate === null) return false;
    const { row } = candidate;
    if (this.codeSize === 2) {
      if (row.force64) this.operandWidth = 3;
      else if (row.default64) this.operandWidth = this.operandSize66 && (this.rex & 8) === 0 ? 1 : 3;
    }
    if (entry.hasModrm && this.mod !== 3) this.#decodeMemory();
    for (let i = 0; i < row.immediates.length; i++) this.#decodeImmediate(row.immediates[i]!);
    if (this.lock && (!row.lock || this.mod === 3)) return false;
    if (this.vex && this.vexRegister !== 0 && !row.hasVexRegister) return false;
    this.candidate = candidate;
    return true;
  }

  #select(candidates: readonly Candidate[]): Candidate | null {
    const unrepeated = this.operandSize66 ? PREFIX_CLASS['66'] : PREFIX_CLASS.NP;
    const prefixClass = this.repeat === 0xf3 ? PREFIX_CLASS.F3 : this.repeat === 0xf2 ? PREFIX_CLASS.F2 : unrepeated;
    const digit = (this.modrm >> 3) & 7;
    const long = this.codeSize === 2;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      const { row } = candidate;
      if (candidate.prefixClass >= 0 && candidate.prefixClass !== prefixClass) continue;
      if (row.modrm >= 0 && row.modrm !== this.modrm) continue;
      if (row.digit >= 0 && row.digit !== digit) continue;
      if (row.mod !== 'any' && (row.mod === 'register') !== (this.mod === 3)) continue;
      if (row.w !== 'any' && (row.w === 1) !== ((this.rex & 8) !== 0)) continue;
      if (long ? row.no64 : row.only64) continue;
      if (candidate.instruction.feature !== '' && !this.#hasFeature(candidate.instruction.feature)) continue;
      return candidate;
    }
    return null;
  }

  #decodeMemory(): void {
    const { mod } = this;
    const rm = this.modrm & 7;
    if (this.addressWidth === 1) {
      const [base, index] = MODRM_MEMORY16[rm]!;
      this.base = mod === 0 && rm === 6 ? -1 : base;
      this.index = mod === 0 && rm === 6 ? -1 : index;
      this.displacement = mod === 1 ? this.#signed8() : mod === 2 || this.base < 0 ? (this.#u16() << 16) >> 16 : 0;
      return;
    }
    this.base = this.rm;
    let noBase = mod === 0 && rm === 5;
    if (rm === 4) {
      const sib = this.#byte();
      this.scale = sib >> 6;
      this.index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
      if (this.index === 4) this.index = -1;
      this.base = (sib & 7) | ((this.rex & 1) << 3);
      noBase = mod === 0 && (sib & 7) === 5;
    } else if (noBase && this.codeSize === 2) this.ripRelative = true;
    if (noBase) this.base = -1;
    this.displacement = mod === 1 ? this.#signed8() : mod === 2 || noBase ? this.#i32() : 0;
  }

  #decodeImmediate(operand: OperandCode): void {
    const { kind, width } = operand;
    if (kind === 'I' || kind === 'J') {
      if (width === 'b') this.immediate = kind === 'J' ? this.#signed8() : this.#byte();
      else if (width === 'sb') this.immediate = this.#signed8();
      else if (width === 'w') this.immediate = this.#u16();
      else if (width === 'b2') this.immediate2 = this.#byte();
      else if (width === 'v' && this.operandWidth === 3) {
        this.immediate = this.#i32();
        this.immediateHigh = this.#i32();
      } else this.immediate = this.operandWidth === 1 ? (this.#u16() << 16) >> 16 : this.#i32();
    } else if (kind === 'L') this.immediate2 = this.#byte(); // second immediate byte: ENTER
    else if (kind === 'O') {
      if (this.addressWidth === 1) this.displacement = this.#u16();
      else this.displacement = this.#i32();
      if (this.addressWidth === 3) this.immediateHigh = this.#i32();
    } else if (kind === 'A') {
      this.immediate = this.operandWidth === 1 ? this.#u16() : this.#i32();
      this.immediate2 = this.#u16();
    }
  }
}
