// What is in the structure that Linux keeps of a loaded module: the pieces of memory it lies in, where its symbols are and its tables for
// walking stacks (ORC). No offset is taken for granted: a field is where the words have its form and lead to what it says, all in the
// module's own memory. Written from the kernel's interface to modules (include/linux/module.h names the fields), for 64-bit kernels from
// 5.2 on; the split of a module's memory by use came in 6.4. Reads places only; symbols are read in module-symbols.ts.
import { addressAt } from './address.ts';
import type { GuestMemory } from './guest-memory.ts';

export interface Piece {
  readonly start: number;
  readonly end: number;
}

export interface SymbolPlace {
  /** ELF symbols, `count` of them, then their names, then a letter for each. */
  readonly symbols: number;
  readonly count: number;
  readonly strings: number;
  readonly types: number;
}

export interface OrcPlace {
  readonly ipStart: number;
  readonly count: number;
  readonly start: number;
}

export interface ModuleStructure {
  readonly pieces: readonly Piece[];
  readonly symbols: SymbolPlace | undefined;
  readonly orc: OrcPlace | undefined;
}

export const ELF_SYMBOL_BYTES = 24;
export const ORC_ENTRY_BYTES = 6;
/** Kernels with all that debugs them have structures of half of this. */
const STRUCTURE_WORDS = 512;
/** Behind state, list and the name. */
const FIELDS_AT = 20;
const PAGE = 4096;
/** A module is within reach of a relative call. */
const REACH = 2 ** 31;
const PIECE_BYTES_MAX = 64 << 20;
const PIECES_MAX = 16;
const SYMBOLS_MAX = 1 << 17;
const STRING_BYTES_MAX = 8 << 20;
const ORC_MAX = 1 << 20;
/** Of an ORC table, entries that are looked at. */
const PROBES = 16;

const NOTHING: ModuleStructure = { pieces: [], symbols: undefined, orc: undefined };
const words = new Uint32Array(STRUCTURE_WORDS);

/** Empty where the structure does not have the forms that are known. */
export function readModuleStructure(memory: GuestMemory, address: number): ModuleStructure {
  const count = memory.copyWords(address, STRUCTURE_WORDS, words, 0) & ~1;
  const pieces = findPieces(address, count);
  if (!pieces.some((piece) => holds(piece, address, 1))) return NOTHING; // the structure is in the module
  return { pieces, symbols: findSymbols(pieces, count), orc: findOrc(memory, pieces, count) };
}

export const holds = ({ start, end }: Piece, address: number, bytes: number): boolean => address >= start && address + bytes <= end;

/** Each piece has a node of the kernel's tree of them behind it, which begins with the address of the structure. */
function findPieces(address: number, count: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = FIELDS_AT; at < count && pieces.length < PIECES_MAX; at += 2) {
    if (addressAt(words, at) !== address) continue;
    const piece = pieceBefore(at, address);
    if (piece !== undefined) pieces.push(piece);
  }
  return pieces;
}

/** Its start and sizes, of which the first, or in some kernels the last, is of all of it. */
function pieceBefore(node: number, address: number): Piece | undefined {
  for (const back of [4, 6]) {
    const start = addressAt(words, node - back);
    if (!(start < 0) || start % PAGE !== 0 || Math.abs(start - address) > REACH) continue;
    const bytes = words.subarray(node - back + 2, node).reduce((most, size) => Math.max(most, size), 0);
    return bytes > 0 && bytes <= PIECE_BYTES_MAX ? { start, end: start + bytes } : undefined;
  }
  return undefined;
}

/** The symbols that stay when a module has started: the kernel has put names behind symbols, and letters behind names. */
function findSymbols(pieces: readonly Piece[], end: number): SymbolPlace | undefined {
  for (let at = FIELDS_AT; at + 8 <= end; at += 2) {
    const symbols = addressAt(words, at);
    const count = words[at + 2]!;
    const strings = addressAt(words, at + 4);
    if (!(symbols < 0) || count === 0 || count > SYMBOLS_MAX || strings !== symbols + count * ELF_SYMBOL_BYTES) continue;
    const types = addressAt(words, at + 6);
    const isTable = types > strings && types - strings <= STRING_BYTES_MAX && symbols % 8 === 0;
    if (isTable && pieces.some((piece) => holds(piece, symbols, types + count - symbols))) return { symbols, count, strings, types };
  }
  return undefined;
}

/** How many entries, where they begin to hold, and the entries. */
function findOrc(memory: GuestMemory, pieces: readonly Piece[], end: number): OrcPlace | undefined {
  for (let at = FIELDS_AT; at + 6 <= end; at += 2) {
    const count = words[at]!;
    if (count === 0 || count > ORC_MAX) continue;
    const orc = { count, ipStart: addressAt(words, at + 2), start: addressAt(words, at + 4) };
    if (isOrc(memory, pieces, orc)) return orc;
  }
  return undefined;
}

/** They are sorted by the code that they are for. That of the module's start, which is given back, has entries too. */
function isOrc(memory: GuestMemory, pieces: readonly Piece[], { ipStart, count, start }: OrcPlace): boolean {
  const isIn = (address: number, bytes: number): boolean => pieces.some((piece) => holds(piece, address, bytes));
  if (!isIn(ipStart, count * 4) || !isIn(start, count * ORC_ENTRY_BYTES)) return false;
  let before = -Infinity;
  let ofModule = 0;
  for (let probe = 0; probe < PROBES; probe++) {
    const at = ipStart + Math.floor((probe * (count - 1)) / (PROBES - 1)) * 4;
    const begins = at + memory.i32(at);
    if (begins < before) return false;
    before = begins;
    if (isIn(begins, 1)) ofModule++;
  }
  return ofModule > 0;
}
