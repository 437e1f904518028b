// The log of a VHDX file ([MS-VHDX] 2.3): changes of metadata are written here first. Finding the entries that were written
// last and were perhaps not carried out, carrying them out, and writing an entry. Each entry written here is carried out at
// once, so that the log never holds more than one.
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import type { Cryptography } from '../../ports/codec.ts';
import type { Edge } from '../node.ts';
import { hasValidChecksum, sealChecksum } from './crc32c.ts';
import type { Headers } from './headers.ts';
import { guidText, isNullGuid, LOG_SECTOR_BYTES, logDescriptorLayout, logEntryLayout, MIB, roundUp } from './layout.ts';
import type { Region } from './regions.ts';

const HEADER_BYTES = logEntryLayout.sizeBytes;
const DESCRIPTOR_BYTES = logDescriptorLayout.sizeBytes;
/** Of a data sector: what the descriptor holds of it. */
const LEADING_BYTES = 8;
const TRAILING_BYTES = 4;
/** No file is as big as this. */
const MAX_FILE_BYTES = 2 ** 47;

interface LogEntry {
  /** In the log. */
  readonly offset: number;
  readonly length: number;
  readonly tail: number;
  readonly sequence: bigint;
  readonly flushedFileOffset: bigint;
  readonly lastFileOffset: bigint;
  readonly bytes: () => Promise<Uint8Array>;
}

const nullGuid = (): Uint8Array => new Uint8Array(16);

export function newGuid(cryptography: Cryptography): Uint8Array {
  const guid = cryptography.randomBytes(16);
  guid[6] = (guid[6]! & 0x0f) | 0x40;
  guid[8] = (guid[8]! & 0x3f) | 0x80;
  return guid;
}

/** Where the log is; undefined when the file has none. Failure for one that cannot be. */
export function logRegion(headers: Headers): Region | undefined {
  const { current } = headers;
  const isAligned = current.logOffset >= BigInt(MIB) && current.logOffset % BigInt(MIB) === 0n;
  if (!isAligned || current.logVersion !== 0) throw new ErrnoFailure('EINVAL');
  if (isNullGuid(current.logGuid) || current.logLength === 0) return undefined;
  if (current.logLength % MIB !== 0) throw new ErrnoFailure('EINVAL');
  return { offset: headers.logOffset, length: current.logLength };
}

/** The entries that must be carried out, in order; none when the log holds no complete sequence. */
export async function activeSequence(file: Edge, region: Region, logGuid: Uint8Array): Promise<readonly LogEntry[]> {
  const entries = await validEntries(file, region, guidText(logGuid));
  const previous = new Map<number, LogEntry>();
  for (const entry of entries.values()) {
    const next = entries.get((entry.offset + entry.length) % region.length);
    if (next !== undefined && next !== entry && next.sequence === entry.sequence + 1n) previous.set(next.offset, entry);
  }
  const heads = [...entries.values()].sort((a, b) => (a.sequence > b.sequence ? -1 : 1));
  for (const head of heads) {
    const sequence = [head];
    // Sequence numbers fall with each step, so this ends.
    for (let at = head; at.offset !== head.tail; ) {
      const before = previous.get(at.offset);
      if (before === undefined) break;
      sequence.unshift(before);
      at = before;
    }
    if (sequence[0]!.offset === head.tail) return sequence;
  }
  return [];
}

const SCAN_BYTES = MIB;

async function validEntries(file: Edge, region: Region, logGuid: string): Promise<Map<number, LogEntry>> {
  const found = new Map<number, LogEntry>();
  const inFile = Math.max(0, Math.min(region.length, file.size - region.offset));
  let budget = 4 * region.length; // entries may claim to overlap
  for (let start = 0; start < inFile; start += SCAN_BYTES) {
    const part = await file.readBytes(region.offset + start, Math.min(SCAN_BYTES, inFile - start));
    for (let at = 0; at + HEADER_BYTES <= part.length; at += LOG_SECTOR_BYTES) {
      const header = logEntryLayout.decode(part, at);
      if (header.signature !== 'loge' || guidText(header.logGuid) !== logGuid) continue;
      budget -= Math.min(header.entryLength, region.length);
      if (budget < 0) throw new Failure('corrupt', 'The entries of the VHDX log overlap');
      const entry = await validEntry(file, region, start + at, header);
      if (entry !== undefined) found.set(entry.offset, entry);
    }
  }
  return found;
}

type EntryHeader = ReturnType<typeof logEntryLayout.decode>;

async function validEntry(file: Edge, region: Region, offset: number, header: EntryHeader): Promise<LogEntry | undefined> {
  const { entryLength: length, tail, sequenceNumber, descriptorCount } = header;
  if (length < LOG_SECTOR_BYTES || length > region.length || length % LOG_SECTOR_BYTES !== 0) return undefined;
  if (sequenceNumber === 0n || tail % LOG_SECTOR_BYTES !== 0 || tail >= region.length) return undefined;
  if (HEADER_BYTES + descriptorCount * DESCRIPTOR_BYTES > length) return undefined;
  const bytes = (): Promise<Uint8Array> => readCircular(file, region, offset, length);
  const source = await bytes();
  if (!hasValidChecksum(source) || !descriptorsAreValid(source, header)) return undefined;
  const { flushedFileOffset, lastFileOffset } = header;
  return { offset, length, tail, sequence: sequenceNumber, flushedFileOffset, lastFileOffset, bytes };
}

async function readCircular(file: Edge, region: Region, offset: number, length: number): Promise<Uint8Array> {
  const source = new Uint8Array(length);
  const first = Math.min(length, region.length - offset);
  await file.read(region.offset + offset, source.subarray(0, first));
  if (first < length) await file.read(region.offset, source.subarray(first));
  return source;
}

const descriptorSectors = (count: number): number => Math.ceil((HEADER_BYTES + count * DESCRIPTOR_BYTES) / LOG_SECTOR_BYTES);

interface Change {
  readonly fileOffset: bigint;
  /** Absent: zeroes. */
  readonly sector: Uint8Array | undefined;
  readonly zeroBytes: bigint;
}

/** The changes that an entry describes; undefined when it contradicts itself. */
function changesOf(source: Uint8Array): Change[] | undefined {
  const { descriptorCount, sequenceNumber } = logEntryLayout.decode(source);
  const changes: Change[] = [];
  let dataAt = descriptorSectors(descriptorCount) * LOG_SECTOR_BYTES;
  for (let n = 0; n < descriptorCount; n++) {
    const descriptor = logDescriptorLayout.decode(source, HEADER_BYTES + n * DESCRIPTOR_BYTES);
    const { fileOffset, leadingBytes, trailingBytes } = descriptor;
    if (descriptor.sequenceNumber !== sequenceNumber || fileOffset % BigInt(LOG_SECTOR_BYTES) !== 0n) return undefined;
    if (descriptor.signature === 'zero') {
      const zeroBytes = new DataView(leadingBytes.buffer).getBigUint64(0, true);
      if (zeroBytes % BigInt(LOG_SECTOR_BYTES) !== 0n) return undefined;
      changes.push({ fileOffset, sector: undefined, zeroBytes });
    } else if (descriptor.signature === 'desc') {
      const sector = source.slice(dataAt, dataAt + LOG_SECTOR_BYTES);
      if (sector.length < LOG_SECTOR_BYTES || !dataSectorIsValid(sector, sequenceNumber)) return undefined;
      sector.set(leadingBytes, 0);
      sector.set(trailingBytes, LOG_SECTOR_BYTES - TRAILING_BYTES);
      changes.push({ fileOffset, sector, zeroBytes: 0n });
      dataAt += LOG_SECTOR_BYTES;
    } else return undefined;
  }
  return changes;
}

function dataSectorIsValid(sector: Uint8Array, sequence: bigint): boolean {
  const view = new DataView(sector.buffer, sector.byteOffset, LOG_SECTOR_BYTES);
  const isData = String.fromCharCode(...sector.subarray(0, 4)) === 'data';
  const found = (BigInt(view.getUint32(4, true)) << 32n) | BigInt(view.getUint32(LOG_SECTOR_BYTES - TRAILING_BYTES, true));
  return isData && found === sequence;
}

const descriptorsAreValid = (source: Uint8Array, { entryLength }: EntryHeader): boolean =>
  source.length === entryLength && changesOf(source) !== undefined;

/** Carries the entries out and empties the log. */
export async function replayLog(file: Edge, headers: Headers, sequence: readonly LogEntry[], fileWriteGuid: Uint8Array): Promise<void> {
  const sizeBefore = BigInt(roundUp(file.size, 512));
  // A file that is smaller than it once was, flushed, lost more than the log can bring back.
  if (sequence.some(({ flushedFileOffset }) => sizeBefore < flushedFileOffset)) throw new ErrnoFailure('EINVAL');
  await headers.update({ fileWriteGuid });
  for (const entry of sequence) {
    await growTo(file, entry.lastFileOffset);
    for (const change of changesOf(await entry.bytes()) ?? []) await carryOut(file, change);
    await file.flush();
  }
  await headers.update({ logGuid: nullGuid() });
}

async function growTo(file: Edge, lastFileOffset: bigint): Promise<void> {
  if (lastFileOffset > MAX_FILE_BYTES) throw new ErrnoFailure('EINVAL');
  if (file.size < Number(lastFileOffset)) await file.resize(roundUp(Number(lastFileOffset), MIB));
}

async function carryOut(file: Edge, { fileOffset, sector, zeroBytes }: Change): Promise<void> {
  const count = sector === undefined ? zeroBytes : BigInt(LOG_SECTOR_BYTES);
  if (fileOffset + count > BigInt(roundUp(file.size, LOG_SECTOR_BYTES))) throw new ErrnoFailure('EINVAL');
  if (sector === undefined) await file.writeZeroes(Number(fileOffset), Number(zeroBytes));
  else await file.write(Number(fileOffset), sector);
}

/** Writes sectors of metadata through the log. */
export class Journal {
  readonly #file: Edge;
  readonly #headers: Headers;
  readonly #cryptography: Cryptography;
  #sequence = 0n;

  constructor(file: Edge, headers: Headers, cryptography: Cryptography) {
    this.#file = file;
    this.#headers = headers;
    this.#cryptography = cryptography;
  }

  /** Changes `bytes` within one sector of the log's size. Not to be called again before it has ended. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const inSector = offset % LOG_SECTOR_BYTES;
    const sectorOffset = offset - inSector;
    // Only where the table begins at an odd place, against the specification.
    if (inSector + bytes.length > LOG_SECTOR_BYTES) throw new ErrnoFailure('EIO');
    const sector = await this.#file.readBytes(sectorOffset, LOG_SECTOR_BYTES);
    sector.set(bytes, inSector);
    const logGuid = newGuid(this.#cryptography);
    this.#sequence += 1n;
    await this.#headers.update({ logGuid });
    await this.#file.write(this.#headers.logOffset, this.#entry(logGuid, sectorOffset, sector));
    await this.#file.flush();
    await this.#file.write(sectorOffset, sector);
    await this.#file.flush();
    await this.#headers.update({ logGuid: nullGuid() });
  }

  #entry(logGuid: Uint8Array, fileOffset: number, sector: Uint8Array): Uint8Array {
    const sequenceNumber = this.#sequence;
    const entry = new Uint8Array(2 * LOG_SECTOR_BYTES);
    const fileBytes = BigInt(this.#file.size);
    logEntryLayout.write(entry, {
      signature: 'loge',
      entryLength: entry.length,
      tail: 0,
      sequenceNumber,
      descriptorCount: 1,
      logGuid,
      flushedFileOffset: fileBytes,
      lastFileOffset: fileBytes,
    });
    const leadingBytes = sector.slice(0, LEADING_BYTES);
    const trailingBytes = sector.slice(LOG_SECTOR_BYTES - TRAILING_BYTES);
    const descriptor = { signature: 'desc', trailingBytes, leadingBytes, fileOffset: BigInt(fileOffset), sequenceNumber };
    logDescriptorLayout.write(entry, descriptor, HEADER_BYTES);
    entry.set(sector, LOG_SECTOR_BYTES);
    const view = new DataView(entry.buffer, LOG_SECTOR_BYTES);
    entry.set([0x64, 0x61, 0x74, 0x61], LOG_SECTOR_BYTES); // "data"
    view.setUint32(4, Number(sequenceNumber >> 32n), true);
    view.setUint32(LOG_SECTOR_BYTES - TRAILING_BYTES, Number(sequenceNumber & 0xffffffffn), true);
    sealChecksum(entry);
    return entry;
  }
}
