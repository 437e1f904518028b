// How instructions are declared: rows in the notation of the SDM's opcode tables (volume 2, appendix A), and one meaning
// for all rows of a mnemonic. The decoder, the disassembler, the random-instruction generator and the coverage page read
// the rows; the meaning is written against the block builder, that is, in IR.
//
// An opcode string is: [NP|66|F3|F2] [REX.W|W0] [VEX.] bytes in hex [+r] [/digit | /r | a ModRM byte in hex after '|'].
// Operand codes are the manual's: E (ModRM r/m), G (ModRM reg), I (immediate), J (relative), M (memory only), R (register
// only), O (offset), S, C, D (segment, control, debug register), V W U (XMM reg, r/m, register only), P Q N (MMX),
// Z (register in the opcode's low bits), rAX; widths b w d q v (operand size) y (32 or 64) z (16 or 32) x (128) p (far).
import { assert } from '../../base/assert.ts';
import type { BlockBuilder } from './builder.ts';

export interface RowOptions {
  readonly lock?: boolean; // LOCK is allowed with a memory destination
  readonly no64?: boolean; // #UD in 64-bit mode
  readonly only64?: boolean;
  readonly default64?: boolean; // operand size is 64 in 64-bit mode, 16 with 66
  readonly force64?: boolean; // operand size is 64 in 64-bit mode whatever the prefixes
  /** The unit that must be there and switched on: CR0.EM, CR0.TS, CR4.OSFXSR. */
  readonly unit?: Unit;
}

/** 'wait' is FWAIT: only CR0.MP and CR0.TS together keep it from running, which its helper checks. */
export type Unit = 'none' | 'x87' | 'mmx' | 'sse' | 'wait';

export interface OperandCode {
  readonly code: string;
  /** 'E', 'G', 'I', ... or 'fixed' for a register named in the row. */
  readonly kind: string;
  readonly width: string;
  /** Encoding number of a fixed register. */
  readonly register: number;
}

/** Rows have one shape, because the decoder looks at a dozen fields of one for each instruction. */
export interface Row extends Required<RowOptions> {
  readonly text: string;
  readonly operands: readonly OperandCode[];
  /** Those that are bytes after ModRM and its displacement, in their order. */
  readonly immediates: readonly OperandCode[];
  /** An operand is O: its address is in the instruction. */
  readonly hasOffset: boolean;
  /** An operand is the register that VEX names. */
  readonly hasVexRegister: boolean;
  readonly prefix: 'any' | 'NP' | '66' | 'F3' | 'F2';
  readonly w: 'any' | 0 | 1;
  readonly vex: boolean;
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly plusRegister: boolean;
  /** ModRM.reg that the row demands, or -1. */
  readonly digit: number;
  /** The whole ModRM byte that the row demands, or -1. */
  readonly modrm: number;
  readonly hasModrm: boolean;
  /** What the row demands of ModRM.mod: memory, register, or either. */
  readonly mod: 'any' | 'memory' | 'register';
}

export interface Instruction {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly meaning: (b: BlockBuilder) => void;
  readonly feature: string;
  /** OSZAPC bits that the manual leaves undefined. */
  readonly undefinedFlags: number;
}

export interface InstructionOptions {
  readonly feature?: string; // name in cpu/x86/cpuid.ts; without it the instruction does not exist
  readonly undefinedFlags?: number;
}

const FIXED: Readonly<Record<string, readonly [kind: string, width: string, register: number]>> = {
  rAXb: ['fixed', 'b', 0], rAXv: ['fixed', 'v', 0], rAXz: ['fixed', 'z', 0], AX: ['fixed', 'w', 0], CL: ['fixed', 'b', 1],
  DX: ['fixed', 'w', 2], '1': ['one', 'b', 0],
};

function operandCode(code: string): OperandCode {
  const fixed = FIXED[code];
  if (fixed !== undefined) return { code, kind: fixed[0], width: fixed[1], register: fixed[2] };
  assert(/^[A-Z][a-z]*$/.test(code), `operand code ${code}`);
  return { code, kind: code[0]!, width: code.slice(1), register: -1 };
}

const MODRM_KINDS = 'EGMRSCDVWUPQN';
const IMMEDIATE_KINDS = 'IJLOA';

export function row(text: string, operands: readonly string[] = [], options: RowOptions = {}): Row {
  const codes = operands.map(operandCode);
  const tokens = text.split(' ').filter((token) => token !== '');
  let prefix: Row['prefix'] = 'any', w: Row['w'] = 'any', vex = false, plusRegister = false, digit = -1, modrm = -1;
  const bytes: number[] = [];
  let slashR = false;
  for (const [index, token] of tokens.entries()) {
    const isPrefix = (token === '66' || token === 'F3' || token === 'F2') && index === 0 && /^(0F|REX|W0|VEX)/.test(tokens[1] ?? '');
    if (token === 'NP' || isPrefix) prefix = token;
    else if (token === 'REX.W' || token === 'W1') w = 1;
    else if (token === 'W0') w = 0;
    else if (token === 'VEX') vex = true;
    else if (token === '/r') slashR = true;
    else if (/^\/[0-7]$/.test(token)) digit = Number(token[1]);
    else if (/^\|[0-9A-F]{2}$/.test(token)) modrm = Number.parseInt(token.slice(1), 16);
    else if (token === '+r') plusRegister = true;
    else {
      assert(/^[0-9A-F]{2}$/.test(token), `row ${text}`);
      bytes.push(Number.parseInt(token, 16));
    }
  }
  let map: Row['map'] = 0;
  if (bytes.length > 1 && bytes.shift() === 0x0f) {
    const escape: number = bytes.length > 1 ? bytes[0]! : -1;
    map = escape === 0x38 ? 2 : escape === 0x3a ? 3 : 1;
    if (map > 1) bytes.shift();
  }
  assert(bytes.length === 1, `row ${text} has one opcode byte`);
  const has = (kinds: string): boolean => codes.some(({ kind }) => kinds.includes(kind));
  const hasModrm = slashR || digit >= 0 || modrm >= 0 || has(MODRM_KINDS);
  const memory = has('M');
  const register = has('RUN');
  assert(!(memory && register), `row ${text}: memory and register`);
  const { lock = false, no64 = false, only64 = false, default64 = false, force64 = false, unit = 'none' } = options;
  const immediates = codes.filter(({ kind }) => IMMEDIATE_KINDS.includes(kind));
  return {
    lock, no64, only64, default64, force64, unit, text, operands: codes, immediates, hasOffset: has('O'), hasVexRegister: has('BH'),
    prefix, w, vex, map, opcode: bytes[0]!, plusRegister, digit, modrm, hasModrm,
    mod: memory ? 'memory' : register || modrm >= 0 ? 'register' : 'any',
  };
}

const declared: Instruction[] = [];
export const INSTRUCTIONS: readonly Instruction[] = declared;

export function instruction(
  name: string,
  rows: readonly Row[],
  meaning: (b: BlockBuilder) => void,
  options: InstructionOptions = {},
): void {
  declared.push({ name, rows, meaning, feature: options.feature ?? '', undefinedFlags: options.undefinedFlags ?? 0 });
}
