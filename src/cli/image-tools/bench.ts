// nandu-img bench: how long many reads or writes of an image take.
import { setFlagsFromString } from 'node:v8';
import { errnoOf, errnoText } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { sendRequests } from '../../block/operations/request-load.ts';
import { cacheMode, parseCacheMode } from './cache-mode.ts';
import { LONG } from './common-options.ts';
import { parseSizeArgument } from './human-size.ts';
import { interruptible } from './interruptible.ts';
import { UsageFailure, type Session } from './session.ts';

const GRAMMAR = {
  short: ':hc:d:f:ni:o:qs:S:t:wU',
  long: [
    LONG.help,
    { long: 'flush-interval', name: 'flush-interval', argument: 'required' },
    { long: 'pattern', name: 'pattern', argument: 'required' },
    LONG.imageOpts,
    { long: 'no-drain', name: 'no-drain', argument: 'none' },
    LONG.forceShare,
  ],
} as const;

/** Equal requests by the thousand: code is worth optimizing sooner than in other commands (bin/start.cjs). */
const OPTIMIZE_SOON = '--interrupt-budget=132000';

const INT_MAX = 2 ** 31 - 1;

interface Settings {
  count: number;
  depth: number;
  bytes: number;
  step: number;
  offset: number;
  pattern: number;
  flushInterval: number;
  drain: boolean;
  isWrite: boolean;
  cacheName: string;
  nativeAio: boolean;
  format?: string | undefined;
  imageOptions: boolean;
  forceShare: boolean;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);

function count(what: string, text: string, max = INT_MAX): number {
  const value = /^\s*\+?(0[xX][0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : NaN;
  if (!(value <= max)) throw wrong(`Invalid ${what} specified`);
  return value;
}

export async function run(words: readonly string[], session: Session): Promise<number> {
  setFlagsFromString(OPTIMIZE_SOON); // before the image's code runs for the first time
  const operands: string[] = [];
  const settings: Settings = {
    count: 75000,
    depth: 64,
    bytes: 4096,
    step: 0,
    offset: 0,
    pattern: 0,
    flushInterval: 0,
    drain: true,
    isWrite: false,
    cacheName: 'writeback',
    nativeAio: false,
    imageOptions: false,
    forceShare: false,
  };
  for (const { name, argument } of session.options<string>('bench', words, GRAMMAR, operands))
    apply(settings, session, name, argument ?? '');
  if (operands.length !== 1) throw new UsageFailure('Expecting one image file name');
  const { isWrite, flushInterval, depth } = settings;
  if (!isWrite && flushInterval > 0) throw wrong('--flush-interval is only available in write tests');
  if (flushInterval > 0 && flushInterval < depth) throw wrong("Flush interval can't be smaller than depth");
  return runOn(session, operands[0]!, settings);
}

// prettier-ignore
function apply(settings: Settings, session: Session, name: string, argument: string): void {
  const size = (what: string): number =>
    Number(parseSizeArgument(what, argument, { max: what === 'offset' ? 2n ** 63n - 1n : BigInt(INT_MAX), warn: (line) => session.warn(line) }));
  switch (name) {
    case 'c': settings.count = count('request count', argument); break;
    case 'd': settings.depth = count('queue depth', argument); break;
    case 'f': settings.format = argument; break;
    case 'n': settings.nativeAio = true; break;
    case 'i': settings.nativeAio ||= isNative(argument); break;
    case 'o': settings.offset = size('offset'); break;
    case 'q': session.isQuiet = true; break;
    case 's': settings.bytes = size('buffer size'); break;
    case 'S': settings.step = size('step_size'); break;
    case 't': settings.cacheName = checkedCache(argument); break;
    case 'w': settings.isWrite = true; break;
    case 'U': settings.forceShare = true; break;
    case 'pattern': settings.pattern = count('pattern byte', argument, 255); break;
    case 'flush-interval': settings.flushInterval = count('flush interval', argument); break;
    case 'no-drain': settings.drain = false; break;
    case 'image-opts': settings.imageOptions = true; break;
  }
}

function isNative(text: string): boolean {
  if (text === 'threads' || text === 'native' || text === 'io_uring') return text === 'native';
  throw wrong(`Invalid aio option: ${text}`);
}

function checkedCache(text: string): string {
  if (cacheMode(text) === undefined) throw wrong('Invalid cache mode');
  return text;
}

async function runOn(session: Session, filename: string, settings: Settings): Promise<number> {
  const { format, imageOptions, forceShare, isWrite, depth, bytes, offset, flushInterval, nativeAio } = settings;
  const cache = parseCacheMode('cache', settings.cacheName);
  const backend = await session.open({ filename, format, imageOptions, forceShare, cache, flags: { readOnly: !isWrite, nativeAio } });
  try {
    const step = settings.step === 0 ? bytes : settings.step;
    session.io.out(
      `Sending ${settings.count} ${isWrite ? 'write' : 'read'} requests, ${bytes} bytes each, ${depth} in parallel ` +
        `(starting at offset ${offset}, step size ${step})\n`,
    );
    if (flushInterval > 0) session.io.out(`Sending flush every ${flushInterval} requests\n`);
    const { host } = backend.graph;
    const startNs = host.nowNs();
    await interruptible(session.io, (signal) => sendRequests({ ...settings, backend, step, depth: Math.max(1, depth), signal }));
    session.io.out(`Run completed in ${((host.nowNs() - startNs) / 1e9).toFixed(3)} seconds.\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.kind, `Failed request: ${errnoText(errnoOf(error))}`, { cause: error });
  } finally {
    await backend.close();
  }
}
