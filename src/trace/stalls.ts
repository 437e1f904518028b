// Who held the event loop for longer than somebody who types, or a guest's timer, can bear: counted by name, and a trace event. The
// guest stands still meanwhile, and so does everything else on this thread. Not a profile: what stays below the limit is not seen.
import { defineEvents } from './event.ts';

const trace = defineEvents('loop', { stall: '{kind:str} {name:str} held the loop for {ns} ns' });

export const STALL_NS = 20e6;
/** More names than this are not kept apart. */
const NAMES_MAX = 64;

export type StallKind = 'device' | 'timer' | 'completion' | 'translator' | 'processor' | 'event loop';

export interface Stall {
  readonly kind: StallKind;
  readonly name: string;
  count: number;
  totalNs: number;
  longestNs: number;
}

const stalls = new Map<string, Stall>();
let count = 0;

/** The clock of the loop in nanoseconds, of any beginning; until it is set nothing is a stall. */
export let loopNs: () => number = () => 0;

export function setLoopClock(now: () => number): void {
  loopNs = now;
}

/** At the end of what began at `begunNs`. */
export function heldSince(begunNs: number, kind: StallKind, name: string): void {
  const ns = loopNs() - begunNs;
  if (ns > STALL_NS) noteStall(kind, name, ns);
}

export function noteStall(kind: StallKind, name: string, ns: number): void {
  trace.stall?.({ kind, name, ns: Math.round(ns) });
  count++;
  const known = stalls.size < NAMES_MAX || stalls.has(`${kind} ${name}`);
  const shown = known ? name : 'others';
  const key = `${kind} ${shown}`;
  const stall = stalls.get(key) ?? { kind, name: shown, count: 0, totalNs: 0, longestNs: 0 };
  stalls.set(key, stall);
  stall.count++;
  stall.totalNs += ns;
  stall.longestNs = Math.max(stall.longestNs, ns);
}

/** How many there have been, to see whether something had one inside. */
export const stallCount = (): number => count;

/** The text of `info stalls`. */
export function stallsText(): string {
  const limit = `${STALL_NS / 1e6} ms`;
  if (stalls.size === 0) return `nothing held the event loop for more than ${limit}`;
  const rows = [...stalls.values()].sort((a, b) => b.longestNs - a.longestNs).map(({ kind, name, count: times, totalNs, longestNs }) =>
    `${kind} ${name}: ${times} times, longest ${(longestNs / 1e6).toFixed(1)} ms, together ${(totalNs / 1e6).toFixed(1)} ms`);
  return [`held the event loop for more than ${limit}:`, ...rows].join('\n');
}
