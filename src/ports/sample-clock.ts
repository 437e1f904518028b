// What asks a running machine for samples at random moments, from outside of its thread, and remembers what the thread did then.

export interface SampleClock {
  /** Calls `take` for each of the first `noted` moments (mod 2^32) not taken yet, in order: the host's time, the activity word then. */
  drain(noted: number, take: (atNs: number, activity: number) => void): void;
  /** Moments that nobody took in time. */
  readonly lost: number;
  /** When the thread collected garbage, as far as the host says so. */
  collections(): readonly { readonly beginNs: number; readonly endNs: number }[];
  /** No more moments from now on. */
  stop(): void;
}

/** The words of shared memory that it reads and sets. */
export interface SampleWords {
  readonly memory: SharedArrayBuffer;
  /** Byte offsets. */
  readonly activityAt: number;
  /** SAMPLE_ASKED (trace/activity.ts) is stored there. */
  readonly askedAt: number;
  /** How many moments have been noted (mod 2^32), before it is asked. */
  readonly notedAt: number;
}
