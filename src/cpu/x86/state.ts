// The state of one vCPU, declared once: name, width, and whether a saved state carries it.
// TypeScript reads it through `cpuOffset`, AssemblyScript through constants generated from it (tools/build-wasm.ts),
// the IR's operands are offsets into it. Names are those of the Intel SDM volume 1 chapter 3 and volume 3 chapter 2.
// Not here: TLBs and jump cache (memory/memory-map.ts), the local APIC (devices/intc).

type Width = 'u8' | 'u16' | 'u32' | 'u64' | 'u128' | 'u256';
const BYTES: Record<Width, number> = { u8: 1, u16: 2, u32: 4, u64: 8, u128: 16, u256: 32 };

export interface CpuField {
  readonly name: string;
  readonly width: Width;
  readonly offset: number;
  /** False for what can be computed again: caches, scratch, the current request. */
  readonly saved: boolean;
}

const declared: CpuField[] = [];
let cursor = 0;
function add(names: readonly string[], width: Width, saved: boolean): void {
  for (const name of names) {
    cursor = Math.ceil(cursor / BYTES[width]) * BYTES[width];
    declared.push({ name, width, offset: cursor, saved });
    cursor += BYTES[width];
  }
}
const saved = (width: Width, ...names: string[]): void => add(names, width, true);
const derived = (width: Width, ...names: string[]): void => add(names, width, false);

/** General registers in encoding order: register n lies at byte 8n, so AH is byte 1. */
// prettier-ignore
export const GENERAL_REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
/** Segment registers in encoding order, then the two system segments. */
export const SEGMENT_REGISTERS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;

/** Numbers of the segment registers in SEGMENT_REGISTERS. */
export const SEGMENT = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5 } as const;

saved('u64', ...GENERAL_REGISTERS);
derived('u64', 'zero'); // always 0: the absent base or index of an address
derived('u64', 'tmp0', 'tmp1', 'tmp2', 'tmp3', 'tmp4', 'tmp5', 'tmp6', 'tmp7'); // IR temporaries
/** RIP of the first instruction of the running block; between blocks the architectural RIP. */
saved('u64', 'rip');
derived('u64', 'nextRip'); // set by the IR before a helper that needs the address of the next instruction

// Lazy arithmetic flags: see cpu/ir/flags.ts for the meaning of the triple.
saved('u64', 'ccA', 'ccB');
saved('u32', 'ccOp');
/** EFLAGS without OF SF ZF AF PF CF, which the triple holds. Bit 1 is always set. */
saved('u32', 'eflags');

/** Segment: selector, access (descriptor bits 8..23 of the second dword shifted down by 8), limit in bytes, base. */
for (const s of SEGMENT_REGISTERS) {
  saved('u64', `${s}Base`);
  saved('u32', `${s}Limit`, `${s}Selector`, `${s}Access`);
}
saved('u64', 'gdtrBase', 'idtrBase');
saved('u32', 'gdtrLimit', 'idtrLimit');

saved('u64', 'cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'xcr0', 'efer');
saved('u64', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7');
/** The four PDPTE registers of PAE paging (SDM 3A 4.4.1). */
saved('u64', 'pdpte0', 'pdpte1', 'pdpte2', 'pdpte3');

/** YMM0..15: the low half is XMM. */
for (let n = 0; n < 16; n++) saved('u256', `ymm${n}`);
derived('u256', 'xtmp0', 'xtmp1', 'xtmp2', 'xtmp3'); // IR temporaries of vector width
saved('u32', 'mxcsr');

/** x87: physical register n as a 64-bit significand and a 16-bit sign and exponent. ST(i) is register (TOP + i) & 7. */
for (let n = 0; n < 8; n++) saved('u128', `fpr${n}`);
saved('u16', 'fcw', 'fsw', 'fop', 'fcs', 'fds'); // fsw holds TOP in bits 11..13
saved('u8', 'ftwEmpty'); // bit n set: physical register n is empty (abridged tag word, inverted)
saved('u64', 'fip', 'fdp');

// prettier-ignore
saved('u64', 'msrStar', 'msrLstar', 'msrCstar', 'msrSfmask', 'msrKernelGsBase', 'msrSysenterCs', 'msrSysenterEsp',
  'msrSysenterEip', 'msrPat', 'msrTscAux', 'msrApicBase', 'msrMiscEnable', 'msrTscOffset', 'msrTscAdjust',
  'msrDebugctl', 'msrMtrrDefType', 'msrXss', 'msrSpecCtrl', 'msrBiosSignId', 'msrSmiCount');
for (let n = 0; n < 8; n++) saved('u64', `msrMtrrPhysBase${n}`, `msrMtrrPhysMask${n}`);
for (let n = 0; n < 11; n++) saved('u64', `msrMtrrFix${n}`);

saved('u32', 'halted');
/** Interrupts are held off for one instruction after STI and MOV SS (1), and NMIs until IRET (2). */
saved('u32', 'inhibit');
saved('u32', 'a20Mask'); // 0xffffffff, or 0xffefffff with the gate closed

// What was announced to the guest; fixed at creation. Feature words in the order of cpu/x86/cpuid.ts.
for (let n = 0; n < 16; n++) derived('u32', `cpuidFeature${n}`);
derived('u32', 'vendor0', 'vendor1', 'vendor2'); // EBX, EDX, ECX of CPUID leaf 0
for (let n = 0; n < 12; n++) derived('u32', `brand${n}`); // CPUID leaves 0x80000002..4
saved('u32', 'tscKhz'); // 0 counts as 1,000,000

derived('u32', 'cpl'); // CS.RPL in protected mode, 0 in real mode, 3 in virtual-8086
/** MODE bits (below) in the low 12, the TLB generation above: what a cached translation depends on. */
derived('u32', 'modeKey');
derived('u32', 'tlbRead', 'tlbWrite', 'tlbExecute'); // addresses of the TLBs of the current MMU index
/** A fault raised by the running instruction: vector or -1; the error code. Delivery clears it. */
derived('u32', 'faultVector', 'faultError', 'faultHasError');
/** 1: the running instruction (REP) is not finished, execute it again; written by the string helpers only. */
derived('u32', 'repeat');
/** EFLAGS.TF as the running instruction began; DR6 bits of data breakpoints it hit, reported after it. */
derived('u32', 'stepArmed', 'pendingDebug');
derived('u32', 'traceInterrupts'); // report deliveries to the host (`-d int`)
/** Non-zero asks the executor to stop at the next block end: REQUEST bits. May be set from another thread. */
derived('u32', 'request');
derived('u32', 'exitReason', 'exitDetail');
derived('u32', 'blockStart'); // address of the running block's header, for self-modifying code
derived('u32', 'vcpuIndex');
derived('u64', 'scratch0', 'scratch1', 'scratch2', 'scratch3'); // slow-path transfers wider than a wasm value
derived('u64', 'instructionCount'); // retired, updated when a slice ends and by block ends
derived('u64', 'executorBudget');
derived('u32', 'budgetSkipped'); // instructions of the slice that a request cut off
derived('u32', 'promoteAt'); // executions after which a block is handed to the region translator; 0 never
derived('u32', 'pendingStep'); // EFLAGS.TF was set when the instruction began: #DB after it
// Counters of the executor, read by `info jit` and the benchmarks.
// prettier-ignore
derived('u64', 'countTlbFill', 'countPageWalk', 'countMmio', 'countPort', 'countJumpCacheMiss', 'countFault', 'countInterrupt',
  'countTlbFlush', 'countCodeWrite', 'countCodeDrop', 'countHelper', 'countRegionEnter', 'countRegionResume', 'countRegionRefused',
  'countTlbCold', 'countTlbFlushed', 'countTlbConflict', 'countTlbAhead');

derived('u32', 'ferr'); // the x87 asks for IRQ 13: an unmasked exception is pending with CR0.NE clear

// For the profiler (vm/profile): what the thread does (trace/activity.ts); 0, or SAMPLE_ASKED (there too) from another thread; and the
// RIP of the block that ran last, which executors that sample note.
derived('u32', 'hostActivity', 'sampleAsked');
derived('u64', 'sampleRip');
// For counted profiles: what the counting interpreter has executed, the block that runs, and where its next note goes (memory-map.ts).
derived('u64', 'countInstructions', 'countReads', 'countWrites', 'countStringElements');
derived('u32', 'countedBlock', 'notesAt');
// For samples (assembly/samples.ts): moments noted by the clock, bytes of records in use, and what profile/sampler.ts knows of the kernel:
// whether its stacks can be walked from copies, the places of the running task's address and of the interrupt stack's top (0: not known),
// and where in a task its name is.
derived('u32', 'sampleNoted', 'sampleUsed', 'sampleCopies', 'sampleNameOffset');
derived('u64', 'sampleTask', 'sampleInterruptStack');

export const CPU_FIELDS: readonly CpuField[] = declared;
export const CPU_STATE_BYTES = cursor;

const byName = new Map(declared.map((field) => [field.name, field]));

/** Byte offset of a field inside a vCPU area. Throws on a name that is not declared. */
export function cpuOffset(name: string): number {
  const field = byName.get(name);
  if (field === undefined) throw new Error(`no CPU field ${name}`);
  return field.offset;
}

/** Bits of a segment's access field: bits 8..23 of a descriptor's second dword, the limit's bits taken out. */
export const ACCESS = {
  ACCESSED: 1,
  WRITABLE: 2, // readable, of a code segment
  EXPAND_DOWN: 4, // conforming, of a code segment
  CODE: 8,
  S: 0x10, // code or data, not system
  PRESENT: 0x80,
  LONG: 0x2000,
  BIG: 0x4000,
  GRANULAR: 0x8000,
} as const;

/** Bits of `modeKey` that a decoded block depends on. */
export const MODE = {
  CODE_SIZE: 3, // 0: 16-bit, 1: 32-bit, 2: 64-bit
  STACK32: 1 << 2, // SS.B
  FLAT: 1 << 3, // DS, ES, SS: base 0, limit 4 GiB, readable, writable (always in 64-bit mode); CS base 0
  USER: 1 << 4, // CPL 3
  FPU: 1 << 5, // x87 and MMX usable: CR0.EM and CR0.TS clear
  SSE: 1 << 6, // SSE usable: CR0.EM and CR0.TS clear, CR4.OSFXSR set
  STEP: 1 << 7, // EFLAGS.TF or an enabled instruction breakpoint: one instruction a block
  PROTECTED: 1 << 8, // CR0.PE set and EFLAGS.VM clear
  VM86: 1 << 9,
  AVX: 1 << 10, // CR4.OSXSAVE, XCR0.SSE and XCR0.AVX set, CR0.TS clear
} as const;
export const MODE_BITS = 12;

/** Bits of `request`. */
export const REQUEST = {
  INTERRUPT: 1, // an external interrupt may be deliverable
  EXIT: 2, // stop at the next block end: the machine thread wants to run
  NMI: 4,
  RESET: 8,
} as const;

/** Values of `exitReason`: why the executor came back to TypeScript. */
export const EXIT = {
  BUDGET: 0, // the slice is used up
  DECODE: 1, // no block for the current RIP: exitDetail is the guest-physical address of its first byte
  INTERRUPT: 2, // REQUEST.INTERRUPT is set, IF is set and nothing holds interrupts off
  HALT: 3,
  SHUTDOWN: 4, // triple fault
  REQUEST: 5, // another request bit
  ARENA_FULL: 6,
  DEBUG: 7,
  PROMOTE: 8, // a block has been executed often: exitDetail is its address
  NOTES: 9, // the counting interpreter has no room for another note
} as const;
