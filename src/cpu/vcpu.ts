// One vCPU on the machine thread: runs the interpreter in slices, has blocks translated when they are missing, and
// takes interrupts between blocks. It owns no time and no devices; they reach it through VcpuPorts.
import { assert } from '../base/assert.ts';
import { vcpuArea } from '../memory/memory-map.ts';
import type { CpuFeatures } from './x86/cpuid.ts';
import { cpuOffset, EXIT, MODE, MODE_BITS, REQUEST, SEGMENT_REGISTERS } from './x86/state.ts';
import { DEFAULT_REGION_OPTIONS, Regions, type RegionOptions } from './translator/regions.ts';
import { ACTIVITY, beginActivity, endActivity } from '../trace/activity.ts';
import { heldSince, loopNs } from '../trace/stalls.ts';
import { BlockTranslator } from './x86/translate.ts';

/** Buses and clock as the support module calls them: see assembly/host.ts. */
export interface VcpuPorts {
  mmioRead(physical: number, size: number): number;
  mmioWrite(physical: number, size: number, value: number): void;
  portRead(port: number, size: number): number;
  /** Runs of elements of `size` bytes: how many bytes the device took or gave; 0: element by element. */
  portReadRun(port: number, size: number, target: Uint8Array): number;
  portWriteRun(port: number, size: number, source: Uint8Array): number;
  portWrite(port: number, size: number, value: number): void;
  guestNanoseconds(): number;
  /** APIC MSRs: low and high halves are exchanged through `msrLow` and `msrHigh` of the vCPU. False raises #GP(0). */
  apicMsrRead(index: number): boolean;
  apicMsrWrite(index: number): boolean;
  taskPriorityRead(): number;
  taskPriorityWrite(value: number): void;
  randomU32(): number;
  traceInterrupt(vector: number, error: number, kind: number): void;
  /** Vector of the highest pending external interrupt, acknowledged; -1 when there is none after all. */
  acknowledgeInterrupt(): number;
}

export interface WasmModules {
  readonly support: WebAssembly.Module;
  readonly interpreter: WebAssembly.Module;
}

/** Functions of the support module that TypeScript calls. */
interface Support {
  insertBlock(block: number): void;
  flushBlocks(): void;
  codeWritten(physical: number, size: number): void;
  translateExecute(linear: bigint): bigint;
  deliverFault(): void;
  deliverFetchFault(cr2Before: bigint): void;
  deliverInterrupt(vector: number): void;
  deliverNmi(): void;
  resetCpu(): void;
  initCpu(): void;
  updateMode(): void;
  flushTlb(): void;
  readFlags(): number;
  writeFlags(bits: number): void;
  kick(): void;
  takeSample(answeredNs: number): number;
}

/** Why a slice ended. */
export type SliceEnd = 'budget' | 'halt' | 'shutdown' | 'request';

export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly access: number;
}

const EFLAGS_IF = 0x200;
const NMI_BLOCKED = 2;

export class Vcpu {
  readonly area: number;
  readonly u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #ports: VcpuPorts;
  #run!: () => void;
  readonly #memory: WebAssembly.Memory;
  readonly #interpreter: WebAssembly.Module;
  readonly support: Support;
  readonly translator: BlockTranslator;
  readonly regions: Regions;
  /** Instructions retired since reset. */
  instructions = 0;
  /** How often the executor came back. */
  exits = 0;
  /** What decoding took. */
  decodeMs = 0;
  decodedBlocks = 0;
  #sliceBudget = 0;
  /** Called with the address of every block decoded, for `-d op`. */
  traceDecoded: ((block: number) => void) | null = null;
  /** Called with the RIP of every block executed, for `-d exec`; the executor then runs one block at a time. */
  traceBlocks: ((rip: bigint) => void) | null = null;
  /** Called between blocks when a sample is asked for (the field sampleAsked); it takes that back. */
  onSample: (() => void) | null = null;
  /** Takes the notes of the counting interpreter, when they are full and when a slice has ended. */
  onNotes: (() => void) | null = null;
  /** Called with each reason why the executor came back. */
  onExit: ((reason: number) => void) | null = null;
  readonly #at = {
    request: cpuOffset('request'), budget: cpuOffset('executorBudget'), skipped: cpuOffset('budgetSkipped'),
    exitReason: cpuOffset('exitReason'),
    exitDetail: cpuOffset('exitDetail'), eflags: cpuOffset('eflags'), inhibit: cpuOffset('inhibit'), halted: cpuOffset('halted'),
    modeKey: cpuOffset('modeKey'), pendingStep: cpuOffset('pendingStep'), fault: cpuOffset('faultVector'),
    sampleAsked: cpuOffset('sampleAsked'),
  };

  constructor(index: number, memory: WebAssembly.Memory, modules: WasmModules, features: CpuFeatures, ports: VcpuPorts,
    regionOptions: RegionOptions = DEFAULT_REGION_OPTIONS) {
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.area = vcpuArea(index);
    this.#memory = memory;
    this.u32 = new Uint32Array(buffer);
    const bytes = new Uint8Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#view = new DataView(buffer, this.area, 64 * 1024);
    this.#ports = ports;
    const support = new WebAssembly.Instance(modules.support, {
      env: {
        memory,
        cpu: this.area,
        mmioRead: (physical: number, size: number) => ports.mmioRead(physical, size),
        mmioWrite: (physical: number, size: number, value: number) => ports.mmioWrite(physical, size, value >>> 0),
        portRead: (port: number, size: number) => ports.portRead(port, size),
        portWrite: (port: number, size: number, value: number) => ports.portWrite(port, size, value >>> 0),
        portReadRun: (port: number, size: number, host: number, count: number) =>
          ports.portReadRun(port, size, bytes.subarray(host >>> 0, (host >>> 0) + count)),
        portWriteRun: (port: number, size: number, host: number, count: number) =>
          ports.portWriteRun(port, size, bytes.subarray(host >>> 0, (host >>> 0) + count)),
        guestNanoseconds: () => ports.guestNanoseconds(),
        apicMsrRead: (msr: number) => (ports.apicMsrRead(msr) ? 1 : 0),
        apicMsrWrite: (msr: number) => (ports.apicMsrWrite(msr) ? 1 : 0),
        taskPriorityRead: () => ports.taskPriorityRead(),
        taskPriorityWrite: (value: number) => ports.taskPriorityWrite(value),
        randomU32: () => ports.randomU32(),
        regionLeftOften: (record: number) => this.regions.leftOften(record >>> 0),
        memberDropped: (block: number) => this.regions.memberDropped(block >>> 0),
        traceInterrupt: (vector: number, error: number, kind: number) => ports.traceInterrupt(vector, error >>> 0, kind),
      },
    });
    this.support = support.exports as unknown as Support;
    this.regions = new Regions(memory, this.area, support.exports, regionOptions);
    this.#interpreter = modules.interpreter;
    this.useInterpreter();
    this.translator = new BlockTranslator(buffer, { nextPage: () => this.#nextPage(), hasFeature: (name) => features.has(name) });
    this.#announce(features);
    this.reset();
  }

  /** From the next slice on; without a module the usual one. */
  useInterpreter(module = this.#interpreter): void {
    const { exports } = new WebAssembly.Instance(module, {
      env: { memory: this.#memory, cpu: this.area, regions: this.regions.table },
      support: this.support as unknown as Record<string, WebAssembly.ExportValue>,
    });
    this.#run = (exports as unknown as { run(): void }).run;
  }

  #announce(features: CpuFeatures): void {
    for (const [n, word] of features.words.entries()) this.set32(`cpuidFeature${n}`, word);
    const { vendor, brand } = features.model;
    for (let n = 0; n < 3; n++) this.set32(`vendor${n}`, textWord(vendor, n));
    for (let n = 0; n < 12; n++) this.set32(`brand${n}`, textWord(brand, n));
  }

  /** Power-on state (SDM 3A table 10-1). */
  reset(): void {
    this.support.resetCpu();
    this.#dropBlocks();
    this.set32('promoteAt', this.regions.options.promoteAt);
  }

  #dropBlocks(): void {
    this.support.flushBlocks();
    this.regions.forget();
    this.translator.resetArena();
  }

  /** The INIT signal: what is decoded stays, as memory does. */
  init(): void {
    this.support.initCpu();
  }

  get32(field: string): number {
    return this.#view.getUint32(cpuOffset(field), true);
  }
  set32(field: string, value: number): void {
    this.#view.setUint32(cpuOffset(field), value, true);
  }
  /** The upper half of a 64-bit field. */
  get32High(field: string): number {
    return this.#view.getUint32(cpuOffset(field) + 4, true);
  }
  get64(field: string): bigint {
    return this.#view.getBigUint64(cpuOffset(field), true);
  }
  set64(field: string, value: bigint): void {
    this.#view.setBigUint64(cpuOffset(field), BigInt.asUintN(64, value), true);
  }
  setSegment(name: (typeof SEGMENT_REGISTERS)[number], segment: Segment): void {
    this.set32(`${name}Selector`, segment.selector);
    this.set32(`${name}Access`, segment.access);
    this.set32(`${name}Limit`, segment.limit);
    this.set64(`${name}Base`, segment.base);
  }

  set traceInterrupts(on: boolean) {
    this.set32('traceInterrupts', on ? 1 : 0);
  }

  #word(offset: number): number {
    return this.#i32[(this.area + offset) >> 2]!;
  }
  #setWord(offset: number, value: number): void {
    this.#i32[(this.area + offset) >> 2] = value;
  }

  get interruptible(): boolean {
    return (this.#word(this.#at.eflags) & EFLAGS_IF) !== 0;
  }
  get halted(): boolean {
    return this.#word(this.#at.halted) !== 0;
  }

  /** An external interrupt may be deliverable, or an NMI is pending, or the machine thread wants the slice to end. */
  raise(request: number): void {
    this.#setWord(this.#at.request, this.#word(this.#at.request) | request);
    if (request !== REQUEST.INTERRUPT || this.interruptible) this.support.kick();
  }
  lowerInterrupt(): void {
    this.#setWord(this.#at.request, this.#word(this.#at.request) & ~REQUEST.INTERRUPT);
  }

  /** Whether a halted vCPU has a reason to go on. */
  get wakeable(): boolean {
    const request = this.#word(this.#at.request);
    return (request & REQUEST.NMI) !== 0 || ((request & REQUEST.INTERRUPT) !== 0 && this.interruptible);
  }

  /** Instructions executed in the slice under way, exact at block ends. */
  get instructionsNow(): number {
    return this.instructions + this.#sliceBudget - this.#word(this.#at.budget) - this.#word(this.#at.skipped);
  }

  #nextPage(): number {
    // The decoder asks for the page after the one RIP is in; RIP is that of the first instruction of the block.
    const rip = this.get64('rip');
    const base = (this.#word(this.#at.modeKey) & 3) === 2 ? 0n : this.get64('csBase');
    let linear = ((rip + base) & ~0xfffn) + 0x1000n;
    if ((this.#word(this.#at.modeKey) & 3) !== 2) linear &= 0xffffffffn;
    const physical = this.support.translateExecute(BigInt.asUintN(64, linear));
    return this.#word(this.#at.fault) >= 0 ? -1 : Number(physical & 0xffffffffn);
  }

  /** Runs about `budget` instructions: until the budget is used, the guest halts or shuts down, or a request asks for it. */
  runSlice(budget: number): SliceEnd {
    let left = budget;
    for (;;) {
      this.#setWord(this.#at.exitReason, -1);
      const inhibited = this.#takeRequests();
      if (this.#word(this.#at.exitReason) === EXIT.SHUTDOWN) return 'shutdown';
      if (this.#word(this.#at.request) & REQUEST.EXIT) {
        this.#setWord(this.#at.request, this.#word(this.#at.request) & ~REQUEST.EXIT);
        return 'request';
      }
      if (this.halted) return 'halt';
      const before = this.instructions;
      this.traceBlocks?.(this.get64('rip'));
      if (inhibited) this.#setWord(this.#at.modeKey, this.#word(this.#at.modeKey) | MODE.STEP); // one instruction, not a block
      const end = this.#runBlocks(inhibited || this.traceBlocks !== null ? 0 : left);
      if (inhibited) this.support.updateMode();
      if (this.#word(this.#at.sampleAsked) !== 0) this.onSample?.();
      left -= this.instructions - before;
      if (end === 'shutdown') return end;
      if (end === 'halt' && !this.wakeable) return end;
      if (left <= 0) return 'budget';
    }
  }

  /** Delivers what is pending and deliverable. Returns true when interrupts are held off for one more instruction. */
  #takeRequests(): boolean {
    const request = this.#word(this.#at.request);
    if ((request & (REQUEST.INTERRUPT | REQUEST.NMI)) === 0) return false;
    const inhibit = this.#word(this.#at.inhibit);
    if (this.#word(this.#at.pendingStep) !== 0 && !this.halted) return true;
    if ((inhibit & 1) !== 0 && !this.halted) {
      this.#setWord(this.#at.inhibit, inhibit & ~1);
      return true;
    }
    if ((request & REQUEST.NMI) !== 0 && (inhibit & NMI_BLOCKED) === 0) {
      this.#setWord(this.#at.request, request & ~REQUEST.NMI);
      this.#setWord(this.#at.halted, 0);
      this.support.deliverNmi();
    } else if ((request & REQUEST.INTERRUPT) !== 0 && this.interruptible) {
      const vector = this.#ports.acknowledgeInterrupt();
      if (vector >= 0) {
        this.#setWord(this.#at.halted, 0);
        this.support.deliverInterrupt(vector);
      } else this.lowerInterrupt();
    }
    return false;
  }

  #runBlocks(budget: number): 'budget' | 'halt' | 'shutdown' {
    this.#sliceBudget = budget;
    this.#setWord(this.#at.budget, budget);
    this.#setWord(this.#at.skipped, 0);
    let end: 'budget' | 'halt' | 'shutdown';
    for (;;) {
      this.#setWord(this.#at.exitReason, -1);
      const doing = beginActivity(ACTIVITY.INTERPRETER);
      this.#run();
      endActivity(doing);
      let reason = this.#word(this.#at.exitReason);
      if (reason === EXIT.NOTES) {
        this.onNotes?.();
        continue;
      }
      this.exits++;
      this.onExit?.(reason);
      if (reason === EXIT.DECODE) {
        this.#translate(this.u32[(this.area + this.#at.exitDetail) >> 2]!);
        reason = this.#word(this.#at.exitReason);
        if (reason !== EXIT.SHUTDOWN) continue;
      }
      if (reason === EXIT.PROMOTE) {
        const begun = loopNs();
        const former = beginActivity(ACTIVITY.TRANSLATING);
        this.regions.promote(this.u32[(this.area + this.#at.exitDetail) >> 2]!);
        endActivity(former);
        heldSince(begun, 'translator', 'region');
        continue;
      }
      end = reason === EXIT.HALT ? 'halt' : reason === EXIT.SHUTDOWN ? 'shutdown' : 'budget';
      break;
    }
    if (this.#word(this.#at.sampleAsked) === 0) this.#sliceEnded();
    this.onNotes?.();
    this.instructions = this.instructionsNow;
    this.#sliceBudget = 0;
    this.#setWord(this.#at.budget, 0);
    this.#setWord(this.#at.skipped, 0);
    return end;
  }

  #sliceEnded(): void {
    const doing = beginActivity(ACTIVITY.TRANSLATING);
    this.regions.sliceEnded();
    endActivity(doing);
  }

  #translate(physical: number): void {
    const doing = beginActivity(ACTIVITY.DECODING);
    const cr2 = this.get64('cr2');
    const begunNs = loopNs();
    const mode = this.#word(this.#at.modeKey) & ((1 << MODE_BITS) - 1);
    let result = this.translator.translate(physical, mode);
    if (result.kind === 'arena-full') {
      this.#dropBlocks();
      result = this.translator.translate(physical, mode);
      assert(result.kind !== 'arena-full', 'the arena holds a block');
    }
    if (result.kind === 'block') {
      this.support.insertBlock(result.address);
      this.decodedBlocks++;
      this.traceDecoded?.(result.address);
    } else this.support.deliverFetchFault(cr2); // a triple fault shows in exitReason
    this.decodeMs += heldSince(begunNs, 'translator', 'block') / 1e6;
    endActivity(doing);
  }
}

function textWord(text: string, n: number): number {
  let word = 0;
  for (let i = 3; i >= 0; i--) word = (word << 8) | (text.charCodeAt(n * 4 + i) || 0);
  return word >>> 0;
}
