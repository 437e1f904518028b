// The header of Parallels expandable images (QEMU's docs/interop/parallels.txt), of both kinds: with offsets in sectors
// ("WithoutFreeSpace") and in clusters ("WithouFreSpacExt").
import { ErrnoFailure, prefixed } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { le32, le64, layout, text } from '../../struct/layout.ts';
import { MAX_SIZE, SECTOR } from '../node.ts';

export const MAGIC = { SECTORS: 'WithoutFreeSpace', CLUSTERS: 'WithouFreSpacExt' } as const;
const VERSION = 2;
export const IN_USE = { OPEN: 0x746f6e59, CLOSED: 0 } as const;
export const EXTENSION_MAGIC = 0xab234cef23dcea87n;
const TRACKS_MAX = Math.floor((2 ** 31 - 1) / 513);
const BAT_ENTRIES_MAX = Math.floor((2 ** 31 - 1) / 4);
/** An image has fewer clusters than this. */
const CLUSTERS_MAX = 2 ** 32;
const HEADS = 16;
const SECTORS_PER_TRACK = 32;

export const HEADER = layout('Parallels header', {
  magic: text(0, 16),
  version: le32(16),
  heads: le32(20),
  cylinders: le32(24),
  tracks: le32(28),
  batEntries: le32(32),
  sectors: le64(36),
  inUse: le32(44),
  dataOffset: le32(48),
  flags: le32(52),
  extensionOffset: le64(56),
});
export const IN_USE_OFFSET = 44;
export const BAT_OFFSET = HEADER.sizeBytes;
const BAT_ENTRY_BYTES = 4;

export interface ParallelsHeader {
  readonly clusterBytes: number;
  /** What an entry of the table counts. */
  readonly entryUnitBytes: number;
  readonly batEntries: number;
  readonly size: number;
  readonly wasOpen: boolean;
  readonly dataOffset: number;
  readonly extensionOffset: bigint;
}

const invalid = (message: string): Failure => new Failure('invalid-format', message);

const batEnd = (entries: number): number => Math.ceil((BAT_OFFSET + entries * BAT_ENTRY_BYTES) / SECTOR) * SECTOR;

export function checkedHeader(source: Uint8Array): ParallelsHeader {
  const raw = HEADER.decode(source);
  const inClusters = raw.magic === MAGIC.CLUSTERS;
  if ((!inClusters && raw.magic !== MAGIC.SECTORS) || raw.version !== VERSION) throw invalid('Image not in Parallels format');
  if (raw.tracks === 0) throw invalid('Invalid image: Zero sectors per track');
  if (raw.tracks > TRACKS_MAX) throw invalid('Invalid image: Too big cluster');
  if (raw.batEntries > BAT_ENTRIES_MAX) throw invalid('Catalog too large');
  const sectors = inClusters ? raw.sectors : raw.sectors & 0xffffffffn;
  if (sectors > BigInt(MAX_SIZE / SECTOR)) throw prefixed('Could not refresh total sector count', new ErrnoFailure('EFBIG'));
  const clusterBytes = raw.tracks * SECTOR;
  return {
    clusterBytes,
    entryUnitBytes: inClusters ? clusterBytes : SECTOR,
    batEntries: raw.batEntries,
    size: Number(sectors) * SECTOR,
    wasOpen: raw.inUse === IN_USE.OPEN,
    dataOffset: Math.max(raw.dataOffset * SECTOR, batEnd(raw.batEntries)),
    extensionOffset: raw.extensionOffset * BigInt(SECTOR),
  };
}

/** The header of an empty image of `size` bytes and the size of the area before the first cluster. */
export function newHeader(size: number, clusterSize: number): { head: Uint8Array; dataOffset: number } {
  const tracks = Math.max(1, Math.ceil(clusterSize / SECTOR));
  const clusterBytes = tracks * SECTOR;
  if (clusterBytes >= 2 ** 31) throw new Failure('invalid-argument', 'Cluster size is too large');
  if (size >= CLUSTERS_MAX * clusterBytes) throw new Failure('invalid-argument', 'Image size is too large for this cluster size');
  const batEntries = Math.ceil(size / clusterBytes);
  if (batEntries > BAT_ENTRIES_MAX) throw new Failure('invalid-argument', 'Image size is too large for this cluster size');
  const dataOffset = Math.ceil(batEnd(batEntries) / clusterBytes) * clusterBytes;
  const sectors = size / SECTOR;
  const head = HEADER.encode({
    magic: MAGIC.CLUSTERS, version: VERSION, heads: HEADS, cylinders: Math.floor(sectors / (HEADS * SECTORS_PER_TRACK)), tracks, batEntries,
    sectors: BigInt(sectors), dataOffset: dataOffset / SECTOR,
  }); // prettier-ignore
  return { head, dataOffset };
}
