// The header of a VirtualBox disk image: layout, checks when an image is opened, and a new image's header. The layout is known
// from VirtualBox's user documentation and from images; there is no specification.
import { ErrnoFailure } from '../../base/errno.ts';
import { bytes, layout, le32, le64, text, type Decoded } from '../../struct/layout.ts';

export const SECTOR_BYTES = 512;
/** Other block sizes exist in theory; nobody writes them. */
export const BLOCK_BYTES = 1 << 20;
export const SIGNATURE = 0xbeda107f;
export const VERSION = 0x00010001;
export const IMAGE_TYPE = { DYNAMIC: 1, STATIC: 2 } as const;
export const HEADER_BYTES = 512;

/** Entries of the block map that are no block number. */
export const ENTRY = { UNALLOCATED: 0xffffffff, DISCARDED: 0xfffffffe } as const;
export const isAllocated = (entry: number): boolean => entry < ENTRY.DISCARDED;

/** What the block map of a file of 4 GiB less its header could hold. */
const MAX_BLOCKS = 0x1fffff80;
export const MAX_SIZE = MAX_BLOCKS * BLOCK_BYTES;

export const headerLayout = layout(
  'VDI header',
  {
    text: text(0x00, 0x40),
    signature: le32(0x40),
    version: le32(0x44),
    headerSize: le32(0x48),
    imageType: le32(0x4c),
    imageFlags: le32(0x50),
    description: text(0x54, 256),
    mapOffset: le32(0x154),
    dataOffset: le32(0x158),
    cylinders: le32(0x15c),
    heads: le32(0x160),
    sectors: le32(0x164),
    sectorSize: le32(0x168),
    unused: le32(0x16c),
    diskSize: le64(0x170),
    blockSize: le32(0x178),
    blockExtra: le32(0x17c),
    blocksInImage: le32(0x180),
    blocksAllocated: le32(0x184),
    uuidImage: bytes(0x188, 16),
    uuidLastSnapshot: bytes(0x198, 16),
    uuidLink: bytes(0x1a8, 16),
    uuidParent: bytes(0x1b8, 16),
  },
  HEADER_BYTES,
);
export type Header = Decoded<typeof headerLayout.fields>;
export const BLOCKS_ALLOCATED_OFFSET = headerLayout.fields.blocksAllocated.offset;

const unsupported = (what: string): ErrnoFailure => new ErrnoFailure('ENOTSUP', `unsupported VDI image (${what})`);
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const isNull = (uuid: Uint8Array): boolean => uuid.every((byte) => byte === 0);

export const tooBig = (size: number | bigint, errno: 'EINVAL' | 'ENOTSUP'): ErrnoFailure =>
  new ErrnoFailure(errno, `Unsupported VDI image size (size is ${hex(size)}, max supported is ${hex(MAX_SIZE)})`);

export interface CheckedHeader {
  readonly header: Header;
  /** Whole sectors. */
  readonly diskSize: number;
}

/** What cannot be read correctly is refused, with the reason. */
export function checkedHeader(source: Uint8Array): CheckedHeader {
  const header = headerLayout.decode(source);
  if (header.diskSize > BigInt(MAX_SIZE)) throw tooBig(header.diskSize, 'ENOTSUP');
  const diskSize = Math.ceil(Number(header.diskSize) / SECTOR_BYTES) * SECTOR_BYTES;
  if (header.signature !== SIGNATURE) {
    const found = header.signature.toString(16).padStart(8, '0');
    throw new ErrnoFailure('EINVAL', `Image not in VDI format (bad signature ${found})`);
  }
  if (header.version !== VERSION) throw unsupported(`version ${header.version >>> 16}.${header.version & 0xffff}`);
  if (header.mapOffset % SECTOR_BYTES !== 0) throw unsupported(`unaligned block map offset ${hex(header.mapOffset)}`);
  if (header.dataOffset % SECTOR_BYTES !== 0) throw unsupported(`unaligned data offset ${hex(header.dataOffset)}`);
  if (header.sectorSize !== SECTOR_BYTES) throw unsupported(`sector size ${header.sectorSize} is not ${SECTOR_BYTES}`);
  if (header.blockSize !== BLOCK_BYTES) throw unsupported(`block size ${header.blockSize} is not ${BLOCK_BYTES}`);
  const room = header.blocksInImage * BLOCK_BYTES;
  if (diskSize > room) throw unsupported(`disk size ${diskSize}, image bitmap has room for ${room}`);
  if (!isNull(header.uuidLink)) throw unsupported('non-NULL link UUID');
  if (!isNull(header.uuidParent)) throw unsupported('non-NULL parent UUID');
  if (header.blocksInImage > MAX_BLOCKS) throw unsupported(`too many blocks ${header.blocksInImage}, max is ${MAX_BLOCKS}`);
  return { header, diskSize };
}

export interface NewImage {
  readonly diskSize: number;
  readonly isStatic: boolean;
  readonly uuidImage: Uint8Array;
  readonly uuidLastSnapshot: Uint8Array;
}

export const blocksFor = (diskSize: number): number => Math.ceil(diskSize / BLOCK_BYTES);
export const mapBytesFor = (blocks: number): number => Math.ceil((4 * blocks) / SECTOR_BYTES) * SECTOR_BYTES;

export function newHeader({ diskSize, isStatic, uuidImage, uuidLastSnapshot }: NewImage): Uint8Array {
  const blocks = blocksFor(diskSize);
  return headerLayout.encode({
    text: '<<< QEMU VM Virtual Disk Image >>>\n',
    signature: SIGNATURE,
    version: VERSION,
    headerSize: 0x180,
    imageType: isStatic ? IMAGE_TYPE.STATIC : IMAGE_TYPE.DYNAMIC,
    mapOffset: HEADER_BYTES,
    dataOffset: HEADER_BYTES + mapBytesFor(blocks),
    sectorSize: SECTOR_BYTES,
    diskSize: BigInt(diskSize),
    blockSize: BLOCK_BYTES,
    blocksInImage: blocks,
    blocksAllocated: isStatic ? blocks : 0,
    uuidImage,
    uuidLastSnapshot,
  });
}
