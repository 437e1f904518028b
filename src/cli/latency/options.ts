// The words of `nandu latency`.
import { Failure } from '../../base/failure.ts';
import { parseSize } from '../../schema/size.ts';
import { cacheMode } from '../image-tools/cache-mode.ts';
import { DRIVERS, type Driver } from './guest.ts';
import { DEPTH_MAX, requestsOfPass, type Workload } from './workload.ts';

export interface LatencyRequest {
  /** A trace to read instead of a guest to boot. */
  file: string | undefined;
  driver: Driver;
  disk: string | undefined;
  format: string;
  cache: string;
  /** More of `-drive`. */
  drive: string;
  bytes: number | undefined;
  count: number;
  random: boolean;
  isWrite: boolean;
  depth: number;
  json: boolean;
  html: string | undefined;
  trace: string | undefined;
  samples: boolean;
  /** Two lists of words. */
  compare: readonly [string, string] | undefined;
  runs: number;
  help: boolean;
}

export const SCRATCH_BYTES = 64 << 20;
export const REQUEST_BYTES = 4096;
const REQUEST_BYTES_MAX = 256 << 10;
const COUNT_MAX = 100_000;

const initial = (): LatencyRequest => ({
  file: undefined, driver: 'virtio', disk: undefined, format: 'raw', cache: 'writeback', drive: '', bytes: undefined, count: 8192,
  random: false, isWrite: false, depth: 1, json: false, html: undefined, trace: undefined, samples: false, compare: undefined, runs: 3,
  help: false,
});

interface Option {
  readonly name: string;
  /** What the words after it are; absent when there are none. */
  readonly arguments?: readonly string[];
  readonly help: string;
  apply(request: LatencyRequest, words: readonly string[]): void;
}

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

function numberIn(name: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > max) throw invalid(`--${name}: requires a number from 1 to ${max}`);
  return value;
}

function driverOf(text: string): Driver {
  if (!Object.hasOwn(DRIVERS, text)) throw invalid(`--driver: '${text}' is none of ${Object.keys(DRIVERS).join(', ')}`);
  return text as Driver;
}

// prettier-ignore
const OPTIONS: readonly Option[] = [
  { name: 'driver', arguments: ['NAME'], help: `how the disk is attached: ${Object.keys(DRIVERS).join(', ')} (virtio)`, apply: (r, [text]) => { r.driver = driverOf(text!); } },
  { name: 'disk', arguments: ['FILE'], help: 'the image, which is only read; else a scratch image of 64 MiB', apply: (r, [text]) => { r.disk = text; } },
  { name: 'format', arguments: ['NAME'], help: 'its format: raw, qcow2, … (raw)', apply: (r, [text]) => { r.format = text!; } },
  { name: 'cache', arguments: ['MODE'], help: "as in -drive: writeback, none, … (writeback)", apply: (r, [text]) => {
    if (cacheMode(text!) === undefined) throw invalid(`--cache: invalid cache option '${text}'`);
    r.cache = text!;
  } },
  { name: 'drive', arguments: ['OPTIONS'], help: 'more of -drive: file.x-cached-reads=off for the thread pool', apply: (r, [text]) => { r.drive += `,${text}`; } },
  { name: 'bytes', arguments: ['SIZE'], help: 'of a request (4k)', apply: (r, [text]) => {
    r.bytes = parseSize('--bytes', text!, '');
    if (r.bytes % 512 !== 0 || r.bytes === 0 || r.bytes > REQUEST_BYTES_MAX) throw invalid('--bytes: requires a multiple of 512 up to 256k');
  } },
  { name: 'count', arguments: ['N'], help: 'requests (8192)', apply: (r, [text]) => { r.count = numberIn('count', text!, COUNT_MAX); } },
  { name: 'random', help: 'at random offsets, else one after the other', apply: (r) => { r.random = true; } },
  { name: 'write', help: 'writes, of a scratch image', apply: (r) => { r.isWrite = true; } },
  { name: 'depth', arguments: ['N'], help: 'requests at once (1)', apply: (r, [text]) => { r.depth = numberIn('depth', text!, DEPTH_MAX); } },
  { name: 'json', help: 'the figures as JSON', apply: (r) => { r.json = true; } },
  { name: 'samples', help: 'with --json: the time of each request', apply: (r) => { r.samples = true; } },
  { name: 'html', arguments: ['FILE'], help: 'a page with the figures as pictures', apply: (r, [text]) => { r.html = text; } },
  { name: 'trace', arguments: ['FILE'], help: 'keeps the trace (simple format, see nandu trace)', apply: (r, [text]) => { r.trace = text; } },
  { name: 'compare', arguments: ['A', 'B'], help: 'two lists of these options, or --build FOLDER for another build', apply: (r, [a, b]) => { r.compare = [a!, b!]; } },
  { name: 'runs', arguments: ['N'], help: 'of each of the two, alternating (3)', apply: (r, [text]) => { r.runs = numberIn('runs', text!, 100); } },
  { name: 'help', help: 'show this help', apply: (r) => { r.help = true; } },
];

const nameColumn = ({ name, arguments: words = [] }: Option): string => `  --${name} ${words.join(' ')}`.padEnd(18);

export const LATENCY_HELP = `usage: nandu latency [OPTION]...        boot a small guest, measure a disk in it, and the same file on the host
       nandu latency --compare A B …    the same twice, with other options, and whether it differs
       nandu latency [OPTION]... FILE   from a trace of any machine, see below

Where the time of a disk's requests goes, layer by layer.

${OPTIONS.map((option) => `${nameColumn(option)} ${option.help}\n`).join('')}
A trace for the last form is made by
`;

export function parseLatency(words: readonly string[]): LatencyRequest {
  const request = initial();
  for (let index = 0; index < words.length; index++) {
    const word = words[index] === '-h' ? '--help' : words[index]!;
    if (!word.startsWith('-')) {
      if (request.file !== undefined) throw invalid(`latency: unexpected argument '${word}'`);
      request.file = word;
      continue;
    }
    const option = OPTIONS.find(({ name }) => word === `--${name}`);
    if (option === undefined) throw invalid(`${word}: invalid option (see nandu latency --help)`);
    const wanted = option.arguments?.length ?? 0;
    const given = words.slice(index + 1, index + 1 + wanted);
    if (given.length < wanted) throw invalid(`${word}: requires ${wanted === 1 ? 'an argument' : `${wanted} arguments`}`);
    index += wanted;
    option.apply(request, given);
  }
  if (request.isWrite && request.disk !== undefined) throw invalid('--write: only goes with a scratch image, without --disk');
  return request;
}

export function workloadOf({ bytes = REQUEST_BYTES, count, random, isWrite, depth }: LatencyRequest, imageBytes: number): Workload {
  const spanBytes = Math.min(imageBytes, 2 ** 31) - (Math.min(imageBytes, 2 ** 31) % bytes);
  if (spanBytes < bytes * depth) throw invalid('the image is too small for these requests');
  return { bytes, count: requestsOfPass(count), random, isWrite, depth, spanBytes };
}

export const passesCache = ({ cache }: LatencyRequest): boolean => cacheMode(cache)?.direct === true;

/** In words, for the head of the tables. */
export function titleOf(request: LatencyRequest, workload: Workload): string {
  const { driver, format, cache, drive, disk } = request;
  const { bytes, random, isWrite, depth } = workload;
  const what = `${random ? 'random' : 'sequential'} ${isWrite ? 'writes' : 'reads'} of ${bytes} bytes, ${depth} at once`;
  return `${what}; ${driver}, ${format}, cache=${cache}${drive}, ${disk ?? 'a scratch image'}`;
}
