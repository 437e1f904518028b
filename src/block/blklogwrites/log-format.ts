// The log of dm-log-writes: a superblock, then entries of one sector, each followed by the data that was written. Specification:
// the Linux kernel's Documentation/admin-guide/device-mapper/log-writes.rst.
import { Failure } from '../../base/failure.ts';
import { layout, le32, le64, safeNumber } from '../../struct/layout.ts';

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;

export const LOG = { FLUSH: 1, FUA: 2, DISCARD: 4, MARK: 8 } as const;

const SUPERBLOCK = layout('log superblock', { magic: le64(0), version: le64(8), entryCount: le64(16), sectorSize: le32(24) });
const ENTRY = layout('log entry', { sector: le64(0), sectorCount: le64(8), flags: le64(16), dataLength: le64(24) });

export const SUPERBLOCK_BYTES = SUPERBLOCK.sizeBytes;
export const ENTRY_BYTES = ENTRY.sizeBytes;

export interface LogEntry {
  /** In sectors of the log. */
  readonly sector: number;
  readonly sectorCount: number;
  readonly flags: number;
}

export function encodeSuperblock(entryCount: number, sectorSize: number): Uint8Array {
  const bytes = new Uint8Array(sectorSize);
  SUPERBLOCK.write(bytes, { magic: MAGIC, version: VERSION, entryCount: BigInt(entryCount), sectorSize });
  return bytes;
}

export function encodeEntry({ sector, sectorCount, flags }: LogEntry, sectorSize: number): Uint8Array {
  const bytes = new Uint8Array(sectorSize);
  ENTRY.write(bytes, { sector: BigInt(sector), sectorCount: BigInt(sectorCount), flags: BigInt(flags) });
  return bytes;
}

export const isSectorSize = (bytes: number): boolean => Number.isInteger(Math.log2(bytes)) && bytes >= ENTRY_BYTES && bytes < 1 << 24;

export function decodeSuperblock(bytes: Uint8Array): { readonly entryCount: number; readonly sectorSize: number } {
  const { magic, version, entryCount, sectorSize } = SUPERBLOCK.decode(bytes);
  if (magic !== MAGIC) throw new Failure('invalid-format', 'Invalid log superblock magic');
  if (version !== VERSION) throw new Failure('unsupported', `Unsupported log version ${version}`);
  if (!isSectorSize(sectorSize)) throw new Failure('invalid-format', `Invalid log sector size ${sectorSize}`);
  return { entryCount: safeNumber(entryCount, 'number of log entries'), sectorSize };
}

export function decodeEntry(bytes: Uint8Array): LogEntry {
  const { sector, sectorCount, flags } = ENTRY.decode(bytes);
  return { sector: safeNumber(sector, 'sector'), sectorCount: safeNumber(sectorCount, 'number of sectors'), flags: Number(flags & 0xffn) };
}

/** Bytes that an entry's data takes. */
export const entryDataBytes = ({ flags, sectorCount }: LogEntry, sectorSize: number): number =>
  flags & LOG.DISCARD ? 0 : sectorCount * sectorSize;
