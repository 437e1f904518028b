// The header of qcow images, version 1 (described in Mark McLoughlin's "The QCOW Image Format"), and the form of L2 entries.
import { Failure } from '../../base/failure.ts';
import { be32, be64, layout, u8 } from '../../struct/layout.ts';
import { MAX_SIZE } from '../node.ts';

export const QCOW_MAGIC = 0x514649fb;
const VERSION = 1;
export const CRYPT = { NONE: 0, AES: 1 } as const;
const BACKING_NAME_MAX = 1023;
const TABLE_BITS = { MIN: 9, MAX: 16 } as const;
const ENTRY_BITS = 3;
/** The table of all tables: what the reference can hold. */
const L1_ENTRIES_MAX = 2 ** 28 - 1;

export const HEADER = layout('qcow header', {
  magic: be32(0),
  version: be32(4),
  backingFileOffset: be64(8),
  backingFileSize: be32(16),
  mtime: be32(20),
  size: be64(24),
  clusterBits: u8(32),
  l2Bits: u8(33),
  cryptMethod: be32(36),
  l1TableOffset: be64(40),
});

export interface QcowHeader {
  readonly size: number;
  readonly clusterBits: number;
  readonly l2Bits: number;
  readonly encrypted: boolean;
  readonly l1TableOffset: number;
  readonly l1Entries: number;
  readonly backingFileOffset: number;
  readonly backingFileSize: number;
}

const invalid = (message: string): Failure => new Failure('invalid-format', message);

export const l1EntriesFor = (size: number, clusterBits: number, l2Bits: number): number => Math.ceil(size / 2 ** (clusterBits + l2Bits));

function inTableBits(bits: number): boolean {
  return bits >= TABLE_BITS.MIN && bits <= TABLE_BITS.MAX;
}

export function checkedHeader(source: Uint8Array): QcowHeader {
  const raw = HEADER.decode(source);
  const { clusterBits, l2Bits } = raw;
  if (raw.magic !== QCOW_MAGIC) throw invalid('Image not in qcow format');
  if (raw.version !== VERSION) {
    const hint = raw.version === 2 || raw.version === 3 ? "\nTry the 'qcow2' driver instead." : '';
    throw new Failure('unsupported', `qcow (v1) does not support qcow version ${raw.version}${hint}`);
  }
  if (raw.size <= 1n) throw invalid('Image size is too small (must be at least 2 bytes)');
  if (!inTableBits(clusterBits)) throw invalid('Cluster size must be between 512 and 64k');
  if (!inTableBits(l2Bits + ENTRY_BITS)) throw invalid('L2 table size must be between 512 and 64k');
  if (raw.cryptMethod > CRYPT.AES) throw invalid('invalid encryption method in qcow header');
  if (raw.size > BigInt(MAX_SIZE)) throw invalid('Image too large');
  const size = Number(raw.size);
  const l1Entries = l1EntriesFor(size, clusterBits, l2Bits);
  if (l1Entries > L1_ENTRIES_MAX) throw invalid('Image too large');
  if (raw.backingFileOffset !== 0n && raw.backingFileSize > BACKING_NAME_MAX) throw invalid('Backing file name too long');
  return {
    size,
    clusterBits,
    l2Bits,
    encrypted: raw.cryptMethod === CRYPT.AES,
    l1TableOffset: Number(raw.l1TableOffset),
    l1Entries,
    backingFileOffset: Number(raw.backingFileOffset),
    backingFileSize: raw.backingFileSize,
  };
}

/** Where a guest cluster is. */
export type ClusterPlace =
  | { readonly kind: 'none' }
  | { readonly kind: 'plain'; readonly offset: number }
  | { readonly kind: 'compressed'; readonly offset: number; readonly count: number };

const NONE: ClusterPlace = { kind: 'none' };
const COMPRESSED_BIT = 0x80000000;
const HALF = 0x1_0000_0000;

/** Compressed: bit 63, then cluster_bits of length, then the offset. */
export function decodeEntry(view: DataView, at: number, clusterBits: number): ClusterPlace {
  const high = view.getUint32(at);
  const low = view.getUint32(at + 4);
  if (high === 0 && low === 0) return NONE;
  if (high < COMPRESSED_BIT) return { kind: 'plain', offset: high * HALF + low };
  const offsetHighBits = 31 - clusterBits;
  const count = (high >>> offsetHighBits) & ((1 << clusterBits) - 1);
  return { kind: 'compressed', offset: (high % 2 ** offsetHighBits) * HALF + low, count };
}

export function encodeCompressed(view: DataView, at: number, clusterBits: number, offset: number, count: number): void {
  view.setUint32(at, (COMPRESSED_BIT | (count << (31 - clusterBits)) | Math.floor(offset / HALF)) >>> 0);
  view.setUint32(at + 4, offset % HALF);
}
