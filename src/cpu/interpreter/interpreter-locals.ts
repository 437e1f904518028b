// The locals of the interpreter's functions. The first ones are parameters of those for rare operations.
import type { ValueType } from '../../wasm/opcodes.ts';

export const CPU = 0;
export const IP = 1;
export const RARE_OPERATION = 2; // a scratch local later
export const I32_SCRATCH = [2, 3, 4, 5];
export const ENTRY = 6; // address of a TLB or jump-cache entry
export const HOST = 7; // host address of an access
export const I64_SCRATCH = [8, 9, 10, 11];
export const LINEAR = 12;
export const V128_SCRATCH = [13, 14];
export const OPERATION = 15; // number of the operation to execute
// While regions follow each other:
export const BUDGET = 16; // instructions left in the slice
export const REGION_AT = 17; // record of the running region
export const ENTRY_NUMBER = 18; // by which it is entered
export const TARGET = 19; // both of them, as exits and block headers name them
export const EXIT_AT = 20; // the exit by which it was left; 0: none was left yet
export const BASE = 21; // RIP of the region's base
export const PAGE_OFFSET = 22; // of an access
export const LAST_BASE = 23; // BASE of the region before
export const EXIT_COUNT = 24; // instructions that the jump by which it was left counts; 0: its record says it
export const LOCALS: readonly ValueType[] = [
  ...Array<ValueType>(8).fill('i32'), ...Array<ValueType>(5).fill('i64'), ...Array<ValueType>(2).fill('v128'),
  ...Array<ValueType>(6).fill('i32'), 'i64', 'i64', 'i64', 'i32',
];
