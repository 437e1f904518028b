// Writes what an overlay (or several, one on the other) changed into the image at its base.
import { isPromise } from '../../base/eventual.ts';
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
  const buffer = new Uint8Array(BUFFER_BYTES);
  const { size } = top;
  for (let offset = 0; offset < size;) {
    const { flags, count: known } = await statusAbove(top, offset, size - offset);
    let count = known;
    if (flags & STATUS.ALLOCATED) {
      if (flags & STATUS.ZERO) await base.writeZeroes(offset, count, WRITE.MAY_UNMAP);
      else count = await copy(top, base, offset, buffer.subarray(0, Math.min(count, BUFFER_BYTES)));
    }
    offset += count;
    request.progress?.(offset, size);
    const pause = pace.step(flags & STATUS.ALLOCATED ? count : 0);
    if (pause !== undefined) await pause;
  }
  await base.flush();
}

async function copy(top: BlockNode, base: BlockBackend, offset: number, buffer: Uint8Array): Promise<number> {
  const reading = top.read(offset, buffer);
  if (isPromise(reading)) await reading;
  const writing = base.write(offset, buffer);
  if (isPromise(writing)) await writing;
  return buffer.length;
}
