// 128-bit integer steps that WebAssembly lacks: 64x64 multiplication, 128/64 division, square root of 128 bits.
// A second result word is left in a global. Not here: anything about floating-point formats.

/** Low word of the last product, remainder of the last division, high word of the last root's remainder. */
export let wideLow: u64 = 0;
export let wideRemainder: u64 = 0;
export let wideRemainderHigh: u64 = 0;

/** High 64 bits of a * b; the low 64 are a * b itself, also left in `wideLow`. */
export function multiplyWide(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff, aHigh = a >> 32;
  const bLow = b & 0xffffffff, bHigh = b >> 32;
  const middle = aHigh * bLow + ((aLow * bLow) >> 32);
  const cross = aLow * bHigh + (middle & 0xffffffff);
  wideLow = a * b;
  return aHigh * bHigh + (middle >> 32) + (cross >> 32);
}

/** One 32-bit quotient digit of (high, next) / divisor, by Knuth's algorithm D; the remainder goes to wideRemainder. */
function quotientDigit(high: u64, next: u32, divisor: u64): u64 {
  const divisorHigh = divisor >> 32, divisorLow = divisor & 0xffffffff;
  let digit = high / divisorHigh;
  let rest = high - digit * divisorHigh;
  while (digit >> 32 || digit * divisorLow > ((rest << 32) | u64(next))) {
    digit--;
    rest += divisorHigh;
    if (rest >> 32) break;
  }
  wideRemainder = ((high << 32) | u64(next)) - digit * divisor;
  return digit;
}

/** (high, low) / divisor, where bit 63 of the divisor is set; all ones when the quotient needs more than 64 bits. */
export function divideWide(high: u64, low: u64, divisor: u64): u64 {
  if (high >= divisor) return u64.MAX_VALUE;
  const first = quotientDigit(high, u32(low >> 32), divisor);
  return (first << 32) | quotientDigit(wideRemainder, u32(low), divisor);
}

/**
 * Floor of the square root of (high, low), high at least 2^62, so the root has bit 63 set.
 * The remainder is (wideRemainderHigh, wideRemainder).
 */
export function rootWide(high: u64, low: u64): u64 {
  // The estimate errs by less than 2^12 and is raised above the root, so that one Newton step ends within one of it.
  const estimate = sqrt<f64>(f64(high)) * 4294967296.0 + 8192.0;
  let root: u64 = estimate >= 18446744073709551615.0 ? u64.MAX_VALUE : u64(estimate);
  const quotient = divideWide(high, low, root);
  root = (root >> 1) + (quotient >> 1) + (root & quotient & 1);
  let square = multiplyWide(root, root);
  while (square > high || (square == high && wideLow > low)) {
    root--;
    square = multiplyWide(root, root);
  }
  remainderOf(high, low, square);
  while (exceedsDouble(root)) {
    root++;
    remainderOf(high, low, multiplyWide(root, root));
  }
  return root;
}

function remainderOf(high: u64, low: u64, squareHigh: u64): void {
  wideRemainder = low - wideLow;
  wideRemainderHigh = high - squareHigh - u64(low < wideLow);
}

/** Whether the remainder is at least 2 * root + 1; the root has bit 63 set. */
function exceedsDouble(root: u64): bool {
  return wideRemainderHigh > 1 || (wideRemainderHigh == 1 && wideRemainder >= ((root << 1) | 1));
}
