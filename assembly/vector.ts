// Vector instructions that are too large for IR operations of their own: helpers NAME(d, a, b, imm), where d is the
// destination and a, b are the sources. Not here: strings (vector-string.ts), AES and SHA (crypto.ts).
import { faulted } from './faults';
import { misaligned, prepareWriteAs, writeMemory } from './memory';
import { mmuIndex } from './mode';

/** Sums of four absolute differences of bytes: a from 4 * imm bit 2 on, against the block of b that imm bits 0 and 1 name. */
export function mpsadbw(d: usize, a: usize, b: usize, imm: i32): void {
  const block = b + ((imm & 3) << 2);
  const start = a + (imm & 4);
  const y0 = <i32>load<u8>(block), y1 = <i32>load<u8>(block, 1), y2 = <i32>load<u8>(block, 2), y3 = <i32>load<u8>(block, 3);
  let low: u64 = 0, high: u64 = 0;
  for (let n = 7; n >= 0; n--) {
    const x = start + n;
    const sum = abs<i32>(<i32>load<u8>(x) - y0) + abs<i32>(<i32>load<u8>(x, 1) - y1) + abs<i32>(<i32>load<u8>(x, 2) - y2) +
      abs<i32>(<i32>load<u8>(x, 3) - y3);
    if (n >= 4) high = (high << 16) | sum;
    else low = (low << 16) | sum;
  }
  store<u64>(d, low);
  store<u64>(d, high, 8);
}

/** The smallest of eight words of a, and where it is. */
export function phminposuw(d: usize, a: usize, b: usize, imm: i32): void {
  let least: u32 = 0xffffffff;
  for (let n: u32 = 0; n < 8; n++) {
    const value = (<u32>load<u16>(a + 2 * n) << 3) | n;
    if (value < least) least = value;
  }
  store<u64>(d, (least >> 3) | ((least & 7) << 16));
  store<u64>(d, 0, 8);
}

/**
 * Stores the bytes of a, imm in number, whose byte in b has its top bit set. d: slot with the linear address. All of them must be
 * writable whatever the mask: manuals leave that open, processors do it.
 */
export function storeMasked(d: usize, a: usize, b: usize, imm: i32): void {
  const linear = load<u64>(d);
  if (misaligned(linear, 8)) return;
  prepareWriteAs(linear, imm, mmuIndex());
  for (let n = 0; n < imm && !faulted(); n++) {
    if (load<i8>(b + n) < 0) writeMemory(linear + n, 1, load<u8>(a + n));
  }
}
