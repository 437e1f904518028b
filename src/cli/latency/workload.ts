// The requests that `nandu latency` measures, the same in the guest and on the host: how many, where, how large. The offsets are computed
// here and by guest-program.ts in the same way, so that a request of the guest is known by its number.

export interface Workload {
  readonly bytes: number;
  /** Requests of a pass. */
  readonly count: number;
  readonly random: boolean;
  readonly isWrite: boolean;
  /** Requests on their way at once. */
  readonly depth: number;
  /** The part of the disk that is used; whole requests. */
  readonly spanBytes: number;
}

/** x' = MULTIPLIER x + INCREMENT modulo 2^32 (Numerical Recipes); the block is the share of 2^32 that x is. */
export const RANDOM = { SEED: 12345, MULTIPLIER: 1664525, INCREMENT: 1013904223 } as const;

export function offsetsOf({ bytes, count, random, spanBytes }: Workload): number[] {
  const blocks = spanBytes / bytes;
  let state: number = RANDOM.SEED;
  return Array.from({ length: count }, (_, index) => {
    if (!random) return (index % blocks) * bytes;
    state = (Math.imul(state, RANDOM.MULTIPLIER) + RANDOM.INCREMENT) >>> 0;
    return Math.floor((state * blocks) / 2 ** 32) * bytes;
  });
}

/** What the guest's program writes to its port: its stamps. */
export const MARK = {
  /** + the number of the pass: it begins. */
  PASS: 0x40,
  /** + a nibble, sixteen of them from the highest on: how many ticks of the time stamp counter the pass took. */
  NIBBLE: 0x20,
  END: 0x02,
  /** + the slot (below 64): a request begins, or has ended. */
  BEGIN: 0x80, DONE: 0xc0,
} as const;
export const DEPTH_MAX = 64;
export const MARK_PORT = 0xe9;

/** What is traced in a pass: the stamps alone, what the layers need too, or every event of a request. */
export type PassMode = 'plain' | 'layers' | 'details';
export const MODES: readonly PassMode[] = ['plain', 'layers', 'details'];
export const modeOf = (pass: number): PassMode => MODES[pass % MODES.length]!;

/** A round has a pass of each mode. The first rounds let the guest's code be translated and ours be compiled. */
export const WARM_PASSES = 5 * MODES.length;
const COUNTED_ROUNDS = 4;
export const PASSES = WARM_PASSES + COUNTED_ROUNDS * MODES.length;
/** How many of all requests a pass has. */
export const requestsOfPass = (count: number): number => Math.ceil(count / COUNTED_ROUNDS);
