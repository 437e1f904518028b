// A counted profile: what the notes of the counting interpreter (COUNT_NOTE) add up to by place, and faults, interrupts, accesses to
// devices and exits as they come. Nothing is estimated; what does not fit into a table any more is counted under no place.
import { COUNT_NOTE, COUNT_NOTES_OFFSET } from '../memory/memory-map.ts';
import { cpuOffset } from '../cpu/x86/state.ts';
import { addressAt } from './address.ts';

/** What is counted by place, in the order of the columns. */
export const COUNTED = ['instructions', 'reads', 'writes', 'page walks', 'helpers', 'device accesses'] as const;
/** The notes do not have it: it is counted as it comes. */
const DEVICE_ACCESSES = 5;
const FIELDS = [COUNT_NOTE.INSTRUCTIONS, COUNT_NOTE.READS, COUNT_NOTE.WRITES, COUNT_NOTE.WALKS, COUNT_NOTE.HELPERS];
const STATE_FIELDS = ['countInstructions', 'countReads', 'countWrites', 'countPageWalk', 'countHelper'];
const COLUMNS = COUNTED.length;
const PLACES_MAX = 1 << 21;
/** What comes later is counted under the last. */
const PROGRAMS_MAX = 1 << 16;
/** Rows of the tables of faults and devices. */
const KEYS_MAX = 1 << 16;

/** A block's RIP, and the page tables and privilege level that it ran under. */
export interface Place {
  readonly rip: number;
  readonly space: number;
}

/** A block's RIP, and the number of the program whose it is; all of the kernel's half is KERNEL's. */
export interface CountedPlace {
  readonly rip: number;
  readonly program: number;
}

export const KERNEL = 0;

/** By place: an open hash table of numbers. */
export class PlaceCounts {
  #rips = new Float64Array(4096);
  #programs = new Int32Array(4096).fill(-1);
  #counts = new Float64Array(4096 * COLUMNS);
  #used = 0;
  /** Of places that had no room. */
  readonly elsewhere = new Float64Array(COLUMNS);

  /** Index of the counts of a place in `counts`; -1 when there is no room for another place. */
  slotOf(rip: number, program: number): number {
    const mask = this.#rips.length - 1;
    let slot = (Math.imul(rip | 0, 0x9e37_79b1) >>> 7) ^ Math.imul(program, 0x85eb_ca6b);
    for (slot &= mask; this.#programs[slot] !== -1; slot = (slot + 1) & mask) {
      if (this.#rips[slot] === rip && this.#programs[slot] === program) return slot * COLUMNS;
    }
    if (this.#used >= PLACES_MAX) return -1;
    this.#rips[slot] = rip;
    this.#programs[slot] = program;
    if (++this.#used * 2 < this.#rips.length) return slot * COLUMNS;
    this.#grow();
    return this.slotOf(rip, program);
  }

  get counts(): Float64Array {
    return this.#counts;
  }

  #grow(): void {
    const [rips, programs, counts] = [this.#rips, this.#programs, this.#counts];
    this.#rips = new Float64Array(rips.length * 2);
    this.#programs = new Int32Array(rips.length * 2).fill(-1);
    this.#counts = new Float64Array(counts.length * 2);
    this.#used = 0;
    for (let slot = 0; slot < rips.length; slot++) {
      if (programs[slot] === -1) continue;
      const to = this.slotOf(rips[slot]!, programs[slot]!);
      for (let column = 0; column < COLUMNS; column++) this.#counts[to + column] = counts[slot * COLUMNS + column]!;
    }
  }

  /** Every place with its counts. */
  *entries(): Generator<readonly [CountedPlace, readonly number[]]> {
    for (let slot = 0; slot < this.#rips.length; slot++) {
      if (this.#programs[slot] === -1) continue;
      const row = [...this.#counts.subarray(slot * COLUMNS, (slot + 1) * COLUMNS)];
      yield [{ rip: this.#rips[slot]!, program: this.#programs[slot]! }, row];
    }
  }
}

export interface DeviceCount {
  reads: number;
  writes: number;
  bytes: number;
}

/** Programs by their page tables, which the next one may be given when one has ended. */
class CountedPrograms {
  readonly names: string[] = ['the kernel'];
  readonly #byTables = new Map<number, number>();
  readonly #named = new Set<number>();
  #lastTables = -1;
  #last = KERNEL;

  /** Number of the program that runs now under page tables at an address. */
  numberOf(tables: number): number {
    if (tables === this.#lastTables) return this.#last;
    this.#lastTables = tables;
    this.#last = this.#byTables.get(tables) ?? this.#added(tables, `page tables at 0x${tables.toString(16)}`);
    return this.#last;
  }

  #added(tables: number, name: string): number {
    if (this.names.length >= PROGRAMS_MAX) return this.names.length - 1;
    const number = this.names.push(name) - 1;
    this.#byTables.set(tables, number);
    return number;
  }

  /** The task that runs under page tables; another name than before is another program. */
  named(tables: number, name: string): void {
    const known = this.numberOf(tables);
    if (this.names[known] === name) return;
    this.#lastTables = -1;
    const number = this.#named.has(known) ? this.#added(tables, name) : known;
    this.names[number] = name;
    this.#named.add(number);
  }
}

export class Counts {
  readonly programs = new CountedPrograms();
  readonly places = new PlaceCounts();
  readonly faults = new Map<string, number>();
  /** By vector and kind. */
  readonly interrupts = new Map<string, number>();
  readonly devices = new Map<string, DeviceCount>();
  readonly exits = new Map<number, number>();
  readonly #words: Uint32Array;
  readonly #notes: number;
  readonly #notesAt: number;
  readonly #state: readonly number[];
  readonly #stringsAt: number;
  readonly #stringsBefore: number;

  constructor(words: Uint32Array, area: number) {
    this.#words = words;
    this.#notes = (area + COUNT_NOTES_OFFSET) >> 2;
    this.#notesAt = (area + cpuOffset('notesAt')) >> 2;
    this.#state = STATE_FIELDS.map((field) => (area + cpuOffset(field)) >> 2);
    this.#stringsAt = (area + cpuOffset('countStringElements')) >> 2;
    this.#stringsBefore = addressAt(words, this.#stringsAt);
    words[this.#notesAt] = this.#notes * 4;
  }

  get stringElements(): number {
    return addressAt(this.#words, this.#stringsAt) - this.#stringsBefore;
  }

  /** Adds up the notes: what was counted from one to the next belongs to the place of the first. */
  take(): void {
    const words = this.#words;
    const end = words[this.#notesAt]! >> 2;
    for (let note = this.#notes; note < end; note += COUNT_NOTE.BYTES / 4) {
      const next = note + COUNT_NOTE.BYTES / 4;
      const rip = addressAt(words, note + COUNT_NOTE.RIP / 4);
      const slot = this.places.slotOf(rip, this.#programOf(words[note + COUNT_NOTE.SPACE / 4]!));
      const counts = slot < 0 ? this.places.elsewhere : this.places.counts;
      const first = Math.max(0, slot);
      for (let column = 0; column < FIELDS.length; column++) {
        const before = words[note + FIELDS[column]! / 4]!;
        const after = next === end ? words[this.#state[column]!]! : words[next + FIELDS[column]! / 4]!;
        counts[first + column]! += (after - before) >>> 0;
      }
    }
    words[this.#notesAt] = this.#notes * 4;
  }

  fault(text: string): void {
    countUnder(this.faults, text, 'others');
  }

  interrupt(text: string): void {
    countUnder(this.interrupts, text, 'others');
  }

  exit(reason: number): void {
    this.exits.set(reason, (this.exits.get(reason) ?? 0) + 1);
  }

  /** Only programs have page tables of their own: the kernel's half is in all of them. */
  #programOf(space: number): number {
    return (space & 3) === 3 ? this.programs.numberOf((space & ~0xfff) >>> 0) : KERNEL;
  }

  /** By the code at `rip`; its page tables and privilege level are `space` as in a note. */
  access(name: string, bytes: number, isWrite: boolean, { rip, space }: Place): void {
    const slot = this.places.slotOf(rip, this.#programOf(space));
    if (slot < 0) this.places.elsewhere[DEVICE_ACCESSES]!++;
    else this.places.counts[slot + DEVICE_ACCESSES]!++;
    let count = this.devices.get(name);
    if (count === undefined) this.devices.set(name, (count = { reads: 0, writes: 0, bytes: 0 }));
    if (isWrite) count.writes++;
    else count.reads++;
    count.bytes += bytes;
  }
}

function countUnder(counts: Map<string, number>, text: string, others: string): void {
  const key = counts.size < KEYS_MAX || counts.has(text) ? text : others;
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
