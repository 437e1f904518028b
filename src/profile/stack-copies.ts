// Stacks of a kernel as they were at the moments of samples, copied to be walked later, many at a time: what a walk reads besides the
// stack itself (the kernel's tables, the tree of stacks, our own code) is then in the processor's caches after the first of them.
// Registers and words are the guest's and may be anything.
import type { GuestMemory } from './guest-memory.ts';

/** A stack of a 64-bit Linux lies in a piece of so many bytes (THREAD_SIZE); what is deeper in it than the maximum is left out. */
const STACK_BYTES = 16 * 1024;
const COPY_BYTES_MAX = 8 * 1024;
const COPIES = 512;
const WORDS = 1 << 17;

/** Of a copy: the registers, and where its words begin and how many they are. */
const FIELD = { LEAF: 0, IP: 1, SP: 2, BP: 3, SAMPLE: 4, AT: 5, WORDS: 6, COUNT: 8 } as const;

/** Where control was (`leaf`), and where it has gone from there, with that place's stack. */
export interface CopiedRegisters {
  readonly leaf: number;
  readonly ip: number;
  readonly sp: number;
  readonly bp: number;
}

export class StackCopies implements CopiedRegisters {
  readonly #memory: GuestMemory;
  readonly #fields = new Float64Array(COPIES * FIELD.COUNT);
  readonly #words = new Uint32Array(WORDS);
  #used = 0;
  #count = 0;
  /** The copy that is walked. */
  #current = 0;
  #sp = 0;
  #bytes = 0;
  #at = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === COPIES || this.#used + COPY_BYTES_MAX / 4 > WORDS;
  }

  /** Copies from `sp` to the stack's end; false where that is not memory. `sample` is the first one that waits for it. */
  add(leaf: number, ip: number, sp: number, bp: number, sample: number): boolean {
    const bytes = Math.min(COPY_BYTES_MAX, STACK_BYTES - (sp & (STACK_BYTES - 1)));
    const copied = this.#memory.copyWords(sp, bytes / 4, this.#words, this.#used);
    if (copied === 0) return false;
    const at = this.#count++ * FIELD.COUNT;
    const fields = this.#fields;
    fields[at + FIELD.LEAF] = leaf;
    fields[at + FIELD.IP] = ip;
    fields[at + FIELD.SP] = sp;
    fields[at + FIELD.BP] = bp;
    fields[at + FIELD.SAMPLE] = sample;
    fields[at + FIELD.AT] = this.#used;
    fields[at + FIELD.WORDS] = copied;
    this.#used += copied;
    return true;
  }

  /** From now on the getters and `word` are of this copy. */
  select(index: number): void {
    this.#current = index * FIELD.COUNT;
    this.#sp = this.#fields[this.#current + FIELD.SP]!;
    this.#bytes = this.#fields[this.#current + FIELD.WORDS]! * 4;
    this.#at = this.#fields[this.#current + FIELD.AT]!;
  }

  get leaf(): number {
    return this.#fields[this.#current + FIELD.LEAF]!;
  }

  get ip(): number {
    return this.#fields[this.#current + FIELD.IP]!;
  }

  get sp(): number {
    return this.#sp;
  }

  get bp(): number {
    return this.#fields[this.#current + FIELD.BP]!;
  }

  /** The first sample that waits for a copy; behind the last copy there is none. */
  firstSample(index: number): number {
    return index < this.#count ? this.#fields[index * FIELD.COUNT + FIELD.SAMPLE]! : Infinity;
  }

  /** An aligned word of the stack as an address; NaN outside of what was copied. */
  word(linear: number): number {
    const offset = linear - this.#sp;
    if (!(offset >= 0 && offset + 4 < this.#bytes) || (offset & 7) !== 0) return Number.NaN;
    const at = this.#at + (offset >> 2);
    return (this.#words[at + 1]! | 0) * 0x1_0000_0000 + this.#words[at]!;
  }

  clear(): void {
    this.#count = this.#used = 0;
  }
}
