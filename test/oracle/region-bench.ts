// A vCPU for programs of region-program.ts: page tables in two versions, an IDT whose gates all lead to HLT, so that the host sees
// every exception and event, acts, and goes on with IRETQ. Two of these, one interpreting and one translating, run the same program
// step by step (region-difference.ts). No machine; the one device is a page of MMIO that counts its accesses.
import { assert } from '../../src/base/assert.ts';
import type { RegionOptions } from '../../src/cpu/translator/regions.ts';
import { Vcpu, type VcpuPorts, type WasmModules } from '../../src/cpu/vcpu.ts';
import type { CpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { CPU_FIELDS, GENERAL_REGISTERS, REQUEST } from '../../src/cpu/x86/state.ts';
import { GUEST_RAM, PAGE_BYTES, PAGE_SHIFT, PHYS, PHYS_MAP } from '../../src/memory/memory-map.ts';
import { LAYOUT, STACK_START, type RegionProgram } from './region-program.ts';
import { loadVectors } from './vector-image.ts';

const RAM_BYTES = 4 * 1024 * 1024;
const KERNEL = 0xffff_8000_0000_0000n;
/** Guest-physical addresses. The first 2 MiB are mapped for the supervisor at KERNEL; two sets of user tables. */
const AT = {
  PML4: [0x1000, 0x7000], PDPT: [0x2000, 0x8000], PD: [0x3000, 0x9000], PT: [0x4000, 0xa000], KERNEL_PDPT: 0x5000, KERNEL_PD: 0x6000,
  GDT: 0x10000, IDT: 0x11000, TSS: 0x13000, STUBS: 0x14000, ROUTINES: 0x15000, ARGUMENT: 0x16000, STACK_TOP: 0x20000,
  TWINS: 0x250000, // what tree 1 has in the place of some code pages
} as const;
/** What programs, and page tables, may write to. */
const USED = [[0, AT.STACK_TOP], [LAYOUT.CODE, AT.TWINS + LAYOUT.CODE_PAGES * PAGE_BYTES]] as const;
const TABLES = { START: 0x1000, BYTES: 0xa000 } as const;
const MMIO_PHYSICAL = 0x80000000;
const PTE = { P: 1n, RW: 2n, US: 4n, A: 0x20n, D: 0x40n, PS: 0x80n, NX: 1n << 63n } as const;
export const PTE_FLIPS: readonly bigint[] = [PTE.P, PTE.P, PTE.RW, PTE.US, PTE.NX];
export const INTERRUPT_VECTOR = 0x60;
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const DESCRIPTORS = [
  0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cf9b000000ffffn, 0x00cffb000000ffffn, 0x00cff3000000ffffn, 0x00affb000000ffffn,
];
/** Selectors of code and stack by bits and privilege. */
const SELECTORS = { 64: { 0: [0x08, 0x10], 3: [0x33, 0x2b] }, 32: { 0: [0x18, 0x10], 3: [0x23, 0x2b] } } as const;
/** IRETQ; with CR3 or INVLPG before it. */
const ROUTINE = { iret: 0, cr3: 16, invlpg: 64 } as const;
const moveArgument = [0x50, 0x48, 0xa1, 0, 0x60, 1, 0, 0, 0x80, 0xff, 0xff]; // PUSH RAX; MOV RAX, [KERNEL + ARGUMENT]
const RETURN = [0x58, 0x48, 0xcf]; // POP RAX; IRETQ
const ROUTINES: readonly (readonly [number, readonly number[]])[] = [
  [ROUTINE.iret, [0x48, 0xcf]],
  [ROUTINE.cr3, [...moveArgument, 0x0f, 0x22, 0xd8, ...RETURN]],
  [ROUTINE.invlpg, [...moveArgument, 0x0f, 0x01, 0x38, ...RETURN]],
];

/** Not compared: where the lazy flags are is each executor's own, the rest is the frame's. */
const NOT_COMPARED = new Set(['ccA', 'ccB', 'ccOp', 'eflags', 'halted']);
const COMPARED = CPU_FIELDS.filter(({ name, saved }) => saved && !NOT_COMPARED.has(name));
const WIDTH_BYTES = { u8: 1, u16: 2, u32: 4, u64: 8, u128: 16, u256: 32 } as const;
const MEMORY: readonly (readonly [name: string, start: number, pages: number])[] = [
  ['code', LAYOUT.CODE, LAYOUT.CODE_PAGES], ['twin code', AT.TWINS, LAYOUT.CODE_PAGES], ['data', LAYOUT.DATA, LAYOUT.DATA_PAGES],
  ['read-only', LAYOUT.READ_ONLY, 1], ['stack', LAYOUT.STACK, LAYOUT.STACK_PAGES], ['control', LAYOUT.CONTROL, 1],
];

/** What a return from an exception loads. */
export interface Frame {
  rip: bigint;
  cs: number;
  flags: number;
  rsp: bigint;
  ss: number;
}
export type Stop = number | 'limit' | 'shutdown';

/** What happens at an event, to both alike. */
export type Action =
  | { readonly kind: 'none' }
  | { readonly kind: 'dma'; readonly physical: number; readonly bytes: readonly number[] }
  | { readonly kind: 'pte'; readonly linear: number; readonly flip: bigint; readonly byCr3: boolean }
  | { readonly kind: 'repair'; readonly linear: number }
  | { readonly kind: 'tree' }
  | { readonly kind: 'frame'; readonly change: (frame: Frame) => void };

/** Where the slices of a run end, and what is done to the translator meanwhile; nothing of it may be seen by the program. */
export interface Disturbance {
  sliceInstructions(): number;
  wantsInterrupt(): boolean;
  inInterrupt(bench: RegionBench): void;
}

export interface StepStart {
  readonly entry: number;
  readonly bits: 32 | 64;
  readonly privilege: 0 | 3;
  readonly flags: number;
  readonly registers: BigUint64Array;
  /** Without it x87 and vectors stay as they are. */
  readonly fxsave: Uint8Array | undefined;
}

export class RegionBench {
  readonly vcpu: Vcpu;
  readonly #ram: Uint8Array;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly #area: DataView;
  readonly #state: Uint8Array;
  #interruptPending = false;
  /** Accesses to the MMIO page, as a running hash. */
  #mmioHash = 0;
  tree = 0;

  constructor(modules: WasmModules, features: CpuFeatures, regions: RegionOptions) {
    const memory = new WebAssembly.Memory({ initial: (GUEST_RAM + RAM_BYTES) / 65536, maximum: 65536, shared: true });
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.#ram = new Uint8Array(buffer, GUEST_RAM, RAM_BYTES);
    this.#view = new DataView(buffer, GUEST_RAM, RAM_BYTES);
    this.#words = new Uint32Array(buffer, GUEST_RAM, RAM_BYTES / 4);
    const physicalMap = new Uint32Array(buffer, PHYS_MAP, RAM_BYTES >> PAGE_SHIFT);
    physicalMap.forEach((_, page) => (physicalMap[page] = (GUEST_RAM + page * PAGE_BYTES) | PHYS.READABLE | PHYS.WRITABLE));
    this.vcpu = new Vcpu(0, memory, modules, features, this.#ports(), regions);
    this.#area = new DataView(buffer, this.vcpu.area, 64 * 1024);
    this.#state = new Uint8Array(buffer, this.vcpu.area, 64 * 1024);
  }

  #ports(): VcpuPorts {
    const access = (physical: number, size: number, value: number): number =>
      (this.#mmioHash = Math.imul(this.#mmioHash ^ physical ^ (size << 28) ^ value, 0x9e3779b1) ^ (this.#mmioHash >>> 13));
    return {
      mmioRead: (physical, size) => access(physical, size, 1),
      mmioWrite: (physical, size, value) => void access(physical, size, value ^ 0x5555),
      portRead: () => 0xffffffff, portWrite: () => undefined, portReadRun: () => 0, portWriteRun: () => 0,
      guestNanoseconds: () => 0, apicMsrRead: () => false,
      apicMsrWrite: () => false, taskPriorityRead: () => 0, taskPriorityWrite: () => undefined, randomU32: () => 0,
      traceInterrupt: () => undefined,
      acknowledgeInterrupt: () => {
        const vector = this.#interruptPending ? INTERRUPT_VECTOR : -1;
        this.#interruptPending = false;
        this.vcpu.lowerInterrupt();
        return vector;
      },
    };
  }

  // Beginning ------------------------------------------------------------------------------------------------------------

  load({ code, control }: RegionProgram, data: Uint8Array, twin: Uint8Array): void {
    this.vcpu.set64('zero', 0n);
    for (const [start, end] of USED) this.#ram.fill(0, start, end);
    this.#mmioHash = 0;
    this.tree = 0;
    this.#interruptPending = false;
    this.#ram.set(code, LAYOUT.CODE);
    this.#ram.set(twin, AT.TWINS);
    this.#ram.set(control, LAYOUT.CONTROL);
    this.#ram.set(data, LAYOUT.DATA);
    this.#ram.set(data.subarray(0, PAGE_BYTES), LAYOUT.READ_ONLY);
    this.#writePageTables();
    this.#writeDescriptorTables();
    this.vcpu.reset();
    this.#setSystemRegisters();
  }

  /** The entry of a user page as it is when nothing has been done to it; undefined for what is never mapped. */
  #defaultEntry(tree: number, linear: number): bigint | undefined {
    const { P, RW, US, NX } = PTE;
    const inside = (start: number, pages: number): number => (linear >= start && linear < start + pages * PAGE_BYTES ? linear - start : -1);
    for (const base of [LAYOUT.CODE, LAYOUT.ALIAS]) {
      const offset = inside(base, LAYOUT.CODE_PAGES);
      const isTwin = tree === 1 && ((offset >> PAGE_SHIFT) & 1) === 1;
      if (offset >= 0) return BigInt((isTwin ? AT.TWINS : LAYOUT.CODE) + offset) | P | RW | US;
    }
    const own = BigInt(linear) | P | US | NX;
    if (inside(LAYOUT.DATA, LAYOUT.DATA_PAGES) >= 0 || inside(LAYOUT.STACK, LAYOUT.STACK_PAGES) >= 0) return own | RW;
    if (inside(LAYOUT.CONTROL, 1) >= 0) return own | RW;
    if (inside(LAYOUT.READ_ONLY, 1) >= 0) return own;
    return inside(LAYOUT.MMIO, 1) >= 0 ? BigInt(MMIO_PHYSICAL) | P | US | RW | NX : undefined;
  }

  #writePageTables(): void {
    const { P, RW, US, A, D, PS } = PTE;
    const entry = (table: number, index: number, value: bigint): void => this.#view.setBigUint64(table + 8 * index, value, true);
    for (const tree of [0, 1]) {
      entry(AT.PML4[tree]!, 0, BigInt(AT.PDPT[tree]!) | P | RW | US | A);
      entry(AT.PDPT[tree]!, 0, BigInt(AT.PD[tree]!) | P | RW | US | A);
      entry(AT.PD[tree]!, 1, BigInt(AT.PT[tree]!) | P | RW | US | A);
      entry(AT.PML4[tree]!, 256, BigInt(AT.KERNEL_PDPT) | P | RW | A);
      for (let index = 0; index < 512; index++) entry(AT.PT[tree]!, index, this.#defaultEntry(tree, 0x200000 + index * PAGE_BYTES) ?? 0n);
    }
    entry(AT.KERNEL_PDPT, 0, BigInt(AT.KERNEL_PD) | P | RW | A);
    entry(AT.KERNEL_PD, 0, PS | P | RW | A | D);
  }

  #writeDescriptorTables(): void {
    DESCRIPTORS.forEach((descriptor, n) => this.#view.setBigUint64(AT.GDT + 8 * n, descriptor, true));
    this.#view.setBigUint64(AT.TSS + 0x24, KERNEL + BigInt(AT.STACK_TOP), true); // IST1
    this.#view.setUint16(AT.TSS + 0x66, 0xffff, true);
    for (let vector = 0; vector < 256; vector++) {
      const gate = AT.IDT + 16 * vector, handler = AT.STUBS + vector;
      this.#ram[handler] = 0xf4;
      this.#view.setUint16(gate, handler & 0xffff, true);
      this.#view.setUint16(gate + 2, 8, true);
      this.#view.setUint16(gate + 4, 0x8e01 | (vector === 3 || vector === 4 || vector >= 0x50 ? 0x6000 : 0), true);
      this.#view.setUint16(gate + 6, handler >> 16, true);
      this.#view.setUint32(gate + 8, Number(KERNEL >> 32n), true);
    }
    for (const [at, bytes] of ROUTINES) this.#ram.set(bytes, AT.ROUTINES + at);
  }

  #setSystemRegisters(): void {
    const { vcpu } = this;
    vcpu.set64('cr0', 0x80050033n); // PG AM WP NE ET MP PE
    vcpu.set64('cr3', BigInt(AT.PML4[0]));
    vcpu.set64('cr4', 0x106a0n); // FSGSBASE OSXMMEXCPT OSFXSR PGE PAE
    vcpu.set64('efer', 0xd01n);
    vcpu.set64('gdtrBase', KERNEL + BigInt(AT.GDT));
    vcpu.set32('gdtrLimit', 8 * DESCRIPTORS.length - 1);
    vcpu.set64('idtrBase', KERNEL + BigInt(AT.IDT));
    vcpu.set32('idtrLimit', 0xfff);
    vcpu.setSegment('tr', { selector: 0x40, base: KERNEL + BigInt(AT.TSS), limit: 0x67, access: 0x8b });
    vcpu.setSegment('cs', { selector: 8, base: 0n, limit: 0xffffffff, access: 0xa09b });
    for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) {
      const [selector, access] = name === 'ss' ? [0x10, 0xc093] : [0x2b, 0xc0f3];
      vcpu.setSegment(name, { selector, base: 0n, limit: 0xffffffff, access });
    }
    vcpu.set64('fsBase', BigInt(LAYOUT.DATA));
    vcpu.support.updateMode();
    vcpu.support.flushTlb();
  }

  /** Sets the stage for a function; `resume` begins it. */
  beginStep({ entry, bits, privilege, flags, registers, fxsave }: StepStart): void {
    const { vcpu } = this;
    const stack = STACK_START - 8;
    const isAlias = entry >= LAYOUT.ALIAS;
    this.#view.setBigUint64(stack, BigInt(isAlias ? LAYOUT.ALIAS : LAYOUT.CODE), true);
    GENERAL_REGISTERS.forEach((name, n) => vcpu.set64(name, registers[n]!));
    if (fxsave !== undefined) loadVectors(this.#area, { fxsave });
    const [cs, ss] = SELECTORS[bits][privilege];
    vcpu.set64('rsp', KERNEL + BigInt(AT.STACK_TOP - 40));
    this.writeFrame({ rip: BigInt(entry), cs, flags: flags | 0x202, rsp: BigInt(stack), ss });
  }

  // Stops ----------------------------------------------------------------------------------------------------------------

  get #frameAt(): number {
    return Number(this.vcpu.get64('rsp') - KERNEL);
  }

  readFrame(): Frame {
    const at = this.#frameAt, view = this.#view;
    return {
      rip: view.getBigUint64(at, true), cs: view.getUint32(at + 8, true), flags: view.getUint32(at + 16, true),
      rsp: view.getBigUint64(at + 24, true), ss: view.getUint32(at + 32, true),
    };
  }

  writeFrame({ rip, cs, flags, rsp, ss }: Frame): void {
    const at = this.#frameAt, view = this.#view;
    [rip, BigInt(cs), BigInt(flags), rsp, BigInt(ss)].forEach((word, n) => view.setBigUint64(at + 8 * n, word, true));
  }

  /** Runs from the last stop to the next; the error code is popped. */
  run(limit: number, disturbance?: Disturbance): { readonly stop: Stop; readonly errorCode: number } {
    const { vcpu } = this;
    const end = vcpu.instructions + limit;
    while (vcpu.instructions < end) {
      const result = vcpu.runSlice(disturbance?.sliceInstructions() ?? limit);
      if (result === 'shutdown') return { stop: 'shutdown', errorCode: 0 };
      if (result === 'halt') {
        const vector = Number(vcpu.get64('rip') - KERNEL) - 1 - AT.STUBS;
        assert(vector >= 0 && vector < 256, 'halted in a stub');
        if (vector !== INTERRUPT_VECTOR) return { stop: vector, errorCode: this.#popErrorCode(vector) };
        disturbance?.inInterrupt(this);
        this.#goOn(ROUTINE.iret);
      } else if (disturbance?.wantsInterrupt() === true) {
        this.#interruptPending = true;
        vcpu.raise(REQUEST.INTERRUPT);
      }
    }
    return { stop: 'limit', errorCode: 0 };
  }

  #popErrorCode(vector: number): number {
    if (!HAS_ERROR_CODE.has(vector)) return 0;
    const errorCode = this.#view.getUint32(this.#frameAt, true);
    this.vcpu.set64('rsp', this.vcpu.get64('rsp') + 8n);
    return errorCode;
  }

  #goOn(routine: number): void {
    this.vcpu.set32('halted', 0);
    this.vcpu.set64('rip', KERNEL + BigInt(AT.ROUTINES + routine));
  }

  /** Whether a page fault at `linear` comes from what was done to its page. */
  isDamaged(linear: bigint): boolean {
    if (linear < 0x200000n || linear >= 0x400000n) return false;
    const page = Number(linear) & ~(PAGE_BYTES - 1);
    const expected = this.#defaultEntry(this.tree, page);
    return expected !== undefined && (this.#entry(page) & ~(PTE.A | PTE.D)) !== expected;
  }

  #entryAt(linear: number): number {
    return AT.PT[this.tree]! + 8 * ((linear >> PAGE_SHIFT) & 511);
  }
  #entry(linear: number): bigint {
    return this.#view.getBigUint64(this.#entryAt(linear), true);
  }

  /** Does what happens at a stop, and goes on. */
  resume(action: Action): void {
    switch (action.kind) {
      case 'dma':
        this.#ram.set(action.bytes, action.physical);
        this.vcpu.support.codeWritten(action.physical, action.bytes.length);
        break;
      case 'pte':
        this.#view.setBigUint64(this.#entryAt(action.linear), this.#entry(action.linear) ^ action.flip, true);
        return action.byCr3 ? this.#loadCr3() : this.#invalidate(action.linear);
      case 'repair':
        this.#view.setBigUint64(this.#entryAt(action.linear), this.#defaultEntry(this.tree, action.linear)!, true);
        return this.#invalidate(action.linear);
      case 'tree':
        this.tree ^= 1;
        return this.#loadCr3();
      case 'frame': {
        const frame = this.readFrame();
        action.change(frame);
        this.writeFrame(frame);
        break;
      }
      case 'none':
    }
    this.#goOn(ROUTINE.iret);
  }

  #loadCr3(): void {
    this.#view.setBigUint64(AT.ARGUMENT, BigInt(AT.PML4[this.tree]!), true);
    this.#goOn(ROUTINE.cr3);
  }

  #invalidate(linear: number): void {
    this.#view.setBigUint64(AT.ARGUMENT, BigInt(linear), true);
    this.#goOn(ROUTINE.invlpg);
  }

  // Comparing ------------------------------------------------------------------------------------------------------------

  /** How the visible state of another differs from this one's. */
  differences(other: RegionBench): string[] {
    const lines: string[] = [];
    for (const { name, offset, width } of COMPARED) {
      if (this.#sameBytes(other, offset, WIDTH_BYTES[width])) continue;
      const [mine, others] = [this, other].map((bench) => bench.#fieldText(offset, WIDTH_BYTES[width]));
      lines.push(`${name}: ${mine} interpreted, ${others} translated`);
    }
    const frameText = (bench: RegionBench): string =>
      Object.entries(bench.readFrame()).map(([name, value]: [string, number | bigint]) => `${name} ${value.toString(16)}`).join(' ');
    if (frameText(this) !== frameText(other)) lines.push(`frame: ${frameText(this)} interpreted, ${frameText(other)} translated`);
    if (this.#mmioHash !== other.#mmioHash) lines.push('the accesses to the device differ');
    if (other.vcpu.get64('zero') !== 0n) lines.push('the register that is always 0 was written');
    return lines;
  }

  #sameBytes(other: RegionBench, offset: number, bytes: number): boolean {
    for (let n = offset; n < offset + bytes; n++) if (this.#state[n] !== other.#state[n]) return false;
    return true;
  }

  #fieldText(offset: number, bytes: number): string {
    let text = '';
    for (let n = bytes - 1; n >= 0; n--) text += this.#area.getUint8(offset + n).toString(16).padStart(2, '0');
    return text;
  }

  memoryDifferences(other: RegionBench): string[] {
    const lines: string[] = [];
    for (const [name, start, pages] of MEMORY) {
      const pagesOf = (ram: Uint8Array): Uint8Array => ram.subarray(start, start + pages * PAGE_BYTES);
      const mine = pagesOf(this.#ram), others = pagesOf(other.#ram);
      if (Buffer.compare(mine, others) === 0) continue;
      const at = mine.findIndex((byte, n) => byte !== others[n]);
      lines.push(`${name} +${at.toString(16)}: ${mine[at]!.toString(16)} interpreted, ${others[at]!.toString(16)} translated`);
    }
    // A bit that says accessed may be set by a fetch ahead: forming regions does that.
    for (let n = TABLES.START / 4; n < (TABLES.START + TABLES.BYTES) / 4; n++) {
      if (((this.#words[n]! ^ other.#words[n]!) & ~Number(PTE.A)) === 0) continue;
      const texts = [4 * n, this.#words[n]!, other.#words[n]!].map((value) => value.toString(16));
      lines.push(`page tables +${texts[0]}: ${texts[1]} interpreted, ${texts[2]} translated`);
    }
    return lines;
  }
}
