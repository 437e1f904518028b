// Reading the header of a sparse extent of any kind (hosted, ESX COWD, seSparse) and refusing what cannot be true or is not
// supported. What comes out is the same for all kinds: where the two levels of tables are and what their entries mean.
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import { isZero } from '../../base/zero.ts';
import type { OpenFlags } from '../driver.ts';
import { displayFilename } from '../filename.ts';
import { MAX_SIZE, type Edge } from '../node.ts';
import {
  COMPRESS_DEFLATE,
  COWD_TABLE_ENTRIES,
  cowdHeaderLayout,
  DIRECTORY_AT_END,
  FLAG,
  MAGIC,
  MARKER,
  markerLayout,
  SE_SPARSE,
  SE_SPARSE_FIELDS_BYTES,
  SE_SPARSE_VOLATILE_FIELDS_BYTES,
  SECTOR_BYTES,
  seSparseHeaderLayout,
  seSparseVolatileLayout,
  sparseHeaderLayout,
  type SparseHeader,
} from './layout.ts';

export interface SparseGeometry {
  readonly capacitySectors: number;
  readonly grainSectors: number;
  readonly directoryOffset: number;
  /** A second directory with tables of its own. */
  readonly backupDirectoryOffset: number | undefined;
  readonly directoryEntries: number;
  readonly entriesPerTable: number;
  readonly isCompressed: boolean;
  readonly hasMarkers: boolean;
  readonly hasZeroedGrains: boolean;
  /** seSparse: entries have 64 bits and a type; these are where tables and grains begin. */
  readonly seSparse?: { readonly tablesOffset: number; readonly grainsOffset: number };
}

const invalid = (message: string): ErrnoFailure => new ErrnoFailure('EINVAL', message);
const unsupported = (message: string): ErrnoFailure => new ErrnoFailure('ENOTSUP', message);
const MAX_GRAIN_SECTORS = 0x200000n;
const MAX_DIRECTORY_ENTRIES = 32n * 1024n * 1024n;
const MAX_TABLE_ENTRIES = 512;

function checkGeometry(grainSectors: bigint, directoryEntries: bigint): void {
  if (grainSectors > MAX_GRAIN_SECTORS) throw new ErrnoFailure('EFBIG', 'Invalid granularity, image may be corrupt');
  if (directoryEntries > MAX_DIRECTORY_ENTRIES) throw new ErrnoFailure('EFBIG', 'L1 size too big');
}

/** Far beyond any file, where everything reads as zeroes. */
const NOWHERE = 2 ** 52;
const OFFSET_MAX = 2n ** 63n - 2n ** 32n;

/** A table's place in bytes; what no offset can say cannot be read. */
function tableOffset(sectors: bigint, file: Edge, table: 'l1 table' | 'l1 backup table'): number {
  const offset = BigInt.asUintN(64, sectors * BigInt(SECTOR_BYTES));
  if (offset > OFFSET_MAX) {
    throw new ErrnoFailure('EIO', `Could not read ${table} from extent '${displayFilename(file.node)}': Input/output error`);
  }
  return Math.min(Number(offset), NOWHERE);
}

async function readHeader(file: Edge, offset: number, count: number, what: string): Promise<Uint8Array> {
  try {
    return await file.readBytes(offset, count);
  } catch (error) {
    throw prefixed(`Could not read ${what} from file '${displayFilename(file.node)}'`, error);
  }
}

/** A hosted sparse extent; undefined when it holds no data but only a descriptor. */
export async function readHostedHeader(file: Edge, flags: OpenFlags): Promise<SparseGeometry | undefined> {
  let header = sparseHeaderLayout.decode(await readHeader(file, 0, SECTOR_BYTES, 'header'));
  if (header.capacity === 0n && header.descriptorOffset !== 0n) return undefined;
  if (header.directoryOffset === DIRECTORY_AT_END) header = await readFooter(file);
  const isCompressed = header.compressAlgorithm === COMPRESS_DEFLATE;
  if (header.version > 3) throw unsupported(`Unsupported VMDK version ${header.version}`);
  if (header.version === 3 && !flags.readOnly && !flags.noIo && !isCompressed) throw invalid('VMDK version 3 must be read only');
  if (header.entriesPerTable > MAX_TABLE_ENTRIES) throw invalid('L2 table size too big');
  const sectorsPerTable = BigInt.asUintN(32, BigInt(header.entriesPerTable) * header.grainSize);
  if (sectorsPerTable === 0n) throw invalid('L1 entry size is invalid');
  const directoryEntries = (header.capacity + sectorsPerTable - 1n) / sectorsPerTable;
  checkNotTruncated(file, header);
  checkGeometry(header.grainSize, directoryEntries);
  const hasBackup = (header.flags & FLAG.BACKUP_DIRECTORY) !== 0;
  return {
    capacitySectors: capacity(header.capacity),
    grainSectors: Number(header.grainSize),
    directoryOffset: tableOffset(header.directoryOffset, file, 'l1 table'),
    backupDirectoryOffset: hasBackup ? tableOffset(header.backupDirectoryOffset, file, 'l1 backup table') : undefined,
    directoryEntries: Number(directoryEntries),
    entriesPerTable: header.entriesPerTable,
    isCompressed,
    hasMarkers: (header.flags & FLAG.MARKERS) !== 0,
    hasZeroedGrains: (header.flags & FLAG.ZERO_GRAINS) !== 0,
  };
}

function capacity(sectors: bigint): number {
  if (sectors > BigInt(MAX_SIZE / SECTOR_BYTES)) throw new ErrnoFailure('EFBIG');
  return Number(sectors);
}

function checkNotTruncated(file: Edge, { overHead }: SparseHeader): void {
  if (BigInt(Math.ceil(file.size / SECTOR_BYTES)) >= overHead) return;
  throw invalid(`File truncated, expecting at least ${BigInt.asIntN(64, overHead * BigInt(SECTOR_BYTES))} bytes`);
}

const FOOTER_BYTES = 3 * SECTOR_BYTES;

async function readFooter(file: Edge): Promise<SparseHeader> {
  const length = Math.ceil(file.size / SECTOR_BYTES) * SECTOR_BYTES;
  if (length < FOOTER_BYTES) throw invalid('Failed to read footer');
  const source = await file.readBytes(length - FOOTER_BYTES, FOOTER_BYTES);
  const footer = markerLayout.decode(source);
  const end = markerLayout.decode(source, 2 * SECTOR_BYTES);
  const header = sparseHeaderLayout.decode(source, SECTOR_BYTES);
  const isFooter = footer.size === 0 && footer.type === MARKER.FOOTER && header.magic === MAGIC.SPARSE;
  if (!isFooter || end.value !== 0n || end.size !== 0 || end.type !== MARKER.END_OF_STREAM) throw invalid('Invalid footer');
  return header;
}

/** The sparse extents of ESX servers (snapshots of vmfs disks). */
export async function readCowdHeader(file: Edge): Promise<SparseGeometry> {
  const header = cowdHeaderLayout.decode(await readHeader(file, 0, SECTOR_BYTES, 'header'));
  checkGeometry(BigInt(header.grainSize), BigInt(header.directoryEntries));
  if (header.grainSize === 0) throw invalid('Invalid granularity, image may be corrupt');
  return {
    capacitySectors: header.sectors,
    grainSectors: header.grainSize,
    directoryOffset: header.directoryOffset * SECTOR_BYTES,
    backupDirectoryOffset: undefined,
    directoryEntries: header.directoryEntries,
    entriesPerTable: COWD_TABLE_ENTRIES,
    isCompressed: false,
    hasMarkers: false,
    hasZeroedGrains: false,
  };
}

const hex16 = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;

/** The sparse extents of ESX servers for big disks; only for reading. */
export async function readSeSparseHeader(file: Edge): Promise<SparseGeometry> {
  const source = await readHeader(file, 0, SECTOR_BYTES, 'const header');
  const header = seSparseHeaderLayout.decode(source);
  if (header.magic !== SE_SPARSE.MAGIC) throw unsupported(`Bad const header magic: ${hex16(header.magic)}`);
  if (header.version !== SE_SPARSE.VERSION) throw unsupported(`Unsupported version: ${hex16(header.version)}`);
  if (header.grainSize !== SE_SPARSE.GRAIN_SECTORS) throw unsupported(`Unsupported grain size: ${header.grainSize}`);
  if (header.tableSize !== SE_SPARSE.TABLE_SECTORS) throw unsupported(`Unsupported grain table size: ${header.tableSize}`);
  if (header.flags !== 0n) throw unsupported(`Unsupported flags: ${hex16(header.flags)}`);
  const reserved = [header.reserved1, header.reserved2, header.reserved3, header.reserved4];
  if (reserved.some((value) => value !== 0n)) throw unsupported(`Unsupported reserved bits: ${reserved.map(hex16).join(' ')}`);
  if (!isZero(source.subarray(SE_SPARSE_FIELDS_BYTES))) throw unsupported('Unsupported non-zero const header padding');
  await checkVolatileHeader(file, header.volatileHeaderOffset);
  const directoryEntries = (header.directorySize * BigInt(SECTOR_BYTES)) / 8n;
  checkGeometry(header.grainSize, directoryEntries);
  return {
    capacitySectors: capacity(header.capacity),
    grainSectors: Number(header.grainSize),
    directoryOffset: tableOffset(header.directoryOffset, file, 'l1 table'),
    backupDirectoryOffset: undefined,
    directoryEntries: Number(directoryEntries),
    entriesPerTable: Number((header.tableSize * BigInt(SECTOR_BYTES)) / 8n),
    isCompressed: false,
    hasMarkers: false,
    hasZeroedGrains: false,
    seSparse: {
      tablesOffset: tableOffset(header.tablesOffset, file, 'l1 table'),
      grainsOffset: tableOffset(header.grainsOffset, file, 'l1 table'),
    },
  };
}

async function checkVolatileHeader(file: Edge, offsetSectors: bigint): Promise<void> {
  const offset = tableOffset(offsetSectors, file, 'l1 table');
  const source = await readHeader(file, offset, SECTOR_BYTES, 'volatile header');
  const { magic, replayJournal } = seSparseVolatileLayout.decode(source);
  if (magic !== SE_SPARSE.VOLATILE_MAGIC) throw unsupported(`Bad volatile header magic: ${hex16(magic)}`);
  if (replayJournal !== 0n) throw unsupported('Image is dirty, Replaying journal not supported');
  if (!isZero(source.subarray(SE_SPARSE_VOLATILE_FIELDS_BYTES))) throw unsupported('Unsupported non-zero volatile header padding');
}
