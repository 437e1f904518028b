// Typed properties declared as data: what `key=value` lists and JSON objects are checked against, and what `,help` prints.
// Error texts follow QEMU's. Not the splitting of the text (key-value.ts), nor whole command lines (command-line.ts).
import { Failure } from '../base/failure.ts';
import { parseKeyValue } from './key-value.ts';
import { parseSize } from './size.ts';

export interface PropertyType<T> {
  /** As `,help` shows it: uint32, str, bool. */
  readonly label: string;
  fromText(name: string, text: string): T;
  fromJson(name: string, value: unknown): T;
}

const wrong = (name: string, expected: string): Failure => new Failure('invalid-argument', `Parameter '${name}' expects ${expected}`);

const ON = new Set(['on', 'yes', 'true', 'y']);
const OFF = new Set(['off', 'no', 'false', 'n']);

export const bool: PropertyType<boolean> = {
  label: 'bool',
  fromText(name, text) {
    if (ON.has(text)) return true;
    if (OFF.has(text)) return false;
    throw wrong(name, "'on' or 'off'");
  },
  fromJson(name, value) {
    if (typeof value === 'boolean') return value;
    throw wrong(name, 'boolean');
  },
};

export const str: PropertyType<string> = {
  label: 'str',
  fromText: (_name, text) => text,
  fromJson(name, value) {
    if (typeof value === 'string') return value;
    throw wrong(name, 'string');
  },
};

/** A size in bytes with an optional suffix; `defaultSuffix` is the unit of a plain number. */
export const size = (defaultSuffix = 'b'): PropertyType<number> => ({
  label: 'size',
  fromText: (name, text) => parseSize(name, text, defaultSuffix),
  fromJson(name, value) {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw wrong(name, 'uint64');
  },
});

/** An unsigned integer, decimal or 0x hexadecimal. */
export const uint = (bits: 8 | 16 | 32): PropertyType<number> => ({
  label: `uint${bits}`,
  fromText(name, text) {
    if (!/^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(text)) throw wrong(name, 'integer');
    return withinBits(name, Number(text), bits);
  },
  fromJson(name, value) {
    if (typeof value !== 'number' || !Number.isInteger(value)) throw wrong(name, 'uint64');
    return withinBits(name, value, bits);
  },
});

function withinBits(name: string, value: number, bits: number): number {
  if (!(value >= 0 && value < 2 ** bits)) throw wrong(name, `uint${bits}_t`); // Number('-0x1') is NaN
  return value;
}

/** A signed integer; what is given must fit. */
export const int32: PropertyType<number> = {
  label: 'int32',
  fromText(name, text) {
    if (!/^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/.test(text)) throw wrong(name, 'integer');
    return withinInt32(name, Number(text));
  },
  fromJson(name, value) {
    if (typeof value !== 'number' || !Number.isInteger(value)) throw wrong(name, 'int64');
    return withinInt32(name, value);
  },
};

function withinInt32(name: string, value: number): number {
  if (!(value >= -(2 ** 31) && value < 2 ** 31)) throw wrong(name, 'int32_t');
  return value;
}

/** One of a closed set of words. */
export const choice = <const T extends string>(...values: readonly T[]): PropertyType<T> => ({
  label: values.join('|'),
  fromText(name, text) {
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw new Failure('invalid-argument', `Parameter '${name}' does not accept value '${text}'`);
    return value;
  },
  fromJson(name, value) {
    return this.fromText(name, str.fromJson(name, value));
  },
});

const IDENTIFIER = /^[A-Za-z][A-Za-z0-9._-]*$/;

export const identifier: PropertyType<string> = {
  label: 'str',
  fromText(name, text) {
    if (!IDENTIFIER.test(text)) throw wrong(name, 'an identifier');
    return text;
  },
  fromJson: (name, value) => identifier.fromText(name, str.fromJson(name, value)),
};

/** The id of a character back end; whoever creates the device gets the back end itself in its place. */
export const chardevId: PropertyType<string> = { ...str };

/** The id of a -drive or the node-name of a -blockdev; the machine finds the drive when it builds the device. */
export const driveId: PropertyType<string> = { ...str };

/** A place on a PCI bus, `slot` or `slot.function` in hexadecimal; its value is slot * 8 + function. */
export const pciAddress: PropertyType<number> = {
  label: 'int32',
  fromText(name, text) {
    const groups = /^(?:0x)?(?<slot>[0-9a-f]{1,2})(?:\.(?<fn>[0-7]))?$/i.exec(text)?.groups;
    const slot = Number.parseInt(groups?.['slot'] ?? 'ff', 16);
    if (slot > 31) throw new Failure('invalid-argument', `Property '${name}' doesn't take value '${text}'`);
    return slot * 8 + Number(groups?.['fn'] ?? 0);
  },
  fromJson(name, value) {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 256) return value;
    return pciAddress.fromText(name, str.fromJson(name, value));
  },
};

export interface Property<T> {
  readonly type: PropertyType<T>;
  readonly help?: string;
  readonly default?: T;
}

export type Properties = Readonly<Record<string, Property<unknown>>>;

/** What the user gave; defaults are not filled in. */
export type PropertyValues<P extends Properties> = { -readonly [K in keyof P]?: P[K] extends Property<infer T> ? T : never };

export interface ParseRules {
  /** The key of a first part without `=`. */
  readonly impliedName?: string;
  /** How an undeclared key is refused. */
  readonly unknown?: (name: string) => Failure;
}

const invalidParameter = (name: string): Failure => new Failure('invalid-argument', `Invalid parameter '${name}'`);

export function propertiesFromText<P extends Properties>(declared: P, text: string, rules: ParseRules = {}): PropertyValues<P> {
  const values: Record<string, unknown> = {};
  for (const { name, value, bare } of parseKeyValue(text, rules.impliedName)) {
    const negated = bare && !Object.hasOwn(declared, name) && name.startsWith('no') ? name.slice(2) : undefined;
    const key = negated !== undefined && Object.hasOwn(declared, negated) ? negated : name;
    if (!Object.hasOwn(declared, key)) throw (rules.unknown ?? invalidParameter)(name);
    values[key] = declared[key]!.type.fromText(key, key === name ? value : 'off');
  }
  return values as PropertyValues<P>;
}

export function propertiesFromJson<P extends Properties>(declared: P, object: object, rules: ParseRules = {}): PropertyValues<P> {
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(object)) {
    if (!Object.hasOwn(declared, name)) throw (rules.unknown ?? invalidParameter)(name);
    values[name] = declared[name]!.type.fromJson(name, value);
  }
  return values as PropertyValues<P>;
}

/** The lines of `-device NAME,help`. */
export function propertiesHelp(owner: string, declared: Properties): string {
  const rows = Object.entries(declared).map(([name, { type, help, default: initial }]) => {
    const shown = initial === undefined ? '' : ` (default: ${typeof initial === 'boolean' ? (initial ? 'on' : 'off') : String(initial)})`;
    return `  ${`${name}=<${type.label}>`.padEnd(22)} - ${help ?? ''}${shown}`.trimEnd();
  });
  return [rows.length > 0 ? `${owner} options:` : `There are no options for ${owner}.`, ...rows.sort(), ''].join('\n');
}
