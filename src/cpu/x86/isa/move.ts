// Moves, LEA, exchanges, stack, and the conversions of the accumulator. SDM volume 2.
import * as integer from '../../ir/ops-integer.ts';
import type { Width } from '../../ir/lowering.ts';
import { register, type BlockBuilder } from '../builder.ts';
import { ZERO } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { cpuOffset, SEGMENT } from '../state.ts';

const RAX = register(0), RDX = register(2), RSP = register(4), RBP = register(5);

// prettier-ignore
instruction('mov', [
  row('88 /r', ['Eb', 'Gb']), row('89 /r', ['Ev', 'Gv']), row('8A /r', ['Gb', 'Eb']), row('8B /r', ['Gv', 'Ev']),
  row('A0', ['rAXb', 'Ob']), row('A1', ['rAXv', 'Ov']), row('A2', ['Ob', 'rAXb']), row('A3', ['Ov', 'rAXv']),
  row('B0 +r', ['Zb', 'Ib']), row('B8 +r', ['Zv', 'Iv']), row('C6 /0', ['Eb', 'Ib']), row('C7 /0', ['Ev', 'Iz']),
], (b) => {
  const width = b.width(0);
  if (b.isImmediate(1)) {
    if (b.isMemory(0)) b.storeImmediate(width, b.immediate(1));
    else if (width === 3 && b.operand(1).width === 'v')
      b.emit2(integer.MOVI64, b.registerSlot(0), ZERO, b.insn.immediate, b.insn.immediateHigh);
    else b.emit(integer.MOVI[width]!, b.registerSlot(0), ZERO, b.immediate(1), ZERO, 0);
  } else if (b.isMemory(1)) b.load(width, b.registerSlot(0));
  else b.write(0, b.registerSlot(1));
});

const SEGMENT_SELECTOR = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'].map((name) => cpuOffset(`${name}Selector`));

/** Loads a segment register; what it changes (mode, stack size, flatness) ends the block. */
function loadSegment(b: BlockBuilder, segment: number, selector: number): void {
  b.helper('loadSegment', ZERO, selector, ZERO, segment);
}

instruction('mov', [row('8C /r', ['Ev', 'Sw'])], (b) => {
  const segment = (b.insn.modrm >> 3) & 7;
  if (segment > 5) return b.raise(6);
  if (b.isMemory(0)) return b.store(1, SEGMENT_SELECTOR[segment]!);
  const value = b.temporary();
  b.emit(integer.MOVZX['13']!, value, SEGMENT_SELECTOR[segment]!, 0, ZERO, 0);
  return b.write(0, value);
});
instruction('mov', [row('8E /r', ['Sw', 'Ew'])], (b) => {
  const segment = (b.insn.modrm >> 3) & 7;
  if (segment > 5 || segment === SEGMENT.CS) return b.raise(6);
  loadSegment(b, segment, b.read(1));
  return b.continueAfter();
});

const widening = (name: string, opcodeByte: string, opcodeWord: string, signed: boolean): void =>
  instruction(name, [row(`0F ${opcodeByte} /r`, ['Gv', 'Eb']), row(`0F ${opcodeWord} /r`, ['Gv', 'Ew'])], (b) => {
    const from = b.width(1), to = b.width(0);
    const target = b.registerSlot(0);
    if (b.isMemory(1)) {
      if (from === to) b.load(to, target);
      else b.loadExtended(from, to, signed, target);
    } else if (from === to) b.move(to, target, b.registerSlot(1));
    else b.emit((signed ? integer.MOVSX : integer.MOVZX)[`${from}${to}`]!, target, b.registerSlot(1), 0, ZERO, 0);
  });
widening('movzx', 'B6', 'B7', false);
widening('movsx', 'BE', 'BF', true);
instruction('movsxd', [row('63 /r', ['Gv', 'Ed'], { only64: true })], (b) => {
  const target = b.registerSlot(0), to = b.width(0);
  if (to !== 3) b.move(to, target, b.read(1));
  else if (b.isMemory(1)) b.loadExtended(2, 3, true, target);
  else b.emit(integer.MOVSX['23']!, target, b.registerSlot(1), 0, ZERO, 0);
});

instruction('lea', [row('8D /r', ['Gv', 'M'])], (b) => b.move(b.width(0), b.registerSlot(0), b.effectiveAddress()));

instruction('xchg', [row('86 /r', ['Eb', 'Gb'], { lock: true }), row('87 /r', ['Ev', 'Gv'], { lock: true })], (b) => {
  const width = b.width(0);
  const other = b.registerSlot(1);
  if (!b.isMemory(0)) return b.emit(integer.XCHG[width]!, ZERO, b.registerSlot(0), 0, other, 0);
  const old = b.modify(0);
  b.store(width, other);
  return b.move(width, other, old);
});
// prettier-ignore
instruction('nop', [row('90'), row('0F 1F /0', ['Ev']), row('0F 1F /1', ['Ev']), row('0F 1F /2', ['Ev']), row('0F 1F /3', ['Ev']),
  row('0F 1F /4', ['Ev']), row('0F 1F /5', ['Ev']), row('0F 1F /6', ['Ev']), row('0F 1F /7', ['Ev']), row('0F 1E /r', ['Ev', 'Gv']),
  row('0F 0D /r', ['Ev', 'Gv']), row('0F 18 /r', ['Ev', 'Gv']), row('0F 19 /r', ['Ev', 'Gv']), row('0F 1C /r', ['Ev', 'Gv']), row('0F 1D /r', ['Ev', 'Gv'])], (b) => {
  // 90 with REX.B is an exchange with R8; with F3 it is PAUSE all the same.
  const isExchange = b.insn.opcode === 0x90 && (b.insn.rex & 1) !== 0 && b.insn.repeat !== 0xf3;
  if (isExchange) b.emit(integer.XCHG[b.opWidth]!, ZERO, RAX, 0, register(8), 0);
});
for (let n = 1; n < 8; n++)
  instruction('xchg', [row(`9${n}`, ['rAXv'])], (b) => b.emit(integer.XCHG[b.opWidth]!, ZERO, RAX, 0, register(b.insn.opcodeRegister), 0));

instruction('push', [row('50 +r', ['Zv'], { default64: true }), row('FF /6', ['Ev'], { default64: true })], (b) => {
  const width = b.width(0);
  // PUSH SP stores the value from before: a copy only where the slow path changes RSP first.
  b.push(width, b.isMemory(0) ? b.load(width) : b.registerSlot(0));
});
// prettier-ignore
instruction('push', [row('68', ['Iz'], { default64: true }), row('6A', ['Isb'], { default64: true })], (b) => b.pushImmediate(b.opWidth, b.immediate(0)));
instruction('pop', [row('58 +r', ['Zv'], { default64: true })], (b) => b.pop(b.width(0), b.registerSlot(0)));
instruction('pop', [row('8F /0', ['Ev'], { default64: true })], (b) => {
  const width = b.width(0);
  if (!b.isMemory(0)) return b.pop(width, b.registerSlot(0));
  const value = b.peek(width);
  const top = b.stackAfterPop(1 << width);
  b.stackBase = top;
  b.store(width, value);
  return b.setStackPointer(top);
});

// prettier-ignore
for (const [segment, push, pop] of [[SEGMENT.ES, '06', '07'], [SEGMENT.CS, '0E', ''], [SEGMENT.SS, '16', '17'], [SEGMENT.DS, '1E', '1F'],
  [SEGMENT.FS, '0F A0', '0F A1'], [SEGMENT.GS, '0F A8', '0F A9']] as const) {
  const options = segment >= SEGMENT.FS ? { default64: true } : { no64: true };
  instruction('push', [row(push, [], options)], (b) => {
    const value = b.temporary();
    b.emit(integer.MOVZX['13']!, value, SEGMENT_SELECTOR[segment]!, 0, ZERO, 0);
    b.push(b.opWidth, value);
  });
  if (pop !== '')
    instruction('pop', [row(pop, [], options)], (b) => {
      const value = b.peek(b.opWidth);
      const top = b.stackAfterPop(1 << b.opWidth);
      loadSegment(b, segment, value);
      b.setStackPointer(top); // of the stack size decoded with the block, as the pop itself used
      b.continueAfter();
    });
}

instruction('pusha', [row('60', [], { no64: true })], (b) => b.helper('pusha', ZERO, ZERO, ZERO, 1 << b.opWidth));
instruction('popa', [row('61', [], { no64: true })], (b) => b.helper('popa', ZERO, ZERO, ZERO, 1 << b.opWidth));
instruction('enter', [row('C8', ['Iw', 'Lb'], { default64: true })], (b) => {
  b.stackHelper('enter', b.insn.immediate | ((b.insn.immediate2 & 31) << 16) | ((1 << b.opWidth) << 24));
});
instruction('leave', [row('C9', [], { default64: true })], (b) => {
  const width = b.opWidth, stack = b.stackWidth;
  const base = b.temporary(), top = b.temporary();
  b.emit(integer.EA[stack]!, base, RBP, 0, ZERO, 0);
  const value = b.temporary();
  b.loadLinear(width, b.checkedLinear(base, SEGMENT.SS, 1 << width, false), value);
  b.emit(integer.EA[stack]!, top, base, 1 << width, ZERO, 0);
  b.move(stack, RSP, top);
  b.move(width, RBP, value);
});

const convert = (b: BlockBuilder, from: Width, to: Width, target: number): void =>
  b.emit(integer.MOVSX[`${from}${to}`]!, target, RAX, 0, ZERO, 0);
instruction('cbw', [row('98')], (b) => convert(b, (b.opWidth - 1) as Width, b.opWidth, RAX));
instruction('cwd', [row('99')], (b) => {
  const sign = b.temporary();
  if (b.opWidth === 3) b.move(3, sign, RAX);
  else convert(b, b.opWidth, 3, sign);
  b.emit(integer.SIGN, sign, sign, 0, ZERO, 0);
  b.move(b.opWidth, RDX, sign);
});

instruction('bswap', [row('0F C8 +r', ['Zv'])], (b) => {
  const target = b.registerSlot(0);
  if (b.opWidth === 1) b.emit(integer.MOVI[1]!, target, ZERO, 0, ZERO, 0); // undefined; processors clear it
  else b.emit(integer.BSWAP[b.opWidth]!, target, target, 0, ZERO, 0);
});
// prettier-ignore
instruction('movbe', [row('NP 0F 38 F0 /r', ['Gv', 'M']), row('66 0F 38 F0 /r', ['Gv', 'M']), row('NP 0F 38 F1 /r', ['M', 'Gv']), row('66 0F 38 F1 /r', ['M', 'Gv'])], (b) => {
  const width = b.opWidth;
  const swapped = b.temporary();
  if (b.isMemory(1)) {
    swap(b, width, swapped, b.load(width));
    b.move(width, b.registerSlot(0), swapped);
  } else {
    swap(b, width, swapped, b.registerSlot(1));
    b.store(width, swapped);
  }
}, { feature: 'movbe' });
function swap(b: BlockBuilder, width: Width, target: number, source: number): void {
  if (width !== 1) return b.emit(integer.BSWAP[width]!, target, source, 0, ZERO, 0);
  b.emit(integer.MOVZX['12']!, target, source, 0, ZERO, 0);
  b.emit(integer.BSWAP[2]!, target, target, 0, ZERO, 0);
  return b.move(1, target, target + 2); // the swapped word lies in the upper half
}

instruction('cmov', Array.from({ length: 16 }, (_, n) => row(`0F 4${n.toString(16).toUpperCase()} /r`, ['Gv', 'Ev'])), (b) => {
  b.emit(integer.CMOV[b.opWidth]!, b.registerSlot(0), b.read(1), b.insn.opcode & 15, ZERO, 0);
});
instruction('setcc', Array.from({ length: 16 }, (_, n) => row(`0F 9${n.toString(16).toUpperCase()} /r`, ['Eb'])), (b) => {
  const target = b.isMemory(0) ? b.temporary() : b.registerSlot(0);
  b.emit(integer.SETCC, target, ZERO, b.insn.opcode & 15, ZERO, 0);
  b.commit(0, target);
});
instruction('xlat', [row('D7')], (b) => {
  const offset = b.temporary(), index = b.temporary();
  b.emit(integer.MOVZX['03']!, index, RAX, 0, ZERO, 0);
  b.emit(integer.EA[b.insn.addressWidth]!, offset, register(3), 0, index, 0);
  const segment = b.insn.segment >= 0 ? b.insn.segment : SEGMENT.DS;
  b.loadLinear(0, b.checkedLinear(offset, segment, 1, false), RAX);
});
