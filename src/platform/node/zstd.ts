// Zstandard: Node's own where it has it (from 22.15 and 23.8 on), else the system's libzstd, else libzstd as WebAssembly. What is used is
// loaded with the first call. Frames are measured and their sizes checked before a library sees them.
import * as zlib from 'node:zlib';
import { after, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { plainBytes } from './plain-bytes.ts';
import { zstdFrame } from './zstd-frame.ts';
import { nativeZstd } from './zstd-native.ts';
import { wasmCodec, type ZstdCodec } from './zstd-wasm.ts';
import { compressInWorker } from './zstd-workers.ts';

/** What zlib has of this, in Nodes that have it. */
interface ZlibWithZstd {
  zstdCompressSync?(source: Uint8Array): Uint8Array;
  zstdDecompressSync?(source: Uint8Array, options: { maxOutputLength: number }): Uint8Array;
  zstdCompress?(source: Uint8Array, done: (error: Error | null, result: Uint8Array) => void): void;
}

const { zstdCompressSync, zstdDecompressSync, zstdCompress: zstdCompressPooled } = zlib as ZlibWithZstd;

let codec: ZstdCodec | undefined;

function nodeCodec(): ZstdCodec | undefined {
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) return undefined;
  return {
    compress: (source) => plainBytes(zstdCompressSync(source)),
    decompress: (frame, maxBytes) => plainBytes(zstdDecompressSync(frame, { maxOutputLength: maxBytes })),
  };
}

/** Plainly when it is loaded already. */
function zstd(): Eventual<ZstdCodec> {
  codec ??= nodeCodec() ?? nativeZstd();
  return codec ?? loadWasm();
}

async function loadWasm(): Promise<ZstdCodec> {
  try {
    return (codec = await wasmCodec());
  } catch (cause) {
    throw new Failure('unsupported', 'zstd compression needs Node 22.15 or later, or the package @bokuweb/zstd-wasm', { cause });
  }
}

/** So much is compressed before threads are started for it. */
const WARM_UP_BYTES = 1 << 20;
let compressedBytes = 0;

/** `pooled`: on other threads when there is a lot. Undefined when the result is not smaller than `maxBytes`. */
export function zstdCompress(source: Uint8Array, maxBytes: number, pooled: boolean): Eventual<Uint8Array | undefined> {
  const bounded = (result: Uint8Array): Uint8Array | undefined => (result.length < maxBytes ? result : undefined);
  compressedBytes += source.length;
  const elsewhere = pooled && compressedBytes > WARM_UP_BYTES ? compressElsewhere(source) : undefined;
  if (elsewhere !== undefined) return elsewhere.then(bounded);
  return after(zstd(), ({ compress }) => bounded(compress(source)));
}

/** Undefined when threads do not work here. */
function compressElsewhere(source: Uint8Array): Promise<Uint8Array> | undefined {
  if (zstdCompressPooled === undefined) {
    const native = nativeZstd();
    if (native !== undefined) return native.compressElsewhere(source);
    return compressInWorker(source)?.catch(async () => (await zstd()).compress(source)); // no thread is no reason to fail
  }
  return new Promise((resolve, reject) => {
    zstdCompressPooled(source, (error, result) => {
      if (error === null) resolve(plainBytes(result));
      else reject(error);
    });
  });
}

/** Exactly `targetBytes`, of one frame or of several; what follows the last is ignored. */
export function zstdDecompress(source: Uint8Array, targetBytes: number): Eventual<Uint8Array> {
  return after(zstd(), (loaded) => decodeFrames(loaded, source, targetBytes));
}

export function decodeFrames(decoder: ZstdCodec, source: Uint8Array, targetBytes: number): Uint8Array {
  let target: Uint8Array | undefined;
  let done = 0;
  for (let at = 0; done < targetBytes; ) {
    const frame = zstdFrame(source, at);
    const bytes = source.subarray(at, frame.end);
    const content = frame.isSkippable ? EMPTY : decodeFrame(decoder, bytes, frame.contentBytes, targetBytes - done);
    at = frame.end;
    if (content.length === targetBytes) return content;
    target ??= new Uint8Array(targetBytes);
    target.set(content, done);
    done += content.length;
  }
  return target ?? EMPTY;
}

const EMPTY = new Uint8Array(0);

function decodeFrame(decoder: ZstdCodec, frame: Uint8Array, contentBytes: number | undefined, maxBytes: number): Uint8Array {
  if (contentBytes !== undefined && contentBytes > maxBytes) throw new Failure('corrupt', 'Compressed data is longer than its cluster');
  let content: Uint8Array;
  try {
    content = decoder.decompress(frame, maxBytes);
  } catch (cause) {
    throw new Failure('corrupt', 'Compressed data is damaged', { cause });
  }
  if (content.length > maxBytes || (contentBytes !== undefined && content.length !== contentBytes)) {
    throw new Failure('corrupt', 'Compressed data is damaged');
  }
  return content;
}
