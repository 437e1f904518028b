// Random operands: values at which processors and emulators go wrong (bounds, powers of two, denormals, NaNs) mixed with
// plain random ones.
import type { Prng } from './prng.ts';

const SPECIAL_INTEGERS: readonly bigint[] = [
  0n, 1n, 2n, 3n, 7n, 8n, 15n, 16n, 31n, 32n, 33n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n,
  0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n, 0x7fffffffffffffffn, 0x8000000000000000n, 0xffffffffffffffffn,
  0xfffffffffffffffen, 0xffffffff80000000n, 0xffffffffffff8000n, 0xffffffffffffff80n, 0x5555555555555555n, 0xaaaaaaaaaaaaaaaan,
  0x0102030405060708n, 0x9999999999999999n, 0x0909090909090909n,
];

export function randomInteger(rng: Prng): bigint {
  switch (rng.below(6)) {
    case 0:
    case 1:
      return rng.pick(SPECIAL_INTEGERS);
    case 2:
      return BigInt.asUintN(64, (1n << BigInt(rng.below(64))) + BigInt(rng.below(3) - 1));
    case 3:
      return BigInt(rng.below(256));
    case 4:
      return BigInt(rng.u32());
    default:
      return rng.u64();
  }
}

interface FloatFormat {
  readonly exponentBits: number;
  readonly fractionBits: number;
}
const SINGLE: FloatFormat = { exponentBits: 8, fractionBits: 23 };
const DOUBLE: FloatFormat = { exponentBits: 11, fractionBits: 52 };
const HALF: FloatFormat = { exponentBits: 5, fractionBits: 10 };

/** A fraction of `bits` bits: often with few bits set, so that results are exact, or ties. */
function randomFraction(rng: Prng, bits: number): bigint {
  const mask = (1n << BigInt(bits)) - 1n;
  switch (rng.below(5)) {
    case 0:
      return 0n;
    case 1:
      return mask;
    case 2:
      return 1n << BigInt(rng.below(bits));
    case 3:
      return (rng.u64() << BigInt(bits - Math.min(bits, 8))) & mask;
    default:
      return rng.u64() & mask;
  }
}

/** An exponent field: zero (0, denormals), all ones (infinity, NaN), near the bias (so that operands interact), or any. */
function randomExponent(rng: Prng, bits: number): bigint {
  const top = (1 << bits) - 1;
  const bias = top >> 1;
  switch (rng.below(8)) {
    case 0:
      return 0n;
    case 1:
      return BigInt(top);
    case 2:
      return BigInt(rng.pick([1, top - 1]));
    case 3:
      return BigInt(rng.below(top + 1));
    default:
      return BigInt(bias + rng.below(70) - 35 > 0 && bias > 35 ? bias + rng.below(70) - 35 : bias + rng.below(5) - 2);
  }
}

function randomFloat(rng: Prng, { exponentBits, fractionBits }: FloatFormat): bigint {
  const sign = BigInt(rng.below(2)) << BigInt(exponentBits + fractionBits);
  return sign | (randomExponent(rng, exponentBits) << BigInt(fractionBits)) | randomFraction(rng, fractionBits);
}

/** Sign and exponent, and the significand with its explicit integer bit; now and then an unsupported encoding. */
function randomExtended(rng: Prng): readonly [signExponent: number, significand: bigint] {
  const exponent = randomExponent(rng, 15);
  const integerBit = exponent === 0n ? rng.chance(10) : !rng.chance(4);
  const significand = randomFraction(rng, 63) | (integerBit ? 1n << 63n : 0n);
  return [Number(exponent) | (rng.below(2) << 15), significand];
}

/** Eight bytes as some instruction may want them: integers, or one double, two singles, four halves. */
function randomLane(rng: Prng): bigint {
  switch (rng.below(5)) {
    case 0:
    case 1:
      return randomInteger(rng);
    case 2:
      return randomFloat(rng, DOUBLE);
    case 3:
      return randomFloat(rng, SINGLE) | (randomFloat(rng, SINGLE) << 32n);
    default:
      return [0n, 16n, 32n, 48n].reduce((lane, shift) => lane | (randomFloat(rng, HALF) << shift), 0n);
  }
}

/** A stock of lanes: slices of it at random places are much cheaper than fresh lanes. */
export type LaneStock = Uint8Array;
const STOCK_BYTES = 1 << 16;

export function makeLaneStock(rng: Prng): LaneStock {
  const view = new DataView(new ArrayBuffer(STOCK_BYTES));
  for (let at = 0; at < STOCK_BYTES; at += 8) view.setBigUint64(at, randomLane(rng), true);
  return new Uint8Array(view.buffer);
}

/** `bytes` bytes of lanes. */
export function takeLanes(rng: Prng, stock: LaneStock, bytes: number): Uint8Array {
  const start = 8 * rng.below((STOCK_BYTES - bytes) / 8);
  return stock.slice(start, start + bytes);
}

const EXCEPTION_MASKS = 0x3f;

/** An image whose status word agrees with itself: ES and B set exactly when an unmasked exception is pending. */
export function randomFxsave(rng: Prng, stock: LaneStock): Uint8Array {
  const image = new Uint8Array(512);
  const view = new DataView(image.buffer);
  const masks = rng.chance(85) ? EXCEPTION_MASKS : rng.below(64);
  const control = 0x40 | masks | (rng.pick([0, 2, 3, 3, 3]) << 8) | (rng.below(4) << 10);
  const raised = rng.chance(30) ? rng.below(64) : 0;
  const pending = rng.chance(95) ? raised & masks : raised;
  const top = rng.below(8);
  const condition = rng.chance(30) ? rng.u32() & 0x4700 : 0;
  view.setUint16(0, control, true);
  view.setUint16(2, pending | (top << 11) | condition | ((pending & ~masks) !== 0 ? 0x8080 : 0), true);
  image[4] = rng.chance(60) ? 0xff : rng.u32(); // a set bit: the register is in use
  const sseMasks = rng.chance(85) ? 0x1f80 : (rng.u32() & 0x1f80);
  const sseModes = (rng.below(4) << 13) | (rng.chance(15) ? 0x8000 : 0) | (rng.chance(15) ? 0x40 : 0);
  view.setUint32(24, sseMasks | sseModes | (rng.chance(20) ? rng.below(64) : 0), true);
  for (let n = 0; n < 8; n++) {
    const [signExponent, significand] = randomExtended(rng);
    view.setBigUint64(32 + 16 * n, significand, true);
    view.setUint16(40 + 16 * n, signExponent, true);
  }
  image.set(takeLanes(rng, stock, 256), 160);
  return image;
}
