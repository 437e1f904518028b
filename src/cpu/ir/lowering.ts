// What the meaning of an IR operation is written against: pushing operands, setting results, memory, flags, control.
// The interpreter generator and the region translator each implement it; an operation's meaning (ops.ts) is written once.
// Values of 8, 16 and 32 bits are i32 on the WebAssembly stack, of which only the low bits count; 64-bit ones are i64.
import type { CodeWriter } from '../../wasm/code-writer.ts';

/** log2 of the operand size in bytes. */
export type Width = 0 | 1 | 2 | 3;
export const WIDTHS: readonly Width[] = [0, 1, 2, 3];

export type Operand = 'd' | 'a' | 'b';

/** Where memory is accessed. */
export interface Address {
  /** Pushes the linear address (i64). */
  readonly push: () => void;
  /** What it is relative to, where that is known: the register in a with the immediate, or RSP with so many bytes. */
  readonly near?: 'operand' | number;
  /** It wraps around at 4 GiB. */
  readonly wraps: boolean;
}

export interface Lowering {
  readonly code: CodeWriter;
  /** Scratch locals, free at the start of every operation. */
  readonly i32: readonly number[];
  readonly i64: readonly number[];
  readonly v128: readonly number[];
  /** Pushes an operand; narrower than 32 bits it is zero- or sign-extended to i32. */
  get(operand: Operand, width: Width, signed?: boolean): void;
  /** Pushes 64 bits of an operand extended from `width`. */
  getExtended(operand: Operand, width: Width, signed: boolean): void;
  /** Sets an operand to the value that is pushed between the two. 32-bit results clear the upper half, narrower ones keep it. */
  open(operand: Operand): void;
  close(operand: Operand, width: Width): void;
  getVector(operand: Operand): void;
  closeVector(operand: Operand): void;
  /** Pushes the absolute address of an operand inside the vCPU state. */
  address(operand: Operand): void;
  /** Pushes the immediate, sign-extended to 64 bits when `width` is 3. */
  immediate(width: Width): void;
  immediate2(): void;
  /** Of a shift by the immediate: whether its count, masked to the operand's, is 0; undefined where only the running code knows. */
  shiftCount(width: Width): 'zero' | 'some' | undefined;
  /** Pushes that count, less a number, where it is known. */
  pushShiftCount(width: Width, less: 0 | 1): void;
  /** Pushes the 64-bit constant that IMM (low) and IMM2 (high) make. */
  immediate64(): void;
  /** Pushes fields as they are. */
  fieldC(): void;
  /** Pushes the base of the segment whose base field is in C (low two bits masked away). */
  segmentBase(): void;
  /** RIP of the first instruction of the block, and setting it. */
  rip(): void;
  openState(): void;
  closeState(field: string, width: Width): void;
  state(field: string, width: Width): void;
  /** Expects ccA and ccB (unless null) in scratch locals; sets the lazy triple with a constant ccOp. */
  setFlags(ccOp: number, width: Width, localA: number, localB: number | null): void;
  /** What the operation sets of flags is replaced before anything needs it: setFlags does nothing. */
  readonly flagsAreDead: boolean;
  /** CF becomes the 0 or 1 (i32) on the stack; the other flags stay. */
  setCarry(): void;
  /** Pushes 0 or 1: whether a condition code (CONDITION in flags.ts) holds, a constant one or that of the immediate. */
  condition(code: number | 'immediate'): void;
  /** Leaves the value. `write` demands write access as well (read-modify-write). */
  load(at: Address, bytes: 1 | 2 | 4 | 8, signed: boolean, to: 'i32' | 'i64', write: boolean): void;
  loadVector(at: Address): void;
  /** `push` pushes the value. */
  store(at: Address, bytes: 1 | 2 | 4 | 8, from: 'i32' | 'i64', push: () => void): void;
  storeVector(at: Address, push: () => void): void;
  /** RSP rises by a number and by what `pushMore` pushes (i64), within the width of the stack. */
  raiseStack(width: 2 | 3, bytes: number, pushMore?: () => void): void;
  /** The linear address (i64) is on the stack: faults as a store of `bytes` would. */
  prepareWrite(bytes: number): void;
  /** Calls an imported function that follows `name(d, a, b, imm)` and leaves the instruction if it raised a fault. */
  callHelper(name: string, mayFault: boolean): void;
  call(name: string): void;
  /**
   * A condition (i32) is on the stack: what is emitted in `then` runs when it holds, `otherwise` when it does not. Without `otherwise`
   * the first part leads away (jump, dispatch, fault).
   */
  branch(then: () => void, otherwise?: () => void): void;
  /** Raises the fault that has been recorded. */
  fault(): void;
  /** Ends the block: goes to the jump record `index` records further on. */
  jump(index: number): void;
  /** Ends the block at the RIP that has been set: looks up what is there. */
  dispatch(): void;
  /** The same, without counting instructions. */
  dispatchUncounted(): void;
  /** Runs the region that this block is an entry of; the block's own first operation when it cannot be entered now. */
  enterRegion(): void;
  /** Pushes the offset of the guest instruction from the start of the block. */
  pc(): void;
  /** Ends the slice with the RIP that has been set. */
  leave(): void;
}
