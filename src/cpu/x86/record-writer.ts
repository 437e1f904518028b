// Writes the IR records of one block into the arena and hands out temporaries: what BlockBuilder (builder.ts) stands on. Knows
// where in the block it is and which lazy flags hold there, but no operands of instructions.
import { assert } from '../../base/assert.ts';
import type { Width } from '../ir/lowering.ts';
import { HELPER } from '../ir/ops-helper.ts';
import { PC_STACK, RECORD } from '../ir/record.ts';
import { cpuOffset } from './state.ts';

export type Slot = number;
export const ZERO: Slot = cpuOffset('zero');
const TEMPORARIES: Slot = cpuOffset('tmp0');
const TEMPORARY_COUNT = 8;
const VECTOR_TEMPORARIES: Slot = cpuOffset('xtmp0');
const VECTOR_TEMPORARY_COUNT = 4;
const PC_MASK = PC_STACK - 1;

type HelperName = keyof typeof HELPER;

/** Which lazy triple the flags are known to hold at this point of the block. */
export interface KnownFlags {
  kind: 'none' | 'sub' | 'result';
  width: Width;
}

export class RecordWriter {
  readonly #u16: Uint16Array;
  readonly #i32: Int32Array;
  #record = 0; // byte address of the next record
  #limit = 0;
  /** Offset of the current instruction, and of the next, from the start of the block. */
  pc = 0;
  nextPc = 0;
  instructionCount = 0;
  ended = false;
  /** Set by STI and MOV SS: the next instruction belongs to the block, with interrupts held off until it is done. */
  shadow = false;
  readonly flags: KnownFlags = { kind: 'none', width: 0 };
  /** Whether the records to come access the stack segment. */
  protected onStack = false;
  #temporaries = 0;
  #vectorTemporaries = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#u16 = new Uint16Array(buffer);
    this.#i32 = new Int32Array(buffer);
  }

  beginBlock(address: number, limit: number): void {
    this.#record = address;
    this.#limit = limit;
    this.pc = this.nextPc = this.instructionCount = 0;
    this.ended = this.shadow = false;
    this.flags.kind = 'none';
  }

  protected beginRecords(pc: number, length: number): void {
    this.pc = pc;
    this.nextPc = pc + length;
    this.instructionCount++;
    this.onStack = false;
    this.#temporaries = this.#vectorTemporaries = 0;
  }

  get recordAddress(): number {
    return this.#record;
  }

  /** Appends a record. `b` and `c` fill the last four bytes. */
  emit(op: number, d: Slot, a: Slot, immediate: number, b: number, c: number): void {
    assert(this.#record + RECORD.BYTES <= this.#limit && op >= 0, 'no room for a record, or no such operation');
    const half = this.#record >> 1;
    const u16 = this.#u16;
    u16[half] = op;
    u16[half + 1] = d;
    u16[half + 2] = a;
    u16[half + 3] = this.onStack ? this.pc | PC_STACK : this.pc;
    this.#i32[(this.#record >> 2) + 2] = immediate;
    u16[half + 6] = b;
    u16[half + 7] = c;
    this.#record += RECORD.BYTES;
  }

  /** Appends a record whose last four bytes are a second immediate. */
  emit2(op: number, d: Slot, a: Slot, immediate: number, immediate2: number): void {
    this.emit(op, d, a, immediate, immediate2 & 0xffff, immediate2 >>> 16);
  }

  helper(name: HelperName, d: Slot = ZERO, a: Slot = ZERO, b: Slot = ZERO, immediate = 0): void {
    this.emit(HELPER[name], d, a, immediate, b, 0);
    this.flags.kind = 'none';
  }

  /** Operation of the last record when it belongs to an instruction before the current one, otherwise -1. */
  protected get previousOp(): number {
    const previous = (this.#record - RECORD.BYTES) >> 1;
    return (this.#u16[previous + RECORD.PC / 2]! & PC_MASK) === this.pc ? -1 : this.#u16[previous]!;
  }

  protected replacePreviousOp(op: number): void {
    this.#u16[(this.#record - RECORD.BYTES) >> 1] = op;
  }

  temporary(): Slot {
    assert(this.#temporaries < TEMPORARY_COUNT, 'out of temporaries');
    return TEMPORARIES + 8 * this.#temporaries++;
  }

  vectorTemporary(): Slot {
    assert(this.#vectorTemporaries < VECTOR_TEMPORARY_COUNT, 'out of vector temporaries');
    return VECTOR_TEMPORARIES + 32 * this.#vectorTemporaries++;
  }
}
