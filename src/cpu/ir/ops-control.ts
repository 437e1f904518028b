// Operations that end a block or concern the executor itself. In those that end a block, d counts its instructions.
import { OP } from '../../wasm/opcodes.ts';
import { checkTarget } from './ops-memory.ts'; // declared before: operations are numbered in a fixed order
import type { Lowering } from './lowering.ts';
import { family, op } from './op.ts';

function advance(m: Lowering, push: () => void): void {
  m.openState();
  m.rip();
  push();
  m.code.op(OP.i64_add);
  m.closeState('rip', 3);
}

/** The jump record: RIP = (RIP + imm) & (all ones >> a), on to the block in IMM2 when it is linked. */
export const JUMP = op('jump', (m) => m.jump(0), { isLast: true, writes: 'nothing' });
/** Continues at the address in a; [2] outside 64-bit mode, [3] in it. */
export const JUMP_INDIRECT = family('jump_indirect', (m, w) => {
  const target = m.i64[0]!;
  m.get('a', 3);
  m.code.set(target);
  checkTarget(m, w === 3 ? 3 : 2, target);
  m.openState();
  m.code.get(target);
  m.closeState('rip', 3);
  m.dispatch();
}, { isLast: true, writes: 'nothing' }, [2, 3]);
/**
 * Raises what a branch to the address in a would raise outside 64-bit mode; for a call before it pushes, to the linear address in b,
 * whose faults come first.
 */
export const CHECK_TARGET = op('check_target', (m) => {
  m.get('a', 3);
  m.code.set(m.i64[0]!);
  checkTarget(m, 2, m.i64[0]!);
}, { writes: 'nothing' });
export const CHECK_CALL = op('check_call', (m) => {
  m.get('a', 3);
  m.code.set(m.i64[0]!);
  checkTarget(m, 2, m.i64[0]!, () => m.get('b', 3));
}, { writes: 'nothing' });
/** Continues at block RIP + imm, looked up anew: after what may have changed the mode or the mapping. */
export const CONTINUE = op('continue', (m) => {
  advance(m, () => m.immediate(3));
  m.dispatch();
}, { endsGroups: true });
/** Continues at the RIP that a helper has set. */
export const DISPATCH = op('dispatch', (m) => m.dispatch(), { endsGroups: true, isLast: true });
/** Ends the slice at block RIP + imm: HLT. */
export const LEAVE = op('leave', (m) => {
  advance(m, () => m.immediate(3));
  m.leave();
}, { endsGroups: true });
/** First record of a block whose code has been overwritten, and of every instruction in it: look up again from here. */
export const STALE = op('stale', (m) => {
  advance(m, () => {
    m.pc();
    m.code.op(OP.i64_extend_i32_u);
  });
  m.call('forgetRip');
  m.dispatchUncounted();
}, { endsGroups: true });
/** First record of a block that a region (translator/) was made of: FIRST_OP in its header is what stood here. */
export const REGION = op('region', (m) => m.enterRegion(), { endsGroups: true });
/** A string instruction that has not come to its end is executed again. */
export const REPEAT = op('repeat', (m) => {
  m.state('repeat', 2);
  m.branch(() => {
    m.openState();
    m.code.i32(0);
    m.closeState('repeat', 2);
    advance(m, () => {
      m.pc();
      m.code.op(OP.i64_extend_i32_u);
    });
    m.dispatch();
  });
}, { endsGroups: true });
/** nextRip = block RIP + imm. */
export const NEXT_RIP = op('next_rip', (m) => {
  m.openState();
  m.rip();
  m.immediate(3);
  m.code.op(OP.i64_add);
  m.closeState('nextRip', 3);
}, { writes: 'nothing' });
/** Raises vector imm without an error code. */
export const RAISE = op('raise', (m) => {
  m.openState();
  m.immediate(2);
  m.closeState('faultVector', 2);
  m.openState();
  m.code.i32(0);
  m.closeState('faultHasError', 2);
  m.fault();
}, { endsGroups: true, isLast: true });
/** The instruction after STI or MOV SS has been reached: interrupts are no longer held off. */
export const END_SHADOW = op('end_shadow', (m) => {
  m.openState();
  m.state('inhibit', 2);
  m.code.i32(~1);
  m.code.op(OP.i32_and);
  m.closeState('inhibit', 2);
}, { writes: 'nothing' });
