// Writes the body of one WebAssembly function into a byte buffer that grows: instructions, immediates, labels.
// Labels are absolute nesting depths; `br` turns them into the relative ones of the binary format. Knows no x86.
import { assert } from '../base/assert.ts';
import { OP, TYPE, type ValueType } from './opcodes.ts';

/** A branch target: the nesting depth at which its block was opened. */
export type Label = number;

export class CodeWriter {
  bytes: Uint8Array;
  length = 0;
  depth = 0;

  readonly #module: ModuleWriter | undefined;

  /** `module` is needed for `callIndirect` only. */
  constructor(capacity = 4096, module?: ModuleWriter) {
    this.bytes = new Uint8Array(capacity);
    this.#module = module;
  }

  #grow(): void {
    const larger = new Uint8Array(this.bytes.length * 2);
    larger.set(this.bytes);
    this.bytes = larger;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow();
    this.bytes[this.length++] = value;
  }

  /** Unsigned LEB128 of a value below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  op(code: number): void {
    if (code <= 0xff) this.byte(code);
    else {
      this.byte(code >>> 12);
      this.u32(code & 0xfff);
    }
  }

  i32(value: number): void {
    this.byte(OP.i32_const);
    this.s32(value);
  }

  /** i64 constant from a signed 32-bit number. */
  i64(value: number): void {
    this.byte(OP.i64_const);
    this.s32(value);
  }

  /** i64 constant from any signed 64-bit value. */
  i64big(value: bigint): void {
    this.byte(OP.i64_const);
    let rest = BigInt.asIntN(64, value);
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  get(local: number): void {
    this.byte(OP.local_get);
    this.u32(local);
  }

  set(local: number): void {
    this.byte(OP.local_set);
    this.u32(local);
  }

  tee(local: number): void {
    this.byte(OP.local_tee);
    this.u32(local);
  }

  /** A load or store. Alignment is a hint; 0 is always valid, except for atomics, which name their natural one. */
  memory(code: number, offset = 0, alignLog2 = 0): void {
    this.op(code);
    this.u32(alignLog2);
    this.u32(offset);
  }

  /** Whole instructions of another writer, at the same nesting depth. */
  append(other: CodeWriter): void {
    while (this.length + other.length > this.bytes.length) this.#grow();
    this.bytes.set(other.bytes.subarray(0, other.length), this.length);
    this.length += other.length;
  }

  call(functionIndex: number): void {
    this.byte(OP.call);
    this.u32(functionIndex);
  }

  /** Arguments and the table index are on the stack. */
  callIndirect(typeIndex: number): void {
    this.byte(OP.call_indirect);
    this.u32(typeIndex);
    this.byte(0);
  }

  typeIndex(type: FunctionType): number {
    assert(this.#module !== undefined, 'the module is known');
    return this.#module.typeIndex(type);
  }

  block(result: number = TYPE.empty): Label {
    this.byte(OP.block);
    this.byte(result);
    return ++this.depth;
  }

  loop(result: number = TYPE.empty): Label {
    this.byte(OP.loop);
    this.byte(result);
    return ++this.depth;
  }

  if(result: number = TYPE.empty): Label {
    this.byte(OP.if);
    this.byte(result);
    return ++this.depth;
  }

  else(): void {
    this.byte(OP.else);
  }

  end(): void {
    assert(this.depth > 0, 'end without a block');
    this.byte(OP.end);
    this.depth--;
  }

  br(label: Label): void {
    this.byte(OP.br);
    this.u32(this.depth - label);
  }

  brIf(label: Label): void {
    this.byte(OP.br_if);
    this.u32(this.depth - label);
  }

  brTable(labels: readonly Label[], fallback: Label): void {
    this.byte(OP.br_table);
    this.u32(labels.length);
    for (const label of labels) this.u32(this.depth - label);
    this.u32(this.depth - fallback);
  }
}

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

interface Import {
  readonly module: string;
  readonly name: string;
  readonly type: FunctionType;
}

interface Body {
  readonly name: string;
  readonly type: FunctionType;
  readonly locals: readonly ValueType[];
  readonly code: CodeWriter;
}

/** Assembles a module that imports a shared memory `env.memory` and functions, and exports functions. */
export class ModuleWriter {
  readonly #imports: Import[] = [];
  readonly #bodies: Body[] = [];
  readonly #memory: { readonly initial: number; readonly maximum: number };
  readonly #globals: string[] = [];
  readonly #types: string[] = [];
  #table: string | undefined;

  readonly #name: string;

  /** V8's profiler and its messages show the name. */
  constructor(memoryPages: { readonly initial: number; readonly maximum: number }, moduleName: string) {
    this.#memory = memoryPages;
    this.#name = moduleName;
  }

  /** Imports an immutable i32 global from `env`. Returns its index. */
  importGlobal(name: string): number {
    this.#globals.push(name);
    return this.#globals.length - 1;
  }

  /** Imports a table of functions from `env`; there is at most one. */
  importTable(name: string): void {
    this.#table = name;
  }

  typeIndex(type: FunctionType): number {
    const key = JSON.stringify([type.params, type.results]);
    const known = this.#types.indexOf(key);
    return known >= 0 ? known : this.#types.push(key) - 1;
  }

  /** Returns the function index. All imports come before the first function. */
  importFunction(module: string, name: string, type: FunctionType): number {
    assert(this.#bodies.length === 0, 'imports come first');
    this.#imports.push({ module, name, type });
    return this.#imports.length - 1;
  }

  addFunction(name: string, type: FunctionType, locals: readonly ValueType[], code: CodeWriter): number {
    this.#bodies.push({ name, type, locals, code });
    return this.#imports.length + this.#bodies.length - 1;
  }

  encode(): Uint8Array<ArrayBuffer> {
    const out = new CodeWriter(64 * 1024);
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    const types = this.#types;
    const typeIndex = (type: FunctionType): number => this.typeIndex(type);
    for (const { type } of [...this.#imports, ...this.#bodies]) typeIndex(type);
    section(out, 1, (w) => {
      w.u32(types.length);
      for (const key of types) {
        const [params, results] = JSON.parse(key) as [ValueType[], ValueType[]];
        w.byte(0x60);
        for (const list of [params, results]) {
          w.u32(list.length);
          for (const type of list) w.byte(TYPE[type]);
        }
      }
    });
    section(out, 2, (w) => {
      w.u32(this.#imports.length + this.#globals.length + (this.#table === undefined ? 1 : 2));
      name(w, 'env');
      name(w, 'memory');
      for (const byte of [2, 3]) w.byte(byte); // memory with a maximum, shared
      w.u32(this.#memory.initial);
      w.u32(this.#memory.maximum);
      for (const global of this.#globals) {
        name(w, 'env');
        name(w, global);
        for (const byte of [3, TYPE.i32, 0]) w.byte(byte);
      }
      if (this.#table !== undefined) {
        name(w, 'env');
        name(w, this.#table);
        for (const byte of [1, 0x70, 0, 0]) w.byte(byte); // functions, no minimum or maximum
      }
      for (const entry of this.#imports) {
        name(w, entry.module);
        name(w, entry.name);
        w.byte(0);
        w.u32(typeIndex(entry.type));
      }
    });
    section(out, 3, (w) => {
      w.u32(this.#bodies.length);
      for (const body of this.#bodies) w.u32(typeIndex(body.type));
    });
    section(out, 7, (w) => {
      w.u32(this.#bodies.length);
      for (const [index, body] of this.#bodies.entries()) {
        name(w, body.name);
        w.byte(0);
        w.u32(this.#imports.length + index);
      }
    });
    const heads = this.#bodies.map(({ locals }) => localsHead(locals));
    section(out, 10, (w) => {
      w.u32(this.#bodies.length);
      for (const [index, { code }] of this.#bodies.entries()) {
        const head = heads[index]!;
        w.u32(head.length + code.length + 1);
        w.append(head);
        w.append(code);
        w.byte(OP.end);
      }
    });
    section(out, 0, (w) => {
      name(w, 'name');
      section(w, 0, (module) => name(module, this.#name));
    });
    return out.bytes.slice(0, out.length);
  }
}

/** The declarations of a function's locals, in runs of one type. */
function localsHead(locals: readonly ValueType[]): CodeWriter {
  const runs: { type: ValueType; count: number }[] = [];
  for (const type of locals) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  const head = new CodeWriter(64);
  head.u32(runs.length);
  for (const { type, count } of runs) {
    head.u32(count);
    head.byte(TYPE[type]);
  }
  return head;
}

function section(out: CodeWriter, id: number, write: (w: CodeWriter) => void): void {
  const content = new CodeWriter();
  write(content);
  out.byte(id);
  out.u32(content.length);
  out.append(content);
}

function name(out: CodeWriter, text: string): void {
  const bytes = new TextEncoder().encode(text);
  out.u32(bytes.length);
  for (const byte of bytes) out.byte(byte);
}
