// A tiny assembler for 64-bit code: the few instructions that the built-in guest needs, one method each, with labels.
// Operands are register names and numbers; memory is [register + displacement]. Encodings: Intel SDM volume 2.
// Not the processor's instruction table (cpu/x86/isa), which is for decoding.
import { assert } from '../../base/assert.ts';

// prettier-ignore
const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
export type Register = (typeof REGISTERS)[number];

/** The low four bits of Jcc. */
const CONDITION = { c: 2, nc: 3, e: 4, ne: 5, be: 6, a: 7, l: 12, ge: 13 } as const;
export type Condition = keyof typeof CONDITION;

/** Digit of group 1, which is also the opcode row. */
const ARITHMETIC = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
export type Arithmetic = keyof typeof ARITHMETIC;

export type MemoryWidth = 'byte' | 'dword' | 'qword';

const number = (register: Register): number => REGISTERS.indexOf(register);
const REX_W = 0x48;

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { readonly at: number; readonly label: string }[] = [];

  label(name: string): void {
    assert(!this.#labels.has(name), `label ${name} defined twice`);
    this.#labels.set(name, this.#bytes.length);
  }

  #emit(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  #imm32(value: number): void {
    this.#emit(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff);
  }

  /** A displacement from the end of the instruction, which ends with it. */
  #relative(label: string): void {
    this.#fixups.push({ at: this.#bytes.length, label });
    this.#imm32(0);
  }

  /** REX.W, opcode, register-direct ModRM. */
  #registers(opcode: readonly number[], reg: number, rm: number): void {
    this.#emit(REX_W | ((reg >> 3) << 2) | (rm >> 3), ...opcode, 0xc0 | ((reg & 7) << 3) | (rm & 7));
  }

  /** Opcode with [base + disp8]; RSP and R12 would need a SIB byte. */
  #memory(rexW: boolean, opcode: readonly number[], reg: number, base: Register, displacement: number): void {
    const rm = number(base);
    assert((rm & 7) !== 4 && displacement >= -128 && displacement < 128, `no encoding for [${base} + ${displacement}]`);
    this.#emit((rexW ? REX_W : 0x40) | ((reg >> 3) << 2) | (rm >> 3), ...opcode, 0x40 | ((reg & 7) << 3) | (rm & 7), displacement & 0xff);
  }

  /** The register's upper half becomes zero. */
  movImm(target: Register, value: number): void {
    const n = number(target);
    this.#emit(0x40 | (n >> 3), 0xb8 | (n & 7));
    this.#imm32(value);
  }

  mov(target: Register, source: Register): void {
    this.#registers([0x89], number(source), number(target));
  }

  lea(target: Register, label: string): void {
    const n = number(target);
    this.#emit(REX_W | ((n >> 3) << 2), 0x8d, ((n & 7) << 3) | 5);
    this.#relative(label);
  }

  /** The descriptor at `label`: limit, then base. */
  lidt(label: string): void {
    this.#emit(0x0f, 0x01, 0x1d);
    this.#relative(label);
  }

  /** Bytes and doublewords are zero-extended. */
  load(width: MemoryWidth, target: Register, base: Register, displacement = 0): void {
    this.#memory(width === 'qword', width === 'byte' ? [0x0f, 0xb6] : [0x8b], number(target), base, displacement);
  }

  store(width: MemoryWidth, base: Register, displacement: number, source: Register): void {
    this.#memory(width === 'qword', [width === 'byte' ? 0x88 : 0x89], number(source), base, displacement);
  }

  alu(operation: Arithmetic, target: Register, source: Register | number): void {
    const digit = ARITHMETIC[operation];
    if (typeof source !== 'number') return this.#registers([(digit << 3) | 1], number(source), number(target));
    this.#registers([0x81], digit, number(target));
    this.#imm32(source);
  }

  shiftLeft(target: Register, count: number): void {
    this.#registers([0xc1], 4, number(target));
    this.#emit(count);
  }

  shiftRight(target: Register, count: number): void {
    this.#registers([0xc1], 5, number(target));
    this.#emit(count);
  }

  /** CF = the bit of `source` that `index` selects, modulo 64. */
  bitTest(source: Register, index: Register): void {
    this.#registers([0x0f, 0xa3], number(index), number(source));
  }

  /** RDX:RAX / divisor: quotient to RAX, remainder to RDX. */
  div(divisor: Register): void {
    this.#registers([0xf7], 6, number(divisor));
  }

  push(source: Register): void {
    this.#emit(0x40 | (number(source) >> 3), 0x50 | (number(source) & 7));
  }

  pop(target: Register): void {
    this.#emit(0x40 | (number(target) >> 3), 0x58 | (number(target) & 7));
  }

  jmp(label: string): void {
    this.#emit(0xe9);
    this.#relative(label);
  }

  jcc(condition: Condition, label: string): void {
    this.#emit(0x0f, 0x80 | CONDITION[condition]);
    this.#relative(label);
  }

  call(label: string): void {
    this.#emit(0xe8);
    this.#relative(label);
  }

  ret = (): void => this.#emit(0xc3);
  iretq = (): void => this.#emit(REX_W, 0xcf);
  cpuid = (): void => this.#emit(0x0f, 0xa2);
  cli = (): void => this.#emit(0xfa);
  sti = (): void => this.#emit(0xfb);
  hlt = (): void => this.#emit(0xf4);
  /** Port in DX. */
  inAl = (): void => this.#emit(0xec);
  inEax = (): void => this.#emit(0xed);
  outAl = (): void => this.#emit(0xee);
  outAx = (): void => this.#emit(0x66, 0xef);
  outEax = (): void => this.#emit(0xef);

  /** ASCII with a NUL behind it. */
  text(value: string): void {
    for (const c of value) this.#emit(c.charCodeAt(0) & 0x7f);
    this.#emit(0);
  }

  data(...bytes: readonly number[]): void {
    this.#emit(...bytes);
  }

  space(sizeBytes: number): void {
    for (let n = 0; n < sizeBytes; n++) this.#bytes.push(0);
  }

  /** Offset of a label from the start. */
  offsetOf(label: string): number {
    const offset = this.#labels.get(label);
    assert(offset !== undefined, `no label ${label}`);
    return offset;
  }

  /** The code with all labels resolved; it runs at any address. */
  assemble(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label } of this.#fixups) view.setInt32(at, this.offsetOf(label) - (at + 4), true);
    return code;
  }
}
