// Finding an image in a backing chain by the name that a user gives it.
import type { HostFiles } from '../../ports/host-file.ts';
import { Failure } from '../../base/failure.ts';
import { combinePath, displayFilename, hasProtocol } from '../filename.ts';
import type { BlockNode } from '../node.ts';
import { withoutFilters } from './map-image.ts';

/** The image below, filters left aside. */
export const backingOf = (node: BlockNode): BlockNode | undefined => withoutFilters(node).backing?.node;

/** How many layers below `top` the image of that name is (1 is its backing image); undefined when it is in no layer. */
export function depthOfBacking(files: HostFiles, top: BlockNode, name: string): number | undefined {
  let overlay = withoutFilters(top);
  for (let depth = 1; ; depth++) {
    const next = backingOf(overlay);
    if (next === undefined) return undefined;
    const node = withoutFilters(next);
    if (isNamed(files, overlay, node, name)) return depth;
    overlay = node;
  }
}

function isNamed(files: HostFiles, overlay: BlockNode, node: BlockNode, name: string): boolean {
  const shown = displayFilename(node);
  if (shown === name || overlay.instance.backingFile?.name === name) return true;
  if (hasProtocol(name) || hasProtocol(shown)) return false;
  const wanted = realPath(files, combinePath(displayFilename(overlay), name));
  return wanted !== undefined && wanted === realPath(files, shown);
}

function realPath(files: HostFiles, path: string): string | undefined {
  try {
    return files.realPath(path);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return undefined;
  }
}
