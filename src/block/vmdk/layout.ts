// The binary structures of VMware's virtual disks: the sparse extent header ("Virtual Disk Format 5.0", "Hosted Sparse Extents"
// and "Stream-Optimized Compressed Sparse Extents"), the ESX server sparse extent header (COWD) and the seSparse headers, which
// are known from images. All little-endian.
import { bytes, layout, le16, le32, le64, text, type Decoded } from '../../struct/layout.ts';

export const SECTOR_BYTES = 512;

export const sparseHeaderLayout = layout(
  'VMDK sparse extent header',
  {
    magic: text(0, 4),
    version: le32(4),
    flags: le32(8),
    capacity: le64(12),
    grainSize: le64(20),
    descriptorOffset: le64(28),
    descriptorSize: le64(36),
    entriesPerTable: le32(44),
    backupDirectoryOffset: le64(48),
    directoryOffset: le64(56),
    overHead: le64(64),
    uncleanShutdown: bytes(72, 1),
    lineEndCharacters: bytes(73, 4),
    compressAlgorithm: le16(77),
  },
  SECTOR_BYTES,
);
export type SparseHeader = Decoded<typeof sparseHeaderLayout.fields>;

export const MAGIC = { SPARSE: 'KDMV', COWD: 'COWD' } as const;
export const FLAG = { VALID_NEWLINE: 1, BACKUP_DIRECTORY: 2, ZERO_GRAINS: 4, COMPRESSED: 0x10000, MARKERS: 0x20000 } as const;
export const COMPRESS_DEFLATE = 1;
/** The directory is behind the data, and a footer says where. */
export const DIRECTORY_AT_END = 0xffffffffffffffffn;
export const MARKER = { END_OF_STREAM: 0, FOOTER: 3 } as const;
/** A table entry with ZERO_GRAINS. */
export const ZEROED_GRAIN = 1;

export const markerLayout = layout('VMDK marker', { value: le64(0), size: le32(8), type: le32(12) }, SECTOR_BYTES);
/** Before each compressed grain: its sector, and how many bytes follow. */
export const grainMarkerLayout = layout('VMDK grain marker', { sector: le64(0), size: le32(8) });

export const cowdHeaderLayout = layout('VMDK ESX sparse extent header', {
  magic: text(0, 4),
  version: le32(4),
  flags: le32(8),
  sectors: le32(12),
  grainSize: le32(16),
  directoryOffset: le32(20),
  directoryEntries: le32(24),
});
export const COWD_TABLE_ENTRIES = 4096;

export const seSparseHeaderLayout = layout(
  'VMDK seSparse header',
  {
    magic: le64(0),
    version: le64(8),
    capacity: le64(16),
    grainSize: le64(24),
    tableSize: le64(32),
    flags: le64(40),
    reserved1: le64(48),
    reserved2: le64(56),
    reserved3: le64(64),
    reserved4: le64(72),
    volatileHeaderOffset: le64(80),
    directoryOffset: le64(128),
    directorySize: le64(136),
    tablesOffset: le64(144),
    grainsOffset: le64(192),
  },
  SECTOR_BYTES,
);
/** Where the padding of the two headers begins. */
export const SE_SPARSE_FIELDS_BYTES = 208;
export const SE_SPARSE = {
  MAGIC: 0xcafebaben,
  VERSION: 0x200000001n,
  GRAIN_SECTORS: 8n,
  TABLE_SECTORS: 64n,
  VOLATILE_MAGIC: 0xcafecafen,
} as const;

export const seSparseVolatileLayout = layout(
  'VMDK seSparse volatile header',
  { magic: le64(0), freeTableNumber: le64(8), nextSequence: le64(16), replayJournal: le64(24) },
  SECTOR_BYTES,
);
export const SE_SPARSE_VOLATILE_FIELDS_BYTES = 32;
