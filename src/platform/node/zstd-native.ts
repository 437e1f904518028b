// libzstd as the system has it, through koffi: as fast as a program in C. Undefined where either is missing; then zstd-wasm.ts
// does the work. Calls on koffi's own threads are not used: they do not keep the buffers alive, and cost as much as they save.
import { createRequire } from 'node:module';
import type { ZstdCodec } from './zstd-wasm.ts';

/** The part of koffi that we use. */
interface Koffi {
  load(path: string): { func(prototype: string): (...values: unknown[]) => number };
}

/** The level that libzstd takes when none is asked for. */
const DEFAULT_LEVEL = 3;
const LIBRARIES: Readonly<Partial<Record<NodeJS.Platform, string>>> = { linux: 'libzstd.so.1', darwin: 'libzstd.1.dylib' };

let loaded: ZstdCodec | undefined;
let wasAsked = false;

export function nativeZstd(): ZstdCodec | undefined {
  if (!wasAsked) {
    wasAsked = true;
    loaded = load();
  }
  return loaded;
}

function load(): ZstdCodec | undefined {
  const library = LIBRARIES[process.platform];
  if (library === undefined) return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as Koffi, library);
  } catch {
    return undefined; // no koffi, or no such library
  }
}

function bind(koffi: Koffi, path: string): ZstdCodec {
  const library = koffi.load(path);
  const compress = library.func(
    'size_t ZSTD_compressCCtx(void *context, void *target, size_t targetBytes, void *source, size_t sourceBytes, int level)',
  );
  const createContext = library.func('void *ZSTD_createCCtx()') as unknown as () => unknown;
  // About a megabyte, which the library would otherwise get and give back for every cluster.
  let context: unknown;
  const decompress = library.func('size_t ZSTD_decompress(void *target, size_t targetBytes, void *source, size_t sourceBytes)');
  const bound = library.func('size_t ZSTD_compressBound(size_t sourceBytes)');
  const isError = library.func('unsigned int ZSTD_isError(size_t code)');

  const result = (target: Uint8Array, count: number): Uint8Array => {
    if (isError(count) !== 0) throw new Error('libzstd reports an error');
    return target.subarray(0, count);
  };
  return {
    compress(source) {
      const target = new Uint8Array(bound(source.length));
      context ??= createContext();
      return result(target, compress(context, target, target.length, source, source.length, DEFAULT_LEVEL));
    },
    decompress(frame, maxBytes) {
      const target = new Uint8Array(maxBytes);
      return result(target, decompress(target, target.length, frame, frame.length));
    },
  };
}
