// Builds the IR of one block: what an instruction's meaning is written against. Operands are reached by their place in the
// row (0 is the destination); values are slots, that is, byte offsets into the vCPU area. Register operands are slots
// themselves, memory operands are loaded into temporaries, so that most instructions are one or two IR operations.
// Order inside an instruction: everything that can fault comes before the first change that the guest can see.
import { assert } from '../../base/assert.ts';
import type { Width } from '../ir/lowering.ts';
import { A_BRANCH } from '../ir/record.ts';
import * as control from '../ir/ops-control.ts';
import { HELPER } from '../ir/ops-helper.ts';
import * as integer from '../ir/ops-integer.ts';
import * as memory from '../ir/ops-memory.ts';
import type { Decoder } from './decoder.ts';
import { RecordWriter, ZERO } from './record-writer.ts';
import type { KnownFlags, Slot } from './record-writer.ts';
import { cpuOffset, MODE, SEGMENT } from './state.ts';

/** What a call of a string helper that has not come to the end counts for, so that long ones end their slice. */
const REPEAT_INSTRUCTIONS = 256;
const RSP = cpuOffset('rsp');

export const register = (number: number): Slot => number * 8;
export const vectorRegister = (number: number): Slot => cpuOffset('ymm0') + number * 32;
export const mmxRegister = (number: number): Slot => cpuOffset('fpr0') + (number & 7) * 16;

const SEGMENT_BASE = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'].map((name) => cpuOffset(`${name}Base`));

export class BlockBuilder extends RecordWriter {
  readonly insn: Decoder;
  // Address of the memory operand once it has been worked out.
  #addressReady = false;
  #operandOnStack = false;
  #form: memory.Form = 'b';
  #base: Slot = 0;
  #index: Slot = 0;
  #scale = 0;
  #displacement = 0;
  /** RSP as an address base stands for this slot: POP to memory uses RSP after the pop. */
  stackBase: Slot = RSP;

  constructor(insn: Decoder, buffer: SharedArrayBuffer) {
    super(buffer);
    this.insn = insn;
  }

  beginInstruction(pc: number): void {
    this.beginRecords(pc, this.insn.length);
    this.#addressReady = this.#operandOnStack = false;
    this.stackBase = RSP;
  }

  // --- the instruction at hand

  get long(): boolean {
    return this.insn.codeSize === 2;
  }

  get opWidth(): Width {
    return this.insn.operandWidth as Width;
  }

  get protectedMode(): boolean {
    return (this.insn.mode & MODE.PROTECTED) !== 0;
  }

  get flat(): boolean {
    return (this.insn.mode & MODE.FLAT) !== 0;
  }

  /** Size of the stack pointer: 1, 2, 3 for SP, ESP, RSP. */
  get stackWidth(): Width {
    return this.long ? 3 : (this.insn.mode & MODE.STACK32) !== 0 ? 2 : 1;
  }

  operand(i: number): { readonly kind: string; readonly width: string; readonly register: number } {
    return this.insn.candidate!.row.operands[i]!;
  }

  width(i: number): Width {
    switch (this.operand(i).width) {
      case 'b':
      case 'sb':
      case 'b2':
        return 0;
      case 'w':
        return 1;
      case 'd':
        return 2;
      case 'q':
        return 3;
      case 'y':
        return this.opWidth === 3 ? 3 : 2;
      case 'z':
        return this.opWidth === 1 ? 1 : 2;
      default:
        return this.opWidth;
    }
  }

  isImmediate(i: number): boolean {
    return this.operand(i).kind === 'I' || this.operand(i).kind === 'one';
  }

  isMemory(i: number): boolean {
    const { kind } = this.operand(i);
    return kind === 'O' || ('EMWQ'.includes(kind) && this.insn.mod !== 3);
  }

  /** Value of an immediate operand, sign-extended from its own size. */
  immediate(i: number): number {
    return this.operand(i).kind === 'one' ? 1 : this.insn.immediate;
  }

  /** Register of a general register operand. 8-bit numbers 4..7 without REX are AH, CH, DH, BH. */
  #generalSlot(number: number, width: Width): Slot {
    if (width === 0 && this.insn.rex === 0 && number >= 4 && number < 8) return register(number - 4) + 1;
    return register(number);
  }

  registerSlot(i: number): Slot {
    const { kind, register: fixed } = this.operand(i);
    const { insn } = this;
    switch (kind) {
      case 'fixed':
        return this.#generalSlot(fixed, this.width(i));
      case 'G':
        return this.#generalSlot(insn.reg, this.width(i));
      case 'Z':
        return this.#generalSlot(insn.opcodeRegister, this.width(i));
      case 'B':
        return register(insn.vexRegister);
      case 'V':
        return vectorRegister(insn.reg);
      case 'H':
        return vectorRegister(insn.vexRegister);
      case 'W':
      case 'U':
        return vectorRegister(insn.rm);
      case 'P':
        return mmxRegister(insn.reg);
      case 'Q':
      case 'N':
        return mmxRegister(insn.rm);
      default:
        assert(kind === 'E' || kind === 'R', `operand kind ${kind} is no register`);
        return this.#generalSlot(insn.rm, this.width(i));
    }
  }

  // --- memory

  #segmentOfAddress(): number {
    const { insn } = this;
    if (insn.segment >= 0) return insn.segment;
    return insn.base === 4 || insn.base === 5 || (insn.addressWidth === 1 && insn.base === 5) ? SEGMENT.SS : SEGMENT.DS;
  }

  #baseSlot(): Slot {
    const { base } = this.insn;
    return base < 0 ? ZERO : base === 4 ? this.stackBase : register(base);
  }

  /** The effective address, without the segment, in a new temporary: LEA, and what checks segments by itself. */
  effectiveAddress(): Slot {
    const { insn } = this;
    const slot = this.temporary();
    if (insn.ripRelative) {
      const distance = insn.displacement + this.nextPc;
      const isNear = distance === (distance | 0);
      this.emit(integer.RIP_PLUS, slot, ZERO, isNear ? distance : this.nextPc, ZERO, 0);
      if (!isNear) this.emit(integer.EA[3]!, slot, slot, insn.displacement, ZERO, 0);
      if (insn.addressWidth === 2) this.emit(integer.MOV[2]!, slot, slot, 0, ZERO, 0);
    } else if (insn.candidate!.row.hasOffset && insn.addressWidth === 3) {
      this.emit2(integer.MOVI64, slot, ZERO, insn.displacement, insn.immediateHigh);
    } else {
      const index = insn.index < 0 ? ZERO : register(insn.index);
      this.emit(integer.EA[insn.addressWidth]!, slot, this.#baseSlot(), insn.displacement, index, insn.scale);
    }
    return slot;
  }

  #setAddress(form: memory.Form, base: Slot, displacement: number, index: Slot = ZERO, scale = 0): void {
    this.#form = form;
    this.#base = base;
    this.#displacement = displacement;
    this.#index = index;
    this.#scale = scale;
    this.#addressReady = true;
  }

  /** Works out the linear address of the memory operand for an access of `bytes`. */
  #prepareAddress(bytes: number, write: boolean, aligned = false): void {
    if (this.#addressReady) return;
    const { insn } = this;
    this.#operandOnStack = this.#segmentOfAddress() === SEGMENT.SS;
    const simple = !insn.ripRelative && !(insn.candidate!.row.hasOffset && insn.addressWidth === 3);
    if (this.long) {
      if (insn.segment >= SEGMENT.FS) return this.#prepareSegmentBase(simple);
      if (!simple || insn.addressWidth === 2) return this.#setAddress('b', this.effectiveAddress(), 0);
      if (insn.index < 0) return this.#setAddress('b', this.#baseSlot(), insn.displacement);
      return this.#setAddress('x', this.#baseSlot(), insn.displacement, register(insn.index), insn.scale);
    }
    if (this.flat && insn.segment < SEGMENT.FS && insn.segment !== SEGMENT.CS && insn.addressWidth === 2) {
      if (insn.index < 0) return this.#setAddress('b32', this.#baseSlot(), insn.displacement);
      return this.#setAddress('x32', this.#baseSlot(), insn.displacement, register(insn.index), insn.scale);
    }
    const offset = this.effectiveAddress();
    return this.#setAddress('b', this.checkedLinear(offset, this.#segmentOfAddress(), bytes, write, aligned), 0);
  }

  #prepareSegmentBase(simple: boolean): void {
    const { insn } = this;
    const base = SEGMENT_BASE[insn.segment]!;
    const slot = this.temporary();
    const index = insn.index < 0 ? ZERO : register(insn.index);
    if (!simple || insn.addressWidth === 2) this.emit(integer.EA_SEGMENT, slot, this.effectiveAddress(), 0, ZERO, base);
    else this.emit(integer.EA_SEGMENT, slot, this.#baseSlot(), insn.displacement, index, base | insn.scale);
    this.#setAddress('b', slot, 0);
  }

  /** Linear address of offset `offset` in a segment, after the limit and rights checks that the mode asks for. */
  checkedLinear(offset: Slot, segment: number, bytes: number, write: boolean, aligned = false): Slot {
    this.onStack = segment === SEGMENT.SS;
    if (this.long && segment < SEGMENT.FS) return offset;
    const linear = this.temporary();
    if (this.long) this.emit(integer.EA_SEGMENT, linear, offset, 0, ZERO, SEGMENT_BASE[segment]!);
    else {
      const size = ((bytes & 0xff) << 4) | ((bytes >> 8) << 16);
      this.emit(HELPER.checkSegment, linear, offset, segment | size | (write ? 1 << 12 : 0) | (aligned ? 1 << 14 : 0), ZERO, 0);
    }
    return linear;
  }

  /** Linear address of the memory operand in a slot, for helpers that access memory themselves. */
  linearAddress(bytes: number, write: boolean): Slot {
    this.#prepareAddress(bytes, write);
    const slot = this.temporary();
    const wrap = this.#form === 'b32' || this.#form === 'x32';
    this.emit(integer.EA[wrap ? 2 : 3]!, slot, this.#base, this.#displacement, this.#index, this.#scale);
    this.#setAddress('b', slot, 0);
    this.onStack = this.#operandOnStack;
    return slot;
  }

  #emitAccess(op: Readonly<Record<memory.Form, number>>, value: Slot, extra: number): void {
    this.onStack = this.#operandOnStack;
    this.emit(op[this.#form], value, this.#base, this.#displacement + extra, this.#index, this.#scale);
  }

  /** Loads from the memory operand, `extra` bytes on, into `target`. */
  load(width: Width, target: Slot = this.temporary(), extra = 0, bytes = 1 << width): Slot {
    this.#prepareAddress(bytes, false);
    this.#emitAccess(memory.LOAD[width]!, target, extra);
    return target;
  }

  loadExtended(from: Width, to: Width, signed: boolean, target: Slot): void {
    this.#prepareAddress(1 << from, false);
    const zeroTo = to === 3 ? 2 : to; // a 32-bit result is zero-extended to 64
    this.#emitAccess((signed ? memory.LOAD_SX[`${from}${to}`] : memory.LOAD_ZX[`${from}${zeroTo}`])!, target, 0);
  }

  store(width: Width, value: Slot, extra = 0, bytes = 1 << width): void {
    this.#prepareAddress(bytes, true);
    this.#emitAccess(memory.STORE[width]!, value, extra);
  }

  /** Stores an immediate, sign-extended to 64 bits. */
  storeImmediate(width: Width, value: number): void {
    this.#prepareAddress(1 << width, true);
    this.onStack = this.#operandOnStack;
    if (this.#form === 'b' || this.#form === 'b32')
      this.emit2(memory.STORE_IMMEDIATE[width]![this.#form], ZERO, this.#base, this.#displacement, value);
    else this.store(width, this.constant(value));
  }

  loadVector(target: Slot = this.vectorTemporary(), aligned = false): Slot {
    this.#prepareAddress(16, false, aligned);
    if (aligned) this.#emitAccess(memory.ALIGN16, ZERO, 0);
    this.#emitAccess(memory.LOAD_VECTOR, target, 0);
    return target;
  }

  storeVector(value: Slot, aligned = false): void {
    this.#prepareAddress(16, true, aligned);
    if (aligned) this.#emitAccess(memory.ALIGN16, ZERO, 0);
    this.#emitAccess(memory.STORE_VECTOR, value, 0);
  }

  /** Linear address of an offset in the segment of the memory operand. */
  linearOfOffset(offset: Slot, bytes: number, write: boolean): Slot {
    return this.checkedLinear(offset, this.#segmentOfAddress(), bytes, write);
  }

  modifyLinear(width: Width, linear: Slot, target: Slot): void {
    this.emit(memory.LOAD_MODIFY[width]!.b, target, linear, 0, ZERO, 0);
  }

  /** Access through a linear address that is already in a slot. */
  loadLinear(width: Width, linear: Slot, target: Slot, displacement = 0): void {
    this.emit(memory.LOAD[width]!.b, target, linear, displacement, ZERO, 0);
  }

  storeLinear(width: Width, linear: Slot, value: Slot, displacement = 0): void {
    this.emit(memory.STORE[width]!.b, value, linear, displacement, ZERO, 0);
  }

  // --- operands as values

  /** A slot that holds operand i: the register itself, or a temporary with the loaded value or the immediate. */
  read(i: number): Slot {
    if (this.isImmediate(i)) return this.constant(this.immediate(i));
    return this.isMemory(i) ? this.load(this.width(i)) : this.registerSlot(i);
  }

  constant(value: number): Slot {
    const slot = this.temporary();
    this.emit(integer.MOVI[3]!, slot, ZERO, value, ZERO, 0);
    return slot;
  }

  /** Like `read`, for an operand that `commit` will write: a memory operand faults now as the write would. */
  modify(i: number): Slot {
    if (!this.isMemory(i)) return this.registerSlot(i);
    const width = this.width(i);
    this.#prepareAddress(1 << width, true);
    const slot = this.temporary();
    this.#emitAccess(memory.LOAD_MODIFY[width]!, slot, 0);
    return slot;
  }

  /** Writes what `modify` returned and the operation changed in place. */
  commit(i: number, slot: Slot): void {
    if (this.isMemory(i)) this.store(this.width(i), slot);
  }

  /** Writes a value to operand i. */
  write(i: number, value: Slot): void {
    const width = this.width(i);
    if (this.isMemory(i)) this.store(width, value);
    else this.move(width, this.registerSlot(i), value);
  }

  move(width: Width, target: Slot, source: Slot): void {
    this.emit(integer.MOV[width]!, target, source, 0, ZERO, 0);
  }

  /** A copy of operand i in a fresh temporary. */
  copy(i: number): Slot {
    const slot = this.temporary();
    if (this.isMemory(i)) return this.load(this.width(i), slot);
    this.move(this.width(i), slot, this.registerSlot(i));
    return slot;
  }

  // --- arithmetic

  #know(kind: KnownFlags['kind'], width: Width): void {
    this.flags.kind = kind;
    this.flags.width = width;
  }

  /** Operand 0 = operand 0 op operand 1; `store` false for CMP and TEST. */
  arithmetic(op: integer.Binary, store: boolean, known: KnownFlags['kind']): void {
    const width = this.width(0);
    if (this.isImmediate(1)) {
      const target = store ? this.modify(0) : this.read(0);
      this.emit(op.i[width]!, target, target, this.immediate(1), ZERO, 0);
      if (store) this.commit(0, target);
    } else {
      const source = this.read(1);
      const target = store ? this.modify(0) : this.read(0);
      this.emit(op.r[width]!, target, target, 0, source, 0);
      if (store) this.commit(0, target);
    }
    this.#know(known, width);
  }

  /** Operand 0 = op(operand 0). */
  unary(op: readonly number[], known: KnownFlags['kind'] | 'kept'): void {
    const width = this.width(0);
    const target = this.modify(0);
    this.emit(op[width]!, target, target, 0, ZERO, 0);
    this.commit(0, target);
    if (known !== 'kept') this.#know(known, width);
  }

  unknownFlags(): void {
    this.flags.kind = 'none';
  }

  // --- stack

  /** New stack pointer value in a temporary: the old one plus `bytes`, wrapped to the stack size. */
  #stackPointer(bytes: number): Slot {
    const slot = this.temporary();
    this.emit(integer.EA[this.stackWidth]!, slot, RSP, bytes, ZERO, 0);
    return slot;
  }

  setStackPointer(value: Slot): void {
    this.move(this.stackWidth, RSP, value);
  }

  /** Whether the operations for a flat stack of the usual width do; the next record accesses the stack. */
  #fastStack(width: Width): boolean {
    this.onStack = true;
    return width === (this.long ? 3 : 2) && (this.long || (this.flat && this.stackWidth === 2));
  }

  push(width: Width, value: Slot): void {
    if (this.#fastStack(width)) this.emit(memory.PUSH[width]!, ZERO, value, 0, ZERO, 0);
    else this.#pushSlow(width, value, ZERO);
  }

  /** With a `target` it is a call's push, which faults for the stack first, then for the target, and only then writes. */
  #pushSlow(width: Width, value: Slot, target: Slot): void {
    const top = this.#stackPointer(-(1 << width));
    const linear = this.checkedLinear(top, SEGMENT.SS, 1 << width, true);
    if (target !== ZERO) this.emit(control.CHECK_CALL, ZERO, target, 0, linear, 0);
    this.storeLinear(width, linear, value);
    this.setStackPointer(top);
  }

  pushImmediate(width: Width, value: number): void {
    if (this.#fastStack(width)) this.emit(memory.PUSH_IMMEDIATE[width]!, ZERO, ZERO, value, ZERO, 0);
    else this.push(width, this.constant(value));
  }

  /** Pops into a register slot. */
  pop(width: Width, target: Slot): void {
    if (this.#fastStack(width)) {
      this.emit(memory.POP[width]!, target, ZERO, 0, ZERO, 0);
      return;
    }
    const value = this.peek(width);
    this.setStackPointer(this.#stackPointer(1 << width));
    this.move(width, target, value);
  }

  /** A helper that accesses the stack by itself. */
  stackHelper(name: 'enter', immediate: number): void {
    this.onStack = true;
    this.helper(name, ZERO, ZERO, ZERO, immediate);
  }

  /** Loads from the top of the stack without popping. */
  peek(width: Width, target: Slot = this.temporary()): Slot {
    const top = this.#stackPointer(0);
    this.loadLinear(width, this.checkedLinear(top, SEGMENT.SS, 1 << width, false), target);
    return target;
  }

  /** The stack pointer after a pop, in a temporary; `setStackPointer` makes it true. */
  stackAfterPop(bytes: number): Slot {
    return this.#stackPointer(bytes);
  }

  // --- control flow

  /** Sets nextRip for helpers that need the address of the next instruction. */
  setNextRip(): void {
    this.emit(control.NEXT_RIP, ZERO, ZERO, this.nextPc, ZERO, 0);
  }

  /** A jump record: a holds by how much a mask of ones is shifted for the width of the new RIP. */
  #jumpRecord(offset: number): void {
    this.emit2(control.JUMP, this.instructionCount, A_BRANCH | (64 - (this.long ? 64 : this.opWidth === 1 ? 16 : 32)), offset, 0);
  }

  /** Ends the block with a jump to an offset from its start. */
  jump(offset: number): void {
    if (this.#isFar(offset)) return this.#jumpTo(this.#farTarget(offset));
    this.#jumpRecord(offset);
    this.ended = true;
  }

  /** Ends the block with a choice: condition record already emitted, then taken and not taken. */
  #branchRecords(taken: number): void {
    this.#jumpRecord(taken);
    this.#fallThroughRecord();
    this.ended = true;
  }

  #fallThroughRecord(): void {
    this.emit2(control.JUMP, this.instructionCount, this.#sequentialShift, this.nextPc, 0);
  }

  /** What follows an instruction wraps with the code size, whatever the operand size. */
  get #sequentialShift(): number {
    return this.long ? 0 : 32;
  }

  /** Ends the block at the next instruction, linkable. */
  fallThrough(): void {
    this.#fallThroughRecord();
    this.ended = true;
  }

  /** Ends the block before the instruction at `pc`, which could not be decoded yet. */
  fallThroughAt(pc: number): void {
    this.pc = pc;
    this.emit2(control.JUMP, this.instructionCount, this.#sequentialShift, pc, 0);
    this.ended = true;
  }

  raiseGeneralProtection(): void {
    this.helper('generalProtection');
    this.ended = true;
  }

  /** Raises #NM or #UD: an instruction of a unit that is off. imm: 0 x87, 1 MMX, 2 SSE. */
  unitUnavailable(unit: number): void {
    this.helper('unitUnavailable', ZERO, ZERO, ZERO, unit);
    this.ended = true;
  }

  conditionalJump(code: number, taken: number): void {
    const { kind, width } = this.flags;
    const known = kind === 'sub' ? integer.FLAG_JUMP[width]![code]! : kind === 'result' ? integer.RESULT_JUMP[width]![code]! : -1;
    if (known >= 0) this.emit(known, ZERO, ZERO, 0, ZERO, 0);
    else this.emit(integer.CONDITION_JUMP, ZERO, ZERO, code, ZERO, 0);
    this.#branchRecords(taken);
  }

  /** Jumps to `taken` when the slot is zero in `width`; with `notZero`, when it is not. */
  zeroJump(slot: Slot, width: Width, taken: number, notZero: boolean): void {
    this.emit(integer.ZERO_JUMP[width]!, ZERO, slot, 0, ZERO, 0);
    if (notZero) {
      this.#fallThroughRecord();
      this.#jumpRecord(taken);
      this.ended = true;
    } else this.#branchRecords(taken);
  }

  /** Ends the block with a near call to an offset from its start. */
  call(taken: number): void {
    const width = this.opWidth;
    if (this.#isFar(taken)) return this.callIndirect(this.#farTarget(taken));
    if (this.#fastStack(width)) this.emit(memory.CALL[width]!, ZERO, ZERO, this.nextPc, ZERO, 0);
    else this.#pushSlow(width, this.#returnAddress(), this.flat ? ZERO : this.target(width, this.#ripPlus(taken)));
    this.jump(taken);
  }

  #ripPlus(offset: number): Slot {
    const slot = this.temporary();
    this.emit(integer.RIP_PLUS, slot, ZERO, offset, ZERO, 0);
    return slot;
  }

  #returnAddress(): Slot {
    return this.#ripPlus(this.nextPc);
  }

  /** The target of a relative branch in a slot, where the jump record has no room for the distance: beyond 2 GiB from the block. */
  #farTarget(distance: number): Slot {
    const target = this.#ripPlus(this.nextPc);
    this.emit(integer.EA[3]!, target, target, distance - this.nextPc, ZERO, 0);
    return target;
  }

  #isFar(distance: number): boolean {
    return this.long && distance !== (distance | 0);
  }

  /** Zero-extends a jump target of the operand size into a temporary. */
  target(width: Width, value: Slot): Slot {
    if (width === 3) return value;
    const slot = this.temporary();
    this.emit(integer.MOVZX[`${width}3`]!, slot, value, 0, ZERO, 0);
    return slot;
  }

  callIndirect(value: Slot): void {
    const width = this.opWidth;
    const target = this.target(width, value);
    if (this.#fastStack(width)) this.emit(memory.CALL_INDIRECT[width]!, this.instructionCount, target, this.nextPc, ZERO, 0);
    else {
      this.#pushSlow(width, this.#returnAddress(), target);
      this.emit(control.JUMP_INDIRECT[this.long ? 3 : 2]!, this.instructionCount, target, 0, ZERO, 0);
    }
    this.ended = true;
  }

  jumpIndirect(value: Slot): void {
    this.#jumpTo(this.target(this.opWidth, value));
  }

  #jumpTo(target: Slot): void {
    this.emit(control.JUMP_INDIRECT[this.long ? 3 : 2]!, this.instructionCount, target, 0, ZERO, 0);
    this.ended = true;
  }

  returnNear(extraBytes: number): void {
    const width = this.opWidth;
    if (this.#fastStack(width)) this.emit(memory.RETURN[width]!, this.instructionCount, ZERO, extraBytes, ZERO, 0);
    else {
      const target = this.target(width, this.peek(width));
      if (!this.long) this.emit(control.CHECK_TARGET, ZERO, target, 0, ZERO, 0);
      this.setStackPointer(this.#stackPointer((1 << width) + extraBytes));
      this.emit(control.JUMP_INDIRECT[this.long ? 3 : 2]!, this.instructionCount, target, 0, ZERO, 0);
    }
    this.ended = true;
  }

  /** Ends the block after a helper that may have changed the mode, the mapping or the interrupt flag. */
  continueAfter(): void {
    this.emit(control.CONTINUE, this.instructionCount, ZERO, this.nextPc, ZERO, 0);
    this.ended = true;
  }

  /** Ends the block after a helper that has set RIP. */
  dispatch(): void {
    this.emit(control.DISPATCH, this.instructionCount, ZERO, 0, ZERO, 0);
    this.ended = true;
  }

  /** Ends the slice: HLT. */
  leave(): void {
    this.emit(control.LEAVE, this.instructionCount, ZERO, this.nextPc, ZERO, 0);
    this.ended = true;
  }

  /** After a string helper: executes it again while it is not done. */
  repeat(): void {
    this.emit(control.REPEAT, (this.insn.mode & MODE.STEP) !== 0 ? 1 : REPEAT_INSTRUCTIONS, ZERO, 0, ZERO, 0);
  }

  raise(vector: number): void {
    this.emit(control.RAISE, ZERO, ZERO, vector, ZERO, 0);
    this.ended = true;
  }

  endShadow(): void {
    this.emit(control.END_SHADOW, ZERO, ZERO, 0, ZERO, 0);
  }

  /** Replaces the CMP or TEST that was emitted last by its fusion with the conditional jump, if there is one. */
  fuseJump(code: number): boolean {
    if (this.flags.kind === 'none') return false;
    const op = this.previousOp;
    const { width } = this.flags;
    const fused =
      op === integer.CMP.r[width] ? integer.CMP_JUMP.r[width]![code]!
      : op === integer.CMP.i[width] ? integer.CMP_JUMP.i[width]![code]!
      : op === integer.TEST.r[width] ? integer.TEST_JUMP.r[width]![code]!
      : op === integer.TEST.i[width] ? integer.TEST_JUMP.i[width]![code]!
      : -1;
    if (fused < 0) return false;
    this.replacePreviousOp(fused);
    return true;
  }

  /** Jcc: fused with the comparison before it when that is the last operation. */
  branch(code: number, taken: number): void {
    if (this.#isFar(taken)) return this.#farBranch(code, taken);
    if (this.fuseJump(code)) this.#branchRecords(taken);
    else this.conditionalJump(code, taken);
  }

  #farBranch(code: number, taken: number): void {
    const target = this.#ripPlus(this.nextPc);
    this.emit(integer.CMOV[3]!, target, this.#farTarget(taken), code, ZERO, 0);
    this.#jumpTo(target);
  }
}
