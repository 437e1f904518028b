// What code that stands for a helper in a region (inline-helpers.ts) is written against: the lowering, questions about the record that
// is translated, the way out of the region, and the choice between such code and the helper itself. Like the meanings of operations, such
// code is run when programs are made of it (programs.ts): with each answer that its questions can have.
import type { Lowering, Operand, Width } from '../ir/lowering.ts';

export interface InlineLowering extends Lowering {
  sameOperand(one: Operand, other: Operand): boolean;
  immediateIs(value: number): boolean;
  /** Whether all these bits of the immediate are set. */
  immediateHas(bits: number): boolean;
  /** Of a rotation: what its count is; undefined where only the running code knows. */
  rotationCount(): 'zero' | 'some' | undefined;
  pushRotationCount(width: Width): void;
  /** Flags are in the local PENDING: PENDING_FLAGS in ir/flags.ts. */
  setPending(kind: number): void;
  /** Pushes a field of the segment register that the immediate of `checkSegment` names, and the size of its access less one (i64). */
  segmentField(field: SegmentField): void;
  lastByteOfAccess(): void;
  /** Leaves the region before the running instruction. */
  leaveForInterpreter(): void;
  /** Calls the helper, whatever could stand for it. */
  callSupport(name: string, mayFault: boolean): void;
  /** The condition on the stack decides between `native` and the helper, both of which write nothing but memory. */
  chooseEffect(name: string, native: () => void): void;
  /** The same where both write the same registers. What the helper wrote is in the registers' homes too; it is stored once more. */
  chooseResult(name: string, native: () => void): void;
  /** The same for the flags that `push` pushes (i64, in their places in EFLAGS). */
  chooseFlags(name: string, push: () => void): void;
}

export type SegmentField = 'Base' | 'Limit' | 'Access';
