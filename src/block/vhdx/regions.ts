// The region table and the metadata of a VHDX file ([MS-VHDX] 2.2.3, 2.6): where the parts are, how big the disk and its blocks
// are, and whether there is anything in it that this program does not know but would have to.
import { ErrnoFailure } from '../../base/errno.ts';
import type { Edge } from '../node.ts';
import { hasValidChecksum } from './crc32c.ts';
import {
  AT,
  FILE_PARAMETERS,
  GUID,
  guidText,
  LOGICAL_SECTOR_BYTES,
  MAX_TABLE_ENTRIES,
  METADATA_FLAG,
  METADATA_TABLE_BYTES,
  metadataEntryLayout,
  metadataTableLayout,
  MIB,
  REGION_TABLE_BYTES,
  regionEntryLayout,
  regionTableLayout,
} from './layout.ts';

export interface Region {
  readonly offset: number;
  readonly length: number;
}

const invalid = (): ErrnoFailure => new ErrnoFailure('EINVAL');
const unsupported = (): ErrnoFailure => new ErrnoFailure('ENOTSUP');
const OFFSET_MAX = 2n ** 63n;

/** Parts of the file that must not overlap. */
export class RegionMap {
  readonly #regions: { readonly start: bigint; readonly end: bigint }[] = [];
  readonly #warn: (line: string) => void;

  constructor(warn: (line: string) => void) {
    this.#warn = warn;
  }

  add(start: bigint, length: number): void {
    this.#regions.unshift({ start, end: start + BigInt(length) });
  }

  check(start: bigint, length: number): void {
    const end = start + BigInt(length);
    const other = this.#regions.find((region) => start < region.end && end > region.start);
    if (other === undefined) return;
    this.#warn(`VHDX region ${start}-${end} overlaps with region ${other.start}-${other.end}`);
    throw invalid();
  }
}

export interface Regions {
  readonly blockTable: Region;
  readonly metadata: Region;
}

export async function readRegions(file: Edge, map: RegionMap): Promise<Regions> {
  const source = await file.readBytes(AT.REGION_TABLES[0], REGION_TABLE_BYTES);
  const { signature, entryCount } = regionTableLayout.decode(source);
  if (signature !== 'regi' || !hasValidChecksum(source) || entryCount > MAX_TABLE_ENTRIES) throw invalid();
  const found = new Map<string, Region>();
  for (let n = 0; n < entryCount; n++) {
    const entry = regionEntryLayout.decode(source, regionTableLayout.sizeBytes + n * regionEntryLayout.sizeBytes);
    map.check(entry.fileOffset, entry.length);
    map.add(entry.fileOffset, entry.length);
    const guid = guidText(entry.guid);
    if (guid === GUID.BAT || guid === GUID.METADATA) {
      if (found.has(guid)) throw invalid();
      if (entry.fileOffset >= OFFSET_MAX) throw new ErrnoFailure('EIO');
      found.set(guid, { offset: Number(entry.fileOffset), length: entry.length });
    } else if (entry.required & 1) throw unsupported();
  }
  const [blockTable, metadata] = [found.get(GUID.BAT), found.get(GUID.METADATA)];
  if (blockTable === undefined || metadata === undefined) throw invalid();
  if (!isReachable(metadata)) throw invalid();
  if (!isReachable(blockTable)) throw new ErrnoFailure('EIO');
  return { blockTable, metadata };
}

/** Far beyond any file there are only zeroes: no metadata. */
const isReachable = ({ offset }: Region): boolean => Number.isSafeInteger(offset + 2 ** 33);

export interface DiskParameters {
  readonly blockSize: number;
  readonly leavesBlocksAllocated: boolean;
  /** Whole sectors. */
  readonly size: number;
}

const MAX_SIZE = 64n * 2n ** 40n;
export const BLOCK_BYTES = { MIN: MIB, MAX: 256 * MIB } as const;

export async function readMetadata(file: Edge, region: Region): Promise<DiskParameters> {
  const items = await readItems(file, region);
  const item = async (guid: string, count: number): Promise<DataView> => {
    const offset = items.get(guid);
    if (offset === undefined) throw unsupported();
    return new DataView((await file.readBytes(region.offset + offset, count)).buffer);
  };
  const parameters = await item(GUID.FILE_PARAMETERS, 8);
  const diskSize = (await item(GUID.VIRTUAL_DISK_SIZE, 8)).getBigUint64(0, true);
  const logicalSector = (await item(GUID.LOGICAL_SECTOR_SIZE, 4)).getUint32(0, true);
  await item(GUID.PHYSICAL_SECTOR_SIZE, 4);
  await item(GUID.VIRTUAL_DISK_ID, 16);
  const flags = parameters.getUint32(4, true);
  if (flags & FILE_PARAMETERS.HAS_PARENT) throw invalid();
  if (logicalSector !== LOGICAL_SECTOR_BYTES) throw unsupported();
  const blockSize = parameters.getUint32(0, true);
  const isPower = Number.isInteger(Math.log2(blockSize));
  if (!isPower || blockSize < BLOCK_BYTES.MIN || blockSize > BLOCK_BYTES.MAX || diskSize > MAX_SIZE) throw invalid();
  const size = Math.floor(Number(diskSize) / LOGICAL_SECTOR_BYTES) * LOGICAL_SECTOR_BYTES;
  return { blockSize, leavesBlocksAllocated: (flags & FILE_PARAMETERS.LEAVE_BLOCKS_ALLOCATED) !== 0, size };
}

const KNOWN_ITEMS: ReadonlySet<string> = new Set([
  GUID.FILE_PARAMETERS,
  GUID.VIRTUAL_DISK_SIZE,
  GUID.VIRTUAL_DISK_ID,
  GUID.LOGICAL_SECTOR_SIZE,
  GUID.PHYSICAL_SECTOR_SIZE,
]);

async function readItems(file: Edge, region: Region): Promise<Map<string, number>> {
  const source = await file.readBytes(region.offset, METADATA_TABLE_BYTES);
  const { signature, entryCount } = metadataTableLayout.decode(source);
  if (signature !== 'metadata' || entryCount > MAX_TABLE_ENTRIES) throw invalid();
  const items = new Map<string, number>();
  for (let n = 0; n < entryCount; n++) {
    const entry = metadataEntryLayout.decode(source, metadataTableLayout.sizeBytes + n * metadataEntryLayout.sizeBytes);
    if (entry.offset < METADATA_TABLE_BYTES && (entry.offset !== 0 || entry.length !== 0)) throw invalid();
    const guid = guidText(entry.guid);
    if (KNOWN_ITEMS.has(guid)) {
      if (items.has(guid)) throw invalid();
      items.set(guid, entry.offset);
    } else if (entry.flags & METADATA_FLAG.IS_REQUIRED) throw unsupported();
  }
  return items;
}
