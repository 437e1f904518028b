// Copies a part of one image to the beginning of another, without looking for zeroes.
import { errnoOf, errnoText } from '../../base/errno.ts';
import type { Eventual } from '../../base/eventual.ts';
import { Failure } from '../../base/failure.ts';
import type { BlockBackend } from '../backend.ts';
import { Pace, type Operation } from './pace.ts';
import { tracedJob } from './trace.ts';

/** Small blocks are copied many at a time. */
const BUFFER_BYTES = 2 << 20;

export interface CopyBlocksRequest extends Operation {
  readonly source: BlockBackend;
  readonly target: BlockBackend;
  /** The part of the source. */
  readonly start: number;
  readonly end: number;
  readonly blockBytes: number;
}

export const copyBlocks = (request: CopyBlocksRequest): Promise<void> => tracedJob('copy', () => copyNow(request));

async function copyNow(request: CopyBlocksRequest): Promise<void> {
  const { source, target, start, end, blockBytes } = request;
  const pace = new Pace(source.graph.host, request);
  const step = Math.max(1, Math.floor(BUFFER_BYTES / blockBytes)) * Math.min(blockBytes, BUFFER_BYTES);
  const buffer = new Uint8Array(Math.max(0, Math.min(step, end - start)));
  for (let at = start; at < end; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, end - at));
    await told('error while reading from input image file', () => source.read(at, part));
    await told('error while writing to output image file', () => target.write(at - start, part));
    const pause = pace.step(part.length);
    if (pause !== undefined) await pause;
  }
}

async function told(context: string, action: () => Eventual<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(error.kind, `${context}: ${errnoText(errnoOf(error))}`, { cause: error });
  }
}
