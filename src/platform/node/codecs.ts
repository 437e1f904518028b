// Compression of the host for the block layer: deflate from node:zlib, at once or through the thread pool, and Zstandard
// (zstd.ts). A decoder's result is never longer than what the caller expects, whatever the stream says.
import * as zlib from 'node:zlib';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { Compression } from '../../ports/codec.ts';
import { plainBytes } from './plain-bytes.ts';
import { zstdCompress, zstdDecompress } from './zstd.ts';

export interface CompressionPlaces {
  /** In the thread pool: several requests at a time use several processors, one alone waits a little longer. */
  readonly deflatePooled: boolean;
  readonly inflatePooled: boolean;
}

/** Less than this is done at once: the way to another thread takes longer. */
const POOLED_BYTES = 8192;

export function nodeCompression({ deflatePooled, inflatePooled }: CompressionPlaces): Compression {
  const isPooled = (bytes: number): boolean => deflatePooled && bytes >= POOLED_BYTES;
  const inflate = (kind: InflateKind, source: Uint8Array, targetBytes: number, options: zlib.ZlibOptions): Eventual<Uint8Array> =>
    inflated(kind, source, targetBytes, options, inflatePooled && targetBytes >= POOLED_BYTES);
  return {
    deflateRaw(source, windowBits, maxBytes) {
      const bounded = (result: Uint8Array): Uint8Array | undefined => (result.length < maxBytes ? plainBytes(result) : undefined);
      const options = { windowBits };
      if (!isPooled(source.length)) return bounded(zlib.deflateRawSync(source, options));
      return inPool((done) => zlib.deflateRaw(source, options, done)).then(bounded);
    },
    inflateRaw: (source, windowBits, targetBytes) => inflate(RAW, source, targetBytes, { windowBits }),
    deflateZlib(source) {
      return isPooled(source.length) ? inPool((done) => zlib.deflate(source, done)) : plainBytes(zlib.deflateSync(source));
    },
    inflateZlib: (source, targetBytes) => inflate(FRAMED, source, targetBytes, {}),
    zstdCompress: (source, maxBytes) => zstdCompress(source, maxBytes, isPooled(source.length)),
    zstdDecompress,
  };
}

type Done = (error: Error | null, result: Uint8Array) => void;

function inPool(run: (done: Done) => void): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    run((error, result) => {
      if (error === null) resolve(plainBytes(result));
      else reject(error);
    });
  });
}

interface InflateKind {
  sync(source: Uint8Array, options: zlib.ZlibOptions): Uint8Array;
  pooled(source: Uint8Array, options: zlib.ZlibOptions, done: Done): void;
  stream(options: zlib.ZlibOptions): zlib.InflateRaw | zlib.Inflate;
}

const RAW: InflateKind = { sync: zlib.inflateRawSync, pooled: zlib.inflateRaw, stream: zlib.createInflateRaw };
const FRAMED: InflateKind = { sync: zlib.inflateSync, pooled: zlib.inflate, stream: zlib.createInflate };

function inflated(
  kind: InflateKind,
  source: Uint8Array,
  targetBytes: number,
  options: zlib.ZlibOptions,
  pooled: boolean,
): Eventual<Uint8Array> {
  if (targetBytes === 0) return new Uint8Array(0);
  const bounds = {
    ...options,
    maxOutputLength: targetBytes,
    chunkSize: targetBytes + 64, // one buffer, and room to see the end of the stream
    finishFlush: zlib.constants.Z_SYNC_FLUSH, // a stream that ends early gives what it has
  };
  const onError = (error: unknown): Eventual<Uint8Array> => {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return beginning(kind, source, targetBytes, options);
    throw damaged(error);
  };
  if (pooled) return inPool((done) => kind.pooled(source, bounds, done)).then((result) => complete(result, targetBytes), onError);
  let result: Uint8Array;
  try {
    result = kind.sync(source, bounds);
  } catch (error) {
    return onError(error);
  }
  return complete(result, targetBytes);
}

const damaged = (cause?: unknown): Failure => new Failure('corrupt', 'Compressed data is damaged', { cause });

function complete(result: Uint8Array, targetBytes: number): Uint8Array {
  if (result.length < targetBytes) throw damaged();
  return plainBytes(result);
}

/** The first `targetBytes` of a longer stream; rare, so it may take the slow way. */
function beginning(kind: InflateKind, source: Uint8Array, targetBytes: number, options: zlib.ZlibOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const target = new Uint8Array(targetBytes);
    let done = 0;
    const stream = kind.stream(options);
    const settle = (end: () => void): void => {
      stream.destroy();
      end();
    };
    stream.on('data', (part: Uint8Array) => {
      target.set(part.subarray(0, targetBytes - done), done);
      done = Math.min(targetBytes, done + part.length);
      if (done === targetBytes) settle(() => resolve(target));
    });
    stream.on('error', (error) => settle(() => reject(damaged(error))));
    stream.on('end', () => settle(() => reject(damaged())));
    stream.end(source);
  });
}
