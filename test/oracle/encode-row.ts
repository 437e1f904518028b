// Encodes one instruction from its declared row: prefixes, REX or VEX, opcode, ModRM, SIB, displacement, immediates, with
// the choices left to the random generator. The inverse of the decoder, derived from the same rows.
import type { OperandCode, Row } from '../../src/cpu/x86/row.ts';
import type { Prng } from './prng.ts';
import { randomInteger } from './random-values.ts';

type Bits = 16 | 32 | 64;

/** What the encoder may know about the state in which the instruction runs. */
export interface EncodeContext {
  readonly bits: Bits;
  /** Values of the sixteen registers, as far as they are foreseeable. */
  readonly registers: BigUint64Array;
  /** Registers that the program needs as pointers: avoided as register operands. */
  readonly pointers: ReadonlySet<number>;
  /** Offset from the code segment's base at which the instruction starts. */
  readonly ip: number;
  /** Chooses the offset (from the data segment's base) of a memory operand. */
  readonly chooseAddress: (rng: Prng) => number;
}

export interface EncodedInstruction {
  readonly bytes: number[];
  /** A relative branch: where its displacement lies, so that the generator can aim it. */
  readonly branch?: { readonly at: number; readonly bytes: number };
  readonly operandBytes: 2 | 4 | 8;
}

const REGISTER_FIELD = 'GVPSCD';
const RM_FIELD = 'EMRWUQN';
const MANDATORY: Readonly<Record<string, number>> = { '66': 0x66, F3: 0xf3, F2: 0xf2 };

function operandBytesOf(row: Row, bits: Bits, has66: boolean, rexW: boolean): 2 | 4 | 8 {
  if (bits !== 64) return (bits === 32) === has66 ? 2 : 4;
  if (rexW || row.force64) return 8;
  if (row.default64) return has66 ? 2 : 8;
  return has66 ? 2 : 4;
}

function littleEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
}

function immediateBytes({ kind, width }: OperandCode, operandBytes: number, addressBytes: number): number {
  if (kind === 'O') return addressBytes;
  if (kind === 'L') return 1;
  if (kind !== 'I' && kind !== 'J') return 0;
  if (width === 'b' || width === 'sb' || width === 'b2') return 1;
  if (width === 'w') return 2;
  if (width === 'v') return operandBytes;
  return operandBytes === 2 ? 2 : 4;
}

interface MemoryForm {
  readonly mod: number;
  readonly rm: number; // low 3 bits
  readonly rexB: boolean;
  readonly rexX: boolean;
  readonly tail: number[]; // SIB and displacement
  /** tail's last four bytes count from the end of the instruction, whose length the caller knows. */
  readonly ripTarget?: number;
}

const fits8 = (value: number): boolean => value >= -128 && value <= 127;

function memory16(rng: Prng, { registers, chooseAddress }: EncodeContext): MemoryForm {
  const parts = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]] as const;
  const target = chooseAddress(rng);
  const rm = rng.below(8);
  if (rm === 6 && rng.chance(50)) return { mod: 0, rm, rexB: false, rexX: false, tail: littleEndian(BigInt(target & 0xffff), 2) };
  const sum = parts[rm]!.reduce((total, register) => total + Number(registers[register]! & 0xffffn), 0);
  const displacement = ((target - sum) << 16) >> 16;
  if (displacement === 0 && rm !== 6) return { mod: 0, rm, rexB: false, rexX: false, tail: [] };
  const mod = fits8(displacement) ? 1 : 2;
  return { mod, rm, rexB: false, rexX: false, tail: littleEndian(BigInt(displacement), mod) };
}

function memory32(rng: Prng, context: EncodeContext, addressBytes: number): MemoryForm {
  const { bits, registers, pointers, chooseAddress } = context;
  const target = chooseAddress(rng);
  const direct = rng.below(10);
  if (direct === 0) {
    const tail = littleEndian(BigInt(target), 4);
    if (bits === 64 && rng.chance(60)) return { mod: 0, rm: 5, rexB: rng.chance(20), rexX: false, tail, ripTarget: target };
    if (bits === 64) return { mod: 0, rm: 4, rexB: rng.chance(20), rexX: false, tail: [0x25, ...tail] };
    return { mod: 0, rm: 5, rexB: false, rexX: false, tail };
  }
  const count = bits === 64 ? 16 : 8;
  const base = pointers.size > 0 && rng.chance(90) ? rng.pick([...pointers]) : rng.below(count);
  const small = Array.from({ length: count }, (_, n) => n).filter((n) => n !== 4 && registers[n]! < 0x10000000n);
  const index = rng.chance(35) ? rng.chance(90) && small.length > 0 ? rng.pick(small) : rng.below(count) : 4;
  const scale = rng.below(4);
  const offset = index === 4 ? 0n : registers[index]! << BigInt(scale);
  const width = addressBytes * 8;
  const wanted = BigInt.asIntN(width, BigInt(target) - registers[base]! - offset);
  const displacement = Number(BigInt.asIntN(32, wanted));
  const mod = displacement === 0 && (base & 7) !== 5 ? 0 : fits8(displacement) ? 1 : 2;
  const bytes = mod === 0 ? 0 : mod === 1 ? 1 : 4;
  const tail = littleEndian(BigInt(displacement), bytes);
  const needsSib = index !== 4 || (base & 7) === 4 || rng.chance(10);
  const sib = (scale << 6) | ((index & 7) << 3) | (base & 7);
  return { mod, rm: needsSib ? 4 : base & 7, rexB: base > 7, rexX: needsSib && index > 7, tail: needsSib ? [sib, ...tail] : tail };
}

/** A register operand: rarely one of the pointers, unless the instruction only reads it anyway. */
function chooseRegister(rng: Prng, { bits, pointers }: EncodeContext, isGeneral: boolean): number {
  const count = bits === 64 ? 16 : 8;
  let register = rng.below(count);
  for (let tries = 0; isGeneral && tries < 4 && pointers.has(register) && !rng.chance(10); tries++) register = rng.below(count);
  return register;
}

interface Prefixes {
  readonly legacy: number[];
  readonly has66: boolean;
  readonly has67: boolean;
  readonly rexW: boolean;
}

function choosePrefixes(row: Row, rng: Prng, bits: Bits, { allow66 = true, allowRepeat = true }: EncodeChoices): Prefixes {
  const legacy: number[] = [];
  const mayHave66 = allow66 && !row.vex && row.prefix === 'any' && !(bits === 64 && row.force64);
  const has66 = row.prefix === '66' || (mayHave66 && rng.chance(20));
  const has67 = rng.chance(bits === 64 ? 8 : bits === 32 ? 3 : 15);
  const rexW = bits === 64 && (row.w === 1 || (row.w === 'any' && rng.chance(45)));
  if (has67) legacy.push(0x67);
  if (has66 && !row.vex) legacy.push(0x66);
  if (row.prefix in MANDATORY && row.prefix !== '66' && !row.vex) legacy.push(MANDATORY[row.prefix]!);
  else if (row.map === 0 && !row.vex && rng.chance(4) && allowRepeat) legacy.push(rng.pick([0xf2, 0xf3]));
  if (rng.chance(4)) legacy.push(rng.pick(bits === 64 ? [0x2e, 0x36, 0x3e, 0x26] : [0x36, 0x3e, 0x26]));
  if (bits === 64 && rng.chance(3)) legacy.push(rng.pick([0x64, 0x65]));
  return { legacy, has66, has67, rexW };
}

function vexBytes(row: Row, rexR: boolean, rexX: boolean, rexB: boolean, w: boolean, vvvv: number, length: number): number[] {
  const pp = ['NP', '66', 'F3', 'F2'].indexOf(row.prefix === 'any' ? 'NP' : row.prefix);
  const last = ((~vvvv & 15) << 3) | (length << 2) | pp;
  if (row.map === 1 && !rexX && !rexB && !w) return [0xc5, (rexR ? 0 : 0x80) | last];
  return [0xc4, (rexR ? 0 : 0x80) | (rexX ? 0 : 0x40) | (rexB ? 0 : 0x20) | row.map, (w ? 0x80 : 0) | last];
}

export interface EncodeChoices {
  /** Values for immediates, in order; random where absent. */
  readonly immediates?: readonly bigint[];
  readonly allow66?: boolean;
  readonly allowRepeat?: boolean;
  readonly extraPrefixes?: readonly number[];
  readonly lock?: boolean;
}

export function encodeRow(row: Row, rng: Prng, context: EncodeContext, choices: EncodeChoices = {}): EncodedInstruction {
  const { bits } = context;
  const { legacy, has66, has67, rexW } = choosePrefixes(row, rng, bits, choices);
  const addressBytes = bits === 64 ? (has67 ? 4 : 8) : (bits === 32) === has67 ? 2 : 4;
  const operandBytes = operandBytesOf(row, bits, has66 && !row.vex, rexW);

  const registerOperand = row.operands.find(({ kind }) => REGISTER_FIELD.includes(kind));
  const rmOperand = row.operands.find(({ kind }) => RM_FIELD.includes(kind));
  const reg = row.digit >= 0 ? row.digit | (bits === 64 && rng.chance(10) ? 8 : 0) : chooseSpecialRegister(rng, context, registerOperand);
  const isRegister = row.mod === 'register' || (row.mod === 'any' && rng.chance(choices.lock === true ? 0 : 45));
  let form: MemoryForm | undefined;
  let modrm: number[] = [];
  let rexB = false, rexX = false;
  if (row.modrm >= 0) modrm = [row.modrm];
  else if (row.hasModrm && isRegister) {
    const rm = chooseRegister(rng, context, rmOperand === undefined || 'ER'.includes(rmOperand.kind));
    rexB = rm > 7;
    modrm = [0xc0 | ((reg & 7) << 3) | (rm & 7)];
  } else if (row.hasModrm) {
    form = addressBytes === 2 ? memory16(rng, context) : memory32(rng, context, addressBytes);
    ({ rexB, rexX } = form);
    modrm = [(form.mod << 6) | ((reg & 7) << 3) | form.rm, ...form.tail];
  }
  const low = row.plusRegister ? chooseRegister(rng, context, true) : 0;
  if (row.plusRegister) rexB = low > 7;
  if (!row.hasModrm && !row.plusRegister) rexB = rng.chance(5);

  const bytes = [...(choices.lock === true ? [0xf0] : []), ...legacy, ...(choices.extraPrefixes ?? [])];
  const usesVvvv = row.operands.some(({ kind }) => kind === 'B' || kind === 'H');
  const vvvv = usesVvvv || rng.chance(5) ? rng.below(bits === 64 ? 16 : 8) : 0; // without an operand, other than 1111 is #UD
  if (row.vex) bytes.push(...vexBytes(row, reg > 7, rexX, rexB, rexW, vvvv, 0));
  else {
    const rex = 0x40 | (rexW ? 8 : 0) | (reg > 7 ? 4 : 0) | (rexX ? 2 : 0) | (rexB ? 1 : 0);
    if (bits === 64 && (rex !== 0x40 || rng.chance(15))) bytes.push(rex);
    bytes.push(...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][row.map]!);
  }
  bytes.push(row.opcode + (low & 7), ...modrm);
  const afterModrm = bytes.length;
  const branch = pushImmediates(row, rng, context, choices, bytes, operandBytes, addressBytes);
  if (form?.ripTarget !== undefined) {
    const displacement = BigInt(form.ripTarget - (context.ip + bytes.length));
    bytes.splice(afterModrm - 4, 4, ...littleEndian(displacement, 4));
  }
  return { bytes, operandBytes, ...(branch === undefined ? {} : { branch }) };
}

/** Segment registers exist up to GS; ModRM.reg without an operand is any. */
function chooseSpecialRegister(rng: Prng, context: EncodeContext, operand: OperandCode | undefined): number {
  if (operand?.kind === 'S') return rng.below(6);
  return chooseRegister(rng, context, operand === undefined || operand.kind === 'G');
}

function pushImmediates(
  row: Row, rng: Prng, { chooseAddress }: EncodeContext, { immediates }: EncodeChoices, bytes: number[],
  operandBytes: number, addressBytes: number,
): EncodedInstruction['branch'] {
  let branch: EncodedInstruction['branch'];
  let used = 0;
  for (const operand of row.operands) {
    const count = immediateBytes(operand, operandBytes, addressBytes);
    if (count === 0) continue;
    if (operand.kind === 'J') branch = { at: bytes.length, bytes: count };
    const value = operand.kind === 'O' ? BigInt(chooseAddress(rng)) : immediates?.[used++] ?? randomInteger(rng);
    bytes.push(...littleEndian(value, count));
  }
  return branch;
}
