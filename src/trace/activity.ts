// What the machine thread is doing right now, as one word that another thread may read at any moment: the sampling profiler does
// (vm/profile). Whoever begins something sets the word, and puts back what was there at the end. Until somebody watches, the word is
// one that nobody reads. Not a measure of time, and not what held the loop for long: that is stalls.ts.

/** Numbers that generated code and the support module write too; what has a name of its own follows from NAMED on. */
export const ACTIVITY = {
  EVENT_LOOP: 0,
  IDLE: 1,
  MACHINE: 2,
  INTERPRETER: 3,
  REGION: 4,
  PAGE_WALK: 5,
  DECODING: 6,
  TRANSLATING: 7,
  COMPILING: 8,
  GARBAGE: 9,
  WAITING: 10,
  UNKNOWN: 11,
  PROFILER: 12,
} as const;

const NAMED = 16;
/** More names than this are not kept apart. */
const NAMES_MAX = 1024;

const TITLES: Readonly<Record<keyof typeof ACTIVITY, string>> = {
  EVENT_LOOP: 'event loop',
  IDLE: 'idle',
  MACHINE: 'loop around the processor',
  INTERPRETER: 'interpreter',
  REGION: 'translated code',
  PAGE_WALK: 'page walk',
  DECODING: 'decoding',
  TRANSLATING: 'translating',
  COMPILING: 'V8 compiling',
  GARBAGE: 'garbage collection',
  WAITING: 'waiting for a processor of the host',
  UNKNOWN: 'something else',
  PROFILER: 'taking samples',
};

/** A device's registers, a timer's handler, the end of a request, a block node's own code. */
export type NamedActivity = 'device' | 'timer' | 'completion' | 'block node';

let words: Int32Array = new Int32Array(1);
let at = 0;
let isWatched = false;
const numbers = new Map<string, Map<string, number>>();
const titles: string[] = [];
/** Whether the guest waits for it, by the same index. */
const areForGuest: boolean[] = [];

/** From now on activities are written to a word of shared memory; without arguments no longer. */
export function watchActivity(shared: Int32Array = new Int32Array(1), index = 0): void {
  isWatched = shared.buffer instanceof SharedArrayBuffer;
  words = shared;
  at = index;
}

export const isActivityWatched = (): boolean => isWatched;

/** Returns what endActivity needs. */
export function beginActivity(activity: number): number {
  const before = words[at]!;
  words[at] = activity;
  return before;
}

export function beginNamedActivity(kind: NamedActivity, name: string): number {
  return isWatched ? beginActivity(namedActivity(kind, name)) : 0;
}

export function endActivity(before: number): void {
  words[at] = before;
}

/** Its number, for beginActivity: for what happens so often that to look it up each time would be seen. */
export function namedActivity(kind: NamedActivity, name: string): number {
  const names = numbers.get(kind) ?? new Map<string, number>();
  numbers.set(kind, names);
  const known = names.get(name);
  if (known !== undefined) return known;
  if (titles.length >= NAMES_MAX) return ACTIVITY.UNKNOWN;
  const number = NAMED + titles.length;
  titles.push(`${kind} ${name}`);
  areForGuest.push(kind === 'device' || kind === 'block node');
  names.set(name, number);
  return number;
}

export function activityTitle(activity: number): string {
  if (activity >= NAMED) return titles[activity - NAMED] ?? 'unknown';
  const [name] = Object.entries(ACTIVITY).find(([, number]) => number === activity) ?? ['UNKNOWN'];
  return TITLES[name as keyof typeof ACTIVITY];
}

/** Whether the guest is what the thread works for: its code, or what its code has caused. */
export const isForGuest = (activity: number): boolean =>
  (activity >= ACTIVITY.INTERPRETER && activity <= ACTIVITY.COMPILING) || (activity >= NAMED && areForGuest[activity - NAMED] === true);

/** More than any budget of instructions: one comparison tells the executor that it has to stop, for either reason. */
export const SAMPLE_ASKED = 0x7fff_ffff;
