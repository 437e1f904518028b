// Puts together what the block layer needs of this host: files, codecs, cryptography, secrets, time.
import { Failure } from '../../base/failure.ts';
import { installEqualityTest } from '../../base/equal.ts';
import { installZeroTest } from '../../base/zero.ts';
import type { BlockHost } from '../../block/host.ts';
import type { StreamConnector, TlsCredentials } from '../../ports/stream.ts';
import { nodeCompression } from './codecs.ts';
import { nodeCryptography } from './cryptography.ts';
import { bulkHostFiles, pooledHostFiles, serverHostFiles, syncHostFiles } from './host-files.ts';

const HOST_FILES = { sync: syncHostFiles, bulk: bulkHostFiles, server: serverHostFiles, pooled: () => pooledHostFiles() } as const;

export interface BlockHostOptions {
  /**
   * `sync` for tools that do one thing, `bulk` for those that can do another while they read a lot, `server` for those that take
   * more from a socket while they read or write a lot, `pooled` for whatever must answer others at any time.
   */
  readonly files: keyof typeof HOST_FILES;
  /** Values of `-object secret`, by id. */
  readonly secrets?: ReadonlyMap<string, Uint8Array>;
  /** TCP, UNIX sockets and HTTP of this host where nothing else is given. */
  readonly network?: StreamConnector;
  /** Credentials of `-object tls-creds-…`, by id. */
  readonly tlsCredentials?: (id: string) => TlsCredentials | undefined;
  readonly warn?: (line: string, hint?: string) => void;
}

const ZERO_BYTES = 65536;
let zeroBuffer: Buffer | undefined;

/** memcmp against zeroes: several times as fast as a loop over words. */
function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end) return true;
  if (bytes[start] !== 0 || bytes[end - 1] !== 0) return false;
  zeroBuffer ??= Buffer.alloc(ZERO_BYTES);
  for (let at = start; at < end; at += ZERO_BYTES) {
    const count = Math.min(ZERO_BYTES, end - at);
    if (zeroBuffer.compare(bytes, at, at + count, 0, count) !== 0) return false;
  }
  return true;
}

/** The method takes any bytes as its object; a view of each part would cost more than comparing it. */
function equalBytes(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  return Buffer.prototype.compare.call(a as Buffer, b, start, end, start, end) === 0;
}

/** Loaded when an image is first opened over it. */
const lazyNetwork: StreamConnector = {
  connect: async (address) => (await import('./streams.ts')).connectStream(address),
  http: async (request) => (await import('./http-requests.ts')).requestHttp(request),
};

export function createBlockHost(options: BlockHostOptions): BlockHost {
  installZeroTest(isZero);
  installEqualityTest(equalBytes);
  const { secrets, tlsCredentials } = options;
  return {
    files: HOST_FILES[options.files](),
    compression: nodeCompression({ deflatePooled: true, inflatePooled: options.files === 'pooled' }),
    cryptography: nodeCryptography(),
    network: options.network ?? lazyNetwork,
    ...(tlsCredentials === undefined ? {} : { tlsCredentials }),
    secret(id) {
      const value = secrets?.get(id);
      if (value === undefined) throw new Failure('not-found', `No secret with id '${id}'`);
      return value;
    },
    nowNs: () => Math.round(performance.now() * 1e6),
    dateMs: () => Date.now(),
    sleep: (ms) => new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms))),
    warn: options.warn ?? ((line, hint = '') => process.stderr.write(`${line}\n${hint}`)),
  };
}
