// Property types that the filter drivers' options have in common: numbers and sizes as QemuOpts reads them.
import { Failure } from '../base/failure.ts';
import { size, type PropertyType } from '../schema/property.ts';
import { sizeFromText } from '../schema/size.ts';

const NUMBER = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/;
const WRAP = 2 ** 64;

/** An integer in C notation (decimal, 0x…, 0…); negative ones stay negative. Undefined when it is none. */
export function integerFromText(text: string): number | undefined {
  const match = NUMBER.exec(text);
  if (match === null) return undefined;
  const [, sign, digits] = match;
  const octal = /^0[0-7]+$/.test(digits!);
  const value = octal ? Number.parseInt(digits!, 8) : Number(digits);
  if (value >= WRAP) return undefined;
  return sign === '-' && value !== 0 ? -value : value;
}

/** "Parameter 'x' expects a number" is how it is refused. */
export const numberOption: PropertyType<number> = {
  label: 'num',
  fromText(name, text) {
    const value = integerFromText(text);
    if (value === undefined) throw new Failure('invalid-argument', `Parameter '${name}' expects a number`);
    return value;
  },
  fromJson(name, value) {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw new Failure('invalid-argument', `Parameter '${name}' expects a number`);
  },
};

const UNITS = 'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.';

/** A size; what is none is refused with the list of units. */
export const sizeOption: PropertyType<number> = {
  ...size(),
  fromText(name, text) {
    if (sizeFromText(text) === undefined) {
      throw new Failure('invalid-argument', `Parameter '${name}' expects a non-negative number below 2^64\n${UNITS}`);
    }
    return size().fromText(name, text);
  },
};
