// The symbols that a running Linux kernel carries with it (kallsyms), read out of guest memory: names packed with a table of 256
// tokens, addresses as offsets. Written from the format that kernels 4.20 and later show (scripts/kallsyms.c names its parts); the
// addresses moved behind the tokens in 6.4, and a table of order came in 6.2; all are tried. Everything is the guest's word: each table
// must agree with the others.
import type { SymbolSource } from './symbols.ts';

const TOKENS = 256;
const DIGIT_0 = 48;
/** Symbols between two markers. */
const MARKED = 256;
const SYMBOLS_MAX = 1 << 20;
const NAME_BYTES_MAX = 512;
const TAIL_BYTES_MAX = 64 * 1024;
/** In the kernel's order symbols ascend, but for where one sort of them ends. */
const DESCENTS_MAX = 8;
/** Of the table that says which symbol is which in the order of names. */
const ORDER_BYTES = 3;

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

/** An image is a piece of memory, in which the tables lie at multiples of `pointerBytes`. */
export class KernelImage {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly pointerBytes: 4 | 8;

  constructor(bytes: Uint8Array, pointerBytes: 4 | 8) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pointerBytes = pointerBytes;
  }

  /** The symbols; undefined where there are none that make sense. */
  symbols(): SymbolSource | undefined {
    for (let from = 0; ; ) {
      const digits = this.#findDigits(from);
      if (digits < 0) return undefined;
      const tokens = this.#tokensAround(digits);
      const names = tokens === undefined ? undefined : this.#namesBefore(tokens);
      if (tokens !== undefined && names !== undefined) {
        const addresses = this.#addressesBefore(names) ?? this.#addressesBehind(tokens, names);
        if (addresses !== undefined) return new PackedSymbols(this.bytes.slice(names.start, tokens.start), tokens.texts, addresses);
      }
      from = digits + 2;
    }
  }

  #align(at: number): number {
    return Math.ceil(at / this.pointerBytes) * this.pointerBytes;
  }

  #u32(at: number): number {
    return at >= 0 && at + 4 <= this.bytes.length ? this.#view.getUint32(at, true) : -1;
  }

  /** Digits are in many names, so that each is a token of its own: "0", "1", … each with its end. */
  #findDigits(from: number): number {
    for (let at = this.bytes.indexOf(DIGIT_0, from); at >= 0; at = this.bytes.indexOf(DIGIT_0, at + 1)) {
      let digit = 0;
      while (digit < 10 && this.bytes[at + digit * 2] === DIGIT_0 + digit && this.bytes[at + digit * 2 + 1] === 0) digit++;
      if (digit === 10) return at;
    }
    return -1;
  }

  /** The table of tokens whose number 48 is at `digits`, with the index that follows it. */
  #tokensAround(digits: number): Tokens | undefined {
    let end = digits;
    for (let token = DIGIT_0; token < TOKENS; token++) {
      const next = this.bytes.indexOf(0, end);
      if (next < 0 || next - end > NAME_BYTES_MAX) return undefined;
      end = next + 1;
    }
    const index = this.#align(end);
    if (index + TOKENS * 2 > this.bytes.length) return undefined;
    const start = digits - this.#view.getUint16(index + DIGIT_0 * 2, true);
    if (start < 0) return undefined;
    const texts: string[] = [];
    for (let token = 0, at = start; token < TOKENS; token++) {
      if (this.#view.getUint16(index + token * 2, true) !== at - start) return undefined;
      const next = this.bytes.indexOf(0, at);
      texts.push(String.fromCharCode(...this.bytes.subarray(at, next)));
      at = next + 1;
    }
    return { start, indexEnd: index + TOKENS * 2, texts };
  }

  /** The markers end where the tokens begin, or, in later kernels, before the order of the names: three bytes a symbol. */
  #namesBefore({ start }: Tokens): Names | undefined {
    const lowest = Math.max(0, start - SYMBOLS_MAX * ORDER_BYTES);
    for (let end = start; end > lowest; end -= this.pointerBytes) {
      const count = Math.floor((start - end) / ORDER_BYTES);
      const names = end !== start && !this.#mayEndMarkers(end, count) ? undefined : this.#namesWithMarkers(end);
      if (names !== undefined) return names;
    }
    return undefined;
  }

  /** Whether there is a zero, the first marker, where it would be for about `count` symbols. */
  #mayEndMarkers(end: number, count: number): boolean {
    const markers = Math.ceil(count / MARKED);
    const isFirst = (at: number): boolean => this.#u32(at) === 0 && this.#u32(at + 4) > MARKED;
    return isFirst(end - markers * 4) || isFirst(end - (markers + 1) * 4);
  }

  #namesWithMarkers(end: number): Names | undefined {
    const markers: number[] = [];
    let at = end - 4;
    if (this.#u32(at) === 0) at -= 4;
    for (let last = Infinity; last > 0 && markers.length <= SYMBOLS_MAX / MARKED; at -= 4) {
      const marker = this.#u32(at);
      if (marker < 0 || marker >= last) return undefined;
      markers.unshift(marker);
      last = marker;
    }
    if (markers.length < 2) return undefined;
    const markersStart = at + 4;
    const largest = markers.at(-1)!;
    const highest = Math.floor((markersStart - largest) / this.pointerBytes) * this.pointerBytes;
    for (let names = highest; names > Math.max(this.pointerBytes, highest - TAIL_BYTES_MAX); names -= this.pointerBytes) {
      const count = this.#u32(names - this.pointerBytes);
      if (count <= 0 || count > SYMBOLS_MAX || Math.ceil(count / MARKED) !== markers.length) continue;
      if (this.#namesFit({ start: names, count, markers }, markersStart)) return { start: names, count, markers };
    }
    return undefined;
  }

  #namesFit({ start, count, markers }: Names, end: number): boolean {
    let at = start;
    for (let symbol = 0; symbol < count; symbol++) {
      if (symbol % MARKED === 0 && markers[symbol / MARKED] !== at - start) return false;
      at = nameEnd(this.bytes, at);
      if (at > end) return false;
    }
    return end - at < 16;
  }

  /** Until 6.3: addresses, their base, the number of symbols, names. */
  #addressesBefore({ start, count }: Names): Float64Array | undefined {
    const base = start - 2 * this.pointerBytes;
    return this.#addresses(base - this.#align(count * 4), base, count);
  }

  /** From 6.4 on they follow the tokens. */
  #addressesBehind({ indexEnd }: Tokens, { count }: Names): Float64Array | undefined {
    const first = this.#align(indexEnd);
    return this.#addresses(first, this.#align(first + count * 4), count);
  }

  #addresses(first: number, baseAt: number, count: number): Float64Array | undefined {
    if (first < 0 || baseAt + this.pointerBytes > this.bytes.length) return undefined;
    const base = this.pointerBytes === 8 ? Number(this.#view.getBigInt64(baseAt, true)) : this.#view.getUint32(baseAt, true);
    if (!Number.isSafeInteger(base) || base === 0) return undefined;
    // With per-processor symbols the other ones are told from them by their sign.
    const hasAbsolute = this.#hasNegative(first, count);
    const addresses = new Float64Array(count);
    let descents = 0;
    for (let n = 0; n < count; n++) {
      const offset = this.#view.getInt32(first + n * 4, true);
      const address = !hasAbsolute ? base + offset : offset >= 0 ? offset : base - 1 - offset;
      if (n > 0 && address < addresses[n - 1]!) descents++;
      addresses[n] = address; // the kernel's half of the addresses is the negative one
    }
    return descents > DESCENTS_MAX ? undefined : addresses;
  }

  #hasNegative(first: number, count: number): boolean {
    for (let n = 0; n < count; n++) if (this.#view.getInt32(first + n * 4, true) < 0) return true;
    return false;
  }
}

/** A name is its length, in one byte or two, and so many tokens, of which the first is here. */
const nameStart = (bytes: Uint8Array, at: number): number => at + (bytes[at]! < 0x80 ? 1 : 2);

/** Behind the name at `at`. */
function nameEnd(bytes: Uint8Array, at: number): number {
  const low = bytes[at]!;
  return low < 0x80 ? at + 1 + low : at + 2 + ((low & 0x7f) | (bytes[at + 1]! << 7));
}

/** Numbers of the symbols by address, then by number. They ascend already but for few places: runs, which are merged. */
function inOrder(addresses: Float64Array): Uint32Array {
  const heads = [0];
  for (let n = 1; n < addresses.length; n++) if (addresses[n]! < addresses[n - 1]!) heads.push(n);
  const ends = [...heads.slice(1), addresses.length];
  const order = new Uint32Array(addresses.length);
  for (let n = 0; n < order.length; n++) {
    let lowest = Infinity;
    let from = 0;
    for (let run = 0; run < heads.length; run++) {
      const head = heads[run]!;
      if (head === ends[run] || addresses[head]! >= lowest) continue;
      lowest = addresses[head]!;
      from = run;
    }
    order[n] = heads[from]!++;
  }
  return order;
}

/** Names stay packed: a profiled machine waits while its symbols are read. */
class PackedSymbols implements SymbolSource {
  readonly addresses: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #tokens: readonly string[];
  /** By the symbol's number in the kernel's order. */
  readonly #addresses: Float64Array;
  /** Where its name begins, and how long it is with the letter of its type. */
  readonly #places: Uint32Array;
  readonly #lengths: Uint16Array;
  /** Number of the symbol in the kernel's order by its place in ours. */
  readonly #order: Uint32Array;

  constructor(bytes: Uint8Array, tokens: readonly string[], addresses: Float64Array) {
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#addresses = addresses;
    this.#order = inOrder(addresses);
    this.addresses = new Float64Array(addresses.length);
    for (let n = 0; n < addresses.length; n++) this.addresses[n] = addresses[this.#order[n]!]!;
    this.#places = new Uint32Array(addresses.length);
    this.#lengths = new Uint16Array(addresses.length);
    this.#measure();
  }

  #measure(): void {
    const bytes = this.#bytes;
    const tokenLengths = Uint16Array.from(this.#tokens, ({ length }) => length);
    for (let number = 0, at = 0; number < this.#places.length; number++) {
      const end = nameEnd(bytes, at);
      let length = 0;
      for (let byte = nameStart(bytes, at); byte < end; byte++) length += tokenLengths[bytes[byte]!]!;
      this.#places[number] = at;
      this.#lengths[number] = Math.min(length, NAME_BYTES_MAX);
      at = end;
    }
  }

  /** Of symbols at one address, the last in the table's order; which of them stands for all is a matter of taste. */
  nameAt(index: number): string {
    return this.#unpack(this.#places[this.#order[index]!]!);
  }

  /** Without the letter of its type. */
  #unpack(at: number): string {
    const end = nameEnd(this.#bytes, at);
    let text = '';
    for (let byte = nameStart(this.#bytes, at); byte < end && text.length < NAME_BYTES_MAX; byte++) {
      text += this.#tokens[this.#bytes[byte]!]!;
    }
    return text.slice(1);
  }

  /** Of symbols with the same name, the one with the highest address. Only names as long as a wanted one are unpacked. */
  find(names: readonly string[]): ReadonlyMap<string, number> {
    const wanted = new Set(names);
    const isLength = new Uint8Array(NAME_BYTES_MAX + 1);
    for (const { length } of names) if (length < NAME_BYTES_MAX) isLength[length + 1] = 1;
    const found = new Map<string, number>();
    for (let number = 0; number < this.#lengths.length; number++) {
      if (isLength[this.#lengths[number]!] === 0) continue;
      const name = this.#unpack(this.#places[number]!);
      if (wanted.has(name) && !(found.get(name)! > this.#addresses[number]!)) found.set(name, this.#addresses[number]!);
    }
    return found;
  }
}
