// Who held the event loop for longer than somebody who types, or a guest's timer, can bear: counted by name, and a trace event. The
// guest stands still meanwhile, and so does everything else on this thread. Not a profile: what stays below the limit is not seen.
// Where the time went inside is what a watcher on another thread may find (`loopBeats`, `noteStallStack`).
import { defineEvents } from './event.ts';
import { timeUse } from './time-use.ts';

const trace = defineEvents('loop', {
  stall: '{kind:str} {name:str} held the loop for {ns} ns',
  stallStack: '{kind:str} {name:str} in {stack:str}',
});

let limitNs = 20e6;

/** What holds the loop for longer is a stall from now on. */
export function setStallLimit(ns: number): void {
  limitNs = ns;
}

/** More names than this are not kept apart. */
const NAMES_MAX = 64;

export type StallKind = 'device' | 'timer' | 'completion' | 'translator' | 'processor' | 'event loop';

export interface Stall {
  readonly kind: StallKind;
  readonly name: string;
  count: number;
  totalNs: number;
  longestNs: number;
  /** What was running in the longest of those that were long enough to be looked into, the innermost first. */
  stack: string | undefined;
  stackNs: number;
}

const stalls = new Map<string, Stall>();
let count = 0;
let last: { readonly stall: Stall; readonly ns: number; readonly endNs: number } | undefined;

/** For who watches the loop from another thread: how many turns it has begun, and whether it sleeps. */
export let loopBeats = new Int32Array(2);
export const BEAT = { TURNS: 0, ASLEEP: 1 } as const;

export function setLoopBeats(words: Int32Array<ArrayBuffer>): void {
  loopBeats = words;
}

export function beginTurn(): void {
  loopBeats[BEAT.TURNS]!++;
  loopBeats[BEAT.ASLEEP] = 0;
}

export function endTurn(isAsleep: boolean): void {
  loopBeats[BEAT.ASLEEP] = isAsleep ? 1 : 0;
}

/** The clock of the loop in nanoseconds, of any beginning; until it is set nothing is a stall. */
export let loopNs: () => number = () => 0;

export function setLoopClock(now: () => number): void {
  loopNs = now;
}

/** At the end of what began at `begunNs`; returns how long that took. */
export function heldSince(begunNs: number, kind: StallKind, name: string): number {
  const ns = loopNs() - begunNs;
  timeUse[kind] += ns;
  if (ns > limitNs) noteStall(kind, name, ns);
  return ns;
}

export function noteStall(kind: StallKind, name: string, ns: number): void {
  trace.stall?.({ kind, name, ns: Math.round(ns) });
  count++;
  const known = stalls.size < NAMES_MAX || stalls.has(`${kind} ${name}`);
  const shown = known ? name : 'others';
  const key = `${kind} ${shown}`;
  const stall = stalls.get(key) ?? { kind, name: shown, count: 0, totalNs: 0, longestNs: 0, stack: undefined, stackNs: 0 };
  stalls.set(key, stall);
  stall.count++;
  stall.totalNs += ns;
  stall.longestNs = Math.max(stall.longestNs, ns);
  last = { stall, ns, endNs: loopNs() };
}

/** A watcher's answer comes when the loop turns again, so it belongs to the stall that has just ended. */
const STACK_NS_MAX = 2e9;

export function noteStallStack(stack: string): void {
  if (last === undefined || loopNs() - last.endNs > STACK_NS_MAX) return;
  const { stall, ns } = last;
  trace.stallStack?.({ kind: stall.kind, name: stall.name, stack });
  if (ns < stall.stackNs) return;
  stall.stack = stack;
  stall.stackNs = ns;
}

/** How many there have been, to see whether something had one inside. */
export const stallCount = (): number => count;

/** The text of `info stalls`. */
export function stallsText(): string {
  const limit = `${limitNs / 1e6} ms`;
  if (stalls.size === 0) return `nothing held the event loop for more than ${limit}`;
  const rows = [...stalls.values()].sort((a, b) => b.longestNs - a.longestNs).map((stall) => {
    const { kind, name, count: times, totalNs, longestNs, stack } = stall;
    const figures = `${times} times, longest ${(longestNs / 1e6).toFixed(1)} ms, together ${(totalNs / 1e6).toFixed(1)} ms`;
    return `${kind} ${name}: ${figures}${stack === undefined ? '' : `\n  in ${stack}`}`;
  });
  return [`held the event loop for more than ${limit}:`, ...rows].join('\n');
}
