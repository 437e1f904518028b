// The two levels of tables of a sparse extent: a directory whose entries are the places of tables, whose entries are the places
// of grains. A grain that is allocated is entered into both copies, where there are two.
import { ErrnoFailure } from '../../base/errno.ts';
import { after, type Eventual } from '../../base/eventual.ts';
import { EntryTable, LE32, type EntryFormat } from '../image-format/entry-table.ts';
import type { Edge } from '../node.ts';
import { SECTOR_BYTES, ZEROED_GRAIN } from './layout.ts';
import type { SparseGeometry } from './sparse-header.ts';

/** What a table says of a grain: its place in the file, or one of these. */
export const GRAIN = { UNALLOCATED: -1, ZEROED: -2 } as const;

const MAX_TABLES = 256;
const NIBBLE = 2 ** 28;

/** seSparse directory: type 1 and the table's number; anything else is no table. */
const SE_DIRECTORY_ENTRY: EntryFormat = {
  sizeBytes: 8,
  get: (view, at) => (view.getUint32(at + 4, true) === 0x10000000 ? view.getUint32(at, true) + 1 : 0),
  set: () => {},
};

/** seSparse table: with its type an entry is too big for a number, so it is turned into one of GRAIN or a grain number. */
const SE_TABLE_ENTRY: EntryFormat = {
  sizeBytes: 8,
  get(view, at) {
    const high = view.getUint32(at + 4, true);
    const low = view.getUint32(at, true);
    switch (Math.floor(high / NIBBLE)) {
      case 0:
        return high === 0 && low === 0 ? GRAIN.UNALLOCATED : NaN;
      case 1:
        return GRAIN.UNALLOCATED;
      case 2:
        return GRAIN.ZEROED;
      case 3:
        // Bits 48 to 59 are the lowest of the number.
        return ((high >>> 16) & 0xfff) + ((high & 0xffff) * 2 ** 32 + low) * 4096;
      default:
        return NaN;
    }
  },
  set: () => {},
};

export class GrainTables {
  readonly #file: Edge;
  readonly #geometry: SparseGeometry;
  readonly #directory: EntryTable;
  readonly #backup: EntryTable | undefined;
  /** In the order of their last use. */
  readonly #tables = new Map<number, EntryTable>();
  #recentPlace = -1;
  #recent: EntryTable | undefined;
  #changing = 0;

  constructor(file: Edge, geometry: SparseGeometry) {
    this.#file = file;
    this.#geometry = geometry;
    const { directoryOffset, backupDirectoryOffset, directoryEntries: count, seSparse } = geometry;
    this.#directory = new EntryTable({ file, offset: directoryOffset, count, format: seSparse === undefined ? LE32 : SE_DIRECTORY_ENTRY });
    if (backupDirectoryOffset !== undefined) this.#backup = new EntryTable({ file, offset: backupDirectoryOffset, count, format: LE32 });
  }

  /** Where the table of a grain is; 0 when there is none. */
  tablePlace(grain: number): Eventual<number> {
    const index = Math.floor(grain / this.#geometry.entriesPerTable);
    if (index >= this.#directory.count) return 0;
    return after(this.#directory.get(index), (entry) => this.#placeOfEntry(entry));
  }

  #placeOfEntry(entry: number): number {
    const { seSparse, entriesPerTable } = this.#geometry;
    if (entry === 0) return 0;
    return seSparse === undefined ? entry * SECTOR_BYTES : seSparse.tablesOffset + (entry - 1) * entriesPerTable * 8;
  }

  /** The place of a grain, or GRAIN. */
  lookup(grain: number): Eventual<number> {
    return after(this.tablePlace(grain), (place) => {
      if (place === 0) return GRAIN.UNALLOCATED;
      return after(this.#table(place).get(grain % this.#geometry.entriesPerTable), (entry) => this.#grainOf(entry));
    });
  }

  #grainOf(entry: number): number {
    const { seSparse, hasZeroedGrains, grainSectors } = this.#geometry;
    if (seSparse !== undefined) {
      if (entry < 0) return entry;
      const place = seSparse.grainsOffset + entry * grainSectors * SECTOR_BYTES;
      if (!Number.isSafeInteger(place)) throw new ErrnoFailure('EIO');
      return place;
    }
    if (hasZeroedGrains && entry === ZEROED_GRAIN) return GRAIN.ZEROED;
    return entry === 0 ? GRAIN.UNALLOCATED : entry * SECTOR_BYTES;
  }

  /** Enters a grain. Not to be called again before it has ended. */
  async enter(grain: number, entry: number): Promise<void> {
    const { entriesPerTable } = this.#geometry;
    const place = await this.tablePlace(grain);
    if (place === 0) throw new ErrnoFailure('EIO');
    const inTable = grain % entriesPerTable;
    this.#changing++;
    try {
      await this.#table(place).set(inTable, entry);
      const backupEntry = await this.#backup?.get(Math.floor(grain / entriesPerTable));
      if (backupEntry !== undefined && backupEntry !== 0) {
        const source = new Uint8Array(4);
        new DataView(source.buffer).setUint32(0, entry, true);
        await this.#file.write(backupEntry * SECTOR_BYTES + 4 * inTable, source);
      }
    } finally {
      this.#changing--;
    }
  }

  #table(place: number): EntryTable {
    if (place === this.#recentPlace) return this.#recent!;
    let table = this.#tables.get(place);
    if (table === undefined) {
      const { entriesPerTable: count, seSparse } = this.#geometry;
      table = new EntryTable({ file: this.#file, offset: place, count, format: seSparse === undefined ? LE32 : SE_TABLE_ENTRY });
    } else this.#tables.delete(place);
    this.#tables.set(place, table);
    this.#recentPlace = place;
    this.#recent = table;
    // A table that is being changed must stay the only one of its place.
    if (this.#tables.size > MAX_TABLES && this.#changing === 0) this.#tables.delete(this.#tables.keys().next().value!);
    return table;
  }
}
