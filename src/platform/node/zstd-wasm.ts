// libzstd as WebAssembly, from the package @bokuweb/zstd-wasm.

/** One whole frame each time. */
export interface ZstdCodec {
  compress(source: Uint8Array): Uint8Array;
  /** Throws when it is damaged or has more content than `maxBytes`. The size that the frame claims must have been checked. */
  decompress(frame: Uint8Array, maxBytes: number): Uint8Array;
}

/** The level that libzstd takes when none is asked for. */
const DEFAULT_LEVEL = 3;

let loaded: Promise<ZstdCodec> | undefined;

/** The package bears being initialized once only. */
export function wasmCodec(): Promise<ZstdCodec> {
  return (loaded ??= load());
}

async function load(): Promise<ZstdCodec> {
  const { init, compress, decompress } = await import('@bokuweb/zstd-wasm');
  await init();
  return {
    compress: (source) => compress(source, DEFAULT_LEVEL),
    decompress: (frame, maxBytes) => decompress(frame, { defaultHeapSize: maxBytes }),
  };
}
