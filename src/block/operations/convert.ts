// Copies the contents of images into one, one after the other: zeroes and what the target's backing image already shows are
// left out, data is read and written in large pieces by several workers. The target exists and is open; see
// convert-image.ts for making it.
import { ErrnoFailure, errnoOf, errnoText } from '../../base/errno.ts';
import { isPromise, type Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { isZero } from '../../base/zero.ts';
import type { BlockBackend } from '../backend.ts';
import { statusAbove } from '../chain-status.ts';
import { WRITE } from '../driver.ts';
import { SECTOR, type BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';
import { backingOf } from './backing-chain.ts';
import { copyRange } from './copy-range.ts';
import { Pace, type Operation } from './pace.ts';
import { forEachRun, type SparseRule } from './sparse-runs.ts';
import { tracedJob } from './trace.ts';

export const CONVERT_BUFFER_BYTES = 2 << 20;
const MAX_BUFFER_BYTES = 16 << 20;
/** So much is read for several compressed clusters at a time. */
const COMPRESSED_BATCH_BYTES = 1 << 20;

export interface ConvertRequest extends Operation {
  readonly sources: readonly BlockBackend[];
  readonly target: BlockBackend;
  /** Zero bytes in a row that are left out; 0 writes everything, zeroes too. */
  readonly sparseBytes: number;
  readonly compressed?: boolean;
  /** The target's clusters, for compressed writes. */
  readonly clusterBytes?: number;
  /** What is not written shows the target's backing image. */
  readonly targetHasBacking?: boolean;
  /** How much of the target its backing image covers. */
  readonly targetBackingBytes?: number | undefined;
  /** What is not written reads as zeroes. */
  readonly targetIsZero?: boolean;
  readonly workers?: number;
  /**
   * What the source has as data is copied as it is, without looking for zeroes in it, and by the host where it can
   * (copy-range.ts).
   */
  readonly copyOffload?: boolean;
  /** Writes may overtake each other. */
  readonly outOfOrder?: boolean;
  /** Unreadable sectors become zeroes, and this is told of them. */
  salvage?(message: string): void;
}

type Kind = 'data' | 'zero' | 'backing';

interface Piece {
  readonly kind: Kind;
  readonly offset: number;
  readonly count: number;
}

interface Source {
  readonly backend: BlockBackend;
  readonly start: number;
  readonly end: number;
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

export const sourceBytes = (sources: readonly BlockBackend[]): number => sources.reduce((sum, { size }) => sum + roundUp(size, SECTOR), 0);

export const convert = (request: ConvertRequest): Promise<void> => tracedJob('convert', () => new Conversion(request).run());

class Conversion {
  readonly #request: ConvertRequest;
  readonly #target: BlockBackend;
  readonly #sources: readonly Source[];
  readonly #totalBytes: number;
  readonly #bufferBytes: number;
  readonly #pace: Pace;
  readonly #rule: SparseRule;
  readonly #hasZeroInit: boolean;
  readonly #anyOrder: boolean;
  /** The host still copies by itself. */
  #offloads: boolean;
  #allocatedBytes = 0;
  #allocatedDone = 0;
  /** Where the next piece begins. */
  #offset = 0;
  /** What is known of the bytes before `#statusEnd`. */
  #statusEnd = 0;
  #status: Kind = 'data';
  /** The turn of whoever wants the next piece. */
  #taking: Promise<void> | undefined;
  #workers: Promise<void>[] = [];
  #failure: unknown;
  /** Ends when the pieces before are written. */
  #written: Promise<void> = Promise.resolve();

  constructor(request: ConvertRequest) {
    this.#request = request;
    this.#target = request.target;
    this.#hasZeroInit = request.targetIsZero ?? false;
    // QUIRK: `convert -c` to qcow2 places clusters in the order in which their compression ends, as the reference does with -W.
    // A compressed cluster has its place only after it was compressed; waiting in line would leave one processor at work.
    const isBatched = (request.compressed ?? false) && request.target.node.driver.name === 'qcow2';
    this.#anyOrder = (request.outOfOrder ?? false) || isBatched;
    this.#pace = new Pace(request.target.graph.host, request);
    this.#offloads = request.copyOffload ?? false;
    let start = 0;
    this.#sources = request.sources.map((backend) => {
      const end = start + roundUp(backend.size, SECTOR);
      const source = { backend, start, end };
      start = end;
      return source;
    });
    this.#totalBytes = start;
    const { limits } = this.#target.node;
    const wanted = Math.max(CONVERT_BUFFER_BYTES, limits.optTransfer, limits.pdiscardAlignment);
    const clusterBytes = request.clusterBytes ?? SECTOR;
    const clusters = isBatched ? Math.max(1, Math.floor(COMPRESSED_BATCH_BYTES / clusterBytes)) : 1;
    this.#bufferBytes = request.compressed ? clusters * clusterBytes : Math.min(MAX_BUFFER_BYTES, wanted);
    const sectors = Math.max(1, request.sparseBytes / SECTOR);
    const blockBytes = Math.max(2 ** Math.floor(Math.log2(sectors)) * SECTOR, limits.requestAlignment);
    this.#rule = { minBytes: Math.max(request.sparseBytes, SECTOR), blockBytes };
  }

  async run(): Promise<void> {
    await this.#countData();
    this.#workers.push(this.#work(new Uint8Array(this.#bufferBytes)));
    // Workers may start others meanwhile.
    for (let index = 0; index < this.#workers.length; index++) await this.#workers[index];
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** One walk over the status in advance, so that progress knows how much there is to do. */
  async #countData(): Promise<void> {
    for (let piece = await this.#nextPiece(Infinity); piece !== undefined; piece = await this.#nextPiece(Infinity)) {
      if (this.#isWork(piece)) this.#allocatedBytes += piece.count;
    }
    this.#offset = 0;
    this.#statusEnd = 0;
  }

  #isWork({ kind }: Piece): boolean {
    return kind === 'data' || (this.#request.sparseBytes === 0 && kind === 'zero');
  }

  async #work(buffer: Uint8Array): Promise<void> {
    try {
      while (this.#failure === undefined) {
        const piece = await this.#take();
        if (piece === undefined) return;
        let finish = (): void => undefined;
        const before = this.#written;
        this.#written = new Promise((resolve) => (finish = resolve));
        try {
          await this.#copy(piece, buffer, before);
        } finally {
          finish();
        }
      }
    } catch (error) {
      this.#failure ??= error;
    }
  }

  /** The next piece; one worker at a time looks for it. */
  async #take(): Promise<Piece | undefined> {
    while (this.#taking !== undefined) await this.#taking;
    let done = (): void => undefined;
    this.#taking = new Promise((resolve) => (done = resolve));
    try {
      return await this.#nextPiece(this.#bufferBytes);
    } finally {
      this.#taking = undefined;
      done();
    }
  }

  /** Another worker as soon as one has to wait for something that is no work of this thread. */
  #spread(): void {
    const wanted = this.#request.workers ?? 8;
    if (this.#workers.length < wanted && this.#offset < this.#totalBytes) this.#workers.push(this.#work(new Uint8Array(this.#bufferBytes)));
  }

  async #wait(result: Eventual<void>): Promise<void> {
    if (!isPromise(result)) return;
    this.#spread();
    await result;
  }

  async #copy(piece: Piece, buffer: Uint8Array, before: Promise<void>): Promise<void> {
    const { offset, count } = piece;
    const isWork = this.#isWork(piece);
    const target = buffer.subarray(0, isWork ? count : 0);
    if (piece.kind === 'data' && this.#offloads && (await this.#offload(offset, count))) return this.#finishPiece(count);
    if (piece.kind === 'data') await this.#read(offset, target);
    else if (isWork) target.fill(0);
    if (!this.#anyOrder) await before;
    if (this.#failure !== undefined) return;
    try {
      if (isWork) await this.#writeData(offset, target);
      else if (piece.kind === 'zero') await this.#writeZeroes(offset, count);
    } catch (error) {
      throw this.#failed(`error while writing at byte ${offset}`, error);
    }
    await this.#finishPiece(isWork ? count : 0);
  }

  async #finishPiece(workBytes: number): Promise<void> {
    if (workBytes > 0) {
      this.#allocatedDone += workBytes;
      this.#request.progress?.(this.#allocatedDone, this.#allocatedBytes);
    }
    const pause = this.#pace.step(workBytes);
    if (pause !== undefined) await pause;
  }

  /** False when it cannot be had; then it is not tried again. */
  async #offload(offset: number, count: number): Promise<boolean> {
    const { backend, start, end } = this.#sourceAt(offset);
    const isInside = offset + count <= Math.min(end, start + backend.size, this.#target.size);
    if (!isInside) return false;
    try {
      await copyRange(this.#target, offset, backend, offset - start, count);
      return true;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#offloads = false;
      return false;
    }
  }

  #failed(context: string, error: unknown): Failure {
    if (!(error instanceof Failure)) throw error;
    const errno = errnoOf(error);
    return new ErrnoFailure(errno, `${context}: ${errnoText(errno)}`, { cause: error });
  }

  // What is where -----------------------------------------------------------------------------------------------------

  /** The next piece, at most `most` bytes of data. */
  async #nextPiece(most: number): Promise<Piece | undefined> {
    const offset = this.#offset;
    if (offset >= this.#totalBytes) return undefined;
    if (this.#statusEnd <= offset) await this.#lookUp(offset);
    let kind = this.#status;
    let count = this.#statusEnd - offset;
    if (this.#request.compressed) {
      // A cluster of which only a part is data is written as a whole.
      const clusterBytes = this.#request.clusterBytes ?? SECTOR;
      if (count < clusterBytes) {
        count = Math.min(clusterBytes, this.#totalBytes - offset);
        kind = 'data';
        if (offset + count > this.#statusEnd) this.#statusEnd = offset + count;
      } else count -= count % clusterBytes;
    }
    if (kind === 'data' || this.#request.sparseBytes === 0) count = Math.min(count, most);
    this.#offset = offset + count;
    return { kind, offset, count };
  }

  async #lookUp(offset: number): Promise<void> {
    const { backend, start, end } = this.#sourceAt(offset);
    const coveredEnd = this.#request.targetBackingBytes;
    const beyondBacking = coveredEnd !== undefined && offset >= coveredEnd;
    const { targetHasBacking } = this.#request;
    const base = targetHasBacking && !beyondBacking ? backingOf(backend.node) : undefined;
    const { flags, count } = await this.#statusOf(backend, offset - start, end - offset, base);
    this.#statusEnd = Math.min(end, offset + roundUp(Math.max(1, count), SECTOR));
    if (coveredEnd !== undefined && offset < coveredEnd) this.#statusEnd = Math.min(this.#statusEnd, roundUp(coveredEnd, SECTOR));
    if (flags & STATUS.ZERO) this.#status = beyondBacking ? 'backing' : 'zero';
    else if (flags & STATUS.DATA) this.#status = 'data';
    else this.#status = targetHasBacking ? 'backing' : 'data';
  }

  async #statusOf(
    backend: BlockBackend,
    offset: number,
    count: number,
    base: BlockNode | undefined,
  ): Promise<{ flags: number; count: number }> {
    try {
      const asked = Math.min(count, Math.max(0, backend.size - offset));
      if (asked === 0) return { flags: STATUS.ZERO, count };
      return await statusAbove(backend.node, offset, asked, { base });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (this.#request.salvage === undefined) throw this.#failed(`error while reading block status at offset ${offset}`, error);
      this.#request.salvage(`error while reading block status at offset ${offset}: ${errnoText(errnoOf(error))}`);
      return { flags: STATUS.DATA, count: Math.min(count, SECTOR) };
    }
  }

  #sourceAt(offset: number): Source {
    return this.#sources.find(({ end }) => offset < end)!;
  }

  // Reading and writing -------------------------------------------------------------------------------------------------

  /** Fills `target` from the sources from `offset` on. */
  async #read(offset: number, target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length;) {
      const { backend, start, end } = this.#sourceAt(offset + at);
      const count = Math.min(target.length - at, end - offset - at);
      await this.#readFrom(backend, offset + at - start, target.subarray(at, at + count), offset + at);
      at += count;
    }
  }

  async #readFrom(backend: BlockBackend, offset: number, target: Uint8Array, shownOffset: number): Promise<void> {
    const inside = Math.min(target.length, backend.size - offset); // the last sector may be a part
    if (inside < target.length) target.fill(0, inside);
    try {
      await this.#wait(backend.read(offset, inside === target.length ? target : target.subarray(0, inside)));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (this.#request.salvage === undefined) throw this.#failed(`error while reading at byte ${shownOffset}`, error);
      await this.#salvage(backend, offset, target.subarray(0, inside), shownOffset);
    }
  }

  /** Sector by sector, with zeroes for those that cannot be read. */
  async #salvage(backend: BlockBackend, offset: number, target: Uint8Array, shownOffset: number): Promise<void> {
    for (let at = 0; at < target.length; at += SECTOR) {
      const part = target.subarray(at, Math.min(at + SECTOR, target.length));
      try {
        await backend.read(offset + at, part);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        this.#request.salvage!(`error while reading at byte ${shownOffset + at}: ${errnoText(errnoOf(error))}`);
        part.fill(0);
      }
    }
  }

  async #writeData(offset: number, source: Uint8Array): Promise<void> {
    if (this.#request.sparseBytes === 0 || this.#request.copyOffload) return this.#write(offset, source);
    if (this.#request.compressed) return this.#writeClusters(offset, source);
    let failure: Promise<void> | undefined;
    forEachRun(source, offset, this.#rule, (start, end, isData) => {
      const next = (): Eventual<void> =>
        isData ? this.#write(offset + start, source.subarray(start, end)) : this.#writeZeroes(offset + start, end - start);
      if (failure !== undefined) failure = failure.then(next);
      else {
        const result = next();
        if (isPromise(result)) failure = result;
      }
    });
    if (failure !== undefined) await failure;
  }

  /** Compressed, without the clusters that are zero. */
  async #writeClusters(offset: number, source: Uint8Array): Promise<void> {
    const clusterBytes = this.#request.clusterBytes ?? SECTOR;
    const isZeroCluster = (at: number): boolean => isZero(source, at, Math.min(at + clusterBytes, source.length));
    for (let start = 0; start < source.length; ) {
      const wantZero = isZeroCluster(start);
      let end = start + clusterBytes;
      while (end < source.length && isZeroCluster(end) === wantZero) end += clusterBytes;
      const part = source.subarray(start, end);
      await (wantZero ? this.#writeZeroes(offset + start, part.length) : this.#write(offset + start, part));
      start = end;
    }
  }

  #write(offset: number, source: Uint8Array): Eventual<void> {
    const inside = Math.min(source.length, this.#target.size - offset);
    if (inside <= 0) return;
    const flags = this.#request.compressed ? WRITE.COMPRESSED : 0;
    const result = this.#target.write(offset, inside === source.length ? source : source.subarray(0, inside), flags);
    return isPromise(result) ? this.#wait(result) : undefined;
  }

  #writeZeroes(offset: number, count: number): Eventual<void> {
    if (this.#hasZeroInit) return;
    const inside = Math.min(count, this.#target.size - offset);
    if (inside <= 0) return;
    return this.#target.writeZeroes(offset, inside, this.#target.node.flags.unmap ? WRITE.MAY_UNMAP : 0);
  }
}
