// The packed integer instructions that exist alike for MMX and XMM registers, declared once: mmx.ts makes the rows without
// a prefix of them, sse-integer.ts those with 66. Also how both read their operands. Declares no instruction itself.
import type { VECTOR } from '../../ir/ops-vector.ts';
import type { BlockBuilder } from '../builder.ts';
import { ZERO, type Slot } from '../record-writer.ts';

export const MMX = { unit: 'mmx' } as const;
export const SSE = { unit: 'sse' } as const;

interface PackedInstruction {
  readonly name: keyof typeof VECTOR;
  /** Behind 0F. */
  readonly opcode: string;
  /** Feature of the MMX form, '' where there is none. */
  readonly mmx: string;
  readonly sse: string;
}

const packed = (mmx: string, sse: string, list: readonly (readonly [keyof typeof VECTOR, string])[]): PackedInstruction[] =>
  list.map(([name, opcode]) => ({ name, opcode, mmx, sse }));

// prettier-ignore
export const PACKED: readonly PackedInstruction[] = [
  ...packed('mmx', 'sse2', [
    ['punpcklbw', '60'], ['punpcklwd', '61'], ['punpckldq', '62'], ['packsswb', '63'], ['pcmpgtb', '64'], ['pcmpgtw', '65'],
    ['pcmpgtd', '66'], ['packuswb', '67'], ['punpckhbw', '68'], ['punpckhwd', '69'], ['punpckhdq', '6A'], ['packssdw', '6B'],
    ['pcmpeqb', '74'], ['pcmpeqw', '75'], ['pcmpeqd', '76'], ['pmullw', 'D5'], ['psubusb', 'D8'], ['psubusw', 'D9'], ['pand', 'DB'],
    ['paddusb', 'DC'], ['paddusw', 'DD'], ['pandn', 'DF'], ['pmulhw', 'E5'], ['psubsb', 'E8'], ['psubsw', 'E9'], ['por', 'EB'],
    ['paddsb', 'EC'], ['paddsw', 'ED'], ['pxor', 'EF'], ['pmaddwd', 'F5'], ['psubb', 'F8'], ['psubw', 'F9'], ['psubd', 'FA'],
    ['paddb', 'FC'], ['paddw', 'FD'], ['paddd', 'FE'],
  ]),
  ...packed('sse', 'sse2', [
    ['pminub', 'DA'], ['pmaxub', 'DE'], ['pavgb', 'E0'], ['pavgw', 'E3'],
    ['pmulhuw', 'E4'], ['pminsw', 'EA'], ['pmaxsw', 'EE'], ['psadbw', 'F6'],
  ]),
  ...packed('sse2', 'sse2', [['paddq', 'D4'], ['pmuludq', 'F4'], ['psubq', 'FB']]),
  ...packed('', 'sse2', [['punpcklqdq', '6C'], ['punpckhqdq', '6D']]),
  ...packed('ssse3', 'ssse3', [
    ['pshufb', '38 00'], ['phaddw', '38 01'], ['phaddd', '38 02'], ['phaddsw', '38 03'], ['pmaddubsw', '38 04'], ['phsubw', '38 05'],
    ['phsubd', '38 06'], ['phsubsw', '38 07'], ['psignb', '38 08'], ['psignw', '38 09'], ['psignd', '38 0A'], ['pmulhrsw', '38 0B'],
  ]),
  ...packed('', 'sse4_1', [
    ['pmuldq', '38 28'], ['pcmpeqq', '38 29'], ['packusdw', '38 2B'], ['pminsb', '38 38'], ['pminsd', '38 39'], ['pminuw', '38 3A'],
    ['pminud', '38 3B'], ['pmaxsb', '38 3C'], ['pmaxsd', '38 3D'], ['pmaxuw', '38 3E'], ['pmaxud', '38 3F'], ['pmulld', '38 40'],
  ]),
  ...packed('', 'sse4_2', [['pcmpgtq', '38 37']]),
];

/** Shifts: opcode with the count in a register or memory, opcode and ModRM digit with an immediate. */
// prettier-ignore
export const PACKED_SHIFTS = [
  ['psrlw', 'D1', '71 /2'], ['psrld', 'D2', '72 /2'], ['psrlq', 'D3', '73 /2'], ['psraw', 'E1', '71 /4'], ['psrad', 'E2', '72 /4'],
  ['psllw', 'F1', '71 /6'], ['pslld', 'F2', '72 /6'], ['psllq', 'F3', '73 /6'],
] as const;
export const PACKED_ABSOLUTE = [['pabsb', '1C'], ['pabsw', '1D'], ['pabsd', '1E']] as const;

/** Slot of a 128-bit source; in memory it must be aligned. */
export function sseSource(b: BlockBuilder, i: number): Slot {
  return b.isMemory(i) ? b.loadVector(undefined, true) : b.registerSlot(i);
}

/** Slot of a source of at most 64 bits, which is loaded in the width of its operand code. */
export function narrowSource(b: BlockBuilder, i: number): Slot {
  return b.isMemory(i) ? b.load(b.width(i)) : b.registerSlot(i);
}

/** Operand 0 = operand 0 op operand 1. */
export const sseBinary = (operation: number) => (b: BlockBuilder): void => {
  const target = b.registerSlot(0);
  b.emit(operation, target, target, 0, sseSource(b, 1), 0);
};
/** Operand 0 = op(operand 1). */
export const sseUnary = (operation: number) => (b: BlockBuilder): void =>
  b.emit(operation, b.registerSlot(0), sseSource(b, 1), 0, ZERO, 0);
