// How far a Zstandard frame reaches (RFC 8878, section 3.1), without decoding it: an image stores a frame in whole sectors, and
// what follows it there is not part of it.
import { Failure } from '../../base/failure.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const MAX_BLOCK_BYTES = 128 * 1024;

const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

export interface ZstdFrame {
  readonly end: number;
  /** Undefined when the frame does not say; what it says is not to be trusted. */
  readonly contentBytes: number | undefined;
  readonly isSkippable: boolean;
}

const damaged = (): Failure => new Failure('corrupt', 'Compressed data is damaged');

/** The frame at `start`; Failure when it is none or is not complete. */
export function zstdFrame(source: Uint8Array, start: number): ZstdFrame {
  const view = new DataView(source.buffer, source.byteOffset, source.length);
  try {
    return parse(view, start);
  } catch (error) {
    if (error instanceof RangeError) throw damaged(); // past the end
    throw error;
  }
}

function parse(view: DataView, start: number): ZstdFrame {
  const magic = view.getUint32(start, true);
  if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
    return within(view, { end: start + 8 + view.getUint32(start + 4, true), contentBytes: 0, isSkippable: true });
  }
  if (magic !== MAGIC) throw damaged();
  const descriptor = view.getUint8(start + 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  if (descriptor & 0x08) throw damaged(); // reserved
  const sizeAt = start + 5 + (singleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
  const sizeCode = descriptor >> 6;
  const sizeBytes = sizeCode === 0 ? (singleSegment ? 1 : 0) : 1 << sizeCode;
  const blocksEnd = endOfBlocks(view, sizeAt + sizeBytes);
  const end = blocksEnd + (descriptor & 0x04 ? CHECKSUM_BYTES : 0);
  return within(view, { end, contentBytes: contentSize(view, sizeAt, sizeBytes), isSkippable: false });
}

function within(view: DataView, frame: ZstdFrame): ZstdFrame {
  if (frame.end > view.byteLength) throw damaged();
  return frame;
}

function contentSize(view: DataView, at: number, bytes: number): number | undefined {
  switch (bytes) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

function endOfBlocks(view: DataView, start: number): number {
  for (let at = start; ; ) {
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    if (type === BLOCK_RESERVED || size > MAX_BLOCK_BYTES) throw damaged();
    at += BLOCK_HEADER_BYTES + (type === BLOCK_RLE ? 1 : size);
    if (header & 1) return at;
  }
}
