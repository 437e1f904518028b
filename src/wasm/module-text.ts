// A module that ModuleWriter made, in the text format: for logs, and for the eye of whoever changes what is emitted. One line of text
// is a statement: instructions up to the one that stores, branches or calls. Locals that no instruction uses are left out.
import { assert } from '../base/assert.ts';
import { ByteReader, readInstruction, type InstructionNames } from './instruction-text.ts';
import { OP, TYPE, type ValueType } from './opcodes.ts';

export interface TextOptions {
  /** Names of parameters and locals of every function, without the dollar sign. */
  readonly localNames?: readonly string[];
  /** What lies at a constant address, for a comment. */
  addressName?(offset: number): string | undefined;
  /** Comments of a function, by the offset of the instruction in its code that they come before. */
  comments?(functionName: string): ReadonlyMap<number, string>;
}

interface Signature {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

const TYPE_NAMES = new Map(Object.entries(TYPE).map(([name, code]): [number, ValueType] => [code, name as ValueType]));
const vector = <T>(reader: ByteReader, read: () => T): T[] => Array.from({ length: reader.u32() }, read);
const types = (reader: ByteReader): ValueType[] => vector(reader, () => TYPE_NAMES.get(reader.byte())!);
const clause = (word: string, list: readonly string[]): string => (list.length === 0 ? '' : ` (${word} ${list.join(' ')})`);

class ModuleReader {
  readonly #bytes: Uint8Array;
  readonly #options: TextOptions;
  readonly #lines: string[] = [];
  readonly #signatures: Signature[] = [];
  readonly #functionNames: string[] = [];
  readonly #globals: string[] = [];
  #typeOfOwn: number[] = [];
  readonly #exported: string[] = [];
  #name = '';

  constructor(bytes: Uint8Array, options: TextOptions) {
    this.#bytes = bytes;
    this.#options = options;
  }

  text(): string {
    const sections = this.#sections();
    const read = (id: number, action: (reader: ByteReader) => void): void => {
      const reader = sections.get(id);
      if (reader !== undefined) action(reader);
    };
    read(0, (reader) => this.#readName(reader));
    read(1, (reader) => vector(reader, () => this.#readType(reader)));
    read(2, (reader) => vector(reader, () => this.#readImport(reader)));
    read(3, (reader) => { this.#typeOfOwn = vector(reader, () => reader.u32()); });
    const imported = this.#functionNames.length;
    read(7, (reader) => vector(reader, () => this.#readExport(reader, imported)));
    read(10, (reader) => {
      let number = 0;
      vector(reader, () => this.#readFunction(reader, number++));
    });
    return [`(module${this.#name === '' ? '' : ` $${this.#name}`}`, ...this.#lines, ')', ''].join('\n');
  }

  #sections(): ReadonlyMap<number, ByteReader> {
    const sections = new Map<number, ByteReader>();
    const reader = new ByteReader(this.#bytes, 8);
    while (reader.at < reader.end) {
      const id = reader.byte();
      const size = reader.u32();
      sections.set(id, new ByteReader(this.#bytes, reader.at, reader.at + size));
      reader.bytes(size);
    }
    return sections;
  }

  #readName(reader: ByteReader): void {
    assert(reader.name() === 'name' && reader.byte() === 0, 'the module is named');
    reader.u32();
    this.#name = reader.name();
  }

  #readType(reader: ByteReader): void {
    assert(reader.byte() === 0x60, 'a function type');
    const signature = { params: types(reader), results: types(reader) };
    const clauses = clause('param', signature.params) + clause('result', signature.results);
    this.#lines.push(`  (type $t${this.#signatures.length} (func${clauses}))`);
    this.#signatures.push(signature);
  }

  #readImport(reader: ByteReader): void {
    const module = reader.name(), name = reader.name();
    const from = `  (import "${module}" "${name}"`;
    switch (reader.byte()) {
      case 0:
        this.#lines.push(`${from} (func $${name} (type $t${reader.u32()})))`);
        this.#functionNames.push(`$${name}`);
        return;
      case 1:
        reader.bytes(2);
        this.#lines.push(`${from} (table ${reader.u32()} funcref))`);
        return;
      case 2:
        reader.byte();
        this.#lines.push(`${from} (memory ${reader.u32()} ${reader.u32()} shared))`);
        return;
      default:
        reader.bytes(2);
        this.#lines.push(`${from} (global $${name} i32))`);
        this.#globals.push(`$${name}`);
    }
  }

  #readExport(reader: ByteReader, imported: number): void {
    const name = reader.name();
    assert(reader.byte() === 0, 'a function is exported');
    const index = reader.u32();
    this.#functionNames[index] = `$${name}`;
    this.#exported[index - imported] = name;
  }

  #readFunction(reader: ByteReader, number: number): void {
    const size = reader.u32();
    const end = reader.at + size;
    const { params, results } = this.#signatures[this.#typeOfOwn[number]!]!;
    const locals = vector(reader, () => Array<ValueType>(reader.u32()).fill(TYPE_NAMES.get(reader.byte())!)).flat();
    const name = this.#exported[number] ?? `f${number}`;
    const local = (index: number): string => `$${this.#options.localNames?.[index] ?? index}`;
    const declared = (word: string, list: readonly ValueType[], first: number): string[] =>
      list.map((type, n) => ` (${word} ${local(first + n)} ${type})`);
    const used = new Set<number>();
    const names: InstructionNames = {
      local: (index) => {
        used.add(index);
        return local(index);
      },
      function: (index) => this.#functionNames[index]!, type: (index) => `$t${index}`, global: (index) => this.#globals[index]!,
      address: (offset) => this.#options.addressName?.(offset),
    };
    const code = this.#bytes.subarray(reader.at, end);
    const body = bodyLines(code, names, this.#options.comments?.(name) ?? new Map());
    const isUsed = locals.map((_, n) => used.has(params.length + n));
    this.#lines.push(`  ;; ${code.length} bytes of code, ${isUsed.filter(Boolean).length} of ${locals.length} locals used`);
    this.#lines.push(`  (func $${name} (export "${name}")${declared('param', params, 0).join('')}${clause('result', results)}`);
    const shown = declared('local', locals, params.length).filter((_, n) => isUsed[n] === true);
    if (shown.length > 0) this.#lines.push(`   ${shown.join('')}`);
    this.#lines.push(...body, '  )');
    reader.bytes(end - reader.at);
  }
}

const ENDS_LINE = /^(local\.set|br|br_if|br_table|return|unreachable|drop|call|nop)$|\.store|^memory\./;

function bodyLines(code: Uint8Array, names: InstructionNames, comments: ReadonlyMap<number, string>): string[] {
  const lines: string[] = [];
  const reader = new ByteReader(code);
  let depth = 2;
  let words: string[] = [];
  const flush = (): void => {
    if (words.length > 0) lines.push('  '.repeat(depth) + words.join(' '));
    words = [];
  };
  while (reader.at < code.length - 1) { // the last END is the function's
    const comment = comments.get(reader.at);
    if (comment !== undefined) {
      flush();
      lines.push(`${'  '.repeat(depth)};; ${comment}`);
    }
    const instruction = readInstruction(reader, names);
    if (instruction.code === OP.end || instruction.code === OP.else) {
      flush();
      depth--;
    }
    words.push(instruction.text);
    const opens = [OP.block, OP.loop, OP.if, OP.else].some((opener) => opener === instruction.code);
    if (opens || instruction.code === OP.end || ENDS_LINE.test(instruction.name)) flush();
    if (opens) depth++;
  }
  flush();
  return lines;
}

export const moduleText = (bytes: Uint8Array, options: TextOptions = {}): string => new ModuleReader(bytes, options).text();
