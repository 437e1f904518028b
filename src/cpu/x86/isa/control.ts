// Jumps, calls, returns, loops, interrupts, and string instructions. SDM volume 2.
import * as integer from '../../ir/ops-integer.ts';
import type { Width } from '../../ir/lowering.ts';
import { register, type BlockBuilder } from '../builder.ts';
import { ZERO } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { SEGMENT } from '../state.ts';

const RAX = register(0), RCX = register(1), RDX = register(2);
/** Near branches take 64-bit operands in 64-bit mode whatever the prefixes say (as Intel processors do). */
const near = { force64: true };

const hex = (n: number): string => n.toString(16).toUpperCase();
const codes = Array.from({ length: 16 }, (_, n) => n);
const taken = (b: BlockBuilder): number => b.nextPc + b.insn.immediate;

instruction('jcc', [...codes.map((n) => row(`7${hex(n)}`, ['Jb'], near)), ...codes.map((n) => row(`0F 8${hex(n)}`, ['Jz'], near))], (b) => {
  b.branch(b.insn.opcode & 15, taken(b));
});
instruction('jmp', [row('EB', ['Jb'], near), row('E9', ['Jz'], near)], (b) => b.jump(taken(b)));
instruction('call', [row('E8', ['Jz'], near)], (b) => b.call(taken(b)));
instruction('jmp', [row('FF /4', ['Ev'], near)], (b) => b.jumpIndirect(b.read(0)));
instruction('call', [row('FF /2', ['Ev'], near)], (b) => b.callIndirect(b.read(0)));
instruction('ret', [row('C3', [], near)], (b) => b.returnNear(0));
instruction('ret', [row('C2', ['Iw'], near)], (b) => b.returnNear(b.immediate(0)));

/**
 * LOOP, LOOPE, LOOPNE: decrement the counter without flags, jump while it is not zero and ZF agrees.
 * QUIRK: a LOOP whose target lies beyond the code segment faults with its count already taken, and a relative branch from one half
 * of the canonical addresses into the gap faults at its target.
 */
function loop(b: BlockBuilder, zeroFlag: -1 | 0 | 1): void {
  const width = b.insn.addressWidth as Width;
  const count = b.temporary();
  b.emit(integer.EA[width]!, count, RCX, -1, ZERO, 0);
  b.move(width, RCX, count);
  if (zeroFlag < 0) return b.zeroJump(RCX, width, taken(b), true);
  // The choice depends on two things: make one value that is zero unless both hold.
  const both = b.constant(0);
  b.emit(integer.CMOV[3]!, both, count, zeroFlag === 1 ? 4 : 5, ZERO, 0);
  return b.zeroJump(both, 3, taken(b), true);
}
instruction('loopne', [row('E0', ['Jb'], near)], (b) => loop(b, 0));
instruction('loope', [row('E1', ['Jb'], near)], (b) => loop(b, 1));
instruction('loop', [row('E2', ['Jb'], near)], (b) => loop(b, -1));
instruction('jrcxz', [row('E3', ['Jb'], near)], (b) => b.zeroJump(RCX, b.insn.addressWidth as Width, taken(b), false));

/** Far transfers: selector and offset in slots, imm = operand size in bytes. */
function farOperands(b: BlockBuilder): readonly [selector: number, offset: number] {
  const width = b.opWidth;
  const offset = b.temporary(), selector = b.temporary();
  if (b.insn.candidate!.row.operands[0]!.kind === 'A') {
    b.emit(integer.MOVI[2]!, offset, ZERO, b.insn.immediate, ZERO, 0);
    b.emit(integer.MOVI[2]!, selector, ZERO, b.insn.immediate2, ZERO, 0);
    return [selector, offset];
  }
  if (width !== 3) b.emit(integer.MOVI[3]!, offset, ZERO, 0, ZERO, 0);
  b.load(width, offset, 0, (1 << width) + 2);
  b.emit(integer.MOVI[3]!, selector, ZERO, 0, ZERO, 0);
  b.load(1, selector, 1 << width);
  return [selector, offset];
}
function far(b: BlockBuilder, name: 'farJump' | 'farCall'): void {
  const [selector, offset] = farOperands(b);
  b.setNextRip();
  b.helper(name, ZERO, selector, offset, 1 << b.opWidth);
  b.dispatch();
}
instruction('jmpf', [row('EA', ['Ap'], { no64: true }), row('FF /5', ['Mp'])], (b) => far(b, 'farJump'));
instruction('callf', [row('9A', ['Ap'], { no64: true }), row('FF /3', ['Mp'])], (b) => far(b, 'farCall'));
instruction('retf', [row('CB')], (b) => {
  b.helper('farReturn', ZERO, ZERO, ZERO, 1 << b.opWidth);
  b.dispatch();
});
instruction('retf', [row('CA', ['Iw'])], (b) => {
  b.helper('farReturn', ZERO, ZERO, ZERO, (1 << b.opWidth) | (b.immediate(0) << 8));
  b.dispatch();
});
for (const [name, segment, text, options] of [['les', SEGMENT.ES, 'C4 /r', { no64: true }], ['lds', SEGMENT.DS, 'C5 /r', { no64: true }],
  ['lss', SEGMENT.SS, '0F B2 /r', {}], ['lfs', SEGMENT.FS, '0F B4 /r', {}], ['lgs', SEGMENT.GS, '0F B5 /r', {}]] as const)
  instruction(name, [row(text, ['Gv', 'Mp'], options)], (b) => {
    const width = b.opWidth;
    const offset = b.load(width, b.temporary(), 0, (1 << width) + 2);
    const selector = b.load(1, b.temporary(), 1 << width);
    b.helper('loadSegment', ZERO, selector, ZERO, segment);
    b.move(width, b.registerSlot(0), offset);
    b.continueAfter();
  });

instruction('int', [row('CD', ['Ib'])], (b) => {
  b.setNextRip();
  b.helper('softwareInterrupt', ZERO, ZERO, ZERO, b.immediate(0));
  b.dispatch();
});
for (const [name, text] of [['int3', 'CC'], ['int1', 'F1']] as const)
  instruction(name, [row(text)], (b) => {
    b.setNextRip();
    b.helper(name);
    b.dispatch();
  });
instruction('into', [row('CE', [], { no64: true })], (b) => {
  b.setNextRip();
  // The helper moves RIP when OF is set; otherwise this does.
  b.helper('into');
  b.dispatch();
});
instruction('iret', [row('CF')], (b) => {
  b.setNextRip(); // a task return stores it
  b.helper('iret', ZERO, ZERO, ZERO, 1 << b.opWidth);
  b.dispatch();
});

instruction('syscall', [row('0F 05')], (b) => transfer(b, 'syscall'));
instruction('sysret', [row('0F 07')], (b) => transfer(b, 'sysret'));
instruction('sysenter', [row('0F 34')], (b) => transfer(b, 'sysenter'));
instruction('sysexit', [row('0F 35')], (b) => transfer(b, 'sysexit'));
function transfer(b: BlockBuilder, name: 'syscall' | 'sysret' | 'sysenter' | 'sysexit'): void {
  b.setNextRip();
  b.helper(name, ZERO, ZERO, ZERO, 1 << b.opWidth);
  b.dispatch();
}

/** String instructions: imm = size | rep << 4 | segment << 8 | address size << 12; the helper sets `repeat` when it is not done. */
type StringName = 'movs' | 'cmps' | 'stos' | 'lods' | 'scas' | 'ins' | 'outs';
// prettier-ignore
const strings: readonly (readonly [StringName, string, string])[] = [['movs', 'A4', 'A5'], ['cmps', 'A6', 'A7'], ['stos', 'AA', 'AB'], ['lods', 'AC', 'AD'],
  ['scas', 'AE', 'AF'], ['ins', '6C', '6D'], ['outs', '6E', '6F']];
for (const [name, byte, word] of strings)
  instruction(name, [row(byte), row(word)], (b) => {
    const { insn } = b;
    const port = name === 'ins' || name === 'outs';
    const bytes = (insn.opcode & 1) === 0 ? 1 : port ? Math.min(4, 1 << b.opWidth) : 1 << b.opWidth;
    const repeat = insn.repeat === 0 ? 0 : insn.repeat === 0xf2 ? 2 : 1;
    const segment = insn.segment >= 0 ? insn.segment : SEGMENT.DS;
    b.helper(name, ZERO, ZERO, ZERO, bytes | (repeat << 4) | (segment << 8) | ((1 << insn.addressWidth) << 12));
    if (repeat !== 0) b.repeat();
    if (port) b.fallThrough();
  });

for (const [text, code] of [['E4', 'Ib'], ['E5', 'Ib'], ['EC', 'DX'], ['ED', 'DX']] as const)
  instruction('in', [row(text, [(Number.parseInt(text, 16) & 1) === 0 ? 'rAXb' : 'rAXz', code])], (b) => {
    const port = code === 'Ib' ? b.constant(b.immediate(1) & 0xff) : RDX;
    b.helper('portIn', RAX, port, ZERO, 1 << b.width(0));
    b.fallThrough();
  });
for (const [text, code] of [['E6', 'Ib'], ['E7', 'Ib'], ['EE', 'DX'], ['EF', 'DX']] as const)
  instruction('out', [row(text, [code, (Number.parseInt(text, 16) & 1) === 0 ? 'rAXb' : 'rAXz'])], (b) => {
    const port = code === 'Ib' ? b.constant(b.immediate(0) & 0xff) : RDX;
    b.helper('portOut', ZERO, port, RAX, 1 << b.width(1));
    b.fallThrough();
  });
