// Integer instructions that are too rare or too long for inlined IR: rotates, double shifts, wide multiplication and
// division, bit operations, decimal adjustment, CRC32, BMI1/2 and ADX. SDM volume 2. Signature of all: (d, a, b, imm),
// d, a, b addresses of operands; imm = operand size in bytes unless said otherwise.

import { cpu } from './host'
import { raise } from './faults'
import { AF, CF, OF, PF, SF, ZF, readFlags, setCarryAndOverflow, writeFlags } from './flags'
import { CC_A, CC_B, CC_OP, EFLAGS, KIND_ADD, KIND_LOGIC, KIND_MUL, KIND_SUB, RAX, RCX, RDX } from './generated/layout'

function get(address: usize, size: u32): u64 {
  switch (size) {
    case 1: return load<u8>(address);
    case 2: return load<u16>(address);
    case 4: return load<u32>(address);
    default: return load<u64>(address);
  }
}

/** Writes a register operand: 32 bits clear the upper half. */
function put(address: usize, size: u32, value: u64): void {
  switch (size) {
    case 1: store<u8>(address, <u8>value); break;
    case 2: store<u16>(address, <u16>value); break;
    case 4: store<u64>(address, value & 0xffffffff); break;
    default: store<u64>(address, value);
  }
}

// @ts-ignore: decorator
@inline function bitsOf(size: u32): u32 { return size << 3; }
// @ts-ignore: decorator
@inline function maskOf(size: u32): u64 { return size == 8 ? ~(<u64>0) : ((<u64>1) << (size << 3)) - 1; }
// @ts-ignore: decorator
@inline function log2(size: u32): u32 { return ctz<u32>(size); }

function setLazy(kind: u32, size: u32, a: u64, b: u64): void {
  store<u32>(cpu + CC_OP, (kind << 2) | log2(size));
  store<u64>(cpu + CC_A, a);
  store<u64>(cpu + CC_B, b);
}

export function rol(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, bits = bitsOf(size);
  const masked = load<u8>(b) & (size == 8 ? 63 : 31);
  const value = get(a, size);
  const count = <u64>(masked & (bits - 1));
  const result = count == 0 ? value : ((value << count) | (value >> (bits - count))) & maskOf(size);
  put(d, size, result);
  if (masked != 0) setCarryAndOverflow((result & 1) != 0, ((result ^ (result >> (bits - 1))) & 1) != 0);
}

export function ror(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, bits = bitsOf(size);
  const masked = load<u8>(b) & (size == 8 ? 63 : 31);
  const value = get(a, size);
  const count = <u64>(masked & (bits - 1));
  const result = count == 0 ? value : ((value >> count) | (value << (bits - count))) & maskOf(size);
  put(d, size, result);
  if (masked != 0) setCarryAndOverflow(((result >> (bits - 1)) & 1) != 0, (((result >> (bits - 1)) ^ (result >> (bits - 2))) & 1) != 0);
}

export function rcl(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, bits = bitsOf(size);
  let count = <u32>load<u8>(b) & (size == 8 ? 63 : 31);
  if (size < 4) count %= bits + 1;
  let value = get(a, size), carry = <u64>(readFlags() & CF);
  if (count == 0) return put(d, size, value);
  for (let n: u32 = 0; n < count; n++) {
    const out = (value >> (bits - 1)) & 1;
    value = ((value << 1) | carry) & maskOf(size);
    carry = out;
  }
  put(d, size, value);
  setCarryAndOverflow(carry != 0, (((value >> (bits - 1)) ^ carry) & 1) != 0);
}

export function rcr(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, bits = bitsOf(size);
  let count = <u32>load<u8>(b) & (size == 8 ? 63 : 31);
  if (size < 4) count %= bits + 1;
  let value = get(a, size), carry = <u64>(readFlags() & CF);
  if (count == 0) return put(d, size, value);
  for (let n: u32 = 0; n < count; n++) {
    const out = value & 1;
    value = (value >> 1) | (carry << (bits - 1));
    carry = out;
  }
  put(d, size, value);
  setCarryAndOverflow(carry != 0, (((value >> (bits - 1)) ^ (value >> (bits - 2))) & 1) != 0);
}

/** Double shifts: imm = count | size << 16, with bit 8 set for a count in CL; b = the operand shifted in. */
function doubleShift(d: usize, a: usize, b: usize, imm: i32, left: bool): void {
  const size = <u32>imm >>> 16, bits = bitsOf(size);
  const count = <u64>(((imm & 0x100) != 0 ? <u32>load<u8>(cpu + RCX) : <u32>imm) & (size == 8 ? 63 : 31));
  const value = get(a, size), other = get(b, size);
  if (count == 0) return put(d, size, value);
  let result: u64, carry: u64;
  if (size == 2) {
    // Counts above 16 rotate the operands through each other, as processors do.
    const wide = left ? (value << 32) | (other << 16) | value : (value << 32) | (other << 16) | value;
    if (left) {
      result = (wide >> (32 - count)) & 0xffff;
      carry = (wide >> (48 - count)) & 1;
    } else {
      result = (wide >> count) & 0xffff;
      carry = (wide >> (count - 1)) & 1;
    }
  } else if (left) {
    result = ((value << count) | (other >> (bits - count))) & maskOf(size);
    carry = (value >> (bits - count)) & 1;
  } else {
    result = ((value >> count) | (other << (bits - count))) & maskOf(size);
    carry = (value >> (count - 1)) & 1;
  }
  put(d, size, result);
  setLazy(KIND_LOGIC, size, result, 0);
  setCarryAndOverflow(carry != 0, (((result ^ value) >> (bits - 1)) & 1) != 0);
}
export function shld(d: usize, a: usize, b: usize, imm: i32): void { doubleShift(d, a, b, imm, true); }
export function shrd(d: usize, a: usize, b: usize, imm: i32): void { doubleShift(d, a, b, imm, false); }

/** High half of an unsigned 64 x 64 product. */
export function multiplyHigh(x: u64, y: u64): u64 {
  const x0 = x & 0xffffffff, x1 = x >> 32, y0 = y & 0xffffffff, y1 = y >> 32;
  const low = x0 * y0, middle = x1 * y0 + (low >> 32), other = x0 * y1 + (middle & 0xffffffff);
  return x1 * y1 + (middle >> 32) + (other >> 32);
}
function multiplyHighSigned(x: u64, y: u64): u64 {
  return multiplyHigh(x, y) - (<i64>x < 0 ? y : 0) - (<i64>y < 0 ? x : 0);
}
function signExtend(value: u64, size: u32): i64 {
  const shift = <u64>(64 - bitsOf(size));
  return <i64>(value << shift) >> <i64>shift;
}

/** Accumulator times a, double width into (AH:)AL, DX:AX, EDX:EAX, RDX:RAX. */
export function mul(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm;
  const x = get(cpu + RAX, size), y = get(a, size);
  const low = x * y;
  const high = size == 8 ? multiplyHigh(x, y) : (low >> bitsOf(size)) & maskOf(size);
  writeProduct(size, low, high);
  setLazy(KIND_MUL, size, low & maskOf(size), high != 0 ? 1 : 0);
}
export function imulWide(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm;
  const x = get(cpu + RAX, size), y = get(a, size);
  let low: u64, high: u64, extends_: bool;
  if (size == 8) {
    low = x * y;
    high = multiplyHighSigned(x, y);
    extends_ = high == <u64>(<i64>low >> 63);
  } else {
    const product = signExtend(x, size) * signExtend(y, size);
    low = <u64>product & maskOf(size);
    high = (<u64>product >> bitsOf(size)) & maskOf(size);
    extends_ = product == signExtend(low, size);
  }
  writeProduct(size, low, high);
  setLazy(KIND_MUL, size, low & maskOf(size), extends_ ? 0 : 1);
}
function writeProduct(size: u32, low: u64, high: u64): void {
  if (size == 1) return store<u16>(cpu + RAX, <u16>((low & 0xff) | (high << 8)));
  put(cpu + RAX, size, low & maskOf(size));
  put(cpu + RDX, size, high);
}
export function imul64(d: usize, a: usize, b: usize, imm: i32): void {
  const x = load<u64>(a), y = load<u64>(b), low = x * y;
  store<u64>(d, low);
  setLazy(KIND_MUL, 8, low, multiplyHighSigned(x, y) == <u64>(<i64>low >> 63) ? 0 : 1);
}

let quotient: u64 = 0;
let remainder: u64 = 0;
/** 128 by 64 bits, high < divisor: schoolbook with 32-bit digits. */
function divide128(high: u64, low: u64, divisor: u64): void {
  if (high == 0) {
    quotient = low / divisor;
    remainder = low % divisor;
    return;
  }
  const shift = clz<u64>(divisor);
  const v = divisor << shift, v1 = v >> 32, v0 = v & 0xffffffff;
  const u32_ = shift == 0 ? high : (high << shift) | (low >> (64 - shift));
  const rest = low << shift;
  let q1 = u32_ / v1, r = u32_ % v1;
  while (q1 >> 32 != 0 || q1 * v0 > ((r << 32) | (rest >> 32))) {
    q1--;
    r += v1;
    if (r >> 32 != 0) break;
  }
  const u21 = (u32_ << 32) + (rest >> 32) - q1 * v;
  let q0 = u21 / v1;
  r = u21 % v1;
  while (q0 >> 32 != 0 || q0 * v0 > ((r << 32) | (rest & 0xffffffff))) {
    q0--;
    r += v1;
    if (r >> 32 != 0) break;
  }
  quotient = (q1 << 32) + q0;
  remainder = ((u21 << 32) + (rest & 0xffffffff) - q0 * v) >> shift;
}

export function div(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, divisor = get(a, size);
  if (divisor == 0) return raise(0);
  if (size == 8) {
    const high = load<u64>(cpu + RDX);
    if (high >= divisor) return raise(0);
    divide128(high, load<u64>(cpu + RAX), divisor);
  } else {
    const dividend = size == 1 ? <u64>load<u16>(cpu + RAX) : (get(cpu + RDX, size) << bitsOf(size)) | get(cpu + RAX, size);
    quotient = dividend / divisor;
    remainder = dividend % divisor;
    if (quotient > maskOf(size)) return raise(0);
  }
  writeQuotient(size);
}
export function idiv(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, divisor = signExtend(get(a, size), size);
  if (divisor == 0) return raise(0);
  if (size == 8) {
    let high = load<u64>(cpu + RDX), low = load<u64>(cpu + RAX);
    const negative = <i64>high < 0;
    if (negative) {
      low = ~low + 1;
      high = ~high + (low == 0 ? 1 : 0);
    }
    const magnitude: u64 = divisor < 0 ? <u64>-divisor : <u64>divisor;
    if (high >= magnitude) return raise(0);
    divide128(high, low, magnitude);
    const negativeQuotient = negative != divisor < 0;
    if (quotient > (negativeQuotient ? <u64>1 << 63 : ((<u64>1 << 63) - 1))) return raise(0);
    if (negativeQuotient) quotient = ~quotient + 1;
    if (negative) remainder = ~remainder + 1;
  } else {
    const dividend: i64 = size == 1 ? <i64>load<i16>(cpu + RAX) : signExtendPair(size);
    if (dividend == i64.MIN_VALUE && divisor == -1) return raise(0);
    const result = dividend / divisor;
    if (result != signExtend(<u64>result, size)) return raise(0);
    quotient = <u64>result & maskOf(size);
    remainder = <u64>(dividend % divisor) & maskOf(size);
  }
  writeQuotient(size);
}
function signExtendPair(size: u32): i64 {
  const pair = (get(cpu + RDX, size) << bitsOf(size)) | get(cpu + RAX, size);
  return size == 4 ? <i64>pair : <i64><i32>pair;
}
function writeQuotient(size: u32): void {
  if (size == 1) return store<u16>(cpu + RAX, <u16>((quotient & 0xff) | ((remainder & 0xff) << 8)));
  put(cpu + RAX, size, quotient);
  put(cpu + RDX, size, remainder);
}

/** d = a + the operand-sized unit that bit offset b lies in; imm = operand size | address size << 8. */
export function bitOffset(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm & 0xff;
  const unit = (signExtend(get(b, size), size) >> (3 + <i64>log2(size))) * <i64>size;
  store<u64>(d, (load<u64>(a) + <u64>unit) & maskOf(<u32>imm >>> 8));
}

export function tzcnt(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size);
  const result = value == 0 ? <u64>bitsOf(size) : ctz<u64>(value);
  put(d, size, result);
  writeFlags((readFlags() & ~(ZF | CF)) | (value == 0 ? CF : 0) | (result == 0 ? ZF : 0));
}
export function lzcnt(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size);
  const result = clz<u64>(value) - (64 - bitsOf(size));
  put(d, size, result);
  writeFlags((readFlags() & ~(ZF | CF)) | (value == 0 ? CF : 0) | (result == 0 ? ZF : 0));
}
function populationCount(d: usize, a: usize, b: usize, imm: i32): void {
  const value = get(a, <u32>imm);
  put(d, <u32>imm, popcnt<u64>(value));
  writeFlags(value == 0 ? ZF : 0);
}

/** a = old destination value, b = source; d becomes the source when RAX equals a, else RAX becomes a. */
export function cmpxchg(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, old = get(a, size), accumulator = get(cpu + RAX, size), source = get(b, size);
  if (old == accumulator) put(d, size, source);
  else put(cpu + RAX, size, old);
  setLazy(KIND_SUB, size, accumulator, old);
}
/** d = a + b, b = old a. */
export function xadd(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, old = get(a, size), source = get(b, size), sum = (old + source) & maskOf(size);
  put(b, size, old);
  put(d, size, sum);
  setLazy(KIND_ADD, size, sum, source);
}

function resultFlags8(value: u32): u32 {
  return (value == 0 ? ZF : 0) | (value & SF) | ((popcnt<u32>(value) & 1) == 0 ? PF : 0);
}
export function daa(d: usize, a: usize, b: usize, imm: i32): void { decimalAdjust(false); }
export function das(d: usize, a: usize, b: usize, imm: i32): void { decimalAdjust(true); }
function decimalAdjust(subtract: bool): void {
  const flags = readFlags();
  const old = <u32>load<u8>(cpu + RAX);
  let al = old, carry = false;
  const adjust = (old & 15) > 9 || (flags & AF) != 0;
  if (adjust) {
    al = subtract ? al - 6 : al + 6;
    carry = (flags & CF) != 0 || (subtract ? old < 6 : old > 0xf9);
  }
  if (old > 0x99 || (flags & CF) != 0) {
    al = subtract ? al - 0x60 : al + 0x60;
    carry = true;
  } else if (!subtract) carry = false;
  al &= 0xff;
  store<u8>(cpu + RAX, <u8>al);
  writeFlags(resultFlags8(al) | (adjust ? AF : 0) | (carry ? CF : 0));
}
export function aaa(d: usize, a: usize, b: usize, imm: i32): void { asciiAdjust(false); }
export function aas(d: usize, a: usize, b: usize, imm: i32): void { asciiAdjust(true); }
function asciiAdjust(subtract: bool): void {
  const ax = <u32>load<u16>(cpu + RAX);
  const adjust = (ax & 15) > 9 || (readFlags() & AF) != 0;
  const result = adjust ? (subtract ? ax - 0x106 : ax + 0x106) : ax;
  store<u16>(cpu + RAX, <u16>(result & 0xff0f));
  writeFlags(resultFlags8(result & 0x0f) | (adjust ? AF | CF : 0));
}
export function aam(d: usize, a: usize, b: usize, imm: i32): void {
  if ((imm & 0xff) == 0) return raise(0);
  const al = <u32>load<u8>(cpu + RAX), base = <u32>imm & 0xff;
  store<u16>(cpu + RAX, <u16>(((al / base) << 8) | (al % base)));
  writeFlags(resultFlags8(al % base));
}
export function aad(d: usize, a: usize, b: usize, imm: i32): void {
  const ax = <u32>load<u16>(cpu + RAX);
  const al = ((ax & 0xff) + (ax >> 8) * (<u32>imm & 0xff)) & 0xff;
  store<u16>(cpu + RAX, <u16>al);
  writeFlags(resultFlags8(al));
}
export function salc(d: usize, a: usize, b: usize, imm: i32): void { store<u8>(cpu + RAX, (readFlags() & CF) != 0 ? 0xff : 0); }

export function readFlagsAh(d: usize, a: usize, b: usize, imm: i32): void { store<u8>(cpu + RAX + 1, <u8>(readFlags() | 2)); }
export function writeFlagsAh(d: usize, a: usize, b: usize, imm: i32): void {
  writeFlags((readFlags() & OF) | (<u32>load<u8>(cpu + RAX + 1) & (SF | ZF | AF | PF | CF)));
}
export function cmc(d: usize, a: usize, b: usize, imm: i32): void { writeFlags(readFlags() ^ CF); }
export function clc(d: usize, a: usize, b: usize, imm: i32): void { writeFlags(readFlags() & ~CF); }
export function stc(d: usize, a: usize, b: usize, imm: i32): void { writeFlags(readFlags() | CF); }
export function cld(d: usize, a: usize, b: usize, imm: i32): void { store<u32>(cpu + EFLAGS, load<u32>(cpu + EFLAGS) & ~0x400); }
export function std(d: usize, a: usize, b: usize, imm: i32): void { store<u32>(cpu + EFLAGS, load<u32>(cpu + EFLAGS) | 0x400); }

/** CRC-32C, bit-reflected polynomial 0x1EDC6F41; a = accumulator, b = data, imm = size of the data. */
export function crc32(d: usize, a: usize, b: usize, imm: i32): void {
  let crc = load<u32>(a), data = get(b, <u32>imm);
  for (let byte = 0; byte < imm; byte++) {
    crc ^= <u32>(data & 0xff);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & (0 - (crc & 1)));
    data >>= 8;
  }
  store<u64>(d, crc);
}
function addWithFlag(d: usize, a: usize, b: usize, size: u32, flag: u32): void {
  const flags = readFlags();
  const x = get(a, size), y = get(b, size), carryIn: u64 = (flags & flag) != 0 ? 1 : 0;
  const sum = (x + y + carryIn) & maskOf(size);
  put(d, size, sum);
  writeFlags((flags & ~flag) | (sum < x || (carryIn != 0 && sum == x) ? flag : 0));
}
export function adcx(d: usize, a: usize, b: usize, imm: i32): void { addWithFlag(d, a, b, <u32>imm, CF); }
export function adox(d: usize, a: usize, b: usize, imm: i32): void { addWithFlag(d, a, b, <u32>imm, OF); }

// BMI1 and BMI2 (SDM 2, VEX-encoded general-purpose instructions).
function setLogic(size: u32, value: u64, carry: bool): void {
  setLazy(KIND_LOGIC, size, value, 0);
  if (carry) writeFlags(readFlags() | CF);
}
export function andn(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, result = ~get(a, size) & get(b, size);
  put(d, size, result);
  setLogic(size, result, false);
}
export function bextr(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, start = <u64>load<u8>(b), length = <u64>load<u8>(b + 1);
  const shifted = start >= bitsOf(size) ? 0 : get(a, size) >> start;
  const result = length >= 64 ? shifted : shifted & ((<u64>1 << length) - 1);
  put(d, size, result);
  writeFlags(result == 0 ? ZF : 0);
}
export function blsi(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size), result = value & (0 - value) & maskOf(size);
  put(d, size, result);
  setLogic(size, result, value != 0);
}
export function blsmsk(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size), result = (value ^ (value - 1)) & maskOf(size);
  put(d, size, result);
  setLogic(size, result, value == 0);
}
export function blsr(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size), result = value & (value - 1) & maskOf(size);
  put(d, size, result);
  setLogic(size, result, value == 0);
}
export function bzhi(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size), index = <u64>load<u8>(b);
  const result = index >= bitsOf(size) ? value : value & ((<u64>1 << index) - 1);
  put(d, size, result);
  setLogic(size, result, index >= bitsOf(size));
}
export function pdep(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm;
  let source = get(a, size), mask = get(b, size), result: u64 = 0;
  while (mask != 0) {
    const lowest = mask & (0 - mask);
    if ((source & 1) != 0) result |= lowest;
    source >>= 1;
    mask ^= lowest;
  }
  put(d, size, result);
}
export function pext(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, source = get(a, size);
  let mask = get(b, size), result: u64 = 0, bit: u64 = 0;
  while (mask != 0) {
    const lowest = mask & (0 - mask);
    if ((source & lowest) != 0) result |= (<u64>1) << bit;
    bit++;
    mask ^= lowest;
  }
  put(d, size, result);
}
/** d = high half, a = destination of the low half, b = factor; the other factor is RDX. */
export function mulx(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, x = get(cpu + RDX, size), y = get(b, size), low = x * y;
  put(a, size, low & maskOf(size));
  put(d, size, size == 8 ? multiplyHigh(x, y) : low >> 32);
}
export function rorx(d: usize, a: usize, b: usize, imm: i32): void {
  const size = <u32>imm, value = get(a, size), count = <u64>(<u32>load<u8>(b) & (bitsOf(size) - 1));
  put(d, size, count == 0 ? value : ((value >> count) | (value << (bitsOf(size) - count))) & maskOf(size));
}
export function shlx(d: usize, a: usize, b: usize, imm: i32): void {
  put(d, <u32>imm, get(a, <u32>imm) << <u64>(<u32>load<u8>(b) & (bitsOf(<u32>imm) - 1)));
}
export function shrx(d: usize, a: usize, b: usize, imm: i32): void {
  put(d, <u32>imm, get(a, <u32>imm) >> <u64>(<u32>load<u8>(b) & (bitsOf(<u32>imm) - 1)));
}
export function sarx(d: usize, a: usize, b: usize, imm: i32): void {
  put(d, <u32>imm, <u64>(signExtend(get(a, <u32>imm), <u32>imm) >> <i64>(<u32>load<u8>(b) & (bitsOf(<u32>imm) - 1))));
}
export { populationCount as popcnt };
