// The commands that open, close and reopen the image, and the opening itself, which the program's own options use too.
import { randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../../base/failure.ts';
import { BlockBackend } from '../../../block/backend.ts';
import type { BlockNode } from '../../../block/node.ts';
import { OptionDict } from '../../../block/options.ts';
import { splitAtCommas } from '../../../schema/key-value.ts';
import { cacheMode } from '../cache-mode.ts';
import { CommandFailed, parseWords, UsageWanted, type ImageOpening, type IoCommand, type IoEnvironment } from './command.ts';

type Options = ImageOpening['options'];
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export type OpeningSettings = Mutable<Omit<ImageOpening, 'filename' | 'options'>>;

export const defaultOpening = (): OpeningSettings => ({
  readOnly: false,
  copyOnRead: false,
  temporary: false,
  forceShare: false,
  unmap: true,
  cache: { direct: false, noFlush: false, writethrough: true },
  nativeAio: false,
});

const failed = (environment: IoEnvironment, message: string): never => {
  environment.report(message);
  throw new CommandFailed(message);
};

/** `-t`, `-d`, `-i`: the same in the command and in the program. */
export function setCache(environment: IoEnvironment, settings: OpeningSettings, name: string): void {
  settings.cache = cacheMode(name) ?? failed(environment, `Invalid cache option: ${name}`);
}

export function setDiscard(environment: IoEnvironment, settings: OpeningSettings, name: string): void {
  if (name === 'unmap' || name === 'on') settings.unmap = true;
  else if (name === 'ignore' || name === 'off') settings.unmap = false;
  else failed(environment, `Invalid discard option: ${name}`);
}

export function setAio(environment: IoEnvironment, settings: OpeningSettings, name: string): void {
  if (name !== 'threads' && name !== 'native' && name !== 'io_uring') failed(environment, `Invalid aio option: ${name}`);
  settings.nativeAio ||= name === 'native';
}

/** `key=value,…`, as --image-opts and -o take it. */
export function parseOptions(environment: IoEnvironment, text: string): Options {
  return splitAtCommas(text).flatMap((item): [string, string][] => {
    const equals = item.indexOf('=');
    if (equals >= 0) return [[item.slice(0, equals), item.slice(equals + 1)]];
    if (item === '') return [];
    environment.io.error(
      `${environment.io.program}: warning: short-form boolean option '${item}' deprecated\nPlease use ${item}=on instead\n`,
    );
    return [[item, 'on']];
  });
}

/** Opens an image; failures are reported, and end the command. */
export async function openImage(
  environment: IoEnvironment,
  filename: string | undefined,
  options: Options,
  settings: OpeningSettings,
): Promise<void> {
  if (environment.image !== undefined) failed(environment, "file open already, try 'help close'");
  const request: ImageOpening = { ...settings, filename, options };
  try {
    environment.image = { backend: await openBackend(environment, request), request };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    failed(environment, `can't open${filename === undefined ? '' : ` device ${filename}`}: ${error.message}`);
  }
}

async function openBackend(environment: IoEnvironment, request: ImageOpening): Promise<BlockBackend> {
  const { graph } = environment;
  const { cache, readOnly, temporary, copyOnRead, unmap, forceShare, nativeAio } = request;
  const options = new OptionDict(request.options);
  if (forceShare) options.set('force-share', true);
  const flags = { readOnly: readOnly || temporary, unmap, direct: cache.direct, noFlush: cache.noFlush, nativeAio };
  let node = await graph.open({ filename: request.filename, options, flags });
  try {
    if (copyOnRead && readOnly) throw new Failure('invalid-argument', "Can't use copy-on-read on read-only device");
    if (temporary) node = await openOverlay(environment, node, readOnly);
    if (copyOnRead)
      node = await graph.open({
        options: new OptionDict([
          ['driver', 'copy-on-read'],
          ['file', node.name],
        ]),
        flags: { unmap },
      });
  } catch (error) {
    await graph.release(node).catch(() => {});
    throw error;
  }
  return BlockBackend.over(graph, node, { write: !readOnly, writethrough: cache.writethrough });
}

/** An image that keeps what is written until it is closed: -s. */
async function openOverlay({ graph }: IoEnvironment, base: BlockNode, readOnly: boolean): Promise<BlockNode> {
  const path = join(process.env['TMPDIR'] ?? tmpdir(), `nandu-${randomUUID()}.qcow2`);
  try {
    await graph.createImage('qcow2', path, new Map([['size', base.size]]));
    const options = new OptionDict([
      ['driver', 'qcow2'],
      ['file.driver', 'file'],
      ['file.filename', path],
      ['backing', base.name],
    ]);
    return await graph.open({ options, flags: { unmap: true, noFlush: true, readOnly } });
  } finally {
    try {
      unlinkSync(path); // the open file lives on; nothing is left behind, however the program ends
    } catch {
      // it was not made
    }
  }
}

async function runOpen(words: readonly string[], environment: IoEnvironment): Promise<void> {
  const settings = defaultOpening();
  const options: [string, string | number | boolean | null][] = [];
  const { operands } = parseWords(environment, 'open', words, 'snCro:ki:t:d:U', (letter, argument) => {
    if (letter === 's') settings.temporary = true;
    else if (letter === 'n') setCache(environment, settings, 'none');
    else if (letter === 'C') settings.copyOnRead = true;
    else if (letter === 'r') settings.readOnly = true;
    else if (letter === 'k') settings.nativeAio = true;
    else if (letter === 't') setCache(environment, settings, argument);
    else if (letter === 'd') setDiscard(environment, settings, argument);
    else if (letter === 'i') setAio(environment, settings, argument);
    else if (letter === 'U') settings.forceShare = true;
    else options.push(...(parseOptions(environment, argument) as typeof options));
  });
  const [name, more] = operands;
  if (more !== undefined || (name === undefined && options.length === 0)) throw new UsageWanted();
  await openImage(environment, name, options, settings);
}

/** Closes the open image; what went wrong is reported, unless it is known already. */
export async function closeImage(environment: IoEnvironment, reports = true): Promise<void> {
  const { image } = environment;
  if (image === undefined) return;
  await environment.settle();
  environment.image = undefined;
  try {
    await image.backend.close();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (reports) environment.report(error.message);
    throw new CommandFailed(error.message);
  }
}

/** Options that every node can change. */
const CHANGEABLE = new Set(['read-only', 'auto-read-only', 'force-share', 'cache.direct', 'cache.no-flush', 'discard', 'detect-zeroes']);

function checkChangeable(environment: IoEnvironment, node: BlockNode, options: Options): void {
  for (const [name, value] of options) {
    const isOwn = Object.hasOwn(node.driver.options, name);
    if (CHANGEABLE.has(name) || isOwn || (name === 'driver' && value === node.driver.name)) continue;
    failed(environment, `Cannot change the option '${name}'`);
  }
}

async function runReopen(words: readonly string[], environment: IoEnvironment): Promise<void> {
  let { request } = environment.image!;
  const settings = { ...defaultOpening(), cache: request.cache };
  const options: [string, string | number | boolean | null][] = [];
  let readOnly: boolean | undefined;
  const { flags, operands } = parseWords(environment, 'reopen', words, 'c:o:rw', (letter, argument) => {
    if (letter === 'c') setCache(environment, settings, argument);
    else if (letter === 'o') options.push(...(parseOptions(environment, argument) as typeof options));
    else if (readOnly !== undefined) failed(environment, 'Only one -r/-w option may be given');
    else readOnly = letter === 'r';
  });
  if (operands.length > 0) throw new UsageWanted();
  const has = (name: string): boolean => options.some(([key]) => key === name);
  // From here on nobody writes, also when the rest is refused.
  if (readOnly === true) environment.image = { backend: environment.backend, request: (request = { ...request, readOnly }) };
  if (readOnly !== undefined && has('read-only')) failed(environment, "Cannot set both -r/-w and 'read-only'");
  if (flags.has('c') && (has('cache.direct') || has('cache.no-flush'))) failed(environment, 'Cannot set both -c and the cache options');
  const { node } = environment.backend;
  checkChangeable(environment, node, options);
  const writes = !(readOnly ?? request.readOnly);
  if (writes && options.some(([name, value]) => name === 'read-only' && (value === 'on' || value === true))) {
    failed(environment, `Read-only block node '${node.name}' cannot support read-write users`);
  }
  await openAgain(environment, {
    ...request,
    cache: settings.cache,
    readOnly: readOnly ?? request.readOnly,
    options: merged(request.options, options),
  });
}

const merged = (old: Options, changed: Options): Options => [...new Map([...old, ...changed])];

/** Closes and opens; an image that cannot be had in the new way is opened again in the old one. */
async function openAgain(environment: IoEnvironment, next: ImageOpening): Promise<void> {
  const { request } = environment.image!;
  if (request.temporary) failed(environment, 'an image opened with -s cannot be reopened: its changes would be lost');
  await closeImage(environment);
  try {
    environment.image = { backend: await openBackend(environment, next), request: next };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    environment.image = { backend: await openBackend(environment, request), request };
    failed(environment, error.message);
  }
}

export const IMAGE_COMMANDS: readonly IoCommand[] = [
  {
    name: 'open',
    alias: 'o',
    args: '[-rsCnkU] [-t cache] [-d discard] [-o options] [path]',
    summary: 'open the file specified by path',
    minArgs: 1,
    needsNoImage: true,
    help: [
      '',
      ' Opens an image for the other commands. Example:',
      " 'open -n -o driver=raw data.img' - opens raw data for reading and writing, uncached",
      '',
      ' -r, -- open file read-only',
      ' -s, -- use snapshot file',
      ' -C, -- use copy-on-read',
      ' -n, -- disable host cache, short for -t none',
      ' -U, -- force shared permissions',
      ' -k, -- use kernel AIO implementation (Linux only, prefer use of -i)',
      ' -i, -- use AIO mode (threads, native or io_uring)',
      ' -t, -- use the given cache mode for the image',
      ' -d, -- use the given discard mode for the image',
      ' -o, -- options to be given to the block driver',
    ],
    run: runOpen,
  },
  {
    name: 'close',
    alias: 'c',
    summary: 'close the current open file',
    minArgs: 0,
    maxArgs: 0,
    run: (_words, environment) => closeImage(environment),
  },
  {
    name: 'reopen',
    args: '[(-r|-w)] [-c cache] [-o options]',
    summary: 'reopens an image with new options',
    minArgs: 0,
    help: [
      '',
      ' Opens the open image in another way. Example:',
      " 'reopen -o lazy-refcounts=on' - lets a qcow2 image write its reference counts later",
      '',
      ' -r, -- Reopen the image read-only',
      ' -w, -- Reopen the image read-write',
      ' -c, -- Change the cache mode to the given value',
      " -o, -- Changes block driver options (cf. 'open' command)",
      '',
    ],
    run: runReopen,
  },
];
