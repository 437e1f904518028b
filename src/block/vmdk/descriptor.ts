// The text descriptor of a virtual disk ("Virtual Disk Format 5.0", "The Descriptor File"): identifiers, the list of extents, the
// parent's name; reading what is needed of it, changing the content identifier, and writing a new one.
import { ErrnoFailure } from '../../base/errno.ts';

/** Where a sparse extent that is a whole disk has its descriptor, and how much room there is. */
export const EMBEDDED = { OFFSET: 0x200, BYTES: 20 * 512 } as const;
/** No descriptor file is bigger. */
export const MAX_DESCRIPTOR_BYTES = (1 << 20) - 1;
export const NO_PARENT = 0xffffffff;
const MAX_PARENT_NAME = 1023;

/** Latin-1, so that every byte comes back as it was. Ends at the first NUL. */
export function descriptorText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  let text = '';
  for (const byte of end < 0 ? bytes : bytes.subarray(0, end)) text += String.fromCharCode(byte);
  return text;
}

export const latin1Bytes = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0xff);
/** Names are UTF-8 in descriptors, whatever these claim. */
export const nameFromLatin1 = (text: string): string => new TextDecoder().decode(latin1Bytes(text));
const nameToLatin1 = (name: string): string => descriptorText(new TextEncoder().encode(name));

/** The value of `name="…"`; undefined when there is none. */
export function quotedValue(text: string, name: string): string | undefined {
  const at = text.indexOf(name);
  if (at < 0) return undefined;
  const start = at + name.length + 2;
  const end = text.indexOf('"', start);
  return end < 0 ? undefined : text.slice(start, end);
}

function identifierAfter(text: string, label: string): number {
  const at = text.indexOf(label);
  const digits = at < 0 ? undefined : /^\s*(?:0[xX])?([0-9a-fA-F]+)/.exec(text.slice(at + label.length, at + label.length + 32))?.[1];
  if (digits === undefined) throw new ErrnoFailure('EINVAL');
  return Number(BigInt.asUintN(32, BigInt(`0x${digits}`)));
}

export const contentId = (text: string): number => identifierAfter(text, 'CID=');
export const parentContentId = (text: string): number => identifierAfter(text, 'parentCID=');

export function parentName(text: string): string | undefined {
  if (!text.includes('parentFileNameHint')) return undefined;
  const name = quotedValue(text, 'parentFileNameHint');
  if (name === undefined || name.length > MAX_PARENT_NAME) throw new ErrnoFailure('EINVAL');
  return nameFromLatin1(name);
}

/** The descriptor with another content identifier. */
export function withContentId(text: string, id: number): string {
  const start = text.indexOf('CID=');
  const end = text.indexOf('parentCID');
  if (start < 0 || end < 0) throw new ErrnoFailure('EINVAL');
  return `${text.slice(0, start)}CID=${id.toString(16)}\n${text.slice(end)}`;
}

export type ExtentType = 'FLAT' | 'VMFS' | 'SPARSE' | 'VMFSSPARSE' | 'SESPARSE';

export interface ExtentLine {
  readonly sectors: number;
  readonly type: ExtentType;
  readonly filename: string;
  /** Of flat extents: where in the file they begin. */
  readonly offsetSectors: number;
}

/** The last quotation mark may be missing; what follows it is the offset. */
const EXTENT = /^\s*(\S{1,10})\s+(-?\d+)\s*(\S{1,10})\s*"([^"\r\n]{1,511})(?:"\s*(-?\d+))?/;
const TYPES: ReadonlySet<string> = new Set(['FLAT', 'VMFS', 'SPARSE', 'VMFSSPARSE', 'SESPARSE']);
const MAX_EXTENTS = 4096;

/** The extents that are written to; whatever else a descriptor lists is passed over. */
export function extentLines(text: string): ExtentLine[] {
  const extents: ExtentLine[] = [];
  for (const line of text.split('\n')) {
    const extent = extentOf(line);
    if (extent !== undefined) extents.push(extent);
    if (extents.length > MAX_EXTENTS) throw new ErrnoFailure('EINVAL', 'The VMDK descriptor lists too many extents');
  }
  return extents;
}

function extentOf(line: string): ExtentLine | undefined {
  const match = EXTENT.exec(line);
  if (match === null || match[1] !== 'RW') return undefined;
  const [, , sectorsText, type, filename, offsetText] = match;
  const isFlat = type === 'FLAT';
  const offsetSectors = Number(offsetText ?? 0);
  const wrongOffset = isFlat ? offsetText === undefined || offsetSectors < 0 : offsetText !== undefined && type !== 'VMFS';
  if (wrongOffset) throw new ErrnoFailure('EINVAL', `Invalid extent line: ${nameFromLatin1(line)}`);
  const sectors = Number(sectorsText);
  const isPossible = Number.isSafeInteger(sectors * 512) && Number.isSafeInteger(offsetSectors * 512);
  if (sectors <= 0 || !TYPES.has(type!) || !isPossible) return undefined;
  return { sectors, type: type as ExtentType, filename: nameFromLatin1(filename!), offsetSectors: isFlat ? offsetSectors : 0 };
}

export interface NewDescriptor {
  readonly contentId: number;
  readonly parentContentId: number;
  readonly parentName: string | undefined;
  readonly createType: string;
  readonly extentLines: readonly string[];
  readonly hardwareVersion: string;
  readonly cylinders: number;
  readonly heads: number;
  readonly adapterType: string;
  readonly toolsVersion: string;
}

export const flatLine = (sectors: number, name: string): string => `RW ${sectors} FLAT "${name}" 0`;
export const sparseLine = (sectors: number, name: string): string => `RW ${sectors} SPARSE "${name}"`;

export function newDescriptor(descriptor: NewDescriptor): Uint8Array {
  const { parentName: parent } = descriptor;
  const lines = [
    '# Disk DescriptorFile',
    'version=1',
    `CID=${descriptor.contentId.toString(16)}`,
    `parentCID=${descriptor.parentContentId.toString(16)}`,
    `createType="${descriptor.createType}"`,
    parent === undefined ? '' : `parentFileNameHint="${nameToLatin1(parent)}"`,
    '# Extent description',
    ...descriptor.extentLines.map(nameToLatin1),
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    `ddb.virtualHWVersion = "${nameToLatin1(descriptor.hardwareVersion)}"`,
    `ddb.geometry.cylinders = "${descriptor.cylinders}"`,
    `ddb.geometry.heads = "${descriptor.heads}"`,
    'ddb.geometry.sectors = "63"',
    `ddb.adapterType = "${descriptor.adapterType}"`,
    `ddb.toolsVersion = "${nameToLatin1(descriptor.toolsVersion)}"`,
    '',
  ];
  return latin1Bytes(lines.join('\n'));
}
