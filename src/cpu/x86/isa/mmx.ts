// MMX, and what SSE to SSSE3 added for MMX registers (SDM volume 2). Every one checks for a pending x87 exception first and
// leaves the x87 with TOP 0 and all registers in use; memory is read in between, so that a page fault changes nothing.
import * as integer from '../../ir/ops-integer.ts';
import { ABSOLUTE, MOVE, PMOVMSKB_MMX, PSHUFW, SHIFT, VECTOR, ZERO_EXTEND } from '../../ir/ops-vector.ts';
import type { BlockBuilder } from '../builder.ts';
import { ZERO, type Slot } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { MMX, narrowSource, PACKED, PACKED_ABSOLUTE, PACKED_SHIFTS, SSE } from './packed.ts';
import { shiftByImmediate } from './sse-integer.ts';
import { storeMasked } from './sse-move.ts';

/** Begins an instruction whose source, if any, is operand `i`: returns its slot. */
function enter(b: BlockBuilder, i: number): Slot {
  b.helper('fpCheck');
  const source = narrowSource(b, i);
  b.helper('mmxEnter');
  return source;
}

const binary = (operation: number, immediate: (b: BlockBuilder) => number = () => 0) => (b: BlockBuilder): void => {
  const source = enter(b, 1);
  const target = b.registerSlot(0);
  b.emit(operation, target, target, immediate(b), source, 0);
};
const unary = (operation: number, immediate: (b: BlockBuilder) => number = () => 0) => (b: BlockBuilder): void =>
  b.emit(operation, b.registerSlot(0), enter(b, 1), immediate(b), ZERO, 0);

for (const { name, opcode, mmx } of PACKED) {
  if (mmx === '') continue;
  const source = name.startsWith('punpckl') ? 'Qd' : 'Qq'; // the low halves only
  instruction(name, [row(`NP 0F ${opcode} /r`, ['Pq', source], MMX)], binary(VECTOR[name].m), { feature: mmx });
}
for (const [name, opcode] of PACKED_ABSOLUTE)
  instruction(name, [row(`NP 0F 38 ${opcode} /r`, ['Pq', 'Qq'], MMX)], unary(ABSOLUTE[name].m), { feature: 'ssse3' });
instruction('palignr', [row('NP 0F 3A 0F /r', ['Pq', 'Qq', 'Ib'], MMX)],
  binary(VECTOR.palignr.m, (b) => Math.min(b.immediate(2), 16)), { feature: 'ssse3' });
instruction('pshufw', [row('NP 0F 70 /r', ['Pq', 'Qq', 'Ib'], MMX)], unary(PSHUFW, (b) => b.immediate(2)), { feature: 'sse' });

for (const [name, opcode, immediateOpcode] of PACKED_SHIFTS) {
  instruction(name, [row(`NP 0F ${opcode} /r`, ['Pq', 'Qq'], MMX)], binary(SHIFT[name].r.m), { feature: 'mmx' });
  instruction(name, [row(`NP 0F ${immediateOpcode}`, ['Nq', 'Ib'], MMX)],
    (b) => shiftByImmediate(b, SHIFT[name], 'm', enter(b, 0)), { feature: 'mmx' });
}

/** Operand 0, which is memory or a general register, = the MMX register in operand 1. */
const store = (b: BlockBuilder): void => {
  b.helper('fpCheck');
  b.write(0, b.registerSlot(1));
  b.helper('mmxEnter');
};
instruction('movq', [row('NP 0F 6F /r', ['Pq', 'Qq'], MMX)], unary(MOVE.m), { feature: 'mmx' });
instruction('movq', [row('NP 0F 7F /r', ['Qq', 'Pq'], MMX)], (b) => {
  if (b.isMemory(0)) return store(b);
  return b.emit(MOVE.m, b.registerSlot(0), enter(b, 1), 0, ZERO, 0);
}, { feature: 'mmx' });
instruction('movd', [row('NP 0F 6E /r', ['Pq', 'Ey'], MMX)], (b) => {
  const source = enter(b, 1);
  b.emit(b.width(1) === 3 ? MOVE.m : ZERO_EXTEND[2].m, b.registerSlot(0), source, 0, ZERO, 0);
}, { feature: 'mmx' });
instruction('movd', [row('NP 0F 7E /r', ['Ey', 'Pq'], MMX)], store, { feature: 'mmx' });
instruction('movntq', [row('NP 0F E7 /r', ['Mq', 'Pq'], MMX)], store, { feature: 'sse' });
instruction('maskmovq', [row('NP 0F F7 /r', ['Pq', 'Nq'], MMX)], (b) => {
  b.helper('fpCheck');
  b.helper('mmxEnter'); // processors do this even when the store faults
  storeMasked(b, 8);
}, { feature: 'sse' });
instruction('movq2dq', [row('F3 0F D6 /r', ['Vx', 'Nq'], SSE)], (b) => {
  b.emit(ZERO_EXTEND[3].x, b.registerSlot(0), enter(b, 1), 0, ZERO, 0);
}, { feature: 'sse2' });
instruction('movdq2q', [row('F2 0F D6 /r', ['Pq', 'Uq'], SSE)], unary(MOVE.m), { feature: 'sse2' });

const lane = (b: BlockBuilder): number => (b.immediate(2) & 3) << 1;
instruction('pinsrw', [row('NP 0F C4 /r', ['Pq', 'Mw', 'Ib'], MMX), row('NP 0F C4 /r', ['Pq', 'Ry', 'Ib'], MMX)], (b) => {
  const source = enter(b, 1);
  const target = b.registerSlot(0);
  b.move(1, target + lane(b), source);
  b.emit(MOVE.m, target, target, 0, ZERO, 0); // for the exponent
}, { feature: 'sse' });
instruction('pextrw', [row('NP 0F C5 /r', ['Gy', 'Nq', 'Ib'], MMX)], (b) => {
  b.emit(integer.MOVZX['12']!, b.registerSlot(0), enter(b, 1) + lane(b), 0, ZERO, 0);
}, { feature: 'sse' });
instruction('pmovmskb', [row('NP 0F D7 /r', ['Gy', 'Nq'], MMX)],
  (b) => b.emit(PMOVMSKB_MMX, b.registerSlot(0), enter(b, 1), 0, ZERO, 0), { feature: 'sse' });
instruction('emms', [row('NP 0F 77', [], MMX)], (b) => {
  b.helper('fpCheck');
  b.helper('emms');
}, { feature: 'mmx' });
