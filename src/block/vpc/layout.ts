// The structures of Microsoft's virtual hard disks: footer and dynamic disk header ("Virtual Hard Disk Image Format
// Specification", version 1.0). All big-endian.
import { be16, be32, be64, bytes, layout, text, u8, type Decoded } from '../../struct/layout.ts';

export const SECTOR_BYTES = 512;
export const FOOTER_BYTES = 512;
export const DISK_TYPE = { FIXED: 2, DYNAMIC: 3 } as const;
export const UNUSED_BLOCK = 0xffffffff;

export const footerLayout = layout(
  'VHD footer',
  {
    cookie: text(0, 8),
    features: be32(8),
    version: be32(12),
    dataOffset: be64(16),
    timestamp: be32(24),
    creatorApplication: bytes(28, 4),
    creatorVersion: be32(32),
    creatorOs: text(36, 4),
    originalSize: be64(40),
    currentSize: be64(48),
    cylinders: be16(56),
    heads: u8(58),
    sectorsPerTrack: u8(59),
    type: be32(60),
    checksum: be32(64),
    uuid: bytes(68, 16),
    savedState: u8(84),
  },
  FOOTER_BYTES,
);
export type Footer = Decoded<typeof footerLayout.fields>;

export const dynamicHeaderLayout = layout(
  'VHD dynamic disk header',
  {
    cookie: text(0, 8),
    dataOffset: be64(8),
    tableOffset: be64(16),
    headerVersion: be32(24),
    maxTableEntries: be32(28),
    blockSize: be32(32),
    checksum: be32(36),
  },
  1024,
);
export type DynamicHeader = Decoded<typeof dynamicHeaderLayout.fields>;

/** The one's complement of the sum of all bytes beside the checksum's own. */
export function checksumOf(structure: Uint8Array, checksumOffset: number): number {
  let sum = 0;
  structure.forEach((byte, index) => (sum += index >= checksumOffset && index < checksumOffset + 4 ? 0 : byte));
  return ~sum >>> 0;
}

/** Before the sectors of a block: a bit for each of them. */
export const bitmapBytesFor = (blockSize: number): number => Math.ceil(blockSize / (8 * SECTOR_BYTES) / SECTOR_BYTES) * SECTOR_BYTES;
