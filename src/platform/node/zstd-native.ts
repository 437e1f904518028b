// libzstd as the system has it, through koffi: as fast as a program in C, here and on other threads. Undefined where either is
// missing; then zstd-wasm.ts does the work.
import { createRequire } from 'node:module';
import { Failure } from '../../base/failure.ts';
import type { ZstdCodec } from './zstd-wasm.ts';

/** The part of koffi that we use. */
interface Koffi {
  load(path: string): { func(prototype: string): NativeFunction };
}
interface NativeFunction {
  (...values: unknown[]): number;
  async(...values: unknown[]): void;
}

export interface NativeZstd extends ZstdCodec {
  /** On another thread. */
  compressElsewhere(source: Uint8Array): Promise<Uint8Array>;
}

/** What a job needs beside its source. */
interface Place {
  readonly context: unknown;
  readonly target: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Jobs under way; more would only hold memory. Node's thread pool has half as many threads, and each finds its next job waiting. */
const JOBS_MAX = 8;

/** The level that libzstd takes when none is asked for. */
const DEFAULT_LEVEL = 3;
const LIBRARIES: Readonly<Partial<Record<NodeJS.Platform, string>>> = { linux: 'libzstd.so.1', darwin: 'libzstd.1.dylib' };

let loaded: NativeZstd | undefined;
let wasAsked = false;

export function nativeZstd(): NativeZstd | undefined {
  if (!wasAsked) {
    wasAsked = true;
    loaded = load();
  }
  return loaded;
}

function load(): NativeZstd | undefined {
  const library = LIBRARIES[process.platform];
  if (library === undefined) return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as Koffi, library);
  } catch {
    return undefined; // no koffi, or no such library
  }
}

function bind(koffi: Koffi, path: string): NativeZstd {
  const library = koffi.load(path);
  const compress = library.func(
    'size_t ZSTD_compressCCtx(void *context, void *target, size_t targetBytes, void *source, size_t sourceBytes, int level)',
  );
  const createContext = library.func('void *ZSTD_createCCtx()') as unknown as () => unknown;
  // Contexts have about a megabyte, which the library would otherwise get and give back for every cluster; one for each job.
  const places: Place[] = [];
  let jobs = 0;
  const waiting: (() => void)[] = [];
  const decompress = library.func('size_t ZSTD_decompress(void *target, size_t targetBytes, void *source, size_t sourceBytes)');
  const bound = library.func('size_t ZSTD_compressBound(size_t sourceBytes)');
  const isError = library.func('unsigned int ZSTD_isError(size_t code)');

  const takePlace = (sourceBytes: number): Place => {
    const { context = createContext(), target = NOTHING } = places.pop() ?? {};
    const targetBytes = bound(sourceBytes);
    return { context, target: target.length < targetBytes ? new Uint8Array(targetBytes) : target };
  };
  const result = (target: Uint8Array, count: number): Uint8Array => {
    if (isError(count) !== 0) throw new Error('libzstd reports an error');
    return target.subarray(0, count);
  };
  return {
    compress(source) {
      const place = takePlace(source.length);
      const { context, target } = place;
      const count = compress(context, target, target.length, source, source.length, DEFAULT_LEVEL);
      places.push(place);
      return result(target, count).slice();
    },
    async compressElsewhere(source) {
      while (jobs >= JOBS_MAX) await new Promise<void>((wake) => waiting.push(wake));
      jobs++;
      const place = takePlace(source.length);
      const { context, target } = place;
      return new Promise((resolve, reject) => {
        // The other thread has only addresses: what is named in here keeps the memory alive.
        const done = (error: Error | null, count: number): void => {
          jobs--;
          waiting.shift()?.();
          places.push(place);
          const isGood = error === null && source.length > 0 && isError(count) === 0;
          if (isGood) resolve(target.slice(0, count));
          else reject(new Failure('io', 'zstd: compression failed', { cause: error }));
        };
        compress.async(context, target, target.length, source, source.length, DEFAULT_LEVEL, done);
      });
    },
    decompress(frame, maxBytes) {
      const target = new Uint8Array(maxBytes);
      return result(target, decompress(target, target.length, frame, frame.length));
    },
  };
}
