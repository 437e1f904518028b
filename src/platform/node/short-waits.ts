// Waits that end in the middle of a millisecond while the event loop goes on waiting for files: Node's timers have whole milliseconds
// only. A job of the thread pool sleeps, and its end wakes the loop as the end of a request does. A job cannot be called back, so few are
// begun: whoever waits later than a sleeper ends is served by that one's end.
import { hostClockNs } from './host-clock.ts';
import { systemCalls, type SystemCalls } from './system-calls.ts';

/** Others need the pool's threads too. */
const SLEEPERS_MAX = 2;
const NS_PER_US = 1000;
const NS_PER_MS = 1e6;

interface Waiter {
  readonly endNs: number;
  readonly callback: () => void;
}

const waiters = new Set<Waiter>();
/** When the jobs that sleep end. */
const sleeperEnds: number[] = [];

/** Calls back at a time of `hostClockNs`, within two milliseconds or so; up to a millisecond late where the host has no finer sleep. */
export function waitUntil(endNs: number, callback: () => void): { cancel(): void } {
  const calls = systemCalls();
  if (calls === undefined) {
    const timeout = setTimeout(callback, Math.ceil((endNs - hostClockNs()) / NS_PER_MS));
    return { cancel: () => clearTimeout(timeout) };
  }
  const waiter = { endNs, callback };
  waiters.add(waiter);
  begin(calls);
  return { cancel: () => void waiters.delete(waiter) };
}

/** A job for the next waiter, unless one ends in time. */
function begin(calls: SystemCalls): void {
  let next = Infinity;
  for (const { endNs } of waiters) next = Math.min(next, endNs);
  if (next === Infinity || sleeperEnds.length >= SLEEPERS_MAX || sleeperEnds.some((end) => end <= next)) return;
  sleeperEnds.push(next);
  const us = Math.max(0, Math.ceil((next - hostClockNs()) / NS_PER_US));
  const done = (): void => {
    sleeperEnds.splice(sleeperEnds.indexOf(next), 1);
    wake(calls);
  };
  calls.pooled.sleep(us).then(done, done);
}

function wake(calls: SystemCalls): void {
  const now = hostClockNs();
  for (const waiter of waiters) {
    if (waiter.endNs > now) continue;
    waiters.delete(waiter);
    waiter.callback();
  }
  begin(calls);
}
