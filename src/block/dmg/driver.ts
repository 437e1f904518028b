// Apple disk images (UDIF), read only: zero, raw, zlib and bzip2 chunks. ADC and LZFSE chunks cannot be read.
import { ErrnoFailure } from '../../base/errno.ts';
import { partitionPoint } from '../../base/partition-point.ts';
import type { BlockHost } from '../host.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { requireReadOnly } from '../image-format/read-only.ts';
import { SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';
import { bunzip2 } from './bunzip2.ts';
import { CHUNK, readDmgMap, type Chunk, type DmgMap } from './chunks.ts';

class DmgImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly #file: Edge;
  readonly #host: BlockHost;
  readonly #chunks: readonly Chunk[];
  /** The chunk that was decoded last. */
  #decoded: { readonly chunk: Chunk; readonly bytes: Uint8Array } | undefined;

  constructor(file: Edge, host: BlockHost, { size, chunks }: DmgMap) {
    this.#file = file;
    this.#host = host;
    this.size = size;
    this.#chunks = chunks;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length; ) {
      const chunk = this.#chunkAt(offset + at);
      if (chunk === undefined) throw new ErrnoFailure('EIO');
      const inChunk = offset + at - chunk.start;
      const count = Math.min(chunk.count - inChunk, target.length - at);
      await this.#readChunk(chunk, inChunk, target.subarray(at, at + count));
      at += count;
    }
  }

  /** The last chunk that starts at or before `offset`, if it reaches that far. */
  #chunkAt(offset: number): Chunk | undefined {
    const chunks = this.#chunks;
    const chunk = chunks[partitionPoint(0, chunks.length, (index) => chunks[index]!.start <= offset) - 1];
    return chunk !== undefined && offset < chunk.start + chunk.count ? chunk : undefined;
  }

  async #readChunk(chunk: Chunk, inChunk: number, target: Uint8Array): Promise<void> {
    if (chunk.type === CHUNK.ZERO || chunk.type === CHUNK.IGNORE) {
      target.fill(0);
      return;
    }
    if (chunk.fileOffset + chunk.fileBytes > this.#file.size) throw new ErrnoFailure('EIO');
    if (chunk.type === CHUNK.RAW) {
      if (inChunk + target.length > chunk.fileBytes) throw new ErrnoFailure('EIO');
      await this.#file.read(chunk.fileOffset + inChunk, target);
      return;
    }
    if (this.#decoded?.chunk !== chunk) this.#decoded = { chunk, bytes: await this.#decode(chunk) };
    target.set(this.#decoded.bytes.subarray(inChunk, inChunk + target.length));
  }

  async #decode({ type, fileOffset, fileBytes, count }: Chunk): Promise<Uint8Array> {
    const { compression } = this.#host;
    const source = await this.#file.readBytes(fileOffset, fileBytes);
    try {
      if (type === CHUNK.ZLIB) return await compression.inflateZlib(source, count);
      if (type === CHUNK.BZIP2) return await (compression.bunzip2?.(source, count) ?? bunzip2(source, count));
    } catch (cause) {
      throw new ErrnoFailure('EIO', undefined, { cause });
    }
    throw new ErrnoFailure('EIO');
  }

  close(): void {}
}

async function open(context: OpenContext): Promise<DmgImage> {
  requireReadOnly(context);
  const { host, openChild } = context;
  const file = (await openChild('file', ROLE.IMAGE))!;
  return new DmgImage(file, host, await readDmgMap(file, (line) => host.warn(line)));
}

export const driver: BlockDriver = { name: 'dmg', kind: 'format', options: {}, open };
