// Integer arithmetic, comparison, logic and shifts on XMM registers: SSE2 to SSE4.2 (SDM volume 2).
// Not here: moves, shuffles, AES and SHA; the instructions that MMX shares are declared in packed.ts.
import { ABSOLUTE, PSLLDQ, PSRLDQ, PTEST, SHIFT, SIGN_MASK, VECTOR, WIDEN, type ShiftOps } from '../../ir/ops-vector.ts';
import type { BlockBuilder } from '../builder.ts';
import { ZERO, type Slot } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { cpuOffset } from '../state.ts';
import { narrowSource, PACKED, PACKED_ABSOLUTE, PACKED_SHIFTS, SSE, sseBinary, sseSource, sseUnary } from './packed.ts';

for (const { name, opcode, sse } of PACKED)
  instruction(name, [row(`66 0F ${opcode} /r`, ['Vx', 'Wx'], SSE)], sseBinary(VECTOR[name].x), { feature: sse });
for (const [name, opcode] of PACKED_ABSOLUTE)
  instruction(name, [row(`66 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)], sseUnary(ABSOLUTE[name].x), { feature: 'ssse3' });

for (const [name, opcode, operation] of [
  ['and', '54', 'pand'], ['andn', '55', 'pandn'],
  ['or', '56', 'por'], ['xor', '57', 'pxor'],
] as const) {
  instruction(`${name}ps`, [row(`NP 0F ${opcode} /r`, ['Vx', 'Wx'], SSE)], sseBinary(VECTOR[operation].x), { feature: 'sse' });
  instruction(`${name}pd`, [row(`66 0F ${opcode} /r`, ['Vx', 'Wx'], SSE)], sseBinary(VECTOR[operation].x), { feature: 'sse2' });
}

/** Shift by immediate in either form; counts beyond the width give zeroes, or copies of the sign. */
export function shiftByImmediate(b: BlockBuilder, { i, bits, arithmetic }: ShiftOps, form: 'x' | 'm', target: Slot): void {
  const count = b.immediate(1);
  if (count >= bits && !arithmetic) b.emit(VECTOR.pxor[form], target, target, 0, target, 0);
  else b.emit(i[form], target, target, Math.min(count, bits - 1), ZERO, 0);
}
for (const [name, opcode, immediateOpcode] of PACKED_SHIFTS) {
  instruction(name, [row(`66 0F ${opcode} /r`, ['Vx', 'Wx'], SSE)], sseBinary(SHIFT[name].r.x), { feature: 'sse2' });
  instruction(name, [row(`66 0F ${immediateOpcode}`, ['Ux', 'Ib'], SSE)],
    (b) => shiftByImmediate(b, SHIFT[name], 'x', b.registerSlot(0)), { feature: 'sse2' });
}
for (const [name, digit, operation] of [['psrldq', 3, PSRLDQ], ['pslldq', 7, PSLLDQ]] as const)
  instruction(name, [row(`66 0F 73 /${digit}`, ['Ux', 'Ib'], SSE)], (b) => {
    const target = b.registerSlot(0);
    b.emit(operation, target, target, Math.min(b.immediate(1), 16), ZERO, 0);
  }, { feature: 'sse2' });

for (const [name, prefix, opcode, feature] of [
  ['pmovmskb', '66', 'D7', 'sse2'], ['movmskps', 'NP', '50', 'sse'],
  ['movmskpd', '66', '50', 'sse2'],
] as const)
  instruction(name, [row(`${prefix} 0F ${opcode} /r`, ['Gd', 'Ux'], SSE)], (b) => {
    b.emit(SIGN_MASK[name], b.registerSlot(0), b.registerSlot(1), 0, ZERO, 0);
  }, { feature });

// Sources of 64, 32 or 16 bits.
for (const [suffix, opcode, source] of [
  ['bw', '0', 'Wq'], ['bd', '1', 'Wd'], ['bq', '2', 'Ww'],
  ['wd', '3', 'Wq'], ['wq', '4', 'Wd'], ['dq', '5', 'Wq'],
] as const)
  for (const [name, map] of [[`pmovsx${suffix}`, '2'], [`pmovzx${suffix}`, '3']] as const)
    instruction(name, [row(`66 0F 38 ${map}${opcode} /r`, ['Vx', source], SSE)], (b) => {
      b.emit(WIDEN[name].x, b.registerSlot(0), narrowSource(b, 1), 0, ZERO, 0);
    }, { feature: 'sse4_1' });

instruction('ptest', [row('66 0F 38 17 /r', ['Vx', 'Wx'], SSE)], (b) => {
  b.emit(PTEST, ZERO, b.registerSlot(0), 0, sseSource(b, 1), 0);
  b.unknownFlags();
}, { feature: 'sse4_1' });
instruction('phminposuw', [row('66 0F 38 41 /r', ['Vx', 'Wx'], SSE)],
  (b) => b.helper('phminposuw', b.registerSlot(0), sseSource(b, 1)), { feature: 'sse4_1' });
instruction('mpsadbw', [row('66 0F 3A 42 /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  const target = b.registerSlot(0);
  b.helper('mpsadbw', target, target, sseSource(b, 1), b.immediate(2));
}, { feature: 'sse4_1' });

const XMM0 = cpuOffset('ymm0');
const WIDE_LENGTH = 0x100; // the string lengths are 64 bits of RAX and RDX
for (const [name, opcode] of [['pcmpestrm', '60'], ['pcmpestri', '61'], ['pcmpistrm', '62'], ['pcmpistri', '63']] as const)
  instruction(name, [row(`66 0F 3A ${opcode} /r`, ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
    const text = b.isMemory(1) ? b.loadVector() : b.registerSlot(1);
    b.helper(name, XMM0, b.registerSlot(0), text, b.immediate(2) | (b.opWidth === 3 ? WIDE_LENGTH : 0));
  }, { feature: 'sse4_2' });
