// Reads guest memory by linear address without the processor noticing: no accessed bits, no TLB, no faults. A walk of the page tables
// in RAM (Intel SDM 3A chapter 4); what is not RAM is not there. Everything read is the guest's word: it may be anything.
import { cpuOffset } from '../cpu/x86/state.ts';
import { GUEST_RAM } from '../memory/memory-map.ts';
import type { Words } from './address.ts';

const PRESENT = 1;
const LARGE = 1 << 7;
const CR0_PG = 2 ** 31;
const CR4_PAE = 1 << 5;
const CR4_PSE = 1 << 4;
const EFER_LMA = 1 << 10;
const PAGE = 4096;
/** A power of two. */
const CACHED = 256;
/** Of a translation: when it was last found to hold, and where and what the entry was that named the page (by words; 0: there was none). */
const KEPT = { EPOCH: 0, ENTRY: 1, VALUE: 2, WORDS: 4 } as const;

export class GuestMemory {
  readonly words: Words;
  readonly #bytes: Uint8Array;
  readonly #ramBytes: number;
  readonly #at: Readonly<Record<'cr0' | 'cr3' | 'cr4' | 'efer' | 'pdpte0', number>>;
  /** Pages that were translated, the host's addresses of them or -1, and KEPT. */
  readonly #pages = new Float64Array(CACHED).fill(Number.NaN);
  readonly #hosts = new Float64Array(CACHED);
  readonly #kept = new Int32Array(CACHED * KEPT.WORDS);
  #epoch = 0;
  #tables = -1;
  /** Of the last entry that a walk has read, by words. */
  #entryAt = 0;

  /** `words` is the machine's memory, `area` where the vCPU's part of it begins. */
  constructor(words: Words, area: number, ramBytes: number) {
    this.words = words;
    this.#bytes = new Uint8Array(words.buffer);
    this.#ramBytes = ramBytes;
    const at = (field: string): number => (area + cpuOffset(field)) >> 2;
    this.#at = { cr0: at('cr0'), cr3: at('cr3'), cr4: at('cr4'), efer: at('efer'), pdpte0: at('pdpte0') };
  }

  /**
   * Page tables may have changed since the last call. In a 64-bit guest the upper half of the addresses is the kernel's, the same in all
   * of them: what is known of it holds while the entry that named the page is what it was. `tables` are others than those in use, by their
   * physical address.
   */
  begin(tables = -1): void {
    this.#tables = tables;
    this.#epoch = (this.#epoch + 1) | 0;
  }

  /** Physical address of a linear one; -1 where there is no RAM. */
  physical(linear: number): number {
    const host = this.#host(linear);
    return host < 0 ? -1 : host - GUEST_RAM;
  }

  /** `count` bytes of RAM from a physical address on, or fewer where it ends. */
  physicalBytes(physical: number, count: number): Uint8Array {
    const end = Math.min(this.#ramBytes, physical + count);
    return this.#bytes.subarray(GUEST_RAM + Math.min(physical, end), GUEST_RAM + end);
  }

  /** An aligned u32, or -1. */
  u32(linear: number): number {
    const host = this.#host(linear);
    return host < 0 || (host & 3) !== 0 ? -1 : this.words[host >>> 2]!;
  }

  /** A signed number of 32 bits at any address; 0 where there is none. */
  i32(linear: number): number {
    if ((linear & 3) === 0) return this.u32(linear) | 0;
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) value = (value << 8) | (this.u8(linear + byte) & 0xff);
    return value;
  }

  /** A byte, or -1. */
  u8(linear: number): number {
    const host = this.#host(linear);
    return host < 0 ? -1 : this.#bytes[host]!;
  }

  /** An aligned word of 8 or 4 bytes as an address; NaN where there is none. */
  word(linear: number, bytes: 4 | 8): number {
    const host = this.#host(linear);
    if (host < 0 || (host & (bytes - 1)) !== 0) return Number.NaN;
    const low = this.words[host >>> 2]!;
    return bytes === 4 ? low : (this.words[(host >>> 2) + 1]! | 0) * 0x1_0000_0000 + low;
  }

  /** Text of less than `bytes` bytes, up to a zero or where no memory is; what cannot be printed, and `;`, becomes `_`. */
  text(linear: number, bytes: number): string {
    return nameIn((at) => this.u8(linear + at), bytes);
  }

  /** Copies aligned words of 32 bits, up to where no memory is; returns how many. */
  copyWords(linear: number, count: number, into: Uint32Array, at: number): number {
    let copied = 0;
    while (copied < count) {
      const host = this.#host(linear + copied * 4);
      if (host < 0 || (host & 3) !== 0) break;
      const end = Math.min(count, copied + (PAGE - (host & (PAGE - 1))) / 4);
      for (let word = host >>> 2; copied < end; copied++) into[at + copied] = this.words[word++]!;
    }
    return copied;
  }

  #host(linear: number): number {
    const low = linear >>> 0;
    const inPage = low & (PAGE - 1);
    const page = linear - inPage;
    const slot = (low >>> 12) & (CACHED - 1);
    if (this.#pages[slot] !== page || !this.#holds(slot * KEPT.WORDS, page)) {
      if (Number.isNaN(page)) return -1;
      this.#entryAt = 0;
      this.#pages[slot] = page;
      this.#hosts[slot] = this.#walk(low, Math.floor(linear / 0x1_0000_0000));
      this.#keep(slot * KEPT.WORDS);
    }
    const host = this.#hosts[slot]!;
    return host < 0 ? -1 : host + inPage;
  }

  #holds(at: number, page: number): boolean {
    if (this.#kept[at + KEPT.EPOCH] === this.#epoch) return true;
    const entry = this.#kept[at + KEPT.ENTRY]!;
    if (page >= 0 || entry === 0 || (this.words[entry]! | 0) !== this.#kept[at + KEPT.VALUE]) return false;
    this.#kept[at + KEPT.EPOCH] = this.#epoch;
    return true;
  }

  #keep(at: number): void {
    this.#kept[at + KEPT.EPOCH] = this.#epoch;
    this.#kept[at + KEPT.ENTRY] = this.#entryAt;
    this.#kept[at + KEPT.VALUE] = this.words[this.#entryAt]!;
  }

  /** Host address of the page, or -1. */
  #walk(low: number, high: number): number {
    const { words } = this;
    if (words[this.#at.cr0]! < CR0_PG) return this.#ram(low & ~(PAGE - 1));
    const cr4 = words[this.#at.cr4]!;
    if ((words[this.#at.efer]! & EFER_LMA) !== 0) {
      const tables = this.#tables >= 0 ? this.#tables : words[this.#at.cr3]!;
      const top = this.#entry(tables & ~(PAGE - 1), (high >>> 7) & 511);
      if (top < 0) return -1;
      return this.#walkDirectories(this.#entry(top, ((high & 127) << 2) | (low >>> 30)), low, true);
    }
    if ((cr4 & CR4_PAE) === 0) return this.#walk32(low, (cr4 & CR4_PSE) !== 0);
    const pointer = words[this.#at.pdpte0 + (low >>> 30) * 2]!;
    return (pointer & PRESENT) === 0 ? -1 : this.#walkDirectories(pointer & ~(PAGE - 1), low, false);
  }

  #large = false;

  /** From the entry that names a page directory, or is a page of 1 GiB. */
  #walkDirectories(directory: number, low: number, mayBeHuge: boolean): number {
    if (directory < 0 && !this.#large) return -1;
    if (mayBeHuge && this.#large) return this.#ram(this.#frame + (low & 0x3fff_f000));
    const table = this.#entry(directory >>> 0, (low >>> 21) & 511);
    if (this.#large) return this.#ram(this.#frame + (low & 0x1f_f000));
    if (table < 0) return -1;
    const page = this.#entry(table, (low >>> 12) & 511, true);
    return page < 0 ? -1 : this.#ram(page);
  }

  #frame = 0;

  /** Physical address that an entry of 64 bits holds; -1 where it is absent or above 4 GiB. Large pages are told by `#large`. */
  #entry(table: number, index: number, isLast = false): number {
    this.#large = false;
    const host = this.#ram(table);
    if (host < 0) return -1;
    const at = (host >>> 2) + index * 2;
    this.#entryAt = at;
    const low = this.words[at]!;
    if ((low & PRESENT) === 0 || (this.words[at + 1]! & 0xf_ffff) !== 0) return -1;
    this.#large = !isLast && (low & LARGE) !== 0;
    this.#frame = (low & ~0x1f_ffff) >>> 0;
    return (low & ~(PAGE - 1)) >>> 0;
  }

  #walk32(low: number, largePages: boolean): number {
    const directory = this.#ram(this.words[this.#at.cr3]! & ~(PAGE - 1));
    if (directory < 0) return -1;
    const entry = this.words[(directory >>> 2) + (low >>> 22)]!;
    if ((entry & PRESENT) === 0) return -1;
    if (largePages && (entry & LARGE) !== 0) return this.#ram(((entry & 0xffc0_0000) | (low & 0x3f_f000)) >>> 0);
    const table = this.#ram(entry & ~(PAGE - 1));
    if (table < 0) return -1;
    const page = this.words[(table >>> 2) + ((low >>> 12) & 1023)]!;
    return (page & PRESENT) === 0 ? -1 : this.#ram(page & ~(PAGE - 1));
  }

  #ram(physical: number): number {
    const page = physical >>> 0;
    return page + PAGE > this.#ramBytes ? -1 : GUEST_RAM + page;
  }
}

/** Text of less than `bytes` bytes, up to one that is 0 or less; what cannot be printed, and `;`, becomes `_`. */
export function nameIn(byteAt: (at: number) => number, bytes: number): string {
  let text = '';
  for (let at = 0; at < bytes - 1; at++) {
    const byte = byteAt(at);
    if (byte <= 0) break;
    text += byte >= 0x21 && byte < 0x7f && byte !== 0x3b ? String.fromCharCode(byte) : '_';
  }
  return text;
}
