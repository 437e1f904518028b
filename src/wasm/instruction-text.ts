// WebAssembly instructions as the specification's text format (core specification 2.0 section 6.5): decodes the bytes that
// code-writer.ts writes, names from opcodes.ts. Covers what is declared there; anything else is an error of the writer.
import { assert } from '../base/assert.ts';
import { OP, TYPE } from './opcodes.ts';

const PREFIXES = 0xfc;
/** First parts of names that end in a dot: i32_load8_u is i32.load8_u. */
const SPACES = /^(i32|i64|f32|f64|v128|i8x16|i16x8|i32x4|i64x2|f32x4|f64x2|local|global|memory|table)_(atomic_)?(rmw(?:8|16|32)?_)?/;
const textOf = (name: string): string =>
  name.replace(SPACES, (_, space: string, atomic = '', rmw = '') => `${space}.${atomic.replace('_', '.')}${rmw.replace('_', '.')}`);

const NAMES = new Map(Object.entries(OP).map(([name, code]): [number, string] => [code, textOf(name)]));
const TYPE_NAMES = new Map(Object.entries(TYPE).map(([name, code]): [number, string] => [code, name]));

export class ByteReader {
  readonly #bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.at = start;
    this.end = end;
  }

  byte(): number {
    assert(this.at < this.end, 'the code is whole');
    return this.#bytes[this.at++]!;
  }

  u32(): number {
    return Number(this.leb(false));
  }

  leb(signed: boolean): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return signed ? BigInt.asIntN(Number(shift) + 7, value) : value;
    }
  }

  bytes(count: number): Uint8Array {
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  name(): string {
    return new TextDecoder().decode(this.bytes(this.u32()));
  }
}

export interface InstructionNames {
  local(index: number): string;
  function(index: number): string;
  type(index: number): string;
  global(index: number): string;
  /** What lies at a constant address, for a comment. */
  address(offset: number): string | undefined;
}

export interface Instruction {
  readonly code: number;
  readonly name: string;
  readonly text: string;
}

function readCode(reader: ByteReader): number {
  const first = reader.byte();
  return first < PREFIXES ? first : (first << 12) | reader.u32();
}

const prefixOf = (code: number): number => code >>> 12;
const lowOf = (code: number): number => code & 0xfff;

function hasMemoryArgument(code: number): boolean {
  if (code <= 0xff) return code >= 0x28 && code <= 0x3e;
  const low = lowOf(code);
  if (prefixOf(code) === 0xfe) return low !== 3;
  return prefixOf(code) === 0xfd && (low <= 11 || (low >= 84 && low <= 93));
}

const within = (value: number, first: number, last: number): boolean => value >= first && value <= last;
const hasLane = (code: number): boolean => prefixOf(code) === 0xfd && (within(lowOf(code), 21, 34) || within(lowOf(code), 84, 91));

/** Hints that say nothing, of alignment to one byte, are left out; an atomic access has no other alignment than its own. */
function memoryArgument(reader: ByteReader, code: number, names: InstructionNames): string {
  const align = reader.u32();
  const offset = reader.u32();
  const what = names.address(offset);
  const words = (offset === 0 ? '' : ` offset=${offset}`) + (what === undefined ? '' : ` (;${what};)`);
  return prefixOf(code) === 0xfe || align === 0 ? words : `${words} align=${2 ** align}`;
}

function lanes(reader: ByteReader): string {
  return [...reader.bytes(16)].join(' ');
}

function operandText(reader: ByteReader, code: number, names: InstructionNames): string {
  switch (code) {
    case OP.block: case OP.loop: case OP.if: {
      const type = reader.byte();
      return type === TYPE.empty ? '' : ` (result ${TYPE_NAMES.get(type)!})`;
    }
    case OP.br: case OP.br_if:
      return ` ${reader.u32()}`;
    case OP.br_table:
      return ` ${Array.from({ length: reader.u32() + 1 }, () => reader.u32()).join(' ')}`;
    case OP.call:
      return ` ${names.function(reader.u32())}`;
    case OP.call_indirect: {
      const type = reader.u32();
      return ` ${reader.u32()} (type ${names.type(type)})`;
    }
    case OP.local_get: case OP.local_set: case OP.local_tee:
      return ` ${names.local(reader.u32())}`;
    case OP.global_get: case OP.global_set:
      return ` ${names.global(reader.u32())}`;
    case OP.i32_const: case OP.i64_const:
      return ` ${constantText(reader.leb(true))}`;
    case OP.v128_const: case OP.i8x16_shuffle:
      return `${code === OP.v128_const ? ' i8x16' : ''} ${lanes(reader)}`;
    case OP.memory_copy:
      reader.bytes(2);
      return '';
    case OP.memory_fill:
      reader.bytes(1);
      return '';
    default:
      return otherOperands(reader, code, names);
  }
}

/** Small ones in decimal, the others in hexadecimal: they are addresses and masks. */
function constantText(value: bigint): string {
  if (value > -4096n && value < 4096n) return String(value);
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

function otherOperands(reader: ByteReader, code: number, names: InstructionNames): string {
  if (code === 0x43) return floatText(reader.bytes(4));
  if (code === 0x44) return floatText(reader.bytes(8));
  const memory = hasMemoryArgument(code) ? memoryArgument(reader, code, names) : '';
  return hasLane(code) ? `${memory} ${reader.byte()}` : memory;
}

function floatText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const value = bytes.length === 4 ? view.getFloat32(0, true) : view.getFloat64(0, true);
  if (!Number.isNaN(value)) return ` ${value === Infinity ? 'inf' : value === -Infinity ? '-inf' : Object.is(value, -0) ? '-0' : value}`;
  const bits = bytes.length === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
  const fraction = BigInt.asUintN(bytes.length === 4 ? 23 : 52, bits);
  return ` ${bits >> BigInt(bytes.length * 8 - 1) === 0n ? '' : '-'}nan:0x${fraction.toString(16)}`;
}

export function readInstruction(reader: ByteReader, names: InstructionNames): Instruction {
  const code = readCode(reader);
  const name = NAMES.get(code) ?? (code === 0x43 ? 'f32.const' : code === 0x44 ? 'f64.const' : undefined);
  assert(name !== undefined, `opcode 0x${code.toString(16)} is declared`);
  return { code, name, text: name + operandText(reader, code, names) };
}
