// The program that does the requests of `nandu latency`: a static Linux executable for x86-64, assembled here, without a library. In the
// guest it stamps the beginning and the end of each request by writing to a port, which the machine's clock times; on the host the same
// program stamps with the time stamp counter and writes its stamps to standard output. Requests are pread64 or pwrite64, or Linux's
// asynchronous I/O where several are on their way at once. System calls: Linux's arch/x86/entry/syscalls/syscall_64.tbl; layout: ELF64.
import { Assembler, type Register } from '../../machine/boot/assembler.ts';
import { MARK, MARK_PORT, PASSES, RANDOM, type Workload } from './workload.ts';

// prettier-ignore
const SYS = {
  WRITE: 1, OPEN: 2, PREAD: 17, PWRITE: 18, EXIT: 60, IOPL: 172, IO_SETUP: 206, IO_GETEVENTS: 208, IO_SUBMIT: 209, CLOCK: 228,
} as const;
const O = { RDWR: 2, DIRECT: 0o40000 } as const;
const CLOCK_MONOTONIC = 1;

const LOAD_AT = 0x40_0000;
const HEADER_BYTES = 64 + 2 * 56;
/** Memory that is zero at first: control blocks of asynchronous requests, the stamps, the buffers. */
const DATA_AT = 0x1000_0000;
const CONTEXT = DATA_AT;
const EVENT = DATA_AT + 0x40;
const POINTER = DATA_AT + 0x80;
const TIMES = DATA_AT + 0xc0;
/** By slot: when its request began. */
const BEGUN = DATA_AT + 0x200;
const BLOCKS = DATA_AT + 0x1000;
const BLOCK_SHIFT = 6;
const STAMPS = DATA_AT + 0x10000;
const PAGE = 4096;

export interface ProgramOptions {
  readonly workload: Workload;
  readonly path: string;
  /** Past the page cache of the system that it runs on. */
  readonly direct: boolean;
  /** Runs on the host: no port; the stamps go to standard output. */
  readonly onHost: boolean;
}

/** On the host: clock and counter before and after the measured pass, then begin and end of each request. */
export const HOST_OUTPUT = { CLOCKS: 48, STAMP: 16 } as const;

export function latencyProgram(options: ProgramOptions): Uint8Array {
  const a = new Writer(options);
  a.start();
  const passes = options.onHost ? 2 : PASSES;
  for (let pass = 0; pass < passes; pass++) a.pass(pass, pass === passes - 1);
  a.finish();
  const { workload: { bytes, count, depth } } = options;
  const stampBytes = Math.ceil((count * HOST_OUTPUT.STAMP) / PAGE) * PAGE;
  return executable(a.assemble(), STAMPS - DATA_AT + stampBytes + bytes * depth + PAGE);
}

/** The registers that keep their meaning; system calls leave them alone. */
const FILE: Register = 'r12';
const BUFFER: Register = 'r13';
const INDEX: Register = 'r14';
const STATE: Register = 'r15';
const STAMP: Register = 'rbx';
const SLOT: Register = 'rbp';

class Writer {
  readonly #options: ProgramOptions;
  readonly #a = new Assembler();

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  assemble = (): Uint8Array => this.#a.assemble();

  get #buffers(): number {
    const { count } = this.#options.workload;
    return STAMPS + Math.ceil((count * HOST_OUTPUT.STAMP) / PAGE) * PAGE;
  }

  #call(number: number): void {
    this.#a.movImm('rax', number);
    this.#a.data(0x0f, 0x05); // syscall
  }

  /** Ends the program with `status` when RAX is negative, or not `expected`. */
  #check(label: string, status: number, expected?: number): void {
    const a = this.#a;
    a.alu('cmp', 'rax', expected ?? 0);
    a.jcc(expected === undefined ? 'ge' : 'e', label);
    a.movImm('rdi', status);
    this.#call(SYS.EXIT);
    a.label(label);
  }

  /** EDX:EAX to RAX. */
  #readCounter(): void {
    this.#a.data(0x0f, 0x31); // rdtsc
    this.#a.shiftLeft('rdx', 32);
    this.#a.alu('or', 'rax', 'rdx');
  }

  start(): void {
    const { workload: { isWrite, depth }, direct, onHost } = this.#options;
    const a = this.#a;
    if (!onHost) {
      a.movImm('rdi', 3);
      this.#call(SYS.IOPL);
      this.#check('ports', 2);
    }
    a.lea('rdi', 'path');
    a.movImm('rsi', (isWrite ? O.RDWR : 0) | (direct ? O.DIRECT : 0));
    this.#call(SYS.OPEN);
    this.#check('opened', 3);
    a.mov(FILE, 'rax');
    if (depth === 1) return;
    a.movImm('rdi', depth);
    a.movImm('rsi', CONTEXT);
    this.#call(SYS.IO_SETUP);
    this.#check('context', 4);
  }

  pass(pass: number, isLast: boolean): void {
    const { workload: { depth }, onHost } = this.#options;
    const a = this.#a;
    a.movImm(INDEX, 0);
    a.movImm(STATE, RANDOM.SEED);
    a.movImm(STAMP, STAMPS);
    a.movImm(BUFFER, this.#buffers);
    if (onHost && isLast) this.#readClocks(TIMES);
    if (!onHost) this.#mark(MARK.PASS + pass);
    this.#readCounter();
    a.movImm('rcx', TIMES);
    a.store('qword', 'rcx', 0x60, 'rax');
    if (depth === 1) this.#oneByOne(pass);
    else this.#several(pass);
    this.#readCounter();
    a.movImm('rcx', TIMES);
    a.load('qword', 'rdx', 'rcx', 0x60);
    a.alu('sub', 'rax', 'rdx');
    if (onHost && isLast) this.#readClocks(TIMES + 24);
    if (!onHost) this.#tellTicks(pass);
  }

  /** Seconds, nanoseconds, and the counter. */
  #readClocks(at: number): void {
    const a = this.#a;
    a.movImm('rdi', CLOCK_MONOTONIC);
    a.movImm('rsi', at);
    this.#call(SYS.CLOCK);
    this.#readCounter();
    a.movImm('rcx', at);
    a.store('qword', 'rcx', 16, 'rax');
  }

  #mark(value: number): void {
    this.#a.data(0xb0, value, 0xe6, MARK_PORT); // mov al, value; out port, al
  }

  /** RAX as nibbles. */
  #tellTicks(pass: number): void {
    const a = this.#a;
    a.mov('rsi', 'rax');
    a.movImm('rcx', 16);
    a.label(`nibble ${pass}`);
    a.mov('rax', 'rsi');
    a.shiftRight('rax', 60);
    a.alu('or', 'rax', MARK.NIBBLE);
    a.data(0xe6, MARK_PORT);
    a.shiftLeft('rsi', 4);
    a.alu('sub', 'rcx', 1);
    a.jcc('ne', `nibble ${pass}`);
  }

  /** The offset of the next request to R10, which is where pread64 takes it. */
  #nextOffset(): void {
    const { workload: { random, bytes, spanBytes } } = this.#options;
    const a = this.#a;
    if (random) {
      const imm = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
      a.data(0x45, 0x69, 0xff, ...imm(RANDOM.MULTIPLIER), 0x41, 0x81, 0xc7, ...imm(RANDOM.INCREMENT)); // imul r15d, r15d, …; add r15d, …
      a.mov('r10', STATE);
      a.movImm('rax', spanBytes / bytes);
      a.data(0x4c, 0x0f, 0xaf, 0xd0); // imul r10, rax
      a.shiftRight('r10', 32);
    } else {
      a.mov('rax', INDEX);
      a.movImm('rdx', 0);
      a.movImm('rcx', spanBytes / bytes);
      a.div('rcx');
      a.mov('r10', 'rdx');
    }
    a.movImm('rax', bytes);
    a.data(0x4c, 0x0f, 0xaf, 0xd0); // imul r10, rax
  }

  #oneByOne(pass: number): void {
    const { workload: { bytes, count, isWrite }, onHost } = this.#options;
    const a = this.#a;
    a.label(`next ${pass}`);
    this.#nextOffset();
    a.mov('rdi', FILE);
    a.mov('rsi', BUFFER);
    a.movImm('rdx', bytes);
    if (onHost) {
      a.mov('r8', 'rdx');
      this.#readCounter();
      a.store('qword', STAMP, 0, 'rax');
      a.mov('rdx', 'r8');
    } else this.#mark(MARK.BEGIN);
    this.#call(isWrite ? SYS.PWRITE : SYS.PREAD);
    a.mov('rsi', 'rax');
    if (onHost) {
      this.#readCounter();
      a.store('qword', STAMP, 8, 'rax');
      a.alu('add', STAMP, HOST_OUTPUT.STAMP);
    } else this.#mark(MARK.DONE);
    a.mov('rax', 'rsi');
    this.#check(`whole ${pass}`, 5, bytes);
    a.alu('add', INDEX, 1);
    a.alu('cmp', INDEX, count);
    a.jcc('ne', `next ${pass}`);
  }

  /** Keeps `depth` requests on their way: as many begin, then one for each that has ended. */
  #several(pass: number): void {
    const { workload: { bytes, count, depth } } = this.#options;
    const a = this.#a;
    a.movImm(SLOT, 0);
    a.label(`first ${pass}`);
    this.#submit(pass, 'first');
    a.alu('add', SLOT, 1);
    a.alu('cmp', SLOT, Math.min(depth, count));
    a.jcc('ne', `first ${pass}`);
    a.movImm(BUFFER, 0); // requests that have ended
    a.label(`next ${pass}`);
    a.movImm('rcx', CONTEXT);
    a.load('qword', 'rdi', 'rcx');
    a.movImm('rsi', 1);
    a.movImm('rdx', 1);
    a.movImm('r10', EVENT);
    a.movImm('r8', 0);
    this.#call(SYS.IO_GETEVENTS);
    this.#check(`event ${pass}`, 6, 1);
    a.movImm('rcx', EVENT);
    a.load('qword', SLOT, 'rcx');
    this.#stampDone();
    a.movImm('rcx', EVENT);
    a.load('qword', 'rax', 'rcx', 16);
    this.#check(`whole ${pass}`, 5, bytes);
    a.alu('cmp', INDEX, count);
    a.jcc('e', `all sent ${pass}`);
    this.#submit(pass, 'next');
    a.label(`all sent ${pass}`);
    a.alu('add', BUFFER, 1);
    a.alu('cmp', BUFFER, count);
    a.jcc('ne', `next ${pass}`);
  }

  /** BEGIN or DONE with the slot in RBP. */
  #markSlot(base: number): void {
    this.#a.mov('rax', SLOT);
    this.#a.alu('or', 'rax', base);
    this.#a.data(0xe6, MARK_PORT);
  }

  #stampDone(): void {
    if (!this.#options.onHost) return this.#markSlot(MARK.DONE);
    const a = this.#a;
    this.#readCounter();
    a.store('qword', STAMP, 8, 'rax');
    this.#begunOfSlot();
    a.load('qword', 'rax', 'rcx');
    a.store('qword', STAMP, 0, 'rax');
    a.alu('add', STAMP, HOST_OUTPUT.STAMP);
  }

  /** The address of the slot's begin to RCX. */
  #begunOfSlot(): void {
    const a = this.#a;
    a.mov('rcx', SLOT);
    a.shiftLeft('rcx', 3);
    a.alu('add', 'rcx', BEGUN);
  }

  /** `struct iocb` of the slot, and its submission. */
  #submit(pass: number, which: string): void {
    const { workload: { bytes, isWrite }, onHost } = this.#options;
    const a = this.#a;
    this.#nextOffset();
    a.mov('r8', SLOT);
    a.shiftLeft('r8', BLOCK_SHIFT);
    a.alu('add', 'r8', BLOCKS);
    a.store('qword', 'r8', 0, SLOT);
    a.movImm('rax', isWrite ? 1 : 0);
    a.store('qword', 'r8', 16, 'rax');
    a.store('dword', 'r8', 20, FILE);
    a.mov('rax', SLOT);
    a.movImm('rcx', bytes);
    a.data(0x48, 0x0f, 0xaf, 0xc1); // imul rax, rcx
    a.alu('add', 'rax', this.#buffers);
    a.store('qword', 'r8', 24, 'rax');
    a.store('qword', 'r8', 32, 'rcx');
    a.store('qword', 'r8', 40, 'r10');
    a.movImm('rdx', POINTER);
    a.store('qword', 'rdx', 0, 'r8');
    a.movImm('rcx', CONTEXT);
    a.load('qword', 'rdi', 'rcx');
    a.movImm('rsi', 1);
    if (onHost) {
      a.mov('r9', 'rdx');
      this.#readCounter();
      a.mov('rdx', 'r9');
      this.#begunOfSlot();
      a.store('qword', 'rcx', 0, 'rax');
    } else this.#markSlot(MARK.BEGIN);
    this.#call(SYS.IO_SUBMIT);
    this.#check(`submitted ${which} ${pass}`, 7, 1);
    a.alu('add', INDEX, 1);
  }

  finish(): void {
    const { workload: { count }, path, onHost } = this.#options;
    const a = this.#a;
    if (onHost) {
      this.#output('clocks', TIMES, HOST_OUTPUT.CLOCKS);
      this.#output('stamps', STAMPS, count * HOST_OUTPUT.STAMP);
    } else this.#mark(MARK.END);
    a.movImm('rdi', 0);
    this.#call(SYS.EXIT);
    a.label('path');
    a.data(...new TextEncoder().encode(path), 0);
  }

  /** Writes all of it, however little standard output takes at a time. */
  #output(name: string, from: number, bytes: number): void {
    const a = this.#a;
    a.movImm(SLOT, from);
    a.movImm(INDEX, bytes);
    a.label(`output ${name}`);
    a.movImm('rdi', 1);
    a.mov('rsi', SLOT);
    a.mov('rdx', INDEX);
    this.#call(SYS.WRITE);
    this.#check(`written ${name}`, 8);
    a.alu('add', SLOT, 'rax');
    a.alu('sub', INDEX, 'rax');
    a.jcc('ne', `output ${name}`);
  }
}

/** ELF64 with the code where it begins and memory behind it. */
function executable(code: Uint8Array, dataBytes: number): Uint8Array {
  const file = new Uint8Array(HEADER_BYTES + code.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // executable
  view.setUint16(18, 62, true); // x86-64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(LOAD_AT + HEADER_BYTES), true);
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  segment(view, 64, { flags: 5, at: LOAD_AT, fileBytes: file.length, memoryBytes: file.length });
  segment(view, 120, { flags: 6, at: DATA_AT, fileBytes: 0, memoryBytes: dataBytes });
  file.set(code, HEADER_BYTES);
  return file;
}

interface Segment {
  readonly flags: number;
  readonly at: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

function segment(view: DataView, at: number, { flags, at: address, fileBytes, memoryBytes }: Segment): void {
  view.setUint32(at, 1, true);
  view.setUint32(at + 4, flags, true);
  for (const place of [16, 24]) view.setBigUint64(at + place, BigInt(address), true);
  view.setBigUint64(at + 32, BigInt(fileBytes), true);
  view.setBigUint64(at + 40, BigInt(memoryBytes), true);
  view.setBigUint64(at + 48, BigInt(PAGE), true);
}
