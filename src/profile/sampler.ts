// Takes samples of the guest: where it was, in which mode, program and calls, together with what the machine's thread did. The moment is
// another thread's (ports/sample-clock.ts): it notes the activity and asks; the guest's part is taken at the next place where the
// executor stops for it, which lies in the same function (ARCHITECTURE.md, "The profile"). The guest chooses all it reads here.
import { cpuOffset, MODE } from '../cpu/x86/state.ts';
import type { SampleClock } from '../ports/sample-clock.ts';
import { ACTIVITY, isForGuest } from '../trace/activity.ts';
import { addressAt } from './address.ts';
import type { GuestMemory } from './guest-memory.ts';
import { LinuxKernel } from './linux-kernel.ts';
import { ROOT, Samples } from './samples.ts';
import { StackCopies } from './stack-copies.ts';
import type { SymbolSource, SymbolTable } from './symbols.ts';
import { FRAMES_MAX, Unwinder } from './unwinder.ts';

const PROGRAMS_MAX = 4096;
/** Guest code answers within microseconds. When it took longer, the host had something else to do with the processor. */
const ANSWER_NS_MAX = 0.4e6;
/** Node of a sample whose stack has been copied. */
const COPIED = 0xffff_ffff;
/** Samples between two looks for the kernel and its modules. */
const LOOK_EVERY = 100;

/** A part of a program: its own code, or the kernel's on its behalf. */
export interface Program {
  /** The task's name, or the address of its page tables. */
  readonly name: string;
  readonly isUser: boolean;
}

export class Sampler {
  readonly samples = new Samples();
  readonly programs: Program[] = [{ name: '', isUser: false }];
  readonly kernel: LinuxKernel;
  readonly #memory: GuestMemory;
  readonly #words: Uint32Array;
  readonly #unwinder: Unwinder;
  readonly #copies: StackCopies;
  readonly #beginNs: number;
  readonly #frames = new Float64Array(FRAMES_MAX + 2);
  readonly #programNumbers = new Map<string, number>();
  /** The stack of the sample before, from the outside in, with its nodes. */
  readonly #path = new Float64Array(FRAMES_MAX + 2);
  readonly #pathNodes = new Int32Array(FRAMES_MAX + 2);
  #pathLength = 0;
  #depth = 0;
  #nowNs = 0;
  #untilLook = 0;
  #node = -1;
  #program = 0;
  readonly #lastName = new Int32Array(4);
  #lastKey = Number.NaN;
  readonly #at: Readonly<Record<'rip' | 'sampleRip' | 'rsp' | 'rbp' | 'cr3' | 'cpl' | 'modeKey' | 'csBase', number>>;

  constructor(memory: GuestMemory, area: number, symbols: SymbolSource | undefined, beginNs: number) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#beginNs = beginNs;
    this.kernel = new LinuxKernel(memory, area, symbols);
    this.#unwinder = new Unwinder(memory, this.kernel.modules);
    this.#copies = new StackCopies(memory);
    const at = (field: string): number => (area + cpuOffset(field)) >> 2;
    this.#at = {
      rip: at('rip'), sampleRip: at('sampleRip'), rsp: at('rsp'), rbp: at('rbp'), cr3: at('cr3'), cpl: at('cpl'), modeKey: at('modeKey'),
      csBase: at('csBase'),
    };
  }

  /** Takes what was asked for; the guest stands between two blocks. */
  take(clock: SampleClock, nowNs: number): void {
    this.#node = -1;
    this.#nowNs = nowNs;
    clock.drain(this.#takeOne);
    if (this.#copies.isFull) this.settle();
  }

  /** Walks the stacks that have been copied; until then their samples have no node. */
  settle(): void {
    const { samples } = this;
    const copies = this.#copies;
    if (copies.count === 0) return;
    this.kernel.modules.refresh();
    this.#memory.begin(this.kernel.tables);
    for (let copy = 0, sample = copies.firstSample(0); copy < copies.count; copy++) {
      copies.select(copy);
      const count = this.#unwinder.unwindCopy(copies, copies, this.#frames);
      const node = this.#nodeOf(copies.leaf, copies.ip, count);
      for (const end = Math.min(samples.count, copies.firstSample(copy + 1)); sample < end; sample++) {
        if (samples.nodes[sample] === COPIED) samples.nodes[sample] = node;
      }
    }
    this.#memory.begin();
    copies.clear();
  }

  readonly #takeOne = (atNs: number, activity: number): void => {
    const timeUs = (atNs - this.#beginNs) / 1000;
    const wasWaiting = (activity === ACTIVITY.REGION || activity === ACTIVITY.INTERPRETER) && this.#nowNs - atNs > ANSWER_NS_MAX;
    if (wasWaiting) return this.samples.add(timeUs, ROOT, ACTIVITY.WAITING, 0);
    if (!isForGuest(activity)) return this.samples.add(timeUs, ROOT, activity, 0);
    if (this.#node < 0) this.#takeGuest();
    this.samples.add(timeUs, this.#node, activity, this.#program);
  };

  #takeGuest(): void {
    if (--this.#untilLook < 0) {
      this.#untilLook = this.kernel.look() ? 0 : LOOK_EVERY;
      this.kernel.modules.refresh();
    }
    this.#memory.begin();
    const { kernel } = this;
    if (kernel.symbols !== undefined) this.#unwinder.use(kernel.symbols);
    const isLong = (this.#words[this.#at.modeKey]! & MODE.CODE_SIZE) === 2;
    const base = isLong ? 0 : this.#words[this.#at.csBase]!;
    const leaf = this.#address(this.#at.sampleRip, isLong) + base;
    const ip = this.#address(this.#at.rip, isLong) + base;
    const isUser = this.#isUser(leaf, ip, isLong);
    this.#program = this.#programOf(isUser);
    this.#node = isLong && this.#copy(leaf, ip) ? COPIED : this.#stack(leaf, ip, isLong);
  }

  #address(at: number, isLong: boolean): number {
    return isLong ? addressAt(this.#words, at) : this.#words[at]!;
  }

  /** The mode of the code at `leaf`, which may have just gone over into the other one. */
  #isUser(leaf: number, ip: number, isLong: boolean): boolean {
    if (isLong && leaf < 0 !== ip < 0) return leaf >= 0;
    return this.#words[this.#at.cpl] === 3;
  }

  /** Copies the stack of a kernel, when that is all that a walk will need. */
  #copy(leaf: number, ip: number): boolean {
    if (leaf >= 0 || ip >= 0 || this.kernel.tables < 0 || !this.#unwinder.hasTables) return false;
    const sp = addressAt(this.#words, this.#at.rsp);
    if (this.kernel.isInterruptStack(sp)) return false;
    return this.#copies.add(leaf, ip, sp, addressAt(this.#words, this.#at.rbp), this.samples.count);
  }

  /** Node of `leaf` and its callers, as the stack is now. */
  #stack(leaf: number, ip: number, isLong: boolean): number {
    const pointerBytes = isLong ? 8 : 4;
    const sp = this.#address(this.#at.rsp, isLong);
    const bp = this.#address(this.#at.rbp, isLong);
    return this.#nodeOf(leaf, ip, this.#unwinder.unwind(ip, sp, bp, pointerBytes, this.#frames));
  }

  /**
   * Node of `leaf` and the callers in #frames. These belong to `ip`, where control has gone from there: to a callee, back to the caller,
   * or on in the same function.
   */
  #nodeOf(leaf: number, ip: number, count: number): number {
    const frames = this.#frames;
    const symbols = this.#symbolsAt(leaf);
    const own = symbols?.indexOf(leaf) ?? -1;
    const isElsewhere = own >= 0 && !symbols!.holds(own, ip);
    const calls = isElsewhere && count > 0 && symbols!.holds(own, frames[0]!);
    this.#depth = 0;
    for (let n = count - 1; n >= (calls ? 1 : 0); n--) this.#descend(frames[n]!);
    if (isElsewhere && !calls && this.#unwinder.isBehindCall(ip)) this.#descend(ip);
    this.#descend(leaf);
    this.#pathLength = this.#depth;
    return this.#pathNodes[this.#depth - 1]!;
  }

  /** The kernel's or a module's. */
  #symbolsAt(address: number): SymbolTable | undefined {
    const { symbols, modules } = this.kernel;
    return address < 0 && symbols?.indexOf(address) === -1 ? modules.tableAt(address) : symbols;
  }

  /** One frame inwards. The outer ones are often those of the sample before, whose nodes are known. */
  #descend(address: number): void {
    const depth = this.#depth++;
    if (depth < this.#pathLength && this.#path[depth] === address) return;
    this.#pathLength = 0; // what lies further inwards belongs to other callers
    this.#path[depth] = address;
    this.#pathNodes[depth] = this.samples.stacks.child(depth === 0 ? ROOT : this.#pathNodes[depth - 1]!, address);
  }

  /** Number of the program that runs, by the name of its task or its page tables. */
  #programOf(isUser: boolean): number {
    const { kernel } = this;
    const name = kernel.nameAddress(kernel.currentTask());
    const key = (this.#words[this.#at.cr3]! & ~0xfff) + (isUser ? 1 : 0);
    if (key === this.#lastKey && this.#sameName(name)) return this.#program;
    this.#lastKey = key;
    for (let n = 0; n < 4; n++) this.#lastName[n] = this.#memory.u32(name + n * 4);
    const text = Number.isNaN(name) ? '' : kernel.taskName(name);
    return this.#numberOf(text === '' ? `page tables at 0x${(this.#words[this.#at.cr3]! & ~0xfff).toString(16)}` : text, isUser);
  }

  #sameName(name: number): boolean {
    for (let n = 0; n < 4; n++) if (this.#lastName[n] !== (this.#memory.u32(name + n * 4) | 0)) return false;
    return true;
  }

  #numberOf(name: string, isUser: boolean): number {
    const key = `${isUser ? 'u' : 'k'}${name}`;
    const known = this.#programNumbers.get(key);
    if (known !== undefined) return known;
    if (this.programs.length >= PROGRAMS_MAX) return 0;
    const number = this.programs.push({ name, isUser }) - 1;
    this.#programNumbers.set(key, number);
    return number;
  }

  /** The activity of a sample that fell into a garbage collection is that. */
  markCollections(collections: ReturnType<SampleClock['collections']>): void {
    const { samples } = this;
    const sorted = [...collections].sort((a, b) => a.beginNs - b.beginNs);
    let next = 0;
    for (let n = 0; n < samples.count; n++) {
      const atNs = samples.timesUs[n]! * 1000 + this.#beginNs;
      while (next < sorted.length && sorted[next]!.endNs < atNs) next++;
      const collection = sorted[next];
      if (collection !== undefined && collection.beginNs <= atNs) samples.activities[n] = ACTIVITY.GARBAGE;
    }
  }
}
