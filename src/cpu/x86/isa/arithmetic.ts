// Integer arithmetic, logic, shifts, bit operations, multiplication and division, decimal adjustment. SDM volume 2.
import * as integer from '../../ir/ops-integer.ts';
import { register, type BlockBuilder } from '../builder.ts';
import { ZERO, type KnownFlags } from '../record-writer.ts';
import { instruction, row, type Row } from '../row.ts';

const OF = 0x800, SF = 0x80, ZF = 0x40, AF = 0x10, PF = 4, CF = 1;

// prettier-ignore
const arithmeticRows = (base: number, digit: number, lock = true): Row[] => {
  const at = (n: number): string => (base + n).toString(16).toUpperCase().padStart(2, '0');
  return [
    row(`${at(0)} /r`, ['Eb', 'Gb'], { lock }), row(`${at(1)} /r`, ['Ev', 'Gv'], { lock }),
    row(`${at(2)} /r`, ['Gb', 'Eb']), row(`${at(3)} /r`, ['Gv', 'Ev']),
    row(at(4), ['rAXb', 'Ib']), row(at(5), ['rAXv', 'Iz']),
    row(`80 /${digit}`, ['Eb', 'Ib'], { lock }), row(`81 /${digit}`, ['Ev', 'Iz'], { lock }), row(`83 /${digit}`, ['Ev', 'Isb'], { lock }),
    row(`82 /${digit}`, ['Eb', 'Ib'], { lock, no64: true }),
  ];
};

const simple = (name: string, base: number, digit: number, op: integer.Binary, known: KnownFlags['kind'], undefinedFlags = 0): void =>
  instruction(name, arithmeticRows(base, digit), (b) => b.arithmetic(op, true, known), { undefinedFlags });
simple('add', 0x00, 0, integer.ADD, 'result');
simple('or', 0x08, 1, integer.OR, 'result', AF);
simple('adc', 0x10, 2, integer.ADC, 'none');
simple('sbb', 0x18, 3, integer.SBB, 'none');
simple('and', 0x20, 4, integer.AND, 'result', AF);
simple('sub', 0x28, 5, integer.SUB, 'sub');
simple('xor', 0x30, 6, integer.XOR, 'result', AF);
instruction('cmp', arithmeticRows(0x38, 7, false), (b) => b.arithmetic(integer.CMP, false, 'sub'));
// prettier-ignore
instruction('test', [row('84 /r', ['Eb', 'Gb']), row('85 /r', ['Ev', 'Gv']), row('A8', ['rAXb', 'Ib']), row('A9', ['rAXv', 'Iz']),
  row('F6 /0', ['Eb', 'Ib']), row('F7 /0', ['Ev', 'Iz']), row('F6 /1', ['Eb', 'Ib']), row('F7 /1', ['Ev', 'Iz'])],
  (b) => b.arithmetic(integer.TEST, false, 'result'), { undefinedFlags: AF });

const locked = { lock: true };
// prettier-ignore
instruction('inc', [row('FE /0', ['Eb'], locked), row('FF /0', ['Ev'], locked), row('40 +r', ['Zv'], { no64: true })], (b) => b.unary(integer.INC, 'result'));
instruction('dec', [row('FE /1', ['Eb'], locked), row('FF /1', ['Ev'], locked), row('48 +r', ['Zv'], { no64: true })], (b) => b.unary(integer.DEC, 'result'));
instruction('not', [row('F6 /2', ['Eb'], locked), row('F7 /2', ['Ev'], locked)], (b) => b.unary(integer.NOT, 'kept'));
instruction('neg', [row('F6 /3', ['Eb'], locked), row('F7 /3', ['Ev'], locked)], (b) => b.unary(integer.NEG, 'sub'));

// prettier-ignore
const shiftRows = (digit: number): Row[] => [
  row(`C0 /${digit}`, ['Eb', 'Ib']), row(`C1 /${digit}`, ['Ev', 'Ib']), row(`D0 /${digit}`, ['Eb', '1']), row(`D1 /${digit}`, ['Ev', '1']),
  row(`D2 /${digit}`, ['Eb', 'CL']), row(`D3 /${digit}`, ['Ev', 'CL']),
];
function shift(b: BlockBuilder, op: integer.Binary): void {
  const width = b.width(0);
  const target = b.modify(0);
  if (b.isImmediate(1)) b.emit(op.i[width]!, target, target, b.immediate(1), ZERO, 0);
  else b.emit(op.r[width]!, target, target, 0, register(1), 0);
  b.commit(0, target);
  b.unknownFlags();
}
const SHIFT_UNDEFINED = AF | OF; // OF is defined for a count of 1 only
instruction('shl', [...shiftRows(4), ...shiftRows(6)], (b) => shift(b, integer.SHL), { undefinedFlags: SHIFT_UNDEFINED });
instruction('shr', shiftRows(5), (b) => shift(b, integer.SHR), { undefinedFlags: SHIFT_UNDEFINED });
instruction('sar', shiftRows(7), (b) => shift(b, integer.SAR), { undefinedFlags: SHIFT_UNDEFINED });

/** Rotates: helper(d = target, a = target, b = count, imm = operand size). */
for (const [digit, name] of [[0, 'rol'], [1, 'ror'], [2, 'rcl'], [3, 'rcr']] as const)
  instruction(name, shiftRows(digit), (b) => {
    const target = b.modify(0);
    const count = b.isImmediate(1) ? b.constant(b.immediate(1)) : register(1);
    b.helper(name, target, target, count, 1 << b.width(0));
    b.commit(0, target);
  }, { undefinedFlags: OF });
for (const [name, immediate, cl] of [['shld', 'A4', 'A5'], ['shrd', 'AC', 'AD']] as const)
  instruction(name, [row(`0F ${immediate} /r`, ['Ev', 'Gv', 'Ib']), row(`0F ${cl} /r`, ['Ev', 'Gv', 'CL'])], (b) => {
    const target = b.modify(0);
    // The count and the size travel in imm: CL is read by the helper when bit 8 is set.
    const count = b.isImmediate(2) ? b.immediate(2) & 0xff : 0x100;
    b.helper(name, target, target, b.registerSlot(1), (1 << b.width(0)) << 16 | count);
    b.commit(0, target);
  }, { undefinedFlags: OF | AF | CF });

const MULTIPLY_UNDEFINED = SF | ZF | AF | PF;
// prettier-ignore
instruction('mul', [row('F6 /4', ['Eb']), row('F7 /4', ['Ev'])], (b) => b.helper('mul', ZERO, b.read(0), ZERO, 1 << b.width(0)), { undefinedFlags: MULTIPLY_UNDEFINED });
instruction('imul', [row('F6 /5', ['Eb']), row('F7 /5', ['Ev'])], (b) => b.helper('imulWide', ZERO, b.read(0), ZERO, 1 << b.width(0)), { undefinedFlags: MULTIPLY_UNDEFINED });
instruction('imul', [row('0F AF /r', ['Gv', 'Ev'])], (b) => {
  const target = b.registerSlot(0);
  b.emit(integer.IMUL[b.opWidth]!, target, target, 0, b.read(1), 0);
  b.unknownFlags();
}, { undefinedFlags: MULTIPLY_UNDEFINED });
instruction('imul', [row('69 /r', ['Gv', 'Ev', 'Iz']), row('6B /r', ['Gv', 'Ev', 'Isb'])], (b) => {
  const source = b.read(1);
  b.emit(integer.IMUL[b.opWidth]!, b.registerSlot(0), source, 0, b.constant(b.insn.immediate), 0);
  b.unknownFlags();
}, { undefinedFlags: MULTIPLY_UNDEFINED });
const ALL_FLAGS = OF | SF | ZF | AF | PF | CF;
instruction('div', [row('F6 /6', ['Eb']), row('F7 /6', ['Ev'])], (b) => b.helper('div', ZERO, b.read(0), ZERO, 1 << b.width(0)), { undefinedFlags: ALL_FLAGS });
instruction('idiv', [row('F6 /7', ['Eb']), row('F7 /7', ['Ev'])], (b) => b.helper('idiv', ZERO, b.read(0), ZERO, 1 << b.width(0)), { undefinedFlags: ALL_FLAGS });

/**
 * Bit tests. A register offset of a memory operand reaches beyond it: the helper `bitOffset` (d = address, a = address,
 * b = offset, imm = operand size) moves the address; the bit itself is the offset modulo the size.
 */
const BIT_UNDEFINED = OF | SF | AF | PF;
const BIT_TESTS = [
  ['bt', integer.BT, 'A3', 4], ['bts', integer.BTS, 'AB', 5], ['btr', integer.BTR, 'B3', 6], ['btc', integer.BTC, 'BB', 7],
] as const;
for (const [name, operation, registerOpcode, digit] of BIT_TESTS) {
  const writes = name !== 'bt';
  const lock = writes ? locked : {};
  instruction(name, [row(`0F BA /${digit}`, ['Ev', 'Ib'], lock)], (b) => {
    const target = writes ? b.modify(0) : b.read(0);
    b.emit(operation.i[b.width(0)]!, target, target, b.immediate(1), ZERO, 0);
    b.unknownFlags();
    if (writes) b.commit(0, target);
  }, { undefinedFlags: BIT_UNDEFINED });
  instruction(name, [row(`0F ${registerOpcode} /r`, ['Ev', 'Gv'], lock)], (b) => {
    const width = b.width(0), index = b.registerSlot(1);
    const test = (target: number): void => {
      b.emit(operation.r[width]!, target, target, 0, index, 0);
      b.unknownFlags();
    };
    if (!b.isMemory(0)) return test(b.registerSlot(0));
    const offset = b.effectiveAddress();
    b.helper('bitOffset', offset, offset, index, (1 << width) | ((1 << b.insn.addressWidth) << 8));
    const linear = b.linearOfOffset(offset, 1 << width, writes);
    const value = b.temporary();
    if (writes) b.modifyLinear(width, linear, value);
    else b.loadLinear(width, linear, value);
    test(value);
    if (writes) b.storeLinear(width, linear, value);
  }, { undefinedFlags: BIT_UNDEFINED });
}
// prettier-ignore
for (const [name, operation, opcode] of [['bsf', integer.BSF, 'BC'], ['bsr', integer.BSR, 'BD']] as const)
  instruction(name, [row(`NP 0F ${opcode} /r`, ['Gv', 'Ev']), row(`66 0F ${opcode} /r`, ['Gv', 'Ev']), row(`0F ${opcode} /r`, ['Gv', 'Ev'])], (b) => {
    b.emit(operation[b.opWidth]!, b.registerSlot(0), b.read(1), 0, ZERO, 0);
    b.unknownFlags();
  }, { undefinedFlags: OF | SF | AF | PF | CF });
const counted = (name: 'tzcnt' | 'lzcnt' | 'popcnt', opcode: string, feature: string, undefinedFlags: number): void =>
  instruction(name, [row(`F3 0F ${opcode} /r`, ['Gv', 'Ev'])], (b) => b.helper(name, b.registerSlot(0), b.read(1), ZERO, 1 << b.opWidth), { feature, undefinedFlags });
counted('tzcnt', 'BC', 'bmi1', OF | SF | AF | PF);
counted('lzcnt', 'BD', 'lzcnt', OF | SF | AF | PF);
counted('popcnt', 'B8', 'popcnt', 0);

/** CMPXCHG: the helper compares RAX with the old value in d and leaves in a the value to store. */
instruction('cmpxchg', [row('0F B0 /r', ['Eb', 'Gb'], locked), row('0F B1 /r', ['Ev', 'Gv'], locked)], (b) => {
  const width = b.width(0);
  const source = b.registerSlot(1);
  if (!b.isMemory(0)) {
    const target = b.registerSlot(0);
    return b.helper('cmpxchg', target, target, source, 1 << width);
  }
  const old = b.modify(0);
  const stored = b.temporary();
  // Memory first, registers and flags after: `stored` is computed without touching them.
  b.emit(integer.SELECT_EQUAL[width]!, stored, old, 0, source, 0);
  b.store(width, stored);
  return b.helper('cmpxchg', stored, old, source, 1 << width);
});
instruction('xadd', [row('0F C0 /r', ['Eb', 'Gb'], locked), row('0F C1 /r', ['Ev', 'Gv'], locked)], (b) => {
  const width = b.width(0);
  const source = b.registerSlot(1);
  if (!b.isMemory(0)) return b.helper('xadd', b.registerSlot(0), b.registerSlot(0), source, 1 << width);
  const old = b.modify(0);
  const sum = b.temporary();
  b.emit(integer.SUM[width]!, sum, old, 0, source, 0);
  b.store(width, sum);
  return b.helper('xadd', sum, old, source, 1 << width);
});
instruction('cmpxchg8b', [row('W0 0F C7 /1', ['M'], locked)], (b) => b.helper('cmpxchg8b', ZERO, ZERO, b.linearAddress(8, true)));
instruction('cmpxchg16b', [row('REX.W 0F C7 /1', ['M'], locked)], (b) => b.helper('cmpxchg16b', ZERO, ZERO, b.linearAddress(16, true)));

const no64 = { no64: true };
instruction('daa', [row('27', [], no64)], (b) => b.helper('daa'), { undefinedFlags: OF });
instruction('das', [row('2F', [], no64)], (b) => b.helper('das'), { undefinedFlags: OF });
instruction('aaa', [row('37', [], no64)], (b) => b.helper('aaa'), { undefinedFlags: OF | SF | ZF | PF });
instruction('aas', [row('3F', [], no64)], (b) => b.helper('aas'), { undefinedFlags: OF | SF | ZF | PF });
instruction('aam', [row('D4', ['Ib'], no64)], (b) => b.helper('aam', ZERO, ZERO, ZERO, b.immediate(0)), { undefinedFlags: OF | AF | CF });
instruction('aad', [row('D5', ['Ib'], no64)], (b) => b.helper('aad', ZERO, ZERO, ZERO, b.immediate(0)), { undefinedFlags: OF | AF | CF });
instruction('salc', [row('D6', [], no64)], (b) => b.helper('salc'));

for (const [opcode, name] of [['F5', 'cmc'], ['F8', 'clc'], ['F9', 'stc'], ['FC', 'cld'], ['FD', 'std']] as const)
  instruction(name, [row(opcode)], (b) => b.helper(name));
// SAHF and LAHF exist in 64-bit mode when CPUID says so (lahf_lm); here they always do.
instruction('sahf', [row('9E')], (b) => b.helper('writeFlagsAh'));
instruction('lahf', [row('9F')], (b) => b.helper('readFlagsAh'));

instruction('crc32', [row('F2 0F 38 F0 /r', ['Gd', 'Eb']), row('F2 0F 38 F1 /r', ['Gd', 'Ev'])], (b) => {
  b.helper('crc32', b.registerSlot(0), b.registerSlot(0), b.read(1), 1 << b.width(1));
}, { feature: 'sse4_2' });
for (const [name, prefix] of [['adcx', '66'], ['adox', 'F3']] as const)
  instruction(name, [row(`${prefix} 0F 38 F6 /r`, ['Gy', 'Ey'])], (b) => {
    b.helper(name, b.registerSlot(0), b.registerSlot(0), b.read(1), 1 << b.width(1));
  }, { feature: 'adx' });

// BMI1 and BMI2: VEX encoded, operand size 32 or 64. Helpers: d = destination, a and b = sources, imm = operand size.
// prettier-ignore
const vex = (name: 'andn' | 'pdep' | 'pext', text: string, feature: string, undefinedFlags: number): void =>
  instruction(name, [row(text, ['Gy', 'By', 'Ey'])], (b) => b.helper(name, b.registerSlot(0), b.registerSlot(1), b.read(2), 1 << b.width(0)), { feature, undefinedFlags });
vex('andn', 'NP VEX 0F 38 F2 /r', 'bmi1', AF | PF);
vex('pdep', 'F2 VEX 0F 38 F5 /r', 'bmi2', 0);
vex('pext', 'F3 VEX 0F 38 F5 /r', 'bmi2', 0);
const vexReversed = (name: 'bextr' | 'bzhi' | 'sarx' | 'shlx' | 'shrx', text: string, feature: string, undefinedFlags: number): void =>
  instruction(name, [row(text, ['Gy', 'Ey', 'By'])], (b) => b.helper(name, b.registerSlot(0), b.read(1), b.registerSlot(2), 1 << b.width(0)), { feature, undefinedFlags });
vexReversed('bextr', 'NP VEX 0F 38 F7 /r', 'bmi1', AF | SF | PF);
vexReversed('bzhi', 'NP VEX 0F 38 F5 /r', 'bmi2', AF | PF);
vexReversed('shlx', '66 VEX 0F 38 F7 /r', 'bmi2', 0);
vexReversed('sarx', 'F3 VEX 0F 38 F7 /r', 'bmi2', 0);
vexReversed('shrx', 'F2 VEX 0F 38 F7 /r', 'bmi2', 0);
for (const [name, digit] of [['blsr', 1], ['blsmsk', 2], ['blsi', 3]] as const)
  instruction(name, [row(`NP VEX 0F 38 F3 /${digit}`, ['By', 'Ey'])], (b) => b.helper(name, b.registerSlot(0), b.read(1), ZERO, 1 << b.width(0)), { feature: 'bmi1', undefinedFlags: AF | PF });
instruction('mulx', [row('F2 VEX 0F 38 F6 /r', ['Gy', 'By', 'Ey'])], (b) => {
  b.helper('mulx', b.registerSlot(0), b.registerSlot(1), b.read(2), 1 << b.width(0)); // RDX is the other factor
}, { feature: 'bmi2' });
instruction('rorx', [row('F2 VEX 0F 3A F0 /r', ['Gy', 'Ey', 'Ib'])], (b) => {
  b.helper('rorx', b.registerSlot(0), b.read(1), b.constant(b.immediate(2)), 1 << b.width(0));
}, { feature: 'bmi2' });

