// Writes what an overlay (or several, one on the other) changed into the image at its base.
import type { Eventual } from '../../base/eventual.ts';
import type { BlockBackend } from '../backend.ts';
import { statusAbove } from '../chain-status.ts';
import { WRITE } from '../driver.ts';
import type { BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';
import { Pace, type Operation } from './pace.ts';
import { tracedJob } from './trace.ts';

const BUFFER_BYTES = 2 << 20;

export interface CommitRequest extends Operation {
  readonly top: BlockNode;
  /** The image that is written to. It is no longer below `top`. */
  readonly base: BlockBackend;
}

export const commit = (request: CommitRequest): Promise<void> => tracedJob('commit', () => commitNow(request));

async function commitNow(request: CommitRequest): Promise<void> {
  const { top, base } = request;
  if (top.size > base.size) await base.resize(top.size);
  const pace = new Pace(base.graph.host, request);
  const pipeline = new Pipeline(top, base);
  const { size } = top;
  for (let offset = 0; offset < size;) {
    const { flags, count: known } = await statusAbove(top, offset, size - offset);
    let count = known;
    if (flags & STATUS.ALLOCATED) {
      if (flags & STATUS.ZERO) await base.writeZeroes(offset, count, WRITE.MAY_UNMAP);
      else await pipeline.copy(offset, (count = Math.min(count, BUFFER_BYTES)));
    }
    offset += count;
    request.progress?.(offset, size);
    const pause = pace.step(flags & STATUS.ALLOCATED ? count : 0);
    if (pause !== undefined) await pause;
  }
  await pipeline.end();
  await base.flush();
}

/** Reads a piece, which may take place on another thread, while the one before is written. */
class Pipeline {
  readonly #top: BlockNode;
  readonly #base: BlockBackend;
  readonly #buffers = [new Uint8Array(BUFFER_BYTES), new Uint8Array(BUFFER_BYTES)] as const;
  #count = 0;
  #read: { readonly offset: number; readonly bytes: Uint8Array } | undefined;

  constructor(top: BlockNode, base: BlockBackend) {
    this.#top = top;
    this.#base = base;
  }

  async copy(offset: number, count: number): Promise<void> {
    const bytes = this.#buffers[this.#count++ % 2]!.subarray(0, count);
    const reading = started(() => this.#top.read(offset, bytes));
    // Both end before anything is thrown: nobody uses the buffers later.
    const results = await Promise.allSettled([this.end(), reading]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    this.#read = { offset, bytes };
  }

  /** Writes what was read last. */
  async end(): Promise<void> {
    const read = this.#read;
    this.#read = undefined;
    if (read !== undefined) await this.#base.write(read.offset, read.bytes);
  }
}

async function started(action: () => Eventual<void>): Promise<void> {
  await action();
}
