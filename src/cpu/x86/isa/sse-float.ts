// SSE to SSE4.1 floating point: arithmetic, comparison, conversion, rounding. SDM volume 2. MXCSR rules (rounding, DAZ,
// FTZ, exception flags, #XM) are in assembly/sse-float*.ts, helpers (d, a, b, imm). Logic and shuffles are elsewhere.
import type { BlockBuilder } from '../builder.ts';
import { ZERO, type Slot } from '../record-writer.ts';
import { instruction, row } from '../row.ts';

const sse = { unit: 'sse' } as const;
type HelperName = Parameters<BlockBuilder['helper']>[0];

/** The suffixes with their mandatory prefix, operand width letter and feature. */
const FORMATS = [['ps', 'NP', 'x', 'sse'], ['pd', '66', 'x', 'sse2'], ['ss', 'F3', 'd', 'sse'], ['sd', 'F2', 'q', 'sse2']] as const;
const vectorWidth = (letter: string): 2 | 3 => (letter === 'd' ? 2 : 3);

/** A vector or scalar source: memory of 128 bits must be aligned, scalars are loaded alone. */
function source(b: BlockBuilder, operand: number, letter: string): Slot {
  if (!b.isMemory(operand)) return b.registerSlot(operand);
  if (letter === 'x') return b.loadVector(b.vectorTemporary(), true);
  return b.load(vectorWidth(letter));
}

/** d = d op source. */
function binary(name: string, opcode: string, feature?: string): void {
  for (const [suffix, prefix, letter, formatFeature] of FORMATS)
    instruction(`${name}${suffix}`, [row(`${prefix} 0F ${opcode} /r`, [`V${letter}`, `W${letter}`], sse)], (b) => {
      const target = b.registerSlot(0);
      b.helper(`${name}${suffix}` as HelperName, target, target, source(b, 1, letter));
    }, { feature: feature ?? formatFeature });
}
// prettier-ignore
for (const [name, opcode] of [['add', '58'], ['mul', '59'], ['sub', '5C'], ['min', '5D'], ['div', '5E'], ['max', '5F']] as const) binary(name, opcode);
/** d = op(source); scalar forms keep the rest of d. */
function unary(name: string, opcode: string, formats: readonly (readonly [string, string, string, string])[]): void {
  for (const [suffix, prefix, letter, feature] of formats)
    instruction(`${name}${suffix}`, [row(`${prefix} 0F ${opcode} /r`, [`V${letter}`, `W${letter}`], sse)], (b) => {
      const target = b.registerSlot(0);
      const from = source(b, 1, letter);
      if (letter === 'x') b.helper(`${name}${suffix}` as HelperName, target, from);
      else b.helper(`${name}${suffix}` as HelperName, target, target, from);
    }, { feature });
}
unary('sqrt', '51', FORMATS);
unary('rsqrt', '52', [FORMATS[0], FORMATS[2]]);
unary('rcp', '53', [FORMATS[0], FORMATS[2]]);
for (const [name, opcode] of [['addsub', 'D0'], ['hadd', '7C'], ['hsub', '7D']] as const)
  for (const [suffix, prefix] of [['ps', 'F2'], ['pd', '66']] as const)
    instruction(`${name}${suffix}`, [row(`${prefix} 0F ${opcode} /r`, ['Vx', 'Wx'], sse)], (b) => {
      const target = b.registerSlot(0);
      b.helper(`${name}${suffix}`, target, target, source(b, 1, 'x'));
    }, { feature: 'sse3' });
for (const [suffix, prefix, letter, feature] of FORMATS)
  instruction(`cmp${suffix}`, [row(`${prefix} 0F C2 /r`, [`V${letter}`, `W${letter}`, 'Ib'], sse)], (b) => {
    const target = b.registerSlot(0);
    b.helper(`cmp${suffix}`, target, target, source(b, 1, letter), b.immediate(2) & 7);
  }, { feature });
for (const [name, opcode] of [['ucomi', '2E'], ['comi', '2F']] as const)
  for (const [suffix, prefix, letter, feature] of [['ss', 'NP', 'd', 'sse'], ['sd', '66', 'q', 'sse2']] as const)
    instruction(`${name}${suffix}`, [row(`${prefix} 0F ${opcode} /r`, [`V${letter}`, `W${letter}`], sse)], (b) => {
      b.helper(`${name}${suffix}` as HelperName, ZERO, b.registerSlot(0), source(b, 1, letter));
    }, { feature });

// Conversions that merge a scalar into a vector: a = vector whose lanes stay, b = source.
// prettier-ignore
for (const [name, text, letter, feature] of [['cvtss2sd', 'F3 0F 5A /r', 'd', 'sse2'], ['cvtsd2ss', 'F2 0F 5A /r', 'q', 'sse2']] as const)
  instruction(name, [row(text, ['Vx', `W${letter}`], sse)], (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), source(b, 1, letter)), { feature });
for (const [name, prefix, feature] of [['cvtsi2ss', 'F3', 'sse'], ['cvtsi2sd', 'F2', 'sse2']] as const)
  instruction(name, [row(`${prefix} 0F 2A /r`, ['Vx', 'Ey'], sse)], (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), b.read(1), 1 << b.width(1)), { feature });
// To general registers: imm = size of the destination.
for (const [name, text, letter, feature] of [['cvttss2si', 'F3 0F 2C /r', 'd', 'sse'], ['cvtss2si', 'F3 0F 2D /r', 'd', 'sse'],
  ['cvttsd2si', 'F2 0F 2C /r', 'q', 'sse2'], ['cvtsd2si', 'F2 0F 2D /r', 'q', 'sse2']] as const)
  instruction(name, [row(text, ['Gy', `W${letter}`], sse)], (b) => b.helper(name, b.registerSlot(0), source(b, 1, letter), ZERO, 1 << b.width(0)), { feature });
// Packed conversions: a = source. A 64-bit source needs no alignment.
for (const [name, text, letter] of [['cvtps2pd', 'NP 0F 5A /r', 'q'], ['cvtpd2ps', '66 0F 5A /r', 'x'], ['cvtdq2ps', 'NP 0F 5B /r', 'x'], ['cvtps2dq', '66 0F 5B /r', 'x'],
  ['cvttps2dq', 'F3 0F 5B /r', 'x'], ['cvtdq2pd', 'F3 0F E6 /r', 'q'], ['cvttpd2dq', '66 0F E6 /r', 'x'], ['cvtpd2dq', 'F2 0F E6 /r', 'x']] as const)
  instruction(name, [row(text, ['Vx', `W${letter}`], sse)], (b) => b.helper(name, b.registerSlot(0), source(b, 1, letter)), { feature: 'sse2' });
// Between MMX and XMM registers. A memory source leaves the x87 state alone; otherwise it changes even if #XM follows.
for (const [name, text, feature] of [['cvtpi2ps', 'NP 0F 2A /r', 'sse'], ['cvtpi2pd', '66 0F 2A /r', 'sse2']] as const)
  instruction(name, [row(text, ['Vx', 'Qq'], sse)], (b) => {
    const from = b.isMemory(1) ? b.load(3) : b.registerSlot(1);
    if (!b.isMemory(1)) {
      b.helper('fpCheck');
      b.helper('mmxEnter');
    }
    if (name === 'cvtpi2ps') b.helper(name, b.registerSlot(0), b.registerSlot(0), from);
    else b.helper(name, b.registerSlot(0), from);
  }, { feature });
// prettier-ignore
for (const [name, text, letter, feature] of [['cvttps2pi', 'NP 0F 2C /r', 'q', 'sse'], ['cvtps2pi', 'NP 0F 2D /r', 'q', 'sse'], ['cvttpd2pi', '66 0F 2C /r', 'x', 'sse2'],
  ['cvtpd2pi', '66 0F 2D /r', 'x', 'sse2']] as const)
  instruction(name, [row(text, ['Pq', `W${letter}`], sse)], (b) => {
    b.helper('fpCheck');
    const from = source(b, 1, letter);
    b.helper('mmxEnter');
    b.helper(name, b.registerSlot(0), from);
    b.helper('mmxWritten', b.registerSlot(0));
  }, { feature });

// prettier-ignore
for (const [name, opcode, letter] of [['roundps', '08', 'x'], ['roundpd', '09', 'x'], ['roundss', '0A', 'd'], ['roundsd', '0B', 'q']] as const)
  instruction(name, [row(`66 0F 3A ${opcode} /r`, [`V${letter}`, `W${letter}`, 'Ib'], sse)], (b) => {
    const target = b.registerSlot(0);
    const from = source(b, 1, letter);
    if (letter === 'x') b.helper(name, target, from, ZERO, b.immediate(2) & 0xff);
    else b.helper(name, target, target, from, b.immediate(2) & 0xff);
  }, { feature: 'sse4_1' });
for (const [name, opcode] of [['dpps', '40'], ['dppd', '41']] as const)
  instruction(name, [row(`66 0F 3A ${opcode} /r`, ['Vx', 'Wx', 'Ib'], sse)], (b) => {
    const target = b.registerSlot(0);
    b.helper(name, target, target, source(b, 1, 'x'), b.immediate(2) & 0xff);
  }, { feature: 'sse4_1' });

