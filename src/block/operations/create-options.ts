// Options of a new image as `-o name=value,…` gives them: typed by the driver's declaration, shown in the "Formatting" line
// and in `-o help`. Not the options for opening a node (options.ts). Notation and texts are those of qemu-img(1).
import { Failure } from '../../base/failure.ts';
import { splitAtCommas } from '../../schema/key-value.ts';
import type { CreateOption, CreateValues } from '../driver.ts';

const SUFFIXES = 'bkmgtpe';
const UINT64_END = 1n << 64n;
const ON = new Set(['on', 'yes', 'true', 'y']);
const OFF = new Set(['off', 'no', 'false', 'n']);

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

/** A number of bytes with a suffix, as all of the reference's size options take it; an error code when it is none. */
export function exactSize(text: string, defaultSuffix = 'b'): bigint | 'invalid' | 'range' {
  const match = /^\s*\+?(?:0[xX]([0-9a-fA-F]+)|(\d+)(\.\d*)?)([bBkKmMgGtTpPeE]?)$/.exec(text);
  if (match === null) return 'invalid';
  const [, hex, whole, fraction = '', suffix = ''] = match;
  const shift = BigInt(10 * SUFFIXES.indexOf((suffix === '' ? defaultSuffix : suffix).toLowerCase()));
  if (fraction.length > 1 && shift === 0n && Number(fraction) !== 0) return 'invalid';
  const value = (hex !== undefined ? BigInt(`0x${hex}`) << shift : BigInt(whole!) << shift) + fractionOf(fraction, shift);
  return value >= UINT64_END ? 'range' : value;
}

const fractionOf = (fraction: string, shift: bigint): bigint =>
  fraction.length > 1 ? BigInt(Math.trunc(Number(`0${fraction}`) * Number(1n << shift) + 0.5)) : 0n;

interface GivenOption {
  readonly value: string | number | boolean | bigint;
  /** As it is shown. */
  readonly text: string;
}

/** Whether `-o` has a text at all: no empty list, no comma at either end. */
export function isValidOptionList(text: string): boolean {
  const head = /^,*/.exec(text)![0].length;
  const tail = /,*$/.exec(text)![0].length;
  return text !== '' && head % 2 === 0 && tail % 2 === 0;
}

/** Whether one of the comma-separated items asks for help. */
export const asksForHelp = (text: string): boolean => splitAtCommas(text).some((item) => item === 'help' || item === '?');

/** Options of a format and of the protocol under it; what both have is the format's. */
export function mergeOptions(format: readonly CreateOption[], protocol: readonly CreateOption[]): CreateOption[] {
  return [...format, ...protocol.filter(({ name }) => !format.some((own) => own.name === name))];
}

/** Values collected for one creation. */
export class CreateOptionValues {
  readonly declared: readonly CreateOption[];
  readonly #given = new Map<string, GivenOption>();

  constructor(declared: readonly CreateOption[]) {
    this.declared = declared;
  }

  /** Adds `name=value,…`. */
  parse(text: string): void {
    for (const item of splitAtCommas(text)) {
      const equals = item.indexOf('=');
      if (equals >= 0) this.set(item.slice(0, equals), item.slice(equals + 1));
      else if (item !== '') this.#setSwitch(item);
    }
  }

  #setSwitch(name: string): void {
    const negated = name.startsWith('no') && !this.has(name) ? this.#find(name.slice(2)) : undefined;
    if (negated !== undefined) this.set(negated.name, 'off');
    else this.set(name, 'on');
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  #find(name: string): CreateOption | undefined {
    return this.declared.find((option) => option.name === name);
  }

  set(name: string, text: string): void {
    const option = this.#find(name);
    if (option === undefined) throw wrong(`Invalid parameter '${name}'`);
    const value = typed(option, text);
    this.#given.set(name, { value, text: typeof value === 'number' || typeof value === 'bigint' ? String(value) : text });
  }

  setNumber(name: string, value: number | bigint): void {
    this.#given.set(name, { value, text: String(value) });
  }

  /** As text; a default counts. */
  get(name: string): string | undefined {
    return this.#given.get(name)?.text ?? this.#find(name)?.default;
  }

  /** As a number, when the user gave one. */
  size(name: string): bigint | undefined {
    const value = this.#given.get(name)?.value;
    return typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : undefined;
  }

  isGiven(name: string): boolean {
    return this.#given.has(name);
  }

  delete(name: string): void {
    this.#given.delete(name);
  }

  /** `cluster_size=65536 …`: what was given and what is default, in the declaration's order. */
  describe(): string {
    const parts = this.declared.map(({ name, type }) => {
      const text = this.get(name);
      if (text === undefined) return undefined;
      return `${name}=${type === 'str' ? text.replaceAll(',', ',,') : text}`;
    });
    return parts.filter((part) => part !== undefined).join(' ');
  }

  /** For the driver: given values and defaults in their types. */
  values(): CreateValues {
    const values = new Map<string, string | number | boolean>();
    for (const option of this.declared) {
      const { name, default: standard } = option;
      const value = this.#given.get(name)?.value ?? (standard === undefined ? undefined : typed(option, standard));
      if (value !== undefined) values.set(name, typeof value === 'bigint' ? numberOf(name, value) : value);
    }
    return values;
  }
}

function numberOf(name: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Failure('limit', `Parameter '${name}' is beyond the supported range`);
  return Number(value);
}

function typed({ name, type }: CreateOption, text: string): string | number | boolean | bigint {
  switch (type) {
    case 'str':
      return text;
    case 'bool':
      if (ON.has(text)) return true;
      if (OFF.has(text)) return false;
      throw wrong(`Parameter '${name}' expects 'on' or 'off'`);
    case 'num':
      return numberFrom(name, text);
    case 'size':
      return sizeFrom(name, text);
  }
}

function numberFrom(name: string, text: string): number | bigint {
  const match = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text);
  if (match === null) throw wrong(`Parameter '${name}' expects a number`);
  const [, sign, digits] = match;
  const value = BigInt(/^0\d/.test(digits!) ? `0o${digits!.slice(1)}` : digits!);
  if (value >= UINT64_END) throw wrong(`Value '${text}' is too large for parameter '${name}'`);
  return sign === '-' ? -Number(value) : Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function sizeFrom(name: string, text: string): bigint {
  const value = exactSize(text);
  if (value === 'range') throw wrong(`Value '${text}' is out of range for parameter '${name}'`);
  if (value !== 'invalid') return value;
  throw wrong(
    `Parameter '${name}' expects a non-negative number below 2^64\n` +
      'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.',
  );
}

const TYPE_LABELS = { str: 'str', size: 'size', num: 'num', bool: 'bool (on/off)' } as const;

/** The lines of `-o help`. */
export function optionHelp(declared: readonly CreateOption[]): string {
  const byName = [...declared].sort((a, b) => (a.name < b.name ? -1 : 1));
  return byName
    .map(({ name, type, help }) => `  ${`${name}=<${TYPE_LABELS[type]}>`.padEnd(22)}${help === undefined ? '' : ` - ${help}`}\n`)
    .join('');
}
