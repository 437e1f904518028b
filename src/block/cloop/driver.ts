// Compressed loop images of Linux ("cloop", version 2), read only: blocks of one size, each compressed by zlib, found through a
// table of offsets.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { Compression } from '../../ports/codec.ts';
import { be32, layout } from '../../struct/layout.ts';
import type { BlockDriver, BlockInstance, OpenContext } from '../driver.ts';
import { requireReadOnly } from '../image-format/read-only.ts';
import { ENTRY_BYTES, readBe64, TablePages } from '../image-format/table-pages.ts';
import { SECTOR, type Edge } from '../node.ts';
import { ROLE } from '../permissions.ts';

/** After the shell script. */
const HEADER_OFFSET = 128;
const HEADER = layout('cloop header', { blockBytes: be32(0), blocks: be32(4) });
const TABLE_OFFSET = HEADER_OFFSET + HEADER.sizeBytes;
const BLOCK_BYTES_MAX = 64 << 20;
const BLOCKS_MAX = 536870911;
const TABLE_BYTES_MAX = 512 << 20;

const invalid = (message: string): Failure => new Failure('invalid-format', message);

function checkHeader(blockBytes: number, blocks: number): void {
  if (blockBytes === 0) throw invalid('block_size cannot be zero');
  if (blockBytes % SECTOR !== 0) throw invalid(`block_size ${blockBytes} must be a multiple of ${SECTOR}`);
  if (blockBytes > BLOCK_BYTES_MAX) throw invalid(`block_size ${blockBytes} must be ${BLOCK_BYTES_MAX >> 20} MB or less`);
  if (blocks > BLOCKS_MAX) throw invalid(`n_blocks ${blocks} must be ${BLOCKS_MAX} or less`);
  if ((blocks + 1) * ENTRY_BYTES > TABLE_BYTES_MAX) throw invalid('image requires too many offsets, try increasing block size');
}

/** Walks over the table once, so that reading can rely on it. */
async function checkTable(table: TablePages, blocks: number): Promise<void> {
  let previous = 0;
  for (let index = 0; index <= blocks; ) {
    const page = await table.page(TABLE_OFFSET, index);
    for (let at = 0; at < page.byteLength; at += ENTRY_BYTES, index++) {
      const offset = readBe64(page, at);
      if (index > 0 && offset < previous) throw invalid(`offsets not monotonically increasing at index ${index}, image file is corrupt`);
      const isTooFar = index > 0 && offset - previous > 2 * BLOCK_BYTES_MAX;
      if (isTooFar) throw invalid(`invalid compressed block size at index ${index}, image file is corrupt`);
      previous = offset;
    }
  }
}

class CloopImage implements BlockInstance {
  readonly size: number;
  readonly limits = { requestAlignment: SECTOR };
  readonly #file: Edge;
  readonly #compression: Compression;
  readonly #blockBytes: number;
  readonly #table: TablePages;
  /** The block that was read last. */
  #block: { readonly index: number; readonly bytes: Uint8Array } | undefined;

  constructor(file: Edge, compression: Compression, header: { blockBytes: number; blocks: number }, table: TablePages) {
    this.#file = file;
    this.#compression = compression;
    this.#blockBytes = header.blockBytes;
    this.size = header.blocks * header.blockBytes;
    this.#table = table;
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length; ) {
      const inBlock = (offset + at) % this.#blockBytes;
      const block = await this.#blockAt((offset + at - inBlock) / this.#blockBytes);
      const count = Math.min(this.#blockBytes - inBlock, target.length - at);
      target.set(block.subarray(inBlock, inBlock + count), at);
      at += count;
    }
  }

  async #offsetOf(index: number): Promise<number> {
    return readBe64(await this.#table.page(TABLE_OFFSET, index), this.#table.position(index));
  }

  async #blockAt(index: number): Promise<Uint8Array> {
    if (this.#block?.index === index) return this.#block.bytes;
    const start = await this.#offsetOf(index);
    const count = (await this.#offsetOf(index + 1)) - start;
    if (start + count > this.#file.size) throw new ErrnoFailure('EIO');
    const source = await this.#file.readBytes(start, count);
    let bytes: Uint8Array;
    try {
      bytes = await this.#compression.inflateZlib(source, this.#blockBytes);
    } catch (cause) {
      throw new ErrnoFailure('EIO', undefined, { cause });
    }
    this.#block = { index, bytes };
    return bytes;
  }

  close(): void {}
}

async function open(context: OpenContext): Promise<CloopImage> {
  requireReadOnly(context);
  const file = (await context.openChild('file', ROLE.IMAGE))!;
  const header = HEADER.decode(await file.readBytes(HEADER_OFFSET, HEADER.sizeBytes));
  checkHeader(header.blockBytes, header.blocks);
  const table = new TablePages(file, (header.blocks + 1) * ENTRY_BYTES);
  await checkTable(table, header.blocks);
  return new CloopImage(file, context.host.compression, header, table);
}

export const driver: BlockDriver = { name: 'cloop', kind: 'format', options: {}, open };
