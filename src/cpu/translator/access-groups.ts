// Accesses of a block that lie close together, relative to one register: they need one look into the TLB. Says, for an access, how far
// those after it reach as long as the register keeps its value but for constants (PUSH, POP, ADD RSP). Reads records; emits nothing.
import { OPS, type MemoryAccess, type Traits } from '../ir/op.ts';
import { ADD, SUB } from '../ir/ops-integer.ts';
import '../ir/ops-vector.ts'; // every operation is declared
import { RECORD } from '../ir/record.ts';
import { cpuOffset } from '../x86/state.ts';
import type { CodeMemory, RegionBlock } from './region-blocks.ts';

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

/** A register by its slot, and what an access adds to its value. */
export interface AccessPlace {
  readonly slot: number;
  readonly displacement: number;
}

/** Where the access of a record lies around one register; undefined where more than one is added. */
export function placeOf({ u16, i32 }: CodeMemory, { kind, bytes }: MemoryAccess, record: number): AccessPlace | undefined {
  if (kind === 'indexed') return undefined;
  if (kind === 'operand') return { slot: u16[(record + RECORD.A) >> 1]!, displacement: i32[(record + RECORD.IMM) >> 2]! };
  return { slot: RSP, displacement: kind === 'push' ? -bytes : 0 };
}

const addsConstant = new Map([[ADD.i[3]!, 1], [SUB.i[3]!, -1]]);

/** What is added to RSP by a record that sets it, or undefined where that is not a constant. */
export function constantAdded({ u16, i32 }: CodeMemory, operation: number, record: number): number | undefined {
  const sign = addsConstant.get(operation);
  const isSame = u16[(record + RECORD.D) >> 1] === RSP && u16[(record + RECORD.A) >> 1] === RSP;
  return sign !== undefined && isSame ? sign * i32[(record + RECORD.IMM) >> 2]! : undefined;
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

  #take(displacement: number, { bytes, writes }: MemoryAccess): boolean {
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
    const { endsGroups, access, writes } = OPS[operation]!.traits;
    if (endsGroups) return false;
    const place = access === undefined ? undefined : placeOf(this.#memory, access, record);
    if (place?.slot === this.#register && !(this.#take(place.displacement, access!) && this.#moves(access!))) return false;
    return this.#keepsRegister(operation, record, writes);
  }

  /** False where the block ends with the access. */
  #moves({ kind, bytes }: MemoryAccess): boolean {
    if (kind === 'push') this.#moved -= bytes;
    if (kind === 'pop' || kind === 'return') this.#moved += bytes;
    return kind !== 'return';
  }

  /** Whether the register is the same after the record, but for a constant. */
  #keepsRegister(operation: number, record: number, writes: Traits['writes']): boolean {
    const { u16 } = this.#memory;
    const isIn = (field: number): boolean => (u16[(record + field) >> 1]! & ~7) === this.#register;
    if (writes === 'sources' && (isIn(RECORD.A) || isIn(RECORD.B))) return false;
    if (writes === 'nothing' || !isIn(RECORD.D)) return true;
    const added = this.#register === RSP ? constantAdded(this.#memory, operation, record) : undefined;
    if (added === undefined) return false;
    this.#moved += added;
    return true;
  }
}

/**
 * How far the accesses of a block reach from record number `from` on, itself included, relative to the general register whose slot is
 * `register`.
 */
export function reachOf(memory: CodeMemory, register: number, { address, operations }: RegionBlock, from: number): Reach | undefined {
  if (register >= REGISTERS_END || (register & 7) !== 0) return undefined;
  const walk = new Walk(memory, register);
  for (let n = from; n < operations.length; n++) if (!walk.step(operations[n]!, address + n * RECORD.BYTES)) break;
  return walk.accesses > 1 ? walk : undefined;
}
