// Accesses of a block that lie close together, relative to one register: they need one look into the TLB. Says, for an access, how far
// those after it reach as long as the register keeps its value but for constants (PUSH, POP, ADD RSP). Reads records; emits nothing.
import { OPS } from '../ir/op.ts';
import '../ir/ops-vector.ts'; // every operation is declared
import { HELPERS } from '../ir/ops-helper.ts';
import { RECORD } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';
import type { CodeMemory } from './region-blocks.ts';

/** The accesses of a group lie within so many bytes: the more, the more often a page ends in the middle. */
const REACH_MAX = 256;
const RSP = cpuOffset('rsp');
const REGISTERS_END = 16 * 8;

export interface Reach {
  /** Bytes relative to the register at the first access: from, to before. */
  readonly low: number;
  readonly high: number;
  readonly writes: boolean;
  readonly accesses: number;
}

interface Access {
  readonly kind: 'none' | 'operand' | 'push' | 'pop' | 'ret';
  readonly bytes: number;
  readonly writes: boolean;
}

const NONE: Access = { kind: 'none', bytes: 0, writes: false };

function accessOf(name: string): Access {
  const operand = /^(load|load_modify|load_zx|load_sx|store|storei)\.(v?)(\d+)(\.\d+)?\.b(32)?$/.exec(name);
  if (operand !== null) {
    return { kind: 'operand', bytes: Number(operand[3]) / 8, writes: operand[1]!.startsWith('store') || operand[1] === 'load_modify' };
  }
  const stack = /^(push|pushi|pop|call|call_indirect|ret)\.(32|64)$/.exec(name);
  if (stack === null) return NONE;
  const bytes = Number(stack[2]) / 8;
  if (stack[1] === 'pop') return { kind: 'pop', bytes, writes: false };
  return stack[1] === 'ret' ? { kind: 'ret', bytes, writes: false } : { kind: 'push', bytes, writes: true };
}

const ACCESSES = OPS.map(({ name }) => accessOf(name));
/** What is called may change what is mapped how. */
const stops = OPS.map(({ name }) => Object.hasOwn(HELPERS, name) || /^(continue|stale|leave|raise|repeat|dispatch|region)$/.test(name));
const WRITES_NOTHING = /^(store|cmp|test|push|call|ret|jump|check_|align16|end_shadow|next_rip)|_jump/;
const writesNothing = OPS.map(({ name }) => WRITES_NOTHING.test(name));
const writesSources = OPS.map(({ name }) => name.startsWith('xchg.'));
const addsConstant = OPS.map(({ name }) => (name === 'addi.64' ? 1 : name === 'subi.64' ? -1 : 0));

/** What is added to RSP by a record that sets it, or undefined where that is not a constant. */
export function constantAdded({ u16, i32 }: CodeMemory, operation: number, record: number): number | undefined {
  const sign = addsConstant[operation]!;
  const isSame = u16[(record + RECORD.D) >> 1] === RSP && u16[(record + RECORD.A) >> 1] === RSP;
  return sign !== 0 && isSame ? sign * i32[(record + RECORD.IMM) >> 2]! : undefined;
}

/** Walks the records of a block from an access on. */
class Walk {
  readonly #memory: CodeMemory;
  readonly #register: number;
  /** What was added to the register so far. */
  #moved = 0;
  low = Infinity;
  high = -Infinity;
  writes = false;
  accesses = 0;

  constructor(memory: CodeMemory, register: number) {
    this.#memory = memory;
    this.#register = register;
  }

  #take(displacement: number, { bytes, writes }: Access): boolean {
    const low = Math.min(this.low, this.#moved + displacement);
    const high = Math.max(this.high, this.#moved + displacement + bytes);
    if (high - low > REACH_MAX) return false;
    this.low = low;
    this.high = high;
    this.writes ||= writes;
    this.accesses++;
    return true;
  }

  /** False when the walk ends before this record. */
  step(operation: number, record: number): boolean {
    if (stops[operation]) return false;
    const access = ACCESSES[operation]!;
    const { u16, i32 } = this.#memory;
    if (access.kind === 'operand') {
      const isNear = u16[(record + RECORD.A) >> 1] === this.#register;
      if (isNear && !this.#take(i32[(record + RECORD.IMM) >> 2]!, access)) return false;
    } else if (access.kind !== 'none' && this.#register === RSP && !this.#stack(access)) return false;
    return this.#keepsRegister(operation, record);
  }

  #stack(access: Access): boolean {
    if (access.kind === 'push') {
      if (!this.#take(-access.bytes, access)) return false;
      this.#moved -= access.bytes;
      return true;
    }
    if (!this.#take(0, access)) return false;
    this.#moved += access.bytes;
    return access.kind !== 'ret';
  }

  /** Whether the register is the same after the record, but for a constant. */
  #keepsRegister(operation: number, record: number): boolean {
    const { u16 } = this.#memory;
    const isIn = (field: number): boolean => (u16[(record + field) >> 1]! & ~7) === this.#register;
    if (writesSources[operation] && (isIn(RECORD.A) || isIn(RECORD.B))) return false;
    if (writesNothing[operation] || !isIn(RECORD.D)) return true;
    const added = this.#register === RSP ? constantAdded(this.#memory, operation, record) : undefined;
    if (added === undefined) return false;
    this.#moved += added;
    return true;
  }
}

/**
 * How far the accesses reach that follow from `record` on, itself included, relative to the general register whose slot is `register`.
 * `operations` are those of the records up to the end of the block.
 */
export function reachOf(memory: CodeMemory, register: number, record: number, operations: readonly number[]): Reach | undefined {
  if (register >= REGISTERS_END || (register & 7) !== 0) return undefined;
  const walk = new Walk(memory, register);
  for (const [index, operation] of operations.entries()) if (!walk.step(operation, record + index * RECORD.BYTES)) break;
  return walk.accesses > 1 ? walk : undefined;
}
