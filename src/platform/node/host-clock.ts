// The host's monotonic clock.

/** The global `process` is a getter, which takes a third of a look at the clock; guests look at it all the time. */
const { hrtime } = process;

/** Nanoseconds since an arbitrary moment. A double holds them exactly for 104 days of up-time, then to the nearest 2 ns. */
export const hostClockNs = (): number => {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1e9 + nanoseconds;
};

/** The wall clock, in milliseconds since 1970 UTC. */
export const wallClockMs = (): number => Date.now();

/** What the wall clock shows here, as if it were UTC: for a guest that keeps its clock in local time. */
export function localTimeMs(): number {
  const now = new Date();
  return now.getTime() - now.getTimezoneOffset() * 60_000;
}
