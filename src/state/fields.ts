// The kinds of field a saved state is declared with. Each knows its reset value, its bytes and its readable form.
// Bounds are part of the declaration, so that a hostile stream cannot bring a value the device cannot hold.
import { ByteFifo } from './byte-fifo.ts';
import { corrupt, type StateReader, type StateWriter } from './codec.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export interface Field<T> {
  initial(): T;
  write(writer: StateWriter, value: T): void;
  /** Throws Failure('corrupt') for what `write` cannot have written. */
  read(reader: StateReader): T;
  dump(value: T): Json;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type StateOf<F extends Fields> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

function unsigned(width: 'u8' | 'u16' | 'u32', limit: number, initial: number, max: number): Field<number> {
  return {
    initial: () => initial,
    write: (writer, value) => writer[width](value),
    read(reader) {
      const value = reader[width]();
      if (value > max) throw corrupt(`${value} is above ${Math.min(max, limit)}`);
      return value;
    },
    dump: (value) => value,
  };
}

export const u8 = (initial = 0, max = 0xff): Field<number> => unsigned('u8', 0xff, initial, max);
export const u16 = (initial = 0, max = 0xffff): Field<number> => unsigned('u16', 0xffff, initial, max);
export const u32 = (initial = 0, max = 0xffff_ffff): Field<number> => unsigned('u32', 0xffff_ffff, initial, max);

export const i32 = (initial = 0): Field<number> => ({
  initial: () => initial,
  write: (writer, value) => writer.u32(value >>> 0),
  read: (reader) => reader.u32() | 0,
  dump: (value) => value,
});

/** For cold state only: hot code uses two u32. */
export const u64 = (initial = 0n): Field<bigint> => ({
  initial: () => initial,
  write: (writer, value) => writer.u64(value),
  read: (reader) => reader.u64(),
  dump: (value) => `0x${value.toString(16)}`,
});

/** A guest time or a difference of times in nanoseconds, possibly with a fraction; Infinity means "never". */
export const nanoseconds = (initial = 0): Field<number> => ({
  initial: () => initial,
  write: (writer, value) => writer.f64(value),
  read(reader) {
    const value = reader.f64();
    if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER || value === Infinity)) throw corrupt('a time out of range');
    return value;
  },
  dump: (value) => (value === Infinity ? 'never' : value),
});

/** A non-negative integer below 2^53: a count that outgrows u32. */
export const count = (initial = 0): Field<number> => ({
  initial: () => initial,
  write: (writer, value) => writer.u64(BigInt(value)),
  read(reader) {
    const value = reader.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt('a count out of range');
    return Number(value);
  },
  dump: (value) => value,
});

export const bool = (initial = false): Field<boolean> => ({
  initial: () => initial,
  write: (writer, value) => writer.u8(value ? 1 : 0),
  read(reader) {
    const value = reader.u8();
    if (value > 1) throw corrupt('a truth value is neither 0 nor 1');
    return value === 1;
  },
  dump: (value) => value,
});

/** One of a closed set of words, stored as its index. */
export const choice = <const T extends string>(...words: readonly [T, ...T[]]): Field<T> => ({
  initial: () => words[0],
  write: (writer, value) => writer.u8(words.indexOf(value)),
  read(reader) {
    const word = words[reader.u8()];
    if (word === undefined) throw corrupt('an unknown word');
    return word;
  },
  dump: (value) => value,
});

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Exactly `length` bytes; `initial` fills the first ones. */
export const bytes = (length: number, initial: readonly number[] | Uint8Array = []): Field<Uint8Array> => ({
  initial() {
    const value = new Uint8Array(length);
    value.set(initial);
    return value;
  },
  write: (writer, value) => writer.bytes(value),
  read: (reader) => reader.bytes(length),
  dump: hexOf,
});

/** Up to `max` bytes. */
export const blob = (max: number): Field<Uint8Array> => ({
  initial: () => new Uint8Array(0),
  write(writer, value) {
    writer.u32(value.length);
    writer.bytes(value);
  },
  read(reader) {
    const length = reader.u32();
    if (length > max) throw corrupt(`${length} bytes where at most ${max} fit`);
    return reader.bytes(length);
  },
  dump: hexOf,
});

export const fifo = (capacity: number): Field<ByteFifo> => ({
  initial: () => new ByteFifo(capacity),
  write(writer, value) {
    writer.u16(value.length);
    writer.bytes(value.toBytes());
  },
  read(reader) {
    const length = reader.u16();
    if (length > capacity) throw corrupt(`a fifo of ${capacity} with ${length} bytes`);
    return ByteFifo.from(capacity, reader.bytes(length));
  },
  dump: (value) => hexOf(value.toBytes()),
});

/** `length` words in a typed array, for hot bitmaps and register banks. */
export const words = (length: number, initial = 0): Field<Uint32Array> => ({
  initial: () => new Uint32Array(length).fill(initial),
  write: (writer, value) => value.forEach((word) => writer.u32(word)),
  read: (reader) => Uint32Array.from({ length }, () => reader.u32()),
  dump: (value) => Array.from(value),
});

export const array = <T>(element: Field<T>, length: number): Field<T[]> => ({
  initial: () => Array.from({ length }, () => element.initial()),
  write: (writer, value) => value.forEach((item) => element.write(writer, item)),
  read: (reader) => Array.from({ length }, () => element.read(reader)),
  dump: (value) => value.map((item) => element.dump(item)),
});

/** Fields within a field. */
export function struct<const F extends Fields>(fields: F): Field<StateOf<F>> {
  const entries = Object.entries(fields);
  const each = <R>(visit: (field: Field<unknown>, name: string) => R): Record<string, R> =>
    Object.fromEntries(entries.map(([name, field]) => [name, visit(field, name)]));
  return {
    initial: () => each((field) => field.initial()) as StateOf<F>,
    write: (writer, value) => entries.forEach(([name, field]) => field.write(writer, (value as Record<string, unknown>)[name])),
    read: (reader) => each((field) => field.read(reader)) as StateOf<F>,
    dump: (value) => each((field, name) => field.dump((value as Record<string, unknown>)[name])),
  };
}
