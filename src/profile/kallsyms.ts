// Finds the symbols that a running Linux kernel carries with it (kallsyms) in guest memory: names packed with a table of 256 tokens,
// addresses as offsets. Written from the format that kernels 4.20 and later show (scripts/kallsyms.c names its parts); the addresses moved
// behind the tokens in 6.4, and a table of order came in 6.2; all are tried. Everything is the guest's word: tables must agree with each
// other. How they are read is in packed-symbols.ts.
import { MARKED, nameEnd, PackedSymbols, type PackedAddresses, type PackedNames } from './packed-symbols.ts';
import type { SymbolSource } from './symbols.ts';

const TOKENS = 256;
const DIGIT_0 = 48;
const SYMBOLS_MAX = 1 << 20;
const TOKEN_BYTES_MAX = 512;
const TAIL_BYTES_MAX = 64 * 1024;
/** Of the table that says which symbol is which in the order of names. */
const ORDER_BYTES = 3;
/** Of the text of digits that is looked for, a word of 32 bits lies at a multiple of this, wherever it begins. */
const DIGITS_STEP = 16;
/** What looks like a table of tokens is gone after so often, and so often what looks like its markers: a guest may write many. */
const TRIES_MAX = 32;
/** Pieces of names that are followed from marker to marker. */
const PIECES_CHECKED = 16;

interface Tokens {
  /** Offsets in the image. */
  readonly start: number;
  readonly indexEnd: number;
  readonly texts: readonly string[];
}

interface Names {
  /** Where the first one begins, by the image. */
  readonly start: number;
  readonly count: number;
  /** Offsets from `start` of every 256th one. */
  readonly markers: readonly number[];
}

/** An image is a piece of memory, in which the tables lie at multiples of `pointerBytes`; it begins at one of 4. */
export class KernelImage {
  readonly bytes: Uint8Array;
  readonly pointerBytes: 4 | 8;
  readonly #view: DataView;
  readonly #words: Int32Array;
  /** Where the search goes on, by words. */
  #word = 0;
  #tries = 0;

  constructor(bytes: Uint8Array, pointerBytes: 4 | 8) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.pointerBytes = pointerBytes;
  }

  /** The symbols; undefined where there are none that make sense. */
  symbols(): SymbolSource | undefined {
    const found = this.search(this.bytes.length);
    return found === 'unfinished' ? undefined : found;
  }

  /** The same, a part at a time: looks for the tables in so many bytes more than the last time. */
  search(bytes: number): SymbolSource | 'unfinished' | undefined {
    const end = Math.min(this.#words.length, this.#word + Math.ceil(bytes / 4));
    for (let digits = this.#findDigits(end); digits >= 0; digits = this.#findDigits(end)) {
      const tokens = this.#tokensAround(digits);
      const found = tokens === undefined ? undefined : this.#symbolsWith(tokens);
      if (found !== undefined || this.#tries === TRIES_MAX) return found;
    }
    return end < this.#words.length ? 'unfinished' : undefined;
  }

  #symbolsWith(tokens: Tokens): SymbolSource | undefined {
    this.#tries++;
    const names = this.#namesBefore(tokens);
    if (names === undefined) return undefined;
    const { start, markers } = names;
    const packed: PackedNames = { bytes: this.bytes.slice(start, tokens.start), markers, tokens: tokens.texts };
    for (const addresses of [this.#addressesBefore(names), this.#addressesBehind(tokens, names)]) {
      const symbols = addresses === undefined ? undefined : PackedSymbols.of(packed, addresses);
      if (symbols !== undefined) return symbols;
    }
    return undefined;
  }

  #align(at: number): number {
    return Math.ceil(at / this.pointerBytes) * this.pointerBytes;
  }

  #u32(at: number): number {
    return at >= 0 && at + 4 <= this.bytes.length ? this.#view.getUint32(at, true) : -1;
  }

  /** Digits are in many names, so that each is a token of its own: "0", "1", … each with its end. Looks from #word to `end`. */
  #findDigits(end: number): number {
    while (this.#word < end) {
      const word = wordOfDigits(this.#words, this.#word, end);
      this.#word = word + DIGITS_STEP / 4;
      const value = this.#words[word] ?? 0;
      const digits = word * 4 + ((value & 0xff) === 0 ? 1 - ((value >> 8) & 15) * 2 : -(value & 15) * 2);
      if (value !== 0 && digits > word * 4 - DIGITS_STEP && this.#areDigits(digits)) return digits;
    }
    return -1;
  }

  #areDigits(at: number): boolean {
    for (let digit = 0; digit < 10; digit++) {
      if (this.bytes[at + digit * 2] !== DIGIT_0 + digit || this.bytes[at + digit * 2 + 1] !== 0) return false;
    }
    return true;
  }

  /** The table of tokens whose number 48 is at `digits`, with the index that follows it. */
  #tokensAround(digits: number): Tokens | undefined {
    let end = digits;
    for (let token = DIGIT_0; token < TOKENS; token++) {
      const next = this.bytes.indexOf(0, end);
      if (next < 0 || next - end > TOKEN_BYTES_MAX) return undefined;
      end = next + 1;
    }
    const index = this.#align(end);
    if (index + TOKENS * 2 > this.bytes.length) return undefined;
    const start = digits - this.#view.getUint16(index + DIGIT_0 * 2, true);
    if (start < 0 || start % this.pointerBytes !== 0) return undefined;
    const texts: string[] = [];
    for (let token = 0, at = start; token < TOKENS; token++) {
      if (this.#view.getUint16(index + token * 2, true) !== at - start) return undefined;
      const next = this.bytes.indexOf(0, at);
      if (next < 0 || next - at > TOKEN_BYTES_MAX) return undefined;
      texts.push(String.fromCharCode(...this.bytes.subarray(at, next)));
      at = next + 1;
    }
    return { start, indexEnd: index + TOKENS * 2, texts };
  }

  /** The markers end where the tokens begin, or, in later kernels, before the order of the names: three bytes a symbol. */
  #namesBefore({ start }: Tokens): Names | undefined {
    const direct = this.#namesWithMarkers(start);
    if (direct !== undefined) return direct;
    const end = Math.min(start, SYMBOLS_MAX * ORDER_BYTES);
    for (let bytes = 0, tries = 0; tries < TRIES_MAX; tries++) {
      bytes = orderBehindMarkers(this.#words, start, bytes + this.pointerBytes, end, this.pointerBytes);
      const names = bytes < end ? this.#namesWithMarkers(start - bytes) : undefined;
      if (names !== undefined || bytes >= end) return names;
    }
    return undefined;
  }

  #namesWithMarkers(end: number): Names | undefined {
    const markers: number[] = [];
    let at = end - 4;
    if (this.#u32(at) === 0) at -= 4;
    for (let last = Infinity; last > 0 && markers.length <= SYMBOLS_MAX / MARKED; at -= 4) {
      const marker = this.#u32(at);
      if (marker < 0 || marker >= last) return undefined;
      markers.push(marker);
      last = marker;
    }
    if (markers.length < 2) return undefined;
    const markersStart = at + 4;
    const largest = markers[0]!;
    markers.reverse();
    const highest = Math.floor((markersStart - largest) / this.pointerBytes) * this.pointerBytes;
    for (let names = highest; names > Math.max(this.pointerBytes, highest - TAIL_BYTES_MAX); names -= this.pointerBytes) {
      const count = this.#u32(names - this.pointerBytes);
      if (count <= 0 || count > SYMBOLS_MAX || Math.ceil(count / MARKED) !== markers.length) continue;
      if (this.#namesFit({ start: names, count, markers }, markersStart)) return { start: names, count, markers };
    }
    return undefined;
  }

  /** Some pieces are followed to where the next marker says, the last one to where the markers begin. */
  #namesFit({ start, count, markers }: Names, end: number): boolean {
    const step = Math.max(1, Math.floor(markers.length / PIECES_CHECKED));
    for (let piece = 0; piece < markers.length - 1; piece += step) {
      if (this.#pieceEnd(start + markers[piece]!, MARKED) !== start + markers[piece + 1]!) return false;
    }
    const rest = end - this.#pieceEnd(start + markers.at(-1)!, count - (markers.length - 1) * MARKED);
    return rest >= 0 && rest < 16;
  }

  /** Where so many names end. */
  #pieceEnd(start: number, names: number): number {
    let at = start;
    for (let name = 0; name < names; name++) at = nameEnd(this.bytes, at);
    return at;
  }

  /** Until 6.3: addresses, their base, the number of symbols, names. */
  #addressesBefore({ start, count }: Names): PackedAddresses | undefined {
    const base = start - 2 * this.pointerBytes;
    return this.#addresses(base - this.#align(count * 4), base, count);
  }

  /** From 6.4 on they follow the tokens. */
  #addressesBehind({ indexEnd }: Tokens, { count }: Names): PackedAddresses | undefined {
    const first = this.#align(indexEnd);
    return this.#addresses(first, this.#align(first + count * 4), count);
  }

  #addresses(first: number, baseAt: number, count: number): PackedAddresses | undefined {
    if (first < 0 || baseAt + this.pointerBytes > this.bytes.length) return undefined;
    const base = this.pointerBytes === 8 ? Number(this.#view.getBigInt64(baseAt, true)) : this.#view.getUint32(baseAt, true);
    if (!Number.isSafeInteger(base) || base === 0) return undefined;
    return { offsets: new Int32Array(this.bytes.slice(first, first + count * 4).buffer), base };
  }
}

// What goes through much memory stands alone and uses numbers only: it has to be fast before V8 has optimized it.

/** The first word that may be of digits, of every 16 bytes one; `end` or more where there is none. */
function wordOfDigits(words: Int32Array, from: number, end: number): number {
  for (let word = from; word < end; word += DIGITS_STEP / 4) {
    const value = words[word]!;
    if ((value & 0xfff0_fff0) === 0x0030_0030 || (value & 0xf0ff_f0ff) === 0x3000_3000) return word;
  }
  return end;
}

/** How many bytes an order before `start` may have: before it are markers for so many names, the first of them 0. Not below `end`: none. */
function orderBehindMarkers(words: Int32Array, start: number, from: number, end: number, step: number): number {
  for (let bytes = from; bytes < end; bytes += step) {
    const markers = ((bytes / ORDER_BYTES + MARKED - 1) / MARKED) | 0;
    const first = ((start - bytes) >> 2) - markers;
    const second = words[first + 1]!;
    if (words[first] === 0 ? second > MARKED : words[first - 1] === 0 && words[first]! > MARKED) return bytes;
  }
  return end;
}
