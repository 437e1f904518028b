// The two headers of a VHDX file ([MS-VHDX] 2.2.2): the one with the higher sequence number counts, and a change is written
// to the other one first, so that there is a valid one at any time.
import { ErrnoFailure } from '../../base/errno.ts';
import { safeNumber } from '../../struct/layout.ts';
import type { Edge } from '../node.ts';
import { hasValidChecksum, sealChecksum } from './crc32c.ts';
import { AT, HEADER_BYTES, headerLayout, type Header } from './layout.ts';

const MAX_SEQUENCE = 2n ** 64n - 3n;

export class Headers {
  readonly #file: Edge;
  #currentIndex: 0 | 1;
  #current: Header;

  private constructor(file: Edge, index: 0 | 1, current: Header) {
    this.#file = file;
    this.#currentIndex = index;
    this.#current = current;
  }

  static async read(file: Edge): Promise<Headers> {
    const sources = [await file.readBytes(AT.HEADERS[0], HEADER_BYTES), await file.readBytes(AT.HEADERS[1], HEADER_BYTES)] as const;
    const [first, second] = [validHeader(sources[0]), validHeader(sources[1])];
    const index = chooseHeader(first, second, sources);
    if (index === undefined) throw new ErrnoFailure('EINVAL', 'No valid VHDX header found');
    return new Headers(file, index, (index === 0 ? first : second)!);
  }

  get current(): Header {
    return this.#current;
  }

  get logOffset(): number {
    return safeNumber(this.#current.logOffset, 'The offset of the log');
  }

  /** Changes both headers, one after the other. */
  async update(changes: Partial<Pick<Header, 'fileWriteGuid' | 'dataWriteGuid' | 'logGuid'>>): Promise<void> {
    for (let round = 0; round < 2; round++) await this.#writeOther({ ...this.#current, ...changes });
  }

  async #writeOther(header: Header): Promise<void> {
    if (header.sequenceNumber >= MAX_SEQUENCE) throw new ErrnoFailure('EIO');
    const next = { ...header, sequenceNumber: header.sequenceNumber + 1n };
    const index = this.#currentIndex === 0 ? 1 : 0;
    await this.#file.write(AT.HEADERS[index], encodeHeader(next));
    await this.#file.flush();
    this.#currentIndex = index;
    this.#current = next;
  }
}

export function encodeHeader(values: Partial<Header>): Uint8Array {
  const source = headerLayout.encode({ ...values, signature: 'head', version: 1, checksum: 0 });
  sealChecksum(source);
  return source;
}

function validHeader(source: Uint8Array): Header | undefined {
  const header = headerLayout.decode(source);
  return header.signature === 'head' && header.version === 1 && hasValidChecksum(source) ? header : undefined;
}

function chooseHeader(
  first: Header | undefined,
  second: Header | undefined,
  sources: readonly [Uint8Array, Uint8Array],
): 0 | 1 | undefined {
  if (first === undefined) return second === undefined ? undefined : 1;
  if (second === undefined || first.sequenceNumber > second.sequenceNumber) return 0;
  if (second.sequenceNumber > first.sequenceNumber) return 1;
  // Disk2vhd makes both the same.
  return sources[0].every((byte, at) => byte === sources[1][at]) ? 0 : undefined;
}
