// Where the returns of a region lead: to the sites behind those of its calls from which the return is reached. Says what is likely, from
// the blocks alone; a return that leads elsewhere leaves the region.

/** A block as it matters here. */
export interface CallingBlock {
  /** Blocks that it leads to. */
  readonly targets: readonly number[];
  /** The block behind the call at its end; undefined where there is no call, or the site is outside. */
  readonly returnSite: number | undefined;
  /** It ends with a return. */
  readonly returns: boolean;
}

/** More sites than these are found by a search over all entries as fast; a block with so many may have more. */
export const SITES_MAX = 3;

/** For each block the blocks that its return leads to most likely, those of the region's first blocks first. */
export function returnsOf(blocks: readonly CallingBlock[]): readonly (readonly number[])[] {
  const sites = blocks.map((): number[] => []);
  for (const { targets, returnSite } of blocks) {
    if (returnSite === undefined) continue;
    for (const block of reachedReturns(blocks, targets)) {
      if (sites[block]!.length < SITES_MAX && !sites[block]!.includes(returnSite)) sites[block]!.push(returnSite);
    }
  }
  return sites;
}

/** Blocks that return from the function that begins at `starts`: what it calls is passed over. */
function reachedReturns(blocks: readonly CallingBlock[], starts: Iterable<number>): number[] {
  const reached = new Set(starts);
  for (const number of reached) {
    const { targets, returnSite } = blocks[number]!;
    for (const next of returnSite === undefined ? targets : [returnSite]) reached.add(next);
  }
  return [...reached].filter((number) => blocks[number]!.returns);
}
