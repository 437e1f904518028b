// Segmentation of data accesses where segments are not flat: limit, rights, null (Intel SDM 3A 5.3, 5.5).
// Not here: loading of segment registers (segments.ts).
import { VECTOR_GP, VECTOR_SS, faulted, raiseError, raiseGp } from './faults';
import {
  ACCESS_BIG, ACCESS_CODE, ACCESS_EXPAND_DOWN, ACCESS_PRESENT, ACCESS_WRITABLE, SEGMENT_FS, SEGMENT_SS, code64, segmentAccess,
  segmentBase, segmentLimit,
} from './registers';

/** Whether bytes [offset, offset + size) lie inside a segment. */
export function insideLimit(access: u32, limit: u32, offset: u64, size: u32): bool {
  const last = offset + size - 1;
  if ((access & (ACCESS_CODE | ACCESS_EXPAND_DOWN)) == ACCESS_EXPAND_DOWN) {
    return offset > <u64>limit && last <= (access & ACCESS_BIG ? <u64>0xffffffff : <u64>0xffff);
  }
  return last <= <u64>limit; // bytes beyond 4 GiB are outside of a flat segment too
}

function allows(access: u32, write: bool): bool {
  if ((access & ACCESS_PRESENT) == 0) return false;
  const readableOrWritable = (access & ACCESS_WRITABLE) != 0;
  if (access & ACCESS_CODE) return !write && readableOrWritable;
  return !write || readableOrWritable;
}

/** The linear address of `size` bytes at `offset` of a segment; #GP(0) or #SS(0) when they may not be accessed. */
export function linearAddress(segment: u32, offset: u64, size: u32, write: bool): u64 {
  if (code64()) return segment >= SEGMENT_FS ? segmentBase(segment) + offset : offset;
  const access = segmentAccess(segment);
  if (!allows(access, write) || !insideLimit(access, segmentLimit(segment), offset, size)) {
    raiseError(segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP, 0);
    return 0;
  }
  return (segmentBase(segment) + offset) & 0xffffffff;
}

/**
 * Linear address into slot d of the effective address in slot a.
 * imm: segment | size bits 0..7 << 4 | write << 12 | aligned << 14 | size bits 8..15 << 16.
 */
export function checkSegment(d: usize, a: usize, b: usize, imm: i32): void {
  const segment: u32 = imm & 15, size: u32 = ((imm >> 4) & 0xff) | ((imm >> 8) & 0xff00), offset = load<u64>(a);
  store<u64>(d, linearAddress(segment, offset, size, (imm & (1 << 12)) != 0));
  // An operand that must be aligned and is not: #GP(0) wherever it is.
  if ((imm & (1 << 14)) && faulted() && ((segmentBase(segment) + offset) & (size - 1))) raiseGp();
}
