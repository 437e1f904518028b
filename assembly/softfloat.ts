// Software floating point: the operand and result registers, the modes, and how encodings become operands.
// One arithmetic serves binary32, binary64 and the x87's 80-bit format: every operand is unpacked to sign, kind,
// exponent and a 64-bit significand, every result is kept with 128 bits and rounded once (softfloat-round.ts).
// Specification: IEEE 754; Intel SDM volume 1 sections 4.8, 8.2, 8.5, 11.5 for NaN rules and exceptions.
// Not here: which register an instruction reads or writes (x87*.ts, sse-float*.ts).

/** Exception flags, in the bit positions of MXCSR and of the x87 status word. */
export const IE: u32 = 1;
export const DE: u32 = 2;
export const ZE: u32 = 4;
export const OE: u32 = 8;
export const UE: u32 = 16;
export const PE: u32 = 32;
/** All of them; their masks have the same places in the x87 control word, and lie seven bits up in MXCSR. */
export const EXCEPTIONS: u32 = IE | DE | ZE | OE | UE | PE;
/** Exceptions found before anything is computed: unmasked, they suppress the result. */
export const PRECOMPUTATION: u32 = IE | DE | ZE;

export const ROUND_NEAREST: u32 = 0;
export const ROUND_DOWN: u32 = 1;
export const ROUND_UP: u32 = 2;
export const ROUND_ZERO: u32 = 3;

/** Kinds of value. Every kind above INFINITE is a NaN or, for the 80-bit format, an unsupported encoding. */
export const ZERO: u32 = 0;
export const FINITE: u32 = 1;
export const INFINITE: u32 = 2;
export const QUIET: u32 = 3;
export const SIGNALING: u32 = 4;
export const UNSUPPORTED: u32 = 5;

export const TOP_BIT: u64 = 0x8000000000000000;
export const QUIET_BITS: u64 = 0xc000000000000000;

/** Operand A. A finite value is significand / 2^63 * 2^exponent, bit 63 set. A NaN's significand is left-aligned. */
export let aSign: u32 = 0;
export let aKind: u32 = 0;
export let aExponent: i32 = 0;
export let aSignificand: u64 = 0;

export let bSign: u32 = 0;
export let bKind: u32 = 0;
export let bExponent: i32 = 0;
export let bSignificand: u64 = 0;

/** The result; `rLow` holds 64 more bits of the significand, the last of them sticky. */
export let rSign: u32 = 0;
export let rKind: u32 = 0;
export let rExponent: i32 = 0;
export let rSignificand: u64 = 0;
export let rLow: u64 = 0;

/** Exceptions of the operation so far; the caller clears and collects them. */
export let flags: u32 = 0;
/** DE when an operand is denormal; it becomes a flag only where no NaN or invalid operation takes precedence. */
export let denormal: u32 = 0;
/** Whether rounding increased the magnitude (C1 of the x87). */
export let roundedUp: u32 = 0;

export let rounding: u32 = 0;
export let unmasked: u32 = 0;
/** Significand bits to which the x87 rounds a register result: 24, 53 or 64. */
export let precision: i32 = 64;
/** The x87's rules: the larger NaN wins, an unmasked over- or underflow delivers a bias-adjusted result. */
export let x87Rules: bool = false;
export let denormalsAreZero: bool = false;
export let flushToZero: bool = false;

/** Sets the modes for an SSE operation from MXCSR. */
export function useMxcsr(mxcsr: u32): void {
  rounding = (mxcsr >> 13) & 3;
  unmasked = ~(mxcsr >> 7) & EXCEPTIONS;
  denormalsAreZero = (mxcsr & 0x40) != 0;
  flushToZero = (mxcsr & 0x8000) != 0;
  x87Rules = false;
  beginOperation();
}

/** Sets the modes for an x87 operation from the control word. */
export function useControlWord(control: u32): void {
  rounding = (control >> 10) & 3;
  unmasked = ~control & EXCEPTIONS;
  const width = (control >> 8) & 3;
  precision = width == 0 ? 24 : width == 2 ? 53 : 64;
  denormalsAreZero = false;
  flushToZero = false;
  x87Rules = true;
  beginOperation();
}

/** Forgets the exceptions of the operation before. */
export function beginOperation(): void {
  flags = 0;
  denormal = 0;
  roundedUp = 0;
}

/** Forgets only that an operand was denormal: the lanes of a vector share their flags. */
export function beginLane(): void {
  denormal = 0;
}

// The unpackers leave their result here; setA and setB move it.
let uSign: u32 = 0;
let uKind: u32 = 0;
let uExponent: i32 = 0;
let uSignificand: u64 = 0;

function unpackSmall(sign: u32, field: i32, fraction: u64, bias: i32, fieldMax: i32): void {
  uSign = sign;
  if (field == fieldMax) {
    uKind = fraction == 0 ? INFINITE : fraction >> 62 ? QUIET : SIGNALING;
    uSignificand = fraction | TOP_BIT;
  } else if (field != 0) {
    uKind = FINITE;
    uExponent = field - bias;
    uSignificand = fraction | TOP_BIT;
  } else if (fraction == 0 || denormalsAreZero) {
    uKind = ZERO;
    uSignificand = 0;
  } else {
    uKind = FINITE;
    const shift = clz(fraction);
    uExponent = 1 - bias - i32(shift);
    uSignificand = fraction << shift;
    denormal = DE;
  }
}

/** `fraction` comes aligned so that the implied integer bit would be bit 63. */
function unpack32(bits: u32): void {
  unpackSmall(bits >> 31, (bits >> 23) & 0xff, u64(bits & 0x7fffff) << 40, 127, 0xff);
}

function unpack64(bits: u64): void {
  unpackSmall(u32(bits >> 63), i32(bits >> 52) & 0x7ff, (bits & 0xfffffffffffff) << 11, 1023, 0x7ff);
}

/** Unnormals, pseudo-infinities and pseudo-NaNs are unsupported; a pseudo-denormal is a denormal (SDM 1 8.2.2). */
function unpack80(significand: u64, high: u32): void {
  uSign = (high >> 15) & 1;
  uSignificand = significand;
  const field = i32(high & 0x7fff);
  if (field == 0) {
    if (significand == 0) {
      uKind = ZERO;
      return;
    }
    const shift = clz(significand);
    uKind = FINITE;
    uExponent = -16382 - i32(shift);
    uSignificand = significand << shift;
    denormal = DE;
  } else if (significand >> 63 == 0) uKind = UNSUPPORTED;
  else if (field == 0x7fff) uKind = significand << 1 == 0 ? INFINITE : significand & 0x4000000000000000 ? QUIET : SIGNALING;
  else {
    uKind = FINITE;
    uExponent = field - 16383;
  }
}

function setA(): void {
  aSign = uSign;
  aKind = uKind;
  aExponent = uExponent;
  aSignificand = uSignificand;
}

function setB(): void {
  bSign = uSign;
  bKind = uKind;
  bExponent = uExponent;
  bSignificand = uSignificand;
}

export function a32(bits: u32): void {
  unpack32(bits);
  setA();
}

export function a64(bits: u64): void {
  unpack64(bits);
  setA();
}

export function a80(significand: u64, high: u32): void {
  unpack80(significand, high);
  setA();
}

export function b32(bits: u32): void {
  unpack32(bits);
  setB();
}

export function b64(bits: u64): void {
  unpack64(bits);
  setB();
}

export function b80(significand: u64, high: u32): void {
  unpack80(significand, high);
  setB();
}

function unpackInteger(value: i64): void {
  uSign = u32(value < 0);
  const magnitude: u64 = value < 0 ? -value : value;
  uKind = magnitude == 0 ? ZERO : FINITE;
  const shift = clz(magnitude);
  uExponent = 63 - i32(shift);
  uSignificand = magnitude << (shift & 63);
}

export function aInteger(value: i64): void {
  unpackInteger(value);
  setA();
}

export function bInteger(value: i64): void {
  unpackInteger(value);
  setB();
}

/** Exchanges A and B, for the reversed subtractions and divisions. */
export function swapOperands(): void {
  const sign = aSign, kind = aKind, exponent = aExponent, significand = aSignificand;
  aSign = bSign;
  aKind = bKind;
  aExponent = bExponent;
  aSignificand = bSignificand;
  bSign = sign;
  bKind = kind;
  bExponent = exponent;
  bSignificand = significand;
}

export function setResult(sign: u32, kind: u32): void {
  rSign = sign;
  rKind = kind;
  rLow = 0;
}

/** The result is A as it is, still to be rounded to the destination. A must not be a NaN. */
export function resultFromA(): void {
  rSign = aSign;
  rKind = aKind;
  rExponent = aExponent;
  rSignificand = aSignificand;
  rLow = 0;
}

/** The operation is invalid: the result is the default NaN, which is negative on x86. */
export function invalid(): void {
  flags |= IE;
  rSign = 1;
  rKind = QUIET;
  rSignificand = QUIET_BITS;
  rLow = 0;
}

function nanFromA(): void {
  rSign = aSign;
  rKind = QUIET;
  rSignificand = aSignificand | QUIET_BITS;
}

function nanFromB(): void {
  rSign = bSign;
  rKind = QUIET;
  rSignificand = bSignificand | QUIET_BITS;
}

/** A is a NaN or unsupported and the only operand. */
export function propagateOne(): void {
  if (aKind == UNSUPPORTED) invalid();
  else {
    if (aKind == SIGNALING) flags |= IE;
    nanFromA();
  }
}

/** A or B is a NaN or unsupported: sets the result by the rules of SDM volume 1 table 4-7. */
export function propagate(): void {
  if (aKind == UNSUPPORTED || bKind == UNSUPPORTED) return invalid();
  if (aKind == SIGNALING || bKind == SIGNALING) flags |= IE;
  if (aKind <= INFINITE) return nanFromB();
  if (bKind <= INFINITE || !x87Rules) return nanFromA();
  if (aKind != bKind) {
    if (aKind == QUIET) nanFromA();
    else nanFromB();
  } else if (aSignificand > bSignificand || (aSignificand == bSignificand && aSign <= bSign)) nanFromA();
  else nanFromB();
}
