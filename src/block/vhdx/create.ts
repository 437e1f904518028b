// Making a new VHDX file: identifier, two headers and region tables, an empty log, the block allocation table, the metadata.
import { ErrnoFailure } from '../../base/errno.ts';
import { choice } from '../../schema/property.ts';
import type { BlockBackend } from '../backend.ts';
import type { CreateContext, CreateOption, CreateValues } from '../driver.ts';
import { createImageFile } from '../image-format/create-file.ts';
import { blockCount, blockEntry, BLOCK_ENTRY, chunkRatio, entryCount, entryIndex, type BlockGeometry } from './block-table.ts';
import { sealChecksum } from './crc32c.ts';
import { encodeHeader } from './headers.ts';
import {
  AT,
  BLOCK,
  FILE_PARAMETERS,
  GUID,
  guidBytes,
  LOGICAL_SECTOR_BYTES,
  METADATA_FLAG,
  METADATA_TABLE_BYTES,
  metadataEntryLayout,
  metadataTableLayout,
  MIB,
  REGION_TABLE_BYTES,
  regionEntryLayout,
  regionTableLayout,
  roundUp,
} from './layout.ts';
import { newGuid } from './log.ts';
import { BLOCK_BYTES } from './regions.ts';

// prettier-ignore
export const CREATE_OPTIONS: readonly CreateOption[] = [
  { name: 'size',             type: 'size', help: 'Virtual disk size; max of 64TB.' },
  { name: 'log_size',         type: 'size', help: 'Log size; min 1MB.', default: '1048576' },
  { name: 'block_size',       type: 'size', help: 'Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.', default: '0' },
  { name: 'subformat',        type: 'str',  help: "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'." },
  { name: 'block_state_zero', type: 'bool', help: "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img convert' with subformat=dynamic." },
];

const SUBFORMAT = choice('dynamic', 'fixed');
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;
const MAX_SIZE = 64 * TIB;
/** The names under which the reference signs; other programs show it. */
const CREATOR = 'QEMU v7.2.22';
/** Behind the block allocation table: metadata, and room for more of it. */
const METADATA_ROOM = 5 * MIB;
const METADATA_BYTES = MIB;

interface NewImage extends BlockGeometry {
  readonly logSize: number;
  readonly isFixed: boolean;
  readonly usesZeroState: boolean;
}

interface Places {
  readonly log: number;
  readonly table: number;
  readonly tableBytes: number;
  readonly metadata: number;
  readonly data: number;
}

const invalid = (message: string): ErrnoFailure => new ErrnoFailure('EINVAL', message);

function automaticBlockSize(size: number): number {
  if (size > 32 * TIB) return 64 * MIB;
  if (size > 100 * GIB) return 32 * MIB;
  return size > GIB ? 16 * MIB : 8 * MIB;
}

function checkedImage(values: CreateValues): NewImage {
  const size = roundUp(Number(values.get('size')), LOGICAL_SECTOR_BYTES);
  const logSize = Math.max(MIB, roundUp(Number(values.get('log_size') ?? MIB), MIB));
  const given = Math.min(BLOCK_BYTES.MAX, roundUp(Number(values.get('block_size') ?? 0), MIB));
  const isFixed = SUBFORMAT.fromText('subformat', String(values.get('subformat') ?? 'dynamic')) === 'fixed';
  if (size > MAX_SIZE) throw invalid('Image size too large; max of 64TB');
  if (logSize >= 4 * GIB) throw invalid('Log size must be smaller than 4 GB');
  const blockSize = given === 0 ? automaticBlockSize(size) : given;
  if (!Number.isInteger(Math.log2(blockSize))) throw invalid('Block size must be a power of two');
  return { size, logSize, blockSize, isFixed, usesZeroState: values.get('block_state_zero') !== false };
}

export async function createVhdx(filename: string, values: CreateValues, context: CreateContext): Promise<void> {
  SUBFORMAT.fromText('subformat', String(values.get('subformat') ?? 'dynamic'));
  await createImageFile(filename, values, CREATE_OPTIONS, context, async (file) => {
    const image = checkedImage(values);
    const log = MIB;
    const table = log + image.logSize;
    const tableBytes = roundUp(8 * entryCount(image), MIB);
    const places: Places = { log, table, tableBytes, metadata: table + tableBytes, data: table + tableBytes + METADATA_ROOM };
    await writeIdentifier(file);
    await writeHeaders(file, image, context);
    await writeRegionTables(file, places);
    await writeBlockTable(file, image, places);
    await writeMetadata(file, image, places, context);
  });
}

async function writeIdentifier(file: BlockBackend): Promise<void> {
  const source = new Uint8Array(8 + 512);
  source.set(new TextEncoder().encode('vhdxfile'));
  [...CREATOR].forEach((letter, n) => (source[8 + 2 * n] = letter.charCodeAt(0)));
  await file.write(AT.IDENTIFIER, source);
}

async function writeHeaders(file: BlockBackend, { logSize }: NewImage, { host }: CreateContext): Promise<void> {
  const { cryptography } = host;
  const first = new DataView(cryptography.randomBytes(4).buffer).getUint32(0, true) >>> 1;
  const shared = { fileWriteGuid: newGuid(cryptography), dataWriteGuid: newGuid(cryptography), logLength: logSize, logOffset: BigInt(MIB) };
  await file.write(AT.HEADERS[0], encodeHeader({ ...shared, sequenceNumber: BigInt(first) }));
  await file.write(AT.HEADERS[1], encodeHeader({ ...shared, sequenceNumber: BigInt(first) + 1n }));
}

async function writeRegionTables(file: BlockBackend, { table, tableBytes, metadata }: Places): Promise<void> {
  const source = new Uint8Array(REGION_TABLE_BYTES);
  regionTableLayout.write(source, { signature: 'regi', entryCount: 2 });
  const at = (n: number): number => regionTableLayout.sizeBytes + n * regionEntryLayout.sizeBytes;
  regionEntryLayout.write(source, { guid: guidBytes(GUID.BAT), fileOffset: BigInt(table), length: tableBytes }, at(0));
  regionEntryLayout.write(source, { guid: guidBytes(GUID.METADATA), fileOffset: BigInt(metadata), length: METADATA_BYTES }, at(1));
  sealChecksum(source);
  for (const offset of AT.REGION_TABLES) await file.write(offset, source);
}

async function writeBlockTable(file: BlockBackend, image: NewImage, { table, tableBytes, data }: Places): Promise<void> {
  await file.resize(image.isFixed ? data + image.size : data);
  if (!image.isFixed && !image.usesZeroState) return;
  const [ratio, blocks] = [chunkRatio(image), blockCount(image)];
  for (let start = 0; start < tableBytes; start += MIB) {
    const part = new DataView(new ArrayBuffer(Math.min(MIB, tableBytes - start)));
    const [first, end] = [start / 8, (start + part.byteLength) / 8];
    // The entry before `first` is that of this block, or of the bitmap behind it.
    for (let block = Math.max(0, first - Math.ceil(first / ratio) - 1); block < blocks; block++) {
      const index = entryIndex(block, ratio);
      if (index >= end) break;
      if (index < first) continue;
      // As the reference does, also for fixed images: their room is there, but the first write takes new room at the end.
      const entry = image.usesZeroState ? blockEntry(0, BLOCK.ZERO) : fixedEntry(image, data, block);
      BLOCK_ENTRY.set(part, 8 * (index - first), entry);
    }
    await file.write(table + start, new Uint8Array(part.buffer));
  }
}

const fixedEntry = ({ blockSize }: NewImage, data: number, block: number): number =>
  blockEntry(data + block * blockSize, BLOCK.FULLY_PRESENT);

async function writeMetadata(file: BlockBackend, image: NewImage, { metadata }: Places, { host }: CreateContext): Promise<void> {
  const items = new DataView(new ArrayBuffer(40));
  items.setUint32(0, image.blockSize, true);
  items.setUint32(4, image.isFixed ? FILE_PARAMETERS.LEAVE_BLOCKS_ALLOCATED : 0, true);
  items.setBigUint64(8, BigInt(image.size), true);
  new Uint8Array(items.buffer).set(newGuid(host.cryptography), 16);
  items.setUint32(32, LOGICAL_SECTOR_BYTES, true);
  items.setUint32(36, LOGICAL_SECTOR_BYTES, true);
  const { IS_REQUIRED, IS_VIRTUAL_DISK } = METADATA_FLAG;
  const ofDisk = IS_REQUIRED | IS_VIRTUAL_DISK;
  const rows = [
    [GUID.FILE_PARAMETERS, 0, 8, IS_REQUIRED],
    [GUID.VIRTUAL_DISK_SIZE, 8, 8, ofDisk],
    [GUID.VIRTUAL_DISK_ID, 16, 16, ofDisk],
    [GUID.LOGICAL_SECTOR_SIZE, 32, 4, ofDisk],
    [GUID.PHYSICAL_SECTOR_SIZE, 36, 4, ofDisk],
  ] as const;
  const source = new Uint8Array(METADATA_TABLE_BYTES);
  metadataTableLayout.write(source, { signature: 'metadata', entryCount: rows.length });
  rows.forEach(([guid, offset, length, flags], n) => {
    const entry = { guid: guidBytes(guid), offset: METADATA_TABLE_BYTES + offset, length, flags };
    metadataEntryLayout.write(source, entry, metadataTableLayout.sizeBytes + n * metadataEntryLayout.sizeBytes);
  });
  await file.write(metadata, source);
  await file.write(metadata + METADATA_TABLE_BYTES, new Uint8Array(items.buffer));
}
