// A tiny assembler for 16-bit code: the instructions that the BIOS's stubs and the test's boot sectors need, one method each,
// with labels. Memory operands are [label or number] or [register] without displacement. Encodings: Intel SDM volume 2.
// Its 64-bit sister is assembler.ts.
import { assert } from '../../base/assert.ts';

const WORDS = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const;
const BYTES = ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds'] as const;
export type Word = (typeof WORDS)[number];
export type Byte = (typeof BYTES)[number];
export type Segment = (typeof SEGMENTS)[number];

/** The low four bits of Jcc. */
const CONDITION = { c: 2, nc: 3, e: 4, ne: 5, be: 6, a: 7, s: 8, ns: 9 } as const;
/** Digit of group 1, which is also the opcode row. */
const ARITHMETIC = { add: 0, or: 1, and: 4, sub: 5, xor: 6, cmp: 7 } as const;
/** r/m without displacement. */
const POINTER = { si: 4, di: 5, bx: 7 } as const;

/** A number, or the address of a label. */
export type Address = number | string;

const isWord = (register: Word | Byte): register is Word => (WORDS as readonly string[]).includes(register);
const number = (register: Word | Byte): number =>
  isWord(register) ? WORDS.indexOf(register) : (BYTES as readonly string[]).indexOf(register);

export class RealModeAssembler {
  readonly #origin: number;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { readonly at: number; readonly label: string; readonly relative: boolean }[] = [];

  /** `origin`: the offset of the first byte in its segment. */
  constructor(origin: number) {
    this.#origin = origin;
  }

  get here(): number {
    return this.#origin + this.#bytes.length;
  }

  label(name: string): void {
    assert(!this.#labels.has(name), `label ${name} defined twice`);
    this.#labels.set(name, this.here);
  }

  #emit(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  #word(value: Address): void {
    if (typeof value === 'string') this.#fixups.push({ at: this.#bytes.length, label: value, relative: false });
    const known = typeof value === 'string' ? 0 : value;
    this.#emit(known & 0xff, (known >> 8) & 0xff);
  }

  #relative(label: string): void {
    this.#fixups.push({ at: this.#bytes.length, label, relative: true });
    this.#emit(0, 0);
  }

  mov(target: Word | Byte, source: Word | Byte | Address): void {
    const n = number(target);
    if (typeof source === 'string' && (BYTES as readonly string[]).concat(WORDS).includes(source)) {
      return this.#emit(isWord(target) ? 0x8b : 0x8a, 0xc0 | (n << 3) | number(source as Word | Byte));
    }
    if (isWord(target)) {
      this.#emit(0xb8 | n);
      this.#word(source);
    } else this.#emit(0xb0 | n, (source as number) & 0xff);
  }

  movToSegment(target: Segment, source: Word): void {
    this.#emit(0x8e, 0xc0 | (SEGMENTS.indexOf(target) << 3) | number(source));
  }

  movFromSegment(target: Word, source: Segment): void {
    this.#emit(0x8c, 0xc0 | (SEGMENTS.indexOf(source) << 3) | number(target));
  }

  load(target: Word | Byte, address: Address): void {
    this.#emit(isWord(target) ? 0x8b : 0x8a, (number(target) << 3) | 6);
    this.#word(address);
  }

  store(address: Address, source: Word | Byte): void {
    this.#emit(isWord(source) ? 0x89 : 0x88, (number(source) << 3) | 6);
    this.#word(address);
  }

  loadAt(target: Word | Byte, pointer: keyof typeof POINTER): void {
    this.#emit(isWord(target) ? 0x8b : 0x8a, (number(target) << 3) | POINTER[pointer]);
  }

  storeAt(pointer: keyof typeof POINTER, source: Word | Byte): void {
    this.#emit(isWord(source) ? 0x89 : 0x88, (number(source) << 3) | POINTER[pointer]);
  }

  alu(operation: keyof typeof ARITHMETIC, target: Word | Byte, source: Word | Byte | number): void {
    const digit = ARITHMETIC[operation];
    const wide = isWord(target) ? 1 : 0;
    if (typeof source === 'string') return this.#emit((digit << 3) | 2 | wide, 0xc0 | (number(target) << 3) | number(source));
    this.#emit(0x80 | wide, 0xc0 | (digit << 3) | number(target));
    if (wide === 1) this.#word(source);
    else this.#emit(source & 0xff);
  }

  /** cmp byte [bp + displacement], value. */
  cmpAtBp(displacement: number, value: number): void {
    this.#emit(0x80, 0x7e, displacement & 0xff, value & 0xff);
  }

  inc = (register: Word): void => this.#emit(0x40 | number(register));
  dec = (register: Word): void => this.#emit(0x48 | number(register));
  push = (register: Word): void => this.#emit(0x50 | number(register));
  pop = (register: Word): void => this.#emit(0x58 | number(register));
  pushSegment = (segment: Segment): void => this.#emit(0x06 | (SEGMENTS.indexOf(segment) << 3));
  popSegment = (segment: Segment): void => this.#emit(0x07 | (SEGMENTS.indexOf(segment) << 3));

  pushImm(value: number): void {
    this.#emit(0x68);
    this.#word(value);
  }

  int = (vector: number): void => this.#emit(0xcd, vector);

  jmp(label: string): void {
    this.#emit(0xe9);
    this.#relative(label);
  }

  jmpFar(segment: number, offset: Address): void {
    this.#emit(0xea);
    this.#word(offset);
    this.#word(segment);
  }

  /** jmp far [address]. */
  jmpFarAt(address: number): void {
    this.#emit(0xff, 0x2e);
    this.#word(address);
  }

  jcc(condition: keyof typeof CONDITION, label: string): void {
    this.#emit(0x0f, 0x80 | CONDITION[condition]);
    this.#relative(label);
  }

  call(label: string): void {
    this.#emit(0xe8);
    this.#relative(label);
  }

  ret = (): void => this.#emit(0xc3);
  retFar = (): void => this.#emit(0xcb);
  iret = (): void => this.#emit(0xcf);
  retFarPop(bytes: number): void {
    this.#emit(0xca);
    this.#word(bytes);
  }
  cli = (): void => this.#emit(0xfa);
  sti = (): void => this.#emit(0xfb);
  cld = (): void => this.#emit(0xfc);
  clc = (): void => this.#emit(0xf8);
  stc = (): void => this.#emit(0xf9);
  cmc = (): void => this.#emit(0xf5);
  hlt = (): void => this.#emit(0xf4);
  nop = (): void => this.#emit(0x90);
  lodsb = (): void => this.#emit(0xac);
  repMovsw = (): void => this.#emit(0xf3, 0xa5);
  repeCmpsw = (): void => this.#emit(0xf3, 0xa7);
  inAl = (port: number): void => this.#emit(0xe4, port);
  outAl = (port: number): void => this.#emit(0xe6, port);
  /** Port in DX. */
  outDxAl = (): void => this.#emit(0xee);
  inAlDx = (): void => this.#emit(0xec);

  /** ASCII with a NUL behind it. */
  text(value: string): void {
    for (const c of value) this.#emit(c.charCodeAt(0) & 0x7f);
    this.#emit(0);
  }

  data(...bytes: readonly number[]): void {
    this.#emit(...bytes);
  }

  words(...values: readonly Address[]): void {
    for (const value of values) this.#word(value);
  }

  /** Zeroes up to an offset. */
  padTo(offset: number): void {
    assert(offset >= this.here, `${this.here.toString(16)} is past ${offset.toString(16)}`);
    while (this.here < offset) this.#bytes.push(0);
  }

  offsetOf(label: string): number {
    const offset = this.#labels.get(label);
    assert(offset !== undefined, `no label ${label}`);
    return offset;
  }

  assemble(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label, relative } of this.#fixups) {
      const target = this.offsetOf(label);
      view.setUint16(at, relative ? (target - (this.#origin + at + 2)) & 0xffff : target, true);
    }
    return code;
  }
}
