// A kernel's own table of symbols as kallsyms.ts has found it, copied and left as it is: offsets, and names packed with tokens. It is read
// on the thread of a machine that runs, by code that V8 has not yet compiled, so nothing is done for each symbol but what is needed to
// find a few by name: numbers that fit into 32 bits, no text. A name is unpacked when it is asked for. What the tables say may be anything.
import { partitionPoint } from '../base/partition-point.ts';
import type { SymbolSource } from './symbols.ts';

/** Symbols between two markers. */
export const MARKED = 256;
const TOKENS = 256;
const NAME_BYTES_MAX = 512;
/** In the kernel's order symbols ascend, but for where one sort of them ends. */
const RUNS_MAX = 16;

export interface PackedNames {
  /** The first begins with the first byte. */
  readonly bytes: Uint8Array;
  /** Where every 256th begins. */
  readonly markers: readonly number[];
  /** What the bytes of a name stand for. */
  readonly tokens: readonly string[];
}

export interface PackedAddresses {
  readonly offsets: Int32Array;
  readonly base: number;
}

/** A name is its length, in one byte or two, and so many tokens, of which the first is here. */
const nameStart = (bytes: Uint8Array, at: number): number => at + (bytes[at]! < 0x80 ? 1 : 2);

/** Behind the name at `at`. */
export function nameEnd(bytes: Uint8Array, at: number): number {
  const low = bytes[at]!;
  return low < 0x80 ? at + 1 + low : at + 2 + ((low & 0x7f) | (bytes[at + 1]! << 7));
}

/** Symbols that ascend in the kernel's order, from the number `first` on, and how many there are at lower addresses. */
interface Run {
  readonly first: number;
  readonly end: number;
  below: number;
}

/** Factors that make offsets ascend. */
const ASCENDING = 1;
const DESCENDING = -1;
type Order = typeof ASCENDING | typeof DESCENDING;

export class PackedSymbols implements SymbolSource {
  readonly count: number;
  readonly #names: PackedNames;
  readonly #addresses: PackedAddresses;
  /** With per-processor symbols the other ones are told from them by their sign. */
  readonly #hasAbsolute: boolean;
  /** From the lowest. */
  readonly #runs: Run[];
  /** Numbers in the kernel's order by the place in ours, where runs overlap. */
  readonly #order: Uint32Array | undefined;

  private constructor(names: PackedNames, addresses: PackedAddresses, hasAbsolute: boolean, runs: Run[]) {
    this.count = addresses.offsets.length;
    this.#names = names;
    this.#addresses = addresses;
    this.#hasAbsolute = hasAbsolute;
    this.#runs = runs;
    const byAddress = (a: number, b: number): number => this.#address(a) - this.#address(b) || a - b;
    runs.sort((a, b) => byAddress(a.first, b.first));
    if (!this.#addUp()) this.#order = Uint32Array.from({ length: this.count }, (_, n) => n).sort(byAddress);
  }

  /** Undefined where addresses are not in the order that they have in a kernel. */
  static of(names: PackedNames, addresses: PackedAddresses): PackedSymbols | undefined {
    const hasAbsolute = hasNegative(addresses.offsets);
    const runs = runsOf(addresses.offsets, hasAbsolute);
    return runs === undefined ? undefined : new PackedSymbols(names, addresses, hasAbsolute, runs);
  }

  /** The kernel's half of the addresses is the negative one, and so the lower. False where runs overlap. */
  #addUp(): boolean {
    let below = 0;
    let last = -Infinity;
    for (const run of this.#runs) {
      if (this.#address(run.first) < last) return false;
      last = this.#address(run.end - 1);
      run.below = below;
      below += run.end - run.first;
    }
    return true;
  }

  /** By the symbol's number in the kernel's order. */
  #address(number: number): number {
    const { offsets, base } = this.#addresses;
    const offset = offsets[number]!;
    if (!this.#hasAbsolute) return base + offset;
    return offset >= 0 ? offset : base - 1 - offset;
  }

  /** Number in the kernel's order by the place in ours. */
  #number(index: number): number {
    if (this.#order !== undefined) return this.#order[index]!;
    let { first, below } = this.#runs[0]!;
    for (let run = 1; run < this.#runs.length && this.#runs[run]!.below <= index; run++) ({ first, below } = this.#runs[run]!);
    return first + index - below;
  }

  addressAt(index: number): number {
    return index >= 0 && index < this.count ? this.#address(this.#number(index)) : Number.NaN;
  }

  indexOf(address: number): number {
    const { offsets, base } = this.#addresses;
    if (this.#order !== undefined) return this.#lastInOrder(this.#order, address);
    for (let run = this.#runs.length - 1; run >= 0; run--) {
      const found = this.#runs[run]!;
      const { first, below } = found;
      if (!(this.#address(first) <= address)) continue;
      if (!this.#hasAbsolute) return below + lastOfRun(offsets, found, address - base, ASCENDING) - first;
      if (offsets[first]! >= 0) return below + lastOfRun(offsets, found, address, ASCENDING) - first;
      return below + lastOfRun(offsets, found, base - 1 - address, DESCENDING) - first;
    }
    return -1;
  }

  #lastInOrder(order: Uint32Array, address: number): number {
    return partitionPoint(0, order.length, (index) => this.#address(order[index]!) <= address) - 1;
  }

  /** Of symbols at one address, the last in the table's order; which of them stands for all is a matter of taste. */
  nameAt(index: number): string {
    const { bytes, markers } = this.#names;
    const number = this.#number(index);
    let at = markers[Math.floor(number / MARKED)]!;
    for (let n = number % MARKED; n > 0; n--) at = nameEnd(bytes, at);
    return this.#unpack(at);
  }

  /** Without the letter of its type. */
  #unpack(at: number): string {
    const { bytes, tokens } = this.#names;
    const end = Math.min(nameEnd(bytes, at), bytes.length);
    let text = '';
    for (let byte = nameStart(bytes, at); byte < end && text.length < NAME_BYTES_MAX; byte++) text += tokens[bytes[byte]!]!;
    return text.slice(1);
  }

  /** Of symbols with the same name, the one with the highest address. */
  find(names: readonly string[]): ReadonlyMap<string, number> {
    const { bytes, tokens } = this.#names;
    const found = new Map<string, number>();
    findNames(bytes, this.count, new Beginnings(names, tokens), (name, number) => {
      if (!(found.get(name)! > this.#address(number))) found.set(name, this.#address(number));
    });
    return found;
  }
}

/** All that is done for each symbol: variables, and arrays of numbers. */
function findNames(bytes: Uint8Array, count: number, beginnings: Beginnings, take: (name: string, number: number) => void): void {
  const { first, next, isName } = beginnings;
  const bytesEnd = bytes.length;
  for (let number = 0, at = 0; number < count && at < bytesEnd; number++) {
    let length = bytes[at++]!;
    if (length >= 0x80) length = (length & 0x7f) | (bytes[at++]! << 7);
    const end = at + length;
    let beginning = first[bytes[at++]!]!;
    while (beginning > 0 && at < end) {
      const place = beginning * TOKENS + bytes[at++]!;
      beginning = next[place]!;
      if (beginning === UNKNOWN) beginning = beginnings.follow(place);
    }
    if (beginning > 0 && isName[beginning] === 1) take(beginnings.texts[beginning]!, number);
    at = end;
  }
}

const UNKNOWN = 0;
const NO_BEGINNING = -1;

/** Tells wanted names from others: what they begin with has numbers, from 1 on, and each token leads from one of these to another. */
class Beginnings {
  readonly texts: string[] = [''];
  /** The beginning that a name's first token is, without the letter of its type. */
  readonly first: Int16Array;
  /** By beginning and token. */
  readonly next: Int16Array;
  readonly isName: Uint8Array;
  readonly #tokens: readonly string[];
  readonly #numbers = new Map<string, number>();

  constructor(names: readonly string[], tokens: readonly string[]) {
    this.#tokens = tokens;
    for (const name of names) for (let length = 0; length <= name.length; length++) this.#add(name.slice(0, length));
    this.isName = new Uint8Array(this.texts.length);
    for (const name of names) this.isName[this.#numbers.get(name)!] = 1;
    this.next = new Int16Array(this.texts.length * TOKENS);
    this.first = Int16Array.from(tokens, (text) => this.#numberOf(text.slice(1)));
  }

  #add(text: string): void {
    if (!this.#numbers.has(text)) this.#numbers.set(text, this.texts.push(text) - 1);
  }

  #numberOf(text: string): number {
    return this.#numbers.get(text) ?? NO_BEGINNING;
  }

  /** What is not known yet of `next`. */
  follow(place: number): number {
    const text = this.texts[Math.floor(place / TOKENS)]! + this.#tokens[place % TOKENS]!;
    return (this.next[place] = this.#numberOf(text));
  }
}

function hasNegative(offsets: Int32Array): boolean {
  for (let n = 0; n < offsets.length; n++) if (offsets[n]! < 0) return true;
  return false;
}

/** Offsets below 0 are of another sort where there are any, and descend. */
function runsOf(offsets: Int32Array, hasAbsolute: boolean): Run[] | undefined {
  const runs: Run[] = [];
  for (let first = 0; first < offsets.length; ) {
    if (runs.length === RUNS_MAX) return undefined;
    const end = endOfRun(offsets, first, hasAbsolute && offsets[first]! < 0 ? DESCENDING : ASCENDING);
    runs.push({ first, end, below: 0 });
    first = end;
  }
  return runs;
}

function endOfRun(offsets: Int32Array, first: number, order: Order): number {
  let end = first + 1;
  while (end < offsets.length && offsets[end]! * order >= offsets[end - 1]! * order) end++;
  return end;
}

/** Number of the last offset of a run that does not come after `wanted`, as the first one does not. */
function lastOfRun(offsets: Int32Array, { first, end }: Run, wanted: number, order: Order): number {
  return partitionPoint(first + 1, end, (index) => offsets[index]! * order <= wanted * order) - 1;
}
