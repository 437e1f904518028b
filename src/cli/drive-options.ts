// -drive, -blockdev and the short forms for disks: text to drives as plain data. Nothing is opened here. Spelling, rules and
// error texts are those of QEMU's blockdev.c.
import { Failure } from '../base/failure.ts';
import type { NestedOptions, OptionValue } from '../block/options.ts';
import { parseJson } from '../schema/json.ts';
import { parseKeyValue, type KeyValue } from '../schema/key-value.ts';
import { bool, identifier, str, type PropertyType } from '../schema/property.ts';
import { DRIVE_INTERFACES, type BlockdevOptions, type DriveOptions, type ErrorAction } from '../vm/options.ts';
import { cacheMode } from './image-tools/cache-mode.ts';

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

/** One of a closed set of words, with an error text of its own. */
function word<const T extends string>(values: readonly T[], refusal: (text: string) => string): PropertyType<T> {
  const parse = (text: string): T => {
    const value = values.find((candidate) => candidate === text);
    if (value === undefined) throw invalid(refusal(text));
    return value;
  };
  return { label: values.join('|'), fromText: (_name, text) => parse(text), fromJson: (name, value) => parse(str.fromJson(name, value)) };
}

const number: PropertyType<number> = {
  label: 'num',
  fromText(name, text) {
    const value = Number(text);
    if (!/^(0x[0-9a-f]+|\d+)$/i.test(text) || !Number.isSafeInteger(value)) throw invalid(`Parameter '${name}' expects a number`);
    return value;
  },
  fromJson: (name, value) => number.fromText(name, String(value)),
};
/** A limit; whether it is in range is the throttle group's to say. */
const limit: PropertyType<number> = {
  ...number,
  fromText: (name, text) => (text.startsWith('-') ? -number.fromText(name, text.slice(1)) : number.fromText(name, text)),
};

const errorAction = (operation: 'read' | 'write', actions: readonly ErrorAction[]): PropertyType<ErrorAction> =>
  word(actions, (text) => `'${text}' invalid ${operation} error action`);

const DRIVE = {
  id: identifier,
  file: str,
  if: word(DRIVE_INTERFACES, (text) => `unsupported bus type '${text}'`),
  bus: number,
  unit: number,
  index: number,
  media: word(['disk', 'cdrom'], (text) => `'${text}' invalid media`),
  format: str,
  snapshot: bool,
  cache: str,
  'cache.writeback': bool,
  aio: word(['threads', 'native', 'io_uring'], () => 'invalid aio option'),
  discard: word(['ignore', 'off', 'unmap', 'on'], () => 'Invalid discard option'),
  'detect-zeroes': word(['off', 'on', 'unmap'], (text) => `invalid parameter value: ${text}`),
  'read-only': bool,
  'copy-on-read': bool,
  rerror: errorAction('read', ['ignore', 'stop', 'report']),
  werror: errorAction('write', ['ignore', 'stop', 'report', 'enospc']),
  'throttling.group': str,
} as const satisfies Readonly<Record<string, PropertyType<unknown>>>;
type DriveValues = { -readonly [K in keyof typeof DRIVE]?: (typeof DRIVE)[K] extends PropertyType<infer T> ? T : never };

const isDriveProperty = (name: string): name is keyof typeof DRIVE => Object.hasOwn(DRIVE, name);

/** Former spellings, and what they are called now. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['readonly', 'read-only'],
  ['group', 'throttling.group'],
  ['iops_size', 'throttling.iops-size'],
  ...['bps', 'iops'].flatMap((what) =>
    [['', 'total'], ['_rd', 'read'], ['_wr', 'write']].flatMap(([short, long]) =>
      [['', ''], ['_max', '-max'], ['_max_length', '-max-length']].map(
        ([old, now]): [string, string] => [`${what}${short}${old}`, `throttling.${what}-${long}${now}`],
      ),
    ),
  ),
]);
const LIMIT_PREFIX = 'throttling.';
const LIMITS = new Set([...ALIASES.values()].filter((name) => name.startsWith(LIMIT_PREFIX) && name !== 'throttling.group'));

/** Interfaces whose requests can stop the machine. */
const WITH_ERROR_ACTIONS = new Set(['ide', 'virtio', 'scsi', 'none']);

interface ParsedDrive {
  readonly values: DriveValues;
  readonly limits: Record<string, number>;
  /** What is the block node's. */
  readonly node: Record<string, OptionValue>;
}

function sortOut(pairs: readonly KeyValue[]): ParsedDrive {
  const parsed: ParsedDrive = { values: {}, limits: {}, node: {} };
  const seen = new Map<string, string>();
  for (const { name: written, value } of pairs) {
    const name = ALIASES.get(written) ?? written;
    const before = seen.get(name) ?? written;
    if (before !== written) {
      const [alias, current] = written === name ? [before, written] : [written, name];
      throw invalid(`'${current}' and its alias '${alias}' can't be used at the same time`);
    }
    seen.set(name, written);
    if (LIMITS.has(name)) parsed.limits[name.slice(LIMIT_PREFIX.length)] = limit.fromText(name, value);
    else if (isDriveProperty(name)) (parsed.values as Record<string, unknown>)[name] = DRIVE[name].fromText(name, value);
    else parsed.node[name] = value;
  }
  return parsed;
}

export function parseDrive(text: string, origin: string): DriveOptions {
  const { values, limits, node } = sortOut(parseKeyValue(text));
  const type = values.if ?? 'ide';
  for (const name of ['werror', 'rerror'] as const) {
    if (values[name] !== undefined && !WITH_ERROR_ACTIONS.has(type)) throw invalid(`${name} is not supported by this bus type`);
  }
  const writethrough = applyCache(values, node);
  for (const name of ['discard', 'detect-zeroes'] as const) if (values[name] !== undefined) node[name] = values[name];
  const { id, bus, unit, index, media, file, format, snapshot, werror, rerror, 'throttling.group': group } = values;
  const readOnly = values['read-only'] ?? media === 'cdrom';
  const members = {
    id, bus, unit, index, media, format, snapshot, file: file === '' ? undefined : file,
    copyOnRead: values['copy-on-read'] === true && !readOnly ? true : undefined,
    onWriteError: werror, onReadError: rerror as Exclude<ErrorAction, 'enospc'> | undefined,
    throttling: group === undefined && Object.keys(limits).length === 0 ? undefined : { ...(group !== undefined && { group }), limits },
  };
  return { interface: type, origin, readOnly, writethrough, node, ...(withoutUndefined(members) as Partial<DriveOptions>) };
}

const withoutUndefined = (members: object): object =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

/** `cache=` is a short form of three options; returns whether writes go through. */
function applyCache(values: DriveValues, node: Record<string, OptionValue>): boolean {
  if (values.cache === undefined) return values['cache.writeback'] === false;
  const mode = cacheMode(values.cache);
  if (mode === undefined) throw invalid('invalid cache option');
  node['cache.direct'] ??= mode.direct ? 'on' : 'off';
  node['cache.no-flush'] ??= mode.noFlush ? 'on' : 'off';
  return values['cache.writeback'] === undefined ? mode.writethrough : !values['cache.writeback'];
}

/** `-hda FILE` and its like: the whole argument is the name. */
export const diskImage = (index: number, file: string, origin: string): DriveOptions =>
  ({ interface: 'ide', index, file, media: 'disk', origin });
export const cdImage = (file: string, origin: string): DriveOptions =>
  ({ interface: 'ide', index: 2, file, media: 'cdrom', readOnly: true, origin });
export const floppyImage = (index: number, file: string, origin: string): DriveOptions => ({ interface: 'floppy', index, file, origin });
export const flashImage = (file: string, origin: string): DriveOptions => ({ interface: 'pflash', file, origin });

/** `driver=…,node-name=…` or the same as JSON. */
export function parseBlockdev(text: string, origin: string): BlockdevOptions {
  if (text.startsWith('{')) return { options: parseJson(text) as NestedOptions, origin };
  const options: Record<string, OptionValue> = {};
  for (const { name, value, bare } of parseKeyValue(text, 'driver')) {
    if (bare) throw invalid(`Expected '=' after parameter '${name}'`);
    options[name] = value;
  }
  return { options, origin };
}

