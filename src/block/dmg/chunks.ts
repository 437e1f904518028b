// The map of an Apple disk image (UDIF, as described in public reverse-engineered documentation): the trailer at the file's end
// leads to block tables ("mish"), in base64 in a property list or plainly in a resource fork; each maps runs of sectors.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { be32, be64, layout } from '../../struct/layout.ts';
import { MAX_SIZE, SECTOR, type Edge } from '../node.ts';

const KOLY = 0x6b6f6c79;
const KOLY_BYTES = 512;
/** The trailer is looked for in so much of the end: a file's size may have been rounded up to whole sectors. */
const TAIL_BYTES = 512 + 515;
const MISH = 0x6d697368;
/** No table, list or chunk may be bigger. */
const LENGTH_MAX = 64 << 20;
const LIST_MAX = 16 << 20;

export const CHUNK = { ZERO: 0, RAW: 1, IGNORE: 2, ADC: 0x80000004, ZLIB: 0x80000005, BZIP2: 0x80000006, LZFSE: 0x80000007 } as const;

const TRAILER = layout('UDIF trailer', {
  dataForkOffset: be64(24),
  resourceForkOffset: be64(40),
  resourceForkBytes: be64(48),
  listOffset: be64(0xd8),
  listBytes: be64(0xe0),
  sectors: be64(0x1ec),
});
const TABLE = layout('UDIF block table', { magic: be32(0), firstSector: be64(8), dataOffset: be64(24), chunks: be32(200) });
const ENTRY = layout('UDIF chunk', {
  type: be32(0), comment: be32(4), sector: be64(8), sectors: be64(16), offset: be64(24), bytes: be64(32),
}); // prettier-ignore

/** A run of sectors; offsets in bytes. */
export interface Chunk {
  readonly type: number;
  readonly start: number;
  readonly count: number;
  readonly fileOffset: number;
  readonly fileBytes: number;
}

export interface DmgMap {
  readonly size: number;
  /** In the order of `start`. */
  readonly chunks: readonly Chunk[];
}

const einval = (): ErrnoFailure => new ErrnoFailure('EINVAL');

function number(value: bigint, max: number): number {
  if (value > BigInt(max)) throw einval();
  return Number(value);
}

async function findTrailer(file: Edge): Promise<number> {
  const { size } = file;
  const start = Math.max(0, size - TAIL_BYTES);
  const tail = await file.readBytes(start, size - start);
  const view = new DataView(tail.buffer);
  for (let at = tail.length - 4; at >= 0; at--) {
    if (view.getUint32(at) === KOLY) return start + at;
  }
  throw new Failure('invalid-format', 'Could not locate UDIF trailer in dmg file');
}

export async function readDmgMap(file: Edge, warn: (line: string) => void): Promise<DmgMap> {
  const trailerOffset = await findTrailer(file);
  const trailer = TRAILER.decode(await file.readBytes(trailerOffset, KOLY_BYTES));
  const dataOffset = number(trailer.dataForkOffset, trailerOffset);
  const hasFork = trailer.resourceForkBytes !== 0n;
  const tables = hasFork ? await tablesOfFork(file, trailer, trailerOffset) : await tablesOfList(file, trailer, trailerOffset);
  const chunks = tables.flatMap((table) => chunksOf(table, dataOffset)).sort((a, b) => a.start - b.start);
  if (chunks.some(({ type }) => type === CHUNK.LZFSE)) {
    warn('dmg-lzfse module is missing, accessing lzfse compressed blocks will result in I/O errors');
  }
  return { size: number(trailer.sectors, MAX_SIZE / SECTOR) * SECTOR, chunks };
}

type Trailer = ReturnType<typeof TRAILER.decode>;

async function tablesOfFork(file: Edge, trailer: Trailer, end: number): Promise<Uint8Array[]> {
  const offset = number(trailer.resourceForkOffset, end);
  const bytes = number(trailer.resourceForkBytes, Math.min(LIST_MAX, end - offset));
  const fork = await file.readBytes(offset, bytes);
  const view = new DataView(fork.buffer);
  if (bytes < 16) throw einval();
  const dataStart = view.getUint32(0);
  const dataEnd = dataStart + view.getUint32(8);
  if (dataStart !== 0x100 || dataEnd > bytes) throw einval();
  const tables: Uint8Array[] = [];
  for (let at = dataStart; at < dataEnd; ) {
    if (at + 4 > dataEnd) throw einval();
    const count = view.getUint32(at);
    if (count === 0 || count > dataEnd - at - 4) throw einval();
    tables.push(fork.subarray(at + 4, at + 4 + count));
    at += 4 + count;
  }
  return tables;
}

async function tablesOfList(file: Edge, trailer: Trailer, end: number): Promise<Uint8Array[]> {
  const offset = number(trailer.listOffset, end);
  const bytes = number(trailer.listBytes, Math.min(LIST_MAX, end - offset));
  if (bytes === 0) throw einval();
  const list = new TextDecoder('latin1').decode(await file.readBytes(offset, bytes));
  const tables: Uint8Array[] = [];
  for (let at = list.indexOf('<data>'); at >= 0; at = list.indexOf('<data>', at)) {
    const close = list.indexOf('</data>', at);
    if (close < 0) throw einval();
    tables.push(decodeBase64(list.slice(at + '<data>'.length, close)));
    at = close;
  }
  return tables;
}

function decodeBase64(text: string): Uint8Array {
  let binary: string;
  try {
    binary = atob(text);
  } catch (cause) {
    throw new ErrnoFailure('EINVAL', undefined, { cause });
  }
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}

const READABLE: ReadonlySet<number> = new Set([CHUNK.ZERO, CHUNK.RAW, CHUNK.IGNORE, CHUNK.ZLIB, CHUNK.BZIP2, CHUNK.LZFSE, CHUNK.ADC]);

/** Nothing for what is not a block table. */
function chunksOf(table: Uint8Array, dataForkOffset: number): Chunk[] {
  if (table.length < TABLE.sizeBytes) return [];
  const head = TABLE.decode(table);
  if (head.magic !== MISH) return [];
  const count = Math.min(head.chunks, Math.floor((table.length - TABLE.sizeBytes) / ENTRY.sizeBytes));
  const first = number(head.firstSector, MAX_SIZE / SECTOR);
  const base = dataForkOffset + number(head.dataOffset, MAX_SIZE / 4);
  const chunks: Chunk[] = [];
  for (let index = 0; index < count; index++) {
    const entry = ENTRY.decode(table, TABLE.sizeBytes + index * ENTRY.sizeBytes);
    if (!READABLE.has(entry.type)) continue; // comments, and the end
    const isEmpty = entry.type === CHUNK.ZERO || entry.type === CHUNK.IGNORE;
    const sectors = number(entry.sectors, isEmpty ? MAX_SIZE / SECTOR : LENGTH_MAX / SECTOR);
    const start = (first + number(entry.sector, MAX_SIZE / SECTOR)) * SECTOR;
    const fileBytes = isEmpty ? 0 : number(entry.bytes, LENGTH_MAX);
    const fileOffset = isEmpty ? 0 : base + number(entry.offset, MAX_SIZE / 4);
    if (start > MAX_SIZE - sectors * SECTOR) throw einval();
    if (sectors > 0) chunks.push({ type: entry.type, start, count: sectors * SECTOR, fileOffset, fileBytes });
  }
  return chunks;
}
