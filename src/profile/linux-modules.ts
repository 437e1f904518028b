// The modules that a running Linux has loaded, by the addresses of their code: what its functions are called, and the tables that walk
// their stacks. The list is followed again when asked to; a module's symbols are read when code of it is first asked for. All of it is
// the guest's word: a module whose structure has not the known forms has a name only, and only where its code lies before it.
import { partitionPoint } from '../base/partition-point.ts';
import type { GuestMemory } from './guest-memory.ts';
import { readModuleStructure, type ModuleStructure, type OrcPlace, type SymbolPlace } from './module-structure.ts';
import { bytesOfTable, readModuleSymbols } from './module-symbols.ts';
import { SymbolTable } from './symbols.ts';

const MODULES_MAX = 1024;
const NAME_BYTES = 56;
/** Where the code of a module lies in one piece with its structure, that piece is not larger than this. */
const ONE_PIECE_BYTES_MAX = 8 << 20;
/** What is read of tables of symbols in all: kernels with every module there is have a third. Never given back. */
const TABLE_BYTES_MAX = 128 << 20;
/** Of `state`: it has been started. */
const LIVE = 0;
const NO_STRUCTURE: ModuleStructure = { pieces: [], symbols: undefined, orc: undefined };

/** Where a kernel has its list. */
export interface ModuleList {
  /** NaN where there is none. */
  readonly head: number;
  readonly pointerBytes: 4 | 8;
  /** Physical address of page tables that have all of the kernel, or -1. */
  readonly tables: number;
  /** Whether the code of each may lie elsewhere than before its structure, in the same piece of memory. */
  readonly isSplit: boolean;
}

export class LoadedModule {
  /** Of its structure. */
  readonly address: number;
  readonly name: string;
  readonly structure: ModuleStructure;
  /** It had been started when its structure was read before: what it needed for that has been given back. */
  readonly isSettled: boolean;
  /** Whether it has been started. */
  readonly isLive: boolean;
  /** Undefined until it has been asked for. */
  table: SymbolTable | 'none' | undefined;

  constructor(address: number, name: string, structure: ModuleStructure, isLive: boolean, isSettled: boolean) {
    this.address = address;
    this.isLive = isLive;
    this.isSettled = isSettled;
    this.name = name;
    this.structure = structure;
  }
}

interface OwnedPiece {
  readonly start: number;
  readonly end: number;
  readonly module: LoadedModule;
}

export class LinuxModules {
  readonly #memory: GuestMemory;
  #list: ModuleList = { head: Number.NaN, pointerBytes: 8, tables: -1, isSplit: false };
  #modules: readonly LoadedModule[] = [];
  /** By their start, and where each starts. */
  #pieces: readonly OwnedPiece[] = [];
  /** Addresses of all entries of the list, in its order. */
  #entries: readonly number[] = [];
  #bytesRead = 0;
  /** Changes when code that was a module's may be another's. */
  version = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Another kernel's modules. */
  use(list: ModuleList): void {
    this.#list = list;
    this.#read([], true);
  }

  /** By the address of their structure. */
  get all(): readonly LoadedModule[] {
    return this.#modules;
  }

  /** Follows the list, and reads the structures of modules that are new in it or have just been started, or of `all`. */
  refresh(all = false): void {
    if (Number.isNaN(this.#list.head)) return;
    this.#memory.begin(this.#list.tables);
    const entries = this.#follow();
    const isSame = entries.length === this.#entries.length && entries.every((entry, n) => entry === this.#entries[n]);
    if (!isSame || all || this.#modules.some(({ isSettled }) => !isSettled)) this.#read(entries, all);
  }

  #follow(): number[] {
    const { head, pointerBytes } = this.#list;
    const entries: number[] = [];
    for (let entry = head; entries.length < MODULES_MAX; entries.push(entry)) {
      entry = this.#memory.word(entry, pointerBytes);
      if (Number.isNaN(entry) || entry === head) break;
    }
    return entries;
  }

  /** Where `list` and `name` are in a structure has not changed since 2.6. */
  #read(entries: readonly number[], all: boolean): void {
    const at = this.#list.pointerBytes === 8 ? { list: 8, name: 24 } : { list: 4, name: 12 };
    const before = new Map(this.#modules.map((module) => [module.address, module]));
    const modules: LoadedModule[] = [];
    for (const address of new Set(entries.map((entry) => entry - at.list))) {
      const name = this.#memory.text(address + at.name, NAME_BYTES);
      if (!/^\w+$/.test(name)) continue;
      const known = before.get(address);
      modules.push(!all && known?.name === name && known.isSettled ? known : this.#readModule(address, name, known));
    }
    const isOther = modules.length !== before.size || modules.some((module) => !hasSameCode(module, before.get(module.address)));
    if (isOther) this.version++;
    this.#entries = entries;
    this.#modules = modules.sort((a, b) => a.address - b.address);
    this.#pieces = modules
      .flatMap((module) => module.structure.pieces.map(({ start, end }) => ({ start, end, module })))
      .sort((a, b) => a.start - b.start);
  }

  #readModule(address: number, name: string, known: LoadedModule | undefined): LoadedModule {
    const structure = this.#list.pointerBytes === 8 ? readModuleStructure(this.#memory, address) : NO_STRUCTURE;
    const isLive = this.#memory.u32(address) === LIVE;
    const module = new LoadedModule(address, name, structure, isLive, isLive && known?.isLive === true);
    if (known !== undefined && known.table !== 'none' && isSameTable(known, module)) module.table = known.table;
    return module;
  }

  #at(address: number): LoadedModule | undefined {
    const pieces = this.#pieces;
    const piece = pieces[partitionPoint(0, pieces.length, (index) => pieces[index]!.start <= address) - 1];
    return piece !== undefined && address < piece.end ? piece.module : undefined;
  }

  /** Of the module that has code at an address. */
  tableAt(address: number): SymbolTable | undefined {
    const module = this.#at(address);
    if (module === undefined) return undefined;
    module.table ??= this.#readTable(module) ?? 'none';
    return module.table === 'none' ? undefined : module.table;
  }

  #readTable({ structure: { pieces, symbols } }: LoadedModule): SymbolTable | undefined {
    if (symbols === undefined || this.#bytesRead + bytesOfTable(symbols) > TABLE_BYTES_MAX) return undefined;
    this.#bytesRead += bytesOfTable(symbols);
    const source = readModuleSymbols(this.#memory, pieces, symbols);
    return source === undefined ? undefined : new SymbolTable(source);
  }

  /** The tables for stacks of the module that has code at an address. */
  orcAt(address: number): OrcPlace | undefined {
    return this.#at(address)?.structure.orc;
  }

  /** Function and module, or the module alone. */
  nameOf(address: number): string | undefined {
    const module = this.#at(address) ?? this.#before(address);
    if (module === undefined) return undefined;
    const name = this.tableAt(address)?.nameOf(address);
    return name === undefined ? `[module ${module.name}]` : `${name} [${module.name}]`;
  }

  /** The module whose structure, of which nothing else is known, follows its code. */
  #before(address: number): LoadedModule | undefined {
    if (this.#list.isSplit) return undefined;
    const next = this.#modules.find((one) => one.address >= address);
    const isNear = next !== undefined && next.structure.pieces.length === 0 && next.address - address < ONE_PIECE_BYTES_MAX;
    return isNear ? next : undefined;
  }
}

const hasSameCode = (a: LoadedModule, b: LoadedModule | undefined): boolean =>
  a === b || (a.name === b?.name && JSON.stringify(a.structure) === JSON.stringify(b.structure));

function isSameTable(a: LoadedModule, b: LoadedModule): boolean {
  const fields = ['symbols', 'count', 'strings', 'types'] as const satisfies readonly (keyof SymbolPlace)[];
  const [one, other] = [a.structure.symbols, b.structure.symbols];
  return a.name === b.name && one !== undefined && other !== undefined && fields.every((field) => one[field] === other[field]);
}
