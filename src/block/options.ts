// The options of a block node, as every notation leaves them: a flat dictionary with dotted keys, from `key=value,…` text,
// from a json:{…} name, or from a typed object of the library. A driver takes its own out of it; what is left is refused.
import { Failure } from '../base/failure.ts';
import { inContext } from '../schema/command-line.ts';
import { parseJson } from '../schema/json.ts';
import type { Properties, PropertyValues } from '../schema/property.ts';

/** Text from a command line is still untyped; JSON brings its types. */
export type OptionValue = string | number | boolean | null;

export type NestedOptions = { readonly [key: string]: OptionValue | NestedOptions | readonly (OptionValue | NestedOptions)[] | undefined };

export class OptionDict {
  readonly #values: Map<string, OptionValue>;

  constructor(values: Iterable<readonly [string, OptionValue]> = []) {
    this.#values = new Map(values);
  }

  static fromNested(object: NestedOptions): OptionDict {
    const dict = new OptionDict();
    dict.#flatten('', object);
    return dict;
  }

  #flatten(prefix: string, value: unknown): void {
    if (value === undefined) return;
    if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) this.#flatten(prefix === '' ? key : `${prefix}.${key}`, item);
    } else this.#values.set(prefix, value as OptionValue);
  }

  get size(): number {
    return this.#values.size;
  }

  get(name: string): OptionValue | undefined {
    return this.#values.get(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  set(name: string, value: OptionValue): void {
    this.#values.set(name, value);
  }

  setDefault(name: string, value: OptionValue): void {
    if (!this.#values.has(name)) this.#values.set(name, value);
  }

  /** Removes and returns a value. */
  take(name: string): OptionValue | undefined {
    const value = this.#values.get(name);
    this.#values.delete(name);
    return value;
  }

  /** Removes and returns a value as text. */
  takeText(name: string): string | undefined {
    const value = this.take(name);
    return value === undefined || value === null ? undefined : String(value);
  }

  /** Removes everything under `name.` and returns it without the prefix. */
  takeUnder(name: string): OptionDict {
    const inner = new OptionDict();
    for (const [key, value] of [...this.#values]) {
      if (!key.startsWith(`${name}.`)) continue;
      inner.set(key.slice(name.length + 1), value);
      this.#values.delete(key);
    }
    return inner;
  }

  hasUnder(name: string): boolean {
    return this.keys().some((key) => key.startsWith(`${name}.`));
  }

  keys(): string[] {
    return [...this.#values.keys()];
  }

  entries(): [string, OptionValue][] {
    return [...this.#values];
  }

  copy(): OptionDict {
    return new OptionDict(this.#values);
  }

  /** Removes the declared properties and returns them typed; what is not declared stays. */
  absorb<P extends Properties>(declared: P): PropertyValues<P> {
    const values: Record<string, unknown> = {};
    for (const [name, { type }] of Object.entries(declared)) {
      const value = this.take(name);
      if (value === undefined) continue;
      values[name] = typeof value === 'string' ? type.fromText(name, value) : type.fromJson(name, value);
    }
    return values as PropertyValues<P>;
  }

  /** The array `name.0`, `name.1`, …: the dictionaries of its items. */
  takeList(name: string): OptionDict[] {
    const items: OptionDict[] = [];
    for (let index = 0; this.hasUnder(`${name}.${index}`); index++) items.push(this.takeUnder(`${name}.${index}`));
    return items;
  }

  /** Nested again, with digits as array indices: for json:{…} names. */
  toNested(): NestedOptions {
    const root: Record<string, unknown> = {};
    for (const [key, value] of this.#values) {
      let at = root;
      const parts = key.split('.');
      for (const part of parts.slice(0, -1)) {
        const next = Object.hasOwn(at, part) ? at[part] : undefined;
        at = (typeof next === 'object' && next !== null ? next : (at[part] = {})) as Record<string, unknown>;
      }
      at[parts.at(-1)!] = value;
    }
    return arrays(root) as NestedOptions;
  }
}

function arrays(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, arrays(item)] as const);
  const isList = entries.length > 0 && entries.every(([key], index) => key === String(index));
  return isList ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

const MAX_DEPTH = 1000;

/** The object of a `json:{…}` name. */
export function parseJsonFilename(filename: string): OptionDict {
  const value = inContext('Could not parse the JSON options', () => parseJson(filename.slice('json:'.length)));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure('invalid-argument', 'Invalid JSON object given');
  }
  if (depthOf(value) > MAX_DEPTH) throw new Failure('limit', 'Could not parse the JSON options');
  return OptionDict.fromNested(value as NestedOptions);
}

function depthOf(value: object): number {
  let level: unknown[] = [value];
  let depth = 0;
  while (level.length > 0 && depth <= MAX_DEPTH) {
    depth++;
    level = level.flatMap((item) => Object.values(item as object)).filter((item) => typeof item === 'object' && item !== null);
  }
  return depth;
}
