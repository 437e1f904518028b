// The structures of VHDX files, as [MS-VHDX] ("Virtual Hard Disk v2 (VHDX) File Format", section 2) lays them out. All little-endian.
import { bytes, layout, le16, le32, le64, text, type Decoded } from '../../struct/layout.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const LOGICAL_SECTOR_BYTES = 512;

/** Offsets of the header section (2.2). */
export const AT = { IDENTIFIER: 0, HEADERS: [64 * KIB, 128 * KIB], REGION_TABLES: [192 * KIB, 256 * KIB] } as const;
export const HEADER_BYTES = 4 * KIB;
export const REGION_TABLE_BYTES = 64 * KIB;
export const METADATA_TABLE_BYTES = 64 * KIB;
/** Of region and metadata tables. */
export const MAX_TABLE_ENTRIES = 2047;
export const LOG_SECTOR_BYTES = 4 * KIB;

export const headerLayout = layout(
  'VHDX header',
  {
    signature: text(0, 4),
    checksum: le32(4),
    sequenceNumber: le64(8),
    fileWriteGuid: bytes(16, 16),
    dataWriteGuid: bytes(32, 16),
    logGuid: bytes(48, 16),
    logVersion: le16(64),
    version: le16(66),
    logLength: le32(68),
    logOffset: le64(72),
  },
  HEADER_BYTES,
);
export type Header = Decoded<typeof headerLayout.fields>;

export const regionTableLayout = layout('VHDX region table', { signature: text(0, 4), checksum: le32(4), entryCount: le32(8) }, 16);
export const regionEntryLayout = layout('VHDX region', {
  guid: bytes(0, 16),
  fileOffset: le64(16),
  length: le32(24),
  required: le32(28),
});

export const metadataTableLayout = layout('VHDX metadata table', { signature: text(0, 8), entryCount: le16(10) }, 32);
export const metadataEntryLayout = layout(
  'VHDX metadata entry',
  { guid: bytes(0, 16), offset: le32(16), length: le32(20), flags: le32(24) },
  32,
);
export const METADATA_FLAG = { IS_USER: 1, IS_VIRTUAL_DISK: 2, IS_REQUIRED: 4 } as const;
export const FILE_PARAMETERS = { LEAVE_BLOCKS_ALLOCATED: 1, HAS_PARENT: 2 } as const;

export const logEntryLayout = layout('VHDX log entry', {
  signature: text(0, 4),
  checksum: le32(4),
  entryLength: le32(8),
  tail: le32(12),
  sequenceNumber: le64(16),
  descriptorCount: le32(24),
  reserved: le32(28),
  logGuid: bytes(32, 16),
  flushedFileOffset: le64(48),
  lastFileOffset: le64(56),
});

export const logDescriptorLayout = layout('VHDX log descriptor', {
  signature: text(0, 4),
  trailingBytes: bytes(4, 4),
  /** Of a zero descriptor: how many bytes. */
  leadingBytes: bytes(8, 8),
  fileOffset: le64(16),
  sequenceNumber: le64(24),
});

/** Registry format, without braces, to the bytes of a GUID. */
function guid(text: string): string {
  const hex = text.replaceAll('-', '').toLowerCase();
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return order.map((index) => hex.slice(2 * index, 2 * index + 2)).join('');
}

/** GUIDs as hexadecimal text in the order of the file. */
export const GUID = {
  BAT: guid('2DC27766-F623-4200-9D64-115E9BFD4A08'),
  METADATA: guid('8B7CA206-4790-4B9A-B8FE-575F050F886E'),
  FILE_PARAMETERS: guid('CAA16737-FA36-4D43-B3B6-33F0AA44E76B'),
  VIRTUAL_DISK_SIZE: guid('2FA54224-CD1B-4876-B211-5DBED83BF4B8'),
  VIRTUAL_DISK_ID: guid('BECA12AB-B2E6-4523-93EF-C309E000C746'),
  LOGICAL_SECTOR_SIZE: guid('8141BF1D-A96F-4709-BA47-F233A8FAAB5F'),
  PHYSICAL_SECTOR_SIZE: guid('CDA348C7-445D-4471-9CC9-E9885251C556'),
} as const;

export const guidText = (value: Uint8Array): string => Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const guidBytes = (value: string): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, n) => parseInt(value.slice(2 * n, 2 * n + 2), 16));
export const isNullGuid = (value: Uint8Array): boolean => value.every((byte) => byte === 0);

/** States of a payload block (2.5.1.1). */
export const BLOCK = {
  NOT_PRESENT: 0,
  UNDEFINED: 1,
  ZERO: 2,
  UNMAPPED: 3,
  UNMAPPED_EARLY: 5,
  FULLY_PRESENT: 6,
  PARTIALLY_PRESENT: 7,
} as const;

export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
