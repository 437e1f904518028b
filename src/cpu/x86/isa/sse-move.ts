// Moves between XMM registers, memory and general registers: SSE to SSE4.1 (SDM volume 2). Lanes of a register are slots
// of their own, so most are ordinary moves, loads and stores of 32 or 64 bits.
// Not here: shuffles, inserting and extracting (sse-shuffle.ts), MMX (mmx.ts).
import { DUPLICATE64, MERGE32, MOVE, ZERO_EXTEND } from '../../ir/ops-vector.ts';
import * as integer from '../../ir/ops-integer.ts';
import type { Width } from '../../ir/lowering.ts';
import { register, type BlockBuilder } from '../builder.ts';
import { ZERO, type Slot } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { SSE } from './packed.ts';

const HIGH = 8; // bytes to the high half of a slot

/** Operand 0 = operand 1, all 128 bits. */
const wholeMove = (aligned: boolean) => (b: BlockBuilder): void => {
  if (b.isMemory(0)) b.storeVector(b.registerSlot(1), aligned);
  else if (b.isMemory(1)) b.loadVector(b.registerSlot(0), aligned);
  else b.emit(MOVE.x, b.registerSlot(0), b.registerSlot(1), 0, ZERO, 0);
};
for (const [name, load, store, aligned, feature] of [
  ['movups', 'NP 0F 10', 'NP 0F 11', false, 'sse'], ['movupd', '66 0F 10', '66 0F 11', false, 'sse2'],
  ['movaps', 'NP 0F 28', 'NP 0F 29', true, 'sse'], ['movapd', '66 0F 28', '66 0F 29', true, 'sse2'],
  ['movdqa', '66 0F 6F', '66 0F 7F', true, 'sse2'], ['movdqu', 'F3 0F 6F', 'F3 0F 7F', false, 'sse2'],
] as const)
  instruction(name, [row(`${load} /r`, ['Vx', 'Wx'], SSE), row(`${store} /r`, ['Wx', 'Vx'], SSE)], wholeMove(aligned), { feature });
for (const [name, text, feature] of [
  ['movntps', 'NP 0F 2B', 'sse'], ['movntpd', '66 0F 2B', 'sse2'],
  ['movntdq', '66 0F E7', 'sse2'],
] as const)
  instruction(name, [row(`${text} /r`, ['Mx', 'Vx'], SSE)], wholeMove(true), { feature });
instruction('movntdqa', [row('66 0F 38 2A /r', ['Vx', 'Mx'], SSE)], wholeMove(true), { feature: 'sse4_1' });
instruction('lddqu', [row('F2 0F F0 /r', ['Vx', 'Mx'], SSE)], wholeMove(false), { feature: 'sse3' });

/** Loads 32 or 64 bits; the rest of the register becomes zero. */
function loadZeroExtended(b: BlockBuilder, width: Width, target: Slot): void {
  b.load(width, target); // a 32-bit value clears the low half
  b.move(3, target + HIGH, ZERO);
}
instruction('movss', [row('F3 0F 10 /r', ['Vd', 'Wd'], SSE), row('F3 0F 11 /r', ['Wd', 'Vd'], SSE)], (b) => {
  if (b.isMemory(0)) b.store(2, b.registerSlot(1));
  else if (b.isMemory(1)) loadZeroExtended(b, 2, b.registerSlot(0));
  else b.emit(MERGE32, b.registerSlot(0), b.registerSlot(1), 0, ZERO, 0);
}, { feature: 'sse' });
instruction('movsd', [row('F2 0F 10 /r', ['Vq', 'Wq'], SSE), row('F2 0F 11 /r', ['Wq', 'Vq'], SSE)], (b) => {
  if (b.isMemory(0)) b.store(3, b.registerSlot(1));
  else if (b.isMemory(1)) loadZeroExtended(b, 3, b.registerSlot(0));
  else b.move(3, b.registerSlot(0), b.registerSlot(1));
}, { feature: 'sse2' });
instruction('movq', [row('F3 0F 7E /r', ['Vq', 'Wq'], SSE), row('66 0F D6 /r', ['Wq', 'Vq'], SSE)], (b) => {
  if (b.isMemory(0)) b.store(3, b.registerSlot(1));
  else if (b.isMemory(1)) loadZeroExtended(b, 3, b.registerSlot(0));
  else b.emit(ZERO_EXTEND[3].x, b.registerSlot(0), b.registerSlot(1), 0, ZERO, 0);
}, { feature: 'sse2' });
instruction('movd', [row('66 0F 6E /r', ['Vx', 'Ey'], SSE)], (b) => {
  const width = b.width(1) === 3 ? 3 : 2;
  if (b.isMemory(1)) loadZeroExtended(b, width, b.registerSlot(0));
  else b.emit(ZERO_EXTEND[width].x, b.registerSlot(0), b.registerSlot(1), 0, ZERO, 0);
}, { feature: 'sse2' });
instruction('movd', [row('66 0F 7E /r', ['Ey', 'Vx'], SSE)], (b) => b.write(0, b.registerSlot(1)), { feature: 'sse2' });

// Halves of a register: loads and stores, and moves between registers that change one half only.
for (const [name, prefix, opcode, half, feature] of [
  ['movlps', 'NP', '12', 0, 'sse'], ['movlpd', '66', '12', 0, 'sse2'],
  ['movhps', 'NP', '16', HIGH, 'sse'], ['movhpd', '66', '16', HIGH, 'sse2'],
] as const) {
  instruction(name, [row(`${prefix} 0F ${opcode} /r`, ['Vq', 'Mq'], SSE)], (b) => b.load(3, b.registerSlot(0) + half), { feature });
  instruction(name, [row(`${prefix} 0F ${opcode[0]}${Number(opcode[1]) + 1} /r`, ['Mq', 'Vq'], SSE)],
    (b) => b.store(3, b.registerSlot(1) + half), { feature });
}
instruction('movhlps', [row('NP 0F 12 /r', ['Vq', 'Uq'], SSE)],
  (b) => b.move(3, b.registerSlot(0), b.registerSlot(1) + HIGH), { feature: 'sse' });
instruction('movlhps', [row('NP 0F 16 /r', ['Vq', 'Uq'], SSE)],
  (b) => b.move(3, b.registerSlot(0) + HIGH, b.registerSlot(1)), { feature: 'sse' });
instruction('movddup', [row('F2 0F 12 /r', ['Vq', 'Wq'], SSE)], (b) => {
  const source = b.isMemory(1) ? b.load(3) : b.registerSlot(1);
  b.emit(DUPLICATE64, b.registerSlot(0), source, 0, ZERO, 0);
}, { feature: 'sse3' });

/** MOVNTI uses no vector register: CR0 and CR4 do not matter to it. */
instruction('movnti', [row('NP 0F C3 /r', ['My', 'Gy'])], (b) => b.store(b.width(1), b.registerSlot(1)), { feature: 'sse2' });

/** MASKMOVDQU and MASKMOVQ: bytes of operand 0 go to [rDI] where operand 1 has top bits set. */
export function storeMasked(b: BlockBuilder, bytes: number): void {
  const offset = b.temporary();
  b.emit(integer.EA[b.insn.addressWidth]!, offset, register(7), 0, ZERO, 0);
  const linear = b.linearOfOffset(offset, bytes, true);
  b.helper('storeMasked', linear, b.registerSlot(0), b.registerSlot(1), bytes);
}
instruction('maskmovdqu', [row('66 0F F7 /r', ['Vx', 'Ux'], SSE)], (b) => storeMasked(b, 16), { feature: 'sse2' });
