// Names of guest code by address. Where they come from is in symbol-files.ts and kallsyms.ts.
import { partitionPoint } from '../base/partition-point.ts';
import { addressText } from './address.ts';

export interface SymbolSource {
  readonly count: number;
  /** By the order of addresses, from the lowest; NaN outside of the table. */
  addressAt(index: number): number;
  /** Index of the last symbol at or before an address; -1 where there is none. */
  indexOf(address: number): number;
  nameAt(index: number): string;
  /** Addresses of some symbols by name. */
  find(names: readonly string[]): ReadonlyMap<string, number>;
}

export interface PlainSymbol {
  readonly address: number;
  readonly name: string;
}

/** Of symbols at one address the shortest name stays, then the first in the alphabet, so that the choice does not depend on order. */
export function plainSymbols(symbols: readonly PlainSymbol[]): SymbolSource {
  const better = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
  const sorted = [...symbols].sort((a, b) => a.address - b.address || better(a.name, b.name));
  const kept = sorted.filter(({ address }, index) => index === 0 || sorted[index - 1]!.address !== address);
  const addresses = Float64Array.from(kept, ({ address }) => address);
  return {
    count: kept.length,
    addressAt: (index) => addresses[index] ?? Number.NaN,
    indexOf: (address) => lastAtOrBefore(addresses, address),
    nameAt: (index) => kept[index]!.name,
    find(names) {
      const wanted = new Set(names);
      return new Map(sorted.filter(({ name }) => wanted.has(name)).map(({ name, address }) => [name, address]));
    },
  };
}

/** Index of the last of ascending numbers that is at most `wanted`, or -1. */
export function lastAtOrBefore(ascending: Float64Array, wanted: number): number {
  return partitionPoint(0, ascending.length, (index) => ascending[index]! <= wanted) - 1;
}

/** A 32-bit Linux begins here, a 64-bit one above: what runs lower unpacks it. */
const LINUX_ADDRESS_MIN = 0x4000_0000;

export interface KnownSymbols {
  readonly symbols: SymbolTable | undefined;
  /** They are the kernel's only. */
  readonly isLinux: boolean;
  /** Code that the kernel has loaded. */
  readonly modules?: { nameOf(address: number): string | undefined };
}

/** What code at an address is called. Without symbols it is its page, of which there are fewer. `own` are the program's symbols. */
export function codeName({ symbols, isLinux, modules }: KnownSymbols, address: number, isUser: boolean, own?: SymbolTable): string {
  if (isUser && (isLinux || own !== undefined)) return own?.nameOf(address) ?? '[user code]';
  const name = symbols?.nameOf(address);
  if (name !== undefined) return name;
  if (symbols === undefined) return addressText(address - (((address % 4096) + 4096) % 4096));
  const inModule = modules?.nameOf(address);
  if (inModule !== undefined) return inModule;
  return isLinux && address >= 0 && address < LINUX_ADDRESS_MIN ? '[before the kernel proper]' : '[no symbol]';
}

/** A program in a Linux guest as one piece of code, by the name of its task. */
export const programCodeName = (task: string): string => `[user code of ${task}]`;

/** A symbol's code ends here at the latest when nothing follows. */
const SYMBOL_BYTES_MAX = 1 << 20;

/** Symbols where the guest has loaded them. */
export class SymbolTable {
  readonly #source: SymbolSource;
  readonly offset: number;
  readonly #names = new Map<number, string>();
  /** What has been looked for by name, NaN where there is no such symbol. */
  readonly #found = new Map<string, number>();

  constructor(source: SymbolSource, offset = 0) {
    this.#source = source;
    this.offset = offset;
  }

  get count(): number {
    return this.#source.count;
  }

  /** Index of the symbol that an address belongs to, or -1. */
  indexOf(address: number): number {
    const index = this.#source.indexOf(address - this.offset);
    return index >= 0 && address - this.offset - this.#source.addressAt(index) < SYMBOL_BYTES_MAX ? index : -1;
  }

  /** Whether an address belongs to the symbol with this index, which is less work than `indexOf`. */
  holds(index: number, address: number): boolean {
    const source = this.#source;
    const distance = address - this.offset - source.addressAt(index);
    return distance >= 0 && distance < SYMBOL_BYTES_MAX && !(address - this.offset >= source.addressAt(index + 1));
  }

  /** Whether a symbol begins at an address. */
  begins(address: number): boolean {
    const index = this.indexOf(address);
    return index >= 0 && this.#source.addressAt(index) === address - this.offset;
  }

  /** `undefined` where no symbol is near. */
  nameOf(address: number): string | undefined {
    const index = this.indexOf(address);
    if (index < 0) return undefined;
    const name = this.#names.get(index) ?? this.#source.nameAt(index);
    this.#names.set(index, name);
    return name;
  }

  /** A look goes through all symbols, so who needs some one after another asks for all of them first. */
  find(names: readonly string[]): ReadonlyMap<string, number> {
    const missing = names.filter((name) => !this.#found.has(name));
    const found = missing.length === 0 ? undefined : this.#source.find(missing);
    for (const name of missing) this.#found.set(name, (found?.get(name) ?? Number.NaN) + this.offset);
    const places = names.map((name) => [name, this.#found.get(name)!] as const);
    return new Map(places.filter(([, address]) => !Number.isNaN(address)));
  }

  /** The symbols as they were found, without the offset. */
  get source(): SymbolSource {
    return this.#source;
  }
}
