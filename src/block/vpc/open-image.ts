// Opening a virtual hard disk: which of the two kinds it is, how big it is (by geometry or by its size field, as its creator
// meant it), and whether its tables can be true.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { BE32, EntryTable } from '../image-format/entry-table.ts';
import { MAX_SIZE, type Edge } from '../node.ts';
import { LARGEST_SECTORS, sectorsOf } from './geometry.ts';
import {
  bitmapBytesFor,
  checksumOf,
  DISK_TYPE,
  dynamicHeaderLayout,
  FOOTER_BYTES,
  footerLayout,
  SECTOR_BYTES,
  UNUSED_BLOCK,
  type Footer,
} from './layout.ts';

export type SizeCalculation = 'chs' | 'current_size' | undefined;

/** 2040 GiB. */
export const MAX_SECTORS = 0xff000000;
const MAX_TABLE_ENTRIES = Math.floor(0x7fffffff / 4);

export interface DynamicImage {
  readonly table: EntryTable;
  readonly blockSize: number;
  readonly bitmapBytes: number;
  /** Where the next block goes and the footer is. */
  readonly freeOffset: number;
}

export interface OpenedImage {
  readonly size: number;
  readonly footer: Uint8Array;
  readonly dynamic: DynamicImage | undefined;
}

const invalid = (message: string): ErrnoFailure => new ErrnoFailure('EINVAL', message);
const truncated = (): ErrnoFailure =>
  invalid('block-vpc: free_data_block_offset points after the end of file. The image has been truncated.');
/** Beyond this no read is possible at all (2^63, less the biggest table). */
const OFFSET_MAX = 2n ** 63n - 2n ** 31n;
const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

export async function openImage(file: Edge, calculation: SizeCalculation): Promise<OpenedImage> {
  const footer = await readFooter(file);
  const decoded = footerLayout.decode(footer);
  const sum = checksumOf(footer, footerLayout.fields.checksum.offset);
  if (sum !== decoded.checksum) throw invalid('Incorrect header checksum');
  const size = SECTOR_BYTES * sectorsIn(decoded, calculation);
  const dynamic = decoded.type === DISK_TYPE.FIXED ? undefined : await openDynamic(file, decoded, size);
  return { size, footer, dynamic };
}

async function readFooter(file: Edge): Promise<Uint8Array> {
  const head = await file.readBytes(0, FOOTER_BYTES);
  if (footerLayout.decode(head).cookie === 'conectix') return head;
  const length = roundUp(file.size, SECTOR_BYTES);
  if (length < FOOTER_BYTES) throw invalid('File too small for a VHD header');
  const tail = await file.readBytes(length - FOOTER_BYTES, FOOTER_BYTES);
  const { cookie, type } = footerLayout.decode(tail);
  if (cookie !== 'conectix' || type !== DISK_TYPE.FIXED) throw invalid('invalid VPC image');
  return tail;
}

/** Programs that round the geometry down and mean the size field. */
const MEAN_CURRENT_SIZE: ReadonlySet<string> = new Set(['win ', 'd2v ', 'qem2', 'tap\0', 'CTXS', 'wa\0\0']);

function sectorsIn(footer: Footer, calculation: SizeCalculation): number {
  const byGeometry = sectorsOf(footer);
  const meansSize = MEAN_CURRENT_SIZE.has(String.fromCharCode(...footer.creatorApplication));
  const useSize = byGeometry === LARGEST_SECTORS || (calculation === undefined ? meansSize : calculation === 'current_size');
  const sectors = useSize ? Number(footer.currentSize / BigInt(SECTOR_BYTES)) : byGeometry;
  if (sectors > MAX_SECTORS) throw new ErrnoFailure('EFBIG');
  return sectors;
}

async function openDynamic(file: Edge, footer: Footer, size: number): Promise<DynamicImage> {
  const headerOffset = footer.dataOffset;
  if (headerOffset > OFFSET_MAX) throw invalid('Error reading dynamic VHD header');
  if (headerOffset > BigInt(MAX_SIZE / 2)) throw invalid('Invalid header magic'); // nothing is there
  const source = await file.readBytes(Number(headerOffset), dynamicHeaderLayout.sizeBytes);
  const header = dynamicHeaderLayout.decode(source);
  if (header.cookie !== 'cxsparse') throw invalid('Invalid header magic');
  const { blockSize, maxTableEntries } = header;
  if (blockSize < SECTOR_BYTES || !Number.isInteger(Math.log2(blockSize))) throw invalid(`Invalid block size ${blockSize}`);
  if (maxTableEntries > MAX_TABLE_ENTRIES) throw invalid(`Max Table Entries too large (${maxTableEntries | 0})`);
  if (blockSize * maxTableEntries < size) throw invalid('Page table too small');
  if (header.tableOffset > OFFSET_MAX) throw invalid('Error reading pagetable');
  if (header.tableOffset > BigInt(MAX_SIZE / 2)) throw truncated();
  const tableOffset = Number(header.tableOffset);
  const tableEnd = roundUp(tableOffset + 4 * maxTableEntries, SECTOR_BYTES);
  const length = roundUp(file.size, SECTOR_BYTES);
  const table = new EntryTable({ file, offset: tableOffset, count: maxTableEntries, format: BE32 });
  const bitmapBytes = bitmapBytesFor(blockSize);
  const freeOffset = tableEnd > length ? tableEnd : await lastBlockEnd(table, tableEnd, blockSize + bitmapBytes);
  if (freeOffset > length) throw truncated();
  return { table, blockSize, bitmapBytes, freeOffset };
}

/** The end of the block that lies last in the file. */
async function lastBlockEnd(table: EntryTable, tableEnd: number, bytesPerBlock: number): Promise<number> {
  let end = tableEnd;
  for (let index = 0; index < table.count; index++) {
    const pending = table.get(index);
    const entry = pending instanceof Promise ? await pending : pending;
    if (entry !== UNUSED_BLOCK) end = Math.max(end, entry * SECTOR_BYTES + bytesPerBlock);
  }
  return end;
}

export function sizeCalculation(text: string | undefined): SizeCalculation {
  if (text === undefined || text === 'chs' || text === 'current_size') return text;
  throw new Failure('invalid-argument', `Invalid size calculation mode: '${text}'`);
}
