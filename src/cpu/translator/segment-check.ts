// The check of an access through a segment that is not flat, in a region: present, a data segment that grows upwards, with the right to
// write, and the bytes inside its limit. Everything else (code segments, expand-down ones, faults) is left to `checkSegment` in
// assembly/segment-check.ts, which the interpreter calls. Specification: Intel SDM volume 3A sections 5.3 and 5.5.
import { OP } from '../../wasm/opcodes.ts';
import { ACCESS } from '../x86/state.ts';
import type { InlineLowering } from './inline-lowering.ts';

/** d = linear address of the offset in a. The immediate is that of the helper. */
export function checkSegment(m: InlineLowering): void {
  const { code } = m;
  const right = m.immediateHas(1 << 12) ? ACCESS.WRITABLE : 0;
  const offset = m.i64[0]!;
  m.get('a', 3);
  code.set(offset);
  m.segmentField('Access');
  code.i32(ACCESS.PRESENT | ACCESS.CODE | ACCESS.EXPAND_DOWN | right);
  code.op(OP.i32_and);
  code.i32(ACCESS.PRESENT | right);
  code.op(OP.i32_ne);
  code.get(offset);
  m.lastByteOfAccess();
  code.op(OP.i64_add);
  m.segmentField('Limit');
  code.op(OP.i64_extend_i32_u);
  code.op(OP.i64_gt_u);
  code.op(OP.i32_or);
  code.if();
  m.leaveForInterpreter();
  code.end();
  m.open('d');
  m.segmentField('Base');
  code.get(offset);
  code.op(OP.i64_add);
  code.op(OP.i32_wrap_i64);
  code.op(OP.i64_extend_i32_u);
  m.close('d', 3);
}
