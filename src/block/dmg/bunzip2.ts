// Decompression of bzip2 (the format as its author's documentation and others describe it): Huffman coding, move to front, run
// lengths, Burrows-Wheeler. Checksums of blocks are compared. Bounded by what the caller expects.
import { Failure } from '../../base/failure.ts';

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const GROUP_SYMBOLS = 50;
const CODE_BITS_MAX = 20;
const BLOCK_UNIT = 100_000;

const corrupt = (): Failure => new Failure('corrupt', 'Compressed data is damaged');

/** Most significant bit first. */
class BitReader {
  readonly #source: Uint8Array;
  #at = 0;
  #bit = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
  }

  bit(): number {
    const byte = this.#source[this.#at];
    if (byte === undefined) throw corrupt();
    const value = (byte >> (7 - this.#bit)) & 1;
    if (++this.#bit === 8) {
      this.#bit = 0;
      this.#at++;
    }
    return value;
  }

  bits(count: number): number {
    let value = 0;
    for (let n = 0; n < count; n++) value = value * 2 + this.bit();
    return value;
  }
}

/** Canonical Huffman codes: the first code and the first symbol of every length. */
class Codes {
  readonly #limits = new Int32Array(CODE_BITS_MAX + 2).fill(-1);
  readonly #bases = new Int32Array(CODE_BITS_MAX + 2);
  readonly #symbols: number[] = [];

  constructor(lengths: readonly number[]) {
    let code = 0;
    for (let length = 1; length <= CODE_BITS_MAX; length++) {
      this.#bases[length] = this.#symbols.length - code;
      lengths.forEach((own, symbol) => {
        if (own !== length) return;
        this.#symbols.push(symbol);
        code++;
      });
      this.#limits[length] = code - 1;
      code <<= 1;
    }
  }

  read(bits: BitReader): number {
    let code = 0;
    for (let length = 1; length <= CODE_BITS_MAX; length++) {
      code = (code << 1) | bits.bit();
      if (code > this.#limits[length]!) continue;
      const symbol = this.#symbols[code + this.#bases[length]!];
      if (symbol === undefined) break;
      return symbol;
    }
    throw corrupt();
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let n = 0; n < 8; n++) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

function readUsedBytes(bits: BitReader): number[] {
  const ranges = bits.bits(16);
  const used: number[] = [];
  for (let range = 0; range < 16; range++) {
    if (((ranges >> (15 - range)) & 1) === 0) continue;
    const map = bits.bits(16);
    for (let n = 0; n < 16; n++) if ((map >> (15 - n)) & 1) used.push(range * 16 + n);
  }
  if (used.length === 0) throw corrupt();
  return used;
}

function readSelectors(bits: BitReader, groups: number): Uint8Array {
  const count = bits.bits(15);
  if (count === 0) throw corrupt();
  const order = Array.from({ length: groups }, (_, n) => n);
  return Uint8Array.from({ length: count }, () => {
    let position = 0;
    while (bits.bit() === 1) if (++position >= groups) throw corrupt();
    const [selected] = order.splice(position, 1);
    order.unshift(selected!);
    return selected!;
  });
}

function readCodes(bits: BitReader, symbols: number): Codes {
  const lengths: number[] = [];
  let length = bits.bits(5);
  for (let symbol = 0; symbol < symbols; symbol++) {
    while (bits.bit() === 1) length += bits.bit() === 0 ? 1 : -1;
    if (length < 1 || length > CODE_BITS_MAX) throw corrupt();
    lengths.push(length);
  }
  return new Codes(lengths);
}

/** The block as it was sorted: Huffman codes, runs and move-to-front undone. */
function readSorted(bits: BitReader, maxBytes: number): Uint8Array {
  const used = readUsedBytes(bits);
  const groups = bits.bits(3);
  if (groups < 2 || groups > 6) throw corrupt();
  const selectors = readSelectors(bits, groups);
  const endSymbol = used.length + 1;
  const tables = Array.from({ length: groups }, () => readCodes(bits, used.length + 2));
  const sorted = new Uint8Array(maxBytes);
  let count = 0, run = 0, weight = 1;
  for (let symbolIndex = 0; ; symbolIndex++) {
    const selector = selectors[Math.floor(symbolIndex / GROUP_SYMBOLS)];
    if (selector === undefined) throw corrupt();
    const symbol = tables[selector]!.read(bits);
    if (symbol <= 1) {
      run += weight << symbol;
      weight <<= 1;
      if (run > maxBytes) throw corrupt();
      continue;
    }
    if (count + run > maxBytes) throw corrupt();
    sorted.fill(used[0]!, count, count + run);
    count += run;
    [run, weight] = [0, 1];
    if (symbol === endSymbol) return sorted.subarray(0, count);
    const [moved] = used.splice(symbol - 1, 1);
    if (moved === undefined || count === maxBytes) throw corrupt();
    used.unshift(moved);
    sorted[count++] = moved;
  }
}

/** The order of the bytes before sorting. */
function unsort(sorted: Uint8Array, origin: number): Uint8Array {
  if (origin >= sorted.length) throw corrupt();
  const starts = new Uint32Array(256);
  for (const byte of sorted) starts[byte]!++;
  for (let byte = 0, sum = 0; byte < 256; byte++) [starts[byte], sum] = [sum, sum + starts[byte]!];
  const next = new Uint32Array(sorted.length);
  sorted.forEach((byte, at) => (next[starts[byte]!++] = at));
  const bytes = new Uint8Array(sorted.length);
  for (let n = 0, at = next[origin]!; n < bytes.length; n++, at = next[at]!) bytes[n] = sorted[at]!;
  return bytes;
}

class Output {
  readonly bytes: Uint8Array;
  length = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** After four equal bytes comes a count of further ones. Answers the block's checksum. */
  addBlock(block: Uint8Array): number {
    let crc = -1, previous = -1, equal = 0;
    for (const byte of block) {
      const times = equal === 4 ? byte : 1;
      const value = equal === 4 ? previous : byte;
      if (this.length + times > this.bytes.length) throw corrupt();
      for (let n = 0; n < times; n++) {
        this.bytes[this.length++] = value;
        crc = (crc << 8) ^ CRC[((crc >>> 24) ^ value) & 0xff]!;
      }
      if (equal === 4) [equal, previous] = [0, -1];
      else [equal, previous] = [byte === previous ? equal + 1 : 1, byte];
    }
    return ~crc >>> 0;
  }
}

/** Exactly `targetBytes`, or Failure 'corrupt'. */
export function bunzip2(source: Uint8Array, targetBytes: number): Uint8Array {
  const bits = new BitReader(source);
  if (bits.bits(24) !== 0x425a68) throw corrupt();
  const level = bits.bits(8) - 0x30;
  if (level < 1 || level > 9) throw corrupt();
  const output = new Output(targetBytes);
  for (;;) {
    const magic = bits.bits(48);
    if (magic === END_MAGIC) break;
    if (magic !== BLOCK_MAGIC) throw corrupt();
    const crc = bits.bits(32);
    if (bits.bit() === 1) throw new Failure('unsupported', 'Randomised bzip2 blocks are not supported');
    const origin = bits.bits(24);
    if (output.addBlock(unsort(readSorted(bits, level * BLOCK_UNIT), origin)) !== crc) throw corrupt();
  }
  if (output.length !== targetBytes) throw corrupt();
  return output.bytes;
}
