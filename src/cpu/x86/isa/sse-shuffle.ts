// Shuffles, blends, inserting and extracting on XMM registers: SSE to SSE4.1 (SDM volume 2). An immediate that names a lane
// is resolved here: the lane is a slot. Not here: punpck and pack, which MMX has as well (packed.ts).
import { BLEND_VARIABLE, MERGE32, PBLENDW, PSHUFD, PSHUFHW, PSHUFLW, SHUFPD, SHUFPS, VECTOR } from '../../ir/ops-vector.ts';
import * as integer from '../../ir/ops-integer.ts';
import type { Width } from '../../ir/lowering.ts';
import type { BlockBuilder } from '../builder.ts';
import { ZERO } from '../record-writer.ts';
import { instruction, row, type Row } from '../row.ts';
import { cpuOffset } from '../state.ts';
import { SSE, sseBinary, sseSource } from './packed.ts';

const XMM0 = cpuOffset('ymm0');

for (const [name, prefix, operation] of [['pshufd', '66', PSHUFD], ['pshufhw', 'F3', PSHUFHW], ['pshuflw', 'F2', PSHUFLW]] as const)
  instruction(name, [row(`${prefix} 0F 70 /r`, ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
    b.emit(operation, b.registerSlot(0), sseSource(b, 1), b.immediate(2), ZERO, 0);
  }, { feature: 'sse2' });
/** Duplicating even or odd singles is a PSHUFD with a fixed choice. */
for (const [name, opcode, choice] of [['movsldup', '12', 0xa0], ['movshdup', '16', 0xf5]] as const)
  instruction(name, [row(`F3 0F ${opcode} /r`, ['Vx', 'Wx'], SSE)], (b) => {
    b.emit(PSHUFD, b.registerSlot(0), sseSource(b, 1), choice, ZERO, 0);
  }, { feature: 'sse3' });

/** Operand 0 = operand 0 op operand 1, with an immediate. */
const withImmediate = (operation: number, immediate: (b: BlockBuilder) => number) => (b: BlockBuilder): void => {
  const target = b.registerSlot(0);
  b.emit(operation, target, target, immediate(b), sseSource(b, 1), 0);
};
instruction('shufps', [row('NP 0F C6 /r', ['Vx', 'Wx', 'Ib'], SSE)], withImmediate(SHUFPS, (b) => b.immediate(2)), { feature: 'sse' });
instruction('shufpd', [row('66 0F C6 /r', ['Vx', 'Wx', 'Ib'], SSE)], withImmediate(SHUFPD, (b) => b.immediate(2)), { feature: 'sse2' });
instruction('unpcklps', [row('NP 0F 14 /r', ['Vx', 'Wx'], SSE)], sseBinary(VECTOR.punpckldq.x), { feature: 'sse' });
instruction('unpckhps', [row('NP 0F 15 /r', ['Vx', 'Wx'], SSE)], sseBinary(VECTOR.punpckhdq.x), { feature: 'sse' });
instruction('unpcklpd', [row('66 0F 14 /r', ['Vx', 'Wx'], SSE)], sseBinary(VECTOR.punpcklqdq.x), { feature: 'sse2' });
instruction('unpckhpd', [row('66 0F 15 /r', ['Vx', 'Wx'], SSE)], sseBinary(VECTOR.punpckhqdq.x), { feature: 'sse2' });
instruction('palignr', [row('66 0F 3A 0F /r', ['Vx', 'Wx', 'Ib'], SSE)],
  withImmediate(VECTOR.palignr.x, (b) => Math.min(b.immediate(2), 32)), { feature: 'ssse3' });

/** The immediate's bits, each `times` over: choices of wider elements as choices of words. */
const repeated = (bits: number, count: number, times: number): number =>
  Array.from({ length: count }, (_, n) => ((bits >> n) & 1) * (((1 << times) - 1) << (n * times))).reduce((sum, part) => sum | part, 0);
instruction('pblendw', [row('66 0F 3A 0E /r', ['Vx', 'Wx', 'Ib'], SSE)],
  withImmediate(PBLENDW, (b) => b.immediate(2)), { feature: 'sse4_1' });
instruction('blendps', [row('66 0F 3A 0C /r', ['Vx', 'Wx', 'Ib'], SSE)],
  withImmediate(PBLENDW, (b) => repeated(b.immediate(2), 4, 2)), { feature: 'sse4_1' });
instruction('blendpd', [row('66 0F 3A 0D /r', ['Vx', 'Wx', 'Ib'], SSE)],
  withImmediate(PBLENDW, (b) => repeated(b.immediate(2), 2, 4)), { feature: 'sse4_1' });
for (const [name, opcode] of [['pblendvb', '10'], ['blendvps', '14'], ['blendvpd', '15']] as const)
  instruction(name, [row(`66 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)], (b) => {
    b.emit(BLEND_VARIABLE[name], b.registerSlot(0), sseSource(b, 1), 0, XMM0, 0);
  }, { feature: 'sse4_1' });

// Lanes: the offset of the lane that the immediate names, in bytes.
const laneOffset = (immediate: number, width: Width): number => (immediate & ((16 >> width) - 1)) << width;

/** Operand 0 = a lane of operand 1: stored as it is, or zero-extended in a register. */
const extract = (width: Width) => (b: BlockBuilder): void => {
  const lane = b.registerSlot(1) + laneOffset(b.immediate(2), width);
  if (b.isMemory(0)) b.store(width, lane);
  else if (width >= 2) b.move(width, b.registerSlot(0), lane);
  else b.emit(integer.MOVZX[`${width}2`]!, b.registerSlot(0), lane, 0, ZERO, 0);
};
const extractRows = (text: string, memory: string): readonly Row[] => [
  row(`${text} /r`, [memory, 'Vx', 'Ib'], SSE),
  row(`${text} /r`, ['Ry', 'Vx', 'Ib'], SSE),
];
instruction('pextrb', extractRows('66 0F 3A 14', 'Mb'), extract(0), { feature: 'sse4_1' });
instruction('pextrw', extractRows('66 0F 3A 15', 'Mw'), extract(1), { feature: 'sse4_1' });
instruction('pextrw', [row('66 0F C5 /r', ['Gy', 'Ux', 'Ib'], SSE)], extract(1), { feature: 'sse2' });
instruction('pextrd', [row('66 W0 0F 3A 16 /r', ['Ed', 'Vx', 'Ib'], SSE)], extract(2), { feature: 'sse4_1' });
instruction('pextrq', [row('66 REX.W 0F 3A 16 /r', ['Eq', 'Vx', 'Ib'], SSE)], extract(3), { feature: 'sse4_1' });
instruction('extractps', [row('66 0F 3A 17 /r', ['Ed', 'Vx', 'Ib'], SSE)], extract(2), { feature: 'sse4_1' });

/** A lane of operand 0 = operand 1. */
const insert = (width: Width) => (b: BlockBuilder): void => {
  const lane = b.registerSlot(0) + laneOffset(b.immediate(2), width);
  if (width === 2) b.emit(MERGE32, lane, b.isMemory(1) ? b.load(2) : b.registerSlot(1), 0, ZERO, 0);
  else if (b.isMemory(1)) b.load(width, lane);
  else b.move(width, lane, b.registerSlot(1));
};
const insertRows = (text: string, memory: string): readonly Row[] => [
  row(`${text} /r`, ['Vx', memory, 'Ib'], SSE),
  row(`${text} /r`, ['Vx', 'Ry', 'Ib'], SSE),
];
instruction('pinsrw', insertRows('66 0F C4', 'Mw'), insert(1), { feature: 'sse2' });
instruction('pinsrb', insertRows('66 0F 3A 20', 'Mb'), insert(0), { feature: 'sse4_1' });
instruction('pinsrd', [row('66 W0 0F 3A 22 /r', ['Vx', 'Ed', 'Ib'], SSE)], insert(2), { feature: 'sse4_1' });
instruction('pinsrq', [row('66 REX.W 0F 3A 22 /r', ['Vx', 'Eq', 'Ib'], SSE)], insert(3), { feature: 'sse4_1' });

/** Immediate: source lane (register only), destination lane, lanes that become zero. */
instruction('insertps', [row('66 0F 3A 21 /r', ['Vx', 'Wd', 'Ib'], SSE)], (b) => {
  const target = b.registerSlot(0);
  const choice = b.immediate(2);
  const source = b.isMemory(1) ? b.load(2) : b.registerSlot(1) + laneOffset(choice >> 6, 2);
  b.emit(MERGE32, target + laneOffset(choice >> 4, 2), source, 0, ZERO, 0);
  for (let n = 0; n < 4; n++) if (((choice >> n) & 1) === 1) b.emit(MERGE32, target + laneOffset(n, 2), ZERO, 0, ZERO, 0);
}, { feature: 'sse4_1' });
