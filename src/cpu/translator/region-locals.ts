// Where a region function keeps things: its parameters and locals. General registers, IR temporaries and the lazy flags live in
// locals; everything else of the vCPU stays in memory at constant addresses.
import { cpuOffset } from '../x86/state.ts';
import type { ValueType } from '../../wasm/opcodes.ts';

let next = 0;
const types: ValueType[] = [];
const locals = (type: ValueType, count: number): number[] =>
  Array.from({ length: count }, () => {
    types.push(type);
    return next++;
  });
const one = (type: ValueType): number => locals(type, 1)[0]!;

/** Number of the entry to begin at; RIP of the base; instructions left in the slice. */
export const ENTRY = one('i32');
export const BASE = one('i64');
export const BUDGET = one('i32');
const PARAMETERS = next;
export const GENERAL = locals('i64', 16);
export const TEMPORARIES = locals('i64', 8);
/** Host address of the first byte of the group around each general register. */
export const GROUP_HOST = locals('i32', 16);
export const CC_A = one('i64');
export const CC_B = one('i64');
/** What the pending flags are made of: PENDING_FLAGS in ir/flags.ts. */
export const PENDING = one('i64');
/** RIP to leave with. */
export const TARGET = one('i64');
/** Of a computed target from the base. */
export const DISTANCE = one('i64');
export const TLB_READ = one('i32');
export const TLB_WRITE = one('i32');
/** With counting: the budget it was entered with. */
export const ENTERED = one('i32');
export const LINEAR = one('i64');
export const TLB_ENTRY = one('i32');
/** Of an access in its page. */
export const PAGE_OFFSET = one('i64');
/** Values on their way to memory, which is addressed after they are computed. */
export const VALUE = { i32: one('i32'), i64: one('i64'), v128: one('v128') } as const;
export const SCRATCH_I32 = locals('i32', 4);
export const SCRATCH_I64 = locals('i64', 4);
export const SCRATCH_V128 = locals('v128', 2);
export const LOCAL_TYPES: readonly ValueType[] = types.slice(PARAMETERS);

/** A part of a local that an operand is: AH is the byte 1 of RAX. */
export interface LocalPart {
  readonly local: number;
  /** Offset of the local's memory home in the vCPU area. */
  readonly home: number;
  readonly shift: number;
}

const TEMPORARY_HOME = cpuOffset('tmp0');
const ZERO_HOME = cpuOffset('zero');

/** The local that an operand slot is in, 'zero' for the constant, or undefined for memory. */
export function localOf(slot: number): LocalPart | 'zero' | undefined {
  const home = slot & ~7;
  if (home === ZERO_HOME) return 'zero';
  const shift = (slot & 7) * 8;
  if (home < GENERAL.length * 8) return { local: GENERAL[home >> 3]!, home, shift };
  const temporary = (home - TEMPORARY_HOME) >> 3;
  if (temporary >= 0 && temporary < TEMPORARIES.length) return { local: TEMPORARIES[temporary]!, home, shift };
  return undefined;
}

/** State fields that are locals while a region runs. */
export const FIELD_LOCALS: Readonly<Record<string, number>> = {
  rax: GENERAL[0]!,
  rdx: GENERAL[2]!,
  rsp: GENERAL[4]!,
  ccA: CC_A,
  ccB: CC_B,
  ccOp: -1,
};
