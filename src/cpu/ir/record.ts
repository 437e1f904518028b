// The shape of decoded code in the IR arena: a block is a header followed by 16-byte records, one per operation.
// Operands are byte offsets into the vCPU area (cpu/x86/state.ts), so that AH is simply the offset of RAX plus 1.

import type { FunctionType } from '../../wasm/code-writer.ts';

/** Byte offsets of the fields of a record. */
export const RECORD = {
  OP: 0, // u16: number of the operation (ops.ts)
  D: 2, // u16: destination, or the number of guest instructions in the block for one that ends it
  A: 4, // u16: first source, or base register of an address
  PC: 6, // u16: offset of the guest instruction from the start of the block; PC_STACK: it accesses the stack segment
  IMM: 8, // i32: immediate or displacement
  B: 12, // u16: second source, or index register
  C: 14, // u16: third source, or scale of the index
  IMM2: 12, // i32: second immediate, or the block that a jump leads to (0: not linked yet)
  BYTES: 16,
} as const;

/** Bit of RECORD.PC: an address that cannot be is #SS(0) instead of #GP(0) here. */
export const PC_STACK = 0x8000;
/** Bit of a jump record's A (above the shift count): a branch, whose target beyond the code segment is its own fault. */
export const A_BRANCH = 0x100;

/** Byte offsets of the fields of a block header. The address of a block is that of its first record. */
export const BLOCK = {
  PHYSICAL: 0, // u32: guest-physical address of the first byte
  KEY: 4, // u32: MODE bits it was decoded for
  HASH_NEXT: 8, // u32: next block in the hash chain
  PAGE_NEXT: 12, // u32: next block with code in the same page
  GUEST_BYTES: 16, // u16
  INSTRUCTIONS: 18, // u16
  PHYSICAL2: 20, // u32: page where its last instruction continues, or 0xffffffff
  RECORDS: 24, // u32: number of records
  COUNT: 28, // u32: executions, for promotion
  SECOND_NEXT: 32, // u32: next block that continues in a second page
  REGION: 36, // u32: address of the record of the region that this block is an entry of | number of the entry
  FIRST_OP: 40, // u16: operation of the first record, where REGION stands instead
  MEMBER: 42, // u16: 1 when some region was made of this block
  DELTA: 44, // i32: from the region's base to this block, in linear bytes
  BYTES: 48,
} as const;

/**
 * A region (translator/): number of the entry, RIP of its base and the instructions left in the slice to the number of the exit and the
 * instructions left.
 */
export const REGION_TYPE: FunctionType = { params: ['i32', 'i64', 'i32'], results: ['i32', 'i32'] };
