// Copies between images without the bytes passing through this process: where both sides end in files of the host, the kernel
// copies (copy_file_range), and shares the blocks where its file system can. `convert -C`.
import { ErrnoFailure } from '../../base/errno.ts';
import type { BlockBackend } from '../backend.ts';
import type { BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';

/** Done, or an ErrnoFailure ENOTSUP (or another) after which the caller copies by itself; a part may be done by then. */
export async function copyRange(target: BlockBackend, offset: number, source: BlockBackend, from: number, count: number): Promise<void> {
  for (let done = 0; done < count; ) {
    const place = await placeInFile(source.node, from + done, count - done);
    await target.node.copyFrom(offset + done, place.file, place.offset, place.count);
    done += place.count;
  }
}

interface Place {
  readonly file: BlockNode;
  readonly offset: number;
  readonly count: number;
}

/** Where the bytes of a node lie in the file below it, as far as they lie together. */
async function placeInFile(node: BlockNode, offset: number, count: number): Promise<Place> {
  if (node.driver.kind === 'protocol') return { file: node, offset, count };
  if (node.filtered !== undefined && node.driver.name !== 'raw') throw new ErrnoFailure('ENOTSUP'); // it would be passed by
  const { flags, hostOffset, file, count: alike } = await node.status(offset, count, false);
  const isPlain = (flags & STATUS.OFFSET_VALID) !== 0 && (flags & (STATUS.ZERO | STATUS.COMPRESSED)) === 0;
  if (!isPlain || hostOffset === undefined || file === undefined || alike === 0) throw new ErrnoFailure('ENOTSUP');
  return placeInFile(file, hostOffset, Math.min(count, alike));
}
