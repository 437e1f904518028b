// The functions of the support module that regions may call, by the numbers that programs and the emitter have for them.
import { HELPERS } from '../ir/ops-helper.ts';
import type { FunctionType } from '../../wasm/code-writer.ts';

const helperType: FunctionType = { params: ['i32', 'i32', 'i32', 'i32'], results: [] };
const OWN_TYPES: Readonly<Record<string, FunctionType>> = {
  condition: { params: ['i32'], results: ['i32'] },
  prepareWrite: { params: ['i64', 'i32'], results: [] },
  settleFlags: { params: ['i32', 'i64'], results: [] },
  regionLeft: { params: ['i32', 'i32', 'i32', 'i32'], results: [] },
};

/** Those that are no helpers: the emitter calls them by name. */
export const OWN_FUNCTIONS: readonly string[] = Object.keys(OWN_TYPES);
export const SUPPORT_FUNCTIONS: readonly string[] = [...OWN_FUNCTIONS, ...Object.keys(HELPERS)];

export const supportType = (name: string): FunctionType => OWN_TYPES[name] ?? helperType;
