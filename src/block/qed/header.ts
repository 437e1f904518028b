// The header of qed images (QEMU's docs/interop/qed_spec.txt).
import { Failure } from '../../base/failure.ts';
import { le32, le64, layout, type Decoded } from '../../struct/layout.ts';
import { MAX_SIZE, SECTOR } from '../node.ts';

export const QED_MAGIC = 0x00444551;
/** Bits of `features`. */
export const FEATURE = { BACKING_FILE: 1, NEED_CHECK: 2, BACKING_FORMAT_NO_PROBE: 4 } as const;
const KNOWN_FEATURES = 7n;
const CLUSTER_BYTES = { MIN: 4096, MAX: 64 << 20, DEFAULT: 65536 } as const;
const TABLE_CLUSTERS = { MIN: 1, MAX: 16, DEFAULT: 4 } as const;
export const TABLE_ENTRY_BYTES = 8;
/** Values of table entries that are not offsets. */
export const ENTRY = { UNALLOCATED: 0, ZERO: 1 } as const;

export const HEADER = layout('QED header', {
  magic: le32(0),
  clusterSize: le32(4),
  tableSize: le32(8),
  headerSize: le32(12),
  features: le64(16),
  compatFeatures: le64(24),
  autoclearFeatures: le64(32),
  l1TableOffset: le64(40),
  imageSize: le64(48),
  backingFilenameOffset: le32(56),
  backingFilenameSize: le32(60),
});

export type RawHeader = Decoded<typeof HEADER.fields>;

/** The header as it is in force: it changes with the image. */
export interface QedHeader {
  readonly clusterBytes: number;
  readonly tableBytes: number;
  readonly tableEntries: number;
  readonly headerBytes: number;
  readonly l1TableOffset: number;
  imageSize: number;
  features: number;
  readonly autoclearFeatures: bigint;
  backingFilenameOffset: number;
  backingFilenameSize: number;
}

const invalid = (message: string): Failure => new Failure('invalid-format', message);
const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

const within = (value: number, { MIN, MAX }: { readonly MIN: number; readonly MAX: number }): boolean =>
  value >= MIN && value <= MAX && isPowerOfTwo(value);

export const maxImageSize = (clusterBytes: number, tableBytes: number): number => (tableBytes / TABLE_ENTRY_BYTES) ** 2 * clusterBytes;

export const isImageSize = (size: number, clusterBytes: number, tableBytes: number): boolean =>
  size % SECTOR === 0 && size <= maxImageSize(clusterBytes, tableBytes) && size <= MAX_SIZE;

export function checkedHeader(source: Uint8Array, fileSize: number): QedHeader {
  const raw = HEADER.decode(source);
  if (raw.magic !== QED_MAGIC) throw invalid('Image not in QED format');
  const unknown = raw.features & ~KNOWN_FEATURES;
  if (unknown !== 0n) throw new Failure('unsupported', `Unsupported QED features: ${unknown.toString(16)}`);
  if (!within(raw.clusterSize, CLUSTER_BYTES)) throw invalid('QED cluster size is invalid');
  if (!within(raw.tableSize, TABLE_CLUSTERS)) throw invalid('QED table size is invalid');
  const tableBytes = raw.tableSize * raw.clusterSize;
  const imageSize = Number(raw.imageSize);
  if (!isImageSize(imageSize, raw.clusterSize, tableBytes)) throw invalid('QED image size is invalid');
  const header: QedHeader = {
    clusterBytes: raw.clusterSize,
    tableBytes,
    tableEntries: tableBytes / TABLE_ENTRY_BYTES,
    headerBytes: raw.headerSize * raw.clusterSize,
    l1TableOffset: Number(raw.l1TableOffset),
    imageSize,
    features: Number(raw.features),
    autoclearFeatures: raw.autoclearFeatures,
    backingFilenameOffset: raw.backingFilenameOffset,
    backingFilenameSize: raw.backingFilenameSize,
  };
  if (!isTableOffset(header, header.l1TableOffset, fileSize)) throw invalid('QED table offset is invalid');
  return header;
}

/** Whether a cluster may be there: inside the file, behind the header. */
export function isClusterOffset({ clusterBytes, headerBytes }: QedHeader, offset: number, fileSize: number): boolean {
  return offset % clusterBytes === 0 && offset >= headerBytes && offset < fileSize && offset <= MAX_SIZE;
}

export function isTableOffset(header: QedHeader, offset: number, fileSize: number): boolean {
  const last = offset + header.tableBytes - header.clusterBytes;
  return isClusterOffset(header, offset, fileSize) && isClusterOffset(header, last, fileSize);
}

export interface NewImage {
  readonly size: number;
  readonly clusterBytes: number | undefined;
  readonly tableClusters: number | undefined;
  readonly backingName: Uint8Array | undefined;
  readonly backingIsRaw: boolean;
}

export interface NewImageHead {
  readonly head: Uint8Array;
  readonly tableStart: number;
  readonly end: number;
}

/** The bytes before the empty L1 table, and where that lies. */
export function newHeader({ size, clusterBytes, tableClusters, backingName, backingIsRaw }: NewImage): NewImageHead {
  const clusterSize = clusterBytes ?? CLUSTER_BYTES.DEFAULT;
  const tableSize = tableClusters ?? TABLE_CLUSTERS.DEFAULT;
  const range = ({ MIN, MAX }: { MIN: number; MAX: number }): string => `within range [${MIN}, ${MAX}] and power of 2`;
  if (!within(clusterSize, CLUSTER_BYTES)) throw new Failure('invalid-argument', `QED cluster size must be ${range(CLUSTER_BYTES)}`);
  if (!within(tableSize, TABLE_CLUSTERS)) throw new Failure('invalid-argument', `QED table size must be ${range(TABLE_CLUSTERS)}`);
  const tableBytes = tableSize * clusterSize;
  if (!isImageSize(size, clusterSize, tableBytes)) {
    const max = maxImageSize(clusterSize, tableBytes);
    throw new Failure('invalid-argument', `QED image size must be a non-zero multiple of cluster size and less than ${max} bytes`);
  }
  const head = new Uint8Array(HEADER.sizeBytes + (backingName?.length ?? 0));
  const backing = backingName === undefined ? {} : { backingFilenameOffset: HEADER.sizeBytes, backingFilenameSize: backingName.length };
  const features = (backingName === undefined ? 0 : FEATURE.BACKING_FILE) | (backingIsRaw ? FEATURE.BACKING_FORMAT_NO_PROBE : 0);
  HEADER.write(head, {
    magic: QED_MAGIC, clusterSize, tableSize, headerSize: 1, features: BigInt(features),
    l1TableOffset: BigInt(clusterSize), imageSize: BigInt(size), ...backing,
  }); // prettier-ignore
  if (backingName !== undefined) head.set(backingName, HEADER.sizeBytes);
  return { head, tableStart: clusterSize, end: clusterSize + tableBytes };
}
