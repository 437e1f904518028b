// What is waited for without holding the event loop: requests of drives on their way, and what they wait for themselves (a server, a
// host's flush, a breakpoint), draining, closing. One that takes longer than a limit (a second, if nobody says otherwise) is named:
// while it lasts in the text of `info stalls`, and when it has ended, by how often and how long.
import { defineEvents } from './event.ts';
import { loopNs } from './stalls.ts';

const trace = defineEvents('wait', { long: '{name:str} {operation:str} took {ns} ns' });

let limitNs = 1e9;
/** More kinds than this are not kept apart. */
const KINDS_MAX = 64;

/** What is waited for longer is named from now on. */
export function setWaitLimit(ns: number): void {
  limitNs = ns;
}

export interface Wait {
  readonly name: string;
  readonly operation: string;
  readonly begunNs: number;
}

interface Ended {
  count: number;
  longestNs: number;
}

const waits = new Set<Wait>();
const ended = new Map<string, Ended>();

export function beginWait(name: string, operation: string): Wait {
  const wait = { name, operation, begunNs: loopNs() };
  waits.add(wait);
  return wait;
}

export function endWait(wait: Wait): void {
  waits.delete(wait);
  const ns = loopNs() - wait.begunNs;
  if (ns <= limitNs) return;
  const { name, operation } = wait;
  trace.long?.({ name, operation, ns: Math.round(ns) });
  const own = `${name}: ${operation}`;
  const key = ended.size < KINDS_MAX || ended.has(own) ? own : 'others';
  const { count, longestNs } = ended.get(key) ?? { count: 0, longestNs: 0 };
  ended.set(key, { count: count + 1, longestNs: Math.max(longestNs, ns) });
}

export async function waitingFor<T>(name: string, operation: string, work: Promise<T>): Promise<T> {
  const wait = beginWait(name, operation);
  try {
    return await work;
  } finally {
    endWait(wait);
  }
}

/** What has been waited for since longer than the limit, in the order in which it began. */
const lastingWaits = (): string[] => {
  const now = loopNs();
  const long = [...waits].filter(({ begunNs }) => now - begunNs > limitNs);
  return long.map(({ name, operation, begunNs }) => `${name}: ${operation} waits since ${seconds(now - begunNs)}`);
};

/** In one line, for who waits; '' when there is nothing to say. */
export const lastingWaitsLine = (): string => lastingWaits().join('; ');

const seconds = (ns: number): string => `${(ns / 1e9).toFixed(1)} s`;

/** What `info stalls` says of waits; '' when there is nothing to say. */
export function waitsText(): string {
  const over = [...ended].map(([key, { count, longestNs }]) => `${key} waited ${count} times, longest ${seconds(longestNs)}`);
  const lines = [...lastingWaits(), ...over];
  const limit = limitNs < 1e9 ? `${limitNs / 1e6} ms` : seconds(limitNs);
  return lines.length === 0 ? '' : [`waited for more than ${limit}:`, ...lines].join('\n');
}
