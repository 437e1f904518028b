// How long the machine's thread has worked for what, since the start: sums for `nandu top`, from the clock readings that stalls.ts has
// anyway. Not a profile: nothing is told apart below these few kinds, and devices' time is part of the slice that it was spent in.
import type { StallKind } from './stalls.ts';

/** Nanoseconds. */
export const timeUse: Record<StallKind | 'turns' | 'slices', number> = {
  device: 0, timer: 0, completion: 0, translator: 0, processor: 0, 'event loop': 0,
  /** Turns of the machine's loop; slices of the processor in them, with all that guest code caused. */
  turns: 0, slices: 0,
};
