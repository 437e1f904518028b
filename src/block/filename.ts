// Names of images: protocol prefixes, relative backing files, and the name that a node shows (a plain one, or json:{…} where
// options matter that a plain name cannot say). Behaviour of qemu's `filename` and `json:` pseudo-protocol.
import { Failure } from '../base/failure.ts';
import type { BlockNode } from './node.ts';
import { OptionDict, type OptionValue } from './options.ts';

/** Whether `name` begins with `something:` before any slash. */
export function hasProtocol(name: string): boolean {
  return name[name.search(/[:/]/)] === ':';
}

/** The prefix of `nbd:…`, `json:…`; undefined when there is none. */
export function protocolPrefix(name: string): string | undefined {
  return hasProtocol(name) ? name.slice(0, name.indexOf(':')) : undefined;
}

const isAbsolute = (name: string): boolean => (hasProtocol(name) ? name.slice(name.indexOf(':') + 1) : name).startsWith('/');

/** `name` as seen from the folder of `base`. A protocol of the base is kept. */
export function combinePath(base: string, name: string): string {
  if (isAbsolute(name)) return name;
  const colon = hasProtocol(base) ? base.indexOf(':') + 1 : 0;
  const folderEnd = Math.max(base.lastIndexOf('/') + 1, colon);
  return base.slice(0, folderEnd) + name;
}

/** What the backing file's name in an image means: relative to the image, unless it names a protocol. */
export function fullBackingName(image: string, backing: string): string {
  if (backing === '' || hasProtocol(backing) || isAbsolute(backing)) return backing;
  if (image === '' || image.startsWith('json:')) {
    throw new Failure('invalid-argument', `Cannot use relative backing file names for '${image}'`);
  }
  return combinePath(image, backing);
}

/** Drivers with several images below, or none that has a folder. */
const WITHOUT_FOLDER: ReadonlyMap<string, string> = new Map([['blkverify', 'blkverify'], ['quorum', 'quorum'], ['nbd', 'NBD']]);

/** The same for an open image: relative to the file at the bottom, whatever filters lie between. */
export function fullBackingNameOf(node: BlockNode, backing: string): string {
  if (backing === '' || hasProtocol(backing) || isAbsolute(backing)) return backing;
  let leaf = node;
  while (leaf.primary !== undefined && !WITHOUT_FOLDER.has(leaf.driver.name)) leaf = leaf.primary.node;
  const name = WITHOUT_FOLDER.has(leaf.driver.name) ? undefined : exactFilename(leaf);
  if (name !== undefined) return combinePath(name, backing);
  const driverName = WITHOUT_FOLDER.get(leaf.driver.name) ?? leaf.driver.name;
  throw new Failure('invalid-argument', `Cannot generate a base directory for ${driverName} nodes`);
}

/** Where QEMU's dictionaries put a key: its JSON output is in this order, and people compare it. */
export function bucketOf(key: string): number {
  const bytes = new TextEncoder().encode(key);
  let value = Math.imul(0x238f13af, bytes.length);
  bytes.forEach((byte, index) => (value = (value + (byte << ((index * 5) % 24))) | 0));
  return ((Math.imul(1103515243, value) + 12345) >>> 0) % 512;
}

/** JSON as QEMU prints a dictionary on one line. */
export function dictionaryJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(dictionaryJson).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return asciiJson(value);
  const entries = Object.entries(value as Record<string, unknown>).filter(([, item]) => item !== undefined);
  const ordered = entries.map((entry, index) => ({ entry, index, bucket: bucketOf(entry[0]) }));
  ordered.sort((a, b) => a.bucket - b.bucket || b.index - a.index);
  return `{${ordered.map(({ entry: [key, item] }) => `${asciiJson(key)}: ${dictionaryJson(item)}`).join(', ')}}`;
}

const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`);

/** Everything that is needed to open this node again: `driver`, the options that matter, and the children's. */
export function fullOptions(node: BlockNode): Record<string, unknown> {
  const options: Record<string, unknown> = strongOptions(node);
  options['driver'] = node.driver.name;
  for (const edge of node.children) {
    if (edge.role.cow && !node.backingOverridden) continue;
    options[edge.name] = fullOptions(edge.node);
  }
  if (node.backingOverridden && node.backing === undefined) options['backing'] = null;
  return nestLists(options);
}

/** `children.0`, `children.1`, … become the list `children`. */
function nestLists(options: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    const item = /^(.+)\.(\d+)$/.exec(key);
    if (item === null) result[key] = value;
    else ((result[item[1]!] ??= []) as unknown[]).push(value);
  }
  return result;
}

function strongOptions(node: BlockNode): Record<string, unknown> {
  const names = node.driver.strongOptions ?? (node.driver.kind === 'protocol' ? ['filename'] : []);
  const given = new OptionDict(
    node.options.entries().filter(([key]) => names.some((name) => key === name || (name.endsWith('.') && key.startsWith(name)))),
  );
  return given.toNested() as Record<string, OptionValue>;
}

/** The plain name of a node; undefined when only json:{…} says it all. */
export function exactFilename(node: BlockNode): string | undefined {
  if (node.driver.exactFilename !== undefined) return node.driver.exactFilename(node);
  if (node.driver.kind === 'protocol') return protocolFilename(node);
  const below = node.primary?.node;
  const plain = node.driver.kind === 'format' && !node.backingOverridden && Object.keys(strongOptions(node)).length === 0;
  return plain && below?.driver.kind === 'protocol' ? exactFilename(below) : undefined;
}

function protocolFilename(node: BlockNode): string | undefined {
  const name = node.options.get('filename') ?? node.filename;
  const others = Object.keys(strongOptions(node)).filter((key) => key !== 'filename');
  return typeof name === 'string' && name !== '' && others.length === 0 ? name : undefined;
}

/** The name shown to the user. */
export function displayFilename(node: BlockNode): string {
  return exactFilename(node) ?? `json:${dictionaryJson(fullOptions(node))}`;
}
