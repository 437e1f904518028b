// Who answers at a port or a bus address: one table look-up per access. Not guest RAM, which the processor reaches
// directly; only what is not plain memory comes here. Guest mistakes (nothing there, odd widths) are answered as on a
// PC: reads give ones, writes vanish, accesses wider than a device are split.
import { assert } from '../base/assert.ts';
import { defineEvents } from '../trace/event.ts';
import { guestErrors } from '../trace/guest-errors.ts';
import { beginActivity, endActivity, namedActivity } from '../trace/activity.ts';
import { heldSince, loopNs } from '../trace/stalls.ts';

export const trace = defineEvents('bus', {
  read: '{name:str} +{at:hex} {register:str} size {size} = {value:hex}',
  write: '{name:str} +{at:hex} {register:str} size {size} = {value:hex}',
});

/** Names of registers for traces and for the fuzzer; a RegisterFile is one. */
export interface RegisterNames {
  /** Offsets that have a register, with a name. */
  readonly offsets: readonly { readonly at: number; readonly name: string }[];
}

export interface Region {
  readonly base: number;
  /** How many addresses. */
  readonly size: number;
  readonly name: string;
  /** The widest access the device takes; wider ones are split into pieces of this many bytes. Default 1. */
  readonly widthMax?: 1 | 2 | 4;
  /** Where regions overlap the higher one answers; among equals the earlier one. Fixed devices 0, relocatable ones below. */
  readonly priority?: number;
  readonly registers?: RegisterNames;
  /** `at` is relative to the region, `size` 1, 2 or 4. Returns an unsigned number of that size. */
  readonly read: (at: number, size: number) => number;
  readonly write: (at: number, size: number, value: number) => void;
  /** Runs of elements of `size` bytes at one offset, for data ports: how many bytes went, in whole elements; 0: one by one. */
  readonly readRun?: (at: number, size: number, target: Uint8Array) => number;
  readonly writeRun?: (at: number, size: number, source: Uint8Array) => number;
}

/** A claimed region that its owner can move, hide and show again. */
export interface Claim {
  readonly region: Region;
  readonly base: number;
  readonly mapped: boolean;
  map(base: number): void;
  unmap(): void;
}

/** The same shape for every region, so that the hot calls stay monomorphic. */
class Mapping implements Claim {
  base: number;
  mapped = false;
  readonly size: number;
  readonly widthMax: number;
  readonly priority: number;
  readonly region: Region;
  readonly activity: number;
  readonly #space: AddressSpace;

  constructor(space: AddressSpace, region: Region) {
    this.#space = space;
    this.region = region;
    this.activity = namedActivity('device', region.name);
    this.base = region.base;
    this.size = region.size;
    this.widthMax = region.widthMax ?? 1;
    this.priority = region.priority ?? 0;
  }

  map(base: number): void {
    if (this.mapped && this.base === base) return;
    this.unmap();
    this.base = base;
    this.mapped = true;
    this.#space.refresh(base, this.size);
  }

  unmap(): void {
    if (!this.mapped) return;
    this.mapped = false;
    this.#space.refresh(this.base, this.size);
  }
}

const NOTHING = 0;
/** A page that several regions share, or that one covers in part: searched. */
const SHARED = 0xffff;

const ALL_ONES = [0, 0xff, 0xffff, 0, 0xffff_ffff] as const;
export const allOnes = (size: number): number => ALL_ONES[size as 1 | 2 | 4];

export class AddressSpace {
  readonly name: string;
  readonly #pageShift: number;
  readonly #addressLimit: number;
  /** Regions that are mapped behind what the table covers. */
  #beyond: Mapping[] = [];
  /** Per page: an index into #mappings, NOTHING or SHARED. */
  readonly #table: Uint16Array;
  readonly #mappings: (Mapping | undefined)[] = [undefined];

  constructor(name: string, addressBits: number, pageShift: number) {
    this.name = name;
    this.#pageShift = pageShift;
    this.#addressLimit = 2 ** addressBits;
    this.#table = new Uint16Array(2 ** (addressBits - pageShift));
  }

  /** Called with every access to a device, for counted profiles: how many bytes, and whether they are written. */
  onAccess: ((region: Region, bytes: number, isWrite: boolean) => void) | undefined;

  /** Every region, mapped or not, in the order of the claims. */
  get claims(): readonly Claim[] {
    return this.#mappings.slice(1) as Mapping[];
  }

  /** Claims a region and maps it at its base. */
  claim(region: Region): Claim {
    const claim = this.claimUnmapped(region);
    claim.map(region.base);
    return claim;
  }

  /** Claims a region that its owner will map later (a PCI base address register). */
  claimUnmapped(region: Region): Claim {
    assert(this.#mappings.length < SHARED && region.size > 0, 'a claim names a region');
    const mapping = new Mapping(this, region);
    this.#mappings.push(mapping);
    return mapping;
  }

  read(address: number, size: number): number {
    const mapping = this.#at(address);
    if (mapping === undefined) {
      guestErrors.unclaimedRead?.({ space: this.name, address, size });
      return allOnes(size);
    }
    const at = address - mapping.base;
    if (size > mapping.widthMax || at + size > mapping.size) return this.#readPieces(mapping, address, size);
    const begun = loopNs();
    const doing = beginActivity(mapping.activity);
    this.onAccess?.(mapping.region, size, false);
    const value = mapping.region.read(at, size) >>> 0;
    endActivity(doing);
    heldSince(begun, 'device', mapping.region.name);
    trace.read?.({ name: mapping.region.name, at, register: registerName(mapping.region, at), size, value });
    return value;
  }

  write(address: number, size: number, value: number): void {
    const mapping = this.#at(address);
    if (mapping === undefined) {
      guestErrors.unclaimedWrite?.({ space: this.name, address, size, value });
      return;
    }
    const at = address - mapping.base;
    if (size > mapping.widthMax || at + size > mapping.size) {
      this.#writePieces(mapping, address, size, value);
      return;
    }
    trace.write?.({ name: mapping.region.name, at, register: registerName(mapping.region, at), size, value });
    const begun = loopNs();
    const doing = beginActivity(mapping.activity);
    this.onAccess?.(mapping.region, size, true);
    mapping.region.write(at, size, value);
    endActivity(doing);
    heldSince(begun, 'device', mapping.region.name);
  }

  /** Reads a run of elements from one address, if the device gives them so; else 0. */
  readRun(address: number, size: number, target: Uint8Array): number {
    const mapping = this.#at(address);
    if (mapping?.region.readRun === undefined || trace.read !== undefined || size > mapping.widthMax) return 0;
    const begun = loopNs();
    const doing = beginActivity(mapping.activity);
    const count = mapping.region.readRun(address - mapping.base, size, target);
    endActivity(doing);
    if (count > 0) this.onAccess?.(mapping.region, count, false);
    heldSince(begun, 'device', mapping.region.name);
    return count;
  }

  writeRun(address: number, size: number, source: Uint8Array): number {
    const mapping = this.#at(address);
    if (mapping?.region.writeRun === undefined || trace.write !== undefined || size > mapping.widthMax) return 0;
    const begun = loopNs();
    const doing = beginActivity(mapping.activity);
    const count = mapping.region.writeRun(address - mapping.base, size, source);
    endActivity(doing);
    if (count > 0) this.onAccess?.(mapping.region, count, true);
    heldSince(begun, 'device', mapping.region.name);
    return count;
  }

  #readPieces(mapping: Mapping, address: number, size: number): number {
    const piece = pieceOf(mapping, address, size);
    let value = 0;
    for (let done = 0; done < size; done += piece) {
      value |= this.read(this.#wrapped(address, done), piece) << (8 * done);
    }
    return value >>> 0;
  }

  #writePieces(mapping: Mapping, address: number, size: number, value: number): void {
    const piece = pieceOf(mapping, address, size);
    for (let done = 0; done < size; done += piece) {
      this.write(this.#wrapped(address, done), piece, (value >>> (8 * done)) & allOnes(piece));
    }
  }

  /** The end of the space that the table covers leads to its start again. */
  #wrapped(address: number, offset: number): number {
    return address < this.#addressLimit ? (address + offset) % this.#addressLimit : address + offset;
  }

  #at(address: number): Mapping | undefined {
    if (address >= this.#addressLimit) {
      return this.#beyond.find((mapping) => address >= mapping.base && address < mapping.base + mapping.size);
    }
    const index = this.#table[address >>> this.#pageShift]!;
    return index === SHARED ? this.#search(address) : this.#mappings[index];
  }

  #search(address: number): Mapping | undefined {
    let best: Mapping | undefined;
    for (const mapping of this.#mappings) {
      if (mapping === undefined || !mapping.mapped || address < mapping.base || address >= mapping.base + mapping.size) continue;
      if (best === undefined || mapping.priority > best.priority) best = mapping;
    }
    return best;
  }

  /** For Mapping: computes the table again for the pages of a range. */
  refresh(base: number, size: number): void {
    if (base >= this.#addressLimit) {
      this.#beyond = this.claims.filter((claim) => claim.mapped && claim.base >= this.#addressLimit) as Mapping[];
      return;
    }
    const pageBytes = 2 ** this.#pageShift;
    const end = Math.min(base + size, this.#addressLimit);
    for (let start = Math.floor(base / pageBytes) * pageBytes; start < end; start += pageBytes) {
      this.#table[start / pageBytes] = this.#indexFor(start, start + pageBytes);
    }
  }

  #indexFor(start: number, end: number): number {
    let best = NOTHING;
    let partial = false;
    for (let index = 1; index < this.#mappings.length; index++) {
      const mapping = this.#mappings[index]!;
      if (!mapping.mapped || mapping.base >= end || mapping.base + mapping.size <= start) continue;
      partial ||= mapping.base > start || mapping.base + mapping.size < end;
      if (best === NOTHING || mapping.priority > this.#mappings[best]!.priority) best = index;
    }
    return partial ? SHARED : best;
  }
}

/** The largest piece that the device takes and that does not cross the end of its region. */
function pieceOf(mapping: Mapping, address: number, size: number): number {
  return address + size > mapping.base + mapping.size ? size / 2 : mapping.widthMax;
}

function registerName(region: Region, at: number): string {
  return region.registers?.offsets.find((offset) => offset.at === at)?.name ?? '';
}

/** The two address spaces of a PC; memory above 4 GiB is searched. */
export class SystemBus {
  readonly ports = new AddressSpace('port', 16, 0);
  readonly mmio = new AddressSpace('MMIO', 32, 12);

  claimPorts(region: Region): Claim {
    return this.ports.claim(region);
  }

  claimMmio(region: Region): Claim {
    return this.mmio.claim(region);
  }
}
