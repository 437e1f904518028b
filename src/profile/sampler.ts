// Takes samples of the guest: where it was, in which mode, program and calls, together with what the machine's thread did. The moment is
// another thread's (ports/sample-clock.ts): it notes the activity and asks; the guest's part is a record that assembly/samples.ts adds at
// the next place where the executor stops for it, which lies in the same function (ARCHITECTURE.md, "The profile"). Here records become
// samples, many at a time. The guest chooses all that is in them.
import { cpuOffset } from '../cpu/x86/state.ts';
import { SAMPLE_NAME_BYTES } from '../memory/memory-map.ts';
import type { SampleClock } from '../ports/sample-clock.ts';
import { ACTIVITY, isForGuest } from '../trace/activity.ts';
import type { GuestMemory } from './guest-memory.ts';
import { LinuxKernel } from './linux-kernel.ts';
import { SampleRecords } from './sample-records.ts';
import { ROOT, Samples } from './samples.ts';
import type { SymbolSource, SymbolTable } from './symbols.ts';
import { FRAMES_MAX, Unwinder } from './unwinder.ts';

const PROGRAMS_MAX = 4096;
/** Guest code answers within microseconds. When it took longer, the host had something else to do with the processor. */
const ANSWER_NS_MAX = 0.4e6;
/** Records that wait at most, when all that looks for the kernel and its modules. */
const RECORDS_MAX = 200;
const NAME_WORDS = SAMPLE_NAME_BYTES / 4;

/** A part of a program: its own code, or the kernel's on its behalf. */
export interface Program {
  /** The task's name, or the address of its page tables. */
  readonly name: string;
  readonly isUser: boolean;
}

export class Sampler {
  readonly samples = new Samples();
  /** Records after which somebody must collect. */
  recordsMax = 1;
  readonly programs: Program[] = [{ name: '', isUser: false }];
  readonly kernel: LinuxKernel;
  readonly #memory: GuestMemory;
  readonly #words: Uint32Array;
  readonly #unwinder: Unwinder;
  readonly #records: SampleRecords;
  #symbols: SymbolTable | undefined;
  readonly #beginNs: number;
  readonly #frames = new Float64Array(FRAMES_MAX + 2);
  readonly #programNumbers = new Map<string, number>();
  /** The stack of the sample before, from the outside in, with its nodes. */
  readonly #path = new Float64Array(FRAMES_MAX + 2);
  readonly #pathNodes = new Int32Array(FRAMES_MAX + 2);
  #pathLength = 0;
  #depth = 0;
  #node = -1;
  #program = 0;
  readonly #lastName = new Int32Array(NAME_WORDS);
  #lastKey = Number.NaN;
  readonly #at: Readonly<Record<'copies' | 'nameOffset' | 'task' | 'interruptStack', number>>;

  constructor(memory: GuestMemory, area: number, symbols: SymbolSource | undefined, beginNs: number) {
    this.#memory = memory;
    this.#words = memory.words;
    this.#beginNs = beginNs;
    this.kernel = new LinuxKernel(memory, area, symbols);
    this.#unwinder = new Unwinder(memory, this.kernel.modules);
    this.#records = new SampleRecords(memory.words, area);
    const at = (field: string): number => (area + cpuOffset(field)) >> 2;
    this.#at = {
      copies: at('sampleCopies'), nameOffset: at('sampleNameOffset'), task: at('sampleTask'), interruptStack: at('sampleInterruptStack'),
    };
    this.#forget();
  }

  /** Drops what a sampler of this machine before has left. */
  #forget(): void {
    this.#records.clear();
    this.#words[this.#at.copies] = 0;
    this.#storeAddress(this.#at.task, Number.NaN);
    this.#storeAddress(this.#at.interruptStack, Number.NaN);
  }

  /** Makes samples of all records. Until then they have no stack and are in no table. */
  collect(clock: SampleClock): void {
    const records = this.#records;
    this.#look();
    this.#memory.begin(this.kernel.tables);
    while (records.next()) {
      this.#node = -1;
      clock.drain(records.noted, this.#add);
    }
    this.#memory.begin();
    records.clear();
  }

  /** Looks for the kernel and its modules, and tells those who keep records what is known. */
  #look(): void {
    this.recordsMax = this.kernel.look() ? 1 : RECORDS_MAX;
    this.kernel.modules.refresh();
    const { symbols } = this.kernel;
    if (symbols === undefined) return;
    this.#storeAddress(this.#at.interruptStack, this.kernel.interruptStackAt());
    if (symbols === this.#symbols) return;
    this.#symbols = symbols;
    this.#unwinder.use(symbols);
    this.#words[this.#at.copies] = this.#unwinder.hasTables ? 1 : 0;
    this.#words[this.#at.nameOffset] = Math.max(0, this.kernel.nameOffset);
    this.#storeAddress(this.#at.task, this.kernel.nameOffset < 0 ? Number.NaN : this.kernel.currentTaskAt);
  }

  /** 0 for one that is not known. */
  #storeAddress(at: number, address: number): void {
    this.#words[at] = address >>> 0;
    this.#words[at + 1] = Math.floor(address / 0x1_0000_0000) >>> 0;
  }

  readonly #add = (atNs: number, activity: number): void => {
    const timeUs = (atNs - this.#beginNs) / 1000;
    const wasWaiting = (activity === ACTIVITY.REGION || activity === ACTIVITY.INTERPRETER)
      && this.#records.answeredNs - atNs > ANSWER_NS_MAX;
    if (wasWaiting) return this.samples.add(timeUs, ROOT, ACTIVITY.WAITING, 0);
    if (!isForGuest(activity)) return this.samples.add(timeUs, ROOT, activity, 0);
    if (this.#node < 0) this.#readRecord();
    this.samples.add(timeUs, this.#node, activity, this.#program);
  };

  #readRecord(): void {
    const records = this.#records;
    const { leaf, ip } = records;
    this.#program = this.#programOf(this.#isUser(leaf, ip));
    this.#node = this.#nodeOf(leaf, ip, records.hasStack ? this.#unwinder.unwind(records, records, this.#frames) : this.#callers(ip));
  }

  /** The mode of the code at `leaf`, which may have just gone over into the other one. */
  #isUser(leaf: number, ip: number): boolean {
    return this.#records.isLong && leaf < 0 !== ip < 0 ? leaf >= 0 : this.#records.isUser;
  }

  /** By frame pointers. At its first instruction a function has no frame of its own yet. */
  #callers(ip: number): number {
    const { caller } = this.#records;
    const hasNoFrame = caller !== 0 && (this.kernel.symbols?.begins(ip) ?? false);
    if (hasNoFrame) this.#frames[0] = caller;
    return this.#records.copyFrames(this.#frames, hasNoFrame ? 1 : 0);
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

  /** Number of the program that ran, by the name of its task or its page tables. */
  #programOf(isUser: boolean): number {
    const { tables } = this.#records;
    const key = tables + (isUser ? 1 : 0);
    if (key === this.#lastKey && this.#hasLastName()) return this.#program;
    this.#lastKey = key;
    for (let n = 0; n < NAME_WORDS; n++) this.#lastName[n] = this.#records.nameWord(n);
    const { name } = this.#records;
    return this.#numberOf(name === '' ? `page tables at 0x${tables.toString(16)}` : name, isUser);
  }

  #hasLastName(): boolean {
    for (let n = 0; n < NAME_WORDS; n++) if (this.#lastName[n] !== (this.#records.nameWord(n) | 0)) return false;
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
