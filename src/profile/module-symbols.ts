// The functions of a loaded module, from the ELF symbols that Linux keeps of it: their values are addresses already. Addresses are sorted
// here; names stay as they are until one is asked for. Where the table is, is found in module-structure.ts.
import { addressAt } from './address.ts';
import type { GuestMemory } from './guest-memory.ts';
import { ELF_SYMBOL_BYTES, holds, type Piece, type SymbolPlace } from './module-structure.ts';
import { lastAtOrBefore, type SymbolSource } from './symbols.ts';

const NAME_BYTES_MAX = 512;
const SYMBOL_WORDS = ELF_SYMBOL_BYTES / 4;
/** Words of a symbol: its name, type and section, its value. */
const AT = { NAME: 0, KIND: 1, VALUE: 2 } as const;
/** As many as there are symbols in the largest table. Of those at one address the first is last, which is the one that is found. */
const NUMBERS = 2 ** 17;

/** How much memory a table is. */
export const bytesOfTable = ({ symbols, count, types }: SymbolPlace): number => types + count - symbols;

/** Undefined where some of the table is not there. */
export function readModuleSymbols(memory: GuestMemory, pieces: readonly Piece[], place: SymbolPlace): SymbolSource | undefined {
  const { count, symbols, strings, types } = place;
  const words = new Uint32Array(Math.ceil(bytesOfTable(place) / 4));
  if (memory.copyWords(symbols, words.length, words, 0) < words.length) return undefined;
  const bytes = new Uint8Array(words.buffer);
  const names = bytes.subarray(strings - symbols, types - symbols);
  const letters = bytes.subarray(types - symbols, types - symbols + count);
  const lowest = Math.min(...pieces.map(({ start }) => start));
  const keys: number[] = [];
  for (let n = 0; n < count; n++) {
    const name = words[n * SYMBOL_WORDS + AT.NAME]!;
    const value = addressAt(words, n * SYMBOL_WORDS + AT.VALUE);
    const isNamed = name < names.length && names[name] !== 0 && isFunction(letters[n]!, words[n * SYMBOL_WORDS + AT.KIND]!);
    if (isNamed && pieces.some((piece) => holds(piece, value, 1))) keys.push((value - lowest) * NUMBERS + (NUMBERS - 1 - n));
  }
  const sorted = Float64Array.from(keys).sort();
  const addresses = sorted.map((key) => Math.floor(key / NUMBERS) + lowest);
  const places = Uint32Array.from(sorted, (key) => words[(NUMBERS - 1 - (key % NUMBERS)) * SYMBOL_WORDS + AT.NAME]!);
  return new ModuleSymbols(addresses, names.slice(), places);
}

/** `t` is code, `w` something weak that is no data; section 0 is another module's. */
const isFunction = (letter: number, kind: number): boolean => ((letter | 0x20) === 0x74 || (letter | 0x20) === 0x77) && kind >>> 16 !== 0;

class ModuleSymbols implements SymbolSource {
  readonly count: number;
  readonly #addresses: Float64Array;
  readonly #names: Uint8Array;
  /** Where a symbol's name begins. */
  readonly #places: Uint32Array;

  constructor(addresses: Float64Array, names: Uint8Array, places: Uint32Array) {
    this.count = addresses.length;
    this.#addresses = addresses;
    this.#names = names;
    this.#places = places;
  }

  addressAt(index: number): number {
    return this.#addresses[index] ?? Number.NaN;
  }

  indexOf(address: number): number {
    return lastAtOrBefore(this.#addresses, address);
  }

  /** What cannot be printed, and what separates the parts of a folded stack, becomes `_`. */
  nameAt(index: number): string {
    let name = '';
    for (let at = this.#places[index]!; name.length < NAME_BYTES_MAX; at++) {
      const byte = this.#names[at] ?? 0;
      if (byte === 0) break;
      name += byte >= 0x21 && byte < 0x7f && byte !== 0x3b ? String.fromCharCode(byte) : '_';
    }
    return name;
  }

  find(names: readonly string[]): ReadonlyMap<string, number> {
    const wanted = new Set(names);
    const found = new Map<string, number>();
    this.#addresses.forEach((address, index) => {
      const name = this.nameAt(index);
      if (wanted.has(name)) found.set(name, address);
    });
    return found;
  }
}
