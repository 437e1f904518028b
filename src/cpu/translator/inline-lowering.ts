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

/** What is known at the end of a choice: before it, and after its native part. */
interface Choice {
  readonly before: RegionState;
  readonly after: RegionState;
}

/** The condition on the stack decides between `native` and the helper. Whoever calls this says what is known afterwards. */
function choose(m: InlineLowering, name: string, native: () => void): Choice {
  const before = { ...m.at };
  m.code.if();
  native();
  const after = m.at;
  m.at = { ...before };
  m.code.else();
  m.callSupport(name, true);
  m.code.end();
  return { before, after: { ...after, loaded: after.loaded & m.at.loaded } };
}

/** `native` and the helper write nothing but memory. */
export function chooseEffect(m: InlineLowering, name: string, native: () => void): void {
  m.at = choose(m, name, native).before;
}

/** Both write the same registers. What the helper wrote is in the registers' homes too; it is stored once more. */
export function chooseResult(m: InlineLowering, name: string, native: () => void): void {
  m.at = choose(m, name, native).after;
}

/** The flags that `push` pushes (i64, in their places in EFLAGS), or those that the helper leaves. */
export function chooseFlags(m: InlineLowering, name: string, push: () => void): void {
  const { before } = choose(m, name, () => {
    push();
    m.code.set(CC_A);
  });
  m.at = { ...before, knownFlags: ccOp(CC.FLAGS, 0), flagsDirty: true, pending: 0 };
}
