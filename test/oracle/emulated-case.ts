// Runs the oracle's test cases on nandu's own processor: a vCPU with the same linear memory, segments and privilege as the
// process in which the real processor runs them. Exceptions go through a real IDT to HLT stubs at ring 0, so delivery is
// tested along. No machine, no devices.
import { assert } from '../../src/base/assert.ts';
import { Vcpu } from '../../src/cpu/vcpu.ts';
import type { VcpuPorts, WasmModules } from '../../src/cpu/vcpu.ts';
import type { RegionOptions } from '../../src/cpu/translator/regions.ts';
import type { CpuFeatures } from '../../src/cpu/x86/cpuid.ts';
import { GENERAL_REGISTERS } from '../../src/cpu/x86/state.ts';
import { GUEST_RAM, PAGE_SHIFT, PHYS, PHYS_MAP } from '../../src/memory/memory-map.ts';
import { ORACLE_MODES, PAGE_BYTES, readOnlyPage, REGION } from './oracle-case.ts';
import { loadVectors, saveVectors } from './vector-image.ts';
import type { MemoryChange, OracleCase, OracleOutcome, OracleResult, OracleSegment } from './oracle-case.ts';

const RAM_BYTES = 4 * 1024 * 1024;
/** Guest-physical addresses, below the test region. The first 2 MiB are mapped for the supervisor at KERNEL. */
const KERNEL = 0xffff_8000_0000_0000n;
const AT = {
  PML4: 0x1000, PDPT: 0x2000, PD: 0x3000, PT: 0x4000, KERNEL_PDPT: 0x5000, KERNEL_PD: 0x6000,
  GDT: 0x10000, IDT: 0x11000, TSS: 0x13000, STUBS: 0x14000, STACK_TOP: 0x20000,
} as const;
const PTE = { P: 1n, RW: 2n, US: 4n, A: 0x20n, D: 0x40n, PS: 0x80n, NX: 1n << 63n } as const;
const CR0_PE_MP_ET_NE_WP_AM_PG = 0x80050033n;
const CR4_PAE_PGE_OSFXSR_OSXMMEXCPT_FSGSBASE = 0x106a0n;
const EFER_SCE_LME_LMA_NXE = 0xd01n;
const CODE64_KERNEL = 0x00af9b000000ffffn;
const ACCESS = { CODE: 0xfb, DATA: 0xf3, LONG: 0x2000, BIG: 0x4000, GRANULAR: 0x8000, BUSY_TSS: 0x8b } as const;
const EFLAGS_IF = 0x200;
const OTHER_FLAGS = 0x40500; // AC DF TF
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const INSTRUCTION_LIMIT = 20_000;
const GATE_INTERRUPT64 = 0x8e, GATE_DPL3 = 0x60;

const ports: VcpuPorts = {
  mmioRead: () => 0xffffffff, mmioWrite: () => undefined, portRead: () => 0xffffffff, portWrite: () => undefined,
  portReadRun: () => 0, portWriteRun: () => 0,
  guestNanoseconds: () => 0, apicMsrRead: () => false, apicMsrWrite: () => false, taskPriorityRead: () => 0,
  taskPriorityWrite: () => undefined, randomU32: () => 0, traceInterrupt: () => undefined, acknowledgeInterrupt: () => -1,
};

export class EmulatedProcessor {
  readonly #vcpu: Vcpu;
  readonly #ram: Uint8Array;
  readonly #view: DataView;
  readonly #area: DataView;
  readonly #initialData = new Uint8Array(PAGE_BYTES);
  readonly #initialWords = new Int32Array(this.#initialData.buffer);
  readonly #dataWords: Int32Array;

  constructor(modules: WasmModules, features: CpuFeatures, regions?: RegionOptions) {
    const pages = (GUEST_RAM + RAM_BYTES) / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.#ram = new Uint8Array(buffer, GUEST_RAM, RAM_BYTES);
    this.#view = new DataView(buffer, GUEST_RAM, RAM_BYTES);
    this.#dataWords = new Int32Array(buffer, GUEST_RAM + REGION.DATA, PAGE_BYTES / 4);
    const physicalMap = new Uint32Array(buffer, PHYS_MAP, RAM_BYTES >> PAGE_SHIFT);
    physicalMap.forEach((_, page) => (physicalMap[page] = (GUEST_RAM + page * PAGE_BYTES) | PHYS.READABLE | PHYS.WRITABLE));
    this.#vcpu = new Vcpu(0, memory, modules, features, ports, regions);
    this.#area = new DataView(buffer, this.#vcpu.area, 64 * 1024);
    this.#writePageTables();
    this.#writeDescriptorTables();
    this.#setSystemRegisters();
    this.#ram.set(readOnlyPage(), REGION.READ_ONLY);
  }

  #writePageTables(): void {
    const { P, RW, US, A, D, PS, NX } = PTE;
    const entry = (table: number, index: number, value: bigint): void => this.#view.setBigUint64(table + 8 * index, value, true);
    entry(AT.PML4, 0, BigInt(AT.PDPT) | P | RW | US | A);
    entry(AT.PDPT, 0, BigInt(AT.PD) | P | RW | US | A);
    entry(AT.PML4, 256, BigInt(AT.KERNEL_PDPT) | P | RW | A);
    entry(AT.KERNEL_PDPT, 0, BigInt(AT.KERNEL_PD) | P | RW | A);
    entry(AT.KERNEL_PD, 0, PS | P | RW | A | D);
    entry(AT.PD, 1, BigInt(AT.PT) | P | RW | US | A);
    const page = (linear: number, bits: bigint): void => entry(AT.PT, (linear >> PAGE_SHIFT) & 511, BigInt(linear) | P | US | A | D | bits);
    page(REGION.CODE, 0n);
    page(REGION.DATA, RW | NX);
    page(REGION.READ_ONLY, NX);
  }

  #writeDescriptorTables(): void {
    this.#view.setBigUint64(AT.GDT + 8, CODE64_KERNEL, true);
    this.#view.setBigUint64(AT.TSS + 4, KERNEL + BigInt(AT.STACK_TOP), true); // RSP0
    this.#view.setUint16(AT.TSS + 0x66, 0xffff, true); // no I/O permission bitmap
    for (let vector = 0; vector < 256; vector++) {
      const gate = AT.IDT + 16 * vector;
      const handler = AT.STUBS + vector;
      this.#ram[handler] = 0xf4; // HLT
      this.#view.setUint16(gate, handler & 0xffff, true);
      this.#view.setUint16(gate + 2, 8, true);
      this.#view.setUint8(gate + 5, GATE_INTERRUPT64 | (vector === 3 || vector === 4 ? GATE_DPL3 : 0));
      this.#view.setUint16(gate + 6, handler >> 16, true);
      this.#view.setUint32(gate + 8, Number(KERNEL >> 32n), true);
    }
  }

  #startOver(): void {
    this.#vcpu.set64('zero', 0n);
    this.#vcpu.reset();
    this.#setSystemRegisters();
  }

  #setSystemRegisters(): void {
    const vcpu = this.#vcpu;
    vcpu.set64('cr0', CR0_PE_MP_ET_NE_WP_AM_PG);
    vcpu.set64('cr3', BigInt(AT.PML4));
    vcpu.set64('cr4', CR4_PAE_PGE_OSFXSR_OSXMMEXCPT_FSGSBASE);
    vcpu.set64('efer', EFER_SCE_LME_LMA_NXE);
    vcpu.set64('gdtrBase', KERNEL + BigInt(AT.GDT));
    vcpu.set32('gdtrLimit', 0x0f);
    vcpu.set64('idtrBase', KERNEL + BigInt(AT.IDT));
    vcpu.set32('idtrLimit', 0xfff);
    vcpu.setSegment('tr', { selector: 0x40, base: KERNEL + BigInt(AT.TSS), limit: 0x67, access: ACCESS.BUSY_TSS });
    vcpu.support.flushTlb();
  }

  #setSegments(test: OracleCase): void {
    const { bits, code, data } = ORACLE_MODES[test.mode];
    const vcpu = this.#vcpu;
    const accessOf = ({ limit, big }: OracleSegment, access: number): number =>
      access | (big ? ACCESS.BIG : 0) | (limit > 0xfffff ? ACCESS.GRANULAR : 0);
    const codeAccess = bits === 64 ? ACCESS.CODE | ACCESS.LONG | ACCESS.GRANULAR : accessOf(code, ACCESS.CODE);
    vcpu.setSegment('cs', { selector: code.selector, base: BigInt(code.base), limit: code.limit, access: codeAccess });
    for (const name of ['ss', 'ds', 'es'] as const) {
      vcpu.setSegment(name, { selector: data.selector, base: BigInt(data.base), limit: data.limit, access: accessOf(data, ACCESS.DATA) });
    }
    // Null selectors: unusable outside 64-bit mode, where only the base counts.
    vcpu.setSegment('fs', { selector: 0, base: BigInt(REGION.FS_BASE), limit: 0, access: 0 });
    vcpu.setSegment('gs', { selector: 0, base: BigInt(REGION.GS_BASE), limit: 0, access: 0 });
  }

  #loadMemory(test: OracleCase): void {
    this.#ram.fill(0xcc, REGION.CODE, REGION.CODE + PAGE_BYTES);
    this.#ram.set(test.code, REGION.CODE + test.codeOffset);
    this.#vcpu.support.codeWritten(REGION.CODE, PAGE_BYTES);
    this.#vcpu.support.flushTlb(); // the jump cache with it
    this.#initialData.fill(0);
    this.#initialData.set(test.data, test.dataOffset);
    this.#ram.set(this.#initialData, REGION.DATA);
  }

  #changes(): MemoryChange[] {
    const data = this.#ram.subarray(REGION.DATA, REGION.DATA + PAGE_BYTES);
    const changes: MemoryChange[] = [];
    for (let n = 0; n < PAGE_BYTES; n++) {
      while ((n & 3) === 0 && n < PAGE_BYTES && this.#dataWords[n >> 2] === this.#initialWords[n >> 2]) n += 4;
      const first = n;
      while (n < PAGE_BYTES && data[n] !== this.#initialData[n]) n++;
      if (n > first) changes.push({ offset: first, bytes: data.slice(first, n) });
    }
    return changes;
  }

  run(test: OracleCase): OracleResult {
    const vcpu = this.#vcpu;
    const { code } = ORACLE_MODES[test.mode];
    this.#loadMemory(test);
    this.#setSegments(test);
    loadVectors(this.#area, test);
    GENERAL_REGISTERS.forEach((name, n) => vcpu.set64(name, test.registers[n]!));
    vcpu.set64('rip', BigInt(REGION.CODE + test.codeOffset - code.base));
    vcpu.set32('eflags', 2 | EFLAGS_IF | (test.flags & OTHER_FLAGS));
    vcpu.support.writeFlags(test.flags & 0x8d5);
    vcpu.set64('cr2', 0n);
    vcpu.set64('dr6', 0xffff0ff0n);
    vcpu.set32('halted', 0);
    vcpu.set32('inhibit', 0);
    vcpu.set32('stepArmed', 0);
    vcpu.set32('pendingStep', 0);
    vcpu.support.updateMode();
    const end = vcpu.runSlice(INSTRUCTION_LIMIT);
    const result = this.#result(test, end === 'halt');
    const isSound = end !== 'shutdown' && vcpu.get64('zero') === 0n; // nothing may write the register that is always 0
    if (!isSound) this.#startOver();
    return isSound ? result : { ...result, outcome: 'crash' };
  }

  #result(test: OracleCase, isHalted: boolean): OracleResult {
    const vcpu = this.#vcpu;
    const { code } = ORACLE_MODES[test.mode];
    const registers = BigUint64Array.from(GENERAL_REGISTERS, (name) => vcpu.get64(name));
    const vectors = test.fxsave === undefined ? {} : saveVectors(this.#area);
    const parts = test.ymmHigh === undefined && 'fxsave' in vectors ? { fxsave: vectors.fxsave } : vectors;
    const changes = this.#changes();
    if (!isHalted) {
      return { outcome: 'timeout', vector: 0, errorCode: 0, cr2: 0n, rip: vcpu.get64('rip'), registers, flags: 0, ...parts, changes };
    }
    const vector = Number(vcpu.get64('rip') - KERNEL) - 1 - AT.STUBS;
    assert(vector >= 0 && vector < 256, 'halted in a stub');
    let frame = Number(registers[4]! - KERNEL);
    const errorCode = HAS_ERROR_CODE.has(vector) ? this.#view.getUint32(frame, true) : 0;
    if (HAS_ERROR_CODE.has(vector)) frame += 8;
    const rip = this.#view.getBigUint64(frame, true);
    registers[4] = this.#view.getBigUint64(frame + 24, true);
    const ended = vector === 3 && rip === BigInt(REGION.CODE + test.codeOffset + test.code.length - code.base + 1);
    const outcome: OracleOutcome = ended ? 'completed' : 'trap';
    const flags = this.#view.getUint32(frame + 16, true);
    return { outcome, vector, errorCode, cr2: vector === 14 ? vcpu.get64('cr2') : 0n, rip, registers, flags, ...parts, changes };
  }
}
