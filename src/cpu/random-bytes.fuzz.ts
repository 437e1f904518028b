// Random bytes as guest code, in every mode: whatever they are, the decoder, the disassembler, the builder and the executor
// never throw, a slice ends, and the register that is always 0 stays 0. What the instructions do is not looked at: that is the
// differential test's (test/oracle).
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { GUEST_RAM, PAGE_SHIFT, PHYS, PHYS_MAP } from '../memory/memory-map.ts';
import { Vcpu } from './vcpu.ts';
import type { VcpuPorts, WasmModules } from './vcpu.ts';
import type { CpuFeatures } from './x86/cpuid.ts';
import { disassemble } from './x86/disassembler.ts';

const RAM_BYTES = 2 * 1024 * 1024;
const CODE = { START: 0x10000, BYTES: 0x10000 } as const;
const AT = { GDT: 0x1000, IDT: 0x2000, PML4: 0x4000, PDPT: 0x5000, PD: 0x6000, TSS: 0x7000 } as const;
const SLICE = 500;
/** A slice ends at block ends, of at most 64 instructions; a long REP counts for more. */
const OVERSHOOT_MAX = 400;
const SLICES = 4;
const MODES = ['real', 'protected16', 'protected32', 'long'] as const;
type Mode = (typeof MODES)[number];
/** Bytes that lead to the rarer opcodes. */
const PREFIXES = [0x0f, 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x48, 0x4f, 0xc4, 0xc5, 0x2e, 0x36, 0x64, 0x65, 0x38, 0x3a];
const DESCRIPTORS = [0n, 0x00af9b000000ffffn, 0x00cf9b000000ffffn, 0x00009b000000ffffn, 0x00cf93000000ffffn, 0x00008b007000ffffn, 0n];
const SELECTOR: Readonly<Record<Mode, number>> = { real: 0x1000, protected16: 0x18, protected32: 0x10, long: 0x08 };
const DATA_SELECTOR = 0x20;

export class RandomBytesBench {
  readonly #vcpu: Vcpu;
  readonly #ram: Uint8Array;
  readonly #view: DataView;
  readonly #random: { value: Prng } = { value: new Prng(0) };

  constructor(modules: WasmModules, features: CpuFeatures) {
    const memory = new WebAssembly.Memory({ initial: (GUEST_RAM + RAM_BYTES) / 65536, maximum: 65536, shared: true });
    const buffer = memory.buffer as unknown as SharedArrayBuffer;
    this.#ram = new Uint8Array(buffer, GUEST_RAM, RAM_BYTES);
    this.#view = new DataView(buffer, GUEST_RAM, RAM_BYTES);
    const physicalMap = new Uint32Array(buffer, PHYS_MAP, RAM_BYTES >> PAGE_SHIFT);
    physicalMap.forEach((_, page) => (physicalMap[page] = (GUEST_RAM + (page << PAGE_SHIFT)) | PHYS.READABLE | PHYS.WRITABLE));
    this.#vcpu = new Vcpu(0, memory, modules, features, this.#ports());
    this.#vcpu.translator.onInstruction = (decoder) => {
      assert(disassemble(decoder, 0n).length > 0, 'an instruction has a text');
    };
  }

  #ports(): VcpuPorts {
    const any = (): number => this.#random.value.u32();
    return {
      mmioRead: any, mmioWrite: () => undefined, portRead: any, portWrite: () => undefined, portReadRun: () => 0, portWriteRun: () => 0,
      guestNanoseconds: () => 0,
      apicMsrRead: () => false, apicMsrWrite: () => false, taskPriorityRead: () => 0, taskPriorityWrite: () => undefined,
      randomU32: any, traceInterrupt: () => undefined, acknowledgeInterrupt: () => -1,
    };
  }

  #fillCode(random: Prng): void {
    for (let at = CODE.START; at < CODE.START + CODE.BYTES; at += 4) this.#view.setUint32(at, random.u32(), true);
    for (let n = 0; n < CODE.BYTES / 8; n++) this.#ram[CODE.START + random.below(CODE.BYTES)] = random.pick(PREFIXES);
  }

  /** Tables at fixed places; exceptions lead to random places in the code. */
  #fillTables(random: Prng, mode: Mode): void {
    this.#ram.fill(0, 0, CODE.START);
    const view = this.#view;
    DESCRIPTORS.forEach((descriptor, n) => view.setBigUint64(AT.GDT + 8 * n, descriptor, true));
    view.setBigUint64(AT.PML4, BigInt(AT.PDPT) | 7n, true);
    view.setBigUint64(AT.PDPT, BigInt(AT.PD) | 7n, true);
    view.setBigUint64(AT.PD, 0xe7n, true); // the first 2 MiB
    for (let vector = 0; vector < 256; vector++) {
      const offset = random.below(CODE.BYTES);
      const address = CODE.START + offset;
      const gate = AT.IDT + vector * (mode === 'long' ? 16 : 8);
      if (mode === 'real') view.setUint32(4 * vector, ((CODE.START >> 4) << 16) | offset, true);
      view.setUint32(gate, (SELECTOR[mode] << 16) | (address & 0xffff), true);
      view.setUint32(gate + 4, (address & 0xffff0000) | 0x8e00, true);
    }
  }

  #enter(random: Prng, mode: Mode): void {
    const vcpu = this.#vcpu;
    vcpu.reset();
    for (let n = 0; n < 16; n++) {
      const name = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'][n] ?? `r${n}`;
      vcpu.set64(name, BigInt(random.below(RAM_BYTES)));
    }
    const isLong = mode === 'long', isReal = mode === 'real';
    const big = mode === 'protected16' || isReal ? 0 : 0x4000;
    vcpu.set64('cr0', isReal ? 0x10n : isLong ? 0x80000011n : 0x11n);
    vcpu.set64('cr3', BigInt(AT.PML4));
    vcpu.set64('cr4', isLong ? 0x40620n : 0x40600n); // OSFXSR, OSXMMEXCPT, OSXSAVE, and PAE
    vcpu.set64('efer', isLong ? 0xd01n : 0n);
    vcpu.set64('xcr0', 7n);
    vcpu.set64('gdtrBase', BigInt(AT.GDT));
    vcpu.set32('gdtrLimit', 8 * DESCRIPTORS.length - 1);
    vcpu.set64('idtrBase', isReal ? 0n : BigInt(AT.IDT));
    vcpu.set32('idtrLimit', isReal ? 0x3ff : 0xfff);
    const limit = isReal ? 0xffff : 0xffffffff;
    const base = isReal ? BigInt(CODE.START) : 0n;
    vcpu.setSegment('cs', { selector: SELECTOR[mode], base, limit, access: 0x9b | (isLong ? 0x2000 : big) | (isReal ? 0 : 0x8000) });
    for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const)
      vcpu.setSegment(name, { selector: isReal ? 0 : DATA_SELECTOR, base: 0n, limit, access: 0x93 | big | (isReal ? 0 : 0x8000) });
    vcpu.setSegment('tr', { selector: 0x28, base: BigInt(AT.TSS), limit: 0xffff, access: 0x8b });
    vcpu.set64('rip', BigInt(random.below(CODE.BYTES) + (isReal ? 0 : CODE.START)));
    vcpu.set32('eflags', 2 | (random.oneIn(8) ? 0x100 : 0));
    vcpu.support.updateMode();
    vcpu.support.flushTlb();
  }

  run(seed: number): void {
    const random = new Prng(seed);
    this.#random.value = random;
    const mode = MODES[seed & 3]!;
    this.#fillCode(random);
    this.#fillTables(random, mode);
    this.#enter(random, mode);
    for (let n = 0; n < SLICES; n++) {
      const before = this.#vcpu.instructions;
      const end = this.#vcpu.runSlice(SLICE);
      assert(this.#vcpu.instructions - before <= SLICE + OVERSHOOT_MAX, 'a slice keeps to its budget');
      assert(this.#vcpu.get64('zero') === 0n, 'the register that is always 0');
      if (end === 'shutdown' || end === 'halt') return;
    }
  }
}

/** Runs the cases of `seed`, `seed` + 1, …; the message of an error names its seed. */
export function fuzzRandomBytes(bench: RandomBytesBench, seed: number, cases: number): void {
  for (let n = 0; n < cases; n++) {
    try {
      bench.run(seed + n);
    } catch (error) {
      throw new Error(`seed ${seed + n}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}
