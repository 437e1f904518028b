// Compressed clusters: decoding, with the cluster decoded last kept, and encoding. Raw deflate with a window of 12 bits, or
// zstd, by the header's compression type (qcow2.txt, "Compressed Clusters Descriptor").
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { debugEvent } from '../debug-events.ts';
import { COMPRESSION_TYPE } from './header.ts';
import type { Qcow2Image } from './image.ts';
import { compressedRange, type Extent } from './mapping.ts';

const WINDOW_BITS = 12;

export class CompressedCache {
  #high = 0;
  #low = 0;
  #cluster: Uint8Array | undefined;
  #generation = 0;

  get(high: number, low: number): Uint8Array | undefined {
    return this.#high === high && this.#low === low ? this.#cluster : undefined;
  }

  /** A mark to give to `put`: what was read before an invalidation is not kept. */
  get generation(): number {
    return this.#generation;
  }

  put(high: number, low: number, cluster: Uint8Array, generation: number): void {
    if (generation !== this.#generation) return;
    this.#high = high;
    this.#low = low;
    this.#cluster = cluster;
  }

  /** The bytes of some compressed cluster may be others now. */
  invalidate(): void {
    this.#generation++;
    this.#cluster = undefined;
  }
}

/** Copies a part of a compressed cluster into `target`; `within` is where it begins in the cluster. */
export async function readCompressed(image: Qcow2Image, { high, low }: Extent, within: number, target: Uint8Array): Promise<void> {
  const cluster = image.compressed.get(high, low) ?? (await decodeCluster(image, high, low));
  target.set(cluster.subarray(within, within + target.length));
}

async function decodeCluster(image: Qcow2Image, high: number, low: number): Promise<Uint8Array> {
  const { compressed, geometry } = image;
  const { generation } = compressed;
  const { offset, bytes } = compressedRange(geometry, high, low);
  await debugEvent(image.file, 'read_compressed');
  const source = await image.file.readBytes(offset, bytes);
  const cluster = await decompress(image, source);
  compressed.put(high, low, cluster, generation);
  return cluster;
}

async function decompress(image: Qcow2Image, source: Uint8Array): Promise<Uint8Array> {
  const { compression } = image.host;
  const { clusterSize } = image.geometry;
  try {
    return image.header.compressionType === COMPRESSION_TYPE.ZSTD
      ? await compression.zstdDecompress(source, clusterSize)
      : await compression.inflateRaw(source, WINDOW_BITS, clusterSize);
  } catch (cause) {
    if (cause instanceof Failure && cause.kind === 'unsupported') throw cause;
    throw new ErrnoFailure('EIO', undefined, { cause });
  }
}

/** A whole cluster compressed; undefined when it does not get smaller. */
export async function compress(image: Qcow2Image, cluster: Uint8Array): Promise<Uint8Array | undefined> {
  const { compression } = image.host;
  const limit = cluster.length - 1;
  return image.header.compressionType === COMPRESSION_TYPE.ZSTD
    ? compression.zstdCompress(cluster, limit)
    : compression.deflateRaw(cluster, WINDOW_BITS, limit);
}
