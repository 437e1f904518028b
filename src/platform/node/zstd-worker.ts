// The other end of zstd-workers.ts: a thread that compresses what it is sent.
import { parentPort } from 'node:worker_threads';
import { wasmCodec } from './zstd-wasm.ts';
import type { CompressionAnswer, CompressionJob } from './zstd-workers.ts';

async function answer({ id, source }: CompressionJob): Promise<CompressionAnswer> {
  try {
    const codec = await wasmCodec();
    return { id, result: codec.compress(source).slice() }; // without the buffer around it
  } catch (error) {
    return { id, problem: String(error) };
  }
}

parentPort?.on('message', async (job: CompressionJob) => parentPort?.postMessage(await answer(job)));
