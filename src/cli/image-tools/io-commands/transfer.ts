// The commands that move data and wait for it: read, readv, write, writev.
import { readFileSync } from 'node:fs';
import { ErrnoFailure, errnoOf, errnoText, isErrno } from '../../../base/errno.ts';
import type { Eventual } from '../../../base/eventual.ts';
import { WRITE } from '../../../block/driver.ts';
import type { BlockNode } from '../../../block/node.ts';
import {
  CommandFailed,
  errorText,
  parseNumber,
  parsePattern,
  parseWords,
  REQUEST_MAX,
  UsageWanted,
  type IoCommand,
  type IoEnvironment,
} from './command.ts';
import { dumpText, transferText } from './format.ts';

/** What a buffer holds before anything is read into it. */
const UNREAD = 0xab;
const DEFAULT_PATTERN = 0xcd;
const SECTOR = 512;

export const nowNs = (): number => Math.round(performance.now() * 1e6);

/** Runs a request, and says how it went: `read failed: …`, or how much in which time. */
export async function timed(request: () => Eventual<void>): Promise<{ error: string | undefined; elapsedNs: number }> {
  const begin = nowNs();
  let error: string | undefined;
  try {
    await request();
  } catch (failure) {
    error = errorText(failure);
  }
  return { error, elapsedNs: nowNs() - begin };
}

interface Check {
  readonly pattern: number;
  readonly start: number;
  readonly length: number;
}

/** Undefined when every byte is the pattern; otherwise the complaint. */
export function verify(bytes: Uint8Array, offset: number, { pattern, start, length }: Check): string | undefined {
  const part = bytes.subarray(start, start + length);
  return part.every((byte) => byte === pattern) ? undefined : `Pattern verification failed at offset ${offset + start}, ${length} bytes`;
}

export function boundedLength(environment: IoEnvironment, text: string, hint = ''): number {
  const count = parseNumber(environment, text);
  if (count > REQUEST_MAX) environment.fail(`length cannot exceed ${REQUEST_MAX}${hint}, given ${text}`);
  return count;
}

function demandSectors(environment: IoEnvironment, offset: number, count: number): void {
  for (const [name, value] of [
    ['offset', offset],
    ['count', count],
  ] as const) {
    if (value % SECTOR !== 0) environment.fail(`${value} is not a sector-aligned value for '${name}'`);
  }
}

async function runRead(words: readonly string[], environment: IoEnvironment): Promise<void> {
  const given: { pattern?: number; length?: number; start?: number } = {};
  const { flags, operands } = parseWords(environment, 'read', words, 'bCl:pP:qs:v', (letter, argument) => {
    if (letter === 'l') given.length = parseNumber(environment, argument);
    else if (letter === 's') given.start = parseNumber(environment, argument);
    else if (letter === 'P') given.pattern = parsePattern(environment, argument);
  });
  if (operands.length !== 2) throw new UsageWanted();
  const offset = parseNumber(environment, operands[0]!);
  const count = boundedLength(environment, operands[1]!);
  if (given.pattern === undefined && (flags.has('l') || flags.has('s'))) throw new UsageWanted();
  const start = given.start ?? 0;
  const length = given.length ?? count - start;
  if (length < 0 || start + length > count) environment.fail('pattern verification range exceeds end of read data');
  if (flags.has('b')) demandSectors(environment, offset, count);
  const bytes = new Uint8Array(count).fill(UNREAD);
  const check = given.pattern === undefined ? undefined : { pattern: given.pattern, start, length };
  await readAndShow(environment, { verb: 'read', offset, bytes, flags, check, vmState: flags.has('b') });
}

interface ReadPlan {
  /** As errors begin: `read`, `readv`. */
  readonly verb: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly flags: ReadonlyMap<string, string>;
  readonly check: Check | undefined;
  readonly vmState?: boolean;
}

async function readAndShow(environment: IoEnvironment, { verb, offset, bytes, flags, check, vmState }: ReadPlan): Promise<void> {
  const { backend } = environment;
  const { error, elapsedNs } = await timed(() => (vmState ? readVmState(environment, offset, bytes) : backend.read(offset, bytes)));
  await environment.poll();
  if (error !== undefined) environment.fail(`${verb} failed: ${error}`);
  const complaint = check === undefined ? undefined : verify(bytes, offset, check);
  if (complaint !== undefined) environment.say(`${complaint}\n`);
  if (!flags.has('q')) {
    if (flags.has('v')) environment.say(dumpText(bytes, offset));
    const total = bytes.length;
    environment.say(transferText({ verb: 'read', offset, requested: total, total, operations: 1, elapsedNs }, flags.has('C')));
  }
  if (complaint !== undefined) throw new CommandFailed(complaint);
}

/** Of the first node that has one, below filters and whatever stands over an image. */
function vmStateOf({ backend }: IoEnvironment): NonNullable<typeof backend.node.instance.vmState> {
  for (let node: BlockNode | undefined = backend.node; node !== undefined; node = node.primary?.node) {
    const { vmState } = node.instance;
    if (vmState !== undefined) return vmState;
  }
  throw new ErrnoFailure('ENOTSUP');
}

const readVmState = (environment: IoEnvironment, offset: number, bytes: Uint8Array): Eventual<void> =>
  vmStateOf(environment).read(offset, bytes);

/** Buffers of readv and writev: their lengths in a row. */
export function vectorLength(environment: IoEnvironment, lengths: readonly string[]): number {
  let total = 0;
  for (const text of lengths) {
    const length = parseNumber(environment, text);
    if (length > REQUEST_MAX) environment.fail(`Argument '${text}' exceeds maximum size ${REQUEST_MAX}`);
    if (total > REQUEST_MAX - length) environment.fail(`The total number of bytes exceed the maximum size ${REQUEST_MAX}`);
    total += length;
  }
  return total;
}

async function runReadv(words: readonly string[], environment: IoEnvironment): Promise<void> {
  let pattern: number | undefined;
  const { flags, operands } = parseWords(environment, 'readv', words, 'CP:qv', (letter, argument) => {
    if (letter === 'P') pattern = parsePattern(environment, argument);
  });
  if (operands.length < 2) throw new UsageWanted();
  const offset = parseNumber(environment, operands[0]!);
  const count = vectorLength(environment, operands.slice(1));
  const check = pattern === undefined ? undefined : { pattern, start: 0, length: count };
  await readAndShow(environment, { verb: 'readv', offset, bytes: new Uint8Array(count).fill(UNREAD), flags, check });
}

// Writing ---------------------------------------------------------------------------------------------------------------

/** `count` bytes of a file's content, over and over. */
function fromPatternFile(environment: IoEnvironment, path: string, count: number): Uint8Array {
  const complain = (problem: string): never => {
    environment.io.error(`${path}: ${problem}\n`);
    throw new CommandFailed(problem);
  };
  let content: Uint8Array;
  try {
    content = readFileSync(path);
  } catch (error) {
    const { code } = error as { code?: unknown };
    return complain(errnoText(isErrno(code) ? code : errnoOf(error)));
  }
  if (content.length === 0) complain('file is empty');
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += content.length) bytes.set(content.subarray(0, Math.min(content.length, count - at)), at);
  return bytes;
}

function checkWriteFlags(environment: IoEnvironment, flags: ReadonlyMap<string, string>): void {
  const has = (letter: string): boolean => flags.has(letter);
  if (has('b') && has('z')) environment.fail('-b and -z cannot be specified at the same time');
  if (has('f') && (has('b') || has('c'))) environment.fail('-f and -b or -c cannot be specified at the same time');
  if (has('n') && !has('z')) environment.fail('-n requires -z to be specified');
  if (has('u') && !has('z')) environment.fail('-u requires -z to be specified');
  if (Number(has('z')) + Number(has('P')) + Number(has('s')) > 1)
    environment.fail('Only one of -z, -P, and -s can be specified at the same time');
}

const flagBits = (flags: ReadonlyMap<string, string>): number =>
  (flags.has('f') ? WRITE.FUA : 0) | (flags.has('u') ? WRITE.MAY_UNMAP : 0) | (flags.has('n') ? WRITE.NO_FALLBACK : 0);

async function runWrite(words: readonly string[], environment: IoEnvironment): Promise<void> {
  let pattern = DEFAULT_PATTERN;
  const { flags, operands } = parseWords(environment, 'write', words, 'bcCfnpP:qs:uz', (letter, argument) => {
    if (letter === 'P') pattern = parsePattern(environment, argument);
  });
  if (operands.length !== 2) throw new UsageWanted();
  checkWriteFlags(environment, flags);
  const offset = parseNumber(environment, operands[0]!);
  const count = flags.has('n') ? parseNumber(environment, operands[1]!) : boundedLength(environment, operands[1]!, ' without -n');
  if (flags.has('b') || flags.has('c')) demandSectors(environment, offset, count);
  const file = flags.get('s');
  const bytes = flags.has('z')
    ? undefined
    : file === undefined
      ? new Uint8Array(count).fill(pattern)
      : fromPatternFile(environment, file, count);
  await writeAndShow(environment, 'write', offset, count, flags, () => writeRequest(environment, offset, count, bytes, flags));
}

function writeRequest(
  environment: IoEnvironment,
  offset: number,
  count: number,
  bytes: Uint8Array | undefined,
  flags: ReadonlyMap<string, string>,
): Eventual<void> {
  const { backend } = environment;
  if (bytes !== undefined && flags.has('b')) return vmStateOf(environment).write(offset, bytes);
  if (bytes === undefined) return backend.writeZeroes(offset, count, flagBits(flags));
  return backend.write(offset, bytes, flagBits(flags) | (flags.has('c') ? WRITE.COMPRESSED : 0));
}

async function writeAndShow(
  environment: IoEnvironment,
  verb: string,
  offset: number,
  total: number,
  flags: ReadonlyMap<string, string>,
  request: () => Eventual<void>,
): Promise<void> {
  const { error, elapsedNs } = await timed(request);
  await environment.poll();
  if (error !== undefined) environment.fail(`${verb} failed: ${error}`);
  if (flags.has('q')) return;
  environment.say(transferText({ verb: 'wrote', offset, requested: total, total, operations: 1, elapsedNs }, flags.has('C')));
}

async function runWritev(words: readonly string[], environment: IoEnvironment): Promise<void> {
  let pattern = DEFAULT_PATTERN;
  const { flags, operands } = parseWords(environment, 'writev', words, 'CfqP:', (letter, argument) => {
    if (letter === 'P') pattern = parsePattern(environment, argument);
  });
  if (operands.length < 2) throw new UsageWanted();
  const offset = parseNumber(environment, operands[0]!);
  const count = vectorLength(environment, operands.slice(1));
  const bytes = new Uint8Array(count).fill(pattern);
  await writeAndShow(environment, 'writev', offset, count, flags, () => environment.backend.write(offset, bytes, flagBits(flags)));
}

export const TRANSFER_COMMANDS: readonly IoCommand[] = [
  {
    name: 'read',
    alias: 'r',
    args: '[-abCqv] [-P pattern [-s off] [-l len]] off len',
    summary: 'reads a number of bytes at a specified offset',
    minArgs: 2,
    help: [
      '',
      ' Reads from the open image. Example:',
      " 'read -v 512 1k' - shows 1 kilobyte from offset 512",
      '',
      ' -b, -- read from the VM state rather than the virtual disk',
      ' -C, -- report statistics in a machine parsable format',
      ' -l, -- length for pattern verification (only with -P)',
      ' -p, -- ignored for backwards compatibility',
      ' -P, -- use a pattern to verify read data',
      ' -q, -- quiet mode, do not show I/O statistics',
      ' -s, -- start offset for pattern verification (only with -P)',
      ' -v, -- dump buffer to standard output',
      '',
    ],
    run: runRead,
  },
  {
    name: 'readv',
    args: '[-Cqv] [-P pattern] off len [len..]',
    summary: 'reads a number of bytes at a specified offset',
    minArgs: 2,
    help: [
      '',
      ' Reads from the open image into one buffer for each length. Example:',
      " 'readv -v 512 1k 1k' - shows 2 kilobytes from offset 512",
      '',
      ' -C, -- report statistics in a machine parsable format',
      ' -P, -- use a pattern to verify read data',
      ' -v, -- dump buffer to standard output',
      ' -q, -- quiet mode, do not show I/O statistics',
      '',
    ],
    run: runReadv,
  },
  {
    name: 'write',
    alias: 'w',
    args: '[-bcCfnquz] [-P pattern | -s source_file] off len',
    summary: 'writes a number of bytes at a specified offset',
    minArgs: 2,
    changes: 'data',
    help: [
      '',
      ' Writes into the open image: bytes of 0xcd, unless told otherwise. Example:',
      " 'write 512 1k' - writes 1 kilobyte at offset 512",
      '',
      ' -b, -- write to the VM state rather than the virtual disk',
      ' -c, -- write compressed data',
      ' -f, -- use Force Unit Access semantics',
      " -n, -- with -z, don't allow slow fallback",
      ' -p, -- ignored for backwards compatibility',
      ' -P, -- use different pattern to fill file',
      ' -s, -- use a pattern file to fill the write buffer',
      ' -C, -- report statistics in a machine parsable format',
      ' -q, -- quiet mode, do not show I/O statistics',
      ' -u, -- with -z, allow unmapping',
      ' -z, -- write zeroes without a buffer of them',
      '',
    ],
    run: runWrite,
  },
  {
    name: 'writev',
    args: '[-Cfq] [-P pattern] off len [len..]',
    summary: 'writes a number of bytes at a specified offset',
    minArgs: 2,
    changes: 'data',
    help: [
      '',
      ' Writes into the open image from one buffer for each length. Example:',
      " 'writev 512 1k 1k' - writes 2 kilobytes at offset 512",
      '',
      ' -P, -- use different pattern to fill file',
      ' -C, -- report statistics in a machine parsable format',
      ' -f, -- use Force Unit Access semantics',
      ' -q, -- quiet mode, do not show I/O statistics',
      '',
    ],
    run: runWritev,
  },
];
