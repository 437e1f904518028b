// Guest time as devices see it: a clock, one-shot timers in nanoseconds, and the wall clock of the RTC.
// Not host time: the platform (or the instruction counter) decides how guest time advances; it stops with the guest.

/** Nanoseconds since power-on, exact integers up to 2^53 (104 days). */
export interface Clock {
  now(): number;
}

/** A one-shot alarm. A periodic device arms it again from its own grid, so that no delay adds up. */
export interface Timer {
  /** When it fires, in guest nanoseconds; Infinity when disarmed. */
  readonly deadline: number;
  /** Arms (or moves) the alarm. A time in the past fires at the next opportunity. */
  armAt(deadlineNs: number): void;
  disarm(): void;
}

export interface Timers extends Clock {
  /** The callback gets the deadline that it was armed for, which may lie before `now()`. `name` is what traces call it. */
  createTimer(callback: (deadlineNs: number) => void, name?: string): Timer;
}

/** The date for the real-time clock, in milliseconds since 1970-01-01 UTC; it need not be monotonic. */
export interface WallClock {
  nowMs(): number;
}
