// Where the parts of an image lie: runs of the same state, with the layer of the backing chain that they come from.
import { nodeStatus } from '../chain-status.ts';
import { displayFilename } from '../filename.ts';
import type { BlockNode } from '../node.ts';
import { STATUS } from '../status.ts';

export interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  /** Where in `file`. */
  readonly offset: number | undefined;
  readonly file: string | undefined;
}

/** At most this much is asked at once. */
const STEP_BYTES = 1 << 30;

/** Runs from `start` on for `length` bytes. */
export async function* mapImage(node: BlockNode, start: number, length: number): AsyncGenerator<MapEntry> {
  const end = Math.min(node.size, start + length);
  let current: MapEntry | undefined;
  const names = new Map<BlockNode, string>();
  for (let at = start; at < end;) {
    const entry = await entryAt(node, at, Math.min(STEP_BYTES, end - at), names);
    at += entry.length;
    if (current !== undefined && continues(current, entry)) current = { ...current, length: current.length + entry.length };
    else {
      if (current !== undefined) yield current;
      current = entry;
    }
  }
  if (current !== undefined) yield current;
}

async function entryAt(top: BlockNode, start: number, count: number, names: Map<BlockNode, string>): Promise<MapEntry> {
  let node = withoutFilters(top);
  let bytes = count;
  for (let depth = 0; ; depth++) {
    const { flags, count: known, hostOffset, file } = await nodeStatus(node, true, start, bytes);
    bytes = known > 0 ? known : bytes;
    const decided = (flags & (STATUS.DATA | STATUS.ZERO)) !== 0;
    const below = decided ? undefined : node.backing?.node;
    if (!decided && below !== undefined) {
      node = withoutFilters(below);
      continue;
    }
    const offset = flags & STATUS.OFFSET_VALID ? hostOffset : undefined;
    return {
      start,
      length: bytes,
      depth,
      present: (flags & STATUS.ALLOCATED) !== 0,
      zero: (flags & STATUS.ZERO) !== 0,
      data: (flags & STATUS.DATA) !== 0,
      offset,
      file: offset === undefined || file === undefined ? undefined : nameOf(file, names),
    };
  }
}

function nameOf(node: BlockNode, names: Map<BlockNode, string>): string {
  const known = names.get(node);
  if (known !== undefined) return known;
  const name = displayFilename(node);
  names.set(node, name);
  return name;
}

export function withoutFilters(node: BlockNode): BlockNode {
  let at = node;
  while (at.driver.kind === 'filter' && at.filtered !== undefined) at = at.filtered.node;
  return at;
}

const continues = (a: MapEntry, b: MapEntry): boolean =>
  a.depth === b.depth &&
  a.present === b.present &&
  a.zero === b.zero &&
  a.data === b.data &&
  a.file === b.file &&
  (a.offset === undefined) === (b.offset === undefined) &&
  (a.offset === undefined || a.offset + a.length === b.offset);
