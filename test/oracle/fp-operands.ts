// Random operands for floating-point tests: specials, neighbours, small integers, denormals and random bits, so that
// cancellation, ties, overflow and underflow are frequent. A function of the seed.

export interface Random {
  readonly u32: () => number;
  readonly below: (limit: number) => number;
}

/** xorshift32 with two words mixed: fast, and good enough for choosing cases. */
export function randomSource(seed: number): Random {
  let x = seed | 1;
  let weyl = seed;
  const u32 = (): number => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    weyl = (weyl + 0x9e3779b9) | 0;
    return (x + Math.imul(weyl ^ (weyl >>> 15), 0x2c1b3c6d)) >>> 0;
  };
  return { u32, below: (limit) => u32() % limit };
}

interface Format {
  readonly fieldMax: number;
  readonly bias: number;
}
const SINGLE: Format = { fieldMax: 0xff, bias: 127 };
const DOUBLE: Format = { fieldMax: 0x7ff, bias: 1023 };
const EXTENDED: Format = { fieldMax: 0x7fff, bias: 16383 };

/** An exponent field: extremes, around one (so that operands meet), or anything. */
function exponentField({ fieldMax, bias }: Format, r: Random): number {
  switch (r.below(8)) {
    case 0:
      return r.below(3);
    case 1:
      return fieldMax - r.below(3);
    case 2:
      return r.below(fieldMax + 1);
    case 3:
      return (bias >> 1) + r.below(8);
    case 4:
      return bias + (bias >> 1) - r.below(8);
    case 5:
      return bias + r.below(70);
    default:
      return bias - 4 + r.below(8);
  }
}

/** 64 fraction bits (high, low): all zero, a few bits at either end, all ones, or random. */
function fractionWords(r: Random): [number, number] {
  switch (r.below(8)) {
    case 0:
      return [0, 0];
    case 1:
      return [r.u32() & 0xe0000000, 0];
    case 2:
      return [0xffffffff, 0xffffffff];
    case 3:
      return [0, (1 << r.below(32)) >>> 0];
    case 4:
      return [(1 << r.below(32)) >>> 0, 0];
    case 5:
      return [r.u32() & 0xffff0000, 0];
    default:
      return [r.u32(), r.u32()];
  }
}

export function putSingle(view: DataView, at: number, r: Random): void {
  const [high] = fractionWords(r);
  const low = r.below(4) === 0 ? 1 << r.below(8) : 0;
  const bits = (r.below(2) << 31) | (exponentField(SINGLE, r) << 23) | ((high >>> 9) ^ low);
  view.setUint32(at, bits, true);
}

export function putDouble(view: DataView, at: number, r: Random): void {
  if (r.below(6) === 0) return view.setFloat64(at, narrowed(view, at, r), true);
  const [high, low] = fractionWords(r);
  view.setUint32(at + 4, (r.below(2) << 31) | (exponentField(DOUBLE, r) << 20) | (high >>> 12), true);
  view.setUint32(at, low, true);
}

/** A single or an integer as a double: exact results and conversions near their limits. */
function narrowed(view: DataView, at: number, r: Random): number {
  if (r.below(2) === 0) return (r.u32() | 0) / 2 ** r.below(34) + r.below(2) * 2 ** 31;
  putSingle(view, at, r);
  return view.getFloat32(at, true);
}

/** Mostly valid encodings; now and then an unsupported one. */
export function putExtended(view: DataView, at: number, r: Random): void {
  let [high, low] = fractionWords(r);
  const field = exponentField(EXTENDED, r);
  if (field !== 0 && r.below(40) !== 0) high |= 0x80000000;
  if (r.below(6) === 0) low &= 0xfffff800;
  if (r.below(10) === 0) [high, low] = [high & 0xffffff00, 0];
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high >>> 0, true);
  view.setUint16(at + 8, (r.below(2) << 15) | field, true);
}

/** Rounding and flush modes; exceptions masked, except in some cases, where a random one is not. */
export function randomMxcsr(r: Random): number {
  const modes = r.below(2) === 0 ? 0 : (r.below(4) << 13) | (r.below(4) === 0 ? 0x40 : 0) | (r.below(4) === 0 ? 0x8000 : 0);
  const masks = r.below(8) === 0 ? (r.u32() & 0x1f80) | (r.below(2) << 12) : 0x1f80;
  return modes | masks | (r.below(2) === 0 ? 0x20 : 0);
}

export function randomControlWord(r: Random): number {
  const masks = r.below(8) === 0 ? r.below(0x40) : 0x3f;
  const width = r.below(2) === 0 ? 3 : [0, 2, 3][r.below(3)]!;
  return masks | 0x40 | (width << 8) | ((r.below(2) === 0 ? 0 : r.below(4)) << 10);
}
