// What assembly/samples.ts has kept of the guest at the moments of samples (SAMPLE_RECORD), read one record after the other. It waits there
// until there are some hundred, because what making names and stacks of it needs (the kernel's tables, the tree of stacks, our own code)
// is then in the processor's caches after the first. Registers and words are the guest's and may be anything.
import { cpuOffset } from '../cpu/x86/state.ts';
import { SAMPLE_MODE, SAMPLE_NAME_BYTES, SAMPLE_RECORD, SAMPLE_RECORDS_OFFSET } from '../memory/memory-map.ts';
import { addressAt, type Words } from './address.ts';
import { nameIn } from './guest-memory.ts';

export class SampleRecords {
  readonly #words: Words;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #begin: number;
  readonly #usedAt: number;
  /** The record that is read, and where the words behind its header begin and end; by words of 32 bits. */
  #at = 0;
  #stack = 0;
  #below = 0;
  #end = 0;
  #sp = 0;
  #belowSp = 0;

  /** `area` is where the vCPU's part of the machine's memory begins. */
  constructor(words: Words, area: number) {
    this.#words = words;
    this.#numbers = new Float64Array(words.buffer);
    this.#bytes = new Uint8Array(words.buffer);
    this.#begin = (area + SAMPLE_RECORDS_OFFSET) >> 2;
    this.#usedAt = (area + cpuOffset('sampleUsed')) >> 2;
    this.#end = this.#begin;
  }

  /** From now on the rest is of the next record; false behind the last one. */
  next(): boolean {
    if (this.#end >= this.#begin + (this.#words[this.#usedAt]! >> 2)) return false;
    this.#at = this.#end;
    this.#stack = this.#at + SAMPLE_RECORD.HEADER / 4;
    this.#below = this.#stack + this.#field(SAMPLE_RECORD.STACK) * 2;
    this.#end = this.#at + this.#field(SAMPLE_RECORD.SIZE) / 4;
    this.#sp = this.sp;
    this.#belowSp = this.#address(SAMPLE_RECORD.BELOW);
    return true;
  }

  /** There are no records any more. */
  clear(): void {
    this.#words[this.#usedAt] = 0;
    this.#end = this.#begin;
  }

  #field(field: number): number {
    return this.#words[this.#at + field / 4]!;
  }

  #address(field: number): number {
    return addressAt(this.#words, this.#at + field / 4);
  }

  /** Moments that the clock had noted. */
  get noted(): number {
    return this.#field(SAMPLE_RECORD.NOTED);
  }

  get answeredNs(): number {
    return this.#numbers[(this.#at + SAMPLE_RECORD.ANSWERED / 4) >> 1]!;
  }

  /** Where control was. */
  get leaf(): number {
    return this.#address(SAMPLE_RECORD.LEAF);
  }

  /** Where it has gone from there. */
  get ip(): number {
    return this.#address(SAMPLE_RECORD.IP);
  }

  get sp(): number {
    return this.#address(SAMPLE_RECORD.SP);
  }

  get bp(): number {
    return this.#address(SAMPLE_RECORD.BP);
  }

  /** What lies at SP, if that can be a caller's address; otherwise 0. */
  get caller(): number {
    return this.#address(SAMPLE_RECORD.CALLER);
  }

  /** Physical address of the page tables. */
  get tables(): number {
    return (this.#field(SAMPLE_RECORD.CR3) & ~0xfff) >>> 0;
  }

  get isLong(): boolean {
    return (this.#field(SAMPLE_RECORD.MODE) & SAMPLE_MODE.LONG) !== 0;
  }

  get isUser(): boolean {
    return (this.#field(SAMPLE_RECORD.MODE) & SAMPLE_MODE.USER) !== 0;
  }

  /** A word of the name, of four. */
  nameWord(number: number): number {
    return this.#words[this.#at + SAMPLE_RECORD.NAME / 4 + number]!;
  }

  /** The running task's; '' where it is not known. */
  get name(): string {
    const at = this.#at * 4 + SAMPLE_RECORD.NAME;
    return nameIn((n) => this.#bytes[at + n]!, SAMPLE_NAME_BYTES);
  }

  /** Whether the kernel's stack is here, to be walked. */
  get hasStack(): boolean {
    return this.#below > this.#stack;
  }

  /** Writes the callers that frame pointers led to, the nearest first, from `at` on; returns how many there are then. */
  copyFrames(frames: Float64Array, at: number): number {
    const count = Math.min(this.#field(SAMPLE_RECORD.FRAMES), frames.length - at);
    for (let n = 0; n < count; n++) frames[at + n] = addressAt(this.#words, this.#stack + n * 2);
    return at + count;
  }

  /** An aligned word of the stack as an address; NaN outside of what was copied. */
  word(linear: number): number {
    const offset = linear - this.#sp;
    if (offset >= 0 && offset < (this.#below - this.#stack) * 4) return this.#wordAt(this.#stack, offset);
    const below = linear - this.#belowSp;
    return below >= 0 && below < (this.#end - this.#below) * 4 ? this.#wordAt(this.#below, below) : Number.NaN;
  }

  #wordAt(begin: number, offset: number): number {
    return (offset & 7) === 0 ? addressAt(this.#words, begin + (offset >> 2)) : Number.NaN;
  }
}
