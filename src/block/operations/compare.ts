// Compares what two images show, and in strict mode also how their blocks are kept.
import { errnoOf, errnoText } from '../../base/errno.ts';
import { equalBytes } from '../../base/equal.ts';
import { isPromise } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import { isZero } from '../../base/zero.ts';
import type { BlockBackend } from '../backend.ts';
import { statusAbove } from '../chain-status.ts';
import { SECTOR } from '../node.ts';
import { STATUS } from '../status.ts';
import { Pace, type Operation } from './pace.ts';
import { tracedJob } from './trace.ts';

const BUFFER_BYTES = 2 << 20;

export interface CompareImage {
  readonly backend: BlockBackend;
  /** As messages name it. */
  readonly name: string;
}

export type Comparison =
  | { readonly kind: 'identical' }
  | { readonly kind: 'size-mismatch' }
  | { readonly kind: 'status-mismatch' | 'content-mismatch'; readonly offset: number };

/** An image that could not be read or asked for its blocks. */
export class CompareFailure extends Failure {
  readonly step: 'status' | 'read';

  constructor(step: 'status' | 'read', message: string, cause: Failure) {
    super(cause.kind, message, { cause });
    this.step = step;
  }
}

export interface CompareRequest extends Operation {
  readonly images: readonly [CompareImage, CompareImage];
  readonly strict?: boolean;
  /** The images have different sizes, but what both have is equal. */
  sizeWarning?(): void;
}

/** Answers with the first difference. */
export const compare = (request: CompareRequest): Promise<Comparison> => tracedJob('compare', () => compareNow(request));

async function compareNow(request: CompareRequest): Promise<Comparison> {
  const [a, b] = request.images;
  const common = Math.min(a.backend.size, b.backend.size);
  const total = Math.max(a.backend.size, b.backend.size);
  if (request.strict && a.backend.size !== b.backend.size) return { kind: 'size-mismatch' };
  const comparer = new Comparer(request, total);
  const difference = await comparer.compareTo(common);
  if (difference !== undefined) return difference;
  if (common !== total) {
    request.sizeWarning?.();
    const longer = a.backend.size > common ? a : b;
    const offset = await comparer.firstNonZero(longer, common, total - common);
    if (offset !== undefined) return { kind: 'content-mismatch', offset };
  }
  return { kind: 'identical' };
}

class Comparer {
  readonly #request: CompareRequest;
  readonly #total: number;
  readonly #buffers = [new Uint8Array(BUFFER_BYTES), new Uint8Array(BUFFER_BYTES)] as const;
  readonly #pace: Pace;

  constructor(request: CompareRequest, total: number) {
    this.#request = request;
    this.#total = total;
    this.#pace = new Pace(request.images[0].backend.graph.host, request);
  }

  async compareTo(end: number): Promise<Comparison | undefined> {
    const [a, b] = this.#request.images;
    for (let offset = 0; offset < end;) {
      const [statusA, statusB] = [await statusOf(a, offset, end - offset), await statusOf(b, offset, end - offset)];
      let count = Math.min(statusA.count, statusB.count);
      if (this.#request.strict && statusA.flags !== statusB.flags) return { kind: 'status-mismatch', offset };
      const allocatedA = (statusA.flags & STATUS.ALLOCATED) !== 0;
      const allocatedB = (statusB.flags & STATUS.ALLOCATED) !== 0;
      let mismatch: number | undefined;
      if ((statusA.flags & STATUS.ZERO && statusB.flags & STATUS.ZERO) || (!allocatedA && !allocatedB)) {
        // Both are zero.
      } else if (allocatedA && allocatedB) {
        count = Math.min(count, BUFFER_BYTES);
        mismatch = await this.#difference(offset, count);
      } else {
        count = Math.min(count, BUFFER_BYTES);
        mismatch = await this.#nonZero(allocatedA ? a : b, offset, count);
      }
      if (mismatch !== undefined) return { kind: 'content-mismatch', offset: mismatch };
      offset += count;
      await this.#advance(count);
    }
    return undefined;
  }

  async #advance(count: number): Promise<void> {
    this.#request.progress?.(count, this.#total);
    const pause = this.#pace.step(count);
    if (pause !== undefined) await pause;
  }

  async #read(image: CompareImage, offset: number, target: Uint8Array): Promise<void> {
    try {
      const result = image.backend.read(offset, target);
      if (isPromise(result)) await result;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new CompareFailure('read', `Error while reading offset ${offset} of ${image.name}: ${errnoText(errnoOf(error))}`, error);
    }
  }

  /** Where the first sector with a difference begins. */
  async #difference(offset: number, count: number): Promise<number | undefined> {
    const [bufferA, bufferB] = [this.#buffers[0].subarray(0, count), this.#buffers[1].subarray(0, count)];
    await this.#read(this.#request.images[0], offset, bufferA);
    await this.#read(this.#request.images[1], offset, bufferB);
    const index = firstDifference(bufferA, bufferB);
    return index === undefined ? undefined : offset + index - (index % SECTOR);
  }

  async #nonZero(image: CompareImage, offset: number, count: number): Promise<number | undefined> {
    const buffer = this.#buffers[0].subarray(0, count);
    await this.#read(image, offset, buffer);
    if (isZero(buffer)) return undefined;
    for (let at = 0; ; at += SECTOR) if (!isZero(buffer, at, Math.min(at + SECTOR, count))) return offset + at;
  }

  /** Where the first sector of a range that is not zero begins. */
  async firstNonZero(image: CompareImage, start: number, total: number): Promise<number | undefined> {
    const end = start + total;
    for (let offset = start; offset < end;) {
      const status = await statusOf(image, offset, end - offset);
      let { count } = status;
      if (status.flags & STATUS.ALLOCATED && !(status.flags & STATUS.ZERO)) {
        count = Math.min(count, BUFFER_BYTES);
        const found = await this.#nonZero(image, offset, count);
        if (found !== undefined) return found;
      }
      offset += count;
      await this.#advance(count);
    }
    return undefined;
  }
}

async function statusOf(
  { backend, name }: CompareImage,
  offset: number,
  count: number,
): Promise<{ readonly flags: number; readonly count: number }> {
  try {
    return await statusAbove(backend.node, offset, count);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new CompareFailure('status', `Sector allocation test failed for ${name}`, error);
  }
}

const COARSE_BYTES = 65536;

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  for (let start = 0; start < a.length; start += COARSE_BYTES) {
    const end = Math.min(a.length, start + COARSE_BYTES);
    if (equalBytes(a, b, start, end)) continue;
    for (let at = start; at < end; at++) if (a[at] !== b[at]) return at;
  }
  return undefined;
}
