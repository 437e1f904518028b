// Binary layouts: a structure of a file or of guest memory declared once as fields with offsets, in the words of its
// specification. Decoding, encoding and bounds checks are derived from the declaration. Not a parser of variable parts
// (those stay with their format) and not for hot paths: it goes through DataView and objects.
import { assert } from '../base/assert.ts';
import { Failure } from '../base/failure.ts';

export interface Field<T> {
  readonly offset: number;
  readonly sizeBytes: number;
  get(view: DataView, at: number): T;
  set(view: DataView, at: number, value: T): void;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a record of fields of different value types
export type Fields = Readonly<Record<string, Field<any>>>;
export type Decoded<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Layout<F extends Fields> {
  readonly name: string;
  readonly fields: F;
  readonly sizeBytes: number;
  /** Failure when `bytes` ends before the structure does. */
  decode(bytes: Uint8Array, offset?: number): Decoded<F>;
  /** A whole structure; what is not given is zero. */
  encode(values: Partial<Decoded<F>>): Uint8Array;
  /** Changes only the given fields of `target`. */
  write(target: Uint8Array, values: Partial<Decoded<F>>, offset?: number): void;
}

type NumberGetter = (view: DataView, at: number) => number;
type NumberSetter = (view: DataView, at: number, value: number) => void;

function integer(sizeBytes: number, get: NumberGetter, set: NumberSetter): (offset: number) => Field<number> {
  const limit = 2 ** (8 * sizeBytes);
  return (offset) => ({
    offset,
    sizeBytes,
    get,
    set(view, at, value) {
      assert(Number.isInteger(value) && value >= 0 && value < limit, `${value} does not fit ${sizeBytes} bytes`);
      set(view, at, value);
    },
  });
}

function integer64(littleEndian: boolean): (offset: number) => Field<bigint> {
  return (offset) => ({
    offset,
    sizeBytes: 8,
    get: (view, at) => view.getBigUint64(at, littleEndian),
    set(view, at, value) {
      assert(value >= 0n && value < 1n << 64n, `${value} does not fit 8 bytes`);
      view.setBigUint64(at, value, littleEndian);
    },
  });
}

export const u8 = integer(1, (v, at) => v.getUint8(at), (v, at, value) => v.setUint8(at, value));
export const le16 = integer(2, (v, at) => v.getUint16(at, true), (v, at, value) => v.setUint16(at, value, true));
export const le32 = integer(4, (v, at) => v.getUint32(at, true), (v, at, value) => v.setUint32(at, value, true));
export const le64 = integer64(true);
export const be16 = integer(2, (v, at) => v.getUint16(at), (v, at, value) => v.setUint16(at, value));
export const be32 = integer(4, (v, at) => v.getUint32(at), (v, at, value) => v.setUint32(at, value));
export const be64 = integer64(false);

/** A fixed run of bytes. Decoding copies. */
export function bytes(offset: number, sizeBytes: number): Field<Uint8Array> {
  return {
    offset,
    sizeBytes,
    get: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, sizeBytes).slice(),
    set(view, at, value) {
      assert(value.length === sizeBytes, `${value.length} bytes for a field of ${sizeBytes}`);
      new Uint8Array(view.buffer, view.byteOffset + at, sizeBytes).set(value);
    },
  };
}

/** Latin-1 text in a field of fixed size: written with NUL padding, read without trailing NULs. */
export function text(offset: number, sizeBytes: number): Field<string> {
  return {
    offset,
    sizeBytes,
    get(view, at) {
      let value = '';
      for (let i = 0; i < sizeBytes; i++) value += String.fromCharCode(view.getUint8(at + i));
      return value.replace(/\0+$/, '');
    },
    set(view, at, value) {
      assert(value.length <= sizeBytes, `"${value}" does not fit ${sizeBytes} bytes`);
      for (let i = 0; i < sizeBytes; i++) view.setUint8(at + i, i < value.length ? value.charCodeAt(i) & 0xff : 0);
    },
  };
}

function checkedSize(name: string, fields: Fields, sizeBytes: number | undefined): number {
  let end = 0;
  for (const [fieldName, field] of Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset)) {
    assert(field.offset >= end, `${name}.${fieldName} overlaps the field before it`);
    end = field.offset + field.sizeBytes;
  }
  assert(sizeBytes === undefined || sizeBytes >= end, `${name} is longer than its size`);
  return sizeBytes ?? end;
}

/** Declares a structure. `sizeBytes` is for one that is longer than its last field. */
export function layout<const F extends Fields>(name: string, fields: F, sizeBytes?: number): Layout<F> {
  const size = checkedSize(name, fields, sizeBytes);
  const entries = Object.entries(fields) as [keyof F & string, Field<unknown>][];
  const self: Layout<F> = {
    name,
    fields,
    sizeBytes: size,
    decode(source, offset = 0) {
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + size > source.length) {
        throw new Failure('invalid-format', `${name} lies outside the data (offset ${offset}, ${source.length} bytes)`);
      }
      const view = new DataView(source.buffer, source.byteOffset + offset, size);
      return Object.fromEntries(entries.map(([key, field]) => [key, field.get(view, field.offset)])) as Decoded<F>;
    },
    encode(values) {
      const target = new Uint8Array(size);
      self.write(target, values);
      return target;
    },
    write(target, values, offset = 0) {
      assert(offset >= 0 && offset + size <= target.length, `${name} does not fit its target`);
      const view = new DataView(target.buffer, target.byteOffset + offset, size);
      for (const [key, value] of Object.entries(values)) {
        const field = fields[key];
        assert(field !== undefined, `${name} has no field ${key}`);
        field.set(view, field.offset, value);
      }
    },
  };
  return self;
}

/** A 64-bit value of a file as a number; Failure when it is beyond what a number holds exactly. */
export function safeNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Failure('invalid-format', `${what} is out of range (${value})`);
  return Number(value);
}

export function concatBytes(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Latin-1 text, NUL-terminated. */
export function cString(value: string): Uint8Array {
  return Uint8Array.from([...value, '\0'], (c) => c.charCodeAt(0) & 0xff);
}
