// The command line of nandu-nbd, declared once: the grammar for the parser, what each option does to the settings, and the help.
// The options are those of QEMU 7.2's qemu-nbd, and so are the complaints.
import { Failure } from '../../base/failure.ts';
import { MAX_STRING_BYTES } from '../../block/nbd/protocol.ts';
import type { DetectZeroes } from '../../block/node.ts';
import { cacheMode, type CacheMode } from '../image-tools/cache-mode.ts';
import { OptionReader, type ArgumentNeed } from '../image-tools/getopt.ts';
import type { ToolObjects } from '../image-tools/objects.ts';
import { ReportedFailure } from '../image-tools/reported-failure.ts';

export interface SnapshotChoice {
  readonly id: string | undefined;
  readonly name: string | undefined;
  /** Either of the two, for a plain argument. */
  readonly idOrName: string | undefined;
}

export interface NbdSettings {
  port: string | undefined;
  bind: string | undefined;
  socketPath: string | undefined;
  /** 0 is no limit. */
  shared: number;
  persistent: boolean;
  verbose: boolean;
  exportName: string | undefined;
  description: string | undefined;
  offset: bigint | undefined;
  allocationDepth: boolean;
  bitmaps: string[];
  list: boolean;
  tlsCreds: string | undefined;
  tlsAuthz: string | undefined;
  tlsHostname: string | undefined;
  tracePatterns: string[];
  fork: boolean;
  pidFile: string | undefined;
  selinuxLabel: string | undefined;
  connectDevice: string | undefined;
  disconnect: boolean;
  format: string | undefined;
  readOnly: boolean;
  snapshot: boolean;
  loadSnapshot: SnapshotChoice | undefined;
  cache: CacheMode | undefined;
  aio: string | undefined;
  /** Undefined when the user did not say. */
  unmap: boolean | undefined;
  detectZeroes: DetectZeroes;
  imageOpts: boolean;
  operands: readonly string[];
}

const initialSettings = (): NbdSettings => ({
  port: undefined, bind: undefined, socketPath: undefined, shared: 1, persistent: false, verbose: false, exportName: undefined,
  description: undefined, offset: undefined, allocationDepth: false, bitmaps: [], list: false, tlsCreds: undefined, tlsAuthz: undefined,
  tlsHostname: undefined, tracePatterns: [], fork: false, pidFile: undefined, selinuxLabel: undefined, connectDevice: undefined,
  disconnect: false, format: undefined, readOnly: false, snapshot: false, loadSnapshot: undefined, cache: undefined, aio: undefined,
  unmap: undefined, detectZeroes: 'off', imageOpts: false, operands: [],
});

/** What the user wants instead of a server. */
export type Parsed = { readonly settings: NbdSettings } | { readonly answer: 'help' | 'version' };

/** The parser's own complaint, which is followed by where to find help. */
export class UsageFailure extends Failure {
  constructor(message: string) {
    super('invalid-argument', message);
  }
}

interface OptionRow {
  readonly short?: string;
  readonly long: string;
  /** What the argument is called; absent when there is none. */
  readonly argument?: string;
  /** Lines of the help; none for what is not shown. */
  readonly help: string;
  apply(settings: NbdSettings, argument: string, objects: ToolObjects): void;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

function setCache(settings: NbdSettings, name: string): void {
  if (settings.cache !== undefined) throw wrong('-n and --cache can only be specified once');
  const mode = cacheMode(name);
  if (mode === undefined) throw wrong(`Invalid cache mode \`${name}'`);
  settings.cache = mode;
}

function exportText(what: string, text: string): string {
  if (Buffer.byteLength(text) > MAX_STRING_BYTES) throw wrong(`${what} '${text}' too long`);
  return text;
}

/** A number as the C library takes it: hexadecimal, octal or decimal by its beginning, with a sign. */
function cNumber(text: string): bigint | undefined {
  const match = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text);
  if (match === null) return undefined;
  const digits = match[2]!;
  const value = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return match[1] === '-' ? -value : value;
}

function sharedCount(text: string): number {
  const value = cNumber(text);
  if (value === undefined || value < 0n || value > 0x7fff_ffffn) throw wrong(`Invalid shared device number '${text}'`);
  return Number(value);
}

/** A negative number stands for its complement. */
function offsetValue(text: string): bigint {
  const value = cNumber(text);
  if (value === undefined || value >= 1n << 64n || value <= -(1n << 64n)) throw wrong(`Invalid offset '${text}'`);
  return BigInt.asUintN(64, value);
}

function snapshotChoice(text: string): SnapshotChoice {
  if (!text.startsWith('snapshot.')) return { id: undefined, name: undefined, idOrName: text };
  const values = new Map<string, string>();
  for (const item of text.split(',')) {
    const equals = item.indexOf('=');
    const key = item.slice(0, Math.max(0, equals));
    if (key !== 'snapshot.id' && key !== 'snapshot.name') {
      throw new ReportedFailure([`Invalid parameter '${key}'`, `Failed in parsing snapshot param \`${text}'`]);
    }
    values.set(key, item.slice(equals + 1));
  }
  return { id: values.get('snapshot.id'), name: values.get('snapshot.name'), idOrName: undefined };
}

function setUnmap(settings: NbdSettings, mode: string): void {
  if (settings.unmap !== undefined) throw wrong('--discard can only be specified once');
  const known: Readonly<Record<string, boolean>> = { unmap: true, on: true, ignore: false, off: false };
  if (!Object.hasOwn(known, mode)) throw wrong(`Invalid discard mode \`${mode}'`);
  settings.unmap = known[mode]!;
}

function setAio(settings: NbdSettings, mode: string): void {
  if (settings.aio !== undefined) throw wrong('--aio can only be specified once');
  if (!['threads', 'native', 'io_uring'].includes(mode)) throw wrong(`Invalid aio mode '${mode}'`);
  settings.aio = mode;
}

function setDetectZeroes(settings: NbdSettings, mode: string): void {
  if (mode !== 'off' && mode !== 'on' && mode !== 'unmap') {
    throw wrong(`Failed to parse detect_zeroes mode: invalid parameter value: ${mode}`);
  }
  settings.detectZeroes = mode;
}

function setSocket(settings: NbdSettings, path: string): void {
  if (!path.startsWith('/')) throw wrong('socket path must be absolute');
  settings.socketPath = path;
}

/** A help text that is more than one word. */
class Answer extends Error {
  readonly answer: 'help' | 'version';

  constructor(answer: 'help' | 'version') {
    super();
    this.answer = answer;
  }
}

// prettier-ignore
const SECTIONS: readonly { readonly title: string; readonly rows: readonly OptionRow[] }[] = [
  { title: '', rows: [
    { short: 'h', long: 'help', help: 'show this text', apply: () => { throw new Answer('help'); } },
    { short: 'V', long: 'version', help: 'show the version', apply: () => { throw new Answer('version'); } },
  ] },
  { title: 'Where clients connect', rows: [
    { short: 'p', long: 'port', argument: 'PORT', help: 'TCP port (10809)', apply: (s, text) => { s.port = text; } },
    { short: 'b', long: 'bind', argument: 'IFACE', help: 'address of the interface (0.0.0.0)', apply: (s, text) => { s.bind = text; } },
    { short: 'k', long: 'socket', argument: 'PATH', help: 'UNIX socket instead of TCP', apply: setSocket },
    { short: 'e', long: 'shared', argument: 'NUM', help: 'so many clients at a time (1); 0 is no limit', apply: (s, text) => { s.shared = sharedCount(text); } },
    { short: 't', long: 'persistent', help: 'stay when the last client has gone', apply: (s) => { s.persistent = true; } },
    { short: 'v', long: 'verbose', help: 'stay in the foreground with -c', apply: (s) => { s.verbose = true; } },
    { short: 'x', long: 'export-name', argument: 'NAME', help: 'name of the export (empty)', apply: (s, text) => { s.exportName = exportText('export name', text); } },
    { short: 'D', long: 'description', argument: 'TEXT', help: 'what clients are told about it', apply: (s, text) => { s.description = exportText('export description', text); } },
  ] },
  { title: 'What is exported', rows: [
    { short: 'o', long: 'offset', argument: 'OFFSET', help: 'leave out so many bytes at the beginning', apply: (s, text) => { s.offset = offsetValue(text); } },
    { short: 'A', long: 'allocation-depth', help: 'tell which layer of the backing chain holds data', apply: (s) => { s.allocationDepth = true; } },
    { short: 'B', long: 'bitmap', argument: 'NAME', help: 'tell what a dirty bitmap of the image holds', apply: (s, text) => { s.bitmaps.push(text); } },
  ] },
  { title: 'General', rows: [
    { short: 'L', long: 'list', help: 'show the exports of another server', apply: (s) => { s.list = true; } },
    { long: 'object', argument: 'TYPE,id=ID,...', help: 'define a secret, TLS credentials or authorization', apply: (_s, text, objects) => objects.add(text) },
    { long: 'tls-creds', argument: 'ID', help: 'TLS with the credentials of an --object', apply: (s, text) => { s.tlsCreds = text; } },
    { long: 'tls-hostname', argument: 'NAME', help: 'name that the server\'s certificate must have (-L)', apply: (s, text) => { s.tlsHostname = text; } },
    { long: 'tls-authz', argument: 'ID', help: 'which clients are let in, by an --object', apply: (s, text) => { s.tlsAuthz = text; } },
    { short: 'T', long: 'trace', argument: '[[enable=]PATTERN][,events=FILE][,file=FILE]', help: 'events to be traced', apply: (s, text) => { s.tracePatterns.push(text); } },
    { long: 'fork', help: 'return when the server runs, and leave it in the background', apply: (s) => { s.fork = true; } },
    { long: 'pid-file', argument: 'PATH', help: 'write the process id there', apply: (s, text) => { s.pidFile = text; } },
    { long: 'selinux-label', argument: 'LABEL', help: 'not supported', apply: (s, text) => { s.selinuxLabel = text; } },
  ] },
  { title: 'Devices of the kernel\'s client (not supported)', rows: [
    { short: 'c', long: 'connect', argument: 'DEV', help: 'show the image as a device', apply: (s, text) => { s.connectDevice = text; } },
    { short: 'd', long: 'disconnect', help: 'take a device away', apply: (s) => { s.disconnect = true; } },
  ] },
  { title: 'How the image is opened', rows: [
    { short: 'f', long: 'format', argument: 'FORMAT', help: 'its format (found out by looking)', apply: (s, text) => { s.format = text; } },
    { short: 'r', long: 'read-only', help: 'clients cannot write', apply: (s) => { s.readOnly = true; } },
    { short: 's', long: 'snapshot', help: 'writes go into a temporary overlay and are lost at the end', apply: (s) => { s.snapshot = true; } },
    { short: 'l', long: 'load-snapshot', argument: 'SNAPSHOT', help: 'show an internal snapshot: ID_OR_NAME or\nsnapshot.id=ID,snapshot.name=NAME',
      apply: (s, text) => { s.loadSnapshot = snapshotChoice(text); s.readOnly = true; } },
    { short: 'n', long: 'nocache', help: 'the same as --cache=none', apply: (s) => setCache(s, 'none') },
    { long: 'cache', argument: 'MODE', help: 'none, writeback (the default), writethrough,\ndirectsync or unsafe', apply: setCache },
    { long: 'aio', argument: 'MODE', help: 'threads, native or io_uring', apply: setAio },
    { long: 'discard', argument: 'MODE', help: 'unmap or ignore (the default)', apply: setUnmap },
    { long: 'detect-zeroes', argument: 'MODE', help: 'off (the default), on or unmap', apply: setDetectZeroes },
    { long: 'image-opts', help: 'FILE is key=value,... as for a block device', apply: (s) => { s.imageOpts = true; } },
  ] },
];

const ROWS = SECTIONS.flatMap(({ rows }) => rows);
const needOf = (row: OptionRow): ArgumentNeed => (row.argument === undefined ? 'none' : 'required');

/** Abbreviations that fit several options are complained about in this order. */
// prettier-ignore
const LONG_ORDER = [
  'help', 'version', 'bind', 'port', 'socket', 'offset', 'read-only', 'allocation-depth', 'bitmap', 'connect', 'disconnect', 'list', 'snapshot',
  'load-snapshot', 'nocache', 'cache', 'aio', 'discard', 'detect-zeroes', 'shared', 'format', 'persistent', 'verbose', 'object', 'export-name',
  'description', 'tls-creds', 'tls-hostname', 'tls-authz', 'image-opts', 'trace', 'fork', 'pid-file', 'selinux-label',
];

const inOrder = ROWS.toSorted((a, b) => LONG_ORDER.indexOf(a.long) - LONG_ORDER.indexOf(b.long));

const GRAMMAR = {
  short: ROWS.flatMap((row) => (row.short === undefined ? [] : [row.short + (row.argument === undefined ? '' : ':')])).join(''),
  long: inOrder.map((row) => ({ long: row.long, name: row.short ?? row.long, argument: needOf(row) })),
};

export function helpText(program: string): string {
  const lines = [`Usage: ${program} [OPTIONS] FILE`, `  or:  ${program} -L [OPTIONS]`, 'Serves a disk image over NBD.'];
  for (const { title, rows } of SECTIONS) {
    lines.push('', ...(title === '' ? [] : [`${title}:`]));
    for (const row of rows) lines.push(...helpLines(row));
  }
  return `${lines.join('\n')}\n`;
}

const HELP_COLUMN = 28;

function helpLines({ short, long, argument, help }: OptionRow): string[] {
  const names = `  ${short === undefined ? '   ' : `-${short},`} --${long}${argument === undefined ? '' : `=${argument}`}`;
  const [first, ...rest] = help.split('\n');
  const begin = names.length < HELP_COLUMN - 1 ? [names.padEnd(HELP_COLUMN) + first] : [names, ' '.repeat(HELP_COLUMN) + first];
  return [...begin, ...rest.map((line) => ' '.repeat(HELP_COLUMN) + line)];
}

/** Parses the words; objects of --object are made on the way. */
export function parseNbdOptions(words: readonly string[], objects: ToolObjects): Parsed {
  const settings = initialSettings();
  const reader = new OptionReader<string>(words, GRAMMAR);
  try {
    for (let step = reader.next(); step !== undefined; step = reader.next()) {
      if ('error' in step) throw new UsageFailure(step.error.message);
      const { name, argument } = step.option;
      ROWS.find((row) => (row.short ?? row.long) === name)!.apply(settings, argument ?? '', objects);
    }
  } catch (error) {
    if (error instanceof Answer) return { answer: error.answer };
    throw error;
  }
  settings.operands = reader.operands;
  return { settings };
}
