// What code that stands for a helper in a region (inline-helpers.ts) is written against: the lowering of regions, the way out of the
// region, and the choice between such code and the helper itself.
import { CC, ccOp } from '../ir/flags.ts';
import type { Lowering, Operand } from '../ir/lowering.ts';
import { CC_A } from './region-locals.ts';
import type { RegionState } from './region-state.ts';

export interface InlineLowering extends Lowering {
  at: RegionState;
  sameOperand(one: Operand, other: Operand): boolean;
  /** Leaves the region before the running instruction. */
  leaveForInterpreter(): void;
  /** Calls the helper, whatever could stand for it. */
  callSupport(name: string, mayFault: boolean): void;
}

/** The condition on the stack decides between `native` and the helper, both of which write nothing but memory. */
export function chooseEffect(m: InlineLowering, name: string, native: () => void): void {
  const before = { ...m.at };
  m.code.if();
  native();
  m.code.else();
  m.callSupport(name, true);
  m.code.end();
  m.at = before;
}

/** The same where both write the register in d. */
export function chooseResult(m: InlineLowering, name: string, native: () => void): void {
  const before = { ...m.at };
  m.code.if();
  native();
  const after = m.at; // what the helper wrote is in the register's home too; it is stored once more
  m.at = before;
  m.code.else();
  m.callSupport(name, true);
  m.code.end();
  m.at = after;
}

/** The same between the flags that `push` pushes (i64, in their places in EFLAGS) and those that the helper leaves. */
export function chooseFlags(m: InlineLowering, name: string, push: () => void): void {
  const before = { ...m.at };
  m.code.if();
  push();
  m.code.set(CC_A);
  m.code.else();
  m.callSupport(name, true);
  m.code.end();
  m.at = { ...before, knownFlags: ccOp(CC.FLAGS, 0), flagsDirty: true, pending: 0 };
}
