// Builds ACPI Machine Language: one small function per term, each giving its bytes (ACPI 6.5 chapter 20). What a node
// means is checked by its caller's test (a disassembler), not here. Resource descriptors are in resources.ts.
import { assert } from '../../base/assert.ts';
import { concatBytes, cString } from '../../struct/layout.ts';

export type AmlNode = Uint8Array;

/** Operators of 20.2.5 by the name the ASL compiler gives them. */
// prettier-ignore
const OP = {
  ZERO: 0x00, ONE: 0x01, NAME: 0x08, BYTE: 0x0a, WORD: 0x0b, DWORD: 0x0c, STRING: 0x0d, QWORD: 0x0e, SCOPE: 0x10,
  BUFFER: 0x11, PACKAGE: 0x12, METHOD: 0x14, DUAL_NAME: 0x2e, MULTI_NAME: 0x2f, LOCAL0: 0x60, ARG0: 0x68, STORE: 0x70,
  AND: 0x7b, OR: 0x7d, CREATE_DWORD_FIELD: 0x8a, LEQUAL: 0x93, IF: 0xa0, ELSE: 0xa1, RETURN: 0xa4,
} as const;
const EXTENDED = { PREFIX: 0x5b, REGION: 0x80, FIELD: 0x81, DEVICE: 0x82 } as const;

/** A name string: "\\_SB.PCI0", "^ISA.PRQA", "_HID". Segments are padded with underscores. */
export function namePath(path: string): AmlNode {
  const prefix = /^\\|^\^*/.exec(path)![0];
  const segments = path.slice(prefix.length).split('.').filter((segment) => segment !== '');
  for (const segment of segments) assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment), `bad ACPI name ${path}`);
  const names = segments.map((segment) => cString(segment.padEnd(4, '_')).subarray(0, 4));
  const leads = [[OP.ZERO], [], [OP.DUAL_NAME]];
  const lead = leads[names.length] ?? [OP.MULTI_NAME, names.length];
  return concatBytes(cString(prefix).subarray(0, prefix.length), lead, ...names);
}

/** PkgLength (20.2.4) counts itself: one to four bytes. */
function withLength(contents: Uint8Array): Uint8Array {
  if (contents.length + 1 < 0x40) return concatBytes([contents.length + 1], contents);
  for (let extra = 1; extra <= 3; extra++) {
    const total = contents.length + 1 + extra;
    if (total >= 1 << (4 + 8 * extra)) continue;
    const rest = Array.from({ length: extra }, (_, n) => (total >> (4 + 8 * n)) & 0xff);
    return concatBytes([(extra << 6) | (total & 0xf)], rest, contents);
  }
  throw new RangeError('AML package too long');
}

const block = (op: readonly number[], ...parts: readonly (Uint8Array | readonly number[])[]): AmlNode =>
  concatBytes(op, withLength(concatBytes(...parts)));

function littleEndian(value: number, sizeBytes: number): number[] {
  return Array.from({ length: sizeBytes }, (_, n) => Math.floor(value / 2 ** (8 * n)) % 256);
}

export function integer(value: number): AmlNode {
  assert(Number.isSafeInteger(value) && value >= 0, `bad AML integer ${value}`);
  if (value < 2) return Uint8Array.of(value);
  if (value < 2 ** 8) return concatBytes([OP.BYTE], littleEndian(value, 1));
  if (value < 2 ** 16) return concatBytes([OP.WORD], littleEndian(value, 2));
  if (value < 2 ** 32) return concatBytes([OP.DWORD], littleEndian(value, 4));
  return concatBytes([OP.QWORD], littleEndian(value, 8));
}

export const string = (value: string): AmlNode => concatBytes([OP.STRING], cString(value));
export const buffer = (contents: Uint8Array): AmlNode => block([OP.BUFFER], integer(contents.length), contents);

/** A compressed EISA identifier, "PNP0A03" (ASL's EISAID). */
export function eisaId(id: string): AmlNode {
  assert(/^[A-Z]{3}[0-9A-F]{4}$/.test(id), `bad EISA id ${id}`);
  const letter = (n: number): number => id.charCodeAt(n) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return Uint8Array.of(OP.DWORD, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff);
}

export function packageOf(...elements: readonly AmlNode[]): AmlNode {
  assert(elements.length < 256, 'too many package elements');
  return block([OP.PACKAGE], [elements.length], ...elements);
}

export const name = (path: string, value: AmlNode): AmlNode => concatBytes([OP.NAME], namePath(path), value);
export const scope = (path: string, ...terms: readonly AmlNode[]): AmlNode => block([OP.SCOPE], namePath(path), ...terms);
export const device = (path: string, ...terms: readonly AmlNode[]): AmlNode =>
  block([EXTENDED.PREFIX, EXTENDED.DEVICE], namePath(path), ...terms);

export interface MethodShape {
  readonly args?: number;
  /** A method that creates named objects must not be entered twice. */
  readonly serialized?: boolean;
}

export function method(path: string, { args = 0, serialized = false }: MethodShape, ...terms: readonly AmlNode[]): AmlNode {
  return block([OP.METHOD], namePath(path), [args | (serialized ? 8 : 0)], ...terms);
}

export const REGION_SPACE = { SYSTEM_MEMORY: 0, SYSTEM_IO: 1, PCI_CONFIG: 2 } as const;

export function operationRegion(path: string, space: number, offset: number, sizeBytes: number): AmlNode {
  return concatBytes([EXTENDED.PREFIX, EXTENDED.REGION], namePath(path), [space], integer(offset), integer(sizeBytes));
}

/** Consecutive byte-wide named fields of a region, accessed as bytes. */
export function byteFields(region: string, ...names: readonly string[]): AmlNode {
  const ACCESS_BYTE = 1;
  const elements = names.map((element) => concatBytes(namePath(element), [8]));
  return block([EXTENDED.PREFIX, EXTENDED.FIELD], namePath(region), [ACCESS_BYTE], ...elements);
}

export const arg = (index: number): AmlNode => Uint8Array.of(OP.ARG0 + index);
export const local = (index: number): AmlNode => Uint8Array.of(OP.LOCAL0 + index);
export const call = (path: string, ...args: readonly AmlNode[]): AmlNode => concatBytes(namePath(path), ...args);
export const store = (value: AmlNode, target: AmlNode): AmlNode => concatBytes([OP.STORE], value, target);
export const returnValue = (value: AmlNode): AmlNode => concatBytes([OP.RETURN], value);

const NO_TARGET = Uint8Array.of(OP.ZERO);
export const and = (a: AmlNode, b: AmlNode, target: AmlNode = NO_TARGET): AmlNode => concatBytes([OP.AND], a, b, target);
export const or = (a: AmlNode, b: AmlNode, target: AmlNode = NO_TARGET): AmlNode => concatBytes([OP.OR], a, b, target);
export const equal = (a: AmlNode, b: AmlNode): AmlNode => concatBytes([OP.LEQUAL], a, b);
export const ifThen = (condition: AmlNode, ...terms: readonly AmlNode[]): AmlNode => block([OP.IF], condition, ...terms);
/** Follows an `ifThen`. */
export const elseThen = (...terms: readonly AmlNode[]): AmlNode => block([OP.ELSE], ...terms);

export function createDwordField(source: AmlNode, index: number, path: string): AmlNode {
  return concatBytes([OP.CREATE_DWORD_FIELD], source, integer(index), namePath(path));
}
