// The protocol drivers `http` and `https`: read-only images on a web server, read in ranges (RFC 9110, section 14), with what was
// read ahead kept for the next requests. Options and texts as in QMP's BlockdevOptionsCurl.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { HttpRange, StreamConnector } from '../../ports/stream.ts';
import { bool, size as sizeType, str, type PropertyType, type PropertyValues } from '../../schema/property.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import type { BlockHost } from '../host.ts';
import { SECTOR } from '../node.ts';
import { RangeCache } from './range-cache.ts';

const DEFAULT_READAHEAD = 256 << 10;
const DEFAULT_TIMEOUT_S = 5;
const TIMEOUT_S_MAX = 10_000;
const NEVER_MS = 2 ** 31 - 1;
const REDIRECTS_MAX = 20;
/** More is fetched in parts. */
const MAX_TRANSFER = 32 << 20;

const wrong = (message: string): Failure => new Failure('invalid-argument', message);
const cannotOpen = (message: string, cause?: unknown): Failure =>
  new ErrnoFailure('EINVAL', `CURL: Error opening file: ${message}`, { cause });

const seconds: PropertyType<number> = {
  label: 'num',
  fromText(name, text) {
    if (!/^[+-]?\d+$/.test(text)) throw wrong(`Parameter '${name}' expects a number`);
    return Number(text);
  },
  fromJson: (name, value) => seconds.fromText(name, String(value)),
};

const OPEN_OPTIONS = {
  url: { type: str },
  readahead: { type: sizeType() },
  sslverify: { type: bool },
  timeout: { type: seconds },
  cookie: { type: str },
  'cookie-secret': { type: str },
  username: { type: str },
  'password-secret': { type: str },
  'proxy-username': { type: str },
  'proxy-password-secret': { type: str },
} as const;

type HttpOptions = PropertyValues<typeof OPEN_OPTIONS>;

/** Where and how to ask. */
interface Source {
  readonly network: Required<Pick<StreamConnector, 'http'>>;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly verifyPeer: boolean;
  readonly timeoutMs: number;
}

type Headers = Readonly<Record<string, string>>;

async function request(source: Source, method: 'GET' | 'HEAD', headers: Headers, maxBytes: number): Promise<HttpRange> {
  const { verifyPeer, timeoutMs } = source;
  let { url } = source;
  for (let hop = 0; ; hop++) {
    // Credentials are for the server that the user named.
    const own = new URL(url).origin === new URL(source.url).origin ? source.headers : {};
    const answer = await source.network.http({ method, url, headers: { ...own, ...headers }, verifyPeer, timeoutMs, maxBytes });
    const location = answer.headers.get('location');
    if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer;
    if (hop >= REDIRECTS_MAX) throw new ErrnoFailure('EIO', `Maximum (${REDIRECTS_MAX}) redirects followed`);
    url = redirected(location, url);
  }
}

function redirected(location: string, from: string): string {
  const next = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (next?.protocol === 'http:' || next?.protocol === 'https:') return next.href;
  throw new ErrnoFailure('EIO', `Redirect to '${location}', which is no HTTP address`);
}

function refuseStatus({ status }: HttpRange): void {
  if (status >= 400) throw new ErrnoFailure('EIO', `The requested URL returned error: ${status}`);
}

/** Asks for the size, and whether ranges can be had. */
async function findSize(source: Source): Promise<number> {
  let answer: HttpRange;
  try {
    answer = await request(source, 'HEAD', {}, 0);
    refuseStatus(answer);
  } catch (error) {
    throw error instanceof Failure ? cannotOpen(error.message, error) : error;
  }
  const length = answer.headers.get('content-length');
  if (length === undefined || !/^\d+$/.test(length)) throw cannotOpen("Server didn't report file size.");
  if (!Number.isSafeInteger(Number(length))) throw cannotOpen(`file size ${length} is out of range`);
  if (answer.headers.get('accept-ranges')?.trim().toLowerCase() !== 'bytes') {
    throw cannotOpen("Server does not support 'range' (byte ranges).");
  }
  return Number(length);
}

/** The bytes from `start` up to `end`, or fewer when the server has no more: that is an error, the file has changed. */
async function fetchRange(source: Source, start: number, end: number): Promise<Uint8Array> {
  const count = end - start;
  const answer = await request(source, 'GET', { Range: `bytes=${start}-${end - 1}` }, count);
  refuseStatus(answer);
  // A server that sends the whole file instead can only be understood at the beginning of it.
  const isRange = answer.status === 206 ? rangeStart(answer) === start : start === 0;
  if (!isRange) throw new ErrnoFailure('EIO', 'The server did not send the range that was asked for');
  const missing = count - answer.body.length;
  if (missing !== 0) throw new ErrnoFailure('EIO', `transfer closed with ${missing} bytes remaining to read`);
  return answer.body;
}

function rangeStart(answer: HttpRange): number {
  const match = /^bytes (\d+)-/.exec(answer.headers.get('content-range') ?? '');
  return match === null ? NaN : Number(match[1]);
}

class HttpInstance implements BlockInstance {
  readonly size: number;
  readonly limits = { maxTransfer: MAX_TRANSFER };
  readonly url: string;
  /** The name says everything. */
  readonly isPlain: boolean;
  readonly #cache: RangeCache;

  constructor(source: Source, size: number, readahead: number, isPlain: boolean) {
    this.size = Math.ceil(size / SECTOR) * SECTOR; // images are counted in sectors
    this.url = source.url;
    this.isPlain = isPlain;
    this.#cache = new RangeCache((start, end) => fetchRange(source, start, end), size, readahead);
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    try {
      await this.#cache.read(offset, target);
    } catch (error) {
      throw error instanceof Failure ? new ErrnoFailure('EIO', undefined, { cause: error }) : error;
    }
  }

  close(): void {
    this.#cache.clear();
  }
}

function secret(host: BlockHost, id: string): string {
  return new TextDecoder().decode(host.secret(id));
}

function requestHeaders(host: BlockHost, given: HttpOptions): Record<string, string> {
  const headers: Record<string, string> = { Accept: '*/*' };
  const cookieSecret = given['cookie-secret'];
  if (given.cookie !== undefined && cookieSecret !== undefined) throw wrong('curl driver cannot handle both cookie and cookie secret');
  const cookie = cookieSecret === undefined ? given.cookie : secret(host, cookieSecret);
  if (cookie !== undefined) headers['Cookie'] = headerValue('cookie', cookie);
  const passwordSecret = given['password-secret'];
  const password = passwordSecret === undefined ? '' : secret(host, passwordSecret);
  if (given.username !== undefined) headers['Authorization'] = `Basic ${base64(`${given.username}:${password}`)}`;
  return headers;
}

function headerValue(name: string, value: string): string {
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) throw wrong(`${name} has characters that a header cannot have`);
  return value;
}

const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

function sourceOf(scheme: string, host: BlockHost, given: HttpOptions): Source {
  const timeoutS = given.timeout ?? DEFAULT_TIMEOUT_S;
  if (timeoutS < 0 || timeoutS > TIMEOUT_S_MAX) throw wrong('timeout parameter is too large or negative');
  const { url } = given;
  if (url === undefined) throw wrong("curl block driver requires an 'url' option");
  if (!url.startsWith(`${scheme}://`)) {
    throw wrong(`${scheme} curl driver cannot handle the URL '${url}' (does not start with '${scheme}://')`);
  }
  if (given['proxy-username'] !== undefined || given['proxy-password-secret'] !== undefined) {
    throw new Failure('unsupported', 'Proxies are not supported');
  }
  const headers = requestHeaders(host, given);
  if (!URL.canParse(url)) throw cannotOpen('URL using bad/illegal format or missing URL');
  const { http } = host.network ?? {};
  if (http === undefined) throw new Failure('unsupported', 'There is no network here');
  const timeoutMs = timeoutS === 0 ? NEVER_MS : timeoutS * 1000;
  return { network: { http: (what) => http(what) }, url, headers, verifyPeer: given.sslverify ?? true, timeoutMs };
}

function openWith(scheme: string): BlockDriver['open'] {
  return async ({ options, host, flags, node }: OpenContext) => {
    if (!flags.readOnly) {
      if (!flags.autoReadOnly) throw new ErrnoFailure('EACCES', 'curl driver does not support writes');
      node.flags = { ...flags, readOnly: true };
    }
    const given = options.absorb(OPEN_OPTIONS);
    const readahead = given.readahead ?? DEFAULT_READAHEAD;
    if (readahead % SECTOR !== 0) throw wrong(`HTTP_READAHEAD_SIZE ${readahead} is not a multiple of 512`);
    const source = sourceOf(scheme, host, given);
    const isPlain = source.verifyPeer && Object.keys(source.headers).length === 1;
    return new HttpInstance(source, await findSize(source), readahead, isPlain);
  };
}

const driverFor = (scheme: 'http' | 'https'): BlockDriver => ({
  name: scheme,
  kind: 'protocol',
  options: OPEN_OPTIONS,
  parseFilename: (filename, options) => options.set('url', filename),
  strongOptions: ['url', 'sslverify', 'cookie', 'cookie-secret', 'username', 'password-secret', 'proxy-username', 'proxy-password-secret'],
  open: openWith(scheme),
  exactFilename: ({ isOpen, instance }) => (isOpen && instance instanceof HttpInstance && instance.isPlain ? instance.url : undefined),
});

export const http: BlockDriver = driverFor('http');
export const https: BlockDriver = driverFor('https');
