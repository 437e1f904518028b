// A processor without a machine, for tests of the support module: one vCPU area, a little RAM, ports and MMIO that record.
// Not the executor: tests call helpers one by one, with operands in IR temporaries.
import { GUEST_RAM, PHYS, PHYS_MAP, vcpuArea } from '../memory/memory-map.ts';
import { cpuOffset, SEGMENT_REGISTERS } from './x86/state.ts';

const WASM_PAGE = 65536;
const RAM_BYTES = 8 * 1024 * 1024;
const INITIAL_PAGES = 2560 + RAM_BYTES / WASM_PAGE;

type ImportValue = number | WebAssembly.Memory | ((...args: number[]) => number | void);
type SegmentName = (typeof SEGMENT_REGISTERS)[number];
export interface Fault {
  readonly vector: number;
  readonly error: number | undefined;
}

/** Where the build puts the support module, seen from a compiled test of this folder. */
export const SUPPORT_WASM = new URL('../../wasm/support.wasm', import.meta.url);

/** A register by name, or a value that is put into a temporary. */
interface Operands {
  readonly d?: string;
  readonly a?: bigint | string;
  readonly b?: bigint | string;
  readonly imm?: number;
}

export class SupportBench {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** What reached the bus, in order. */
  readonly log: string[] = [];
  /** What the bus and the ports answer. */
  busValue = 0;
  nanoseconds = 0;
  readonly #area = vcpuArea(0);
  readonly #functions: Record<string, (...args: never[]) => unknown>;

  constructor(support: WebAssembly.Module) {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: 65536, shared: true });
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.#functions = new WebAssembly.Instance(support, { env: this.#environment(support, memory) }).exports as never;
    this.mapRam(0, RAM_BYTES, PHYS.READABLE | PHYS.WRITABLE);
    this.call('resetCpu');
  }

  /** Imports of other parts of the module are answered by functions that return 0. */
  #environment(support: WebAssembly.Module, memory: WebAssembly.Memory): Record<string, ImportValue> {
    const imports: Record<string, ImportValue> = {};
    for (const { name, kind } of WebAssembly.Module.imports(support)) if (kind === 'function') imports[name] = () => 0;
    const hex = (value: number): string => (value < 0 ? value >>> 0 : value).toString(16);
    const note = (what: string, at: number, size: number, value?: number): number => {
      this.log.push(`${what}${size} ${hex(at)}${value === undefined ? '' : ` ${hex(value)}`}`);
      return this.busValue;
    };
    return Object.assign(imports, {
      memory,
      cpu: this.#area,
      mmioRead: (at: number, size: number) => note('read', at, size),
      mmioWrite: (at: number, size: number, value: number) => void note('write', at, size, value),
      portRead: (at: number, size: number) => note('in', at, size),
      portWrite: (at: number, size: number, value: number) => void note('out', at, size, value),
      portReadRun: (_port: number, size: number, host: number, bytes: number) => this.#portRun(size, host >>> 0, bytes, true),
      portWriteRun: (_port: number, size: number, host: number, bytes: number) => this.#portRun(size, host >>> 0, bytes, false),
      guestNanoseconds: () => this.nanoseconds,
    });
  }

  /** Bytes that a device with a data port still has or takes as runs; 0: it wants to be asked element by element. */
  runBytes = 0;

  #portRun(size: number, host: number, bytes: number, read: boolean): number {
    const moved = Math.min(bytes, this.runBytes) & -size;
    for (let at = 0; read && at < moved; at++) this.view.setUint8(host + at, at);
    this.runBytes -= moved;
    return moved;
  }

  mapRam(physical: number, bytes: number, flags: number): void {
    for (let at = physical; at < physical + bytes; at += 4096) {
      this.view.setUint32(PHYS_MAP + (at >>> 12) * 4, (GUEST_RAM + at) | flags, true);
    }
  }

  call(name: string, ...args: readonly (number | bigint)[]): unknown {
    return this.#functions[name]!(...(args as never[]));
  }
  /** A helper op; operands are values put into temporaries, or names of registers. Returns the fault it raised. */
  help(name: string, { d = 'tmp0', a = 0n, b = 0n, imm = 0 }: Operands = {}): Fault | undefined {
    const slot = (operand: bigint | string, temporary: string): number => {
      if (typeof operand === 'string') return this.#area + cpuOffset(operand);
      this.set(temporary, operand);
      return this.#area + cpuOffset(temporary);
    };
    this.call(name, this.#area + cpuOffset(d), slot(a, 'tmp1'), slot(b, 'tmp2'), imm);
    return this.takeFault();
  }
  takeFault(): Fault | undefined {
    const vector = this.view.getInt32(this.#area + cpuOffset('faultVector'), true);
    if (vector < 0) return undefined;
    const error = this.get32('faultHasError') !== 0 ? this.get32('faultError') : undefined;
    this.set32('faultVector', -1);
    return { vector, error };
  }

  get(name: string): bigint {
    return this.view.getBigUint64(this.#area + cpuOffset(name), true);
  }
  set(name: string, value: bigint): void {
    this.view.setBigUint64(this.#area + cpuOffset(name), BigInt.asUintN(64, value), true);
  }
  get32(name: string): number {
    return this.view.getUint32(this.#area + cpuOffset(name), true);
  }
  set32(name: string, value: number): void {
    this.view.setUint32(this.#area + cpuOffset(name), value >>> 0, true);
  }
  setSegment(name: SegmentName, selector: number, base: bigint, limit: number, access: number): void {
    this.set(`${name}Base`, base);
    this.set32(`${name}Limit`, limit);
    this.set32(`${name}Selector`, selector);
    this.set32(`${name}Access`, access);
  }
  selector(name: SegmentName): number {
    return this.get32(`${name}Selector`);
  }
  /** OF SF ZF AF PF CF. */
  get flags(): number {
    return this.call('readFlags') as number;
  }

  peek(physical: number, size: 1 | 2 | 4 | 8): bigint {
    const at = GUEST_RAM + physical;
    if (size === 8) return this.view.getBigUint64(at, true);
    return BigInt(size === 4 ? this.view.getUint32(at, true) : size === 2 ? this.view.getUint16(at, true) : this.view.getUint8(at));
  }
  poke(physical: number, size: 1 | 2 | 4 | 8, value: bigint | number): void {
    for (let n = 0; n < size; n++) this.bytes[GUEST_RAM + physical + n] = Number((BigInt(value) >> BigInt(8 * n)) & 0xffn);
  }
  read(linear: bigint, size: number): bigint {
    return BigInt.asUintN(64, this.call('readMemory', BigInt.asIntN(64, linear), size) as bigint);
  }
  write(linear: bigint, size: number, value: bigint): void {
    this.call('writeMemory', BigInt.asIntN(64, linear), size, value);
  }
}

/** A descriptor for flat() tables: base, limit in its own units, access as state.ts has it. */
export function descriptor(base: number, limit: number, access: number): bigint {
  const low = (BigInt(base & 0xffff) << 16n) | BigInt(limit & 0xffff);
  const high = ((base >>> 16) & 0xff) | ((access & 0xff) << 8) | (limit & 0xf0000) | ((access & 0xf000) << 8) | (base & 0xff000000);
  return low | (BigInt(high >>> 0) << 32n);
}

/** Where the tables of protectedMode() and longMode() lie. */
export const TABLES = { gdt: 0x1000, idt: 0x2000, tss: 0x3000, otherTss: 0x4000, pageTables: 0x10000 } as const;
/** Selectors of the GDT. */
export const SELECTOR = {
  code0: 0x08, data0: 0x10, code3: 0x1b, data3: 0x23, code64: 0x28, code64User: 0x33, tss: 0x38, otherTss: 0x48, gate: 0x50, absent: 0x60,
  code16: 0x68,
} as const;

/** 32-bit protected mode without paging, flat segments, CPL 0, stack at 0x8000. */
export function protectedMode(bench: SupportBench): void {
  const flat = 0xfffff;
  const entries: Record<number, bigint> = {
    [SELECTOR.code0]: descriptor(0, flat, 0xc09b),
    [SELECTOR.data0]: descriptor(0, flat, 0xc093),
    [SELECTOR.code3 & ~3]: descriptor(0, flat, 0xc0fb),
    [SELECTOR.data3 & ~3]: descriptor(0, flat, 0xc0f3),
    [SELECTOR.code64]: descriptor(0, flat, 0xa09b),
    [SELECTOR.code64User & ~3]: descriptor(0, flat, 0xa0fb),
    [SELECTOR.tss]: descriptor(TABLES.tss, 0x167, 0x89),
    [SELECTOR.otherTss]: descriptor(TABLES.otherTss, 0x67, 0x89),
    [SELECTOR.absent]: descriptor(0, flat, 0xc013),
    [SELECTOR.code16]: descriptor(0, 0xffff, 0x9b),
  };
  for (const [selector, bits] of Object.entries(entries)) bench.poke(TABLES.gdt + Number(selector), 8, bits);
  bench.set('gdtrBase', BigInt(TABLES.gdt));
  bench.set32('gdtrLimit', 0xff);
  bench.set('idtrBase', BigInt(TABLES.idt));
  bench.set32('idtrLimit', 0xfff);
  bench.set('cr0', 0x11n);
  bench.setSegment('cs', SELECTOR.code0, 0n, 0xffffffff, 0xc09b);
  for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) bench.setSegment(name, SELECTOR.data0, 0n, 0xffffffff, 0xc093);
  bench.setSegment('tr', SELECTOR.tss, BigInt(TABLES.tss), 0x167, 0x8b);
  bench.set('rsp', 0x8000n);
  bench.call('updateMode');
}

/** The same segments at CPL 3. */
export function enterUser(bench: SupportBench, code: number = SELECTOR.code3): void {
  bench.setSegment('cs', code, 0n, 0xffffffff, code === SELECTOR.code64User ? 0xa0fb : 0xc0fb);
  for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) bench.setSegment(name, SELECTOR.data3, 0n, 0xffffffff, 0xc0f3);
  bench.call('updateMode');
}

/** Bits of a page table entry. */
export const PAGE = {
  PRESENT: 1n, WRITABLE: 2n, USER: 4n, ACCESSED: 0x20n, DIRTY: 0x40n, LARGE: 0x80n, GLOBAL: 0x100n, NX: 1n << 63n,
} as const;

/** 64-bit mode at CPL 0. The first 2 MiB are mapped to themselves as 4 KiB user pages; level 1 lies at pageTables + 0x3000. */
export function longMode(bench: SupportBench): void {
  protectedMode(bench);
  const all = PAGE.PRESENT | PAGE.WRITABLE | PAGE.USER;
  const table = TABLES.pageTables;
  for (let level = 0; level < 3; level++) bench.poke(table + level * 0x1000, 8, BigInt(table + (level + 1) * 0x1000) | all);
  for (let page = 0; page < 512; page++) bench.poke(table + 0x3000 + page * 8, 8, (BigInt(page) << 12n) | all);
  bench.set('cr3', BigInt(table));
  bench.set('cr4', 0xa0n);
  bench.set('efer', 0xd01n);
  bench.set('cr0', 0x80010011n);
  bench.setSegment('cs', SELECTOR.code64, 0n, 0xffffffff, 0xa09b);
  bench.call('updateMode');
  bench.call('flushTlb');
}

/** Address of the level-1 entry of a page in the first 2 MiB, in longMode(). */
export const pageEntryAt = (linear: number): number => TABLES.pageTables + 0x3000 + (linear >>> 12) * 8;

interface GateOptions {
  readonly type?: number;
  readonly dpl?: number;
  readonly ist?: number;
  readonly long?: boolean;
}

/** Writes a 32-bit gate (type 14 interrupt, 15 trap) or, with `long`, a 64-bit one. */
export function setGate(bench: SupportBench, vector: number, selector: number, offset: number, options: GateOptions = {}): void {
  const { type = 14, dpl = 0, ist = 0, long = false } = options;
  const high = ((offset & 0xffff0000) | 0x8000 | (dpl << 13) | (type << 8) | ist) >>> 0;
  const at = TABLES.idt + vector * (long ? 16 : 8);
  bench.poke(at, 8, (BigInt(high) << 32n) | BigInt(((selector << 16) | (offset & 0xffff)) >>> 0));
  if (long) bench.poke(at + 8, 8, 0);
}
