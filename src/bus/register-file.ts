// Device registers as rows: plain ones are data (a state field and masks), odd ones bring functions. The rows are what
// the bus dispatches with, what traces and `info` name, and where the fuzzer takes its addresses from.
import { assert } from '../base/assert.ts';
import { guestErrors } from '../trace/guest-errors.ts';
import { allOnes, type RegisterNames } from './address-space.ts';

/** Names of the number fields of a device's state. */
type NumberFields<S> = { [K in keyof S]: S[K] extends number ? K : never }[keyof S];

export interface RegisterRow<D extends { readonly state: object }> {
  /** Offset in the file. */
  readonly at: number;
  readonly name: string;
  /** The row answers only while this holds (a bank selected by another register). */
  readonly when?: (device: D) => boolean;
  /** The state field behind a plain register. */
  readonly field?: NumberFields<D['state']>;
  /** Bits of the field that the guest may write. Default none: read only. */
  readonly writable?: number;
  /** Bits of the field that the guest clears by writing ones. */
  readonly w1c?: number;
  /** A register that always reads the same. */
  readonly constant?: number;
  readonly read?: (device: D, at: number) => number;
  readonly write?: (device: D, value: number, at: number) => void;
  /** Runs after a write to the field. */
  readonly after?: (device: D) => void;
}

/** What a row became for dispatch; `accepts` is its condition, or a function that is always true. */
interface Bank<D, Run> {
  readonly when: ((device: D) => boolean) | undefined;
  readonly accepts: (device: D) => boolean;
  readonly run: Run;
}
type Reader<D> = Bank<D, (device: D, at: number) => number>;
type Writer<D> = Bank<D, (device: D, value: number, at: number) => void>;

const always = (): boolean => true;

export class RegisterFile<D extends { readonly state: object }> implements RegisterNames {
  readonly name: string;
  /** Bytes of a register. */
  readonly width: 1 | 2 | 4;
  /** Bytes of the whole file. */
  readonly size: number;
  readonly rows: readonly RegisterRow<D>[];
  readonly offsets: readonly { readonly at: number; readonly name: string }[];
  readonly #readers: Reader<D>[][];
  readonly #writers: Writer<D>[][];

  constructor(name: string, width: 1 | 2 | 4, rows: readonly RegisterRow<D>[]) {
    this.name = name;
    this.width = width;
    this.rows = rows;
    this.size = Math.max(...rows.map((row) => row.at)) + width;
    this.offsets = rows.map((row) => ({ at: row.at, name: row.name }));
    this.#readers = Array.from({ length: this.size }, () => []);
    this.#writers = Array.from({ length: this.size }, () => []);
    for (const row of rows) this.#add(row);
  }

  #add(row: RegisterRow<D>): void {
    assert(row.at % this.width === 0, `${this.name}.${row.name} is aligned`);
    const accepts = row.when ?? always;
    const common = { when: row.when, accepts };
    const read = readerOf(row);
    const write = writerOf(row);
    assert(read !== undefined || write !== undefined, `${this.name}.${row.name} can be read or written`);
    if (read !== undefined) this.#append(this.#readers[row.at]!, row, { ...common, run: read });
    if (write !== undefined) this.#append(this.#writers[row.at]!, row, { ...common, run: write });
  }

  /** A row behind one that always answers could never be reached. */
  #append<T extends { readonly when: unknown }>(rows: T[], row: RegisterRow<D>, added: T): void {
    assert(
      rows.every((earlier) => earlier.when !== undefined),
      `${this.name}.${row.name} can be reached`,
    );
    rows.push(added);
  }

  /** Reads `size` bytes at `at`; fewer than the width give that part of the register. */
  read(device: D, at: number, size: number = this.width): number {
    const base = at & -this.width;
    const readers = this.#readers[base];
    if (readers !== undefined) {
      for (let index = 0; index < readers.length; index++) {
        const reader = readers[index]!;
        if (!reader.accepts(device)) continue;
        const value = reader.run(device, base);
        return size === this.width ? value : (value >>> (8 * (at - base))) & allOnes(size);
      }
    }
    guestErrors.badAccess?.({ device: this.name, at, size });
    return allOnes(size);
  }

  /** Writes a whole register; narrower writes than the width are ignored. */
  write(device: D, at: number, value: number, size: number = this.width): void {
    const writers = size === this.width ? this.#writers[at] : undefined;
    if (writers !== undefined) {
      for (let index = 0; index < writers.length; index++) {
        const writer = writers[index]!;
        if (!writer.accepts(device)) continue;
        writer.run(device, value, at);
        return;
      }
    }
    guestErrors.badAccess?.({ device: this.name, at, size });
  }

  /** The registers that can be shown without disturbing the device. */
  inspect(device: D): readonly { readonly name: string; readonly value: number }[] {
    const state = device.state as Readonly<Record<PropertyKey, number>>;
    return this.rows.flatMap((row) => (row.field === undefined ? [] : [{ name: row.name, value: state[row.field as string]! }]));
  }
}

function readerOf<D extends { readonly state: object }>(row: RegisterRow<D>): ((device: D, at: number) => number) | undefined {
  const { read, constant, field } = row;
  if (read !== undefined) return read;
  if (constant !== undefined) return () => constant;
  if (field === undefined) return undefined;
  return (device) => (device.state as Record<PropertyKey, number>)[field as string]!;
}

function writerOf<D extends { readonly state: object }>(row: RegisterRow<D>): ((device: D, value: number, at: number) => void) | undefined {
  const { write, field, after, writable = 0, w1c = 0 } = row;
  if (write !== undefined) return write;
  if (field === undefined || (writable | w1c) === 0)
    return row.read === undefined && row.constant === undefined && field === undefined ? undefined : ignore;
  return (device, value) => {
    const state = device.state as Record<PropertyKey, number>;
    const kept = state[field as string]! & ~writable & ~(value & w1c);
    state[field as string] = (kept | (value & writable)) >>> 0;
    after?.(device);
  };
}

/** A read-only register: writes are without effect, which is not worth a guest-error line. */
const ignore = (): void => {};
