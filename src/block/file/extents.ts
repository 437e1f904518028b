// Where a file has data and where it has holes, asked with lseek; the last piece of data is remembered, since who walks over a
// file asks in smaller steps than its extents are long.
import { Failure } from '../../base/failure.ts';
import type { HostFile } from '../../ports/host-file.ts';
import { STATUS, type BlockStatus } from '../status.ts';

const HOLE = STATUS.ZERO | STATUS.OFFSET_VALID | STATUS.ALLOCATED;
const DATA = STATUS.DATA | STATUS.OFFSET_VALID | STATUS.ALLOCATED;

export class FileExtents {
  readonly #file: HostFile;
  #canSeek = true;
  #dataStart = 0;
  #dataEnd = 0;

  constructor(file: HostFile) {
    this.#file = file;
  }

  /** Something that was data may be a hole now. */
  forget(): void {
    this.#dataStart = this.#dataEnd = 0;
  }

  /** `size`: the end of the node, where the file may have ended within the last sector. */
  status(offset: number, count: number, size: number): BlockStatus {
    const { bytes, flags } = this.#extent(offset, count);
    const isEnd = offset + bytes >= size;
    return { count: bytes, flags: isEnd ? flags | STATUS.EOF : flags, hostOffset: offset };
  }

  #extent(offset: number, count: number): { readonly bytes: number; readonly flags: number } {
    if (offset >= this.#dataStart && offset < this.#dataEnd) return { bytes: Math.min(count, this.#dataEnd - offset), flags: DATA };
    const dataStart = this.#nextData(offset);
    if (dataStart === undefined) return { bytes: count, flags: HOLE };
    if (dataStart > offset) return this.#aligned(Math.min(count, dataStart - offset), count, HOLE);
    const dataEnd = this.#nextHole(offset);
    if (dataEnd === undefined || dataEnd <= offset) return { bytes: count, flags: DATA }; // somebody else changes the file
    this.#dataStart = offset;
    this.#dataEnd = dataEnd;
    return this.#aligned(Math.min(count, dataEnd - offset), count, DATA);
  }

  /** In whole blocks of O_DIRECT: a block that is partly data is data. */
  #aligned(bytes: number, count: number, flags: number): { readonly bytes: number; readonly flags: number } {
    const { alignment } = this.#file;
    const rest = bytes % alignment;
    if (rest === 0) return { bytes, flags };
    if (flags === HOLE && bytes > rest) return { bytes: bytes - rest, flags };
    return { bytes: Math.min(count, bytes - rest + alignment), flags: DATA };
  }

  /** `offset` itself where the host cannot tell. */
  #nextData(offset: number): number | undefined {
    const { sparse } = this.#file;
    if (sparse === undefined || !this.#canSeek) return offset;
    try {
      return sparse.seekData(offset);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#canSeek = false;
      return offset;
    }
  }

  #nextHole(offset: number): number | undefined {
    const { sparse } = this.#file;
    if (sparse === undefined || !this.#canSeek) return undefined;
    try {
      return sparse.seekHole(offset);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#canSeek = false;
      return undefined;
    }
  }
}
