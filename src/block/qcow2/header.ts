// The qcow2 header of versions 2 and 3 and its extensions: decoding with every check that needs no more than the first
// cluster, and encoding. What this program does not know (header fields, extensions, compatible features) is kept. The
// specification is QEMU's docs/interop/qcow2.txt; names are its names. Not the tables that the header points to.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { be32, be64, concatBytes, layout, safeNumber, u8 } from '../../struct/layout.ts';

export const QCOW2_MAGIC = 0x514649fb;
export const V2_HEADER_BYTES = 72;
/** The least a version 3 header has. */
const V3_MIN_HEADER_BYTES = 104;
/** What is written: with the compression type, padded to eight bytes. */
export const V3_HEADER_BYTES = 112;

export const LIMIT = {
  MIN_CLUSTER_BITS: 9,
  MAX_CLUSTER_BITS: 21,
  /** Subclusters are at least a sector. */
  MIN_EXTENDED_CLUSTER_BITS: 14,
  MAX_L1_BYTES: 32 << 20,
  MAX_REFCOUNT_TABLE_BYTES: 8 << 20,
  MAX_SNAPSHOTS: 65536,
  MAX_SNAPSHOT_TABLE_BYTES: 1024 * 65536,
  MAX_BACKING_NAME_BYTES: 1023,
  MAX_REFCOUNT_ORDER: 6,
} as const;

export const INCOMPATIBLE = { DIRTY: 1n, CORRUPT: 2n, DATA_FILE: 4n, COMPRESSION: 8n, EXTENDED_L2: 16n } as const;
export const COMPATIBLE = { LAZY_REFCOUNTS: 1n } as const;
export const AUTOCLEAR = { BITMAPS: 1n, DATA_FILE_RAW: 2n } as const;
const KNOWN_INCOMPATIBLE = 0x1fn;
export const KNOWN_AUTOCLEAR = 3n;

const FEATURE_TYPE = { INCOMPATIBLE: 0, COMPATIBLE: 1, AUTOCLEAR: 2 } as const;

/** The feature name table that is written, in its order. */
const FEATURE_NAMES: readonly (readonly [type: number, bit: number, name: string])[] = [
  [FEATURE_TYPE.INCOMPATIBLE, 0, 'dirty bit'],
  [FEATURE_TYPE.INCOMPATIBLE, 1, 'corrupt bit'],
  [FEATURE_TYPE.INCOMPATIBLE, 2, 'external data file'],
  [FEATURE_TYPE.INCOMPATIBLE, 3, 'compression type'],
  [FEATURE_TYPE.INCOMPATIBLE, 4, 'extended L2 entries'],
  [FEATURE_TYPE.COMPATIBLE, 0, 'lazy refcounts'],
  [FEATURE_TYPE.AUTOCLEAR, 0, 'bitmaps'],
  [FEATURE_TYPE.AUTOCLEAR, 1, 'raw external data'],
];
const FEATURE_ENTRY_BYTES = 48;

export const EXTENSION = {
  END: 0,
  BACKING_FORMAT: 0xe2792aca,
  FEATURE_NAMES: 0x6803f857,
  CRYPTO: 0x0537be77,
  BITMAPS: 0x23852875,
  DATA_FILE: 0x44415441,
} as const;

export const CRYPT = { NONE: 0, AES: 1, LUKS: 2 } as const;
export const COMPRESSION_TYPE = { ZLIB: 0, ZSTD: 1 } as const;

export const headerLayout = layout('qcow2 header', {
  magic: be32(0),
  version: be32(4),
  backingFileOffset: be64(8),
  backingFileSize: be32(16),
  clusterBits: be32(20),
  size: be64(24),
  cryptMethod: be32(32),
  l1Size: be32(36),
  l1TableOffset: be64(40),
  refcountTableOffset: be64(48),
  refcountTableClusters: be32(56),
  nbSnapshots: be32(60),
  snapshotsOffset: be64(64),
  incompatibleFeatures: be64(72),
  compatibleFeatures: be64(80),
  autoclearFeatures: be64(88),
  refcountOrder: be32(96),
  headerLength: be32(100),
  compressionType: u8(104),
}, V3_HEADER_BYTES);

const cryptoLayout = layout('crypto header extension', { offset: be64(0), length: be64(8) });
const bitmapsLayout = layout('bitmaps header extension', {
  nbBitmaps: be32(0),
  reserved: be32(4),
  directorySize: be64(8),
  directoryOffset: be64(16),
});

export interface BitmapsExtension {
  nbBitmaps: number;
  directorySize: number;
  directoryOffset: number;
}

export interface UnknownExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Everything in the first cluster; mutable, since it is the open image's state, and written by `encodeHeader`. */
export interface Qcow2Header {
  version: number;
  clusterBits: number;
  size: number;
  cryptMethod: number;
  l1Size: number;
  l1TableOffset: number;
  refcountTableOffset: number;
  refcountTableClusters: number;
  nbSnapshots: number;
  snapshotsOffset: number;
  incompatibleFeatures: bigint;
  compatibleFeatures: bigint;
  autoclearFeatures: bigint;
  refcountOrder: number;
  compressionType: number;
  /** Bytes of the header after the fields that we know. */
  unknownFields: Uint8Array;
  backingFileOffset: number;
  backingFileSize: number;
  /** Both undefined without a backing file; the name is Latin-1 for bytes that are not UTF-8. */
  backingFile: string | undefined;
  backingFormat: string | undefined;
  dataFile: string | undefined;
  crypto: { offset: number; length: number } | undefined;
  bitmaps: BitmapsExtension | undefined;
  unknownExtensions: UnknownExtension[];
}

const invalid = (message: string): Failure => new ErrnoFailure('EINVAL', message);

/** A 64-bit field as a number. */
function number64(value: bigint, what: string): number {
  return safeNumber(value, what);
}

/** The fields before any extension; `bytes` is the beginning of the file, as much as there is. */
export function decodeFields(bytes: Uint8Array): Qcow2Header {
  if (bytes.length < V3_HEADER_BYTES) throw invalid('Could not read qcow2 header: Invalid argument');
  const raw = headerLayout.decode(bytes);
  if (raw.magic !== QCOW2_MAGIC) throw invalid('Image is not in qcow2 format');
  if (raw.version < 2 || raw.version > 3) throw new ErrnoFailure('ENOTSUP', `Unsupported qcow2 version ${raw.version}`);
  if (raw.clusterBits < LIMIT.MIN_CLUSTER_BITS || raw.clusterBits > LIMIT.MAX_CLUSTER_BITS) {
    throw invalid(`Unsupported cluster size: 2^${raw.clusterBits}`);
  }
  const isV3 = raw.version >= 3;
  const headerLength = isV3 ? raw.headerLength : V2_HEADER_BYTES;
  if (isV3 && headerLength < V3_MIN_HEADER_BYTES) throw invalid('qcow2 header too short');
  const clusterSize = 2 ** raw.clusterBits;
  if (headerLength > clusterSize) throw invalid('qcow2 header exceeds cluster size');
  if (raw.backingFileOffset > BigInt(clusterSize)) throw invalid('Invalid backing file offset');
  return {
    version: raw.version,
    clusterBits: raw.clusterBits,
    size: Number(raw.size), // whether it is one that we can have is seen with the L1 table
    cryptMethod: raw.cryptMethod,
    l1Size: raw.l1Size,
    l1TableOffset: tableOffset(raw.l1TableOffset),
    refcountTableOffset: tableOffset(raw.refcountTableOffset),
    refcountTableClusters: raw.refcountTableClusters,
    nbSnapshots: raw.nbSnapshots,
    snapshotsOffset: tableOffset(raw.snapshotsOffset),
    incompatibleFeatures: isV3 ? raw.incompatibleFeatures : 0n,
    compatibleFeatures: isV3 ? raw.compatibleFeatures : 0n,
    autoclearFeatures: isV3 ? raw.autoclearFeatures : 0n,
    refcountOrder: isV3 ? raw.refcountOrder : 4,
    compressionType: isV3 && headerLength > V3_MIN_HEADER_BYTES ? raw.compressionType : COMPRESSION_TYPE.ZLIB,
    unknownFields: headerLength > V3_HEADER_BYTES ? bytes.slice(V3_HEADER_BYTES, headerLength) : new Uint8Array(0),
    backingFileOffset: Number(raw.backingFileOffset),
    backingFileSize: raw.backingFileSize,
    backingFile: undefined,
    backingFormat: undefined,
    dataFile: undefined,
    crypto: undefined,
    bitmaps: undefined,
    unknownExtensions: [],
  };
}

/** Where a table is. Too big a number is no multiple of anything that fits a file: 1 makes the checks say "offset invalid". */
function tableOffset(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? 1 : Number(value);
}

/** Bytes of the header proper in the file, where the extensions begin. */
export function storedHeaderLength(bytes: Uint8Array): number {
  const { version, headerLength } = headerLayout.decode(bytes);
  return version >= 3 ? headerLength : V2_HEADER_BYTES;
}

interface RawExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** The extensions of a header, in their order. `end` is where they must stop: the backing file's name, or the cluster's end. */
function* extensionsIn(bytes: Uint8Array, start: number, end: number): Generator<RawExtension> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = start; at < end; ) {
    if (at + 8 > bytes.length) return; // the file ends here: zeroes, the end mark
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    at += 8;
    if (at > end || length > end - at) throw invalid('Header extension too large');
    if (type === EXTENSION.END) return;
    const data = new Uint8Array(length);
    data.set(bytes.subarray(at, Math.min(bytes.length, at + length)));
    yield { type, data };
    at += Math.ceil(length / 8) * 8;
  }
}

/** Refuses incompatible features that we do not know, by the names that the image gives them. */
export function checkFeatures(header: Qcow2Header, bytes: Uint8Array): void {
  const unknown = header.incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  if (unknown === 0n) return;
  let table: Uint8Array = new Uint8Array(0);
  try {
    for (const { type, data } of extensionsIn(bytes, storedHeaderLength(bytes), extensionsEnd(header))) {
      if (type === EXTENSION.FEATURE_NAMES) table = data;
    }
  } catch {
    // Without names, then.
  }
  throw new ErrnoFailure('ENOTSUP', `Unsupported qcow2 feature(s): ${featureNames(unknown, table).join(', ')}`);
}

function featureNames(features: bigint, table: Uint8Array): string[] {
  const names: string[] = [];
  let rest = features;
  for (let at = 0; at + FEATURE_ENTRY_BYTES <= table.length; at += FEATURE_ENTRY_BYTES) {
    const bit = 1n << BigInt(table[at + 1]! & 63);
    if (table[at] !== FEATURE_TYPE.INCOMPATIBLE || table[at + 1]! > 63 || (rest & bit) === 0n) continue;
    rest &= ~bit;
    names.push(fileText(table.subarray(at + 2, at + FEATURE_ENTRY_BYTES)).replace(/\0.*$/s, ''));
  }
  if (rest !== 0n) names.push(`Unknown incompatible feature: ${rest.toString(16)}`);
  return names;
}

const extensionsEnd = ({ backingFileOffset, clusterBits }: Qcow2Header): number => backingFileOffset || 2 ** clusterBits;

/** Fills in what the extensions say. `bytes` is the first cluster, or the whole file when that is shorter. */
export function decodeExtensions(header: Qcow2Header, bytes: Uint8Array, warn: (line: string, hint: string) => void): void {
  for (const { type, data } of extensionsIn(bytes, storedHeaderLength(bytes), extensionsEnd(header))) {
    switch (type) {
      case EXTENSION.BACKING_FORMAT:
        if (data.length >= 16) throw invalid(`ERROR: ext_backing_format: len=${data.length} too large (>=16)`);
        header.backingFormat = fileText(data).replace(/\0.*$/s, '') || undefined;
        break;
      case EXTENSION.FEATURE_NAMES:
        break; // written anew from our own table
      case EXTENSION.CRYPTO:
        header.crypto = decodeCrypto(header, data);
        break;
      case EXTENSION.BITMAPS:
        header.bitmaps = decodeBitmaps(header, data, warn);
        break;
      case EXTENSION.DATA_FILE:
        header.dataFile = fileText(data).replace(/\0.*$/s, '');
        break;
      default:
        header.unknownExtensions.push({ type, data });
    }
  }
}

function decodeCrypto(header: Qcow2Header, data: Uint8Array): { offset: number; length: number } {
  if (header.cryptMethod !== CRYPT.LUKS) throw invalid('CRYPTO header extension only expected with LUKS encryption method');
  if (data.length !== cryptoLayout.sizeBytes) {
    throw invalid(`CRYPTO header extension size ${data.length}, but expected size ${cryptoLayout.sizeBytes}`);
  }
  const { offset, length } = cryptoLayout.decode(data);
  const clusterSize = 2 ** header.clusterBits;
  if (offset % BigInt(clusterSize) !== 0n) {
    throw invalid(`Encryption header offset '${offset}' is not a multiple of cluster size '${clusterSize}'`);
  }
  return { offset: number64(offset, 'Encryption header offset'), length: number64(length, 'Encryption header length') };
}

/** Undefined when a program without bitmap support has written to the image meanwhile: then they say nothing any more. */
function decodeBitmaps(header: Qcow2Header, data: Uint8Array, warn: (line: string, hint: string) => void): BitmapsExtension | undefined {
  if (data.length !== bitmapsLayout.sizeBytes) throw invalid('bitmaps_ext: Invalid extension length');
  if ((header.autoclearFeatures & AUTOCLEAR.BITMAPS) === 0n) {
    warn(
      header.version < 3
        ? 'This qcow2 v2 image contains bitmaps, but they may have been modified by a program without persistent bitmap support; ' +
          'so now they must all be considered inconsistent'
        : 'a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent',
      "Some clusters may be leaked, run 'qemu-img check -r' on the image file to fix.",
    );
    return undefined;
  }
  const { nbBitmaps, reserved, directorySize, directoryOffset } = bitmapsLayout.decode(data);
  if (reserved !== 0) throw invalid('bitmaps_ext: Reserved field is not zero');
  if (nbBitmaps > 65535) throw invalid(`bitmaps_ext: Image has ${nbBitmaps} bitmaps, exceeding the QEMU supported maximum of 65535`);
  if (nbBitmaps === 0) throw invalid('bitmaps_ext: found bitmaps extension with zero bitmaps');
  if (directoryOffset % BigInt(2 ** header.clusterBits) !== 0n) throw invalid('bitmaps_ext: wrong bitmap directory offset');
  if (directorySize > 65535n * 1024n) {
    throw invalid(`bitmaps_ext: bitmap directory size (${directorySize}) exceeds the maximum supported size (${65535 * 1024})`);
  }
  return { nbBitmaps, directorySize: Number(directorySize), directoryOffset: number64(directoryOffset, 'bitmap directory offset') };
}

/** The backing file's name, after the extensions. */
export function decodeBackingName(header: Qcow2Header, bytes: Uint8Array): void {
  const { backingFileOffset: offset, backingFileSize: length } = header;
  if (offset === 0) return;
  if (length > Math.min(LIMIT.MAX_BACKING_NAME_BYTES, 2 ** header.clusterBits - offset)) throw invalid('Backing file name too long');
  if (offset + length > bytes.length) throw invalid('Could not read backing file name');
  const name = fileText(bytes.subarray(offset, offset + length)).replace(/\0.*$/s, '');
  header.backingFile = name === '' ? undefined : name;
}

/** Bytes of a name as text: UTF-8 where they are that, Latin-1 otherwise. */
function fileText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  }
}

const textBytes = (value: string): Uint8Array => new TextEncoder().encode(value);

function encodeExtension(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + Math.ceil(data.length / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type);
  view.setUint32(4, data.length);
  bytes.set(data, 8);
  return bytes;
}

function featureTable(): Uint8Array {
  const table = new Uint8Array(FEATURE_NAMES.length * FEATURE_ENTRY_BYTES);
  FEATURE_NAMES.forEach(([type, bit, name], index) => {
    table.set([type, bit], index * FEATURE_ENTRY_BYTES);
    table.set(textBytes(name), index * FEATURE_ENTRY_BYTES + 2);
  });
  return table;
}

function encodedExtensions(header: Qcow2Header): Uint8Array {
  const parts: Uint8Array[] = [];
  if (header.backingFormat !== undefined) parts.push(encodeExtension(EXTENSION.BACKING_FORMAT, textBytes(header.backingFormat)));
  if (header.dataFile !== undefined) parts.push(encodeExtension(EXTENSION.DATA_FILE, textBytes(header.dataFile)));
  if (header.crypto !== undefined) {
    const { offset, length } = header.crypto;
    parts.push(encodeExtension(EXTENSION.CRYPTO, cryptoLayout.encode({ offset: BigInt(offset), length: BigInt(length) })));
  }
  // The reference leaves the names out of small clusters.
  if (header.version >= 3 && header.clusterBits > 12) parts.push(encodeExtension(EXTENSION.FEATURE_NAMES, featureTable()));
  if (header.bitmaps !== undefined && header.bitmaps.nbBitmaps > 0) {
    const { nbBitmaps, directorySize, directoryOffset } = header.bitmaps;
    const data = bitmapsLayout.encode({ nbBitmaps, directorySize: BigInt(directorySize), directoryOffset: BigInt(directoryOffset) });
    parts.push(encodeExtension(EXTENSION.BITMAPS, data));
  }
  for (const { type, data } of header.unknownExtensions) parts.push(encodeExtension(type, data));
  parts.push(encodeExtension(EXTENSION.END, new Uint8Array(0)));
  return concatBytes(...parts);
}

/** Only the header's fields, as `create` writes them first, without extensions. */
export function encodeFields(header: Qcow2Header): Uint8Array {
  const isV3 = header.version >= 3;
  const fixed = headerLayout.encode({
    magic: QCOW2_MAGIC,
    version: header.version,
    backingFileOffset: BigInt(header.backingFileOffset),
    backingFileSize: header.backingFileSize,
    clusterBits: header.clusterBits,
    size: BigInt(header.size),
    cryptMethod: header.cryptMethod,
    l1Size: header.l1Size,
    l1TableOffset: BigInt(header.l1TableOffset),
    refcountTableOffset: BigInt(header.refcountTableOffset),
    refcountTableClusters: header.refcountTableClusters,
    nbSnapshots: header.nbSnapshots,
    snapshotsOffset: BigInt(header.snapshotsOffset),
    incompatibleFeatures: isV3 ? header.incompatibleFeatures : 0n,
    compatibleFeatures: isV3 ? header.compatibleFeatures : 0n,
    autoclearFeatures: isV3 ? header.autoclearFeatures : 0n,
    refcountOrder: isV3 ? header.refcountOrder : 0,
    headerLength: isV3 ? V3_HEADER_BYTES + header.unknownFields.length : 0,
    compressionType: isV3 ? header.compressionType : 0,
  });
  return isV3 ? concatBytes(fixed, header.unknownFields) : fixed.slice(0, V2_HEADER_BYTES);
}

/**
 * The whole header: fields, extensions and the backing file's name, filled up with zeroes to a cluster. Sets
 * `backingFileOffset` and `backingFileSize`. ErrnoFailure ENOSPC when it does not fit one cluster.
 */
export function encodeHeader(header: Qcow2Header): Uint8Array {
  const extensions = encodedExtensions(header);
  const name = header.backingFile === undefined ? new Uint8Array(0) : textBytes(header.backingFile);
  const fieldsLength = header.version >= 3 ? V3_HEADER_BYTES + header.unknownFields.length : V2_HEADER_BYTES;
  const nameAt = fieldsLength + extensions.length;
  const clusterSize = 2 ** header.clusterBits;
  if (nameAt + name.length > clusterSize) throw new ErrnoFailure('ENOSPC');
  header.backingFileOffset = name.length > 0 ? nameAt : 0;
  header.backingFileSize = name.length;
  const cluster = new Uint8Array(clusterSize);
  cluster.set(encodeFields(header));
  cluster.set(extensions, fieldsLength);
  cluster.set(name, nameAt);
  return cluster;
}
