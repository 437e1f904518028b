// The meanings of IR operations as straight-line WebAssembly of a region: operands are locals or constant addresses, record fields
// are constants, an access that misses the TLB leaves the region before its instruction, and the flags that a condition needs are
// known at translation time where one operation set them just before. Control flow between blocks is emit-region.ts.
import { assert } from '../../base/assert.ts';
import type { CodeWriter, Label } from '../../wasm/code-writer.ts';
import { OP, TYPE } from '../../wasm/opcodes.ts';
import { CC, ccOp } from '../ir/flags.ts';
import type { Lowering, Operand, Width } from '../ir/lowering.ts';
import { PLAIN_LOAD, PLAIN_STORE, probeTlb, pushHostAddress } from '../ir/memory-access.ts';
import { MOVI } from '../ir/ops-integer.ts';
import { PC_STACK, RECORD } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';
import { emitCondition } from './conditions.ts';
import type { ExitCause } from './exit-counts.ts';
import { effectsOf, leavesFlags } from './helper-effects.ts';
import type { CodeMemory } from './region-blocks.ts';
import {
  BASE, BUDGET, CC_A, CC_B, CC_OP, DELTA, FIELD_LOCALS, GENERAL, LINEAR, localOf, RESUME, ROTATED, ROTATION, SCRATCH_I32, SCRATCH_I64,
  SCRATCH_V128, TARGET, TLB_ENTRY, TLB_READ, TLB_WRITE, VALUE, type LocalPart,
} from './region-locals.ts';

const FIELD: Record<Operand, number> = { d: RECORD.D, a: RECORD.A, b: RECORD.B };
const FLAG_TRIPLE = [[CC_A, 'ccA', true], [CC_B, 'ccB', true], [CC_OP, 'ccOp', false]] as const;
const BYTE_COUNT = [1, 2, 4, 8] as const;

/** What the emitter does for control: everything that ends a block or leaves the region. */
export interface RegionFlow {
  /** Continues with the target of the jump record `index` records further on. */
  jump(index: number): void;
  /** Continues at the RIP in TARGET; `instructions` of the block count. */
  dispatch(instructions: number): void;
  readonly resume: Label;
  /** What leaves the region next is counted under this cause. */
  because(cause: ExitCause): void;
}

export class RegionLowering implements Lowering {
  readonly code: CodeWriter;
  readonly i32 = SCRATCH_I32;
  readonly i64 = SCRATCH_I64;
  readonly v128 = SCRATCH_V128;
  readonly #memory: CodeMemory;
  readonly #importFunction: (name: string) => number;
  flow: RegionFlow | undefined;
  /** Address of the record that is being lowered. */
  record = 0;
  /** The lazy flags' kind and width here, where they are known. */
  knownFlags: number | undefined;
  /** ROTATION is not 0 here; and some rotation was emitted at all. */
  rotationPending = false;
  rotates = false;
  /** Of the record that is being lowered, when that is a rotation by a constant. */
  rotationCount: number | undefined;
  /** A helper has been called that may have written to the region's own code. */
  codeMayHaveChanged = false;
  /** General registers that the code reads or writes, by number. */
  readonly used = new Set<number>();
  /** Those of them that it writes. */
  readonly written = new Set<number>();

  constructor(code: CodeWriter, memory: CodeMemory, importFunction: (name: string) => number) {
    this.code = code;
    this.#memory = memory;
    this.#importFunction = importFunction;
  }

  #field16(offset: number): number {
    return this.#memory.u16[(this.record + offset) >> 1]!;
  }
  get #immediate(): number {
    return this.#memory.i32[(this.record + RECORD.IMM) >> 2]!;
  }
  #slot(operand: Operand): number {
    return this.#field16(FIELD[operand]);
  }
  #partOf(slot: number): LocalPart | 'zero' | undefined {
    const part = localOf(slot);
    if (typeof part === 'object' && part.home < GENERAL.length * 8) this.used.add(part.home >> 3);
    return part;
  }

  // Operands -------------------------------------------------------------------------------------------------------------

  get(operand: Operand, width: Width, signed = false): void {
    this.#getSlot(this.#slot(operand), width, signed);
  }

  #getSlot(slot: number, width: Width, signed: boolean): void {
    const { code } = this;
    const part = this.#partOf(slot);
    if (part === 'zero') return width === 3 ? code.i64(0) : code.i32(0);
    if (part === undefined) {
      code.i32(0);
      const load = width === 3 ? OP.i64_load : PLAIN_LOAD.i32[BYTE_COUNT[width] as 1 | 2 | 4][signed ? 1 : 0];
      return code.memory(load, this.#memory.area + slot);
    }
    this.#shifted(part);
    if (width === 3) return;
    code.op(OP.i32_wrap_i64);
    if (width === 2) return;
    if (signed) code.op(width === 0 ? OP.i32_extend8_s : OP.i32_extend16_s);
    else {
      code.i32(width === 0 ? 0xff : 0xffff);
      code.op(OP.i32_and);
    }
  }

  #shifted({ local, shift }: LocalPart): void {
    this.code.get(local);
    if (shift === 0) return;
    this.code.i64(shift);
    this.code.op(OP.i64_shr_u);
  }

  getExtended(operand: Operand, width: Width, signed: boolean): void {
    const { code } = this;
    const slot = this.#slot(operand);
    const part = this.#partOf(slot);
    if (part === 'zero') return code.i64(0);
    if (part === undefined) {
      code.i32(0);
      return code.memory(PLAIN_LOAD.i64[BYTE_COUNT[width]][signed ? 1 : 0], this.#memory.area + slot);
    }
    this.#shifted(part);
    if (width === 3) return;
    if (signed) code.op([OP.i64_extend8_s, OP.i64_extend16_s, OP.i64_extend32_s][width]!);
    else if (width === 2) {
      code.op(OP.i32_wrap_i64);
      code.op(OP.i64_extend_i32_u);
    } else {
      code.i64(width === 0 ? 0xff : 0xffff);
      code.op(OP.i64_and);
    }
  }

  open(): void {}

  close(operand: Operand, width: Width): void {
    const { code } = this;
    const slot = this.#slot(operand);
    const part = this.#partOf(slot);
    assert(part !== 'zero', 'nothing writes the constant zero');
    this.#noteWritten(part);
    if (part === undefined) {
      if (width === 2) code.op(OP.i64_extend_i32_u);
      return this.#storeState(slot, width >= 2 ? 'i64' : 'i32', [OP.i32_store8, OP.i32_store16, OP.i64_store, OP.i64_store][width]!);
    }
    if (width === 3) return code.set(part.local);
    code.op(OP.i64_extend_i32_u);
    if (width === 2) return code.set(part.local);
    this.#merge(part, width === 0 ? 0xff : 0xffff);
  }

  #noteWritten(part: LocalPart | undefined): void {
    if (part !== undefined && part.home < GENERAL.length * 8) this.written.add(part.home >> 3);
  }

  /** The low bits of the i64 on the stack replace a part of a local. */
  #merge({ local, shift }: LocalPart, mask: number): void {
    const { code } = this;
    code.i64(mask);
    code.op(OP.i64_and);
    if (shift > 0) {
      code.i64(shift);
      code.op(OP.i64_shl);
    }
    code.get(local);
    code.i64big(~(BigInt(mask) << BigInt(shift)));
    code.op(OP.i64_and);
    code.op(OP.i64_or);
    code.set(local);
  }

  /** Stores the value on the stack at a constant offset of the vCPU area. */
  #storeState(offset: number, type: 'i32' | 'i64' | 'v128', store: number): void {
    this.code.set(VALUE[type]);
    this.code.i32(0);
    this.code.get(VALUE[type]);
    this.code.memory(store, this.#memory.area + offset);
  }

  #loadState(offset: number, load: number): void {
    this.code.i32(0);
    this.code.memory(load, this.#memory.area + offset);
  }

  getVector(operand: Operand): void {
    this.#loadState(this.#slot(operand), OP.v128_load);
  }

  closeVector(operand: Operand): void {
    this.#storeState(this.#slot(operand), 'v128', OP.v128_store);
  }

  /** The operand's home in memory, with its value there. Not for writing to a register. */
  address(operand: Operand): void {
    const slot = this.#slot(operand);
    this.#spill(slot);
    this.code.i32(this.#memory.area + slot);
  }

  immediate(width: Width): void {
    if (width === 3) this.code.i64(this.#immediate);
    else this.code.i32(this.#immediate);
  }
  knownImmediate(): number {
    return this.#immediate;
  }
  immediate2(): void {
    this.code.i32(this.#memory.i32[(this.record + RECORD.IMM2) >> 2]!);
  }
  immediate64(): void {
    const high = BigInt(this.#memory.i32[(this.record + RECORD.IMM2) >> 2]!);
    this.code.i64big((high << 32n) | BigInt(this.#immediate >>> 0));
  }
  fieldC(): void {
    this.code.i32(this.#field16(RECORD.C));
  }
  segmentBase(): void {
    this.#loadState(this.#field16(RECORD.C) & ~3, OP.i64_load);
  }
  pc(): void {
    this.code.i32(this.#field16(RECORD.PC) & (PC_STACK - 1));
  }

  // State fields ---------------------------------------------------------------------------------------------------------

  rip(): void {
    this.code.get(BASE);
    this.code.get(DELTA);
    this.code.op(OP.i64_extend_i32_s);
    this.code.op(OP.i64_add);
  }

  openState(): void {}

  closeState(field: string, width: Width): void {
    const { code } = this;
    const local = FIELD_LOCALS[field];
    if (field === 'rip') return code.set(TARGET);
    if (local === undefined) {
      const store = [OP.i32_store8, OP.i32_store16, OP.i32_store, OP.i64_store][width]!;
      return this.#storeState(cpuOffset(field), width === 3 ? 'i64' : 'i32', store);
    }
    this.#useField(field);
    if (field === 'rsp') this.written.add(4);
    if (field === 'rax') this.written.add(0);
    if (field === 'ccOp') this.knownFlags = undefined;
    else if (width !== 3) code.op(OP.i64_extend_i32_u);
    code.set(local);
  }

  state(field: string, width: Width): void {
    const { code } = this;
    if (field === 'rip') return this.rip();
    const local = FIELD_LOCALS[field];
    if (local === undefined) {
      return this.#loadState(cpuOffset(field), [OP.i32_load8_u, OP.i32_load16_u, OP.i32_load, OP.i64_load][width]!);
    }
    this.#useField(field);
    code.get(local);
    if (field === 'ccOp' || width === 3) return;
    code.op(OP.i32_wrap_i64);
    if (width === 2) return;
    code.i32(width === 0 ? 0xff : 0xffff);
    code.op(OP.i32_and);
  }

  #useField(field: string): void {
    if (field === 'rax') this.used.add(0);
    if (field === 'rsp') this.used.add(4);
  }

  // Flags ----------------------------------------------------------------------------------------------------------------

  setFlags(op: number, width: Width, localA: number, localB: number | null): void {
    const { code } = this;
    this.#forgetRotation();
    code.i32(op);
    code.set(CC_OP);
    code.get(localA);
    if (width !== 3) code.op(OP.i64_extend_i32_u);
    code.set(CC_A);
    this.knownFlags = op;
    if (localB === null) return;
    code.get(localB);
    if (width !== 3) code.op(OP.i64_extend_i32_u);
    code.set(CC_B);
  }

  #forgetRotation(): void {
    if (!this.rotationPending) return;
    this.rotationPending = false;
    this.code.i32(0);
    this.code.set(ROTATION);
  }

  /** Brings the triple up to date after a rotation. */
  settleRotation(): void {
    if (!this.rotationPending) return;
    this.pushRotationFlags();
    this.#forgetRotation();
  }

  /** Merges CF and OF of the rotation that ROTATION and ROTATED tell of. */
  pushRotationFlags(): void {
    this.#spillFlags();
    this.code.get(ROTATION);
    this.code.get(ROTATED);
    this.call('rotated');
    this.#reloadFlags();
  }

  /** The count of a rotation whose record is `record`, where the record before loads it; undefined otherwise. */
  constantCount(record: number): number | undefined {
    const { u16, i32 } = this.#memory;
    const before = record - RECORD.BYTES;
    const sameInstruction = u16[(before + RECORD.PC) >> 1] === u16[(record + RECORD.PC) >> 1];
    const loadsCount = MOVI.includes(u16[before >> 1]!) && u16[(before + RECORD.D) >> 1] === u16[(record + RECORD.B) >> 1];
    const size = i32[(record + RECORD.IMM) >> 2]!;
    if (!sameInstruction || !loadsCount || size < 4) return undefined;
    return i32[(before + RECORD.IMM) >> 2]! & (size === 8 ? 63 : 31);
  }

  /** ROL and ROR of 32 and 64 bits by a constant; their flags are worked out when somebody asks. */
  #rotate(isRight: boolean, count: number): void {
    const { code } = this;
    const width = this.#immediate === 8 ? 3 : 2;
    this.get('a', width);
    if (width === 3) code.i64(count);
    else code.i32(count);
    code.op(width === 3 ? (isRight ? OP.i64_rotr : OP.i64_rotl) : isRight ? OP.i32_rotr : OP.i32_rotl);
    if (count === 0) return this.close('d', width);
    if (width === 2) code.op(OP.i64_extend_i32_u);
    code.tee(ROTATED);
    if (width === 2) code.op(OP.i32_wrap_i64);
    this.close('d', width);
    code.i32((isRight ? 2 : 1) + (width === 3 ? 2 : 0));
    code.set(ROTATION);
    this.rotationPending = true;
    this.rotates = true;
    this.knownFlags = undefined;
  }

  condition(code: number | 'immediate'): void {
    const number = code === 'immediate' ? this.#immediate : code;
    if (this.knownFlags !== undefined && emitCondition(this.code, this.knownFlags, number)) return;
    this.#spillFlags();
    this.code.i32(number);
    this.call('condition');
  }

  #spillFlags(): void {
    for (const [local, field, isWide] of FLAG_TRIPLE) {
      this.code.i32(0);
      this.code.get(local);
      this.code.memory(isWide ? OP.i64_store : OP.i32_store, this.#memory.area + cpuOffset(field));
    }
  }
  #reloadFlags(): void {
    for (const [local, field, isWide] of FLAG_TRIPLE) {
      this.#loadState(cpuOffset(field), isWide ? OP.i64_load : OP.i32_load);
      this.code.set(local);
    }
    this.knownFlags = undefined;
  }

  // Memory ---------------------------------------------------------------------------------------------------------------

  /** Pops a linear address; leaves the region unless its page is in the TLB; pushes the host address. */
  #translate(table: number, bytes: number): void {
    const { code } = this;
    code.set(LINEAR);
    this.flow!.because('tlbMiss');
    probeTlb(code, { pushTable: () => code.get(table), linear: LINEAR, entry: TLB_ENTRY, bytes });
    code.op(OP.i64_ne);
    code.brIf(this.flow!.resume);
    pushHostAddress(code, LINEAR, TLB_ENTRY);
  }

  load(bytes: 1 | 2 | 4 | 8, signed: boolean, to: 'i32' | 'i64', write: boolean): void {
    this.#translate(write ? TLB_WRITE : TLB_READ, bytes);
    this.code.memory(PLAIN_LOAD[to][bytes][signed ? 1 : 0]);
  }

  store(bytes: 1 | 2 | 4 | 8, from: 'i32' | 'i64', push: () => void): void {
    this.#translate(TLB_WRITE, bytes);
    push();
    this.code.memory(PLAIN_STORE[from][bytes]);
  }

  loadVector(): void {
    this.#translate(TLB_READ, 16);
    this.code.memory(OP.v128_load);
  }

  storeVector(push: () => void): void {
    this.#translate(TLB_WRITE, 16);
    push();
    this.code.memory(OP.v128_store);
  }

  prepareWrite(bytes: number): void {
    this.code.i32(bytes);
    this.call('prepareWrite');
    this.#faultIfRaised();
  }

  // Calls ----------------------------------------------------------------------------------------------------------------

  call(name: string): void {
    this.code.call(this.#importFunction(name));
  }

  /** Writes the local that a slot lies in to its home. */
  #spill(slot: number): void {
    const part = this.#partOf(slot);
    if (typeof part !== 'object') return;
    this.code.i32(0);
    this.code.get(part.local);
    this.code.memory(OP.i64_store, this.#memory.area + part.home);
  }
  #reload(slot: number): void {
    const part = this.#partOf(slot);
    if (typeof part !== 'object') return;
    this.#noteWritten(part);
    this.#loadState(part.home, OP.i64_load);
    this.code.set(part.local);
  }

  callHelper(name: string, mayFault: boolean): void {
    if (name === 'imul64') return this.#multiply();
    if (this.rotationCount !== undefined) return this.#rotate(name === 'ror', this.rotationCount);
    const { code } = this;
    const effects = effectsOf(name);
    const operands = [this.#slot('d'), this.#slot('a'), this.#slot('b')];
    const slots = new Set(operands.map((slot) => slot & ~7));
    for (const register of effects.registers ?? []) slots.add(register * 8);
    const keepsFlags = leavesFlags(name);
    for (const slot of slots) this.#spill(slot);
    if (!keepsFlags) this.#spillFlags();
    if (effects.budget) this.#spillWord(BUDGET, 'executorBudget');
    for (const slot of operands) code.i32(this.#memory.area + slot);
    code.i32(this.#immediate);
    this.call(name);
    for (const slot of slots) this.#reload(slot);
    if (!keepsFlags) this.#reloadFlags();
    if (effects.budget) this.#reloadWord(BUDGET, 'executorBudget');
    if (effects.mode) {
      this.#reloadWord(TLB_READ, 'tlbRead');
      this.#reloadWord(TLB_WRITE, 'tlbWrite');
    }
    if (effects.memory) this.codeMayHaveChanged = true;
    if (mayFault) this.#faultIfRaised();
  }

  /** 64-bit IMUL of two operands. */
  #multiply(): void {
    const { code } = this;
    const [x, y, product] = SCRATCH_I64;
    this.get('a', 3);
    code.set(x!);
    this.get('b', 3);
    code.set(y!);
    code.get(x!);
    code.get(y!);
    code.op(OP.i64_mul);
    code.set(product!);
    this.#pushHighDiffers(x!, y!, product!);
    code.op(OP.i64_extend_i32_u);
    code.set(y!);
    code.get(product!);
    this.close('d', 3);
    this.setFlags(ccOp(CC.MUL, 3), 3, product!, y!);
  }

  /**
   * Whether the signed product of two 64-bit factors does not fit 64 bits: not when both are so small that it must, otherwise by
   * dividing it back.
   */
  #pushHighDiffers(x: number, y: number, product: number): void {
    const { code } = this;
    const small = (local: number): void => {
      code.get(local);
      code.op(OP.i64_extend32_s);
      code.get(local);
      code.op(OP.i64_eq);
    };
    small(x);
    small(y);
    code.op(OP.i32_and);
    code.if(TYPE.i32);
    code.i32(0);
    code.else();
    code.get(x);
    code.op(OP.i64_eqz);
    code.if(TYPE.i32);
    code.i32(0);
    code.else();
    code.get(x);
    code.i64(-1);
    code.op(OP.i64_eq);
    code.if(TYPE.i32); // a division by -1 traps on the one value whose product overflows
    code.get(y);
    code.i64big(-0x8000000000000000n);
    code.op(OP.i64_eq);
    code.else();
    code.get(product);
    code.get(x);
    code.op(OP.i64_div_s);
    code.get(y);
    code.op(OP.i64_ne);
    code.end();
    code.end();
    code.end();
  }

  #spillWord(local: number, field: string): void {
    this.code.i32(0);
    this.code.get(local);
    this.code.memory(OP.i32_store, this.#memory.area + cpuOffset(field));
  }
  #reloadWord(local: number, field: string): void {
    this.#loadState(cpuOffset(field), OP.i32_load);
    this.code.set(local);
  }

  #faultIfRaised(): void {
    this.#loadState(cpuOffset('faultVector'), OP.i32_load);
    this.code.i32(0);
    this.code.op(OP.i32_ge_s);
    this.code.if();
    this.fault();
    this.code.end();
  }

  /** Leaves with RESUME saying at which record a fault was raised. */
  fault(): void {
    this.flow!.because('fault');
    this.code.i32(this.record | 1);
    this.code.set(RESUME);
    this.code.br(this.flow!.resume);
  }

  // Control --------------------------------------------------------------------------------------------------------------

  jump(index: number): void {
    this.flow!.jump(index);
  }
  dispatch(): void {
    this.flow!.dispatch(this.#field16(RECORD.D));
  }
  dispatchUncounted(): void {
    this.flow!.dispatch(0);
  }
  leave(): void {
    assert(false, 'blocks that end the slice are left to the interpreter');
  }
  enterRegion(): void {
    assert(false, 'regions are made of plain records');
  }
}
