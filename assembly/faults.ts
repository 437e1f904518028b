// Raising a guest exception inside a helper. The fault waits in the vCPU state until the executor, which knows the
// RIP it belongs to, calls deliverFault (interrupts.ts). Nothing here has another effect.
import { cpu } from './host';
import { CR2, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_VECTOR } from './generated/layout';

export const VECTOR_DE: u32 = 0;
export const VECTOR_DB: u32 = 1;
export const VECTOR_NMI: u32 = 2;
export const VECTOR_BP: u32 = 3;
export const VECTOR_OF: u32 = 4;
export const VECTOR_BR: u32 = 5;
export const VECTOR_UD: u32 = 6;
export const VECTOR_NM: u32 = 7;
export const VECTOR_DF: u32 = 8;
export const VECTOR_TS: u32 = 10;
export const VECTOR_NP: u32 = 11;
export const VECTOR_SS: u32 = 12;
export const VECTOR_GP: u32 = 13;
export const VECTOR_PF: u32 = 14;
export const VECTOR_AC: u32 = 17;
export const FAULT_NONE: u32 = 0xffffffff;

/** Error code bits of #PF. */
export const PF_PRESENT: u32 = 1;
export const PF_WRITE: u32 = 2;
export const PF_USER: u32 = 4;
export const PF_RESERVED: u32 = 8;
export const PF_FETCH: u32 = 16;

// @ts-ignore: decorator
@inline export function faulted(): bool { return load<u32>(cpu + FAULT_VECTOR) != FAULT_NONE; }
export function clearFault(): void { store<u32>(cpu + FAULT_VECTOR, FAULT_NONE); }

/** An exception without an error code. */
export function raise(vector: u32): void {
  store<u32>(cpu + FAULT_VECTOR, vector);
  store<u32>(cpu + FAULT_ERROR, 0);
  store<u32>(cpu + FAULT_HAS_ERROR, 0);
}

export function raiseError(vector: u32, error: u32): void {
  store<u32>(cpu + FAULT_VECTOR, vector);
  store<u32>(cpu + FAULT_ERROR, error);
  store<u32>(cpu + FAULT_HAS_ERROR, 1);
}

/** #GP(0), by far the most frequent. */
export function raiseGp(): void { raiseError(VECTOR_GP, 0); }

export function raisePageFault(linear: u64, error: u32): void {
  store<u64>(cpu + CR2, linear);
  raiseError(VECTOR_PF, error);
}
