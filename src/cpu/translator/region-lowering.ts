// The meanings of IR operations as straight-line WebAssembly of a region: operands are locals or constant addresses, record fields
// are constants, an access that misses the TLB leaves the region before its instruction, and the flags that a condition needs are
// known at translation time where one operation set them just before. Control flow between blocks is emit-region.ts.
import { assert } from '../../base/assert.ts';
import type { CodeWriter } from '../../wasm/code-writer.ts';
import { OP } from '../../wasm/opcodes.ts';
import { CC, ccOp, PENDING_FLAGS } from '../ir/flags.ts';
import type { Address, Operand, Width } from '../ir/lowering.ts';
import type { MemoryAccess } from '../ir/op.ts';
import { PLAIN_LOAD, PLAIN_STORE, probeTlb, pushHostAddress, pushRaisedStack } from '../ir/memory-access.ts';
import { PC_STACK, RECORD } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';
import { constantAdded, placeOf } from './access-groups.ts';
import { BELOW, carryInMemory, emitCondition } from './conditions.ts';
import { effectsOf, leavesFlags, writesFlags } from './helper-effects.ts';
import { emitInline } from './inline-helpers.ts';
import type { InlineLowering } from './inline-lowering.ts';
import type { CodeMemory } from './region-blocks.ts';
import {
  BASE, BUDGET, CC_A, CC_B, FIELD_LOCALS, GENERAL, GROUP_HOST, LINEAR, localOf, PAGE_OFFSET, PENDING, SCRATCH_I32, SCRATCH_I64,
  SCRATCH_V128, TARGET, TLB_ENTRY, TLB_READ, TLB_WRITE, VALUE, type LocalPart,
} from './region-locals.ts';
import { rotateByConstant } from './rotations.ts';
import { isWithin, NO_GROUPS, type Group, type RegionFlow, type RegionState } from './region-state.ts';

/** Of the general registers. */
const RSP = 4;

interface Near {
  readonly register: number;
  readonly displacement: number;
}

const FIELD: Record<Operand, number> = { d: RECORD.D, a: RECORD.A, b: RECORD.B };
const FLAG_OPERANDS = [[CC_A, 'ccA'], [CC_B, 'ccB']] as const;
const BYTE_COUNT = [1, 2, 4, 8] as const;

export class RegionLowering implements InlineLowering {
  readonly code: CodeWriter;
  readonly i32 = SCRATCH_I32;
  readonly i64 = SCRATCH_I64;
  readonly v128 = SCRATCH_V128;
  readonly #memory: CodeMemory;
  readonly #importFunction: (name: string) => number;
  flow: RegionFlow | undefined;
  /** Address of the record that is being lowered. */
  record = 0;
  /** Number of its operation. */
  operation = 0;
  /** Distance of the running block from the base. */
  delta = 0;
  at: RegionState = { loaded: 0, dirty: 0, knownFlags: undefined, flagsDirty: false, groups: NO_GROUPS, pending: 0 };
  /** What follows cannot be reached: everything has led away. */
  #diverged = false;
  /** Of the record that is being lowered, when that is a rotation by a constant. */
  rotationCount: number | undefined;
  /** The record that is being lowered is an INC or DEC whose CF nobody asks for before it is set again. */
  carryIsDead = false;
  /** The record that is being lowered sets flags that are replaced before anything needs them, a way out included. */
  flagsAreDead = false;
  /** A helper has been called that may have written to the region's own code. */
  codeMayHaveChanged = false;

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

  // State ----------------------------------------------------------------------------------------------------------------
  // Memory holds the whole state wherever blocks join, but for flags that the next block replaces at once, and whenever the region is
  // left. In between a register that was written is in its local only.

  /** Stores what is in locals only. The locals stay good. Flags that are dead are only stored on ways out. */
  flush(flagsAreDead = false): void {
    if (flagsAreDead) this.#storeRegisters();
    else {
      this.settle();
      this.storeDirty();
      this.at.flagsDirty = false;
    }
    this.at.dirty = 0;
  }

  /** Stores what is in locals only, but for pending flags: once before an instruction that may leave the region in several places. */
  storeState(): void {
    const { pending } = this.at;
    this.at.pending = 0;
    this.storeDirty();
    this.at.pending = pending;
    this.at.dirty = 0;
    this.at.flagsDirty = false;
  }

  /** Stores what is in locals only, on a way out: the other way goes on as it was. */
  storeDirty(): void {
    this.#storeRegisters();
    this.#storeFlags();
    if (this.at.pending !== 0) this.#callSettle();
  }

  #storeRegisters(): void {
    for (let register = 0; register < GENERAL.length; register++) {
      if (((this.at.dirty >> register) & 1) === 0) continue;
      this.code.i32(0);
      this.code.get(GENERAL[register]!);
      this.code.memory(OP.i64_store, this.#memory.area + register * 8);
    }
  }

  #storeFlags(): void {
    const { flagsDirty, knownFlags } = this.at;
    if (!flagsDirty) return;
    const { code } = this;
    code.i32(0);
    code.i32(knownFlags!);
    code.memory(OP.i32_store, this.#memory.area + cpuOffset('ccOp'));
    for (const [local, field] of FLAG_OPERANDS) {
      if (field === 'ccB' && knownFlags! >> 2 === CC.LOGIC) continue;
      code.i32(0);
      code.get(local);
      code.memory(OP.i64_store, this.#memory.area + cpuOffset(field));
    }
  }

  /** Several ways may have led here: all is in memory, and the registers `loaded` are in locals too; of the flags nothing is known. */
  join(loaded: number): void {
    this.at = { loaded, dirty: 0, knownFlags: undefined, flagsDirty: false, groups: NO_GROUPS, pending: 0 };
  }

  branch(then: () => void, otherwise?: () => void): void {
    const { code } = this;
    if (otherwise !== undefined) this.#flushFlags();
    const before = { ...this.at };
    code.if();
    this.#diverged = false;
    then();
    if (otherwise === undefined) {
      assert(this.#diverged, 'a part without an alternative leads away');
      this.#diverged = false;
      code.end();
      this.at = before;
      return;
    }
    this.#flushFlags();
    const { dirty, loaded, groups } = this.at;
    code.else();
    this.at = before;
    otherwise();
    this.#flushFlags();
    this.loadRegisters(dirty); // what only the other part has written
    code.end();
    assert((this.at.dirty & ~loaded) === 0, 'a register that only the alternative writes is loaded before it');
    this.at.dirty |= dirty;
    this.at.loaded &= loaded;
    this.at.knownFlags = undefined;
    this.at.groups = this.at.groups.map((group, register) => (group === groups[register] ? group : undefined));
  }

  // Operands -------------------------------------------------------------------------------------------------------------

  get(operand: Operand, width: Width, signed = false): void {
    this.#getSlot(this.#slot(operand), width, signed);
  }

  /** Loads general registers, one bit each, that are not in their locals. */
  loadRegisters(registers: number): void {
    for (let register = 0; register < GENERAL.length; register++) if ((registers >> register) & 1) this.#need(register * 8);
  }

  /** Loads a general register, by its home, into its local unless it is there. */
  #need(home: number): void {
    if (home >= GENERAL.length * 8) return;
    const bit = 1 << (home >> 3);
    if ((this.at.loaded & bit) !== 0) return;
    this.at.loaded |= bit;
    this.#loadState(home & ~7, OP.i64_load);
    this.code.set(GENERAL[home >> 3]!);
  }

  #getSlot(slot: number, width: Width, signed: boolean): void {
    const { code } = this;
    const part = localOf(slot);
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

  #shifted({ local, shift, home }: LocalPart): void {
    this.#need(home);
    this.code.get(local);
    if (shift === 0) return;
    this.code.i64(shift);
    this.code.op(OP.i64_shr_u);
  }

  getExtended(operand: Operand, width: Width, signed: boolean): void {
    const { code } = this;
    const slot = this.#slot(operand);
    const part = localOf(slot);
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
    const part = localOf(slot);
    assert(part !== 'zero', 'nothing writes the constant zero');
    if (part !== undefined && width < 2) this.#need(part.home);
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
    if (part === undefined || part.home >= GENERAL.length * 8) return;
    const register = part.home >> 3;
    this.at.dirty |= 1 << register;
    this.at.loaded |= 1 << register;
    this.#moveGroup(register, register === RSP ? constantAdded(this.#memory, this.operation, this.record) : undefined);
  }

  /** A register has risen by `bytes`, or (undefined) has another value. */
  #moveGroup(register: number, bytes: number | undefined): void {
    const group = this.at.groups[register];
    if (group === undefined) return;
    const moved = bytes === undefined ? undefined : { ...group, low: group.low - bytes, high: group.high - bytes };
    this.at.groups = this.at.groups.with(register, moved);
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
    if (this.delta === 0) return;
    this.code.i64(this.delta);
    this.code.op(OP.i64_add);
  }

  openState(): void {}

  closeState(field: string, width: Width): void {
    const { code } = this;
    if (field === 'rip') return code.set(TARGET);
    const local = FIELD_LOCALS[field];
    if (local === undefined) {
      const store = [OP.i32_store8, OP.i32_store16, OP.i32_store, OP.i64_store][width]!;
      return this.#storeState(cpuOffset(field), width === 3 ? 'i64' : 'i32', store);
    }
    if (field === 'ccOp') return this.#closeFlagKind();
    const register = cpuOffset(field) >> 3;
    this.at.dirty |= 1 << register;
    this.at.loaded |= 1 << register;
    this.#moveGroup(register, undefined);
    if (width !== 3) code.op(OP.i64_extend_i32_u);
    code.set(local);
  }

  /** The kind of the flags that were just set is computed: the whole triple goes to memory. */
  #closeFlagKind(): void {
    this.#storeState(cpuOffset('ccOp'), 'i32', OP.i32_store);
    for (const [local, field] of FLAG_OPERANDS) {
      this.code.i32(0);
      this.code.get(local);
      this.code.memory(OP.i64_store, this.#memory.area + cpuOffset(field));
    }
    this.at.knownFlags = undefined;
    this.at.flagsDirty = false;
  }

  state(field: string, width: Width): void {
    const { code } = this;
    if (field === 'rip') return this.rip();
    const local = FIELD_LOCALS[field];
    const isFlags = field === 'ccA' || field === 'ccB';
    if (local === undefined || (isFlags && this.at.knownFlags === undefined)) {
      return this.#loadState(cpuOffset(field), [OP.i32_load8_u, OP.i32_load16_u, OP.i32_load, OP.i64_load][width]!);
    }
    assert(field !== 'ccOp', 'the kind of flags is known or in memory');
    if (!isFlags) this.#need(cpuOffset(field));
    code.get(local);
    if (width === 3) return;
    code.op(OP.i32_wrap_i64);
    if (width === 2) return;
    code.i32(width === 0 ? 0xff : 0xffff);
    code.op(OP.i32_and);
  }

  // Flags ----------------------------------------------------------------------------------------------------------------

  setFlags(op: number, width: Width, localA: number, localB: number | null): void {
    if (this.flagsAreDead) return;
    const { code } = this;
    code.get(localA);
    if (width !== 3) code.op(OP.i64_extend_i32_u);
    if (this.#leavesCarry) {
      code.set(PENDING);
      this.at.pending = PENDING_FLAGS.STEP + op;
      return;
    }
    this.at.pending = 0;
    code.set(CC_A);
    this.at.knownFlags = op;
    this.at.flagsDirty = true;
    if (localB === null) return;
    code.get(localB);
    if (width !== 3) code.op(OP.i64_extend_i32_u);
    code.set(CC_B);
  }

  /** What CF was would have to be worked out from the triple in memory, which is rather left there. */
  get #leavesCarry(): boolean {
    return this.carryIsDead && this.at.knownFlags === undefined && this.at.pending === 0;
  }

  setCarry(): void {
    this.code.op(OP.i64_extend_i32_u);
    this.code.set(PENDING);
    this.at.pending = PENDING_FLAGS.CARRY;
  }

  /** Brings the triple up to date with flags that are pending. */
  settle(): void {
    if (this.at.pending !== 0) this.#flushFlags();
  }

  /** The triple is in memory afterwards. Where flags were pending nothing is known of it. */
  #flushFlags(): void {
    this.#storeFlags();
    this.at.flagsDirty = false;
    if (this.at.pending === 0) return;
    this.#callSettle();
    this.at.pending = 0;
    this.at.knownFlags = undefined;
  }

  /** Merges the pending flags into the triple in memory. */
  #callSettle(): void {
    this.code.i32(this.at.pending);
    this.code.get(PENDING);
    this.call('settleFlags');
  }

  condition(code: number | 'immediate'): void {
    const number = code === 'immediate' ? this.#immediate : code;
    const { knownFlags, pending } = this.at;
    if (number === BELOW && this.#leavesCarry) return this.code.i32(0);
    if ((number & ~1) === BELOW && pending === PENDING_FLAGS.CARRY) return this.#pendingCarry(number);
    if (pending === 0 && knownFlags !== undefined && emitCondition(this.code, knownFlags, number)) return;
    this.#flushFlags();
    if (number === BELOW) return carryInMemory(this.code, this.#memory.area, () => this.call('condition'));
    this.code.i32(number);
    this.call('condition');
  }

  #pendingCarry(condition: number): void {
    this.code.get(PENDING);
    this.code.op(OP.i32_wrap_i64);
    if (condition !== BELOW) this.code.op(OP.i32_eqz);
  }

  // Memory ---------------------------------------------------------------------------------------------------------------

  /** Pops a linear address; leaves the region unless its page is in the TLB; pushes the host address. */
  #translate(table: number, bytes: number, isGroup = false): void {
    const { code } = this;
    code.set(LINEAR);
    probeTlb(code, { pushTable: () => code.get(table), linear: LINEAR, entry: TLB_ENTRY, offset: PAGE_OFFSET, bytes });
    code.op(OP.i64_gt_u);
    code.if();
    this.flow!.leave('tlbMiss', isGroup);
    code.end();
    pushHostAddress(code, PAGE_OFFSET, TLB_ENTRY);
  }

  /** Pushes the host address of an access, less what is returned. */
  #pushHost(at: Address, bytes: number, writes: boolean): number {
    const near = this.#nearRegister(at);
    if (near !== undefined) {
      const group = this.#groupFor(near, bytes, writes, at.wraps);
      if (group !== undefined) {
        this.code.get(GROUP_HOST[near.register]!);
        return near.displacement - group.low;
      }
    }
    at.push();
    this.#translate(writes ? TLB_WRITE : TLB_READ, bytes);
    return 0;
  }

  /** Whether the access of a record lies where the host's address is known, and with that cannot leave the region. */
  isKnown(access: MemoryAccess, record: number): boolean {
    const place = placeOf(this.#memory, access, record);
    if (place === undefined || (place.slot & 7) !== 0) return false;
    return isWithin(this.at.groups[place.slot >> 3], place.displacement, access.bytes, access.writes);
  }

  #nearRegister({ near }: Address): Near | undefined {
    if (near === undefined) return undefined;
    if (near !== 'operand') return { register: RSP, displacement: near };
    const slot = this.#slot('a');
    return slot < GENERAL.length * 8 && (slot & 7) === 0 ? { register: slot >> 3, displacement: this.#immediate } : undefined;
  }

  /** The group that an access is in, which begins here when others follow; undefined when it is alone. */
  #groupFor({ register, displacement }: Near, bytes: number, writes: boolean, wraps: boolean): Group | undefined {
    const known = this.at.groups[register];
    if (isWithin(known, displacement, bytes, writes)) return known;
    const reach = this.flow!.reach(register * 8);
    if (reach === undefined || displacement < reach.low || displacement + bytes > reach.high) return undefined;
    const { code } = this;
    this.#need(register * 8);
    code.get(GENERAL[register]!);
    code.i64(reach.low);
    code.op(OP.i64_add);
    if (wraps) {
      code.op(OP.i32_wrap_i64);
      code.op(OP.i64_extend_i32_u);
    }
    this.#translate(reach.writes ? TLB_WRITE : TLB_READ, reach.high - reach.low, true);
    code.set(GROUP_HOST[register]!);
    const group = { low: reach.low, high: reach.high, writes: reach.writes };
    this.at.groups = this.at.groups.with(register, group);
    return group;
  }

  load(at: Address, bytes: 1 | 2 | 4 | 8, signed: boolean, to: 'i32' | 'i64', write: boolean): void {
    const offset = this.#pushHost(at, bytes, write);
    this.code.memory(PLAIN_LOAD[to][bytes][signed ? 1 : 0], offset);
  }

  store(at: Address, bytes: 1 | 2 | 4 | 8, from: 'i32' | 'i64', push: () => void): void {
    const offset = this.#pushHost(at, bytes, true);
    push();
    this.code.memory(PLAIN_STORE[from][bytes], offset);
  }

  loadVector(at: Address): void {
    const offset = this.#pushHost(at, 16, false);
    this.code.memory(OP.v128_load, offset);
  }

  storeVector(at: Address, push: () => void): void {
    const offset = this.#pushHost(at, 16, true);
    push();
    this.code.memory(OP.v128_store, offset);
  }

  raiseStack(width: 2 | 3, bytes: number, pushMore?: () => void): void {
    const group = this.at.groups[RSP];
    pushRaisedStack(this, width, bytes, this.#immediate === 0 ? undefined : pushMore);
    this.closeState('rsp', 3);
    this.at.groups = this.at.groups.with(RSP, group);
    this.#moveGroup(RSP, pushMore === undefined ? bytes : bytes + this.#immediate);
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

  /** Writes the local that a slot lies in to its home, if that is older. */
  #spill(slot: number): void {
    const part = localOf(slot);
    if (typeof part !== 'object') return;
    const bit = part.home < GENERAL.length * 8 ? 1 << (part.home >> 3) : 0;
    if (bit !== 0 && (this.at.dirty & bit) === 0) return;
    this.at.dirty &= ~bit;
    this.code.i32(0);
    this.code.get(part.local);
    this.code.memory(OP.i64_store, this.#memory.area + part.home);
  }
  #reload(slot: number): void {
    const part = localOf(slot);
    if (typeof part !== 'object') return;
    this.#loadState(part.home, OP.i64_load);
    this.code.set(part.local);
    if (part.home >= GENERAL.length * 8) return;
    this.at.loaded |= 1 << (part.home >> 3);
    this.#moveGroup(part.home >> 3, undefined);
  }

  callHelper(name: string, mayFault: boolean): void {
    if (this.rotationCount !== undefined) rotateByConstant(this, name === 'ror', this.rotationCount);
    else if (!emitInline(this, name)) this.callSupport(name, mayFault);
  }

  callSupport(name: string, mayFault: boolean): void {
    const { code } = this;
    const effects = effectsOf(name);
    const operands = [this.#slot('d'), this.#slot('a'), this.#slot('b')];
    const slots = new Set(operands.map((slot) => slot & ~7));
    for (const register of effects.registers ?? []) slots.add(register * 8);
    const keepsFlags = leavesFlags(name);
    for (const slot of slots) this.#spill(slot);
    if (!keepsFlags) this.#flushFlags();
    if (effects.budget) this.#spillWord(BUDGET, 'executorBudget');
    for (const slot of operands) code.i32(this.#memory.area + slot);
    code.i32(this.#immediate);
    this.call(name);
    for (const slot of slots) this.#reload(slot);
    if (effects.mode) this.at.groups = NO_GROUPS;
    if (!keepsFlags) this.at.knownFlags = undefined;
    if (effects.budget) this.#reloadWord(BUDGET, 'executorBudget');
    if (effects.mode) {
      this.#reloadWord(TLB_READ, 'tlbRead');
      this.#reloadWord(TLB_WRITE, 'tlbWrite');
    }
    if (effects.memory) this.codeMayHaveChanged = true;
    if (mayFault) this.#faultIfRaised();
    if (writesFlags(name)) this.#loadFlags();
  }

  /** The triple in memory has the flags themselves. */
  #loadFlags(): void {
    this.#loadState(cpuOffset('ccA'), OP.i64_load);
    this.code.set(CC_A);
    this.at.knownFlags = ccOp(CC.FLAGS, 0);
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
    this.flow!.leaveWithFault();
    this.code.end();
  }

  sameOperand(one: Operand, other: Operand): boolean {
    return this.#slot(one) === this.#slot(other);
  }

  leaveForInterpreter(): void {
    this.flow!.leave('interpreted');
  }

  fault(): void {
    this.flow!.leaveWithFault();
    this.#diverged = true;
  }

  // Control --------------------------------------------------------------------------------------------------------------

  jump(index: number): void {
    this.flow!.jump(index);
    this.#diverged = true;
  }
  dispatch(): void {
    this.flow!.dispatch(this.#field16(RECORD.D));
    this.#diverged = true;
  }
  dispatchUncounted(): void {
    this.flow!.dispatch(0);
    this.#diverged = true;
  }
  leave(): void {
    assert(false, 'blocks that end the slice are left to the interpreter');
  }
  enterRegion(): void {
    assert(false, 'regions are made of plain records');
  }
}
